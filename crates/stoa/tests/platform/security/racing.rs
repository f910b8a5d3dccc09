//! Racing: what is good once is good once, however many try at the same time, in however many processes.

use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::on_both;
use crate::people::{PASSWORD, Person, code};

on_both! {
    of_fifty_who_use_one_invitation_one_gets_in
    a_refresh_token_is_exchanged_once_and_the_answer_given_again
    a_refresh_token_that_comes_back_late_ends_its_session
    a_hundred_refreshes_at_once_make_one_line
    a_device_code_lets_one_program_in
    one_key_of_idempotency_is_one_change_and_nobody_elses
}

/// What so many threads are answered at once.
fn at_once(count: usize, ask: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(number)
                })
            })
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn of_fifty_who_use_one_invitation_one_gets_in(app: &App) {
    let owner = app.owner();
    let secret = app.invitation(&owner, &json!({"role": "viewer"}));
    let body = |number: usize| json!({"email": format!("racer{number}@example.org"), "password": PASSWORD, "invitation": secret});
    let answers = at_once(50, |number| app.nobody("/v1/auth/register", &body(number)));
    let codes: Vec<(u16, String)> = answers
        .iter()
        .map(|one| (one.status, if one.status < 400 { String::new() } else { one.problem() }))
        .collect();
    assert_eq!(codes.iter().filter(|(status, _)| *status == 202).count(), 1, "{codes:?}");
    assert!(
        codes.iter().all(|(status, code)| *status == 202
            || ["link_invalid", "conflict", "overloaded"].contains(&code.as_str())),
        "{codes:?}"
    );
    assert_eq!(app.as_person(&owner, "GET", "/v1/members?count=true", &Value::Null).json()["total"], 1);
    // And is a member once the address is shown to be theirs.
    let won = answers.iter().position(|one| one.status == 202).unwrap();
    let email = format!("racer{won}@example.org");
    let verified = app.nobody(
        "/v1/auth/verify-email",
        &json!({"token": app.letter(&email, "verify-email"), "password": PASSWORD}),
    );
    assert_eq!(verified.status, 200, "{}", verified.text);
    assert_eq!(app.as_person(&owner, "GET", "/v1/members?count=true", &Value::Null).json()["total"], 2);
}

fn refresh(app: &App, token: &str) -> Answer {
    app.nobody("/v1/auth/refresh", &json!({"refreshToken": token}))
}

fn a_refresh_token_is_exchanged_once_and_the_answer_given_again(app: &App) {
    let owner = app.owner();
    let first = Person::of(&refresh(app, &owner.refresh));
    let again = Person::of(&refresh(app, &owner.refresh));
    assert_eq!(
        (&first.refresh, &first.session),
        (&again.refresh, &again.session),
        "who lost the answer gets the same one"
    );
    // Another program is not who lost it.
    let other = app.with(
        "POST",
        "/v1/auth/refresh",
        &[("Authorization", ""), ("User-Agent", "curl/8")],
        &json!({"refreshToken": owner.refresh}).to_string(),
    );
    assert_eq!(other.problem(), "not_authenticated");
    assert_eq!(refresh(app, &first.refresh).problem(), "not_authenticated", "and the session has ended");
    assert_eq!(app.as_person(&first, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
}

fn a_refresh_token_that_comes_back_late_ends_its_session(app: &App) {
    let owner = app.owner();
    let second = Person::of(&refresh(app, &owner.refresh));
    let third = Person::of(&refresh(app, &second.refresh));
    // The child was used, so its parent is not who lost an answer: by the count, whatever the clock says.
    assert_eq!(refresh(app, &owner.refresh).problem(), "not_authenticated");
    for gone in [&third, &second] {
        assert_eq!(refresh(app, &gone.refresh).problem(), "not_authenticated");
        assert_eq!(app.as_person(gone, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
    }
    let actions = app.get("/v1/admin/audit?action=session.reuse_detected").json();
    assert!(!actions["items"].as_array().unwrap().is_empty(), "it is in the trail");
    let told = (0..3_000).any(|_| {
        app.has_letter("owner@example.org", "A device was signed out") || app.get("/health/live").status == 0
    });
    assert!(told, "and its user is told");
    for forged in [
        "",
        "x",
        "stoa_rt_0000000000000_00000000_00_00",
        &owner.refresh.replace('a', "b"),
        &owner.refresh[..80],
    ] {
        assert_eq!(refresh(app, forged).problem(), "not_authenticated");
    }
}

fn a_hundred_refreshes_at_once_make_one_line(app: &App) {
    let owner = app.owner();
    let beside = app.database.is_some().then(|| app.beside());
    let answers = at_once(100, |number| match &beside {
        Some(other) if number % 2 == 1 => refresh(other, &owner.refresh),
        _ => refresh(app, &owner.refresh),
    });
    let mut children: Vec<String> = answers
        .iter()
        .filter(|one| one.status == 200)
        .map(|one| one.json()["refreshToken"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(children.len(), 100, "{:?}", answers.iter().map(|one| one.status).collect::<Vec<_>>());
    children.sort();
    children.dedup();
    assert_eq!(children.len(), 1, "never two live children");
    assert_eq!(refresh(app, &children[0]).status, 200);
}

fn a_device_code_lets_one_program_in(app: &App) {
    let owner = app.owner();
    let begun = app.nobody("/v1/auth/device", &Value::Null).json();
    assert_eq!(
        app.as_person(&owner, "POST", "/v1/auth/device/approve", &json!({"code": begun["userCode"]})).status,
        204
    );
    let answers =
        at_once(10, |_| app.nobody("/v1/auth/device/token", &json!({"deviceCode": begun["deviceCode"]})));
    assert_eq!(answers.iter().filter(|one| one.status == 200).count(), 1);
}

fn one_key_of_idempotency_is_one_change_and_nobody_elses(app: &App) {
    let owner = app.owner();
    let admin = app.invited(&owner, "admin@example.org", "admin");
    let send = |person: &Person, body: &str| {
        app.with(
            "POST",
            "/v1/invitations",
            &[("Authorization", &person.bearer()), ("Idempotency-Key", "k-1")],
            body,
        )
    };
    let answers = at_once(10, |_| send(&owner, r#"{"role":"guest"}"#));
    let links: Vec<String> = answers
        .iter()
        .filter(|one| one.status == 201)
        .map(|one| one.json()["link"].as_str().unwrap().to_owned())
        .collect();
    assert!(!links.is_empty() && links.iter().all(|link| *link == links[0]), "one change, one answer");
    assert!(answers.iter().all(|one| one.status == 201 || one.problem() == "request_in_progress"));
    assert_eq!(send(&owner, r#"{"role":"viewer"}"#).problem(), "idempotency_key_reused");
    let other = send(&admin, r#"{"role":"guest"}"#).json();
    assert_ne!(other["link"].as_str().unwrap(), links[0], "the key of somebody else is another key");
    // Whoever has not signed in has no keys: nobody gets the answer that somebody else was given.
    let body = json!({"email": "owner@example.org", "password": PASSWORD}).to_string();
    let anonymous = || {
        app.with("POST", "/v1/auth/sign-in", &[("Authorization", ""), ("Idempotency-Key", "k-2")], &body)
            .json()["sessionId"]
            .clone()
    };
    assert_ne!(anonymous(), anonymous());
}

#[test]
fn a_code_is_good_once_in_two_processes_at_the_same_time() {
    let app = App::cluster();
    let owner = app.owner();
    let (totp, _) = app.enrolled(&owner);
    let beside = app.beside();
    let sessions: Vec<Person> = (0..6).map(|_| Person::of(&app.sign_in("owner@example.org"))).collect();
    let body = json!({"code": code(&totp, 0)});
    let answers = at_once(6, |number| {
        let process = if number % 2 == 0 { &app } else { &beside };
        process.as_person(&sessions[number], "POST", "/v1/auth/mfa/code", &body)
    });
    let statuses: Vec<u16> = answers.iter().map(|one| one.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is how long an attacker has")]
fn what_is_revoked_in_one_process_is_refused_by_another_within_a_second() {
    let app = App::cluster();
    let owner = app.owner();
    let beside = app.beside();
    let key = app
        .as_person(&owner, "POST", "/v1/api-keys", &json!({"name": "k", "scopes": ["members:read"]}))
        .json();
    let (id, key) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
    let ann = app.invited(&owner, "ann@example.org", "viewer");
    let until_refused = |token: &str, path: &str, what: &dyn Fn()| {
        assert_eq!(beside.by(token, "GET", path, &Value::Null).status, 200, "it is known there, and kept");
        what();
        let start = std::time::Instant::now();
        while beside.by(token, "GET", path, &Value::Null).status == 200 {
            assert!(start.elapsed().as_millis() < 1_000, "{path} is still answered after a second");
        }
    };
    until_refused(&key, "/v1/members", &|| {
        app.as_person(&owner, "DELETE", &format!("/v1/api-keys/{id}"), &Value::Null);
    });
    let members = app.as_person(&owner, "GET", "/v1/members?limit=100", &Value::Null).json();
    let member = members["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["userId"] == ann.user.as_str())
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    until_refused(&ann.token, "/v1/plan", &|| {
        app.as_person(&owner, "PATCH", &format!("/v1/members/{member}"), &json!({"role": "guest"}));
    });
    until_refused(&ann.token, "/v1/me", &|| {
        app.as_person(&owner, "DELETE", &format!("/v1/members/{member}/sessions"), &Value::Null);
    });
    until_refused(&owner.token, "/v1/members", &|| {
        app.post(&format!("/v1/organizations/{}/suspend", owner.organization), "");
    });
}

#[test]
fn keys_are_rotated_while_requests_go_on_and_none_fails() {
    for algorithm in ["HS256", "EdDSA"] {
        let app = App::with_settings(None, &[("STOA_IDENTITY__TOKEN_ALGORITHM", algorithm)]);
        let owner = app.owner();
        let failures = at_once(8, |number| {
            for round in 0..40 {
                if number == 0 && round % 10 == 0 {
                    let rotated = app.post("/v1/admin/signing-keys/rotate", "");
                    assert_eq!(rotated.status, 200, "{}", rotated.text);
                }
                let answer = app.as_person(&owner, "GET", "/v1/me", &Value::Null);
                if answer.status != 200 {
                    return answer;
                }
            }
            app.as_person(&owner, "GET", "/v1/me", &Value::Null)
        });
        assert!(failures.iter().all(|answer| answer.status == 200), "{algorithm}");
        let published = app.get("/.well-known/jwks.json").json()["keys"].as_array().unwrap().len();
        assert_eq!(published, if algorithm == "EdDSA" { 5 } else { 0 }, "published before they sign");
        assert_eq!(app.sign_in("owner@example.org").status, 200);
    }
}
