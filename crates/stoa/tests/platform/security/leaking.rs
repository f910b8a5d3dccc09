//! Leaking: what is stored, logged, counted and traced says nothing about anybody; and what is altered is noticed.

use serde_json::{Value, json};

use crate::app::App;
use crate::people::{PASSWORD, Person};

/// Everything that a folder holds, as one text.
fn everything(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        // Letters are what they are: somebody reads them.
        if entry.path().is_dir() {
            if entry.file_name() != "outbox" {
                found.extend(everything(&entry.path()));
            }
        } else {
            found.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap_or_default()));
        }
    }
    found
}

fn holds(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|window| window.eq_ignore_ascii_case(canary.as_bytes()))
}

#[test]
fn what_people_are_called_and_their_secrets_are_nowhere_in_the_clear() {
    let app = App::embedded();
    let owner = app.owner();
    let mut canaries = vec![
        "canary-ann@example.org".to_owned(),
        "Canary Ann".to_owned(),
        "canary-next@example.org".to_owned(),
        PASSWORD.to_owned(),
        "client-secret-canary".to_owned(),
        "Canary Laptop".to_owned(),
    ];
    let secret = app.invitation(&owner, &json!({"email": "canary-ann@example.org"}));
    let body = json!({"email": "canary-ann@example.org", "password": PASSWORD, "name": "Canary Ann", "invitation": secret});
    let ann = Person::of(&app.nobody("/v1/auth/register", &body));
    let begun = app.as_person(&ann, "POST", "/v1/me/totp", &json!({})).json();
    canaries.push(begun["secret"].as_str().unwrap().to_owned());
    let (_, codes) = app.enrolled(&ann);
    let key = app
        .as_person(&owner, "POST", "/v1/api-keys", &json!({"name": "k", "scopes": ["members:read"]}))
        .json();
    canaries.extend([
        secret,
        ann.token.clone(),
        ann.refresh.clone(),
        key["key"].as_str().unwrap().to_owned(),
    ]);
    canaries.extend(codes);
    app.as_person(&ann, "POST", "/v1/me/email", &json!({"email": "canary-next@example.org"}));
    canaries.push(app.letter("canary-next@example.org", "change-email"));
    app.as_person(&ann, "POST", "/v1/me/passkeys/options", &json!({"name": "Canary Laptop"}));
    app.as_person(&owner, "POST", "/v1/identity-providers", &json!({"slug": "s", "kind": "google", "name": "G", "clientId": "c", "clientSecret": "client-secret-canary"}));
    for wrong in ["canary-ann@example.org", "canary-none@example.org"] {
        app.nobody("/v1/auth/sign-in", &json!({"email": wrong, "password": "canary-guess"}));
    }
    canaries.extend(["canary-none@example.org".to_owned(), "canary-guess".to_owned()]);
    for trail in ["/v1/admin/audit?limit=100", "/v1/events?limit=100"] {
        let text = app.get(trail).text;
        assert!(canaries.iter().all(|canary| !holds(text.as_bytes(), canary)), "{trail}");
    }
    let (log, metrics) = (app.log(), app.get("/metrics").text);
    assert_eq!(app.stop(), 0);
    for canary in &canaries {
        assert!(!holds(log.as_bytes(), canary), "{canary} is in the log");
        assert!(!holds(metrics.as_bytes(), canary), "{canary} is in the metrics");
        for (file, bytes) in everything(&app.data()) {
            assert!(!holds(&bytes, canary), "{canary} is in {file}");
        }
    }
    assert!(
        !holds(log.as_bytes(), "127.0.0.1:") || log.contains("ready"),
        "no address of a client is logged"
    );
}

/// Runs SQL on the database of an embedded platform that has ended.
fn tampered(app: &App, sql: &str) {
    assert_eq!(app.stop(), 0);
    let script = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit(); c.execute('pragma wal_checkpoint(truncate)')";
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(app.data().join("stoa.db"))
        .arg(sql)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    app.restart();
}

#[test]
fn what_is_sealed_opens_nowhere_else() {
    for (name, sql) in [
        (
            "from one user to another",
            "UPDATE users SET email = (SELECT email FROM users WHERE is_owner = 1) WHERE is_owner = 0",
        ),
        ("from one column to another", "UPDATE users SET name = email WHERE is_owner = 0"),
        (
            "from one organization to another",
            "UPDATE organizations SET contact_email = (SELECT contact_email FROM organizations WHERE slug = 'north-wind')",
        ),
    ] {
        let app = App::embedded();
        let owner = app.owner();
        let ann = app.invited(&owner, "ann@example.org", "member");
        app.post(
            "/v1/organizations",
            r#"{"slug":"other","name":"Other","contactEmail":"other@example.org"}"#,
        );
        tampered(&app, sql);
        let answers =
            [app.as_person(&ann, "GET", "/v1/me", &Value::Null), app.get("/v1/organizations/other")];
        assert!(
            answers.iter().any(|answer| answer.status == 500),
            "{name}: {:?}",
            answers.map(|one| one.status)
        );
        assert!(answers_hide(&app, &ann), "{name}");
    }
}

fn answers_hide(app: &App, ann: &Person) -> bool {
    let me = app.as_person(ann, "GET", "/v1/me", &Value::Null);
    !me.text.contains("owner@example.org")
}

#[test]
fn a_trail_that_was_altered_says_so() {
    for sql in [
        "UPDATE audit_entries SET actor = 'system' WHERE action = 'member.created'",
        "DELETE FROM audit_entries WHERE sequence = 2 AND organization_id <> 0",
        "DELETE FROM audit_entries WHERE organization_id <> 0 AND sequence = (SELECT max(sequence) FROM audit_entries WHERE organization_id <> 0)",
        "UPDATE audit_entries SET diff = '[]' WHERE organization_id <> 0 AND sequence = 1",
    ] {
        let app = App::embedded();
        let owner = app.owner();
        app.invited(&owner, "ann@example.org", "member");
        assert_eq!(app.as_person(&owner, "GET", "/v1/audit/verify", &Value::Null).json()["intact"], true);
        tampered(&app, sql);
        let proof = app.as_person(&owner, "GET", "/v1/audit/verify", &Value::Null).json();
        assert_eq!((&proof["intact"], proof["problem"].is_string()), (&json!(false), true), "{sql}: {proof}");
    }
}
