use serde_json::{Value, json};

use crate::app::{App, looks};
use crate::on_both;
use crate::people::Person;

on_both! {
    people_are_told_what_concerns_them_where_they_want_it
    what_happens_often_is_told_once_and_read_by_one_person_alone
    whoever_is_muted_or_wants_a_digest_gets_no_letter_at_once
    what_is_told_is_followed_live
    a_letter_that_cannot_be_sent_is_dead_and_replayed
}

fn get(app: &App, person: &Person, path: &str) -> Value {
    let answer = app.as_person(person, "GET", path, &Value::Null);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn told(app: &App, person: &Person) -> Vec<Value> {
    get(app, person, "/v1/notifications?limit=100")["items"].as_array().unwrap().clone()
}

/// What somebody is told, when it is so much.
#[track_caller]
fn until_told(app: &App, person: &Person, template: &str, count: usize) -> Vec<Value> {
    let mut last = Vec::new();
    for () in looks() {
        last = told(app, person);
        last.retain(|one| one["template"] == template);
        if last.len() >= count {
            return last;
        }
    }
    panic!("{count} were to be {template}: {last:?}");
}

/// Changes the role of somebody, which they are told.
fn promote(app: &App, owner: &Person, person: &Person, role: &str) {
    let members = get(app, owner, "/v1/members?limit=100");
    let member = members["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["userId"] == person.user.as_str())
        .unwrap();
    let path = format!("/v1/members/{}", member["id"].as_str().unwrap());
    let changed = app.as_person(owner, "PATCH", &path, &json!({"role": role}));
    assert_eq!(changed.status, 200, "{}", changed.text);
}

fn prefer(app: &App, person: &Person, template: &str, channel: &str, on: bool) {
    let path = format!("/v1/notifications/preferences/{template}/{channel}");
    let set = app.as_person(person, "PUT", &path, &json!({"on": on}));
    assert_eq!(set.status, 204, "{}", set.text);
}

fn has_letter(app: &App, subject: &str) -> bool {
    app.has_letter("ada@example.org", subject)
}

fn people_are_told_what_concerns_them_where_they_want_it(app: &App) {
    let owner = app.owner();
    let ada = app.invited(&owner, "ada@example.org", "member");
    // The owner has founded it, of which nobody is told.
    let joined = until_told(app, &owner, "member_joined", 1);
    assert_eq!(joined.len(), 1);
    assert_eq!(
        (&joined[0]["title"], &joined[0]["variables"]["role"]),
        (&json!("Somebody joined North Wind"), &json!("member"))
    );
    promote(app, &owner, &ada, "developer");
    let changed = until_told(app, &ada, "role_changed", 1);
    assert_eq!(changed[0]["title"], "Your role in North Wind is now developer");
    assert_eq!(changed[0]["body"], "Your role in North Wind was changed: you are developer there now.");
    assert_eq!(
        (&changed[0]["organizationId"], &changed[0]["readAt"]),
        (&json!(owner.organization), &Value::Null)
    );
    assert!(looks().any(|()| has_letter(app, "Your role in North Wind is now developer")), "and by a letter");
    let letters = std::fs::read_dir(app.data().join("outbox")).unwrap().flatten();
    let texts: Vec<String> = letters.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect();
    let letter = texts.iter().find(|text| text.contains("Subject: Your role in North Wind")).unwrap();
    assert!(letter.contains("List-Unsubscribe: <http"), "which says where to choose otherwise: {letter}");
    // Nobody else is told.
    assert!(told(app, &owner).iter().all(|one| one["template"] != "role_changed"));
    // They choose otherwise: by webhook, and not by letter.
    prefer(app, &ada, "role_changed", "email", false);
    prefer(app, &ada, "role_changed", "in_app", false);
    prefer(app, &ada, "role_changed", "webhook", true);
    let own = get(app, &ada, "/v1/notifications/preferences");
    let on: Vec<&str> = own["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["template"] == "role_changed" && one["on"] == true)
        .map(|one| one["channel"].as_str().unwrap())
        .collect();
    assert_eq!(on, ["webhook"]);
    promote(app, &owner, &ada, "admin");
    let mut events = Value::Null;
    for () in looks() {
        events = get(app, &owner, "/v1/events?type=notification.created");
        if !events["items"].as_array().unwrap().is_empty() {
            break;
        }
    }
    assert_eq!(
        (&events["items"][0]["payload"]["userId"], &events["items"][0]["payload"]["template"]),
        (&json!(ada.user), &json!("role_changed"))
    );
    assert_eq!(told(app, &ada).iter().filter(|one| one["template"] == "role_changed").count(), 1);
    assert!(!has_letter(app, "now admin"));
    let wrong =
        app.as_person(&ada, "PUT", "/v1/notifications/preferences/nothing/email", &json!({"on": true}));
    assert_eq!(wrong.problem(), "record_not_found");
    let wrong =
        app.as_person(&ada, "PUT", "/v1/notifications/preferences/role_changed/pigeon", &json!({"on": true}));
    assert_eq!(wrong.problem(), "invalid_id");
}

fn what_happens_often_is_told_once_and_read_by_one_person_alone(app: &App) {
    let owner = app.owner();
    let ada = app.invited(&owner, "ada@example.org", "developer");
    for _ in 0..3 {
        let job = app.as_person(
            &owner,
            "POST",
            "/v1/jobs",
            &json!({"kind": "probe", "payload": {"fail": "for_good"}}),
        );
        assert_eq!(job.status, 202, "{}", job.text);
    }
    // By the hour: at most two, where the hour changes just then.
    let own = until_told(app, &ada, "dead_letter", 1);
    until_told(app, &owner, "dead_letter", 1);
    assert!(looks().any(|()| {
        app.get("/v1/admin/consumers").json()["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["behind"] == 0)
    }));
    assert!(told(app, &ada).iter().filter(|one| one["template"] == "dead_letter").count() <= 2);
    assert_eq!(
        (&own[0]["variables"]["kind"], &own[0]["variables"]["reason"]),
        (&json!("probe"), &json!("refused"))
    );
    // Somebody else's is not there to be read.
    let path = format!("/v1/notifications/{}/read", own[0]["id"].as_str().unwrap());
    assert_eq!(app.as_person(&owner, "POST", &path, &Value::Null).problem(), "record_not_found");
    let unread =
        |person: &Person| get(app, person, "/v1/notifications/unread-count")["unread"].as_i64().unwrap();
    let before = unread(&ada);
    assert_eq!(app.as_person(&ada, "POST", &path, &Value::Null).status, 204);
    assert_eq!(app.as_person(&ada, "POST", &path, &Value::Null).status, 204);
    assert_eq!(unread(&ada), before - 1);
    let of_owner = unread(&owner);
    assert!(app.as_person(&ada, "POST", "/v1/notifications/read-all", &Value::Null).status == 200);
    assert_eq!((unread(&ada), unread(&owner)), (0, of_owner));
    assert_eq!(get(app, &ada, "/v1/notifications?unread=true")["items"], json!([]));
}

fn whoever_is_muted_or_wants_a_digest_gets_no_letter_at_once(app: &App) {
    let owner = app.owner();
    let ada = app.invited(&owner, "ada@example.org", "member");
    let set = |body: Value| app.as_person(&ada, "PATCH", "/v1/notifications/settings", &body);
    assert_eq!(get(app, &ada, "/v1/notifications/settings"), json!({"muteUntil": null, "digest": "off"}));
    let muted = set(json!({"muteUntil": app.later()})).json();
    assert!(muted["muteUntil"].is_string(), "{muted}");
    assert_eq!(set(json!({"muteUntil": "2099-01-01T00:00:00Z"})).problem(), "validation_failed");
    promote(app, &owner, &ada, "developer");
    until_told(app, &ada, "role_changed", 1);
    assert_eq!(set(json!({"muteUntil": null, "digest": "daily"})).json()["digest"], "daily");
    promote(app, &owner, &ada, "admin");
    until_told(app, &ada, "role_changed", 2);
    let waiting = app.get("/v1/admin/notifications?state=digest").json();
    let waiting = waiting["items"].as_array().unwrap();
    assert_eq!((waiting.len(), &waiting[0]["userId"]), (1, &json!(ada.user)));
    assert!(waiting[0]["nextAt"].as_str().unwrap().contains("T08:00:00"), "{waiting:?}");
    assert!(!has_letter(app, "Your role in"));
}

fn what_is_told_is_followed_live(app: &App) {
    let owner = app.owner();
    let ada = app.invited(&owner, "ada@example.org", "member");
    promote(app, &owner, &ada, "developer");
    let first = until_told(app, &ada, "role_changed", 1);
    promote(app, &owner, &ada, "admin");
    until_told(app, &ada, "role_changed", 2);
    // From the first on, until they are signed out.
    let bearer = ada.bearer();
    let following = std::thread::scope(|scope| {
        let headers =
            [("Authorization", bearer.as_str()), ("Last-Event-ID", first[0]["id"].as_str().unwrap())];
        let stream = scope.spawn(move || app.with("GET", "/v1/notifications/stream", &headers, "").text);
        promote(app, &owner, &ada, "viewer");
        until_told(app, &ada, "role_changed", 3);
        let ended = app.as_person(&ada, "DELETE", "/v1/me/sessions", &Value::Null);
        assert_eq!(ended.status, 204, "{}", ended.text);
        stream.join().unwrap()
    });
    let seen: Vec<Value> = following
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data.trim()).unwrap())
        .collect();
    assert!(!seen.is_empty() && seen[0]["variables"]["role"] == "admin", "{following}");
}

fn a_letter_that_cannot_be_sent_is_dead_and_replayed(app: &App) {
    let owner = app.owner();
    let ada = app.invited(&owner, "ada@example.org", "member");
    assert_eq!(app.post(&format!("/v1/admin/users/{}/suspend", ada.user), "").status, 200);
    promote(app, &owner, &ada, "developer");
    let mut dead = Value::Null;
    for () in looks() {
        dead = app.get("/v1/admin/notifications?state=dead").json()["items"][0].clone();
        if dead["id"].is_string() {
            break;
        }
    }
    assert_eq!(
        (&dead["userId"], &dead["error"]),
        (&json!(ada.user), &json!("there is no address to write to"))
    );
    assert_eq!(app.post(&format!("/v1/admin/users/{}/resume", ada.user), "").status, 200);
    let path = format!("/v1/admin/notifications/{}/replay", dead["id"].as_str().unwrap());
    assert_eq!(app.post(&path, "").status, 204);
    assert!(looks().any(|()| has_letter(app, "Your role in North Wind is now developer")));
    assert!(looks().any(|()| app.post(&path, "").problem() == "wrong_state"));
}
