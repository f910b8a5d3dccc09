use serde_json::Value;

use crate::app::{App, ask, looks};
use crate::on_both;

on_both! {
    the_database_is_looked_into
    the_registry_says_what_is_kept_and_why
    keys_are_rotated_while_it_runs
    metrics_say_how_it_does
}

fn the_database_is_looked_into(app: &App) {
    app.organization("acme");
    let found = app.get("/v1/admin/database").json();
    assert!(found["bytes"].as_i64().unwrap() > 0 && found["pool"]["open"].as_i64().unwrap() > 0, "{found}");
    let tables: Vec<&str> =
        found["tables"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect();
    assert!(tables.contains(&"organizations") && tables.contains(&"events"), "{tables:?}");
    assert!(!found["indexes"].as_array().unwrap().is_empty());
    let nobody = ask(app.address(), "GET", "/v1/admin/database", &[("Authorization", "")], "").unwrap();
    assert_eq!(nobody.status, 401);
}

fn the_registry_says_what_is_kept_and_why(app: &App) {
    let all = app.get("/v1/privacy/registry").json();
    let all = all["items"].as_array().unwrap();
    let email = all.iter().find(|row| row["column"] == "contact_email").unwrap();
    assert_eq!((email["personal"].as_bool(), email["encrypted"].as_bool()), (Some(true), Some(true)));
    assert_eq!(email["keptFor"], "as long as the account that it belongs to");
    let personal = app.get("/v1/privacy/registry?personal=true").json();
    let personal = personal["items"].as_array().unwrap();
    assert!(!personal.is_empty() && personal.len() < all.len());
    for row in personal {
        assert!(
            row["why"].as_str().unwrap().len() > 5 && !row["subject"].as_str().unwrap().is_empty(),
            "{row}"
        );
    }
    assert_eq!(app.get("/v1/privacy/registry?personal=perhaps").problem(), "invalid_parameter");
    let printed = app.command().args(["privacy", "registry", "--json"]).output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed.as_array().unwrap(), all, "the command says the same");
}

/// The value of a metric, or 0.
fn metric(app: &App, name: &str) -> f64 {
    let text = app.get("/metrics").text;
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

fn keys_are_rotated_while_it_runs(app: &App) {
    let body = r#"{"slug":"acme","name":"Acme","contactEmail":"canary@example.org"}"#;
    let made = app.post("/v1/organizations", body).json();
    let begun = app.post("/v1/admin/keys/rotate", "");
    assert_eq!(begun.status, 202, "{}", begun.text);
    let mut run = begun.json();
    for () in looks() {
        run = app.get(begun.header("location")).json();
        if run["state"] == "completed" {
            break;
        }
    }
    // That of the organization, and that of the installation; what was sealed is sealed anew.
    assert_eq!(run["output"]["rotated"], 2, "{run}");
    assert!(
        run["output"]["resealed"].as_u64() >= Some(1) && metric(app, "stoa_resealed_total") >= 1.0,
        "{run}"
    );
    let audit = app.get("/v1/admin/audit?action=keys.rotation_begun").json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/v1/organizations/acme").json(), made);
    assert_eq!(app.stop(), 0);
    let offline = app.command().args(["keys", "rotate"]).output().unwrap();
    let said = String::from_utf8_lossy(&offline.stdout).into_owned();
    assert!(said.contains("2 organizations have a new data key."), "{offline:?}");
    let again = app.command().args(["keys", "reseal"]).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stdout).contains("0 values were sealed anew."), "{again:?}");
    app.restart();
    assert_eq!(app.get("/v1/organizations/acme").json(), made);
}

fn metrics_say_how_it_does(app: &App) {
    app.organization("acme");
    assert_eq!(app.get("/v1/organizations/nothing").status, 404);
    let text = app.get("/metrics").text;
    for name in [
        "stoa_http_request_duration_seconds_bucket",
        "stoa_http_connections",
        "stoa_problems_total",
        "stoa_commit_duration_seconds_bucket",
        "stoa_store_batch_size_bucket",
        "stoa_pool_open",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}

#[test]
fn keys_in_use_are_turned_by_the_running_platform() {
    let app = App::embedded();
    let refused = app.command().args(["keys", "rotate"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("data_folder_in_use") && said.contains("/v1/admin/keys/rotate"), "{said}");
}

/// The metrics of ours that a text names.
fn metrics_in(text: &str) -> std::collections::BTreeSet<String> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    let ours = words.filter(|word| word.starts_with("stoa_"));
    let base = |word: &str| {
        let suffixes = ["_bucket", "_count", "_sum"];
        suffixes.iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word).to_owned()
    };
    ours.map(base).collect()
}

#[test]
fn dashboards_and_alert_rules_name_metrics_that_there_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut known = std::collections::BTreeSet::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for part in text.split("metrics::").skip(1) {
                    let name = part.split('"').nth(1).filter(|name| name.starts_with("stoa_"));
                    known.extend(name.map(str::to_owned));
                }
            }
        }
    }
    for file in ["deploy/grafana/stoa.json", "deploy/prometheus/stoa.rules.yml"] {
        let named = metrics_in(&std::fs::read_to_string(root.join(file)).unwrap());
        assert!(named.len() > 5, "{file} was read");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
}
