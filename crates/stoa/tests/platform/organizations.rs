use serde_json::json;

use crate::app::App;
use crate::on_both;

on_both! {
    an_organization_lives_from_creation_to_archive
    a_change_of_a_stale_version_is_refused
    an_operation_is_sent_twice_and_happens_once
    wrong_requests_are_told_everything_that_is_wrong
    lists_are_paged_filtered_and_sorted
    personal_data_is_sealed_and_never_logged
    two_requests_for_one_slug_make_one_organization
}

fn an_organization_lives_from_creation_to_archive(app: &App) {
    let made = app.post("/v1/organizations", r#"{"slug":"north-wind","name":"North Wind","contactEmail":"Office@Example.ORG","settings":{"theme":"dark"}}"#);
    assert_eq!(made.status, 201, "{}", made.text);
    let tag = made.header("etag").to_owned();
    assert!(tag.ends_with("-1\""), "{tag}");
    let organization = made.json();
    assert_eq!(organization["contactEmail"], "Office@example.org");
    let path = made.header("location").to_owned();
    assert_eq!(app.get(&path).json(), organization);
    assert_eq!(app.get("/v1/organizations/north-wind").json(), organization, "by its slug");
    let known = app.with("GET", &path, &[("If-None-Match", &tag)], "");
    assert_eq!((known.status, known.text.as_str()), (304, ""));

    let merge = [("Content-Type", "application/merge-patch+json"), ("If-Match", tag.as_str())];
    let changed = app.with(
        "PATCH",
        &path,
        &merge,
        r#"{"name":"South Wind","contactEmail":null,"settings":{"theme":null,"lang":"de"}}"#,
    );
    assert_eq!(
        (changed.status, changed.header("etag")),
        (200, tag.replace("-1\"", "-2\"").as_str()),
        "{}",
        changed.text
    );
    let changed = changed.json();
    assert_eq!(
        (&changed["name"], &changed["contactEmail"], &changed["settings"]),
        (&json!("South Wind"), &json!(null), &json!({"lang": "de"}))
    );
    let nothing = app.with("PATCH", &path, &[], "{}");
    assert_eq!(
        (nothing.status, nothing.json()["version"].as_i64()),
        (200, Some(2)),
        "a change of nothing changes nothing"
    );

    assert_eq!(app.post(&format!("{path}/resume"), "").problem(), "organization_wrong_state");
    assert_eq!(app.post(&format!("{path}/suspend"), "").json()["state"], "suspended");
    assert_eq!(app.post(&format!("{path}/resume"), "").json()["state"], "active");
    assert_eq!(app.post(&format!("{path}/archive"), "").json()["state"], "archived");
    assert_eq!(app.with("PATCH", &path, &[], r#"{"name":"x"}"#).problem(), "organization_wrong_state");
    assert_eq!(app.get(&path).json()["version"], 5);
}

fn a_change_of_a_stale_version_is_refused(app: &App) {
    let id = app.organization("acme")["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/organizations/{id}");
    let (first, second) = (format!("\"{id}-1\""), format!("\"{id}-2\""));
    assert_eq!(app.with("PATCH", &path, &[("If-Match", &first)], r#"{"name":"a"}"#).status, 200);
    let late = app.with("PATCH", &path, &[("If-Match", &first)], r#"{"name":"b"}"#);
    assert_eq!(
        (late.status, late.header("etag"), late.problem().as_str()),
        (412, second.as_str(), "precondition_failed")
    );
    assert_eq!(app.get(&path).json()["name"], "a");
}

fn an_operation_is_sent_twice_and_happens_once(app: &App) {
    let (key, body) = ([("Idempotency-Key", "order-1")], r#"{"slug":"acme","name":"Acme"}"#);
    let first = app.with("POST", "/v1/organizations", &key, body);
    let second = app.with("POST", "/v1/organizations", &key, body);
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, ""));
    assert_eq!((second.status, second.header("idempotent-replayed")), (201, "true"));
    assert_eq!(
        (first.text, first.headers.iter().find(|(name, _)| name == "location")),
        (second.text.clone(), second.headers.iter().find(|(name, _)| name == "location"))
    );
    let other = app.with("POST", "/v1/organizations", &key, r#"{"slug":"other","name":"Other"}"#);
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency_key_reused"));
    assert_eq!(app.get("/v1/organizations?count=true").json()["total"], 1);
    let path = format!("/v1/organizations/{}/suspend", second.json()["id"].as_str().unwrap());
    let (first, second) = (
        app.with("POST", &path, &[("Idempotency-Key", "s")], ""),
        app.with("POST", &path, &[("Idempotency-Key", "s")], ""),
    );
    assert_eq!((first.status, second.status, second.header("idempotent-replayed")), (200, 200, "true"));
    let long = "k".repeat(256);
    assert_eq!(
        app.with("POST", &path, &[("Idempotency-Key", &long)], "").problem(),
        "idempotency_key_invalid"
    );
}

fn wrong_requests_are_told_everything_that_is_wrong(app: &App) {
    let path = "/v1/organizations";
    let all = app.post(path, r#"{"slug":"Not A Slug","contactEmail":"nobody","settings":[1],"more":true}"#);
    assert_eq!((all.status, all.problem().as_str()), (422, "validation_failed"));
    let pointers: Vec<String> = all.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pointers, ["/slug", "/name", "/contactEmail", "/settings", "/more"]);
    let blank = app.post(path, r#"{"slug":"ab","name":"  "}"#);
    assert_eq!(
        (blank.problem().as_str(), &blank.json()["errors"][0]["pointer"]),
        ("validation_failed", &json!("/name"))
    );
    // What the fields take and what the context takes are told together.
    let long = "n".repeat(121);
    let body = format!(r#"{{"slug":"No Slug","name":"{long}","settings":{{"":"x"}},"more":1}}"#);
    let both = app.post("/v1/organizations", &body).json();
    let pointers: Vec<&str> =
        both["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/slug", "/name", "/settings", "/more"]);
    app.organization("taken");
    let big = format!(r#"{{"slug":"ab","name":"{}"}}"#, "x".repeat(1 << 20));
    let deep = format!(r#"{{"slug":{}{}}}"#, "[".repeat(50), "]".repeat(50));
    for (method, target, headers, body, status, code) in [
        ("POST", path, vec![], r#"{"slug":"taken","name":"x"}"#, 409, "slug_taken"),
        ("POST", path, vec![], r#"{"slug":"ab","name":"x","y":1}"#, 422, "unknown_field"),
        ("POST", path, vec![], "{", 400, "body_malformed"),
        ("POST", path, vec![], "[]", 400, "body_malformed"),
        ("POST", path, vec![], deep.as_str(), 400, "body_malformed"),
        ("POST", path, vec![], big.as_str(), 413, "body_too_large"),
        ("POST", path, vec![("Content-Type", "text/plain")], "{}", 415, "unsupported_media_type"),
        ("GET", path, vec![("Authorization", "Bearer wrong")], "", 401, "not_authenticated"),
        ("GET", path, vec![("Authorization", "")], "", 401, "not_authenticated"),
        ("GET", "/v1/organizations/usr_0000000000001", vec![], "", 400, "invalid_id"),
        ("GET", "/v1/organizations/org_0000000000001", vec![], "", 404, "organization_not_found"),
        ("GET", "/v1/organizations/no-such", vec![], "", 404, "organization_not_found"),
        ("GET", "/v1/organizations/%FF", vec![], "", 404, "organization_not_found"),
        ("GET", "/v1/events?type=%00", vec![], "", 400, "invalid_parameter"),
        ("GET", "/v1/organizations?limit=0", vec![], "", 400, "invalid_parameter"),
        ("GET", "/v1/organizations?cursor=abc", vec![], "", 400, "invalid_parameter"),
        ("GET", "/v1/organizations?sort=name&nope=1", vec![], "", 400, "invalid_parameter"),
        ("GET", "/v1/nothing", vec![], "", 404, "not_found"),
        ("DELETE", path, vec![], "", 405, "method_not_allowed"),
    ] {
        let answer = app.with(method, target, &headers, body);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, code),
            "{method} {target}: {}",
            answer.text
        );
    }
    assert!(app.with("DELETE", path, &[], "").header("allow").contains("POST"));
    assert_eq!(
        app.with("GET", path, &[("Authorization", "Bearer wrong")], "").header("www-authenticate"),
        "Bearer realm=\"stoa\", error=\"invalid_token\""
    );
    assert_eq!(app.with("GET", path, &[("Stoa-Deadline-Ms", "junk")], "").problem(), "invalid_parameter");
}

fn lists_are_paged_filtered_and_sorted(app: &App) {
    for number in 0..7 {
        app.organization(&format!("o{}-{number}", if number % 2 == 0 { "even" } else { "odd" }));
    }
    let suspended = app.get("/v1/organizations/oodd-1").json()["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/organizations/{suspended}/suspend"), "");
    let slugs = |query: &str| {
        let (mut slugs, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/v1/organizations?limit=2&{query}{cursor}"));
            assert_eq!(page.status, 200, "{}", page.text);
            let page = page.json();
            slugs.extend(
                page["items"].as_array().unwrap().iter().map(|one| one["slug"].as_str().unwrap().to_owned()),
            );
            assert_eq!(page["hasMore"].as_bool().unwrap(), page["nextCursor"].is_string());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return slugs,
            }
        }
    };
    let sorted = slugs("sort=slug");
    assert_eq!(sorted.len(), 7);
    assert!(sorted.is_sorted());
    assert_eq!(slugs("sort=-slug"), sorted.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(slugs("slugPrefix=oodd&sort=slug"), ["oodd-1", "oodd-3", "oodd-5"]);
    assert_eq!(slugs("state=suspended"), ["oodd-1"]);
    let cursor =
        app.get("/v1/organizations?limit=2&sort=slug").json()["nextCursor"].as_str().unwrap().to_owned();
    let elsewhere = app.get(&format!("/v1/organizations?limit=2&sort=-slug&cursor={cursor}"));
    assert_eq!(elsewhere.problem(), "invalid_parameter", "a cursor belongs to its list");
}

fn personal_data_is_sealed_and_never_logged(app: &App) {
    let canary = "canary.mail@canary-domain.example";
    let made = app.with(
        "POST",
        "/v1/organizations",
        &[("Idempotency-Key", "k")],
        &format!(r#"{{"slug":"acme","name":"Acme","contactEmail":"{canary}"}}"#),
    );
    assert_eq!(made.json()["contactEmail"], canary);
    let bad = app
        .post("/v1/organizations", &format!(r#"{{"slug":"acme","name":"Acme","contactEmail":"{canary}"}}"#));
    assert_eq!(bad.problem(), "slug_taken");
    let metrics = app.get("/metrics").text;
    assert!(metrics.contains("stoa_http_request_duration_seconds"), "{metrics}");
    app.kill();
    for text in [app.log(), metrics] {
        assert!(!text.contains("canary"), "{text}");
    }
    match &app.database {
        Some(database) => {
            for table in ["organizations", "events", "audit_entries", "idempotency_keys", "jobs"] {
                let found =
                    database.sql(&format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%canary%'"));
                assert_eq!(found, "0", "{table}");
            }
        }
        None => {
            for entry in std::fs::read_dir(app.data()).unwrap() {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
            }
        }
    }
    app.restart();
    assert_eq!(app.get("/v1/organizations/acme").json()["contactEmail"], canary);
}

fn two_requests_for_one_slug_make_one_organization(app: &App) {
    let address = app.address();
    let outcomes: Vec<u16> = std::thread::scope(|scope| {
        let attempts: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    crate::app::ask(
                        address,
                        "POST",
                        "/v1/organizations",
                        &[],
                        r#"{"slug":"acme","name":"Acme"}"#,
                    )
                    .unwrap()
                    .status
                })
            })
            .collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|&&status| status == 201).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|&&status| status == 409).count(), 7, "{outcomes:?}");
}
