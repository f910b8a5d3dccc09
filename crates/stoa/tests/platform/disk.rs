use std::fs::{self, OpenOptions};
use std::io::Write as _;

use crate::app::{App, looks};
use crate::topology::Busy;
use crate::webhooks::SETTINGS;

/// Fills a file until nothing more fits.
fn fill(path: &std::path::Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [1 << 16, 1 << 12, 1 << 8, 1] {
        let chunk = vec![b'x'; size];
        while file.write_all(&chunk).is_ok() {}
    }
}

#[test]
fn on_a_full_disk_reads_go_on_changes_are_refused_and_it_recovers() {
    let Some(app) = App::on_a_disk_of(8, &[]) else {
        eprintln!("this machine lets nobody mount a small disk; nothing was tried");
        return;
    };
    let made = app.organization("acme");
    let filler = app.data_seen_from_outside().join("filler");
    let (mut before, mut refused) = (Vec::new(), None);
    // What the log has room for already is still written.
    for number in 0..5_000 {
        fill(&filler);
        let slug = format!("o{number}");
        let answer =
            app.post("/v1/organizations", &format!(r#"{{"slug":"{slug}","name":"{}"}}"#, "n".repeat(100)));
        if answer.status == 201 {
            before.push(answer.json());
        } else {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the disk is full at some point");
    assert_eq!((refused.status, refused.problem().as_str()), (507, "storage_full"), "{}", refused.text);
    for _ in 0..20 {
        assert_eq!(app.post("/v1/organizations", r#"{"slug":"late","name":"Late"}"#).status, 507);
        assert_eq!(app.get("/v1/organizations/acme").json(), made);
        assert_eq!(app.get("/v1/events?limit=1").status, 200);
    }
    let health = app.get("/health").json();
    let disk = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "disk").unwrap();
    assert_eq!(disk["ok"], false, "{health}");
    fs::remove_file(&filler).unwrap();
    app.organization("late");
    for one in &before {
        let path = format!("/v1/organizations/{}", one["id"].as_str().unwrap());
        assert_eq!(&app.get(&path).json(), one, "what was answered is there");
    }
    let events = app.get("/v1/events?limit=100").json()["items"].as_array().unwrap().len();
    assert_eq!(events, (before.len() + 2).min(100), "what was refused told nothing");
}

#[test]
fn work_waits_while_the_disk_is_full_and_is_done_once() {
    // What could not be ended is done again when its lease ends.
    let settings = [&SETTINGS[..], &[("STOA_JOBS__LEASE_S", "5")]].concat();
    let Some(app) = App::on_a_disk_of(16, &settings) else {
        eprintln!("this machine lets nobody mount a small disk; nothing was tried");
        return;
    };
    let mut busy = Busy::begin(&app);
    for _ in 0..3 {
        busy.more(&app);
    }
    let filler = app.data_seen_from_outside().join("filler");
    let is_full = looks().any(|()| {
        fill(&filler);
        app.post("/v1/organizations", r#"{"slug":"late","name":"Late"}"#).status == 507
            || app.post("/v1/organizations/late/suspend", "").status == 507
    });
    assert!(is_full, "the disk is full at some point");
    for _ in 0..50 {
        assert_eq!(app.get("/v1/events?limit=1").status, 200, "reads go on");
    }
    fs::remove_file(&filler).unwrap();
    busy.more(&app);
    busy.end(&app);
}
