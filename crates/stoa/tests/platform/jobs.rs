use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stoa_harness::Postgres;

use crate::app::{Answer, App, database, looks};
use crate::on_both;

on_both! {
    a_job_is_asked_for_followed_and_done
    a_job_that_fails_is_tried_again_and_then_is_a_dead_letter
    dead_letters_are_taken_back_and_discarded_by_the_dozen
    jobs_are_cancelled_while_they_wait_and_while_they_run
    a_queue_is_paused_limited_and_drained
    a_live_job_with_the_same_key_is_answered
    a_batch_is_counted_and_awaited
    a_mailbox_keeps_its_order
    jobs_of_a_suspended_organization_wait
    jobs_of_others_are_not_there
    wrong_jobs_are_told_everything_that_is_wrong
    jobs_are_listed_newest_first_wherever_they_stand
    what_only_stoa_asks_for_is_shown_to_nobody
    what_stoa_relies_on_is_not_cancelled
    nothing_is_lost_when_the_process_is_killed
}

const ACME: [(&str, &str); 1] = [("Stoa-Organization", "acme")];

fn ask(app: &App, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.with(method, path, &ACME, &body)
}

fn get(app: &App, path: &str) -> Value {
    let answer = ask(app, "GET", path, &Value::Null);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

/// Asks for a job; its address.
#[track_caller]
fn submit(app: &App, body: &Value) -> String {
    let answer = ask(app, "POST", "/v1/jobs", body);
    assert_eq!(answer.status, 202, "{}", answer.text);
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("/v1/jobs/{}", answer.json()["id"].as_str().unwrap()));
    path
}

fn probe(payload: &Value) -> Value {
    json!({"kind": "probe", "payload": payload})
}

/// Looks until it is as wanted.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a job takes the time that it takes")]
fn until(app: &App, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let found = get(app, path);
        if is_so(&found) {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{path} stays {found}");
    }
}

#[track_caller]
fn until_state(app: &App, path: &str, state: &str) -> Value {
    until(app, path, |job| job["state"] == state)
}

fn a_job_is_asked_for_followed_and_done(app: &App) {
    let organization = app.organization("acme");
    let path = submit(app, &probe(&json!({"steps": 20, "stepMs": 100, "result": {"sum": 7}})));
    let stream = ask(app, "GET", &format!("{path}/stream"), &Value::Null);
    assert_eq!((stream.status, stream.header("content-type")), (200, "text/event-stream"));
    let told: Vec<Value> = stream
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data.trim()).unwrap())
        .collect();
    let percents: Vec<i64> = told.iter().map(|job| job["progress"]["percent"].as_i64().unwrap()).collect();
    assert!(
        percents.is_sorted() && percents.iter().any(|percent| (1..100).contains(percent)),
        "{percents:?}"
    );
    let last = told.last().unwrap();
    assert_eq!((&last["state"], &last["result"]), (&json!("completed"), &json!({"sum": 7})));
    let done = get(app, &path);
    assert_eq!(done, *last, "the stream ends with how it ended");
    assert_eq!((&done["organizationId"], &done["attempts"]), (&organization["id"], &json!(1)));
    assert_eq!((&done["payload"], &done["progress"]["percent"]), (&json!(null), &json!(100)));
    let kinds = get(app, "/v1/job-kinds");
    let own = kinds["items"].as_array().unwrap().iter().find(|kind| kind["name"] == "probe").unwrap();
    assert_eq!((&own["isOpen"], &own["payloadSchema"]["type"]), (&json!(true), &json!("object")));
    // The same request twice is one job.
    let key = [ACME[0], ("Idempotency-Key", "once")];
    let again = || app.with("POST", "/v1/jobs", &key, &probe(&json!({})).to_string());
    let (first, second) = (again(), again());
    assert_eq!(
        (first.text.as_str(), first.header("location")),
        (second.text.as_str(), second.header("location"))
    );
    assert_eq!(second.header("idempotent-replayed"), "true");
}

fn a_job_that_fails_is_tried_again_and_then_is_a_dead_letter(app: &App) {
    app.organization("acme");
    let once = submit(app, &probe(&json!({"fail": "once"})));
    let done = until_state(app, &once, "completed");
    assert_eq!((&done["attempts"], &done["errors"][0]["code"]), (&json!(2), &json!("failed")));
    let always = submit(app, &probe(&json!({"fail": "always"})));
    let dead = until_state(app, &always, "failed");
    assert_eq!((&dead["reason"], &dead["attempts"]), (&json!("attempts_exhausted"), &json!(3)));
    let tried: Vec<&Value> =
        dead["errors"].as_array().unwrap().iter().map(|error| &error["attempt"]).collect();
    assert_eq!(tried, [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(dead["payload"], json!({"fail": "always"}), "what it was to do can be looked at");
    for (fail, reason, attempts) in [("for_good", "refused", 1), ("panic", "attempts_exhausted", 3)] {
        let dead = until_state(app, &submit(app, &probe(&json!({"fail": fail}))), "failed");
        assert_eq!((&dead["reason"], &dead["attempts"]), (&json!(reason), &json!(attempts)));
    }
    // The log tells of it, and that nobody takes a probe back by itself.
    let told = until(app, "/v1/events?type=job.dead_lettered,job.dead_letter_alert&limit=100", |page| {
        page["items"].as_array().unwrap().len() == 6
    });
    assert!(told["items"].as_array().unwrap().iter().any(|event| event["payload"]["jobId"] == dead["id"]));
    let wrong = ask(app, "POST", &format!("{always}/replay"), &json!({"payload": {"fail": "sometimes"}}));
    assert_eq!(
        (wrong.problem(), &wrong.json()["errors"][0]["pointer"]),
        ("validation_failed".to_owned(), &json!("/payload"))
    );
    let replayed = ask(app, "POST", &format!("{always}/replay"), &json!({"payload": {"result": 1}}));
    assert_eq!(replayed.status, 204, "{}", replayed.text);
    assert_eq!(until_state(app, &always, "completed")["result"], 1);
    assert_eq!(ask(app, "POST", &format!("{always}/replay"), &Value::Null).problem(), "wrong_state");
    assert_eq!(ask(app, "DELETE", &always, &Value::Null).problem(), "wrong_state");
}

fn dead_letters_are_taken_back_and_discarded_by_the_dozen(app: &App) {
    app.organization("acme");
    for _ in 0..3 {
        until_state(app, &submit(app, &probe(&json!({"fail": "for_good"}))), "failed");
    }
    let gone = submit(app, &probe(&json!({"fail": "for_good"})));
    until_state(app, &gone, "failed");
    assert_eq!(ask(app, "DELETE", &gone, &Value::Null).status, 204);
    assert_eq!(ask(app, "GET", &gone, &Value::Null).problem(), "job_not_found");
    let letters = get(app, "/v1/dead-letters?reason=refused");
    assert_eq!(letters["items"].as_array().unwrap().len(), 3);
    let none = ask(app, "POST", "/v1/dead-letters/replay", &json!({"reason": "timed_out"}));
    assert_eq!(none.json(), json!({"count": 0, "hasMore": false}));
    let all = ask(app, "POST", "/v1/dead-letters/replay", &json!({"kind": "probe"}));
    assert_eq!(all.json(), json!({"count": 3, "hasMore": false}), "{}", all.text);
    let again = until(app, "/v1/dead-letters", |page| {
        let items = page["items"].as_array().unwrap();
        items.len() == 3 && items.iter().all(|letter| letter["replays"] == 1)
    });
    assert_eq!(again["items"][0]["attempts"], 1);
    let discarded = ask(app, "POST", "/v1/dead-letters/discard", &json!({}));
    assert_eq!(discarded.json()["count"], 3);
    assert_eq!(get(app, "/v1/dead-letters")["items"], json!([]));
    let audit = get(app, "/v1/audit?limit=100");
    let actions: HashSet<&str> =
        audit["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert!(
        actions.is_superset(&HashSet::from(["job.submitted", "job.replayed", "job.discarded"])),
        "{actions:?}"
    );
}

fn jobs_are_cancelled_while_they_wait_and_while_they_run(app: &App) {
    app.organization("acme");
    let later = submit(app, &json!({"kind": "probe", "runAt": app.later()}));
    assert_eq!(get(app, &later)["state"], "scheduled");
    assert_eq!(ask(app, "POST", &format!("{later}/cancel"), &Value::Null).status, 204);
    assert_eq!(get(app, &later)["state"], "cancelled");
    assert_eq!(ask(app, "POST", &format!("{later}/cancel"), &Value::Null).problem(), "wrong_state");
    let long = submit(app, &probe(&json!({"steps": 1000, "stepMs": 50})));
    until_state(app, &long, "running");
    assert_eq!(ask(app, "POST", &format!("{long}/cancel"), &Value::Null).status, 204);
    let stopped = until_state(app, &long, "cancelled");
    assert_eq!(stopped["attempts"], 1);
}

fn a_queue_is_paused_limited_and_drained(app: &App) {
    app.organization("acme");
    let set = |body: &Value| app.with("PATCH", "/v1/admin/queues/default", &[], &body.to_string());
    let paused = set(&json!({"paused": true})).json();
    assert!(paused["pausedAt"].is_string(), "{paused}");
    let jobs: Vec<String> =
        (0..4).map(|_| submit(app, &probe(&json!({"steps": 1000, "stepMs": 20})))).collect();
    let queue = || {
        let queues = app.get("/v1/admin/queues").json();
        queues["items"].as_array().unwrap().iter().find(|queue| queue["name"] == "default").unwrap().clone()
    };
    assert_eq!((&queue()["ready"], &queue()["running"]), (&json!(4), &json!(0)));
    assert_eq!(set(&json!({"paused": false, "concurrencyMax": 2})).json()["concurrencyMax"], 2);
    let running = || jobs.iter().filter(|job| get(app, job)["state"] == "running").count();
    until(app, "/v1/jobs?state=running", |page| page["items"].as_array().unwrap().len() == 2);
    assert_eq!((running(), queue()["ready"].as_i64()), (2, Some(2)));
    let drained = app.post("/v1/admin/queues/default/drain", "").json();
    assert_eq!(drained, json!({"count": 2, "hasMore": false}));
    for job in &jobs {
        if get(app, job)["state"] == "running" {
            ask(app, "POST", &format!("{job}/cancel"), &Value::Null);
        }
    }
    for job in &jobs {
        until_state(app, job, "cancelled");
    }
    assert_eq!(set(&json!({"concurrencyMax": null})).json()["concurrencyMax"], json!(null));
    until_state(app, &submit(app, &probe(&json!({}))), "completed");
    assert!(queue()["ended"].as_i64().unwrap() >= 5);
    assert_eq!(app.with("PATCH", "/v1/admin/queues/none", &[], "{}").problem(), "queue_not_found");
    assert_eq!(set(&json!({"concurrencyMax": 0})).problem(), "validation_failed");
}

fn a_live_job_with_the_same_key_is_answered(app: &App) {
    app.organization("acme");
    let keyed = json!({"kind": "probe", "dedupeKey": "nightly", "runAt": app.later()});
    let first = ask(app, "POST", "/v1/jobs", &keyed);
    let second = ask(app, "POST", "/v1/jobs", &keyed);
    assert_eq!((first.status, second.status), (202, 200));
    assert_eq!(first.json()["id"], second.json()["id"]);
    let path = first.header("location").to_owned();
    assert_eq!(ask(app, "POST", &format!("{path}/cancel"), &Value::Null).status, 204);
    assert_eq!(ask(app, "POST", "/v1/jobs", &keyed).status, 202, "it is not live any more");
    // Many at once make one.
    let ids: HashSet<String> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let keyed = json!({"kind": "probe", "dedupeKey": "race", "runAt": app.later()});
                    let answer = ask(app, "POST", "/v1/jobs", &keyed);
                    assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
                    answer.json()["id"].as_str().unwrap().to_owned()
                })
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
}

fn a_batch_is_counted_and_awaited(app: &App) {
    app.organization("acme");
    for fail in ["never", "never", "for_good"] {
        submit(
            app,
            &json!({"kind": "probe", "batchKey": "month/11", "payload": {"steps": 2, "stepMs": 100, "fail": fail}}),
        );
    }
    let batch = get(app, "/v1/job-batches/month%2F11?waitS=20");
    assert_eq!(
        batch,
        json!({"key": "month/11", "total": 3, "queued": 0, "running": 0, "completed": 2, "failed": 1, "cancelled": 0, "isDone": true})
    );
    assert_eq!(get(app, "/v1/job-batches/none")["total"], 0);
    assert_eq!(get(app, "/v1/jobs?batch=month%2F11&state=failed")["items"].as_array().unwrap().len(), 1);
}

fn a_mailbox_keeps_its_order(app: &App) {
    app.organization("acme");
    let jobs: Vec<String> = (0..6)
        .map(|number| {
            let fail = if number == 2 { "once" } else { "never" };
            submit(app, &json!({"kind": "probe", "orderKey": "account-1", "payload": {"steps": 1, "stepMs": 20, "fail": fail}}))
        })
        .collect();
    let done: Vec<Value> = jobs.iter().map(|job| until_state(app, job, "completed")).collect();
    for pair in done.windows(2) {
        // Fractions are as long as they have to be, so times compare as text without their `Z` alone.
        let time = |time: &Value| time.as_str().unwrap().trim_end_matches('Z').to_owned();
        let (before, after) = (time(&pair[0]["finishedAt"]), time(&pair[1]["startedAt"]));
        assert!(before <= after, "{before} {after}");
    }
    assert_eq!(done[2]["attempts"], 2);
}

fn jobs_of_a_suspended_organization_wait(app: &App) {
    let organization = app.organization("acme");
    let path = format!("/v1/organizations/{}", organization["id"].as_str().unwrap());
    let job = submit(app, &probe(&json!({"steps": 20, "stepMs": 150})));
    until_state(app, &job, "running");
    let paused =
        |is: bool| app.with("PATCH", "/v1/admin/queues/default", &[], &json!({"paused": is}).to_string());
    assert_eq!(paused(true).status, 200);
    let held = submit(app, &probe(&json!({})));
    assert_eq!(app.post(&format!("{path}/suspend"), "").status, 200);
    assert_eq!(paused(false).status, 200);
    // What runs goes on; what has not begun waits.
    until_state(app, &job, "completed");
    let other = app.organization("other");
    let theirs =
        app.with("POST", "/v1/jobs", &[("Stoa-Organization", "other")], &probe(&json!({})).to_string());
    assert_eq!(theirs.json()["organizationId"], other["id"]);
    let theirs = theirs.header("location").to_owned();
    let start = app.with("GET", &format!("{theirs}/stream"), &[("Stoa-Organization", "other")], "");
    assert!(start.text.contains("\"completed\""), "{}", start.text);
    assert_eq!(get(app, &held)["state"], "queued");
    assert_eq!(app.post(&format!("{path}/resume"), "").status, 200);
    until_state(app, &held, "completed");
}

fn jobs_of_others_are_not_there(app: &App) {
    app.organization("acme");
    app.organization("other");
    let job = submit(app, &json!({"kind": "probe", "runAt": app.later(), "batchKey": "b"}));
    let other = [("Stoa-Organization", "other")];
    for (method, path) in [
        ("GET", job.clone()),
        ("GET", format!("{job}/stream")),
        ("POST", format!("{job}/cancel")),
        ("POST", format!("{job}/replay")),
        ("DELETE", job.clone()),
    ] {
        assert_eq!(app.with(method, &path, &other, "").problem(), "job_not_found", "{method} {path}");
    }
    assert_eq!(app.with("GET", "/v1/jobs", &other, "").json()["items"], json!([]));
    assert_eq!(app.with("GET", "/v1/job-batches/b", &other, "").json()["total"], 0);
    assert_eq!(get(app, &job)["state"], "scheduled");
}

fn wrong_jobs_are_told_everything_that_is_wrong(app: &App) {
    app.organization("acme");
    let wrong = |body: Value| {
        let answer = ask(app, "POST", "/v1/jobs", &body);
        (answer.status, answer.problem(), answer.json())
    };
    let (status, code, _) = wrong(json!({"kind": "mail.send", "payload": {}}));
    assert_eq!((status, code.as_str()), (422, "job_kind_unknown"));
    let (status, code, told) = wrong(
        json!({"kind": "probe", "payload": {"steps": -1}, "orderKey": "", "batchKey": "a\u{0}", "dedupeKey": "x".repeat(201)}),
    );
    let mut pointers: Vec<&str> =
        told["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!((status, code.as_str()), (422, "validation_failed"));
    assert_eq!(pointers, ["/batchKey", "/dedupeKey", "/orderKey", "/payload"]);
    let (_, code, _) = wrong(json!({"kind": "probe", "priority": "soon", "runAt": "tomorrow"}));
    assert_eq!(code, "validation_failed");
    let (_, code, _) = wrong(json!({"kind": "probe", "when": 1}));
    assert_eq!(code, "unknown_field");
    for list in [json!([]), json!([3, 10])] {
        let (_, code, _) = wrong(json!({"kind": "probe", "payload": list}));
        assert_eq!(code, "validation_failed", "a list is no object");
    }
    assert_eq!(app.post("/v1/dead-letters/discard", "{}").problem(), "organization_required");
    let (_, code, _) = wrong(json!({"kind": "probe", "runAt": "2090-01-01T00:00:00Z"}));
    assert_eq!(code, "validation_failed");
    let long = json!({"kind": "probe", "payload": {"result": "x".repeat(262_144)}});
    assert_eq!(wrong(long).1, "validation_failed");
    assert_eq!(ask(app, "GET", "/v1/jobs?state=done", &Value::Null).problem(), "invalid_parameter");
    assert_eq!(ask(app, "GET", "/v1/jobs/usr_0akvp3r7jtw01", &Value::Null).problem(), "invalid_id");
}

fn jobs_are_listed_newest_first_wherever_they_stand(app: &App) {
    app.organization("acme");
    let mut made: Vec<String> = Vec::new();
    for number in 0..9 {
        let body = match number % 3 {
            0 => json!({"kind": "probe", "runAt": app.later()}),
            1 => probe(&json!({})),
            _ => probe(&json!({"fail": "for_good"})),
        };
        let path = submit(app, &body);
        until(app, &path, |job| !matches!(job["state"].as_str(), Some("queued" | "running")));
        made.push(path);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=2".to_owned();
    loop {
        let page = get(app, &path);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|job| format!("/v1/jobs/{}", job["id"].as_str().unwrap())));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, made);
    let states = |query: &str| get(app, &format!("/v1/jobs?{query}"))["items"].as_array().unwrap().len();
    assert_eq!((states("state=queued"), states("state=completed"), states("state=failed")), (3, 3, 3));
    assert_eq!(
        (states("state=completed,failed&limit=5"), states("kind=none"), states("queue=default")),
        (5, 0, 9)
    );
    let stolen = get(app, "/v1/jobs?limit=2")["nextCursor"].as_str().unwrap().to_owned();
    let other = ask(app, "GET", &format!("/v1/jobs?state=failed&cursor={stolen}"), &Value::Null);
    assert_eq!(other.problem(), "invalid_parameter");
}

fn what_only_stoa_asks_for_is_shown_to_nobody(app: &App) {
    let paused = app.with("PATCH", "/v1/admin/queues/mail", &[], r#"{"paused":true}"#);
    assert_eq!(paused.status, 200, "{}", paused.text);
    app.owner();
    app.nobody("/v1/auth/magic-link", &json!({"email": "owner@example.org"}));
    let listed = app.get("/v1/jobs?kind=mail.send").json();
    let letter = &listed["items"][0];
    assert_eq!((&letter["state"], &letter["payload"]), (&json!("queued"), &json!(null)), "{listed}");
    assert!(!listed.to_string().contains("owner@example.org"), "{listed}");
}

fn what_stoa_relies_on_is_not_cancelled(app: &App) {
    let organization = app.organization("acme");
    let paused = |queue: &str, is: bool| {
        let path = format!("/v1/admin/queues/{queue}");
        assert_eq!(app.with("PATCH", &path, &[], &json!({"paused": is}).to_string()).status, 200);
    };
    paused("organizations", true);
    let path = format!("/v1/organizations/{}", organization["id"].as_str().unwrap());
    // One that was suspended, and then archived: its purge is not on hold.
    assert_eq!(app.post(&format!("{path}/suspend"), "").status, 200);
    assert_eq!(app.post(&format!("{path}/archive"), "").status, 200);
    let begun = app.post(&format!("{path}/purge"), r#"{"confirmation":"acme"}"#);
    assert_eq!(begun.json()["state"], "purging", "{}", begun.text);
    let listed = app.get("/v1/jobs?kind=organization.purge").json();
    let job = format!("/v1/jobs/{}", listed["items"][0]["id"].as_str().unwrap());
    assert_eq!(app.post(&format!("{job}/cancel"), "").problem(), "forbidden");
    assert_eq!(app.post("/v1/admin/queues/organizations/drain", "").json()["count"], 0);
    paused("organizations", false);
    let is_gone = looks().any(|()| app.get(&path).json()["state"] == "purged");
    assert!(is_gone, "{}", app.get(&path).text);
}

fn nothing_is_lost_when_the_process_is_killed(app: &App) {
    app.organization("acme");
    let mut asked = 0;
    for round in 0..4 {
        for number in 0..12 {
            let order = if number % 3 == 0 { json!("one") } else { json!(format!("k{number}")) };
            submit(
                app,
                &json!({"kind": "probe", "batchKey": "all", "orderKey": order, "payload": {"steps": 2, "stepMs": 10 * round}}),
            );
            asked += 1;
        }
        app.kill();
        app.restart();
    }
    // Others find what the killed ones held when their leases end; on one machine the next process does at once.
    if let Some(database) = &app.database {
        database.sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'");
    }
    let batch = until(app, "/v1/job-batches/all?waitS=5", |batch| batch["isDone"] == true);
    assert_eq!((&batch["completed"], &batch["failed"]), (&json!(asked), &json!(0)));
}

#[test]
fn when_a_worker_dies_another_one_does_its_work() {
    // Neither has room for all ten.
    let settings = [("STOA_JOBS__LEASE_S", "1"), ("STOA_JOBS__CONCURRENCY", "7"), ("MODE", "worker,api")];
    let api = App::with_settings(Some(database(&Postgres::shared())), &[("MODE", "api,scheduler")]);
    api.organization("acme");
    let workers = [api.beside_with(&settings), api.beside_with(&settings)];
    let jobs: Vec<String> =
        (0..10).map(|_| submit(&api, &probe(&json!({"steps": 30, "stepMs": 100})))).collect();
    until(&api, "/v1/jobs?state=running", |page| page["items"].as_array().unwrap().len() == 10);
    workers[0].kill();
    let done: Vec<Value> = jobs.iter().map(|job| until_state(&api, job, "completed")).collect();
    let moved = done.iter().filter(|job| job["attempts"] == 2).count();
    let lost = done.iter().flat_map(|job| job["errors"].as_array().unwrap()).count();
    assert!(moved >= 1 && lost == 0, "somebody did the work of the other one: {done:?}");
    assert_eq!(workers[1].stop(), 0, "it ends what it does");
}
