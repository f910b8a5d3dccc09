use serde_json::{Value, json};

use crate::app::{Answer, App, looks};
use crate::on_both;

on_both! {
    a_run_takes_its_steps_waits_asks_and_ends
    a_run_that_fails_undoes_what_it_did
    a_run_that_cannot_undo_stops_and_says_so
    a_run_goes_on_after_a_failure_or_is_forked
    a_run_is_cancelled_while_it_waits
    a_step_that_waits_too_long_goes_on_without
    a_live_run_with_the_same_key_is_answered
    what_is_wrong_with_a_run_is_told_and_others_runs_are_not_there
    no_step_is_lost_or_done_twice_when_the_process_is_killed
}

const ACME: [(&str, &str); 1] = [("Stoa-Organization", "acme")];

fn ask(app: &App, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.with(method, path, &ACME, &body)
}

/// Starts a probe; its address.
#[track_caller]
fn start(app: &App, input: impl Into<Value>) -> String {
    let input: Value = input.into();
    let answer = ask(app, "POST", "/v1/runs", &json!({"workflow": "probe", "input": input}));
    assert_eq!(answer.status, 202, "{}", answer.text);
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("/v1/runs/{}", answer.json()["id"].as_str().unwrap()));
    path
}

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

#[track_caller]
fn until_state(app: &App, path: &str, state: &str) -> Value {
    until(app, path, |run| run["state"] == state)
}

fn step<'r>(run: &'r Value, name: &str) -> &'r Value {
    run["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap_or(&Value::Null)
}

/// How often something is entered in the audit trail about a run.
fn noted(app: &App, path: &str, action: &str) -> usize {
    let id = path.trim_start_matches("/v1/runs/");
    let page =
        ask(app, "GET", &format!("/v1/audit?limit=100&target={id}&action={action}"), &Value::Null).json();
    page["items"].as_array().unwrap().len()
}

fn a_run_takes_its_steps_waits_asks_and_ends(app: &App) {
    let organization = app.organization("acme");
    let path = start(
        app,
        json!({"steps": 2, "failAt": 2, "fail": "once", "waitMs": 50, "approval": true, "child": {"steps": 1}}),
    );
    let waiting = until(app, &path, |run| step(run, "approval")["state"] == "running");
    assert_eq!((&waiting["state"], &waiting["organizationId"]), (&json!("running"), &organization["id"]));
    assert_eq!(
        (&step(&waiting, "step-2")["attempts"], &step(&waiting, "wait")["state"]),
        (&json!(2), &json!("completed"))
    );
    let told =
        ask(app, "POST", &format!("{path}/signals"), &json!({"name": "approve", "payload": {"by": "Ada"}}));
    assert_eq!(told.status, 204, "{}", told.text);
    let done = until_state(app, &path, "completed");
    assert_eq!(step(&done, "approval")["output"], json!({"signal": {"by": "Ada"}}));
    let child = format!("/v1/runs/{}", step(&done, "child")["childRunId"].as_str().unwrap());
    let child = ask(app, "GET", &child, &Value::Null).json();
    assert_eq!(
        (&child["state"], &child["parentRunId"], &child["output"]),
        (&json!("completed"), &done["id"], &done["output"])
    );
    let order: Vec<&str> =
        done["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(order, ["step-1", "step-2", "wait", "approval", "child"]);
    assert_eq!(noted(app, &path, "run.stepped"), 2);
    // A signal that comes before anybody waits for it is kept for whoever will.
    let early = start(app, json!({"steps": 1, "stepMs": 300, "approval": true}));
    assert_eq!(ask(app, "POST", &format!("{early}/signals"), &json!({"name": "approve"})).status, 204);
    assert_eq!(until_state(app, &early, "completed")["output"], json!({"signal": null}));
    until(app, "/v1/events?type=run.started", |page| page["items"].as_array().unwrap().len() == 3);
    until(app, "/v1/events?type=run.ended", |page| page["items"].as_array().unwrap().len() == 3);
}

fn a_run_that_fails_undoes_what_it_did(app: &App) {
    app.organization("acme");
    let path = start(app, json!({"steps": 4, "failAt": 3, "fail": "always"}));
    let failed = until_state(app, &path, "failed");
    assert_eq!(failed["error"], "step step-3: failed: it was told to fail");
    let states: Vec<&str> =
        failed["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["undone", "undone", "failed"]);
    assert_eq!(step(&failed, "step-3")["attempts"], 3);
    assert_eq!((noted(app, &path, "run.stepped"), noted(app, &path, "run.unstepped")), (2, 2));
    // Where everything is undone, there is nothing to try again; a fork does it anew.
    assert_eq!(ask(app, "POST", &format!("{path}/retry"), &Value::Null).problem(), "wrong_state");
}

fn a_run_that_cannot_undo_stops_and_says_so(app: &App) {
    app.organization("acme");
    let path = start(app, json!({"steps": 3, "failAt": 3, "fail": "always", "undo": "impossible"}));
    let stopped = until_state(app, &path, "stopped");
    assert!(
        stopped["error"].as_str().unwrap().ends_with("step step-1 is done, and cannot be undone"),
        "{stopped}"
    );
    assert_eq!(
        (&step(&stopped, "step-1")["state"], &step(&stopped, "step-2")["state"]),
        (&json!("completed"), &json!("undone"))
    );
    assert_eq!(stopped["expiresAt"], Value::Null, "it stays until somebody has looked at it");
    let fails = start(app, json!({"steps": 2, "failAt": 2, "fail": "always", "undo": "fails"}));
    let stopped = until_state(app, &fails, "stopped");
    assert_eq!(step(&stopped, "step-1")["state"], "undo_failed");
    until(app, "/v1/events?type=run.stopped", |page| page["items"].as_array().unwrap().len() == 2);
    // It can be told to try again, with what it was told before.
    assert_eq!(ask(app, "POST", &format!("{fails}/retry"), &Value::Null).status, 204);
    let again =
        until(app, &fails, |run| run["version"].as_i64() > Some(stopped["version"].as_i64().unwrap() + 1));
    assert_eq!(again["state"], "stopped");
}

fn a_run_goes_on_after_a_failure_or_is_forked(app: &App) {
    app.organization("acme");
    let path = start(app, json!({"steps": 1, "failAt": 1, "fail": "always"}));
    let failed = until_state(app, &path, "failed");
    assert_eq!(step(&failed, "step-1")["attempts"], 3);
    assert_eq!(ask(app, "POST", &format!("{path}/retry"), &Value::Null).status, 204);
    let again = until(app, &path, |run| run["state"] == "failed" && run["version"] != failed["version"]);
    assert_eq!(step(&again, "step-1")["state"], "failed");
    let done = start(app, json!({"steps": 3}));
    let done_run = until_state(app, &done, "completed");
    let wrong = ask(app, "POST", &format!("{done}/fork"), &json!({"step": "step-9"}));
    assert_eq!(
        (wrong.problem(), &wrong.json()["errors"][0]["pointer"]),
        ("validation_failed".to_owned(), &json!("/step"))
    );
    let fork = ask(app, "POST", &format!("{done}/fork"), &json!({"step": "step-3"}));
    assert_eq!((fork.status, &fork.json()["forkedFrom"]), (202, &done_run["id"]), "{}", fork.text);
    let forked = until_state(app, fork.header("location"), "completed");
    assert_eq!(step(&forked, "step-1"), step(&done_run, "step-1"), "what was done is not done again");
    assert_eq!(noted(app, fork.header("location"), "run.stepped"), 1);
    assert_eq!(ask(app, "POST", &format!("{done}/retry"), &Value::Null).problem(), "wrong_state");
}

fn a_run_is_cancelled_while_it_waits(app: &App) {
    app.organization("acme");
    let path = start(app, json!({"steps": 2, "approval": true}));
    until(app, &path, |run| step(run, "approval")["state"] == "running");
    assert_eq!(ask(app, "POST", &format!("{path}/cancel"), &Value::Null).status, 204);
    let cancelled = until_state(app, &path, "cancelled");
    let states: Vec<&str> =
        cancelled["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["undone", "undone", "cancelled"]);
    assert_eq!(ask(app, "POST", &format!("{path}/cancel"), &Value::Null).problem(), "wrong_state");
    assert_eq!(
        ask(app, "POST", &format!("{path}/signals"), &json!({"name": "approve"})).problem(),
        "wrong_state"
    );
    // A child is cancelled with its parent.
    let parent = start(app, json!({"child": {"approval": true}}));
    let running = until(app, &parent, |run| step(run, "child")["childRunId"].is_string());
    let child = format!("/v1/runs/{}", step(&running, "child")["childRunId"].as_str().unwrap());
    until(app, &child, |run| step(run, "approval")["state"] == "running");
    assert_eq!(ask(app, "POST", &format!("{parent}/cancel"), &Value::Null).status, 204);
    until_state(app, &child, "cancelled");
    until_state(app, &parent, "cancelled");
}

fn a_step_that_waits_too_long_goes_on_without(app: &App) {
    app.organization("acme");
    let path = start(app, json!({"approval": true, "approvalMs": 50}));
    assert_eq!(until_state(app, &path, "completed")["output"], json!({"timedOut": true}));
}

fn a_live_run_with_the_same_key_is_answered(app: &App) {
    app.organization("acme");
    let body = json!({"workflow": "probe", "key": "month", "input": {"approval": true}});
    let first = ask(app, "POST", "/v1/runs", &body);
    let second = ask(app, "POST", "/v1/runs", &body);
    assert_eq!((first.status, second.status, &first.json()["id"]), (202, 200, &second.json()["id"]));
    let path = first.header("location");
    assert_eq!(ask(app, "POST", &format!("{path}/signals"), &json!({"name": "approve"})).status, 204);
    until_state(app, path, "completed");
    assert_eq!(ask(app, "POST", "/v1/runs", &body).status, 202, "when it has ended, another one begins");
}

fn what_is_wrong_with_a_run_is_told_and_others_runs_are_not_there(app: &App) {
    app.organization("acme");
    app.organization("other");
    let workflows = ask(app, "GET", "/v1/workflows", &Value::Null).json();
    let named = |name: &str| {
        workflows["items"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&named("probe")["isOpen"], &named("organization.purge")["isOpen"]),
        (&json!(true), &json!(false))
    );
    let refused = |body: Value| ask(app, "POST", "/v1/runs", &body);
    assert_eq!(refused(json!({"workflow": "organization.purge", "input": {}})).problem(), "workflow_unknown");
    let wrong = refused(json!({"workflow": "probe", "input": {"steps": 101}, "key": ""}));
    assert_eq!(wrong.problem(), "validation_failed");
    let wrong = wrong.json();
    let pointers: Vec<&Value> =
        wrong["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/input", "/key"]);
    let path = start(app, json!({"approval": true}));
    let elsewhere = [("Stoa-Organization", "other")];
    for (method, suffix, body) in
        [("GET", "", ""), ("POST", "/cancel", ""), ("POST", "/signals", r#"{"name":"approve"}"#)]
    {
        let answer = app.with(method, &format!("{path}{suffix}"), &elsewhere, body);
        assert_eq!(answer.problem(), "run_not_found", "{method} {suffix}");
    }
    assert_eq!(app.with("GET", "/v1/runs", &elsewhere, "").json()["items"], json!([]));
    let listed = ask(app, "GET", "/v1/runs?state=running&workflow=probe&count=true", &Value::Null).json();
    assert_eq!(listed["total"], 1);
    assert_eq!(ask(app, "GET", "/v1/runs?state=lost", &Value::Null).problem(), "invalid_parameter");
}

fn no_step_is_lost_or_done_twice_when_the_process_is_killed(app: &App) {
    app.organization("acme");
    let paths: Vec<String> =
        (0..4).map(|_| start(app, json!({"steps": 8, "stepMs": 40, "waitMs": 20}))).collect();
    for round in 1..=3 {
        until(app, &paths[0], |run| run["steps"].as_array().unwrap().len() >= round * 2);
        app.kill();
        app.restart();
        // Others find what the killed one held when its leases end; on one machine the next process does at once.
        if let Some(database) = &app.database {
            database.sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'");
        }
    }
    for path in &paths {
        let done = until_state(app, path, "completed");
        assert_eq!(done["steps"].as_array().unwrap().len(), 9);
        assert_eq!(noted(app, path, "run.stepped"), 8, "each step once");
    }
}
