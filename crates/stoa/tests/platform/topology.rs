//! Several processes of one installation, some of which die.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stoa_harness::{FaultProxy, Postgres, Redis, skewed_by};

use crate::app::{App, database, looks};
use crate::outage::until_check;
use crate::people::Person;
use crate::webhooks::{Receiver, SETTINGS};

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

/// How long after `since` a process refuses somebody.
fn refused_after(app: &App, person: &Person, since: Instant) -> Duration {
    let is_refused = looks().any(|()| app.as_person(person, "GET", "/v1/me", &Value::Null).status == 401);
    assert!(is_refused, "somebody whose session was ended is let in still");
    since.elapsed()
}

/// What processes share in Redis is there, is away, comes back with what it had, and without it: who was signed out is let in by nobody.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about real time")]
fn a_revocation_reaches_every_process_whatever_becomes_of_redis() {
    let redis = Redis::start();
    let port = redis.port();
    let proxies = [FaultProxy::before(port), FaultProxy::before(port)];
    let url = |proxy: &FaultProxy| format!("redis://127.0.0.1:{}/", proxy.port());
    let first = App::with_settings(
        Some(database(&Postgres::shared())),
        &[("REDIS_URL", &url(&proxies[0])), ("STOA_LIMITS__ATTEMPTS_PER_MINUTE", "1000")],
    );
    let second = first.beside_with(&[("REDIS_URL", &url(&proxies[1]))]);
    let owner = first.owner();
    first.invited(&owner, "ada@example.org", "member");
    let looks_up = |app: &App, name: &str| {
        let metrics = app.get("/metrics").text;
        let line = metrics.lines().find(|line| {
            line.starts_with("stoa_cache_lookups_total") && line.contains("sessions") && line.contains(name)
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let signed_in = || {
        let ada = Person::of(&first.sign_in("ada@example.org"));
        for app in [&first, &second] {
            let there = app.as_person(&ada, "GET", "/v1/me", &Value::Null);
            assert_eq!(there.status, 200, "{}", there.text);
        }
        ada
    };
    let sign_out = |ada: &Person| {
        let path = format!("/v1/me/sessions/{}", ada.session);
        assert_eq!(first.as_person(ada, "DELETE", &path, &Value::Null).status, 204);
        Instant::now()
    };
    let revoked = |ada: &Person| {
        let since = sign_out(ada);
        assert_eq!(first.as_person(ada, "GET", "/v1/me", &Value::Null).status, 401);
        let took = refused_after(&second, ada, since);
        assert!(took < Duration::from_secs(2), "{took:?}");
    };
    // With it; what the one looked up, the other finds there.
    let ada = signed_in();
    let is_shared = looks().any(|()| {
        signed_in();
        looks_up(&second, "shared") > 0
    });
    assert!(is_shared, "the second process looks everything up itself");
    revoked(&ada);
    // Who revokes does not reach it.
    let ada = signed_in();
    proxies[0].cut();
    revoked(&ada);
    proxies[0].heal();
    // Nobody reaches it.
    let away = [signed_in(), signed_in()];
    proxies.iter().for_each(FaultProxy::cut);
    away.iter().for_each(revoked);
    proxies.iter().for_each(FaultProxy::heal);
    for app in [&first, &second] {
        until_check(app, "cache", true);
        for ada in [&ada, &away[0], &away[1]] {
            assert_eq!(
                app.as_person(ada, "GET", "/v1/me", &Value::Null).status,
                401,
                "it is back with what it had"
            );
        }
    }
    // A process that starts now does not believe what it finds either.
    let third = first.beside_with(&[("REDIS_URL", &url(&proxies[1]))]);
    assert_eq!(third.as_person(&away[0], "GET", "/v1/me", &Value::Null).status, 401);
    // It starts anew, with nothing.
    let ada = signed_in();
    drop(redis);
    let _again = Redis::at(port);
    revoked(&ada);
    revoked(&signed_in());
}

/// Work of every kind, asked of one process, done by whoever there is: a schedule that fires each second, runs, jobs of one mailbox, webhooks.
pub(crate) struct Busy {
    beat: String,
    runs: Vec<String>,
    endpoint: String,
    receiver: Receiver,
    made: usize,
}

impl Busy {
    pub(crate) fn begin(app: &App) -> Self {
        app.organization("acme");
        let receiver = Receiver::start();
        let wanting = json!({"url": receiver.url("200/all"), "events": ["schedule.created"], "timeoutS": 5});
        let endpoint = post(app, "/v1/webhooks", &wanting)["id"].as_str().unwrap().to_owned();
        let beat =
            json!({"name": "beat", "kind": "probe", "everyS": 1, "misfire": "catch_up", "catchUpMax": 100});
        let beat = post(app, "/v1/schedules", &beat)["id"].as_str().unwrap().to_owned();
        Self { beat: format!("/v1/schedules/{beat}"), runs: Vec::new(), endpoint, receiver, made: 1 }
    }

    pub(crate) fn more(&mut self, app: &App) {
        let run = json!({"workflow": "probe", "input": {"steps": 10, "stepMs": 20}});
        self.runs.push(format!("/v1/runs/{}", post(app, "/v1/runs", &run)["id"].as_str().unwrap()));
        for number in 0..5 {
            let payload = json!({"result": number, "fail": if number == 2 { "once" } else { "never" }});
            let job = json!({"kind": "probe", "payload": payload, "orderKey": "box", "batchKey": "box"});
            post(app, "/v1/jobs", &job);
        }
        for _ in 0..5 {
            let quiet = json!({"name": format!("quiet-{}", self.made), "kind": "probe", "cron": "@yearly"});
            post(app, "/v1/schedules", &quiet);
            self.made += 1;
        }
    }

    /// Everything is done in the end, and nothing twice.
    pub(crate) fn end(self, app: &App) {
        for run in &self.runs {
            let done = until(app, run, |run| run["state"] == "completed");
            assert_eq!(done["steps"].as_array().unwrap().len(), 10);
            let id = run.trim_start_matches("/v1/runs/");
            let noted = get(app, &format!("/v1/audit?limit=100&target={id}&action=run.stepped"));
            assert_eq!(noted["items"].as_array().unwrap().len(), 10, "each step once");
        }
        let stopped = app.with("PATCH", &self.beat, &ACME, r#"{"paused": true}"#).json();
        assert!(stopped["pausedAt"].is_string(), "{stopped}");
        let fired = get(app, &self.beat)["fired"].as_u64().unwrap();
        let done =
            |page: &Value| page["items"].as_array().unwrap().iter().all(|job| job["state"] == "completed");
        let jobs = until(app, "/v1/jobs?kind=probe&limit=100", done);
        let jobs = jobs["items"].as_array().unwrap();
        let boxed = u64::try_from(5 * self.runs.len()).unwrap();
        assert_eq!(u64::try_from(jobs.len()).unwrap(), fired + boxed, "an instant fires once");
        // Each event came to the endpoint, and is counted once.
        let sent = self.receiver.until("200/all", self.made);
        let ids: HashSet<&str> = sent.iter().map(|one| one.headers["webhook-id"].as_str()).collect();
        assert_eq!(ids.len(), self.made);
        let deliveries = get(app, &format!("/v1/webhooks/{}/deliveries?limit=100", self.endpoint));
        assert_eq!(deliveries["items"].as_array().unwrap().len(), self.made, "an event is one delivery");
        until(app, "/v1/events/activity?type=schedule.created", |page| {
            page["items"][0]["events"] == self.made
        });
    }
}

/// One process is right, one four minutes ahead, one four minutes behind: they go by the time of the database.
#[test]
fn processes_whose_clocks_are_minutes_apart_work_together() {
    let right = App::with_settings(
        Some(database(&Postgres::shared())),
        &[&SETTINGS[..], &[("MODE", "api")]].concat(),
    );
    let wrong = |seconds: i64| {
        let skew = skewed_by(seconds);
        let skew = skew.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        right.beside_with(&skew.chain([("MODE", "api,worker,scheduler")]).collect::<Vec<_>>())
    };
    let (ahead, behind) = (wrong(240), wrong(-240));
    for (app, which) in [(&ahead, "ahead of"), (&behind, "behind")] {
        let health = app.get("/health").json();
        let clock = health["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == "clock")
            .unwrap()
            .clone();
        let told = clock.to_string();
        assert!(clock["ok"] == false && told.contains(which) && told.contains("2"), "{told}");
    }
    let mut busy = Busy::begin(&ahead);
    for app in [&right, &ahead, &behind] {
        busy.more(app);
    }
    let fired = |least: u64| move |found: &Value| found["fired"].as_u64() >= Some(least);
    until(&right, &busy.beat, fired(3));
    // Whoever of them leads, the other takes over.
    ahead.kill();
    right.database.as_ref().unwrap().sql("UPDATE leases SET expires_at = 0");
    right.database.as_ref().unwrap().sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'");
    busy.more(&behind);
    let before = get(&right, &busy.beat)["fired"].as_u64().unwrap();
    until(&right, &busy.beat, fired(before + 3));
    busy.end(&right);
    // Somebody who signs in at one of them is known to the others.
    let owner = right.owner();
    let again = Person::of(&behind.sign_in("owner@example.org"));
    let later = wrong(240);
    for (app, person) in [(&behind, &owner), (&right, &again), (&later, &again), (&later, &owner)] {
        let there = app.as_person(person, "GET", "/v1/me", &Value::Null);
        assert_eq!(there.status, 200, "{}", there.text);
    }
    let newest = Person::of(&later.sign_in("owner@example.org"));
    assert_eq!(behind.as_person(&newest, "GET", "/v1/me", &Value::Null).status, 200);
}

/// The process that leads everything is cut off from the database, silently, for longer than its leases last; then it is back and takes
/// itself for the leader still.
#[test]
fn a_process_that_is_cut_off_is_replaced_and_does_no_harm_when_it_is_back() {
    let api = App::with_settings(
        Some(database(&Postgres::shared())),
        &[&SETTINGS[..], &[("MODE", "api")]].concat(),
    );
    let own = api.database.as_ref().unwrap();
    let proxy = FaultProxy::before(own.server().port());
    let through = own.url().replace(&format!(":{}/", own.server().port()), &format!(":{}/", proxy.port()));
    let modes = ("MODE", "api,worker,scheduler");
    let cut = api.beside_with(&[("DATABASE_URL", &through), modes]);
    let mut busy = Busy::begin(&api);
    busy.more(&api);
    let fired = |least: u64| move |found: &Value| found["fired"].as_u64() >= Some(least);
    until(&api, &busy.beat, fired(2));
    let other = api.beside_with(&[modes]);
    proxy.stall();
    busy.more(&api);
    own.sql("UPDATE leases SET expires_at = 0");
    own.sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'");
    let before = get(&api, &busy.beat)["fired"].as_u64().unwrap();
    until(&api, &busy.beat, fired(before + 3));
    proxy.heal();
    busy.more(&api);
    until_check(&cut, "database", true);
    proxy.cut();
    proxy.heal();
    busy.more(&other);
    until(&api, &busy.beat, fired(before + 6));
    busy.end(&api);
}
