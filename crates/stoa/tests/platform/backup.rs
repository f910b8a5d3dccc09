use std::sync::atomic::{AtomicBool, Ordering};

use crate::app::{App, ask, looks, stoa};

/// Lets the writers end, also when the test fails.
struct Stopping<'s>(&'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A follower that has seen more than the backup holds is told of the restoration, and of what happens after it.
fn misses_nothing(restored: &App, cursor: &str) {
    let mut told = Vec::new();
    for () in looks() {
        let page = restored.get(&format!("/v1/events?cursor={cursor}")).json();
        told = page["items"].as_array().unwrap().clone();
        if told.len() >= 2 {
            break;
        }
    }
    assert_eq!(told[0]["type"], "installation.restored", "{told:?}");
    assert!(told[0]["position"].as_i64().unwrap() > 1_700_000_000_000_000, "{told:?}");
    assert_eq!(told[1]["type"], "organization.created");
}

#[test]
fn postgresql_that_was_restored_by_its_own_tools_is_told_to_the_log() {
    let app = App::cluster();
    app.organization("before");
    let mut cursor = String::new();
    while cursor.is_empty() {
        let page = app.get("/v1/events").json();
        if page["items"].as_array().unwrap().len() == 1 {
            page["nextCursor"].as_str().unwrap().clone_into(&mut cursor);
        }
    }
    assert_eq!(app.stop(), 0);
    let restored = app.command().args(["restore", "--database"]).output().unwrap();
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(said.contains("positions go on from 1"), "{said}{restored:?}");
    app.restart();
    app.organization("after");
    misses_nothing(&app, &cursor);
    assert_eq!(app.stop(), 0);
    assert!(app.command().args(["restore", "--database"]).output().unwrap().status.success(), "and again");
    app.restart();
    let before = app.get("/v1/organizations/before").json();
    app.post(&format!("/v1/organizations/{}/suspend", before["id"].as_str().unwrap()), "");
    let stream = format!("stream=organization/{}", before["id"].as_str().unwrap());
    let mut last = serde_json::Value::Null;
    for () in looks() {
        last = app.get(&format!("/v1/events?{stream}")).json()["items"][1].clone();
        if last.is_object() {
            break;
        }
    }
    assert!(last["epoch"].as_i64().unwrap() > 1_700_000_000 && last["offset"] == 2, "{last}");
    assert!(last["position"].as_i64().unwrap() > 1_700_000_000_000_000);
}

#[test]
fn a_backup_under_load_restores_to_a_consistent_state() {
    let app = App::embedded();
    let (address, stop) = (app.address(), AtomicBool::new(false));
    let backup = app.folder.path().join("backup");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let stop = &stop;
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let body = format!(
                        r#"{{"slug":"w{writer}-{number}","name":"x","contactEmail":"a@example.org"}}"#
                    );
                    assert_eq!(ask(address, "POST", "/v1/organizations", &[], &body).unwrap().status, 201);
                }
            });
        }
        let _stopping = Stopping(&stop);
        while app.get("/v1/organizations?count=true").json()["total"].as_i64().unwrap() < 50 {}
        let output = app.command().args(["backup", "--to"]).arg(&backup).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    // A follower has seen more than the backup holds.
    let seen = app.get("/v1/events?limit=100").json();
    let mut cursor = seen["nextCursor"].as_str().unwrap().to_owned();
    loop {
        let page = app.get(&format!("/v1/events?limit=100&cursor={cursor}")).json();
        page["nextCursor"].as_str().unwrap().clone_into(&mut cursor);
        if page["hasMore"] == false {
            break;
        }
    }
    let again = app.command().args(["backup", "--to"]).arg(&backup).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "a backup is never overwritten");
    app.kill();
    let fresh = tempfile::TempDir::new().unwrap();
    let output = stoa(fresh.path()).args(["restore", "--from"]).arg(&backup).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked = stoa(fresh.path()).args(["config", "check"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("all of which hold"), "{said}");
    // The restored platform has everything up to one moment, and goes on.
    let restored = App::in_folder(fresh);
    restored.restart();
    let total = restored.get("/v1/organizations?count=true").json()["total"].as_i64().unwrap();
    assert!(total >= 50);
    let page = restored.get("/v1/organizations?limit=100").json();
    assert!(page["items"].as_array().unwrap().iter().all(|one| one["contactEmail"] == "a@example.org"));
    let made = restored.organization("after-the-restore");
    misses_nothing(&restored, &cursor);
    let stream = format!("stream=organization/{}", made["id"].as_str().unwrap());
    assert_eq!(restored.get(&format!("/v1/events?{stream}")).json()["items"][0]["epoch"], 1);
    let old = format!("/v1/organizations/{}/suspend", page["items"][0]["id"].as_str().unwrap());
    assert_eq!(restored.post(&old, "").status, 200);
    let stream = format!("stream=organization/{}", page["items"][0]["id"].as_str().unwrap());
    let events = restored.get(&format!("/v1/events?{stream}")).json();
    let (epoch, position) = (&events["items"][1]["epoch"], events["items"][1]["position"].as_i64().unwrap());
    assert!(epoch.as_i64().unwrap() > 1_700_000_000 && events["items"][1]["offset"] == 2, "{events}");
    // The same backup once more: again, nothing that anybody has seen is given anew.
    let other = tempfile::TempDir::new().unwrap();
    assert!(stoa(other.path()).args(["restore", "--from"]).arg(&backup).output().unwrap().status.success());
    let again = App::in_folder(other);
    again.restart();
    again.organization("after-the-second-restore");
    let restored_again = again.get("/v1/events?type=installation.restored").json();
    assert!(restored_again["items"][0]["position"].as_i64().unwrap() > position, "{restored_again}");
    // One that was altered since is refused.
    let file = backup.join("stoa.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let elsewhere = tempfile::TempDir::new().unwrap();
    let altered = stoa(elsewhere.path()).args(["restore", "--from"]).arg(&backup).output().unwrap();
    assert!(String::from_utf8_lossy(&altered.stderr).starts_with("error[database_damaged]"), "{altered:?}");
    let twice = stoa(restored.folder.path()).args(["restore", "--from"]).arg(&backup).output().unwrap();
    assert_eq!(twice.status.code(), Some(1), "a restore never overwrites");
}
