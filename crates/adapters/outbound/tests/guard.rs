//! Server-side request forgery: every spelling of an address that is not public, rebinding, redirects, bounds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect is to fail"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stoa_outbound::Guarded;
use stoa_runtime::outbound::{Fetch, Fetched, Outbound as _, Unfetched};

/// Addresses that lead to ourselves, to our network, or nowhere that anybody may ask.
const SPELLINGS: &[&str] = &[
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.1/",
    "https://127.0.0.1./",
    "https://127.000.000.001/",
    "https://１２７.０.０.１/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",
    "https://%31%32%37.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://0x0/",
    "https://00/",
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000::0001]/",
    "https://[::127.0.0.1]/",
    "https://[::7f00:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://167772161/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://0xc0a80001/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://169.254.43518/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://4294967295/",
    "http://1.1.1.1/",
    "ftp://1.1.1.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_",
    "https://user@1.1.1.1/",
    "https://user:secret@1.1.1.1/",
    "https://1.1.1.1:0/",
    "https:///",
    "https://",
    "",
    "//1.1.1.1/",
    "javascript:alert(1)",
];

#[test]
fn every_spelling_of_an_address_that_is_not_public_is_refused() {
    let client = Guarded::new(Vec::new());
    assert!(SPELLINGS.len() >= 60);
    for url in SPELLINGS {
        assert!(matches!(client.check(url), Err(Unfetched::Refused(_))), "{url}");
    }
    for url in [
        "https://1.1.1.1/",
        "https://example.org/",
        "https://example.org:8443/path?query",
        "https://[2606:4700::1111]/",
    ] {
        assert_eq!(client.check(url), Ok(()), "{url}");
    }
}

fn fetch(url: &str) -> Fetch {
    Fetch { url: url.to_owned(), bytes_max: 1_000, timeout_ms: 2_000, ..Fetch::default() }
}

fn resolving(answers: Vec<Vec<IpAddr>>, allowed: &[&str]) -> (Guarded, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let resolve = move |_: String, _: u16| {
        let answer = answers[counter.fetch_add(1, Ordering::SeqCst) % answers.len()].clone();
        Box::pin(std::future::ready(Ok(answer))) as stoa_kernel::store::BoxFuture<'static, _>
    };
    let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
    (Guarded::resolving(allowed, Arc::new(resolve)), asked)
}

/// Answers every connection with `answer`; counts them.
fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, seen)
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_refused_whatever_else_it_has() {
    let addresses = |list: &[&str]| list.iter().map(|one| one.parse().unwrap()).collect::<Vec<IpAddr>>();
    for answer in
        [addresses(&["127.0.0.1"]), addresses(&["1.1.1.1", "10.0.0.1"]), addresses(&["::1", "1.1.1.1"])]
    {
        let (client, _) = resolving(vec![answer], &[]);
        assert!(matches!(client.fetch(fetch("https://rebound.example/")).await, Err(Unfetched::Refused(_))));
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_so_that_it_cannot_become_another_address() {
    let (port, seen) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (client, asked) = resolving(
        vec![vec!["127.0.0.1".parse().unwrap()], vec!["10.0.0.1".parse().unwrap()]],
        &["127.0.0.0/8"],
    );
    let answer = client.fetch(fetch(&format!("http://first.example:{port}/"))).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!((asked.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (1, 1));
    assert!(matches!(
        client.fetch(fetch(&format!("http://first.example:{port}/"))).await,
        Err(Unfetched::Refused(_))
    ));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (inner, seen) = server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
    let leaked: &'static str = Box::leak(
        format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n")
            .into_boxed_str(),
    );
    let (outer, _) = server(leaked);
    let client = Guarded::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let Fetched { status, .. } = client.fetch(fetch(&format!("http://127.0.0.1:{outer}/"))).await.unwrap();
    assert_eq!((status, seen.load(Ordering::SeqCst)), (302, 0));
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let long: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5_000)).into_boxed_str(),
    );
    let (port, _) = server(long);
    let client = Guarded::new(vec!["127.0.0.1/32".parse().unwrap()]);
    assert!(matches!(
        client.fetch(fetch(&format!("http://127.0.0.1:{port}/"))).await,
        Err(Unfetched::Failed(_))
    ));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let hurried = Fetch { timeout_ms: 50, ..fetch(&url) };
    assert_eq!(client.fetch(hurried).await, Err(Unfetched::Failed("no answer in time".to_owned())));
}
