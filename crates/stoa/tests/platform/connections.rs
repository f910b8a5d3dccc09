use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::app::{App, TOKEN};

fn connect(app: &App) -> TcpStream {
    let stream = TcpStream::connect(app.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn a_client_that_never_finishes_its_head_is_let_go() {
    let app = App::with_settings(None, &[("STOA_SERVER__HEADER_TIMEOUT_MS", "200")]);
    let mut slow = connect(&app);
    slow.write_all(b"GET /health/live HTTP/1.1\r\nHost: ").unwrap();
    let mut rest = Vec::new();
    assert!(slow.read_to_end(&mut rest).is_ok(), "the server ends the connection");
    assert_eq!(app.get("/health/live").status, 200);
}

#[test]
fn more_connections_than_there_is_room_for_wait_and_then_are_served() {
    let app = App::with_settings(None, &[("STOA_SERVER__CONNECTIONS_MAX", "2")]);
    let (first, second) = (connect(&app), connect(&app));
    let mut third = connect(&app);
    third.write_all(b"GET /health/live HTTP/1.1\r\nHost: stoa\r\nConnection: close\r\n\r\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.read(&mut [0; 1]).is_err(), "there is no room for a third");
    third.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    drop((first, second));
    let mut answer = String::new();
    third.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn streams_have_a_bound_of_their_own() {
    let app = App::with_settings(None, &[("STOA_SERVER__STREAMS_MAX", "1")]);
    let mut stream = connect(&app);
    write!(stream, "GET /v1/events/stream HTTP/1.1\r\nHost: stoa\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
        .unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let refused = app.get("/v1/events/stream");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
    app.organization("acme");
    drop(stream);
}

#[test]
fn what_is_no_http_is_answered_or_let_go_and_nothing_breaks() {
    let app = App::embedded();
    for nonsense in [&b"\x16\x03\x01\x02\x00"[..], b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n", b"GET"] {
        let mut stream = connect(&app);
        stream.write_all(nonsense).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    let huge = format!("GET / HTTP/1.1\r\nHost: stoa\r\nX-Long: {}\r\n\r\n", "a".repeat(1 << 20));
    let mut stream = connect(&app);
    let _ = stream.write_all(huge.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    assert_eq!(app.get("/health/live").status, 200);
}
