//! Several processes of one installation, some of which die.

use std::collections::HashSet;

use serde_json::{Value, json};
use stoa_harness::Postgres;

use crate::app::{App, database, looks};

const ACME: [(&str, &str); 1] = [("Stoa-Organization", "acme")];

fn get(app: &App, path: &str) -> Value {
    let answer = app.with("GET", path, &ACME, "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn post(app: &App, path: &str, body: &Value) -> Value {
    let answer = app.with("POST", path, &ACME, &body.to_string());
    assert!(answer.status < 300, "{path}: {}", answer.text);
    answer.json()
}

#[track_caller]
fn until(app: &App, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for () in looks() {
        last = get(app, path);
        if is_so(&last) {
            return last;
        }
    }
    panic!("{path} stays {last}");
}

/// Two schedulers and two workers on one database (each also answers); one of each dies. Leases end at once here, as they do in their time.
#[test]
fn schedules_runs_and_jobs_go_on_when_a_scheduler_and_a_worker_die() {
    let api = App::with_settings(Some(database(&Postgres::shared())), &[("MODE", "api")]);
    let schedulers =
        [api.beside_with(&[("MODE", "scheduler,api")]), api.beside_with(&[("MODE", "scheduler,api")])];
    let workers = [api.beside_with(&[("MODE", "worker,api")]), api.beside_with(&[("MODE", "worker,api")])];
    api.organization("acme");
    let beat = post(
        &api,
        "/v1/schedules",
        &json!({"name": "beat", "kind": "probe", "everyS": 1, "misfire": "catch_up", "catchUpMax": 100}),
    );
    let beat = format!("/v1/schedules/{}", beat["id"].as_str().unwrap());
    let runs: Vec<String> = (0..4)
        .map(|_| post(&api, "/v1/runs", &json!({"workflow": "probe", "input": {"steps": 20, "stepMs": 50}})))
        .map(|run| format!("/v1/runs/{}", run["id"].as_str().unwrap()))
        .collect();
    until(&api, &beat, |found| found["fired"].as_i64() >= Some(2));
    for dying in [&schedulers[0], &workers[0]] {
        dying.kill();
    }
    let database = api.database.as_ref().unwrap();
    database.sql("UPDATE leases SET expires_at = 0");
    database.sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'");
    let before = get(&api, &beat)["fired"].as_i64().unwrap();
    until(&api, &beat, |found| found["fired"].as_i64() >= Some(before + 3));
    for run in &runs {
        let done = until(&api, run, |run| run["state"] == "completed");
        assert_eq!(done["steps"].as_array().unwrap().len(), 20);
        let id = run.trim_start_matches("/v1/runs/");
        let noted = get(&api, &format!("/v1/audit?limit=100&target={id}&action=run.stepped"));
        assert_eq!(noted["items"].as_array().unwrap().len(), 20, "each step once");
    }
    // As many jobs as instants that fired, and no instant twice.
    let stopped = api.with("PATCH", &beat, &ACME, r#"{"paused": true}"#).json();
    assert!(stopped["pausedAt"].is_string(), "{stopped}");
    let fired = get(&api, &beat)["fired"].as_i64().unwrap();
    let jobs = until(&api, "/v1/jobs?kind=probe&limit=100", |page| {
        page["items"].as_array().unwrap().iter().all(|job| job["state"] == "completed")
    });
    let jobs = jobs["items"].as_array().unwrap().clone();
    let ids: HashSet<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!((i64::try_from(jobs.len()).unwrap(), ids.len()), (fired, jobs.len()));
}

/// What the log tells is taken by consumers on the one process, then on the other.
#[test]
fn consumers_go_on_when_the_process_that_led_them_dies() {
    let first = App::with_settings(Some(database(&Postgres::shared())), &[]);
    let owner = first.owner();
    let ada = first.invited(&owner, "ada@example.org", "member");
    let second = first.beside();
    first.kill();
    second.database.as_ref().unwrap().sql("UPDATE leases SET expires_at = 0");
    let members = second.as_person(&owner, "GET", "/v1/members?limit=100", &Value::Null).json();
    let member =
        members["items"].as_array().unwrap().iter().find(|one| one["userId"] == ada.user.as_str()).unwrap();
    let path = format!("/v1/members/{}", member["id"].as_str().unwrap());
    assert_eq!(second.as_person(&owner, "PATCH", &path, &json!({"role": "developer"})).status, 200);
    let told = || second.as_person(&ada, "GET", "/v1/notifications", &Value::Null).json();
    let is_told = looks()
        .any(|()| told()["items"].as_array().unwrap().iter().any(|one| one["template"] == "role_changed"));
    assert!(is_told, "{}", told());
    // So is a projection, which has each event once.
    let path = "/v1/events/activity?type=member.updated";
    let counted = || second.as_person(&owner, "GET", path, &Value::Null).json();
    assert!(looks().any(|()| counted()["items"][0]["events"] == 1), "{}", counted());
}
