use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use stoa_kernel::random::{Random as _, SplitMix64};

use crate::app::{App, ask};

/// How many rounds: a few in every run of the tests, as many as are wanted with `STOA_CRASH_ROUNDS`.
#[expect(clippy::disallowed_methods, reason = "whoever runs the test says how long")]
fn rounds() -> usize {
    std::env::var("STOA_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
}

/// What was sent, and what was answered.
#[derive(Default)]
struct Known {
    answered: Vec<(String, Value)>,
    unanswered: Vec<String>,
}

fn body(slug: &str) -> String {
    format!(r#"{{"slug":"{slug}","name":"Name of {slug}","contactEmail":"a@example.org"}}"#)
}

/// Kills the platform at random moments under concurrent writers: nothing that was answered is lost, nothing is there by half, and what
/// is sent again happens once.
fn survives(app: &App, seed: u64) {
    let mut random = SplitMix64::seeded(seed);
    let known = Mutex::new(Known::default());
    for round in 0..rounds() {
        let address = app.address();
        let wait = Duration::from_micros(random.below(250_000));
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let known = &known;
                scope.spawn(move || {
                    for number in 0.. {
                        let slug = format!("r{round}w{writer}n{number}");
                        let answer = ask(
                            address,
                            "POST",
                            "/v1/organizations",
                            &[("Idempotency-Key", &slug)],
                            &body(&slug),
                        );
                        let mut known = known.lock().unwrap();
                        match answer {
                            Ok(answer) if answer.status == 201 => known.answered.push((slug, answer.json())),
                            Ok(answer) if answer.status >= 500 => {
                                known.unanswered.push(slug);
                                break;
                            }
                            Ok(answer) => panic!("{} {}", answer.status, answer.text),
                            Err(_) => {
                                known.unanswered.push(slug);
                                break;
                            }
                        }
                    }
                });
            }
            // The moment is what is random here, not a condition that could be waited for.
            let (_hold, never) = std::sync::mpsc::channel::<()>();
            let _ = never.recv_timeout(wait);
            app.kill();
        });
        app.restart();
        let mut known = known.lock().unwrap();
        for slug in std::mem::take(&mut known.unanswered) {
            let again = app.with("POST", "/v1/organizations", &[("Idempotency-Key", &slug)], &body(&slug));
            assert_eq!(again.status, 201, "{}", again.text);
            known.answered.push((slug, again.json()));
        }
    }
    let known = known.into_inner().unwrap();
    assert!(known.answered.len() > rounds(), "something was written");
    holds(app, &known);
}

fn holds(app: &App, known: &Known) {
    let (mut stored, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/organizations?limit=100{cursor}")).json();
        for one in page["items"].as_array().unwrap() {
            stored.insert(one["slug"].as_str().unwrap().to_owned(), one.clone());
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(stored.len(), known.answered.len(), "each is there once, and nothing else is");
    for (slug, answer) in &known.answered {
        assert_eq!(stored.get(slug), Some(answer), "what was answered is what is stored");
    }
    let (mut told, mut cursor, mut position) = (BTreeMap::new(), String::new(), 0);
    while told.len() < stored.len() {
        let page = app.get(&format!("/v1/events?limit=100{cursor}")).json();
        for event in page["items"].as_array().unwrap() {
            position += 1;
            assert_eq!(
                (event["position"].as_i64(), event["offset"].as_i64()),
                (Some(position), Some(1)),
                "{event}"
            );
            let twice = told.insert(event["organizationId"].as_str().unwrap().to_owned(), ());
            assert!(twice.is_none(), "an organization is told to be made once");
        }
        cursor = format!("&cursor={}", page["nextCursor"].as_str().unwrap());
    }
    assert_eq!(app.stop(), 0);
    let checked = app.command().args(["config", "check"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("all of which hold"), "{said}{}", String::from_utf8_lossy(&checked.stderr));
    // Beside those of the organizations there are the two of the keys of the installation, one of each of its schedules, and that of its projection.
    assert!(said.contains(&format!("{} audit entries", stored.len() + 2 + 4 + 1)), "{said}");
}

#[test]
fn nothing_that_was_answered_is_lost_on_sqlite() {
    survives(&App::embedded(), 11);
}

#[test]
fn nothing_that_was_answered_is_lost_on_postgresql() {
    survives(&App::cluster(), 13);
}
