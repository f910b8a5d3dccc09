//! The dependency table of ARCHITECTURE.md, and what deny.toml asks of dependencies, over `cargo metadata`.
#![expect(clippy::expect_used, reason = "a test that cannot read the workspace is to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--all-features", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn list<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    value.get(name).and_then(Value::as_array).map(|items| items.iter().collect()).unwrap_or_default()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// The layer of a crate of ours, by its folder.
fn layer(package: &Value) -> &'static str {
    let manifest = text(package, "manifest_path");
    let layers = [
        "crates/kernel/",
        "crates/engine/",
        "crates/contexts/",
        "crates/adapters/",
        "crates/edge/",
        "crates/testing/",
        "crates/stoa/",
    ];
    layers.into_iter().find(|layer| manifest.contains(layer)).expect("every crate of ours lies in a layer")
}

/// For each layer: the layers of ours that it may use, and the crates of others that it must never use.
fn table() -> BTreeMap<&'static str, (Vec<&'static str>, Vec<&'static str>)> {
    let drivers =
        vec!["axum", "hyper", "reqwest", "rusqlite", "tokio-postgres", "redis", "async-nats", "utoipa"];
    let pure = [drivers.clone(), vec!["tokio", "tempfile"]].concat();
    BTreeMap::from([
        // The kernel and its derive.
        ("crates/kernel/", (vec!["crates/kernel/"], pure.clone())),
        ("crates/engine/", (vec!["crates/kernel/"], drivers.clone())),
        ("crates/contexts/", (vec!["crates/kernel/", "crates/engine/"], pure)),
        (
            "crates/adapters/",
            (vec!["crates/kernel/", "crates/engine/", "crates/contexts/"], vec!["axum", "utoipa"]),
        ),
        (
            "crates/edge/",
            (
                vec!["crates/kernel/", "crates/engine/", "crates/contexts/", "crates/edge/"],
                vec!["rusqlite", "tokio-postgres", "redis", "async-nats"],
            ),
        ),
        (
            "crates/testing/",
            (vec!["crates/kernel/", "crates/engine/", "crates/contexts/", "crates/testing/"], vec![]),
        ),
        (
            "crates/stoa/",
            (
                vec![
                    "crates/kernel/",
                    "crates/engine/",
                    "crates/contexts/",
                    "crates/adapters/",
                    "crates/edge/",
                ],
                vec![],
            ),
        ),
    ])
}

/// The one adapter that others stand on: what both stores render, seal and migrate alike.
const SHARED_BY_STORES: &str = "stoa-store";

/// What stands on jobs among the engines: each step of a workflow is one (ADR 9), and each event that a consumer could not take (ADR 10).
const ENGINES_ON_JOBS: [(&str, &str); 2] = [("stoa-workflow", "stoa-jobs"), ("stoa-outbox", "stoa-jobs")];

#[test]
fn every_crate_depends_only_on_what_its_layer_may_know() {
    let metadata = metadata();
    let packages = list(&metadata, "packages");
    let ours: BTreeMap<&str, &'static str> = packages
        .iter()
        .filter(|package| package.get("source").is_some_and(Value::is_null))
        .map(|package| (text(package, "name"), layer(package)))
        .collect();
    assert!(ours.len() >= 6, "the workspace was read");
    let table = table();
    for package in packages.iter().filter(|package| ours.contains_key(text(package, "name"))) {
        let name = text(package, "name");
        let own = ours[name];
        let (allowed, never) = &table[own];
        // Tests may use more: they compose, as the binary does.
        for dependency in
            list(package, "dependencies").into_iter().filter(|dependency| text(dependency, "kind") != "dev")
        {
            let used = text(dependency, "name");
            if let Some(used_layer) = ours.get(used) {
                assert!(
                    allowed.contains(used_layer)
                        || used == SHARED_BY_STORES
                        || ENGINES_ON_JOBS.contains(&(name, used)),
                    "{name} ({own}) may not depend on {used} ({used_layer}); see ARCHITECTURE.md"
                );
                assert!(
                    own != "crates/contexts/" || *used_layer != own,
                    "{name}: one context may not depend on another"
                );
                assert!(
                    own != "crates/adapters/" || *used_layer != own || used == SHARED_BY_STORES,
                    "{name}: one adapter may not depend on another"
                );
            }
            assert!(!never.contains(&used), "{name} ({own}) may never depend on {used}");
        }
    }
}

fn deny() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml").parse().expect("deny.toml is TOML")
}

fn names(table: &toml::Table, section: &str, key: &str) -> BTreeSet<String> {
    let items = table
        .get(section)
        .and_then(|section| section.get(key))
        .and_then(toml::Value::as_array)
        .cloned()
        .unwrap_or_default();
    items
        .iter()
        .map(|item| {
            item.as_str()
                .or_else(|| item.get("crate").and_then(toml::Value::as_str))
                .or_else(|| item.get("name").and_then(toml::Value::as_str))
                .unwrap_or("")
                .to_owned()
        })
        .collect()
}

/// Whether an SPDX expression can be met with these licences: OR needs one side, AND both.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" OR ").any(|side| {
        side.split(" AND ").all(|licence| allowed.contains(licence.trim().trim_matches(['(', ')'])))
    })
}

#[test]
fn every_dependency_has_a_licence_that_we_accept_and_comes_from_the_registry() {
    let (metadata, deny) = (metadata(), deny());
    let allowed = names(&deny, "licenses", "allow");
    for package in list(&metadata, "packages") {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        // Parentheses in `(A OR B) AND C` group; splitting by OR first would lose C, so the whole is also tried by AND.
        let parts: Vec<&str> = licence.split(" AND ").collect();
        let grouped = parts.iter().all(|part| is_allowed(part, &allowed));
        assert!(
            grouped || is_allowed(licence, &allowed),
            "{name}: licence \"{licence}\" is not in deny.toml"
        );
        let source = text(package, "source");
        assert!(source.is_empty() || source.starts_with("registry+"), "{name} comes from {source}");
    }
}

/// What is built, on any platform: `name version`. The lock file also names what features that nobody turns on would need.
fn built() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--all-features",
            "--locked",
            "--target",
            "all",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ").replace(" v", " "))
        .collect()
}

#[test]
fn no_banned_crate_is_used_and_no_crate_is_there_twice_without_a_reason() {
    let (metadata, deny) = (metadata(), deny());
    let banned = names(&deny, "bans", "deny");
    let skipped = names(&deny, "bans", "skip");
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (packages, built) = (list(&metadata, "packages"), built());
    let is_built = |package: &&&Value| {
        built.contains(&format!("{} {}", text(package, "name"), text(package, "version")))
    };
    for package in packages.iter().filter(is_built) {
        let name = text(package, "name");
        assert!(!banned.contains(name), "{name} is banned in deny.toml");
        versions.entry(name).or_default().insert(text(package, "version"));
    }
    for (name, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
        let excused = skipped.iter().any(|skip| skip.split('@').next() == Some(name));
        assert!(
            excused,
            "{name} is there in versions {versions:?}; unify them or give a reason in deny.toml"
        );
    }
}
