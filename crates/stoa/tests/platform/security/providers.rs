//! Providers: one that does as it should, and ones that do not.

use serde_json::{Value, json};

use crate::app::{Answer, App, database};
use crate::issuer::Issuer;
use crate::people::Person;

const OPEN: [(&str, &str); 2] =
    [("STOA_OUTBOUND__ALLOWED_NETWORKS", "127.0.0.1/32"), ("STOA_IDENTITY__REGISTRATION", "open")];

fn app() -> App {
    App::with_settings(None, &OPEN)
}

/// Adds an issuer for everybody; its id.
fn added(app: &App, issuer: &Issuer, slug: &str) -> String {
    let body = json!({"slug": slug, "kind": "oidc", "name": slug, "issuer": issuer.url, "clientId": "stoa", "clientSecret": "secret"});
    let made = app.post("/v1/admin/identity-providers", &body.to_string());
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// A browser that was sent to a provider.
struct Sent {
    cookie: String,
    query: Vec<(String, String)>,
}

impl Sent {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 303, "{}", answer.text);
        let query = answer.header("location").split_once('?').unwrap().1;
        let decode = |text: &str| {
            let bytes = text.replace('+', " ");
            let mut decoded = Vec::new();
            let mut rest = bytes.as_bytes();
            while let Some((&first, more)) = rest.split_first() {
                let hex = (first == b'%')
                    .then(|| u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap());
                decoded.push(hex.unwrap_or(first));
                rest = if hex.is_some() { &more[2..] } else { more };
            }
            String::from_utf8(decoded).unwrap()
        };
        let pair =
            |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), decode(value))).unwrap();
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { cookie, query: query.split('&').map(pair).collect() }
    }

    fn value(&self, name: &str) -> &str {
        self.query.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

fn start(app: &App, provider: &str, query: &str) -> Sent {
    Sent::of(&app.with(
        "GET",
        &format!("/v1/auth/providers/{provider}/start{query}"),
        &[("Authorization", "")],
        "",
    ))
}

fn claims(issuer: &Issuer, sent: &Sent) -> Value {
    use stoa_kernel::clock::Clock as _;
    let now = stoa_runtime::clock::SystemClock.now().0 / 1_000_000;
    json!({
        "iss": issuer.url, "aud": "stoa", "sub": "subject-1", "nonce": sent.value("nonce"), "iat": now, "exp": now + 300,
        "email": "ada@example.org", "email_verified": true, "name": "Ada"
    })
}

fn head() -> Value {
    json!({"alg": "ES256", "kid": "k1", "typ": "JWT"})
}

fn back(app: &App, sent: &Sent, query: &str) -> Answer {
    let path = format!("/v1/auth/callback?state={}&{query}", sent.value("state"));
    app.with("GET", &path, &[("Authorization", ""), ("Cookie", &sent.cookie)], "")
}

/// Goes there and back, with an ID token as it is told.
fn round(app: &App, issuer: &Issuer, provider: &str, head: &Value, change: impl Fn(&mut Value)) -> Answer {
    let sent = start(app, provider, "");
    let mut claims = claims(issuer, &sent);
    change(&mut claims);
    issuer.says(
        "/token",
        &json!({"id_token": issuer.sign(head, &claims), "access_token": "x", "token_type": "Bearer"}),
    );
    back(app, &sent, "code=c")
}

fn is_in(answer: &Answer) -> bool {
    answer.all("set-cookie").iter().any(|cookie| cookie.starts_with("stoa_refresh=stoa_rt_"))
}

/// Links an account of an issuer with somebody who is signed in.
fn link(app: &App, issuer: &Issuer, person: &Person, provider: &str, subject: &str) -> Answer {
    let body = json!({"provider": provider, "returnTo": "/account"});
    let linking = app.as_person(person, "POST", "/v1/me/links", &body);
    assert_eq!(linking.status, 200, "{}", linking.text);
    let (url, cookie) =
        (linking.json()["url"].as_str().unwrap().to_owned(), linking.header("set-cookie").to_owned());
    let sent = Sent::of(&Answer {
        status: 303,
        headers: vec![("location".to_owned(), url), ("set-cookie".to_owned(), cookie)],
        text: String::new(),
    });
    let mut claims = claims(issuer, &sent);
    claims["sub"] = json!(subject);
    issuer.says("/token", &json!({"id_token": issuer.sign(&head(), &claims)}));
    back(app, &sent, "code=c")
}

#[test]
fn whom_the_provider_of_one_organization_vouches_for_reaches_that_one_alone() {
    let app = app();
    let owner = app.owner();
    app.founded(&owner, "elsewhere");
    let issuer = Issuer::start("staff");
    let body = json!({"slug": "staff", "kind": "oidc", "name": "S", "issuer": issuer.url, "clientId": "stoa", "clientSecret": "s"});
    let made = app.as_person(&owner, "POST", "/v1/identity-providers", &body);
    let provider = made.json()["id"].as_str().unwrap_or_else(|| panic!("{}", made.text)).to_owned();
    assert_eq!(link(&app, &issuer, &owner, &provider, "subject-1").header("location"), "/account");
    let answer = round(&app, &issuer, &provider, &head(), |_| ());
    let cookies = answer.all("set-cookie");
    let refresh = cookies.iter().find_map(|cookie| cookie.strip_prefix("stoa_refresh=")).unwrap();
    let refresh = refresh.split(';').next().unwrap();
    let vouched = Person::of(&app.nobody("/v1/auth/refresh", &json!({"refreshToken": refresh})));
    assert_eq!(vouched.user, owner.user);
    let members = |person: &Person, organization: &str| {
        let headers = [("Authorization", &*person.bearer()), ("Stoa-Organization", organization)];
        app.with("GET", "/v1/members", &headers, "")
    };
    assert_eq!(members(&vouched, "north-wind").status, 200);
    assert_eq!(members(&vouched, "elsewhere").problem(), "organization_not_found");
    assert_eq!(
        members(&owner, "elsewhere").status,
        200,
        "whoever has shown something of their own reaches it"
    );
    // Nor does an organization's admin run the installation by vouching for its owner.
    assert_eq!(app.as_person(&owner, "GET", "/v1/admin/users", &Value::Null).status, 200);
    assert_eq!(app.as_person(&vouched, "GET", "/v1/admin/users", &Value::Null).problem(), "forbidden");
    let scopes = json!({"name": "k", "scopes": ["members:read"]});
    assert_eq!(
        app.as_person(&vouched, "POST", "/v1/api-keys", &scopes).problem(),
        "reauthentication_required",
        "and what is asked of the user anew was not shown"
    );
}

#[test]
fn an_account_of_an_issuer_signs_in_registers_and_is_linked() {
    let app = app();
    let owner = app.owner();
    let issuer = Issuer::start("staff");
    let provider = added(&app, &issuer, "staff");
    let offered = app.with("GET", "/v1/auth/providers", &[("Authorization", "")], "").json();
    assert_eq!(offered["items"][0]["slug"], "staff");
    let sent = start(&app, &provider, "?returnTo=/device");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "stoa"),
        ("code_challenge_method", "S256"),
        ("redirect_uri", "http://localhost:8080/v1/auth/callback"),
    ] {
        assert_eq!(sent.value(name), value);
    }
    assert!(
        sent.value("scope").contains("openid")
            && sent.value("nonce").len() == 32
            && sent.value("code_challenge").len() == 43
    );
    issuer.says("/token", &json!({"id_token": issuer.sign(&head(), &claims(&issuer, &sent))}));
    let first = back(&app, &sent, "code=the-code");
    assert_eq!((first.header("location"), is_in(&first)), ("/device", true), "{}", first.text);
    let asked = issuer.asked("/token").pop().unwrap();
    assert!(
        asked.contains("grant_type=authorization_code")
            && asked.contains("code=the-code")
            && asked.contains("code_verifier="),
        "{asked}"
    );
    assert_eq!(
        back(&app, &sent, "code=the-code").header("location"),
        "/sign-in?error=link_invalid",
        "the state is used"
    );
    assert_eq!(app.get("/v1/admin/users?count=true").json()["total"], 2);
    assert!(
        is_in(&round(&app, &issuer, &provider, &head(), |claims| claims["email"] =
            json!("another@example.org"))),
        "who it is says the subject, not the address"
    );
    assert_eq!(app.get("/v1/admin/users?count=true").json()["total"], 2);
    // A user who is there links an account, and signs in with it from then on.
    assert_eq!(link(&app, &issuer, &owner, &provider, "subject-2").header("location"), "/account");
    let links = app.as_person(&owner, "GET", "/v1/me/links", &Value::Null).json();
    assert_eq!(
        (links["items"].as_array().unwrap().len(), &links["items"][0]["issuer"]),
        (1, &json!(issuer.url))
    );
    let path = format!("/v1/me/links/{}", links["items"][0]["id"].as_str().unwrap());
    assert_eq!(app.as_person(&owner, "DELETE", &path, &Value::Null).status, 204);
}

#[test]
fn an_id_token_that_is_not_as_it_must_be_signs_nobody_in() {
    let app = app();
    app.owner();
    let issuer = Issuer::start("staff");
    let provider = added(&app, &issuer, "staff");
    let now = claims(&issuer, &start(&app, &provider, ""))["iat"].as_i64().unwrap();
    let refused = |what: &str, answer: Answer| {
        assert!(!is_in(&answer), "{what}");
        assert_eq!(answer.header("location"), "/sign-in?error=provider_refused", "{what}");
    };
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(format!("{}/", issuer.url))),
        ("aud", json!("somebody-else")),
        ("aud", json!([])),
        ("aud", json!(["stoa", "other"])),
        ("azp", json!("other")),
        ("exp", json!(now - 31)),
        ("exp", json!("9999999999")),
        ("iat", json!(now + 100)),
        ("nonce", json!("other")),
        ("nonce", Value::Null),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("sub", Value::Null),
        ("email_verified", json!(false)),
        ("email_verified", Value::Null),
        ("email", Value::Null),
    ] {
        refused(
            &format!("{name}: {value}"),
            round(&app, &issuer, &provider, &head(), |claims| claims[name] = value.clone()),
        );
    }
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("alg", json!("RS256")),
        ("kid", json!("other")),
        ("crit", json!(["exp"])),
    ] {
        let mut other = head();
        other[name] = value.clone();
        refused(&format!("{name}: {value}"), round(&app, &issuer, &provider, &other, |_| ()));
    }
    // Signed by somebody else, under the name of the right key; or by a key that it brings along.
    let evil = Issuer::start("staff");
    let sent = start(&app, &provider, "");
    issuer.says("/token", &json!({"id_token": evil.sign(&head(), &claims(&issuer, &sent))}));
    refused("another key", back(&app, &sent, "code=c"));
    let mut brings = head();
    brings["jwk"] = evil.jwk();
    let sent = start(&app, &provider, "");
    issuer.says("/token", &json!({"id_token": evil.sign(&brings, &claims(&issuer, &sent))}));
    refused("a key of its own", back(&app, &sent, "code=c"));
    for broken in [json!({}), json!({"id_token": "a.b.c"}), json!({"id_token": ""}), json!([])] {
        let sent = start(&app, &provider, "");
        issuer.says("/token", &broken);
        refused(&broken.to_string(), back(&app, &sent, "code=c"));
    }
    assert_eq!(app.get("/v1/admin/users?count=true").json()["total"], 1, "nobody came in");
    // A key that is not known is looked up again, but not at every token.
    let looked = issuer.asked("/jwks").len();
    assert!(looked <= 2, "{looked}");
    assert!(
        is_in(&round(&app, &issuer, &provider, &head(), |_| ())),
        "the same issuer, when it does as it should"
    );
}

#[test]
fn a_sign_in_is_ended_by_the_browser_that_began_it_once() {
    let app = app();
    let owner = app.owner();
    let (issuer, other) = (Issuer::start("staff"), Issuer::start("guests"));
    let (provider, second) = (added(&app, &issuer, "staff"), added(&app, &other, "guests"));
    let good = |sent: &Sent| {
        issuer.says("/token", &json!({"id_token": issuer.sign(&head(), &claims(&issuer, sent))}));
    };
    let refused = |answer: &Answer, code: &str| {
        assert!(!is_in(answer));
        assert_eq!(answer.header("location"), format!("/sign-in?error={code}"));
    };
    // Without the cookie, or with that of another browser, the state is of no use: nobody is signed in to somebody else's account.
    let (mine, theirs) = (start(&app, &provider, ""), start(&app, &provider, ""));
    good(&theirs);
    let stolen = Sent { cookie: mine.cookie, query: theirs.query.clone() };
    refused(&back(&app, &stolen, "code=c"), "link_invalid");
    let bare = Sent { cookie: "a=b".to_owned(), query: theirs.query.clone() };
    refused(&back(&app, &bare, "code=c"), "link_invalid");
    for state in ["", "x", "stoa_tkt_0000000000000_00"] {
        let forged = app.with(
            "GET",
            &format!("/v1/auth/callback?state={state}&code=c"),
            &[("Authorization", ""), ("Cookie", &theirs.cookie)],
            "",
        );
        refused(&forged, "link_invalid");
    }
    // Another issuer cannot answer in its place (mix-up, RFC 9207).
    let sent = start(&app, &provider, "");
    good(&sent);
    refused(&back(&app, &sent, &format!("code=c&iss={}", other.url)), "provider_refused");
    refused(&back(&app, &sent, "code=c"), "link_invalid");
    let sent = start(&app, &second, "");
    other.says("/token", &json!({"id_token": issuer.sign(&head(), &claims(&issuer, &sent))}));
    refused(&back(&app, &sent, "code=c"), "provider_refused");
    // One that says that it names itself must.
    let strict = Issuer::start("strict");
    strict.discovered(&json!({"authorization_response_iss_parameter_supported": true}));
    let third = added(&app, &strict, "strict");
    let sent = start(&app, &third, "");
    strict.says("/token", &json!({"id_token": strict.sign(&head(), &claims(&strict, &sent))}));
    refused(&back(&app, &sent, "code=c"), "provider_refused");
    // One that says that it is somebody else is not asked further.
    let liar = Issuer::start("liar");
    liar.discovered(&json!({"issuer": issuer.url}));
    let fourth = added(&app, &liar, "liar");
    let answer = app.with("GET", &format!("/v1/auth/providers/{fourth}/start"), &[("Authorization", "")], "");
    assert_eq!(answer.problem(), "provider_refused");
    // What the provider says is not shown to anybody.
    let sent = start(&app, &provider, "");
    refused(&back(&app, &sent, "error=%3Cscript%3E&error_description=x"), "provider_refused");
    // Wherever it is asked to go afterwards, it goes to a path of ours.
    for wanted in [
        "https://evil.example",
        "//evil.example",
        "/%5Cevil.example",
        "javascript:alert(1)",
        "%2F%2Fevil.example",
        "/a%0d%0aSet-Cookie:x",
    ] {
        let sent = start(&app, &provider, &format!("?returnTo={wanted}"));
        good(&sent);
        assert_eq!(back(&app, &sent, "code=c").header("location"), "/account", "{wanted}");
    }
    // The code is redeemed with what only this process knows.
    let verifiers: Vec<String> = issuer
        .asked("/token")
        .iter()
        .map(|body| body.split("code_verifier=").nth(1).unwrap().to_owned())
        .collect();
    let mut once = verifiers.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), verifiers.len());
    drop(owner);
}

#[test]
fn an_account_elsewhere_takes_over_nobody() {
    let app = App::with_settings(Some(database(&stoa_harness::Postgres::shared())), &OPEN);
    let owner = app.owner();
    let issuer = Issuer::start("staff");
    let provider = added(&app, &issuer, "staff");
    // An address that nobody confirmed: whoever registered it is not let in by the issuer, nor is the other way round.
    let attacker = json!({"email": "ada@example.org", "password": "attacker chose it"});
    assert_eq!(app.nobody("/v1/auth/register", &attacker).status, 202);
    let answer = round(&app, &issuer, &provider, &head(), |_| ());
    assert_eq!((is_in(&answer), answer.header("location")), (false, "/sign-in?error=provider_refused"));
    // One that says that the address is not verified finds nobody by it.
    let answer = round(&app, &issuer, &provider, &head(), |claims| {
        claims["email"] = json!("owner@example.org");
        claims["email_verified"] = json!(false);
    });
    assert!(!is_in(&answer));
    // One of an organization, whom its admins chose, finds nobody by an address either.
    let mallory = app.invited(&owner, "mallory@example.org", "guest");
    app.founded(&mallory, "evil-corp");
    let evil = Issuer::start("evil");
    let body = json!({"slug": "evil", "kind": "oidc", "name": "E", "issuer": evil.url, "clientId": "stoa", "clientSecret": "s"}).to_string();
    let made = app.with(
        "POST",
        "/v1/identity-providers",
        &[("Authorization", &mallory.bearer()), ("Stoa-Organization", "evil-corp")],
        &body,
    );
    let own = made.json()["id"].as_str().unwrap().to_owned();
    let answer = round(&app, &evil, &own, &head(), |claims| claims["email"] = json!("owner@example.org"));
    assert_eq!((is_in(&answer), answer.header("location")), (false, "/sign-in?error=provider_refused"));
    let answer = round(&app, &evil, &own, &head(), |claims| claims["email"] = json!("new@example.org"));
    assert_eq!(
        (is_in(&answer), answer.header("location")),
        (false, "/sign-in?error=registration_closed"),
        "nor does it make users"
    );
    // And an issuer inside our network is not asked unless the operator said so.
    let closed = App::embedded();
    let body = json!({"slug": "inside", "kind": "oidc", "name": "I", "issuer": "https://169.254.169.254", "clientId": "s", "clientSecret": "s"});
    assert_eq!(closed.post("/v1/admin/identity-providers", &body.to_string()).problem(), "validation_failed");
    drop(Person::of(&app.sign_in("owner@example.org")));
}
