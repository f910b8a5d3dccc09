use serde_json::{Value, json};
use stoa_harness::{Collector, Postgres};

use crate::app::{App, database, looks};

/// Every span of a report.
fn spans(body: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(body).unwrap();
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    list(&report, "resourceSpans")
        .iter()
        .flat_map(|resource| list(resource, "scopeSpans"))
        .flat_map(|scope| list(&scope, "spans"))
        .collect()
}

fn one_trace_runs_through_everything(app: &App, collector: &Collector) {
    let (trace, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let header = format!("00-{trace}-{caller}-01");
    let made = app.with(
        "POST",
        "/v1/organizations",
        &[("traceparent", &header)],
        r#"{"slug":"traced","name":"canary-name","contactEmail":"canary@example.org"}"#,
    );
    assert_eq!(made.status, 201, "{}", made.text);
    let (path, body) = collector
        .wait_for(|_, body| body.contains("POST /v1/organizations") && body.contains("store.commit"));
    assert_eq!(path, "/v1/traces");
    let spans: Vec<Value> = spans(&body).into_iter().filter(|span| span["traceId"] == trace).collect();
    let named = |name: &str| {
        spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no span {name}: {body}"))
    };
    let (server, commit) = (named("POST /v1/organizations"), named("store.commit"));
    assert_eq!(server["parentSpanId"], caller);
    assert_eq!(commit["parentSpanId"], server["spanId"]);
    assert_eq!((&server["kind"], &commit["kind"]), (&json!(2), &json!(3)), "server and client");
    assert!(!body.contains("canary"), "no payloads in spans");
    let own = made.header("traceparent");
    assert_eq!(own, format!("00-{trace}-{}-01", server["spanId"].as_str().unwrap()));
    // What was committed says which trace it was part of.
    let mut told = Value::Null;
    for () in looks() {
        told = app.get("/v1/events?type=organization.created").json()["items"][0].clone();
        if told.is_object() {
            break;
        }
    }
    assert_eq!(told["traceparent"], own);
    let lines = app.log();
    let about_it = |line: &&str| line.contains("\"route\":\"/v1/organizations\"");
    let line = lines.lines().find(about_it).unwrap();
    assert!(line.contains(trace) && line.contains(made.header("x-request-id")), "{line}");
}

#[test]
fn one_trace_runs_through_everything_on_sqlite() {
    let collector = Collector::start();
    let app = App::with_settings(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    one_trace_runs_through_everything(&app, &collector);
}

#[test]
fn one_trace_runs_through_everything_on_postgresql() {
    let collector = Collector::start();
    let database = database(&Postgres::shared());
    let app = App::with_settings(Some(database), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    one_trace_runs_through_everything(&app, &collector);
}

const REPORT: &str =
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a click of ada@example.org"}]}]}]}"#;

#[test]
fn what_clients_report_is_passed_on_without_what_is_personal() {
    let collector = Collector::start();
    let app = App::with_settings(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let answer = app.post("/v1/telemetry/traces", REPORT);
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    let (path, body) = collector.wait_for(|_, body| body.contains("a click of"));
    assert!(path == "/v1/traces" && !body.contains("ada@"), "{path} {body}");
    for (signal, list) in [("metrics", "resourceMetrics"), ("logs", "resourceLogs")] {
        let body = format!(r#"{{"{list}":[]}}"#);
        assert_eq!(app.post(&format!("/v1/telemetry/{signal}"), &body).status, 200);
        collector.wait_for(|path, _| path == format!("/v1/{signal}"));
    }
    assert_eq!(app.post("/v1/telemetry/logs", REPORT).problem(), "validation_failed");
    assert_eq!(app.post("/v1/telemetry/nothing", REPORT).problem(), "not_found");
    assert_eq!(app.post("/v1/telemetry/traces", "[]").problem(), "body_malformed");
    assert_eq!(app.with("POST", "/v1/telemetry/traces", &[("Authorization", "")], REPORT).status, 401);
}

#[test]
fn without_a_collector_the_answer_says_so_and_one_that_is_away_is_told() {
    let app = App::embedded();
    let answer = app.post("/v1/telemetry/traces", REPORT);
    assert!(answer.status == 200 && answer.text.contains("no collector is configured"), "{}", answer.text);
    let away = App::with_settings(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]);
    assert_eq!(away.post("/v1/telemetry/traces", REPORT).problem(), "collector_unavailable");
    away.organization("acme");
}
