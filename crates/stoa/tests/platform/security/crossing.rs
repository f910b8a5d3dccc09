//! Crossing: from one organization into another, from one role into a stronger one.

use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::{Value, json};

use crate::app::App;
use crate::on_both;
use crate::people::Person;

on_both! {
    nothing_of_another_organization_can_be_named
    nobody_climbs_above_their_own_role
    an_organization_that_asks_for_a_second_factor_gets_it
    what_is_sensitive_asks_again
    a_stream_ends_when_whoever_follows_it_is_signed_out
}

/// Two organizations, each with one of everything.
fn things(app: &App, person: &Person, organization: &str) -> Vec<(&'static str, String)> {
    let ask = |method: &str, path: &str, body: Value| {
        let answer = app.with(
            method,
            path,
            &[("Authorization", &person.bearer()), ("Stoa-Organization", organization)],
            &body.to_string(),
        );
        assert!(answer.status < 300, "{path} {}", answer.text);
        answer.json()["id"].as_str().unwrap_or_default().to_owned()
    };
    let members = app
        .with(
            "GET",
            "/v1/members",
            &[("Authorization", &person.bearer()), ("Stoa-Organization", organization)],
            "",
        )
        .json();
    vec![
        ("members", members["items"][0]["id"].as_str().unwrap().to_owned()),
        ("invitations", ask("POST", "/v1/invitations", json!({}))),
        ("api-keys", ask("POST", "/v1/api-keys", json!({"name": "k", "scopes": ["members:read"]}))),
        (
            "identity-providers",
            ask(
                "POST",
                "/v1/identity-providers",
                json!({"slug": "staff", "kind": "google", "name": "G", "clientId": "c", "clientSecret": "s"}),
            ),
        ),
    ]
}

fn nothing_of_another_organization_can_be_named(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "guest");
    let own = app.founded(&ann, "anns");
    let theirs = things(app, &owner, &owner.organization);
    let header = [("Authorization", ann.bearer()), ("Stoa-Organization", own)];
    let header: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (kind, id) in &theirs {
        for (method, path, body) in [
            ("GET", format!("/v1/{kind}/{id}"), ""),
            ("PATCH", format!("/v1/{kind}/{id}"), r#"{"role":"owner"}"#),
            ("DELETE", format!("/v1/{kind}/{id}"), ""),
            ("POST", format!("/v1/{kind}/{id}/rotate"), "{}"),
            ("POST", format!("/v1/{kind}/{id}/resend"), ""),
            ("GET", format!("/v1/{kind}/{id}/sessions"), ""),
            ("DELETE", format!("/v1/{kind}/{id}/sessions"), ""),
        ] {
            let answer = app.with(method, &path, &header, body);
            let code = answer.problem();
            assert!(
                ["record_not_found", "not_found", "method_not_allowed", "validation_failed", "unknown_field"]
                    .contains(&code.as_str()),
                "{method} {path}: {code}"
            );
        }
        // Nor does it show in one's own lists.
        let listed = app.with("GET", &format!("/v1/{kind}?limit=100"), &header, "");
        assert!(listed.status == 200 && !listed.text.contains(id.as_str()), "{kind}");
    }
    // Naming the other organization itself is naming nothing, in whichever way.
    let slugs = ["north-wind", owner.organization.as_str()];
    for name in slugs {
        let answer = app.with(
            "GET",
            "/v1/flags",
            &[("Authorization", &app.founded_token(&ann)), ("Stoa-Organization", name)],
            "",
        );
        // Ann is a guest there; as a stranger she would not know.
        assert_eq!(answer.status, 200);
    }
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
    assert_eq!(app.as_person(&owner, "DELETE", &format!("/v1/members/{member}"), &Value::Null).status, 204);
    for name in slugs {
        for path in ["/v1/flags", "/v1/audit", "/v1/events", "/v1/members"] {
            let answer =
                app.with("GET", path, &[("Authorization", &ann.bearer()), ("Stoa-Organization", name)], "");
            let nothing = app.with(
                "GET",
                path,
                &[("Authorization", &ann.bearer()), ("Stoa-Organization", "nothing")],
                "",
            );
            assert_eq!(
                (answer.status, answer.problem()),
                (404, "organization_not_found".to_owned()),
                "{path}"
            );
            assert_eq!(
                (nothing.status, nothing.problem()),
                (404, "organization_not_found".to_owned()),
                "as if there were none"
            );
        }
        let path = format!("/v1/organizations/{name}");
        assert_eq!(app.as_person(&ann, "GET", &path, &Value::Null).problem(), "organization_not_found");
    }
    let events = app.with("GET", "/v1/events?limit=100", &header, "");
    assert!(events.status == 200 && !events.text.contains(&owner.organization), "events are one's own");
    let wide = app.with("GET", &format!("/v1/events?organization={}", owner.organization), &header, "");
    assert_eq!(wide.problem(), "invalid_parameter");
}

impl App {
    fn founded_token(&self, person: &Person) -> String {
        person.bearer()
    }
}

fn nobody_climbs_above_their_own_role(app: &App) {
    let owner = app.owner();
    let admin = app.invited(&owner, "admin@example.org", "admin");
    let guest = app.invited(&owner, "guest@example.org", "guest");
    let members = app.as_person(&owner, "GET", "/v1/members?limit=100", &Value::Null).json();
    let of = |person: &Person| {
        let found =
            members["items"].as_array().unwrap().iter().find(|one| one["userId"] == person.user.as_str());
        format!("/v1/members/{}", found.unwrap()["id"].as_str().unwrap())
    };
    let set = |by: &Person, whom: &Person, role: &str| {
        app.as_person(by, "PATCH", &of(whom), &json!({"role": role}))
    };
    assert_eq!(set(&admin, &admin, "owner").problem(), "forbidden");
    assert_eq!(set(&admin, &guest, "owner").problem(), "forbidden");
    assert_eq!(set(&admin, &owner, "guest").problem(), "forbidden");
    assert_eq!(set(&guest, &guest, "admin").problem(), "forbidden");
    assert_eq!(app.as_person(&admin, "DELETE", &of(&owner), &Value::Null).problem(), "forbidden");
    assert_eq!(
        app.as_person(&admin, "DELETE", &format!("{}/sessions", of(&owner)), &Value::Null).problem(),
        "forbidden"
    );
    assert_eq!(
        app.as_person(&admin, "POST", "/v1/invitations", &json!({"role": "owner"})).problem(),
        "forbidden"
    );
    assert_eq!(
        app.as_person(&guest, "POST", "/v1/invitations", &json!({"role": "guest"})).problem(),
        "forbidden"
    );
    assert_eq!(
        app.as_person(&admin, "PUT", "/v1/roles/admin/permissions/audit:read", &json!({"allowed": true}))
            .problem(),
        "forbidden"
    );
    assert_eq!(set(&admin, &guest, "admin").status, 200, "up to one's own it is allowed");
    // Fields that nobody may set are not set by sending them.
    for field in ["isOwner", "state", "emailVerified", "id", "version"] {
        assert_eq!(
            app.as_person(&guest, "PATCH", "/v1/me", &json!({field: true})).problem(),
            "unknown_field",
            "{field}"
        );
    }
    for field in ["plan", "state", "limits"] {
        let path = format!("/v1/organizations/{}", owner.organization);
        assert_eq!(
            app.as_person(&admin, "PATCH", &path, &json!({field: "x"})).problem(),
            "unknown_field",
            "{field}"
        );
    }
    for path in [
        "/v1/admin/users",
        "/v1/admin/database",
        "/v1/organizations",
        "/v1/privacy/registry",
        "/v1/admin/audit",
    ] {
        assert_eq!(app.as_person(&admin, "GET", path, &Value::Null).problem(), "forbidden", "{path}");
    }
}

fn an_organization_that_asks_for_a_second_factor_gets_it(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "member");
    let path = format!("/v1/organizations/{}", owner.organization);
    let ask = || app.as_person(&owner, "PATCH", &path, &json!({"mfaRequired": true}));
    assert_eq!(ask().problem(), "mfa_required", "nobody shuts themselves out");
    app.enrolled(&owner);
    assert_eq!(ask().status, 200);
    assert_eq!(app.as_person(&ann, "GET", "/v1/members", &Value::Null).problem(), "mfa_required");
    assert_eq!(
        app.as_person(&ann, "GET", "/v1/me/factors", &Value::Null).status,
        200,
        "what it takes to enrol one is open"
    );
    app.enrolled(&ann);
    assert_eq!(app.as_person(&ann, "GET", "/v1/members", &Value::Null).status, 200);
}

fn what_is_sensitive_asks_again(app: &App) {
    let owner = app.owner();
    // A program that was let in by a code has shown nothing itself.
    let begun = app.nobody("/v1/auth/device", &Value::Null).json();
    assert_eq!(
        app.as_person(&owner, "POST", "/v1/auth/device/approve", &json!({"code": begun["userCode"]})).status,
        204
    );
    let program =
        Person::of(&app.nobody("/v1/auth/device/token", &json!({"deviceCode": begun["deviceCode"]})));
    for rule in stoa_api::access::RULES.iter().filter(|rule| rule.is_fresh) {
        let path =
            rule.path.replace("{organization}", &owner.organization).replace('{', "x").replace('}', "");
        let answer = app.as_person(&program, rule.method, &path, &json!({}));
        assert_eq!(answer.problem(), "reauthentication_required", "{} {}", rule.method, rule.path);
    }
    assert_eq!(app.as_person(&program, "GET", "/v1/members", &Value::Null).status, 200);
}

fn a_stream_ends_when_whoever_follows_it_is_signed_out(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "member");
    let mut stream = std::net::TcpStream::connect(app.address()).unwrap();
    let head = format!(
        "GET /v1/events/stream HTTP/1.1\r\nHost: stoa\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        ann.bearer()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next().unwrap().unwrap().contains(" 200 "), "it is followed");
    assert_eq!(app.as_person(&ann, "DELETE", "/v1/me/sessions", &Value::Null).status, 204);
    // It is read to its end, which comes only when the process lets go.
    assert!(lines.all(|line| line.is_ok()));
}

#[test]
fn whoever_was_removed_does_not_come_back_by_an_old_letter_nor_do_their_keys() {
    let app = App::embedded();
    let owner = app.owner();
    let bo = app.invited(&owner, "bo@example.org", "admin");
    let second = app.invitation(&owner, &json!({"email": "bo@example.org", "role": "admin"}));
    let body = json!({"name": "k", "scopes": ["members:read"]});
    let key = app.as_person(&bo, "POST", "/v1/api-keys", &body).json()["key"].as_str().unwrap().to_owned();
    assert_eq!(app.by(&key, "GET", "/v1/members", &Value::Null).status, 200);
    let members = app.as_person(&owner, "GET", "/v1/members?limit=100", &Value::Null).json();
    let found = members["items"].as_array().unwrap().iter().find(|one| one["userId"] == bo.user.as_str());
    let path = format!("/v1/members/{}", found.unwrap()["id"].as_str().unwrap());
    let bearer = owner.bearer();
    let stale = app.with("DELETE", &path, &[("Authorization", &bearer), ("If-Match", "\"wrong-99\"")], "");
    assert_eq!((stale.status, stale.problem().as_str()), (412, "precondition_failed"));
    assert_eq!(app.as_person(&owner, "DELETE", &path, &Value::Null).status, 204);
    let accept =
        |secret: &str| app.as_person(&bo, "POST", "/v1/auth/invitation/accept", &json!({"token": secret}));
    assert_eq!(accept(&second).problem(), "link_invalid");
    assert_eq!(app.by(&key, "GET", "/v1/members", &Value::Null).problem(), "not_authenticated");
    let third = app.invitation(&owner, &json!({"role": "member"}));
    assert_eq!(accept(&third).status, 200);
    assert_eq!(
        app.by(&key, "GET", "/v1/members", &Value::Null).problem(),
        "not_authenticated",
        "it ended for good"
    );
}
