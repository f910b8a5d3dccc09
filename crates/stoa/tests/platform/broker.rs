//! What listens to the log at a broker.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use stoa_harness::{Nats, Postgres};

use crate::app::{App, database, looks};

/// Everything that is published below a subject, by the protocol of NATS itself.
fn listen(nats: &Nats, subject: &str) -> Receiver<(String, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", nats.port())).unwrap();
    write!(stream, "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nSUB {subject} 1\r\nPING\r\n").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while line.trim() != "PONG" {
        line.clear();
        lines.read_line(&mut line).unwrap();
    }
    let (heard, hearing) = channel();
    std::thread::spawn(move || {
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first() {
                Some(&"PING") => drop(stream.write_all(b"PONG\r\n")),
                // HMSG <subject> <sid> [reply] <bytes of the headers> <bytes in all>
                Some(&"HMSG") => {
                    let number = |at: usize| words[words.len() - at].parse::<usize>().unwrap();
                    let (headers, all) = (number(2), number(1));
                    let mut bytes = vec![0; all + 2];
                    lines.read_exact(&mut bytes).unwrap();
                    let body = serde_json::from_slice(&bytes[headers..all]).unwrap();
                    if heard.send((words[1].to_owned(), body)).is_err() {
                        return;
                    }
                }
                _ => {}
            }
        }
    });
    hearing
}

fn next(hearing: &Receiver<(String, Value)>) -> (String, Value) {
    hearing.recv_timeout(Duration::from_secs(20)).unwrap()
}

fn is_published(app: &App, nats: &Nats) {
    let hearing = listen(nats, "stoa.org.>");
    let acme = app.organization("acme");
    let other = app.organization("other");
    for made in [&acme, &other] {
        let (subject, event) = next(&hearing);
        assert_eq!(subject, format!("stoa.org.{}.organization.created", made["id"].as_str().unwrap()));
        assert_eq!(
            (&event["type"], &event["organizationId"]),
            (&Value::from("organization.created"), &made["id"])
        );
    }
    let consumers = app.get("/v1/admin/consumers").json();
    assert!(consumers["items"].as_array().unwrap().iter().any(|one| one["name"] == "relay"), "{consumers}");
}

#[test]
fn what_happens_is_published_on_sqlite() {
    let nats = Nats::start();
    is_published(&App::with_settings(None, &[("NATS_URL", &nats.url())]), &nats);
}

#[test]
fn what_happens_is_published_on_postgresql_also_when_the_relay_dies_and_the_broker_loses_its_data() {
    let nats = Nats::start();
    let settings = [("NATS_URL", nats.url())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let app = App::with_settings(Some(database(&Postgres::shared())), &settings);
    is_published(&app, &nats);
    // Another process goes on when the one that publishes dies.
    let second = app.beside();
    let hearing = listen(&nats, "stoa.org.>");
    app.kill();
    if let Some(database) = &second.database {
        database.sql("UPDATE leases SET expires_at = 0");
    }
    let third = second.organization("third");
    assert_eq!(next(&hearing).1["organizationId"], third["id"]);
    // The broker comes back with nothing: it is told what happened lately anew, and what happened meanwhile.
    let port = nats.port();
    drop(nats);
    second.organization("fourth");
    let again = Nats::at(port);
    let mut found = Value::Null;
    for () in looks() {
        found = second.get("/v1/admin/consumers").json();
        let relay = found["items"].as_array().unwrap().iter().find(|one| one["name"] == "relay").unwrap();
        if relay["behind"] == 0 {
            break;
        }
    }
    let hearing = listen(&again, "stoa.org.>");
    let fifth = second.organization("fifth");
    assert_eq!(next(&hearing).1["organizationId"], fifth["id"], "{found}");
}
