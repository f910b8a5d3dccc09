use std::time::{Duration, Instant};

use stoa_harness::{FaultProxy, Nats, Postgres, Redis};

use crate::app::{Answer, App, database, looks};

/// Asks until the answer is as wanted; how long that took.
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn until(app: &App, path: &str, wanted: u16, within: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let status = app.ask("GET", path, &[], "").map(|answer| answer.status).unwrap_or(0);
        if status == wanted {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "{path} still answers {status}");
    }
}

/// A machine that has something else to do makes one of them slow; not the half.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn losing_the_database_refuses_fast_and_recovers_by_itself() {
    let server = std::sync::Arc::new(Postgres::start(true));
    let app = App::on(database(&server));
    let made = app.organization("acme");
    server.kill();
    until(&app, "/health/ready", 503, Duration::from_secs(10));
    assert_eq!(app.get("/health/live").status, 200);
    // The breaker opens after some failures; from then on refusing takes no time.
    let mut times = Vec::new();
    for _ in 0..60 {
        let start = Instant::now();
        let answer = app.get("/v1/organizations/acme");
        times.push(start.elapsed());
        assert_eq!((answer.status, answer.problem().as_str()), (503, "database_unavailable"));
        assert!(!answer.header("retry-after").is_empty());
    }
    assert!(median(&mut times[30..]) < Duration::from_millis(10), "an open breaker takes no time: {times:?}");
    server.restart();
    let took = until(&app, "/health/ready", 200, Duration::from_secs(15));
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Ready means that nobody is refused any more.
    assert_eq!(app.get("/v1/organizations/acme").json(), made);
    app.organization("second");
}

/// How a check of `/health` stands: `None` when there is no such check.
fn check(app: &App, name: &str) -> Option<bool> {
    let health = app.get("/health").json();
    let found = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == name)?.clone();
    found["ok"].as_bool()
}

/// Asks until a check stands as wanted; how long that took.
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
pub(crate) fn until_check(app: &App, name: &str, wanted: bool) -> Duration {
    let start = Instant::now();
    while check(app, name) != Some(wanted) {
        assert!(start.elapsed() < Duration::from_secs(15), "{name} is still not {wanted}");
    }
    start.elapsed()
}

fn remaining(answer: &Answer) -> i64 {
    answer.header("x-ratelimit-remaining").parse().unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn losing_redis_degrades_and_limits_go_on_in_the_process() {
    let redis = Redis::start();
    let proxy = FaultProxy::before(redis.port());
    let url = format!("redis://127.0.0.1:{}/", proxy.port());
    let settings =
        [("REDIS_URL", url.as_str()), ("STOA_LIMITS__BURST", "100000"), ("STOA_LIMITS__PER_SECOND", "1")];
    let server = Postgres::shared();
    let (one, other) = (
        App::with_settings(Some(database(&server)), &settings),
        App::with_settings(Some(database(&server)), &settings),
    );
    // Both processes count together.
    let first = remaining(&one.get("/v1/event-types"));
    for app in [&one, &other, &one] {
        app.get("/v1/event-types");
    }
    let counted = first - remaining(&other.get("/v1/event-types"));
    assert!((3..=4).contains(&counted), "{counted}");
    assert_eq!(check(&one, "cache"), Some(true));
    proxy.cut();
    until_check(&one, "cache", false);
    assert_eq!(one.get("/health/ready").status, 200, "it can be done without");
    let mut times = Vec::new();
    for number in 0..60 {
        let start = Instant::now();
        let answer = one.get("/v1/event-types");
        if number >= 40 {
            times.push(start.elapsed());
        }
        assert_eq!(answer.status, 200, "ordinary requests go on");
        assert!(remaining(&answer) >= 99_900, "the process counts by itself: {}", remaining(&answer));
    }
    assert!(median(&mut times) < Duration::from_millis(10), "an open breaker takes no time: {times:?}");
    proxy.heal();
    let took = until_check(&one, "cache", true);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // The breaker lets probes through again, and all processes count together.
    let start = Instant::now();
    while remaining(&one.get("/v1/event-types")) > 99_990 {
        assert!(start.elapsed() < Duration::from_secs(5), "the shared count is not used again");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn a_stalled_redis_costs_a_request_a_quarter_of_a_second_at_most() {
    let redis = Redis::start();
    let proxy = FaultProxy::before(redis.port());
    let url = format!("redis://127.0.0.1:{}/", proxy.port());
    let app = App::with_settings(None, &[("REDIS_URL", &url)]);
    assert_eq!(app.get("/v1/event-types").status, 200);
    proxy.stall();
    for _ in 0..30 {
        let start = Instant::now();
        assert_eq!(app.get("/v1/event-types").status, 200);
        assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    }
    assert_eq!(check(&app, "cache"), Some(false));
}

#[test]
fn redis_and_nats_that_are_away_from_the_start_are_found_when_they_come() {
    let (redis_port, nats_port) = (stoa_harness::free_port(), stoa_harness::free_port());
    let (redis_url, nats_url) =
        (format!("redis://127.0.0.1:{redis_port}/"), format!("nats://127.0.0.1:{nats_port}"));
    let app = App::with_settings(
        Some(database(&Postgres::shared())),
        &[("REDIS_URL", &redis_url), ("NATS_URL", &nats_url)],
    );
    assert_eq!((check(&app, "cache"), check(&app, "bus")), (Some(false), Some(false)));
    app.organization("acme");
    let _servers = (Redis::at(redis_port), Nats::at(nats_port));
    assert!(until_check(&app, "cache", true) < Duration::from_secs(5));
    assert!(until_check(&app, "bus", true) < Duration::from_secs(5));
    let wrong = app.command().env("REDIS_URL", "here").arg("serve").output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("config_invalid") && said.contains("redis.url"), "{said}");
}

#[test]
fn losing_nats_degrades_and_nothing_is_lost() {
    let mut nats = Nats::start();
    let database = database(&Postgres::shared());
    let url = nats.url();
    // Without notifications of the database, the bus alone wakes.
    let settings = [("NATS_URL", url.as_str()), ("STOA_DATABASE__NOTIFICATIONS", "false")];
    let app = App::with_settings(Some(database), &settings);
    until_check(&app, "bus", true);
    app.organization("before");
    let port = nats.port();
    nats.kill();
    until_check(&app, "bus", false);
    assert_eq!(app.get("/health/ready").status, 200, "it can be done without");
    app.organization("during");
    let _again = Nats::at(port);
    let took = until_check(&app, "bus", true);
    assert!(took < Duration::from_secs(5), "{took:?}");
    app.organization("after");
    let mut told = 0;
    for () in looks() {
        told = app.get("/v1/events?type=organization.created").json()["items"].as_array().unwrap().len();
        if told == 3 {
            break;
        }
    }
    assert_eq!(told, 3, "every event is told");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn through_nats_one_process_wakes_another() {
    let nats = Nats::start();
    let url = nats.url();
    // Without notifications of the database, followers look once a second; the bus alone is faster.
    let settings = [("NATS_URL", url.as_str()), ("STOA_DATABASE__NOTIFICATIONS", "false")];
    let one = App::with_settings(Some(database(&Postgres::shared())), &settings);
    let other = one.beside();
    until_check(&one, "bus", true);
    until_check(&other, "bus", true);
    let first = one.organization("o0")["id"].as_str().unwrap().to_owned();
    let mut follower = crate::events::Follower::start(&other, None);
    let mut waits = Vec::new();
    for number in 0..9 {
        let verb = if number % 2 == 0 { "suspend" } else { "resume" };
        let start = Instant::now();
        assert_eq!(one.post(&format!("/v1/organizations/{first}/{verb}"), "").status, 200);
        while !follower.next().1.starts_with("organization.") {}
        waits.push(start.elapsed());
    }
    waits.sort();
    assert!(waits[4] < Duration::from_millis(150), "half of them are heard of at once: {waits:?}");
}

#[test]
fn a_configuration_is_tried_with_everything_that_it_names() {
    let (redis, nats, collector) = (Redis::start(), Nats::start(), stoa_harness::Collector::start());
    let check = |redis_url: &str, nats_url: &str| {
        let app = App::in_folder(tempfile::TempDir::new().unwrap());
        let mut command = app.command();
        command.env("REDIS_URL", redis_url).env("NATS_URL", nats_url);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
        let output = command.args(["config", "check"]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (exit, said) = check(&redis.url(), &nats.url());
    assert_eq!(exit, Some(0), "{said}");
    for name in ["cache: it answers", "bus: it answers", "collector: it answers"] {
        assert!(said.contains(name), "{said}");
    }
    let (exit, said) = check("redis://127.0.0.1:1/", &nats.url());
    assert!(exit == Some(2) && said.contains("redis.url"), "{said}");
    let (exit, said) = check(&redis.url(), "nats://127.0.0.1:1");
    assert!(exit == Some(2) && said.contains("nats.url"), "{said}");
}
