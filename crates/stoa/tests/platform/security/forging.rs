//! Forging: tokens, cookies, requests of other sites. (Tokens with other heads, claims and signatures: `stoa-identity`, `session.rs`.)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use crate::app::{App, ORIGIN};
use crate::on_both;
use crate::people::{PASSWORD, Person};

on_both! {
    a_token_without_its_signature_or_with_another_is_nobodys
    every_cookie_has_its_flags
    a_request_of_another_site_is_refused_although_the_cookie_is_there
    pages_of_other_origins_are_told_nothing
    a_session_is_another_one_after_every_step
    a_key_is_good_for_what_it_is_for
    what_was_typed_is_inert_wherever_it_is_shown
}

fn a_token_without_its_signature_or_with_another_is_nobodys(app: &App) {
    let owner = app.owner();
    let parts: Vec<&str> = owner.token.split('.').collect();
    let head: Value = serde_json::from_slice(&BASE64.decode(parts[0]).unwrap()).unwrap();
    assert_eq!((&head["typ"], &head["alg"]), (&json!("at+jwt"), &json!("HS256")));
    let encode = |value: &Value| BASE64.encode(value.to_string());
    let with = |name: &str, value: Value| {
        let mut head = head.clone();
        head[name] = value;
        encode(&head)
    };
    let claims: Value = serde_json::from_slice(&BASE64.decode(parts[1]).unwrap()).unwrap();
    for name in ["iss", "aud", "exp", "iat", "sub", "jti", "sid", "org", "role", "amr"] {
        assert!(!claims[name].is_null(), "{name}");
    }
    for forged in [
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", with("alg", json!("none")), parts[1]),
        format!("{}.{}.{}", with("alg", json!("none")), parts[1], parts[2]),
        format!("{}.{}.{}", with("kid", json!("sig_0000000000000")), parts[1], parts[2]),
        format!("{}.{}.{}", with("jku", json!("https://evil.example")), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], encode(&json!({"sub": owner.user})), parts[2]),
    ] {
        let answer = app.by(&forged, "GET", "/v1/me", &Value::Null);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "not_authenticated"), "{forged}");
        assert!(answer.header("www-authenticate").contains("invalid_token"));
    }
    assert_eq!(app.by(&owner.token, "GET", "/v1/me", &Value::Null).status, 200);
}

const OWN: [(&str, &str); 2] = [("Authorization", ""), ("Origin", ORIGIN)];

/// Signs in as a page does: the cookies that it is given, as it sends them, and what it reads from one of them.
fn page(app: &App) -> (String, String) {
    let body = json!({"email": "owner@example.org", "password": PASSWORD, "session": "cookie"}).to_string();
    let answer = app.with("POST", "/v1/auth/sign-in", &OWN, &body);
    assert_eq!(
        (answer.status, &answer.json()["refreshToken"]),
        (200, &Value::Null),
        "no script gets the refresh token"
    );
    cookies(&answer.all("set-cookie"))
}

fn cookies(set: &[&str]) -> (String, String) {
    let pairs: Vec<&str> = set.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    let csrf = pairs.iter().find_map(|pair| pair.split_once("stoa_csrf=")).unwrap().1.to_owned();
    (pairs.join("; "), csrf)
}

fn every_cookie_has_its_flags(app: &App) {
    app.owner();
    let body = json!({"email": "owner@example.org", "password": PASSWORD, "session": "cookie"}).to_string();
    let set = app.with("POST", "/v1/auth/sign-in", &OWN, &body);
    let set = set.all("set-cookie");
    assert_eq!(set.len(), 2);
    for cookie in set {
        assert!(
            cookie.contains("; SameSite=Lax") && cookie.contains("; Max-Age=") && !cookie.contains("Domain"),
            "{cookie}"
        );
        let is_refresh = cookie.starts_with("stoa_refresh=");
        assert_eq!(
            (cookie.contains("; HttpOnly"), cookie.contains("; Path=/v1/auth;")),
            (is_refresh, is_refresh),
            "{cookie}"
        );
    }
}

#[test]
fn over_tls_cookies_are_secure_and_bound_by_their_prefix() {
    let app = App::with_settings(None, &[("STOA_SERVER__PUBLIC_URL", "https://stoa.example")]);
    app.owner();
    let body = json!({"email": "owner@example.org", "password": PASSWORD, "session": "cookie"}).to_string();
    let answer = app.with(
        "POST",
        "/v1/auth/sign-in",
        &[("Authorization", ""), ("Origin", "https://stoa.example")],
        &body,
    );
    let set = answer.all("set-cookie");
    assert!(set.iter().any(|cookie| cookie.starts_with("__Secure-stoa_refresh=")), "{set:?}");
    assert!(
        set.iter().any(|cookie| cookie.starts_with("__Host-stoa_csrf=") && cookie.contains("; Path=/;")),
        "{set:?}"
    );
    assert!(set.iter().all(|cookie| cookie.ends_with("; Secure")), "{set:?}");
}

fn a_request_of_another_site_is_refused_although_the_cookie_is_there(app: &App) {
    app.owner();
    let (cookie, csrf) = page(app);
    let ask = |path: &str, origin: &[(&str, &str)], csrf: &str| {
        let mut headers = vec![("Authorization", ""), ("Cookie", cookie.as_str()), ("Stoa-CSRF", csrf)];
        headers.extend_from_slice(origin);
        app.with("POST", path, &headers, "")
    };
    let other = page(app).1;
    for path in ["/v1/auth/refresh", "/v1/auth/sign-out"] {
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost",
            "http://localhost:8081",
            "https://localhost:8080",
            "http://localhost:8080.evil.example",
            "http://evil.example/http://localhost:8080",
            "HTTP://LOCALHOST:8080",
        ] {
            assert_eq!(
                ask(path, &[("Origin", origin)], &csrf).problem(),
                "csrf_failed",
                "{path} from {origin}"
            );
        }
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(
                ask(path, &[("Sec-Fetch-Site", site)], &csrf).problem(),
                "csrf_failed",
                "{path} {site}"
            );
        }
        assert_eq!(ask(path, &[], &csrf).problem(), "csrf_failed", "{path} without saying where from");
        for wrong in ["", "x", &other] {
            assert_eq!(
                ask(path, &[("Origin", ORIGIN)], wrong).problem(),
                "csrf_failed",
                "{path} with the token of another session"
            );
        }
    }
    let body = json!({"email": "owner@example.org", "password": PASSWORD, "session": "cookie"}).to_string();
    let planted = app.with(
        "POST",
        "/v1/auth/sign-in",
        &[("Authorization", ""), ("Origin", "https://evil.example")],
        &body,
    );
    assert_eq!(planted.problem(), "csrf_failed", "another site signs nobody in");
    let refreshed = ask("/v1/auth/refresh", &[("Origin", ORIGIN)], &csrf);
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    let ended = app.with(
        "POST",
        "/v1/auth/sign-out",
        &[
            ("Authorization", ""),
            ("Cookie", &cookies(&refreshed.all("set-cookie")).0),
            ("Stoa-CSRF", &csrf),
            ("Sec-Fetch-Site", "same-origin"),
        ],
        "",
    );
    assert_eq!(ended.status, 204);
    assert!(ended.all("set-cookie").iter().all(|cookie| cookie.contains("Max-Age=0")));
}

fn pages_of_other_origins_are_told_nothing(app: &App) {
    let owner = app.owner();
    for origin in ["https://evil.example", "null", "http://localhost:8081"] {
        let answer = app.with("GET", "/v1/me", &[("Authorization", &owner.bearer()), ("Origin", origin)], "");
        assert_eq!(
            (
                answer.status,
                answer.header("access-control-allow-origin"),
                answer.header("access-control-allow-credentials")
            ),
            (200, "", "")
        );
        let asked = app.with(
            "OPTIONS",
            "/v1/me",
            &[
                ("Authorization", ""),
                ("Origin", origin),
                ("Access-Control-Request-Method", "GET"),
                ("Access-Control-Request-Headers", "authorization"),
            ],
            "",
        );
        assert_eq!(asked.header("access-control-allow-origin"), "", "{origin}");
    }
}

fn a_session_is_another_one_after_every_step(app: &App) {
    let owner = app.owner();
    let (_, codes) = app.enrolled(&owner);
    let pending = Person::of(&app.sign_in("owner@example.org"));
    let full = Person::of(&app.as_person(&pending, "POST", "/v1/auth/mfa/code", &json!({"code": codes[0]})));
    assert!(pending.session != full.session && pending.refresh != full.refresh);
    assert_eq!(
        app.nobody("/v1/auth/refresh", &json!({"refreshToken": pending.refresh})).problem(),
        "not_authenticated",
        "what was planted before is of no use after"
    );
    let cookie = format!("stoa_refresh={}; stoa_refresh=planted", full.refresh);
    let twice = app.with(
        "POST",
        "/v1/auth/refresh",
        &[("Authorization", ""), ("Cookie", &cookie), ("Origin", ORIGIN)],
        "",
    );
    assert_eq!(twice.problem(), "not_authenticated", "of two cookies of one name neither is ours");
}

fn a_key_is_good_for_what_it_is_for(app: &App) {
    let owner = app.owner();
    let developer = app.invited(&owner, "dev@example.org", "developer");
    let make = |person: &Person, body: Value| app.as_person(person, "POST", "/v1/api-keys", &body);
    assert_eq!(
        make(&developer, json!({"name": "k", "scopes": ["audit:read"]})).problem(),
        "forbidden",
        "no more than one has oneself"
    );
    assert_eq!(make(&developer, json!({"name": "k", "scopes": []})).problem(), "validation_failed");
    assert_eq!(
        make(&developer, json!({"name": "k", "scopes": ["nothing:read"], "networks": ["x"], "days": 0}))
            .json()["errors"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let made = make(&developer, json!({"name": "k", "scopes": ["members:read", "flags:update"]})).json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap().to_owned());
    assert_eq!(app.by(&key, "GET", "/v1/members", &Value::Null).status, 200);
    assert_eq!(app.with("GET", "/v1/members", &[("Authorization", ""), ("X-API-Key", &key)], "").status, 200);
    assert_eq!(
        app.by(&key, "GET", "/v1/credits", &Value::Null).problem(),
        "forbidden",
        "only what it is for"
    );
    assert_eq!(app.by(&key, "GET", "/v1/me", &Value::Null).problem(), "forbidden", "a key is nobody");
    assert_eq!(make_by(app, &key).problem(), "forbidden", "a key makes no keys");
    let elsewhere = app.founded(&owner, "elsewhere");
    let named = app.with(
        "GET",
        "/v1/members",
        &[("Authorization", &format!("Bearer {key}")), ("Stoa-Organization", &elsewhere)],
        "",
    );
    assert_eq!(named.problem(), "organization_not_found", "of one organization alone");
    // Altered anywhere, it is none.
    for at in [5, 9, 14, 30, 60, 71] {
        let mut other = key.clone().into_bytes();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(
            app.by(&String::from_utf8(other).unwrap(), "GET", "/v1/members", &Value::Null).problem(),
            "not_authenticated"
        );
    }
    // Shown once.
    assert_eq!(
        app.as_person(&owner, "GET", &format!("/v1/api-keys/{id}"), &Value::Null).json()["key"],
        Value::Null
    );
    // Rotated with grace, both work; without, the old one does not.
    let path = format!("/v1/api-keys/{id}/rotate");
    assert_eq!(
        app.as_person(&owner, "POST", &path, &json!({})).problem(),
        "forbidden",
        "who has the new key acts as its maker: nobody else rotates it"
    );
    let rotate = |grace: u32| {
        app.as_person(&developer, "POST", &path, &json!({"graceSeconds": grace})).json()["key"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let second = rotate(60);
    assert_eq!(
        (
            app.by(&key, "GET", "/v1/members", &Value::Null).status,
            app.by(&second, "GET", "/v1/members", &Value::Null).status
        ),
        (200, 200)
    );
    let third = rotate(0);
    assert_eq!(
        (
            app.by(&second, "GET", "/v1/members", &Value::Null).status,
            app.by(&third, "GET", "/v1/members", &Value::Null).status
        ),
        (401, 200)
    );
    // With whoever made it, it loses its permissions.
    let members = app.as_person(&owner, "GET", "/v1/members?limit=100", &Value::Null).json();
    let member = members["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["userId"] == developer.user.as_str())
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/members/{member}");
    assert_eq!(app.as_person(&owner, "PATCH", &path, &json!({"role": "member"})).status, 200);
    assert_eq!(app.by(&third, "PUT", "/v1/flags/x", &json!({})).problem(), "forbidden");
    assert_eq!(app.by(&third, "GET", "/v1/members", &Value::Null).status, 200);
    assert_eq!(app.as_person(&owner, "DELETE", &format!("/v1/api-keys/{id}"), &Value::Null).status, 200);
    assert_eq!(app.by(&third, "GET", "/v1/members", &Value::Null).problem(), "not_authenticated");
    // From its networks alone, and no more often than it may.
    let bound = make(&owner, json!({"name": "k", "scopes": ["members:read"], "networks": ["192.0.2.0/24"]}))
        .json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let headers = [("Authorization", format!("Bearer {bound}")), ("X-Forwarded-For", "192.0.2.1".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(app.with("GET", "/v1/members", &headers, "").problem(), "forbidden", "whatever a header says");
    let slow =
        make(&owner, json!({"name": "k", "scopes": ["members:read"], "ratePerMinute": 3})).json()["key"]
            .as_str()
            .unwrap()
            .to_owned();
    let statuses: Vec<u16> =
        (0..5).map(|_| app.by(&slow, "GET", "/v1/members", &Value::Null).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

fn make_by(app: &App, key: &str) -> crate::app::Answer {
    app.by(key, "POST", "/v1/api-keys", &json!({"name": "k", "scopes": ["members:read"]}))
}

fn what_was_typed_is_inert_wherever_it_is_shown(app: &App) {
    let owner = app.owner();
    let typed = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`${7*7}{{7*7}}=1+1";
    assert_eq!(app.as_person(&owner, "PATCH", "/v1/me", &json!({"name": typed})).status, 200);
    let organization = format!("/v1/organizations/{}", owner.organization);
    assert_eq!(app.as_person(&owner, "PATCH", &organization, &json!({"name": typed})).status, 200);
    app.as_person(&owner, "PUT", "/v1/flags/f", &json!({"about": typed}));
    for path in ["/v1/me", &organization, "/v1/flags", "/v1/members"] {
        let answer = app.as_person(&owner, "GET", path, &Value::Null);
        assert_eq!(
            (answer.header("content-type"), answer.header("x-content-type-options")),
            ("application/json", "nosniff"),
            "{path}"
        );
        assert!(answer.text.contains("script>"), "it is kept as it was typed");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    }
    // In a letter it is text.
    app.invitation(&owner, &json!({"email": "guest@example.org"}));
    app.letter("guest@example.org", "invitation");
    let letters = std::fs::read_dir(app.data().join("outbox"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    for letter in letters.map(|letter| letter.replace("=\r\n", "").replace("=3D", "=")) {
        let html = letter.split("text/html").nth(1).unwrap_or_default();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(
            !letter.split("\r\n\r\n").next().unwrap().contains("script>\r\n"),
            "nor does it make headers"
        );
    }
    // In a spreadsheet it is no formula, and in the trail nothing of it is.
    let csv = app.as_person(&owner, "GET", "/v1/audit/export?format=csv", &Value::Null).text;
    assert!(csv.lines().all(|line| !line.contains(",\"=") && !line.contains(",=")));
    // Pages take nothing from an address.
    for page in ["/sign-in", "/invitation", "/device"] {
        let answer = app.with(
            "GET",
            &format!("{page}?error=%3Cscript%3Ealert(1)%3C/script%3E&code=%22%3E%3Cscript%3E"),
            &[("Authorization", "")],
            "",
        );
        assert!(answer.status == 200 && !answer.text.contains("alert(1)"), "{page}");
        let policy = answer.header("content-security-policy").to_owned();
        assert!(
            policy.contains("script-src 'self'")
                && !policy.contains("unsafe")
                && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(
            !answer.text.contains("onclick") && !answer.text.contains("style=\""),
            "{page} has nothing inline"
        );
    }
}

#[test]
fn the_address_of_a_client_is_told_by_the_proxies_that_the_operator_named() {
    let app = App::with_settings(None, &[("STOA_SERVER__TRUSTED_PROXIES", "127.0.0.1/32,10.0.0.0/8")]);
    let owner = app.owner();
    let body = json!({"name": "k", "scopes": ["members:read"], "networks": ["192.0.2.0/24"]});
    let made = app.as_person(&owner, "POST", "/v1/api-keys", &body).json();
    let key = format!("Bearer {}", made["key"].as_str().unwrap());
    let from = |heard: &str| {
        app.with("GET", "/v1/members", &[("Authorization", &key), ("X-Forwarded-For", heard)], "").status
    };
    assert_eq!((from("192.0.2.1"), from("198.51.100.1")), (200, 403));
    assert_eq!(from("192.0.2.1, 198.51.100.1"), 403, "what stands left of the client, the client wrote");
    assert_eq!(from("198.51.100.1, 192.0.2.1, 10.1.1.1"), 200);
    assert_eq!(from("nonsense"), 403);
}
