//! Measures the program itself, from outside: from before the request that changes something to when somebody has heard of it, so with
//! HTTP, the commit and its fsync in it. Prints `name value unit` lines.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stoa_harness::{Nats, Postgres, free_port};

const TOKEN: &str = "stoa_op_000000000000000000000000000000000000000000000000";
const MASTER: &str = "bench:1111111111111111111111111111111111111111111111111111111111111111";

/// The program, in a folder of its own.
struct Stoa {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Stoa {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(binary: &str, folder: &tempfile::TempDir, settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary);
    command
        .env("STOA_DATA__FOLDER", folder.path().join("data"))
        .env("STOA_SECRETS__MASTER_KEYS", MASTER)
        .env("STOA_SECRETS__OPERATOR_TOKEN", TOKEN)
        .env("STOA_ALERTS__DISK_FREE_PERCENT_MIN", "0")
        .env("STOA_LIMITS__BURST", "1000000")
        .env("STOA_LIMITS__PER_SECOND", "1000000")
        .env("STOA_OUTBOUND__ALLOWED_NETWORKS", "127.0.0.1/32")
        .env("STOA_LOG__LEVEL", "error")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null());
    command
}

impl Stoa {
    fn start(binary: &str, settings: &[(&str, String)]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = command(binary, &folder, settings)
            .arg("serve")
            .env("STOA_SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .spawn()
            .unwrap();
        let stoa = Self { child, port, _folder: folder };
        while stoa.try_ask("GET", "/health/ready", "", "").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            std::thread::sleep(Duration::from_millis(10));
        }
        stoa
    }

    fn head(&self, method: &str, path: &str, organization: &str, length: usize) -> String {
        let organization =
            if organization.is_empty() { String::new() } else { format!("Stoa-Organization: {organization}\r\n") };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n{organization}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    }

    fn try_ask(&self, method: &str, path: &str, organization: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(format!("{}{body}", self.head(method, path, organization, body.len())).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn ask(&self, method: &str, path: &str, organization: &str, body: &str) {
        let answer = self.try_ask(method, path, organization, body).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    }

    fn organization(&self, slug: &str) {
        self.ask("POST", "/v1/organizations", "", &format!("{{\"slug\": \"{slug}\", \"name\": \"{slug}\"}}"));
    }

    /// Makes something happen that is known by a name.
    fn happen(&self, organization: &str, name: &str) {
        let body = format!("{{\"name\": \"{name}\", \"kind\": \"probe\", \"cron\": \"@yearly\"}}");
        self.ask("POST", "/v1/schedules", organization, &body);
    }

    /// The most memory that it has had, in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// The name of what happened, in the text of an event.
fn name_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\"name\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

type Heard = Receiver<(String, Instant)>;

fn lines(stream: TcpStream, heard: Sender<(String, Instant)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(name) = name_in(&line)
                && heard.send((name, Instant::now())).is_err()
            {
                return;
            }
        }
    });
}

/// Follows the log as a client does.
fn follow(stoa: &Stoa) -> Heard {
    let mut stream = TcpStream::connect(("127.0.0.1", stoa.port)).unwrap();
    stream.write_all(stoa.head("GET", "/v1/events/stream", "", 0).as_bytes()).unwrap();
    let (heard, hearing) = channel();
    lines(stream, heard);
    hearing
}

/// Follows what is published to NATS.
fn subscribe(nats: &Nats) -> Heard {
    let mut stream = TcpStream::connect(("127.0.0.1", nats.port())).unwrap();
    write!(stream, "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nSUB stoa.org.> 1\r\n").unwrap();
    let (heard, hearing) = channel();
    lines(stream, heard);
    hearing
}

fn say(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.1} {unit}");
}

fn percentiles(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    say(&format!("{name}_p50"), at(50), "ms");
    say(&format!("{name}_p99"), at(99), "ms");
}

fn until(hearing: &Heard, wanted: &str) -> Instant {
    loop {
        let (name, when) = hearing.recv_timeout(Duration::from_secs(30)).expect("it is heard of");
        if name == wanted {
            return when;
        }
    }
}

/// One thing after the other, then 400 of eight callers at once.
fn told(name: &str, stoa: &Stoa, hearing: &Heard) {
    for organization in ["idle", "busy"] {
        stoa.organization(&format!("{name}-{organization}"));
    }
    let idle = format!("{name}-idle");
    let mut took = Vec::new();
    for number in 0..320 {
        std::thread::sleep(Duration::from_millis(10));
        let (what, start) = (format!("i{number}"), Instant::now());
        stoa.happen(&idle, &what);
        let when = until(hearing, &what);
        if number >= 20 {
            took.push(when - start);
        }
    }
    percentiles(&format!("{name}_idle"), took);
    let started = Mutex::new(HashMap::new());
    let start = Instant::now();
    let took: Vec<Duration> = std::thread::scope(|scope| {
        for caller in 0..8 {
            let started = &started;
            scope.spawn(move || {
                for number in 0..50 {
                    let what = format!("b{caller}-{number}");
                    started.lock().unwrap().insert(what.clone(), Instant::now());
                    stoa.happen(&format!("{name}-busy"), &what);
                }
            });
        }
        let heard = (0..400).map(|_| {
            let (what, when) = hearing.recv_timeout(Duration::from_secs(30)).expect("it is heard of");
            when - started.lock().unwrap()[&what]
        });
        heard.collect()
    });
    say(&format!("{name}_busy_rate"), 400.0 / start.elapsed().as_secs_f64(), "changes/s");
    percentiles(&format!("{name}_busy"), took);
}

/// Takes webhooks: `/ok/…`, `/fail/…`, `/hang/…`.
struct Endpoints {
    port: u16,
    came: Arc<Mutex<Vec<(String, String, Instant)>>>,
}

impl Endpoints {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::<Mutex<Vec<_>>>::default();
        let own = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = Arc::clone(&own);
                let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(move || take(stream, &own));
            }
        });
        Self { port, came }
    }
}

fn take(mut stream: TcpStream, came: &Mutex<Vec<(String, String, Instant)>>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let name = loop {
        let Some(count) = stream.read(&mut buffer).ok().filter(|count| *count > 0) else { return };
        bytes.extend(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break name_in(body).unwrap_or_default();
        }
    };
    let path = String::from_utf8_lossy(&bytes).split(' ').nth(1).unwrap_or_default().to_owned();
    came.lock().unwrap().push((path.clone(), name, Instant::now()));
    let status = match path.split('/').nth(1) {
        Some("hang") => return drop(stream.read(&mut [0])),
        Some("fail") => "500 Failed",
        _ => "200 OK",
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

/// So many endpoints in organizations of `each`: of twenty one hangs and one fails.
fn register(stoa: &Stoa, endpoints: &Endpoints, prefix: &str, organizations: usize, each: usize) {
    std::thread::scope(|scope| {
        for organization in 0..organizations {
            scope.spawn(move || {
                let slug = format!("{prefix}{organization}");
                stoa.organization(&slug);
                for number in 0..each {
                    let how = match number % 20 {
                        7 => "hang",
                        13 => "fail",
                        _ => "ok",
                    };
                    let url = format!("http://127.0.0.1:{}/{how}/{slug}-{number}", endpoints.port);
                    let body = format!("{{\"url\": \"{url}\", \"events\": [\"schedule.created\"], \"timeoutS\": 10}}");
                    stoa.ask("POST", "/v1/webhooks", &slug, &body);
                }
            });
        }
    });
}

/// How long healthy endpoints waited for what happened; what never came counts as the time until now.
fn healthy(name: &str, endpoints: &Endpoints, happened: &HashMap<String, Instant>, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let sent = || {
        let came = endpoints.came.lock().unwrap();
        let ok = came.iter().filter(|(path, what, _)| path.starts_with("/ok/") && happened.contains_key(what));
        ok.map(|(path, what, when)| ((path.clone(), what.clone()), *when - happened[what])).collect::<Vec<_>>()
    };
    let mut found = sent();
    while found.len() < wanted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        found = sent();
    }
    let mut first: HashMap<(String, String), Duration> = HashMap::new();
    for (which, took) in found {
        let known = first.entry(which).or_insert(took);
        *known = took.min(*known);
    }
    say(&format!("{name}_missing"), (wanted - first.len()) as f64, "deliveries");
    percentiles(name, first.into_values().collect());
}

fn webhooks(name: &str, stoa: &Stoa) {
    let endpoints = Endpoints::start();
    let before = stoa.memory();
    register(stoa, &endpoints, &format!("{name}-spread"), 20, 50);
    // Four events a second, each for the fifty endpoints of one organization: 200 webhooks a second, 45 of 50 healthy.
    let (mut happened, mut number) = (HashMap::new(), 0);
    for _ in 0..8 {
        for organization in 0..20 {
            let what = format!("w{number}");
            number += 1;
            happened.insert(what.clone(), Instant::now());
            stoa.happen(&format!("{name}-spread{organization}"), &what);
            std::thread::sleep(Duration::from_millis(250));
        }
    }
    healthy(&format!("{name}_webhooks_spread"), &endpoints, &happened, happened.len() * 45);
    // One event for a thousand endpoints of one organization, three times.
    register(stoa, &endpoints, &format!("{name}-burst"), 1, 1_000);
    for burst in 0..3 {
        let what = format!("burst{burst}");
        let happened = HashMap::from([(what.clone(), Instant::now())]);
        stoa.happen(&format!("{name}-burst0"), &what);
        healthy(&format!("{name}_webhooks_burst{burst}"), &endpoints, &happened, 900);
    }
    say(&format!("{name}_webhooks_memory_before"), before, "MiB");
    say(&format!("{name}_webhooks_memory_most"), stoa.memory(), "MiB");
}

fn main() {
    let binary = std::env::args().nth(1).expect("the path of the program");
    let binary = std::path::absolute(binary).unwrap().display().to_string();
    let only = std::env::var("ONLY").unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only.split(',').any(|one| one == name);
    if is_wanted("sqlite") {
        let stoa = Stoa::start(&binary, &[]);
        told("sqlite", &stoa, &follow(&stoa));
        webhooks("sqlite", &stoa);
    }
    if is_wanted("postgres") {
        let (server, nats) = (Arc::new(Postgres::start(true)), Nats::start());
        let database = server.database("bench", |owner_url| {
            let folder = tempfile::tempdir().unwrap();
            let urls = [
                ("DATABASE_OWNER_URL", owner_url.to_owned()),
                ("DATABASE_URL", owner_url.replace("stoa_owner@", "stoa@")),
            ];
            assert!(command(&binary, &folder, &urls).arg("migrate").status().unwrap().success());
        });
        let settings = [
            ("DATABASE_URL", database.url()),
            ("NATS_URL", format!("nats://127.0.0.1:{}", nats.port())),
            ("STOA_SERVER__PUBLIC_URL", "http://localhost:8080".to_owned()),
        ];
        let stoa = Stoa::start(&binary, &settings);
        told("postgres", &stoa, &follow(&stoa));
        told("nats", &stoa, &subscribe(&nats));
        webhooks("postgres", &stoa);
    }
}
