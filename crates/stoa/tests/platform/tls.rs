use std::process::Command;
use std::sync::Arc;

use stoa_harness::Postgres;
use tempfile::TempDir;

use crate::app::{App, database, stoa};

fn check(url: &str, ca_file: Option<&str>) -> (bool, String) {
    let folder = TempDir::new().unwrap();
    let mut command: Command = stoa(folder.path());
    command.env("DATABASE_URL", url).args(["config", "check"]);
    if let Some(ca_file) = ca_file {
        command.env("STOA_DATABASE__CA_FILE", ca_file);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn postgresql_is_reached_with_tls_and_its_certificate_is_verified() {
    let server = Arc::new(Postgres::start_with_tls());
    let ca_file = server.ca_file().unwrap().display().to_string();
    let database = server.database("tls", |owner_url| {
        let folder = TempDir::new().unwrap();
        let with_tls = |url: &str| format!("{url}?sslmode=verify-full");
        let output = stoa(folder.path())
            .env("DATABASE_OWNER_URL", with_tls(owner_url))
            .env("DATABASE_URL", with_tls(&owner_url.replace("stoa_owner@", "stoa@")))
            .env("STOA_DATABASE__CA_FILE", &ca_file)
            .arg("migrate")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    let plain = database.url();
    let with_tls = format!("{plain}?sslmode=require");
    assert_eq!(check(&with_tls, Some(&ca_file)), (true, String::new()));
    let (ok, said) = check(&with_tls, None);
    assert!(!ok && said.contains("database_unavailable"), "an unknown authority is refused: {said}");
    assert!(!check(&plain, None).0, "this server takes no connection without TLS");
    let other = with_tls.replace("127.0.0.1", "localhost");
    assert!(!check(&other, Some(&ca_file)).0, "the certificate is of another name");
    let (ok, said) = check(&with_tls, Some("/nowhere/ca.pem"));
    assert!(!ok && said.contains("/nowhere/ca.pem"), "{said}");
    let app = App::with_settings(
        Some(database),
        &[("DATABASE_URL", &with_tls), ("STOA_DATABASE__CA_FILE", &ca_file)],
    );
    app.organization("acme");
    assert_eq!(app.get("/health").json()["status"], "healthy");
}

#[test]
fn a_server_without_tls_is_refused_when_tls_is_asked_for() {
    let database = database(&Postgres::shared());
    let (ok, said) = check(&format!("{}?sslmode=require", database.url()), None);
    assert!(!ok && said.contains("database_unavailable"), "{said}");
}
