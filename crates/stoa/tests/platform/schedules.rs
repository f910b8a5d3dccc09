use serde_json::{Value, json};

use crate::app::{Answer, App, looks};
use crate::on_both;

on_both! {
    a_schedule_asks_for_jobs_by_the_clock
    a_schedule_is_changed_paused_fired_and_removed
    a_schedule_is_previewed_before_it_is_made
    what_is_wrong_with_a_schedule_is_told_at_once
    schedules_of_others_are_not_there
    schedules_of_stoa_are_seen_and_paused
}

const ACME: [(&str, &str); 1] = [("Stoa-Organization", "acme")];

fn ask(app: &App, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.with(method, path, &ACME, &body)
}

#[track_caller]
fn made(app: &App, body: &Value) -> Value {
    let answer = ask(app, "POST", "/v1/schedules", body);
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

fn path(schedule: &Value) -> String {
    format!("/v1/schedules/{}", schedule["id"].as_str().unwrap())
}

/// Looks until it is as wanted.
#[track_caller]
fn until(app: &App, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for () in looks() {
        last = ask(app, "GET", path, &Value::Null).json();
        if is_so(&last) {
            return last;
        }
    }
    panic!("{path} stays {last}");
}

fn a_schedule_asks_for_jobs_by_the_clock(app: &App) {
    let organization = app.organization("acme");
    let payload = json!({"result": {"sum": 7}});
    let schedule = made(
        app,
        &json!({"name": "beat", "kind": "probe", "everyS": 1, "payload": payload, "priority": "high"}),
    );
    assert_eq!((&schedule["organizationId"], &schedule["everyS"]), (&organization["id"], &json!(1)));
    let seen = until(app, &path(&schedule), |found| found["fired"].as_i64() >= Some(3));
    let jobs = until(app, "/v1/jobs?kind=probe&state=completed", |page| {
        page["items"].as_array().unwrap().len() >= 3
    });
    let job = &jobs["items"][0];
    assert_eq!(
        (&job["result"], &job["priority"], &job["organizationId"]),
        (&json!({"sum": 7}), &json!("high"), &organization["id"])
    );
    assert_eq!(seen["version"], 1, "a fire is no change of the schedule");
    // Nothing of it is lost or done twice when the process dies.
    app.kill();
    app.restart();
    let after = until(app, &path(&schedule), |found| found["fired"].as_i64() > seen["fired"].as_i64());
    assert_eq!(ask(app, "DELETE", &path(&schedule), &Value::Null).status, 204);
    let all = until(app, "/v1/jobs?kind=probe&limit=100", |page| {
        page["items"].as_array().unwrap().iter().all(|job| job["state"] == "completed")
    });
    let count = i64::try_from(all["items"].as_array().unwrap().len()).unwrap();
    assert!(count >= after["fired"].as_i64().unwrap(), "{count} of {after}");
    until(app, "/v1/events?type=schedule.created,schedule.removed", |page| {
        page["items"].as_array().unwrap().len() == 2
    });
}

fn a_schedule_is_changed_paused_fired_and_removed(app: &App) {
    app.organization("acme");
    let schedule = made(
        app,
        &json!({"name": "close", "kind": "probe", "cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin", "paused": true}),
    );
    let path = path(&schedule);
    assert_eq!((&schedule["nextAt"], schedule["pausedAt"].is_string()), (&Value::Null, true));
    let change = |body: &Value| ask(app, "PATCH", &path, body).json();
    let resumed = change(&json!({"paused": false}));
    assert!(resumed["nextAt"].is_string() && resumed["pausedAt"].is_null(), "{resumed}");
    let moved = change(
        &json!({"timeZone": "America/New_York", "overlap": "skip", "misfire": "catch_up", "catchUpMax": 3, "jitterS": 60}),
    );
    assert_eq!((&moved["cron"], &moved["timeZone"]), (&json!("0 9 * * MON-FRI"), &json!("America/New_York")));
    assert_eq!(
        (&moved["overlap"], &moved["misfire"], &moved["version"]),
        (&json!("skip"), &json!("catch_up"), &json!(3))
    );
    let stale = app.with("PATCH", &path, &[ACME[0], ("If-Match", "\"nothing\"")], "{\"jitterS\": 1}");
    assert_eq!(stale.problem(), "precondition_failed");
    // It fires when somebody says so; while that lasts, not again.
    assert_eq!(change(&json!({"payload": {"steps": 1000, "stepMs": 20}}))["version"], 4);
    let fired = ask(app, "POST", &format!("{path}/run"), &Value::Null);
    assert_eq!(
        (fired.status, fired.header("location")),
        (202, format!("/v1/jobs/{}", fired.json()["id"].as_str().unwrap()).as_str())
    );
    assert_eq!(ask(app, "POST", &format!("{path}/run"), &Value::Null).problem(), "wrong_state");
    let job = until(app, fired.header("location"), |job| job["state"] == "running");
    assert_eq!(
        ask(app, "POST", &format!("/v1/jobs/{}/cancel", job["id"].as_str().unwrap()), &Value::Null).status,
        204
    );
    until(app, fired.header("location"), |job| job["state"] == "cancelled");
    assert_eq!(ask(app, "POST", &format!("{path}/run"), &Value::Null).status, 202);
    let same = json!({"name": "close", "kind": "probe", "everyS": 60});
    assert_eq!(ask(app, "POST", "/v1/schedules", &same).problem(), "duplicate");
    assert_eq!(ask(app, "DELETE", &path, &Value::Null).status, 204);
    assert_eq!(ask(app, "GET", &path, &Value::Null).problem(), "schedule_not_found");
    let id = schedule["id"].as_str().unwrap();
    let audit = ask(app, "GET", &format!("/v1/audit?target={id}"), &Value::Null).json();
    let actions: Vec<&str> =
        audit["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions.first(), Some(&"schedule.deleted"), "{actions:?}");
    assert!(actions.contains(&"schedule.fired") && actions.contains(&"schedule.created"), "{actions:?}");
}

fn a_schedule_is_previewed_before_it_is_made(app: &App) {
    app.organization("acme");
    let preview = |body: &Value| ask(app, "POST", "/v1/schedules/preview", body);
    let fires = preview(&json!({"cron": "0 0 29 2 *", "timeZone": "Asia/Kathmandu"})).json();
    let fires: Vec<&str> =
        fires["fires"].as_array().unwrap().iter().map(|fire| fire.as_str().unwrap()).collect();
    assert_eq!(fires.len(), 10);
    // Midnight of the 29th in Kathmandu is 18:15 of the 28th in UTC, every fourth year.
    assert!(fires[0].ends_with("-02-28T18:15:00.000000Z") && fires[1] > fires[0], "{fires:?}");
    assert_eq!(preview(&json!({"at": "2020-01-01T00:00:00Z"})).json()["fires"], json!([]));
    let schedule = made(app, &json!({"name": "hourly", "kind": "probe", "cron": "@hourly"}));
    let own = ask(app, "GET", &format!("{}/preview", path(&schedule)), &Value::Null).json();
    assert_eq!((own["fires"].as_array().unwrap().len(), &own["fires"][0]), (10, &schedule["nextAt"]));
}

fn what_is_wrong_with_a_schedule_is_told_at_once(app: &App) {
    app.organization("acme");
    let refused = |body: Value| {
        let answer = ask(app, "POST", "/v1/schedules", &body);
        let pointers: Vec<String> = answer.json()["errors"]
            .as_array()
            .map(|errors| errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect())
            .unwrap_or_default();
        (answer.problem(), pointers.join(" "))
    };
    let is = |code: &str, pointers: &str| (code.to_owned(), pointers.to_owned());
    let named = |more: Value| {
        let mut body = json!({"name": "x", "kind": "probe"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert_eq!(
        refused(json!({"name": "No", "everyS": "x", "more": 1})),
        is("validation_failed", "/name /kind /everyS /more")
    );
    assert_eq!(refused(named(json!({}))), is("validation_failed", "/cron"));
    assert_eq!(refused(named(json!({"cron": "@daily", "everyS": 5}))), is("validation_failed", "/cron"));
    assert_eq!(refused(named(json!({"cron": "0 0 31 2 *"}))), is("validation_failed", "/cron"));
    assert_eq!(
        refused(named(json!({"cron": "@daily", "timeZone": "Berlin"}))),
        is("validation_failed", "/timeZone")
    );
    assert_eq!(refused(named(json!({"everyS": 5, "timeZone": "UTC"}))), is("validation_failed", "/timeZone"));
    assert_eq!(refused(named(json!({"everyS": 0}))), is("validation_failed", "/everyS"));
    let many = json!({"everyS": 5, "catchUpMax": 0, "jitterS": 86_401, "payload": {"steps": -1}});
    assert_eq!(refused(named(many)), is("validation_failed", "/catchUpMax /jitterS /payload"));
    assert_eq!(refused(json!({"name": "x", "kind": "mail.send", "everyS": 5})).0, "job_kind_unknown");
    let unknown = ask(app, "GET", "/v1/schedules/job_0000000000001", &Value::Null);
    assert_eq!(unknown.problem(), "invalid_id");
}

fn schedules_of_others_are_not_there(app: &App) {
    app.organization("acme");
    app.organization("other");
    let schedule = made(app, &json!({"name": "mine", "kind": "probe", "cron": "@yearly"}));
    let elsewhere = [("Stoa-Organization", "other")];
    for (method, suffix) in [("GET", ""), ("DELETE", ""), ("GET", "/preview"), ("POST", "/run")] {
        let answer = app.with(method, &format!("{}{suffix}", path(&schedule)), &elsewhere, "");
        assert_eq!(answer.problem(), "schedule_not_found", "{method} {suffix}");
    }
    assert_eq!(app.with("GET", "/v1/schedules", &elsewhere, "").json()["items"], json!([]));
    // Both may call one alike.
    let same =
        app.with("POST", "/v1/schedules", &elsewhere, r#"{"name":"mine","kind":"probe","everyS":3600}"#);
    assert_eq!(same.status, 201, "{}", same.text);
}

fn schedules_of_stoa_are_seen_and_paused(app: &App) {
    let mut own = Vec::new();
    for () in looks() {
        let page = app.get("/v1/schedules?count=true");
        own = page.json()["items"].as_array().unwrap_or_else(|| panic!("{}", page.text)).clone();
        if own.iter().filter(|one| one["fired"].as_i64() >= Some(1)).count() >= 3 {
            break;
        }
    }
    let named = |name: &str| own.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{own:?}"));
    for (name, kind) in [
        ("janitor", "janitor.clean"),
        ("dead-letters", "dead_letters.watch"),
        ("signing-keys", "signing_keys.rotate"),
    ] {
        let one = named(name);
        assert_eq!(
            (&one["kind"], &one["isOwn"], &one["organizationId"]),
            (&json!(kind), &json!(true), &Value::Null)
        );
        assert!(one["lastJobId"].is_string(), "{one}");
    }
    let path = path(named("janitor"));
    let paused = app.with("PATCH", &path, &[], r#"{"paused": true}"#).json();
    assert!(paused["pausedAt"].is_string() && paused["nextAt"].is_null(), "{paused}");
    assert_eq!(app.with("PATCH", &path, &[], r#"{"everyS": 5}"#).problem(), "forbidden");
    assert_eq!(app.with("DELETE", &path, &[], "").problem(), "forbidden");
    app.kill();
    app.restart();
    assert!(app.get(&path).json()["pausedAt"].is_string(), "whoever leads next leaves it paused");
}
