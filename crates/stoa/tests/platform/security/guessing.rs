//! Guessing: names, passwords, codes.

use std::time::Instant;

use serde_json::{Value, json};
use stoa_harness::Redis;

use crate::app::{Answer, App};
use crate::on_both;
use crate::people::{PASSWORD, Person, code};

on_both! {
    sign_in_answers_alike_whatever_is_wrong
    sign_in_takes_the_same_time_for_names_that_there_are_not
    what_sends_letters_answers_alike_whether_there_is_somebody
    registering_a_name_that_is_taken_answers_as_for_one_that_is_not
    passkey_options_are_alike_for_everybody
    a_pending_session_reaches_nothing_else
    a_code_is_good_once_whatever_it_was_shown_for
    a_recovery_code_is_good_once_however_often_it_is_sent
    too_many_wrong_codes_lock_the_factor_for_a_while
    an_address_that_nobody_confirmed_cannot_be_hijacked_before_its_owner_comes
}

fn shape(answer: &Answer) -> (u16, String, Vec<String>) {
    let mut json: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if let Some(members) = json.as_object_mut() {
        members.shift_remove("traceId");
    }
    let own =
        ["x-request-id", "traceparent", "date", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    (answer.status, json.to_string(), headers.map(|(name, value)| format!("{name}: {value}")).collect())
}

/// Users in every state in which signing in is refused.
fn refused(app: &App) -> Vec<&'static str> {
    let owner = app.owner();
    let suspended = app.invited(&owner, "suspended@example.org", "member");
    assert_eq!(app.post(&format!("/v1/admin/users/{}/suspend", suspended.user), "").status, 200);
    let secret = app.invitation(&owner, &json!({"uses": 2}));
    let body = json!({"email": "unverified@example.org", "password": PASSWORD, "invitation": secret});
    assert_eq!(app.nobody("/v1/auth/register", &body).status, 202);
    app.invited(&owner, "wrong@example.org", "member");
    vec!["unknown@example.org", "suspended@example.org", "unverified@example.org", "wrong@example.org"]
}

fn attempt(app: &App, email: &str) -> Answer {
    let password = if email.starts_with("wrong") { "not the password" } else { PASSWORD };
    app.nobody("/v1/auth/sign-in", &json!({"email": email, "password": password}))
}

fn sign_in_answers_alike_whatever_is_wrong(app: &App) {
    let shapes: Vec<_> = refused(app).into_iter().map(|email| (email, shape(&attempt(app, email)))).collect();
    assert_eq!((shapes[0].1.0, shapes[0].1.1.contains("invalid_credentials")), (401, true));
    for (email, other) in &shapes[1..] {
        assert_eq!(*other, shapes[0].1, "{email}");
    }
}

#[expect(clippy::disallowed_methods, reason = "it is the time of the machine that an attacker measures")]
fn sign_in_takes_the_same_time_for_names_that_there_are_not(app: &App) {
    let names = refused(app);
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..60 {
        for step in 0..names.len() {
            // Each name has each place in turn: what every other request costs more (a sync of the disk) is nobody's own.
            let place = (step + round) % names.len();
            let email = names[place];
            let start = Instant::now();
            attempt(app, email);
            // The first rounds warm what is warm afterwards.
            if round >= 10 {
                times[place].push(start.elapsed().as_micros());
            }
        }
    }
    // What else the machine does only adds: of many, the fastest is the work itself.
    let fastest: Vec<u128> = times.iter().map(|times| *times.iter().min().unwrap()).collect();
    let (least, most) = (fastest.iter().min().unwrap(), fastest.iter().max().unwrap());
    // Skipping the hash would make one of them many times as fast.
    assert!(*most < least * 2, "{names:?} take {fastest:?} microseconds");
}

fn what_sends_letters_answers_alike_whether_there_is_somebody(app: &App) {
    app.owner();
    for path in ["/v1/auth/magic-link", "/v1/auth/password/forgot", "/v1/auth/verify-email/resend"] {
        let ask = |email: &str| shape(&app.nobody(path, &json!({"email": email})));
        assert_eq!(ask("owner@example.org"), ask("nobody@example.org"), "{path}");
    }
}

fn registering_a_name_that_is_taken_answers_as_for_one_that_is_not(app: &App) {
    let owner = app.owner();
    let secret = app.invitation(&owner, &json!({"uses": 5}));
    let ask = |email: &str| {
        shape(&app.nobody(
            "/v1/auth/register",
            &json!({"email": email, "password": PASSWORD, "invitation": secret}),
        ))
    };
    assert_eq!(ask("owner@example.org"), ask("new@example.org"));
    let told = (0..3_000).any(|_| {
        app.has_letter("owner@example.org", "You have an account already")
            || app.get("/health/live").status == 0
    });
    assert!(told, "whoever has the address is told");
}

fn passkey_options_are_alike_for_everybody(app: &App) {
    app.owner();
    let ask = |body: Value| {
        let mut options = app.nobody("/v1/auth/passkey/options", &body).json()["options"].clone();
        options["publicKey"]["challenge"] = Value::Null;
        options
    };
    let plain = ask(json!({}));
    assert_eq!(plain, ask(json!({"email": "owner@example.org"})));
    assert_eq!(plain["publicKey"]["allowCredentials"], json!([]), "nobody's passkeys are named");
    assert_eq!(plain["publicKey"]["userVerification"], "required");
}

fn a_pending_session_reaches_nothing_else(app: &App) {
    let owner = app.owner();
    app.enrolled(&owner);
    let pending = Person::of(&app.sign_in("owner@example.org"));
    // The whole table is called in `matrix`; here is what an attacker would like best.
    for (method, path) in [
        ("POST", "/v1/me/totp/disable"),
        ("POST", "/v1/me/recovery-codes"),
        ("POST", "/v1/me/password"),
        ("POST", "/v1/me/passkeys/options"),
        ("POST", "/v1/auth/device/approve"),
        ("POST", "/v1/me/organization"),
        ("GET", "/v1/events/stream"),
        ("POST", "/v1/organizations"),
    ] {
        let answer = app.as_person(&pending, method, path, &json!({}));
        assert_eq!(answer.problem(), "mfa_pending", "{method} {path}");
    }
    let next = app.nobody("/v1/auth/refresh", &json!({"refreshToken": pending.refresh}));
    assert_eq!(next.json()["mfaPending"], true, "refreshing makes it no better");
    let next = Person::of(&next);
    assert_eq!(app.as_person(&next, "GET", "/v1/members", &Value::Null).problem(), "mfa_pending");
}

fn a_code_is_good_once_whatever_it_was_shown_for(app: &App) {
    let owner = app.owner();
    let (totp, codes) = app.enrolled(&owner);
    let now = json!({"code": code(&totp, 0)});
    let first = Person::of(&app.sign_in("owner@example.org"));
    let second = Person::of(&app.sign_in("owner@example.org"));
    let full = Person::of(&app.as_person(&first, "POST", "/v1/auth/mfa/code", &now));
    let again = app.as_person(&second, "POST", "/v1/auth/mfa/code", &now);
    let wrong = app.as_person(&second, "POST", "/v1/auth/mfa/code", &json!({"code": "123456"}));
    assert_eq!(shape(&again), shape(&wrong), "used and wrong are answered alike");
    // Nor the one of enrolment, nor for stepping up, nor for removing.
    assert_eq!(
        app.as_person(&second, "POST", "/v1/auth/mfa/code", &json!({"code": code(&totp, -1)})).problem(),
        "code_invalid"
    );
    assert_eq!(app.as_person(&full, "POST", "/v1/auth/mfa/code", &now).problem(), "code_invalid");
    assert_eq!(app.as_person(&full, "POST", "/v1/me/totp/disable", &json!({"code": codes[0]})).status, 204);
}

fn a_recovery_code_is_good_once_however_often_it_is_sent(app: &App) {
    let owner = app.owner();
    let (_, codes) = app.enrolled(&owner);
    let sessions: Vec<Person> = (0..8).map(|_| Person::of(&app.sign_in("owner@example.org"))).collect();
    let body = json!({"code": codes[3]});
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let sent: Vec<_> = sessions
            .iter()
            .map(|session| scope.spawn(|| app.as_person(session, "POST", "/v1/auth/mfa/code", &body).status))
            .collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 422, 429].contains(status)), "{answers:?}");
}

fn too_many_wrong_codes_lock_the_factor_for_a_while(app: &App) {
    let owner = app.owner();
    let (totp, _) = app.enrolled(&owner);
    let pending = Person::of(&app.sign_in("owner@example.org"));
    let send = |code: &str| app.as_person(&pending, "POST", "/v1/auth/mfa/code", &json!({"code": code}));
    for wrong in 0..5 {
        assert_eq!(send(&format!("00000{wrong}")).problem(), "code_invalid");
    }
    let locked = send(&code(&totp, 0));
    assert_eq!((locked.status, locked.problem().as_str()), (429, "factor_locked"), "also for the right one");
    let seconds: u32 = locked.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(app.sign_in("owner@example.org").status, 200, "the password is not locked by it");
}

fn an_address_that_nobody_confirmed_cannot_be_hijacked_before_its_owner_comes(app: &App) {
    let owner = app.owner();
    let secret = app.invitation(&owner, &json!({"uses": 5}));
    let attacker =
        json!({"email": "victim@example.org", "password": "attacker chose it", "invitation": secret});
    assert_eq!(app.nobody("/v1/auth/register", &attacker).status, 202);
    let letter = app.letter("victim@example.org", "verify-email");
    // The victim opens the letter, but does not know the password: nothing is confirmed.
    assert_eq!(
        app.nobody("/v1/auth/verify-email", &json!({"token": letter, "password": "victim guesses"}))
            .problem(),
        "invalid_credentials"
    );
    // The victim comes by a link: the account is theirs, and the password that somebody else chose is gone.
    assert_eq!(app.nobody("/v1/auth/magic-link", &json!({"email": "victim@example.org"})).status, 202);
    let link = app.letter("victim@example.org", "magic-link");
    assert_eq!(app.nobody("/v1/auth/magic-link/exchange", &json!({"token": link})).status, 200);
    let attacker = app
        .nobody("/v1/auth/sign-in", &json!({"email": "victim@example.org", "password": "attacker chose it"}));
    assert_eq!(attacker.problem(), "invalid_credentials");
}

fn limited(settings: &[(&str, &str)]) -> App {
    let settings: Vec<(&str, &str)> =
        [("STOA_LIMITS__ATTEMPTS_PER_MINUTE", "5")].into_iter().chain(settings.iter().copied()).collect();
    App::with_settings(None, &settings)
}

#[test]
fn guessing_the_password_of_a_name_is_slowed_down_also_where_there_is_no_such_name() {
    let app = limited(&[]);
    app.owner();
    for email in ["owner@example.org", "nobody@example.org"] {
        let guess = |email: &str| {
            app.nobody("/v1/auth/sign-in", &json!({"email": email, "password": "guess after guess"}))
        };
        for _ in 0..5 {
            assert_eq!(guess(email).problem(), "invalid_credentials");
        }
        let late = guess(&email.to_uppercase());
        assert_eq!(
            (late.status, late.problem().as_str()),
            (429, "rate_limited"),
            "in whichever case it is written"
        );
        assert!(late.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert_eq!((late.header("x-ratelimit-limit"), late.header("x-ratelimit-remaining")), ("5", "0"));
        assert!(
            late.header("ratelimit").contains("r=0") && late.header("ratelimit-policy").contains("q=5"),
            "{}",
            late.header("ratelimit")
        );
    }
    // The owner is not locked out: passkeys are never counted.
    for _ in 0..30 {
        assert_eq!(app.nobody("/v1/auth/passkey/options", &json!({})).status, 200);
    }
}

#[test]
fn spraying_one_password_over_many_names_is_slowed_down_by_address_whatever_headers_say() {
    let app = limited(&[]);
    app.owner();
    let mut statuses = Vec::new();
    for victim in 0..60 {
        let body =
            json!({"email": format!("victim{victim}@example.org"), "password": "Summer2026!"}).to_string();
        let forged = format!("203.0.113.{victim}");
        let headers = [
            ("Authorization", ""),
            ("X-Forwarded-For", forged.as_str()),
            ("X-Real-IP", &forged),
            ("Forwarded", &format!("for={forged}")),
            ("CF-Connecting-IP", &forged),
            ("True-Client-IP", &forged),
        ];
        statuses.push(app.with("POST", "/v1/auth/sign-in", &headers, &body).status);
    }
    let through = statuses.iter().filter(|status| **status == 401).count();
    assert!((40..=50).contains(&through) && statuses[59] == 429, "{statuses:?}");
}

#[test]
fn while_redis_is_away_nobody_guesses_and_everything_else_goes_on() {
    let redis = Redis::start();
    let app = limited(&[("REDIS_URL", &redis.url())]);
    let owner = app.owner();
    let guess =
        || app.nobody("/v1/auth/sign-in", &json!({"email": "owner@example.org", "password": "guess"}));
    assert_eq!(guess().problem(), "invalid_credentials");
    drop(redis);
    for _ in 0..20 {
        let answer = guess();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "overloaded"),
            "what cannot be counted is refused"
        );
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(app.as_person(&owner, "GET", "/v1/members", &Value::Null).status, 200, "who is in stays in");
    assert_eq!(app.nobody("/v1/auth/refresh", &json!({"refreshToken": owner.refresh})).status, 200);
}
