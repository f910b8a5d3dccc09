//! A collector of telemetry that keeps what it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What is sent is waited for so long.
const WITHIN: Duration = Duration::from_secs(30);

/// A request: its path and its body.
type Request = (String, String);

/// A server of HTTP/1.1 that answers `200 {}` to everything, and remembers it.
pub struct Collector {
    port: u16,
    seen: Arc<(Mutex<Vec<Request>>, Condvar)>,
}

impl Collector {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let seen: Arc<(Mutex<Vec<Request>>, Condvar)> = Arc::default();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, seen }
    }

    /// Its address, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first request that is as wanted, when it has come.
    ///
    /// # Panics
    /// When none comes within 30 s.
    pub fn wait_for(&self, wanted: impl Fn(&str, &str) -> bool) -> Request {
        let (seen, changed) = &*self.seen;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |seen: &[Request]| seen.iter().find(|(path, body)| wanted(path, body)).cloned();
        let (seen, _) = changed
            .wait_timeout_while(seen, WITHIN, |seen| find(seen).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        find(&seen).unwrap_or_else(|| panic!("it never came; {} other requests did", seen.len()))
    }
}

fn serve(stream: TcpStream, seen: &(Mutex<Vec<Request>>, Condvar)) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|&count| count > 0)?;
        let path = first.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        seen.0.lock().unwrap_or_else(PoisonError::into_inner).push((path, body));
        seen.1.notify_all();
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
