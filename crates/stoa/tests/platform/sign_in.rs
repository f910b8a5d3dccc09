//! Coming in, from the first link to the last session.

use serde_json::{Value, json};

use crate::app::{App, looks};
use crate::on_both;
use crate::people::{PASSWORD, Person, code};

on_both! {
    the_first_user_sets_the_installation_up_once
    somebody_registers_confirms_the_address_and_forgets_the_password
    a_magic_link_signs_in_once
    an_address_is_changed_when_the_new_one_is_confirmed
    a_second_factor_is_enrolled_shown_and_removed
    devices_are_listed_and_signed_out
    a_program_is_let_in_by_its_user
    an_organization_is_shared_transferred_and_left
    permissions_are_granted_and_taken
    flags_are_on_for_those_whom_they_are_for
    plans_and_credits_hold_organizations_to_their_limits
    an_organization_is_purged_and_leaves_a_tombstone
    what_is_suspended_is_refused_and_comes_back
    the_audit_trail_is_read_exported_and_proved
}

fn the_first_user_sets_the_installation_up_once(app: &App) {
    let link = std::fs::read_to_string(app.data().join("setup.link")).unwrap();
    let owner = app.owner();
    let me = app.as_person(&owner, "GET", "/v1/me", &Value::Null).json();
    assert_eq!(
        (&me["isOwner"], &me["email"], &me["emailVerified"]),
        (&json!(true), &json!("owner@example.org"), &json!(true))
    );
    let again = json!({
        "token": link.trim().split_once('#').unwrap().1, "email": "second@example.org", "password": PASSWORD,
        "organizationName": "Second", "organizationSlug": "second"
    });
    assert_eq!(app.nobody("/v1/auth/setup", &again).problem(), "link_invalid");
    app.kill();
    app.restart();
    assert!(!app.data().join("setup.link").exists(), "there is nothing left to set up");
    assert_eq!(
        app.as_person(&owner, "GET", "/v1/me", &Value::Null).status,
        200,
        "a restart signs nobody out"
    );
}

fn somebody_registers_confirms_the_address_and_forgets_the_password(app: &App) {
    let owner = app.owner();
    let secret = app.invitation(&owner, &json!({"role": "viewer"}));
    let body = json!({"email": "Bob@Example.org", "password": PASSWORD, "invitation": secret});
    let answer = app.nobody("/v1/auth/register", &body);
    assert_eq!((answer.status, answer.text.as_str()), (202, r#"{"status":"sent"}"#));
    assert_eq!(
        app.sign_in("bob@example.org").problem(),
        "invalid_credentials",
        "not before the address is confirmed"
    );
    let letter = app.letter("Bob@example.org", "verify-email");
    let wrong = app.nobody("/v1/auth/verify-email", &json!({"token": letter, "password": "something else"}));
    assert_eq!(wrong.problem(), "invalid_credentials");
    let bob =
        Person::of(&app.nobody("/v1/auth/verify-email", &json!({"token": letter, "password": PASSWORD})));
    assert_eq!(
        app.nobody("/v1/auth/verify-email", &json!({"token": letter, "password": PASSWORD})).problem(),
        "link_invalid"
    );
    let organizations = app.as_person(&bob, "GET", "/v1/me/organizations", &Value::Null).json();
    assert_eq!(
        (&organizations["items"][0]["slug"], &organizations["items"][0]["role"]),
        (&json!("north-wind"), &json!("viewer"))
    );

    assert_eq!(app.nobody("/v1/auth/password/forgot", &json!({"email": "BOB@example.org"})).status, 202);
    let reset = app.letter("Bob@example.org", "reset-password");
    let short = app.nobody("/v1/auth/password/reset", &json!({"token": reset, "password": "password1"}));
    assert_eq!(short.problem(), "validation_failed");
    assert_eq!(
        app.nobody("/v1/auth/password/reset", &json!({"token": reset, "password": "Rhabarber im Mai"}))
            .status,
        204
    );
    assert_eq!(
        app.nobody("/v1/auth/password/reset", &json!({"token": reset, "password": "Rhabarber im Mai"}))
            .problem(),
        "link_invalid"
    );
    assert_eq!(
        app.as_person(&bob, "GET", "/v1/me", &Value::Null).problem(),
        "not_authenticated",
        "every session ended"
    );
    assert_eq!(app.sign_in("bob@example.org").problem(), "invalid_credentials");
    assert_eq!(
        app.nobody("/v1/auth/sign-in", &json!({"email": "bob@example.org", "password": "Rhabarber im Mai"}))
            .status,
        200
    );
}

fn a_magic_link_signs_in_once(app: &App) {
    app.owner();
    for email in ["owner@example.org", "nobody@example.org"] {
        let answer = app.nobody("/v1/auth/magic-link", &json!({"email": email}));
        assert_eq!((answer.status, answer.text.as_str()), (202, r#"{"status":"sent"}"#));
    }
    let secret = app.letter("owner@example.org", "magic-link");
    let answer = app.nobody("/v1/auth/magic-link/exchange", &json!({"token": secret}));
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        app.nobody("/v1/auth/magic-link/exchange", &json!({"token": secret})).problem(),
        "link_invalid"
    );
}

fn an_address_is_changed_when_the_new_one_is_confirmed(app: &App) {
    let owner = app.owner();
    let asked = app.as_person(&owner, "POST", "/v1/me/email", &json!({"email": "olga@example.net"}));
    assert_eq!(asked.status, 202, "{}", asked.text);
    assert_eq!(app.sign_in("owner@example.org").status, 200, "until then nothing changes");
    let secret = app.letter("olga@example.net", "change-email");
    assert_eq!(app.nobody("/v1/auth/email/confirm", &json!({"token": secret})).status, 204);
    assert_eq!(app.sign_in("olga@example.net").status, 200);
    assert_eq!(app.sign_in("owner@example.org").problem(), "invalid_credentials");
    let told = looks().any(|()| {
        app.has_letter("owner@example.org", "Your address was changed") || app.get("/health/live").status == 0
    });
    assert!(told, "the old address is told");
}

fn a_second_factor_is_enrolled_shown_and_removed(app: &App) {
    let owner = app.owner();
    let (totp, codes) = app.enrolled(&owner);
    assert_eq!(codes.len(), 10);
    let answer = app.sign_in("owner@example.org");
    assert_eq!(answer.json()["mfaPending"], true);
    let pending = Person::of(&answer);
    assert_eq!(app.as_person(&pending, "GET", "/v1/members", &Value::Null).problem(), "mfa_pending");
    let wrong = app.as_person(&pending, "POST", "/v1/auth/mfa/code", &json!({"code": "000 000"}));
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "code_invalid"));
    let full =
        Person::of(&app.as_person(&pending, "POST", "/v1/auth/mfa/code", &json!({"code": code(&totp, 0)})));
    assert_eq!(app.as_person(&full, "GET", "/v1/members", &Value::Null).status, 200);
    assert_eq!(
        app.as_person(&pending, "GET", "/v1/me", &Value::Null).problem(),
        "not_authenticated",
        "the session before is no more"
    );
    let pending = Person::of(&app.sign_in("owner@example.org"));
    let full = Person::of(&app.as_person(
        &pending,
        "POST",
        "/v1/auth/mfa/code",
        &json!({"code": codes[0].to_uppercase()}),
    ));
    assert_eq!(app.as_person(&full, "GET", "/v1/me/factors", &Value::Null).json()["recoveryCodesLeft"], 9);
    assert_eq!(
        app.as_person(&full, "POST", "/v1/me/totp/disable", &json!({"code": codes[0]})).problem(),
        "code_invalid"
    );
    assert_eq!(app.as_person(&full, "POST", "/v1/me/totp/disable", &json!({"code": codes[1]})).status, 204);
    let factors = app.as_person(&full, "GET", "/v1/me/factors", &Value::Null).json();
    assert_eq!((&factors["totp"], &factors["recoveryCodesLeft"]), (&json!(false), &json!(0)));
    assert_eq!(app.sign_in("owner@example.org").json()["mfaPending"], false);
}

fn devices_are_listed_and_signed_out(app: &App) {
    let owner = app.owner();
    let headers =
        [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"), ("Authorization", "")];
    let body = json!({"email": "owner@example.org", "password": PASSWORD}).to_string();
    let fox = Person::of(&app.with("POST", "/v1/auth/sign-in", &headers, &body));
    let listed = app.as_person(&owner, "GET", "/v1/me/sessions", &Value::Null).json();
    let clients: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|one| one["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["another program", "Firefox on Linux"]);
    assert!(!listed.to_string().contains("127.0.0.1"), "no address is kept");
    assert_eq!(
        app.as_person(&owner, "DELETE", &format!("/v1/me/sessions/{}", fox.session), &Value::Null).status,
        204
    );
    assert_eq!(app.as_person(&fox, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
    assert_eq!(
        app.nobody("/v1/auth/refresh", &json!({"refreshToken": fox.refresh})).problem(),
        "not_authenticated"
    );
    let other = Person::of(&app.sign_in("owner@example.org"));
    assert_eq!(app.as_person(&owner, "DELETE", "/v1/me/sessions?keepCurrent=true", &Value::Null).status, 204);
    assert_eq!(app.as_person(&other, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
    assert_eq!(app.as_person(&owner, "GET", "/v1/me", &Value::Null).status, 200);
    assert_eq!(app.nobody("/v1/auth/sign-out", &json!({"refreshToken": owner.refresh})).status, 204);
    assert_eq!(
        app.nobody("/v1/auth/sign-out", &json!({"refreshToken": owner.refresh})).status,
        204,
        "signing out twice is signing out"
    );
    assert_eq!(app.as_person(&owner, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
}

fn a_program_is_let_in_by_its_user(app: &App) {
    let owner = app.owner();
    let begun = app.nobody("/v1/auth/device", &Value::Null).json();
    let (device, shown) =
        (json!({"deviceCode": begun["deviceCode"]}), begun["userCode"].as_str().unwrap().to_owned());
    let waiting = app.nobody("/v1/auth/device/token", &device);
    assert_eq!(
        (waiting.status, waiting.problem().as_str(), waiting.header("retry-after")),
        (400, "authorization_pending", "5")
    );
    let typed = json!({"code": shown.to_lowercase().replace('-', " ")});
    assert_eq!(app.as_person(&owner, "POST", "/v1/auth/device/look", &typed).status, 200);
    assert_eq!(app.as_person(&owner, "POST", "/v1/auth/device/approve", &typed).status, 204);
    let program = Person::of(&app.nobody("/v1/auth/device/token", &device));
    assert_eq!(program.user, owner.user);
    assert_eq!(app.nobody("/v1/auth/device/token", &device).problem(), "link_invalid", "once");
    let sensitive = app.as_person(&program, "POST", "/v1/me/totp", &json!({}));
    assert_eq!(sensitive.problem(), "reauthentication_required", "nobody has shown anything to the program");
    assert_eq!(
        app.as_person(&program, "POST", "/v1/auth/reauthenticate", &json!({"password": "wrong"})).problem(),
        "invalid_credentials"
    );
    assert_eq!(
        app.as_person(&program, "POST", "/v1/auth/reauthenticate", &json!({"password": PASSWORD})).status,
        204
    );
    assert_eq!(app.as_person(&program, "POST", "/v1/me/totp", &json!({})).status, 200);
    let begun = app.nobody("/v1/auth/device", &Value::Null).json();
    assert_eq!(
        app.as_person(&owner, "POST", "/v1/auth/device/deny", &json!({"code": begun["userCode"]})).status,
        204
    );
    assert_eq!(
        app.nobody("/v1/auth/device/token", &json!({"deviceCode": begun["deviceCode"]})).problem(),
        "forbidden"
    );
}

fn member(app: &App, by: &Person, user: &str) -> String {
    let members = app.as_person(by, "GET", "/v1/members?limit=100", &Value::Null).json();
    let found = members["items"].as_array().unwrap().iter().find(|one| one["userId"] == user);
    format!("/v1/members/{}", found.unwrap()["id"].as_str().unwrap())
}

fn an_organization_is_shared_transferred_and_left(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "member");
    let organization = format!("/v1/organizations/{}", owner.organization);
    assert_eq!(
        app.as_person(&owner, "POST", &format!("{organization}/leave"), &Value::Null).problem(),
        "last_owner"
    );
    let alone = app.as_person(&owner, "PATCH", &member(app, &owner, &owner.user), &json!({"role": "admin"}));
    assert_eq!((alone.status, alone.problem().as_str()), (409, "last_owner"));
    let to = member(app, &owner, &ann.user).replace("/v1/members/", "");
    assert_eq!(
        app.as_person(&owner, "POST", &format!("{organization}/transfer"), &json!({"member": to})).status,
        204
    );
    let roles = |person: &Person| {
        app.as_person(person, "GET", "/v1/me/organizations", &Value::Null).json()["items"][0]["role"].clone()
    };
    assert_eq!((roles(&ann), roles(&owner)), (json!("owner"), json!("admin")));
    assert_eq!(app.as_person(&owner, "POST", &format!("{organization}/leave"), &Value::Null).status, 204);
    assert_eq!(app.as_person(&owner, "GET", "/v1/members", &Value::Null).problem(), "organization_not_found");
    // Back by an invitation, which is for that address alone.
    let secret = app.invitation(&ann, &json!({"email": "owner@example.org", "role": "guest"}));
    let bob = app.invited(&ann, "bob@example.org", "guest");
    let looked = app.nobody("/v1/auth/invitation", &json!({"token": secret})).json();
    assert_eq!((&looked["organizationName"], &looked["role"]), (&json!("North Wind"), &json!("guest")));
    assert_eq!(
        app.as_person(&bob, "POST", "/v1/auth/invitation/accept", &json!({"token": secret})).problem(),
        "forbidden"
    );
    assert_eq!(
        app.as_person(&owner, "POST", "/v1/auth/invitation/accept", &json!({"token": secret})).status,
        200
    );
    assert_eq!(
        app.as_person(&owner, "POST", "/v1/auth/invitation/accept", &json!({"token": secret})).problem(),
        "link_invalid"
    );
    // Nobody sends again what offers more than is theirs to offer, nor does a letter's link come back to its sender.
    let offer = json!({"email": "carl@example.org", "role": "admin"});
    let offered = app.as_person(&ann, "POST", "/v1/invitations", &offer).json();
    let path = format!("/v1/invitations/{}", offered["id"].as_str().unwrap());
    let mut allow = json!({"allowed": true});
    let grant = "/v1/roles/guest/permissions/members:invite";
    assert_eq!(app.as_person(&ann, "PUT", grant, &allow).status, 200);
    let again = format!("{path}/resend");
    assert_eq!(app.as_person(&bob, "POST", &again, &Value::Null).problem(), "forbidden");
    allow["allowed"] = Value::Null;
    assert_eq!(app.as_person(&ann, "PUT", grant, &allow).status, 200);
    let sent = app.as_person(&ann, "POST", &again, &Value::Null);
    assert_eq!((sent.status, &sent.json()["link"]), (200, &Value::Null));
    let revoked = app.as_person(&ann, "DELETE", &path, &Value::Null);
    assert!(revoked.status < 300, "{}", revoked.text);
    let declined = app.invitation(&ann, &json!({"role": "guest"}));
    assert_eq!(app.nobody("/v1/auth/invitation/decline", &json!({"token": declined})).status, 204);
    assert_eq!(app.nobody("/v1/auth/invitation", &json!({"token": declined})).problem(), "link_invalid");
    let listed = app.as_person(&ann, "GET", "/v1/invitations?count=true", &Value::Null).json();
    let states: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(
        (listed["total"].as_i64(), states.as_slice()),
        (Some(5), &["accepted", "accepted", "accepted", "revoked", "declined"][..])
    );
    assert!(!listed.to_string().contains("stoa_inv_"), "secrets are shown once");
}

fn permissions_are_granted_and_taken(app: &App) {
    let owner = app.owner();
    let viewer = app.invited(&owner, "viewer@example.org", "viewer");
    assert_eq!(app.as_person(&viewer, "GET", "/v1/audit", &Value::Null).problem(), "forbidden");
    let set = |allowed: Value| {
        app.as_person(&owner, "PUT", "/v1/roles/viewer/permissions/audit:read", &json!({"allowed": allowed}))
    };
    assert_eq!(set(json!(true)).status, 200);
    assert_eq!(app.as_person(&viewer, "GET", "/v1/audit", &Value::Null).status, 200, "at once");
    assert_eq!(set(json!(false)).status, 200);
    assert_eq!(app.as_person(&viewer, "GET", "/v1/audit", &Value::Null).problem(), "forbidden");
    assert_eq!(set(Value::Null).status, 200);
    for fixed in [
        "owner/permissions/audit:read",
        "viewer/permissions/grants:update",
        "admin/permissions/organization:purge",
    ] {
        let path = format!("/v1/roles/{fixed}");
        assert_eq!(
            app.as_person(&owner, "PUT", &path, &json!({"allowed": true})).problem(),
            "forbidden",
            "{fixed}"
        );
    }
    let roles = app.as_person(&owner, "GET", "/v1/roles", &Value::Null).json();
    assert_eq!((roles["items"].as_array().unwrap().len(), &roles["items"][0]["role"]), (6, &json!("owner")));
}

fn flags_are_on_for_those_whom_they_are_for(app: &App) {
    let owner = app.owner();
    let guest = app.invited(&owner, "guest@example.org", "guest");
    let set = |body: Value| app.as_person(&owner, "PUT", "/v1/flags/new-editor", &body);
    assert_eq!(set(json!({"about": "the editor", "enabled": true})).json()["on"], true);
    let flags = app.as_person(&guest, "GET", "/v1/flags", &Value::Null).json();
    assert_eq!((&flags["items"][0]["name"], &flags["items"][0]["on"]), (&json!("new-editor"), &json!(true)));
    assert_eq!(set(json!({"percentage": 0})).json()["on"], false);
    assert_eq!(set(json!({"percentage": 101})).problem(), "validation_failed");
    assert_eq!(
        app.as_person(&guest, "PUT", "/v1/flags/new-editor", &json!({"enabled": false})).problem(),
        "forbidden"
    );
    assert_eq!(app.as_person(&owner, "DELETE", "/v1/flags/new-editor", &Value::Null).status, 204);
    assert_eq!(
        app.as_person(&owner, "DELETE", "/v1/flags/new-editor", &Value::Null).problem(),
        "record_not_found"
    );
    let changes = app.as_person(&owner, "GET", "/v1/audit?action=flag.", &Value::Null).json();
    assert_eq!(changes["items"].as_array().unwrap().len(), 3, "every change is in the trail");
}

fn plans_and_credits_hold_organizations_to_their_limits(app: &App) {
    let owner = app.owner();
    let organization = format!("/v1/organizations/{}", owner.organization);
    let put =
        app.with("PUT", &format!("{organization}/plan"), &[], r#"{"plan":"free","limits":{"members":2}}"#);
    assert_eq!((put.status, &put.json()["plan"]), (200, &json!("free")), "{}", put.text);
    app.invited(&owner, "second@example.org", "member");
    let secret = app.invitation(&owner, &json!({"email": "third@example.org"}));
    let body = json!({"email": "third@example.org", "password": PASSWORD, "invitation": secret});
    let third = app.nobody("/v1/auth/register", &body);
    assert_eq!((third.status, third.problem().as_str()), (403, "quota_exceeded"));
    assert!(third.text.contains("2 members"), "{}", third.text);
    // By a link of nobody's: the account is theirs, the place is not.
    let open = app.invitation(&owner, &json!({"role": "guest"}));
    let body = json!({"email": "fourth@example.org", "password": PASSWORD, "invitation": open});
    assert_eq!(app.nobody("/v1/auth/register", &body).status, 202);
    let token = app.letter("fourth@example.org", "verify-email");
    let fourth =
        Person::of(&app.nobody("/v1/auth/verify-email", &json!({"token": token, "password": PASSWORD})));
    let none = app.as_person(&fourth, "GET", "/v1/me/organizations", &Value::Null).json();
    assert_eq!(none["items"], json!([]), "an account is nobody's to withhold");
    let plan = app.as_person(&owner, "GET", "/v1/plan", &Value::Null).json();
    assert_eq!(plan["limits"][0], json!({"name": "members", "limit": 2, "used": 2}));
    let enter = |amount: i64| {
        app.post(
            &format!("{organization}/credits"),
            &json!({"amount": amount, "reason": "a reason"}).to_string(),
        )
    };
    assert_eq!(
        (enter(100).json()["balance"].as_i64(), enter(-30).json()["balance"].as_i64()),
        (Some(100), Some(70))
    );
    assert_eq!(enter(i64::MIN).problem(), "quota_exceeded");
    assert_eq!(enter(i64::MAX).problem(), "validation_failed");
    let unmatched = app.with(
        "POST",
        &format!("{organization}/credits"),
        &[("If-Match", "\"x-1\"")],
        r#"{"amount":1,"reason":"x"}"#,
    );
    assert_eq!(unmatched.problem(), "precondition_failed", "what a caller relies on is not left out");
    assert_eq!(
        (enter(-71).problem().as_str(), enter(0).problem().as_str()),
        ("quota_exceeded", "validation_failed")
    );
    let ledger = app.as_person(&owner, "GET", "/v1/credits", &Value::Null).json();
    let balances: Vec<i64> =
        ledger["items"].as_array().unwrap().iter().map(|one| one["balance"].as_i64().unwrap()).collect();
    assert_eq!(balances, [70, 100]);
    assert_eq!(
        app.as_person(
            &owner,
            "POST",
            &format!("{organization}/credits"),
            &json!({"amount": 1, "reason": "x"})
        )
        .status,
        201,
        "the owner of the installation"
    );
}

fn an_organization_is_purged_and_leaves_a_tombstone(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "member");
    let made = app.founded(&ann, "gone");
    for flag in 0..30 {
        let path = format!("/v1/flags/flag-{flag}");
        assert_eq!(
            app.with("PUT", &path, &[("Authorization", &ann.bearer()), ("Stoa-Organization", "gone")], "{}")
                .status,
            200
        );
    }
    let path = format!("/v1/organizations/{made}/purge");
    assert_eq!(
        app.as_person(&ann, "POST", &path, &json!({"confirmation": "yes"})).problem(),
        "validation_failed"
    );
    assert_eq!(
        app.as_person(&ann, "POST", &path, &json!({"confirmation": "gone"})).json()["state"],
        "purging"
    );
    let tombstone = looks()
        .map(|()| app.get(&format!("/v1/organizations/{made}")).json())
        .find(|one| one["state"] == "purged");
    let tombstone = tombstone.unwrap();
    assert_eq!((&tombstone["name"], &tombstone["contactEmail"]), (&json!("purged"), &Value::Null));
    assert_eq!(
        app.as_person(&ann, "GET", &format!("/v1/organizations/{made}"), &Value::Null).problem(),
        "organization_not_found"
    );
    assert_eq!(app.founded(&ann, "gone").len(), made.len(), "its name is free again");
    let actions = app.get("/v1/admin/audit?limit=100").json();
    assert!(actions["items"].as_array().is_some());
    assert_eq!(
        app.as_person(&owner, "GET", "/v1/members", &Value::Null).status,
        200,
        "nobody else is touched"
    );
}

fn what_is_suspended_is_refused_and_comes_back(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "admin");
    let key = app
        .as_person(&ann, "POST", "/v1/api-keys", &json!({"name": "k", "scopes": ["members:read"]}))
        .json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let organization = format!("/v1/organizations/{}", owner.organization);
    assert_eq!(app.post(&format!("{organization}/suspend"), "").status, 200);
    for token in [&ann.token, &key] {
        let answer = app.by(token, "GET", "/v1/members", &Value::Null);
        assert_eq!((answer.status, answer.problem().as_str()), (403, "organization_suspended"));
    }
    assert_eq!(app.post(&format!("{organization}/resume"), "").status, 200);
    assert_eq!(app.by(&key, "GET", "/v1/members", &Value::Null).status, 200);
    let user = format!("/v1/admin/users/{}", ann.user);
    assert_eq!(app.post(&format!("{user}/suspend"), "").json()["state"], "suspended");
    for token in [&ann.token, &key] {
        assert_eq!(app.by(token, "GET", "/v1/members", &Value::Null).problem(), "not_authenticated");
    }
    assert_eq!(app.sign_in("ann@example.org").problem(), "invalid_credentials");
    assert_eq!(app.post(&format!("{user}/resume"), "").status, 200);
    assert_eq!(app.sign_in("ann@example.org").status, 200);
    assert_eq!(app.by(&key, "GET", "/v1/members", &Value::Null).status, 200);
    assert_eq!(app.post(&format!("/v1/admin/users/{}/suspend", owner.user), "").problem(), "wrong_state");
}

fn the_audit_trail_is_read_exported_and_proved(app: &App) {
    let owner = app.owner();
    app.invited(&owner, "ann@example.org", "member");
    let proof = app.as_person(&owner, "GET", "/v1/audit/verify", &Value::Null).json();
    assert_eq!((&proof["intact"], &proof["problem"]), (&json!(true), &Value::Null));
    let csv = app.as_person(&owner, "GET", "/v1/audit/export?format=csv", &Value::Null);
    assert_eq!((csv.status, csv.header("content-type")), (200, "text/csv; charset=utf-8; header=present"));
    let lines: Vec<&str> = csv.text.lines().collect();
    assert!(lines.len() > 4 && lines[0].starts_with("sequence,time,actor"), "{}", csv.text);
    let rows = app.as_person(&owner, "GET", "/v1/audit/export", &Value::Null).text;
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0]["action"], "audit.exported", "that it was exported is an entry too");
    // Ids and times as everywhere: no number that a reader of JSON would round.
    let diffs: String = rows.iter().map(|row| row["diff"].to_string()).collect();
    assert!(
        diffs.contains(&owner.organization) && diffs.contains(r#""path":"/created_at","value":"20"#),
        "{diffs}"
    );
    assert!(diffs.split(|char: char| !char.is_ascii_digit()).all(|run| run.len() < 16), "{diffs}");
    assert!(
        !csv.text.contains("ann@example.org") && !csv.text.contains("Olga"),
        "what is personal is redacted"
    );
    let mine = app.as_person(&owner, "GET", "/v1/me/audit", &Value::Null).json();
    assert!(
        mine["items"].as_array().unwrap().iter().all(|one| one["actor"] == format!("user:{}", owner.user))
    );
}

#[test]
fn the_operator_makes_an_organization_and_invites_its_owner() {
    let app = App::embedded();
    app.owner();
    assert_eq!(app.post("/v1/organizations", r#"{"slug":"opmade","name":"Made"}"#).status, 201);
    let there = [("Stoa-Organization", "opmade")];
    assert_eq!(app.post("/v1/invitations", r#"{"role":"owner"}"#).problem(), "organization_required");
    let body = r#"{"email":"first@example.org","role":"owner"}"#;
    assert_eq!(app.with("POST", "/v1/invitations", &there, body).status, 201);
    let secret = app.letter("first@example.org", "invitation");
    let body = json!({"email": "first@example.org", "password": PASSWORD, "invitation": secret});
    let first = Person::of(&app.nobody("/v1/auth/register", &body));
    let members = app.as_person(&first, "GET", "/v1/members", &Value::Null).json();
    assert_eq!(members["items"][0]["role"], "owner");
    // What happens there is in its trail, for whoever runs the installation too.
    for path in ["/v1/audit", "/v1/audit/verify", "/v1/plan", "/v1/invitations"] {
        let read = app.with("GET", path, &there, "");
        assert!(read.status == 200, "{path}: {}", read.text);
    }
}

#[test]
fn the_operator_helps_whoever_has_lost_a_second_factor() {
    let app = App::embedded();
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "member");
    let path = format!("/v1/admin/users/{}/reset-factors", ann.user);
    assert_eq!(app.post(&path, "").problem(), "wrong_state", "there is none to lose");
    app.enrolled(&ann);
    assert_eq!(app.sign_in("ann@example.org").json()["mfaPending"], true);
    assert_eq!(app.post(&path, "").status, 204);
    assert_eq!(app.as_person(&ann, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
    let back = app.sign_in("ann@example.org").json();
    assert_eq!((&back["mfaPending"], back["accessToken"].is_string()), (&json!(false), true));
    let entries = app.get("/v1/admin/audit?action=user.factors_reset&limit=100").json();
    assert!(entries["items"].as_array().unwrap().iter().any(|one| one["target"] == ann.user.as_str()));
}

#[test]
fn whoever_forgot_the_password_before_confirming_is_a_member_all_the_same() {
    let app = App::embedded();
    let owner = app.owner();
    let secret = app.invitation(&owner, &json!({"role": "viewer"}));
    let body = json!({"email": "carl@example.org", "password": "mistyped-for-ever", "invitation": secret});
    assert_eq!(app.nobody("/v1/auth/register", &body).status, 202);
    assert_eq!(app.nobody("/v1/auth/password/forgot", &json!({"email": "carl@example.org"})).status / 100, 2);
    let token = app.letter("carl@example.org", "reset-password");
    let reset = app.nobody("/v1/auth/password/reset", &json!({"token": token, "password": PASSWORD}));
    assert_eq!(reset.status / 100, 2, "{}", reset.text);
    let carl = Person::of(&app.sign_in("carl@example.org"));
    let organizations = app.as_person(&carl, "GET", "/v1/me/organizations", &Value::Null).json();
    assert_eq!(organizations["items"][0]["role"], "viewer");
    // The access token alone signs out, too.
    assert_eq!(app.as_person(&carl, "POST", "/v1/auth/sign-out", &Value::Null).status, 204);
    assert_eq!(app.as_person(&carl, "GET", "/v1/me", &Value::Null).problem(), "not_authenticated");
}
