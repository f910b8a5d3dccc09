use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stoa_harness::Postgres;

use crate::app::{Answer, App, database, looks};

const ACME: [(&str, &str); 1] = [("Stoa-Organization", "acme")];

/// What was received: the path, the headers, the body.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

/// Receives webhooks, and answers what its path says: `/200`, `/500`, `/410`, `/hang`.
pub(crate) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    /// What `/turn` answers.
    turn: Arc<Mutex<u16>>,
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: HashMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            return Some(Received { path, headers, body: serde_json::from_str(body).unwrap_or_default() });
        }
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (received, turn) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::new(Mutex::new(500)));
        let (own, answer) = (Arc::clone(&received), Arc::clone(&turn));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (own, answer) = (Arc::clone(&own), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(one) = read(&mut stream) else { return };
                    let path = one.path.clone();
                    own.lock().unwrap().push(one);
                    let status = match path.split('/').nth(1).unwrap_or_default() {
                        "hang" => {
                            // Until the other side has had enough.
                            let _ = stream.read(&mut [0]);
                            return;
                        }
                        "turn" => answer.lock().unwrap().to_string(),
                        status => status.to_owned(),
                    };
                    let body = "x".repeat(3_000);
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} x\r\nContent-Length: 3000\r\nConnection: close\r\n\r\n{body}"
                    );
                });
            }
        });
        Self { port, received, turn }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub(crate) fn at(&self, path: &str) -> Vec<Received> {
        self.received.lock().unwrap().iter().filter(|one| one.path == format!("/{path}")).cloned().collect()
    }

    #[track_caller]
    pub(crate) fn until(&self, path: &str, count: usize) -> Vec<Received> {
        for () in looks() {
            let found = self.at(path);
            if found.len() >= count {
                return found;
            }
            std::thread::yield_now();
        }
        panic!("{count} webhooks were to come to {path}: {:?}", self.at(path));
    }
}

pub(crate) const SETTINGS: [(&str, &str); 2] =
    [("STOA_OUTBOUND__ALLOWED_NETWORKS", "127.0.0.1/32"), ("STOA_WEBHOOKS__PAUSES_S", "1, 1")];

fn embedded() -> App {
    App::with_settings(None, &SETTINGS)
}

fn cluster() -> App {
    App::with_settings(Some(database(&Postgres::shared())), &SETTINGS)
}

/// Declares each case twice: on SQLite, and on PostgreSQL.
macro_rules! on_both {
    ($($case:ident)*) => {
        mod on_sqlite {
            $(#[test] fn $case() { super::$case(&super::embedded()); })*
        }
        mod on_postgresql {
            $(#[test] fn $case() { super::$case(&super::cluster()); })*
        }
    };
}

on_both! {
    events_are_sent_to_the_endpoints_that_want_them
    an_endpoint_that_fails_is_tried_again_and_then_not_any_more
    an_endpoint_that_is_gone_is_sent_nothing_more
    what_failed_is_sent_again
    what_is_wrong_with_an_endpoint_is_told_at_once
    endpoints_of_others_are_not_there
    what_was_sent_stays_as_it_is_where_the_endpoint_is_disabled
    nothing_is_lost_and_ids_stay_when_the_process_is_killed
}

fn ask(app: &App, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    app.with(method, path, &ACME, &body)
}

#[track_caller]
fn endpoint(app: &App, url: &str, events: &[&str]) -> Value {
    let made = ask(app, "POST", "/v1/webhooks", &json!({"url": url, "events": events, "timeoutS": 1}));
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()
}

/// Makes something happen: an event `schedule.created`.
fn happen(app: &App, name: &str) -> Value {
    let made = ask(app, "POST", "/v1/schedules", &json!({"name": name, "kind": "probe", "cron": "@yearly"}));
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()
}

fn deliveries(app: &App, endpoint: &Value) -> Vec<Value> {
    let path = format!("/v1/webhooks/{}/deliveries?limit=100", endpoint["id"].as_str().unwrap());
    ask(app, "GET", &path, &Value::Null).json()["items"].as_array().unwrap().clone()
}

#[track_caller]
fn until_delivery(app: &App, endpoint: &Value, state: &str) -> Value {
    let mut last = Vec::new();
    for () in looks() {
        last = deliveries(app, endpoint);
        if let Some(found) = last.iter().find(|delivery| delivery["state"] == state) {
            let path = format!("/v1/webhook-deliveries/{}", found["id"].as_str().unwrap());
            return ask(app, "GET", &path, &Value::Null).json();
        }
    }
    panic!("none is {state}: {last:?}");
}

fn events_are_sent_to_the_endpoints_that_want_them(app: &App) {
    let organization = app.organization("acme");
    app.organization("other");
    let receiver = Receiver::start();
    let wanting = endpoint(app, &receiver.url("200/a"), &["schedule.*"]);
    let all = endpoint(app, &receiver.url("200/b"), &["*"]);
    let other = endpoint(app, &receiver.url("200/c"), &["member.joined"]);
    assert!(wanting["secret"].as_str().unwrap().starts_with("whsec_"));
    let shown =
        ask(app, "GET", &format!("/v1/webhooks/{}", wanting["id"].as_str().unwrap()), &Value::Null).json();
    assert!(shown.get("secret").is_none(), "{shown}");
    // What happens elsewhere is nobody's here.
    let elsewhere = [("Stoa-Organization", "other")];
    app.with("POST", "/v1/schedules", &elsewhere, r#"{"name":"x","kind":"probe","everyS":3600}"#);
    let schedule = happen(app, "daily");
    let got = receiver.until("200/a", 1);
    assert_eq!(
        (&got[0].body["type"], &got[0].body["organizationId"]),
        (&json!("schedule.created"), &organization["id"])
    );
    assert_eq!(got[0].body["payload"]["id"], schedule["id"]);
    assert_eq!(got[0].headers["webhook-id"], got[0].body["eventId"].as_str().unwrap());
    assert!(
        got[0].headers["webhook-signature"].starts_with("v1,") && got[0].headers.contains_key("traceparent")
    );
    // The second endpoint's own making is told to the first ones that want it.
    receiver.until("200/b", 3);
    assert_eq!(receiver.at("200/c").len(), 0);
    let history = until_delivery(app, &wanting, "delivered");
    let attempt = &history["history"][0];
    assert_eq!((&history["attempts"], &attempt["status"]), (&json!(1), &json!(200)));
    assert_eq!(attempt["excerpt"].as_str().unwrap().len(), 1_024, "the first kilobyte");
    let consumers = app.get("/v1/admin/consumers").json();
    let own =
        consumers["items"].as_array().unwrap().iter().find(|one| one["name"] == "webhooks").unwrap().clone();
    assert!(own["position"].as_i64() > Some(0), "{own}");
    for path in [&wanting, &all, &other] {
        let path = format!("/v1/webhooks/{}", path["id"].as_str().unwrap());
        assert_eq!(ask(app, "DELETE", &path, &Value::Null).status, 204);
    }
    assert_eq!(ask(app, "GET", "/v1/webhooks", &Value::Null).json()["items"], json!([]));
}

fn an_endpoint_that_fails_is_tried_again_and_then_not_any_more(app: &App) {
    app.organization("acme");
    let receiver = Receiver::start();
    let failing = endpoint(app, &receiver.url("500"), &["schedule.*"]);
    let hanging = endpoint(app, &receiver.url("hang"), &["schedule.*"]);
    happen(app, "daily");
    let history = until_delivery(app, &failing, "failed");
    let statuses: Vec<&Value> =
        history["history"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [500, 500, 500], "at once, and after each of the two pauses");
    let ids: Vec<String> = receiver.at("500").iter().map(|one| one.headers["webhook-id"].clone()).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "the same id each time: {ids:?}");
    let hung = until_delivery(app, &hanging, "failed");
    assert_eq!((&hung["history"][0]["status"], &hung["lastStatus"]), (&Value::Null, &Value::Null));
    assert!(hung["history"][0]["error"].as_str().unwrap().contains("in time"), "{hung}");
    let path = format!("/v1/webhooks/{}", failing["id"].as_str().unwrap());
    let shown = ask(app, "GET", &path, &Value::Null).json();
    assert!(shown["failingSince"].is_string() && shown["isActive"] == true, "{shown}");
    let described = ask(app, "PATCH", &path, &json!({"description": "why"})).json();
    assert_eq!(described["failingSince"], shown["failingSince"]);
    assert_eq!(ask(app, "PATCH", &path, &json!({"active": true})).json()["failingSince"], Value::Null);
    assert_eq!(ask(app, "GET", &path, &Value::Null).json()["failingSince"], Value::Null);
}

fn an_endpoint_that_is_gone_is_sent_nothing_more(app: &App) {
    app.organization("acme");
    let receiver = Receiver::start();
    let gone = endpoint(app, &receiver.url("410"), &["schedule.*"]);
    endpoint(app, &receiver.url("200"), &["webhook.disabled"]);
    happen(app, "daily");
    assert_eq!(until_delivery(app, &gone, "failed")["attempts"], 1);
    assert_eq!(
        receiver.until("200", 1)[0].body["payload"],
        json!({"endpointId": gone["id"], "reason": "gone"})
    );
    happen(app, "weekly");
    let path = format!("/v1/webhooks/{}", gone["id"].as_str().unwrap());
    let shown = ask(app, "GET", &path, &Value::Null).json();
    assert_eq!((&shown["isActive"], &shown["disabledReason"]), (&json!(false), &json!("gone")));
    // Somebody lets it go on; what is for trying reaches it either way.
    assert_eq!(ask(app, "POST", &format!("{path}/test"), &Value::Null).status, 202);
    receiver.until("410", 2);
    assert_eq!(ask(app, "PATCH", &path, &json!({"active": true})).json()["isActive"], true);
    assert_eq!(receiver.at("410").iter().filter(|one| one.body["type"] == "schedule.created").count(), 1);
}

fn what_failed_is_sent_again(app: &App) {
    app.organization("acme");
    let receiver = Receiver::start();
    let turning = endpoint(app, &receiver.url("turn"), &["schedule.*"]);
    happen(app, "daily");
    let failed = until_delivery(app, &turning, "failed");
    *receiver.turn.lock().unwrap() = 200;
    let resend = format!("/v1/webhook-deliveries/{}/resend", failed["id"].as_str().unwrap());
    assert_eq!(ask(app, "POST", &resend, &Value::Null).status, 204);
    let delivered = until_delivery(app, &turning, "delivered");
    assert_eq!(
        (&delivered["webhookId"], delivered["history"].as_array().unwrap().len()),
        (&failed["webhookId"], 4)
    );
    *receiver.turn.lock().unwrap() = 500;
    happen(app, "weekly");
    until_delivery(app, &turning, "failed");
    *receiver.turn.lock().unwrap() = 200;
    let replay = format!("/v1/webhooks/{}/replay", turning["id"].as_str().unwrap());
    let replayed = ask(app, "POST", &replay, &json!({"since": failed["createdAt"]}));
    assert_eq!(replayed.json(), json!({"count": 1, "hasMore": false}), "{}", replayed.text);
    for () in looks() {
        if deliveries(app, &turning).iter().all(|delivery| delivery["state"] == "delivered") {
            break;
        }
    }
    assert!(deliveries(app, &turning).iter().all(|delivery| delivery["state"] == "delivered"));
    assert_eq!(ask(app, "POST", &replay, &json!({"since": app.later()})).problem(), "validation_failed");
}

fn what_is_wrong_with_an_endpoint_is_told_at_once(app: &App) {
    app.organization("acme");
    let wrong = ask(
        app,
        "POST",
        "/v1/webhooks",
        &json!({"url": "http://10.0.0.1/x", "events": ["member.*"], "headers": {"Webhook-Id": "x", "X-Ok": "y"}, "timeoutS": 31}),
    );
    let wrong_json = wrong.json();
    let pointers: Vec<&Value> =
        wrong_json["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(
        (wrong.problem().as_str(), pointers),
        ("validation_failed", vec![&json!("/url"), &json!("/headers"), &json!("/timeoutS")])
    );
    for events in [
        json!([]),
        json!(["Member"]),
        json!(["member"]),
        json!(["member.add.x"]),
        json!(["nosuch.*"]),
        json!(["member.nothing"]),
    ] {
        let body = json!({"url": "https://example.org/", "events": events});
        assert_eq!(ask(app, "POST", "/v1/webhooks", &body).problem(), "validation_failed", "{events}");
    }
    for url in [
        "https://127.0.0.2/",
        "https://169.254.169.254/latest",
        "ftp://example.org/",
        "https://u:p@example.org/",
    ] {
        let body = json!({"url": url, "events": ["*"]});
        assert_eq!(ask(app, "POST", "/v1/webhooks", &body).problem(), "validation_failed", "{url}");
    }
    let nobody = app.with("POST", "/v1/hooks/hks_0000000000001", &[("Authorization", "")], "{}");
    assert_eq!(nobody.problem(), "webhook_unverified");
    assert_eq!(
        app.with("POST", "/v1/hooks/nothing", &[("Authorization", "")], "{}").problem(),
        "webhook_unverified"
    );
}

fn what_was_sent_stays_as_it_is_where_the_endpoint_is_disabled(app: &App) {
    app.organization("acme");
    let receiver = Receiver::start();
    let own = endpoint(app, &receiver.url("200"), &["schedule.*"]);
    happen(app, "daily");
    let sent = until_delivery(app, &own, "delivered");
    let path = format!("/v1/webhooks/{}", own["id"].as_str().unwrap());
    assert_eq!(ask(app, "PATCH", &path, &json!({"active": false})).status, 200);
    let delivery = format!("/v1/webhook-deliveries/{}", sent["id"].as_str().unwrap());
    let resent = ask(app, "POST", &format!("{delivery}/resend"), &Value::Null);
    assert_eq!(resent.problem(), "wrong_state");
    let replayed = ask(app, "POST", &format!("{path}/replay"), &json!({"since": "2020-01-01T00:00:00Z"}));
    assert_eq!(replayed.problem(), "wrong_state");
    assert_eq!(ask(app, "GET", &delivery, &Value::Null).json()["state"], "delivered");
}

fn endpoints_of_others_are_not_there(app: &App) {
    app.organization("acme");
    app.organization("other");
    let receiver = Receiver::start();
    let own = endpoint(app, &receiver.url("200"), &["*"]);
    let path = format!("/v1/webhooks/{}", own["id"].as_str().unwrap());
    let elsewhere = [("Stoa-Organization", "other")];
    for (method, suffix) in
        [("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate-secret"), ("GET", "/deliveries")]
    {
        let answer = app.with(method, &format!("{path}{suffix}"), &elsewhere, "");
        assert_eq!(answer.problem(), "record_not_found", "{method} {suffix}");
    }
    assert_eq!(app.with("GET", "/v1/webhooks", &elsewhere, "").json()["items"], json!([]));
}

fn nothing_is_lost_and_ids_stay_when_the_process_is_killed(app: &App) {
    app.organization("acme");
    let receiver = Receiver::start();
    let own = endpoint(app, &receiver.url("200"), &["schedule.created"]);
    let mut told = 0;
    for round in 0..3 {
        for number in 0..10 {
            happen(app, &format!("r{round}n{number}"));
            told += 1;
        }
        app.kill();
        app.restart();
    }
    if let Some(database) = &app.database {
        database.sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'");
    }
    for () in looks() {
        let all = deliveries(app, &own);
        if all.len() == told && all.iter().all(|delivery| delivery["state"] == "delivered") {
            break;
        }
    }
    let all = deliveries(app, &own);
    assert_eq!(all.iter().filter(|delivery| delivery["state"] == "delivered").count(), told, "{all:?}");
    let ids: std::collections::HashSet<String> =
        receiver.at("200").iter().map(|one| one.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), told, "each event came, under one id");
}

#[test]
fn one_slow_endpoint_delays_no_other() {
    let app = App::with_settings(None, &[SETTINGS[0], ("STOA_WEBHOOKS__CONCURRENCY", "32")]);
    app.organization("acme");
    let receiver = Receiver::start();
    for number in 0..3 {
        endpoint(&app, &receiver.url(&format!("hang/{number}")), &["schedule.created"]);
    }
    endpoint(&app, &receiver.url("200"), &["schedule.created"]);
    for number in 0..40 {
        happen(&app, &format!("n{number}"));
    }
    let got = receiver.until("200", 40);
    assert_eq!(got.len(), 40);
    let hung = receiver.received.lock().unwrap().iter().filter(|one| one.path.starts_with("/hang")).count();
    assert!(hung < 60, "an endpoint that hangs is asked now and then: {hung}");
}
