use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use stoa_harness::{PgBouncer, Postgres};
use tempfile::TempDir;

use crate::app::{App, database, stoa};
use crate::on_both;

on_both! {
    a_started_platform_says_how_it_does
    the_document_is_the_committed_one
    a_stopped_platform_ends_well_and_starts_again
}

fn a_started_platform_says_how_it_does(app: &App) {
    assert_eq!(app.get("/health/live").status, 200);
    assert_eq!(app.get("/health/ready").status, 200);
    let health = app.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (200, &serde_json::json!("healthy")));
    let answer = app.with("GET", "/docs", &[("X-Request-Id", "req_0000000000007")], "");
    assert!(answer.text.contains("Make an organization") && !answer.text.contains("<script"));
    assert_eq!(answer.header("x-request-id"), "req_0000000000007");
    for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
        assert_eq!(answer.header(name), value);
    }
    assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert!(!answer.header("content-security-policy").contains("unsafe"));
    assert!(app.get("/docs/errors/slug_taken").text.contains("What to do"));
    assert_eq!(app.get("/docs/errors/nothing").problem(), "not_found");
    let traced = app.with(
        "GET",
        "/health/live",
        &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")],
        "",
    );
    assert!(traced.header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    for wrong in ["abc", "0", "-1"] {
        let answer = app.with("GET", "/health/live", &[("Stoa-Deadline-Ms", wrong)], "");
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_parameter"), "{wrong}");
    }
    let said =
        app.command().args(["health", "--json", "--listen", &app.address().to_string()]).output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
}

fn the_document_is_the_committed_one(app: &App) {
    let committed =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")).unwrap();
    let committed: serde_json::Value = serde_json::from_str(&committed).unwrap();
    assert!(
        app.get("/openapi.json").json() == committed,
        "docs/openapi.json is not current: run make generate"
    );
    assert_eq!(committed["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
}

fn a_stopped_platform_ends_well_and_starts_again(app: &App) {
    let made = app.organization("acme");
    assert_eq!(app.stop(), 0);
    let down = app.command().args(["health"]).output().unwrap();
    assert_eq!(down.status.code(), Some(1));
    app.restart();
    assert_eq!(app.get("/v1/organizations/acme").json(), made);
    app.organization("second");
}

#[track_caller]
fn refused(output: &Output, code: &str, exit: i32) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with(&format!("error[{code}]")) && said.contains("help: "), "{said}");
    assert_eq!(output.status.code(), Some(exit), "{said}");
}

#[test]
fn a_second_process_on_a_data_folder_is_refused() {
    let app = App::embedded();
    refused(
        &app.command().args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap(),
        "data_folder_in_use",
        1,
    );
    assert_eq!(app.get("/health/ready").status, 200);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let app = App::embedded();
    let output = app
        .command()
        .args(["serve", "--data", "other", "--listen", &app.address().to_string()])
        .output()
        .unwrap();
    refused(&output, "config_invalid", 2);
}

#[test]
fn a_folder_that_holds_something_else_is_refused() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fs::write(&data, "a file").unwrap();
    refused(&stoa(folder.path()).arg("serve").output().unwrap(), "data_folder_unwritable", 1);
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("stoa.db"), "this is no database, but long enough to be looked at as one".repeat(40))
        .unwrap();
    refused(&stoa(folder.path()).arg("serve").output().unwrap(), "database_damaged", 1);
}

#[test]
fn secrets_are_made_once_and_for_the_owner_alone() {
    let folder = TempDir::new().unwrap();
    let check = || {
        let mut command = stoa(folder.path());
        command.env_remove("STOA_SECRETS__MASTER_KEYS").env_remove("STOA_SECRETS__OPERATOR_TOKEN");
        command.arg("migrate").output().unwrap()
    };
    assert!(check().status.success());
    let read = |name: &str| {
        let path = folder.path().join("data").join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::read_to_string(path).unwrap()
    };
    let made = (read("master.keys"), read("operator.token"));
    assert!(made.1.starts_with("stoa_op_"));
    assert!(check().status.success());
    assert_eq!((read("master.keys"), read("operator.token")), made);
    fs::write(folder.path().join("data/master.keys"), "garbage").unwrap();
    let output = check();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error[secret_missing]") && !said.contains("garbage"), "{said}");
}

#[test]
fn a_configuration_says_what_it_is_and_where_it_came_from() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("stoa.toml"), "[server]\nlisten = \"127.0.0.1:7777\"\n").unwrap();
    let output =
        stoa(folder.path()).env("LOG_LEVEL", "debug").args(["config", "show", "--json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |key: &str| shown.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!(
        (of("server.listen")["value"].as_str(), of("server.listen")["origin"].as_str()),
        (Some("127.0.0.1:7777"), Some("stoa.toml"))
    );
    assert_eq!(
        (of("log.level")["value"].as_str(), of("log.level")["origin"].as_str()),
        (Some("debug"), Some("environment"))
    );
    assert_eq!(of("secrets.operator_token")["value"], "••••");
    fs::write(folder.path().join("stoa.toml"), "[server]\nlistn = \"x\"\n").unwrap();
    let output = stoa(folder.path()).args(["config", "show"]).output().unwrap();
    refused(&output, "config_invalid", 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean server.listen?"));
    let doctor = stoa(TempDir::new().unwrap().path()).arg("doctor").output().unwrap();
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("ok    configuration"), "{doctor:?}");
}

#[test]
fn a_role_that_could_look_past_row_level_security_is_refused() {
    let database = database(&Postgres::shared());
    let folder = TempDir::new().unwrap();
    for role in ["postgres", "stoa_owner"] {
        let url = database.url().replace("stoa@", &format!("{role}@"));
        refused(
            &stoa(folder.path()).env("DATABASE_URL", url).arg("serve").output().unwrap(),
            "database_role_too_strong",
            1,
        );
    }
    let nowhere = "postgres://stoa@127.0.0.1:1/none";
    refused(
        &stoa(folder.path()).env("DATABASE_URL", nowhere).arg("serve").output().unwrap(),
        "database_unavailable",
        1,
    );
    let output = stoa(folder.path())
        .env("DATABASE_URL", database.url())
        .env_remove("STOA_SECRETS__MASTER_KEYS")
        .arg("serve")
        .output()
        .unwrap();
    refused(&output, "secret_missing", 1);
}

#[test]
fn it_runs_behind_a_pooler_in_transaction_mode() {
    let database = database(&Postgres::shared());
    let pooler = PgBouncer::before(database.server().port());
    let folder = TempDir::new().unwrap();
    let output = stoa(folder.path())
        .env("DATABASE_URL", pooler.url(database.name()))
        .env("STOA_DATABASE__PREPARED", "false")
        .env("STOA_DATABASE__NOTIFICATIONS", "false")
        .args(["config", "check"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn master_keys_that_are_not_those_of_the_database_are_refused_everywhere() {
    const OTHER: &str = "other:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let app = App::embedded();
    app.post("/v1/organizations", r#"{"slug":"acme","name":"Acme","contactEmail":"a@example.org"}"#);
    assert_eq!(app.stop(), 0);
    let backup = app.folder.path().join("backup");
    assert!(app.command().args(["backup", "--to"]).arg(&backup).output().unwrap().status.success());
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["config", "check"], &["keys", "rotate"]] {
        let mut command = app.command();
        let output = command.env("STOA_SECRETS__MASTER_KEYS", OTHER).args(arguments).output().unwrap();
        refused(&output, "secret_missing", 1);
    }
    let doctor = app.command().env("STOA_SECRETS__MASTER_KEYS", OTHER).arg("doctor").output().unwrap();
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    let fresh = TempDir::new().unwrap();
    for wrong in [OTHER, "stoa_op_0000"] {
        let file = fresh.path().join("wrong.keys");
        fs::write(&file, wrong).unwrap();
        let mut command = stoa(fresh.path());
        command.args(["restore", "--from"]).arg(&backup).arg("--master-keys").arg(&file);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("error[secret_missing]") && !output.status.success(), "{said}");
        assert!(!fresh.path().join("data").exists(), "nothing was restored");
    }
    app.restart();
    assert_eq!(app.get("/v1/organizations/acme").json()["contactEmail"], "a@example.org");
}

#[test]
fn commands_on_a_folder_without_a_database_make_none() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["keys", "rotate"][..], &["keys", "reseal"], &["backup", "--to", "backup"]] {
        refused(&stoa(folder.path()).args(arguments).output().unwrap(), "file_not_found", 1);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn what_it_keeps_and_says_is_for_its_user_alone() {
    let app = App::embedded();
    app.organization("acme");
    for name in ["", "stoa.db", "stoa.db-wal"] {
        let mode = fs::metadata(app.data().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    let folder = TempDir::new().unwrap();
    let mut command = stoa(folder.path());
    command.env_remove("STOA_SECRETS__OPERATOR_TOKEN").args(["serve", "--listen", "127.0.0.1:0"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut screen = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for line in lines.by_ref().map_while(Result::ok) {
        screen.push_str(&line);
        if line.starts_with("Ctrl-C") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(screen.contains("operator.token") && !screen.contains("stoa_op_"), "{screen}");
}
