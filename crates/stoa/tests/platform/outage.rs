use std::time::{Duration, Instant};

use stoa_harness::Postgres;

use crate::app::{App, database};

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
    let mut fast = Duration::MAX;
    for _ in 0..60 {
        let start = Instant::now();
        let answer = app.get("/v1/organizations/acme");
        fast = start.elapsed();
        assert_eq!((answer.status, answer.problem().as_str()), (503, "database_unavailable"));
        assert!(!answer.header("retry-after").is_empty());
    }
    assert!(fast < Duration::from_millis(10), "{fast:?}");
    server.restart();
    let took = until(&app, "/health/ready", 200, Duration::from_secs(15));
    until(&app, "/v1/organizations/acme", 200, Duration::from_secs(15));
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(app.get("/v1/organizations/acme").json(), made);
    app.organization("second");
}
