//! Passkeys: what a phone does, and what an attacker would like it to do.

use serde_json::{Value, json};

use crate::app::{Answer, App};
use crate::authenticator::{Authenticator, USER_VERIFIED};
use crate::on_both;
use crate::people::{PASSWORD, Person};

on_both! {
    a_passkey_signs_in_without_a_name_and_is_a_second_factor
    an_assertion_is_taken_once
    an_assertion_for_another_site_is_refused
    a_counter_that_goes_back_is_refused
    a_passkey_belongs_to_one_user_alone
    the_last_way_to_sign_in_stays
}

fn registered(app: &App, person: &Person, authenticator: &mut Authenticator) -> Answer {
    let begun = app.as_person(person, "POST", "/v1/me/passkeys/options", &json!({"name": "Phone"}));
    assert_eq!(begun.status, 200, "{}", begun.text);
    let begun = begun.json();
    let selection = &begun["options"]["publicKey"]["authenticatorSelection"];
    assert_eq!(
        (&selection["residentKey"], &selection["userVerification"]),
        (&json!("required"), &json!("required"))
    );
    let credential = authenticator.create(&begun["options"]);
    app.as_person(
        person,
        "POST",
        "/v1/me/passkeys",
        &json!({"ceremony": begun["ceremony"], "credential": credential}),
    )
}

fn begin(app: &App) -> Value {
    app.nobody("/v1/auth/passkey/options", &json!({})).json()
}

fn end(app: &App, begun: &Value, credential: &Value) -> Answer {
    app.nobody("/v1/auth/passkey", &json!({"ceremony": begun["ceremony"], "credential": credential}))
}

fn a_passkey_signs_in_without_a_name_and_is_a_second_factor(app: &App) {
    let owner = app.owner();
    let mut phone = Authenticator::new(1);
    let made = registered(app, &owner, &mut phone);
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(
        made.json()["recoveryCodes"].as_array().unwrap().len(),
        10,
        "with the first factor come recovery codes"
    );
    let begun = begin(app);
    let signed_in = end(app, &begun, &phone.get(&begun["options"]));
    assert_eq!(
        (signed_in.status, &signed_in.json()["mfaPending"]),
        (200, &json!(false)),
        "{}",
        signed_in.text
    );
    // After a password it is the second factor.
    let pending = Person::of(&app.sign_in("owner@example.org"));
    let begun = app.as_person(&pending, "POST", "/v1/auth/mfa/passkey/options", &json!({})).json();
    assert_eq!(begun["options"]["publicKey"]["allowCredentials"].as_array().unwrap().len(), 1);
    let body = json!({"ceremony": begun["ceremony"], "credential": phone.get(&begun["options"])});
    let full = app.as_person(&pending, "POST", "/v1/auth/mfa/passkey", &body);
    assert_eq!((full.status, &full.json()["mfaPending"]), (200, &json!(false)), "{}", full.text);
    let passkeys = app.as_person(&Person::of(&full), "GET", "/v1/me/factors", &Value::Null).json();
    let id = passkeys["passkeys"][0]["id"].as_str().unwrap().to_owned();
    let renamed =
        app.as_person(&owner, "PATCH", &format!("/v1/me/passkeys/{id}"), &json!({"name": "Old phone"}));
    assert_eq!(renamed.json()["name"], "Old phone");
}

fn an_assertion_is_taken_once(app: &App) {
    let owner = app.owner();
    let mut phone = Authenticator::new(1);
    assert_eq!(registered(app, &owner, &mut phone).status, 201);
    let begun = begin(app);
    let credential = phone.get(&begun["options"]);
    assert_eq!(end(app, &begun, &credential).status, 200);
    assert_eq!(end(app, &begun, &credential).problem(), "link_invalid", "its challenge is burned");
    let other = begin(app);
    assert_eq!(end(app, &other, &credential).problem(), "invalid_credentials", "and it answers no other");
    assert_eq!(
        end(app, &other, &phone.get(&other["options"])).problem(),
        "link_invalid",
        "which a wrong answer burns too"
    );
    // A challenge of one kind is none of another.
    let registration = app.as_person(&owner, "POST", "/v1/me/passkeys/options", &json!({"name": "x"})).json();
    assert_eq!(end(app, &registration, &credential).problem(), "link_invalid");
    let at_once: Vec<u16> = {
        let begun = begin(app);
        let credential = phone.get(&begun["options"]);
        std::thread::scope(|scope| {
            let sent: Vec<_> = (0..8).map(|_| scope.spawn(|| end(app, &begun, &credential).status)).collect();
            sent.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    assert_eq!(at_once.iter().filter(|status| **status == 200).count(), 1, "{at_once:?}");
}

fn an_assertion_for_another_site_is_refused(app: &App) {
    let owner = app.owner();
    let mut phone = Authenticator::new(1);
    assert_eq!(registered(app, &owner, &mut phone).status, 201);
    let mut attempt = |change: &dyn Fn(&mut Authenticator)| {
        let (origin, rp) = (phone.origin.clone(), phone.rp.clone());
        change(&mut phone);
        let begun = begin(app);
        let answer = end(app, &begun, &phone.get(&begun["options"]));
        (phone.origin, phone.rp, phone.flags) = (origin, rp, USER_VERIFIED);
        answer
    };
    for origin in [
        "https://evil.example",
        "http://localhost:8081",
        "https://localhost:8080",
        "http://localhost.evil.example:8080",
        "null",
        "",
    ] {
        assert_eq!(
            attempt(&|phone| phone.origin = origin.to_owned()).problem(),
            "invalid_credentials",
            "{origin}"
        );
    }
    for rp in ["evil.example", "", "127.0.0.1", "LOCALHOST"] {
        assert_eq!(attempt(&|phone| phone.rp = rp.to_owned()).problem(), "invalid_credentials", "{rp}");
    }
    assert_eq!(
        attempt(&|phone| phone.flags = 0).problem(),
        "invalid_credentials",
        "without the user being verified"
    );
    assert_eq!(attempt(&|_| ()).status, 200);
}

fn a_counter_that_goes_back_is_refused(app: &App) {
    let owner = app.owner();
    let mut phone = Authenticator::new(1);
    phone.counter = 50;
    assert_eq!(registered(app, &owner, &mut phone).status, 201);
    let attempt = |phone: &mut Authenticator| {
        let begun = begin(app);
        end(app, &begun, &phone.get(&begun["options"]))
    };
    assert_eq!(attempt(&mut phone).status, 200);
    phone.counter = 30;
    assert_eq!(attempt(&mut phone).problem(), "invalid_credentials", "a copy counts by itself");
    let noted = app.get("/v1/admin/audit?action=passkey.refused").json();
    assert_eq!(noted["items"].as_array().unwrap().len(), 1, "and it is in the trail");
}

fn a_passkey_belongs_to_one_user_alone(app: &App) {
    let owner = app.owner();
    let ann = app.invited(&owner, "ann@example.org", "member");
    let mut phone = Authenticator::new(1);
    assert_eq!(registered(app, &owner, &mut phone).status, 201);
    let mut copy = Authenticator::new(1);
    assert_eq!(
        registered(app, &ann, &mut copy).problem(),
        "duplicate",
        "ids of credentials are unique everywhere"
    );
    let begun = begin(app);
    assert_eq!(
        end(app, &begun, &copy.get(&begun["options"])).problem(),
        "invalid_credentials",
        "nor does it claim to be somebody else's"
    );
    // A ceremony of one user is not ended by another.
    let begun = app.as_person(&owner, "POST", "/v1/me/passkeys/options", &json!({"name": "x"})).json();
    let mut second = Authenticator::new(2);
    let body = json!({"ceremony": begun["ceremony"], "credential": second.create(&begun["options"])});
    assert_eq!(app.as_person(&ann, "POST", "/v1/me/passkeys", &body).problem(), "link_invalid");
}

fn the_last_way_to_sign_in_stays(app: &App) {
    let owner = app.owner();
    let mut phone = Authenticator::new(1);
    let made = registered(app, &owner, &mut phone).json();
    let path = format!("/v1/me/passkeys/{}", made["passkey"]["id"].as_str().unwrap());
    assert_eq!(app.as_person(&owner, "DELETE", &path, &Value::Null).status, 204, "there is a password");
    assert_eq!(app.as_person(&owner, "DELETE", &path, &Value::Null).problem(), "record_not_found");
    assert_eq!(
        app.nobody("/v1/auth/sign-in", &json!({"email": "owner@example.org", "password": PASSWORD})).json()["mfaPending"],
        false
    );
}
