//! The servers start, answer, and fail when they are told to.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use stoa_harness::{FaultProxy, Nats, Redis};

/// What a server says first, or after a question.
fn said(port: u16, question: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(question.as_bytes())?;
    let mut answer = [0; 512];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(answer.get(..count).unwrap_or(&[])).into_owned())
}

#[test]
fn redis_answers_until_it_is_killed_and_comes_back_on_its_port() {
    let mut redis = Redis::start();
    let port = redis.port();
    assert_eq!(said(port, "PING\r\n").unwrap(), "+PONG\r\n");
    redis.kill();
    assert!(said(port, "PING\r\n").is_err());
    let again = Redis::at(port);
    assert_eq!(said(again.port(), "PING\r\n").unwrap(), "+PONG\r\n");
}

#[test]
fn nats_answers_with_jetstream() {
    let nats = Nats::start();
    let info = said(nats.port(), "").unwrap();
    assert!(info.starts_with("INFO ") && info.contains("\"jetstream\":true"), "{info}");
}

#[test]
fn the_proxy_passes_cuts_and_heals() {
    let redis = Redis::start();
    let proxy = FaultProxy::before(redis.port());
    assert_eq!(said(proxy.port(), "PING\r\n").unwrap(), "+PONG\r\n");
    proxy.cut();
    assert!(!said(proxy.port(), "PING\r\n").is_ok_and(|answer| answer.contains("PONG")));
    proxy.heal();
    assert_eq!(said(proxy.port(), "PING\r\n").unwrap(), "+PONG\r\n");
}
