use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::app::{App, TOKEN, looks};
use crate::on_both;

on_both! {
    a_reader_that_continues_sees_every_event_once
    a_follower_is_told_and_continues_after_the_last_event
    the_catalogue_names_every_type
    what_happens_is_counted_by_day_and_counted_anew
}

fn types(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

/// Reads on until so many events have positions.
fn read(app: &App, query: &str, wanted: usize) -> (Vec<Value>, String) {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    for () in looks() {
        let page = app.get(&format!("/v1/events?limit=3&{query}{cursor}")).json();
        events.extend(page["items"].as_array().unwrap().iter().cloned());
        cursor = format!("&cursor={}", page["nextCursor"].as_str().unwrap());
        if events.len() >= wanted && page["hasMore"] == false {
            return (events, cursor);
        }
    }
    panic!("only {} of {wanted} events were seen", events.len());
}

fn a_reader_that_continues_sees_every_event_once(app: &App) {
    let id = app.organization("acme")["id"].as_str().unwrap().to_owned();
    app.organization("other");
    for verb in ["suspend", "resume", "archive"] {
        app.post(&format!("/v1/organizations/{id}/{verb}"), "");
    }
    let (events, cursor) = read(app, "", 5);
    assert_eq!(events.len(), 5);
    let positions: Vec<i64> = events.iter().map(|event| event["position"].as_i64().unwrap()).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5]);
    let own: Vec<&Value> = events.iter().filter(|event| event["organizationId"] == id.as_str()).collect();
    let offsets: Vec<i64> = own.iter().map(|event| event["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, [1, 2, 3, 4]);
    assert_eq!(own[3]["aggregate"]["version"], 4);
    app.organization("third");
    let mut later = Value::Null;
    for () in looks() {
        later = app.get(&format!("/v1/events?{}", cursor.trim_start_matches('&'))).json();
        if !types(&later).is_empty() {
            break;
        }
    }
    assert_eq!(types(&later), ["organization.created"]);
    let (filtered, _) =
        read(app, &format!("organization={id}&type=organization.suspended,organization.archived"), 2);
    assert_eq!(
        filtered.iter().map(|event| event["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["organization.suspended", "organization.archived"]
    );
}

pub(crate) struct Follower {
    reader: BufReader<TcpStream>,
    /// The place where it began.
    began: String,
}

impl Follower {
    pub(crate) fn start(app: &App, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        write!(
            stream,
            "GET /v1/events/stream HTTP/1.1\r\nHost: stoa\r\nAuthorization: Bearer {TOKEN}\r\n{last}\r\n"
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("200"), "{line}");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let mut follower = Self { reader, began: String::new() };
        let (began, kind) = follower.next();
        assert_eq!(kind, "", "what comes first is a place alone");
        Self { began, ..follower }
    }

    /// The id and type of the next event.
    pub(crate) fn next(&mut self) -> (String, String) {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(text) = line.strip_prefix("id: ") {
                text.trim().clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.trim().clone_into(&mut kind);
            } else if line.trim().is_empty() && !id.is_empty() {
                return (id, kind);
            }
        }
    }
}

fn a_follower_is_told_and_continues_after_the_last_event(app: &App) {
    let id = app.organization("acme")["id"].as_str().unwrap().to_owned();
    let first = read(app, "", 1).0.remove(0)["eventId"].as_str().unwrap().to_owned();
    let mut follower = Follower::start(app, Some(&first));
    app.post(&format!("/v1/organizations/{id}/suspend"), "");
    let (last, kind) = follower.next();
    assert_eq!(kind, "organization.suspended");
    drop(follower);
    app.post(&format!("/v1/organizations/{id}/resume"), "");
    app.post(&format!("/v1/organizations/{id}/archive"), "");
    let mut again = Follower::start(app, Some(&last));
    assert_eq!(
        (again.next().1, again.next().1),
        ("organization.resumed".to_owned(), "organization.archived".to_owned())
    );
    // Interrupted before anything happened, it misses nothing either.
    let began = Follower::start(app, None).began;
    app.organization("meanwhile");
    let (_, kind) = Follower::start(app, Some(&began)).next();
    assert_eq!(kind, "organization.created");
    let unknown = app.with("GET", "/v1/events/stream", &[("Last-Event-ID", "evt_0000000000001")], "");
    assert_eq!(unknown.problem(), "invalid_parameter");
    assert_eq!(app.stop(), 0, "a follower does not keep the process from ending");
}

fn the_catalogue_names_every_type(app: &App) {
    let catalogue = app.get("/v1/event-types").json();
    let names = types(&catalogue);
    assert!(names.contains(&"organization.created".to_owned()) && names.len() >= 5, "{names:?}");
    assert!(catalogue["items"][0]["schema"]["properties"]["slug"].is_object());
}

/// Asks until the answer is as it should be.
fn when(app: &App, path: &str, is_good: impl Fn(&Value) -> bool) -> Value {
    let found = looks().map(|()| app.get(path).json()).find(|answer| is_good(answer));
    found.unwrap_or_else(|| panic!("{path}: {}", app.get(path).json()))
}

fn what_happens_is_counted_by_day_and_counted_anew(app: &App) {
    let id = app.organization("acme")["id"].as_str().unwrap().to_owned();
    app.organization("other");
    for verb in ["suspend", "resume", "suspend", "resume"] {
        app.post(&format!("/v1/organizations/{id}/{verb}"), "");
    }
    let path =
        format!("/v1/events/activity?organization={id}&type=organization.suspended,organization.resumed");
    let counted = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|row| row["events"].as_i64().unwrap()).sum::<i64>()
    };
    let page = when(app, &path, |page| counted(page) == 4);
    let row = &page["items"][0];
    assert_eq!((&row["organizationId"], &row["type"]), (&Value::from(id), &"organization.suspended".into()));
    let day = row["day"].as_str().unwrap();
    assert!(row["firstAt"].as_str().unwrap().starts_with(day), "{row}");
    assert_eq!(counted(&app.get(&format!("{path}&to=2020-01-01")).json()), 0);
    assert_eq!(counted(&app.get(&format!("{path}&from={day}&to={day}")).json()), 4);
    for wrong in ["from=today", "to=2026-13-01", "type=nothing.happened", "from=2026-1-1"] {
        assert_eq!(app.get(&format!("/v1/events/activity?{wrong}")).status, 400, "{wrong}");
    }
    let begun = app.post("/v1/admin/projections/activity/rebuild", "");
    assert_eq!(begun.status, 202, "{}", begun.text);
    assert_eq!(
        (&begun.json()["live"]["generation"], &begun.json()["building"]["generation"]),
        (&1.into(), &2.into())
    );
    let done = when(app, "/v1/admin/projections", |found| {
        found["items"][0]["live"]["generation"] == 2 && found["items"][0]["building"].is_null()
    });
    assert_eq!(
        (&done["items"][0]["name"], &done["items"][0]["live"]["behind"]),
        (&"activity".into(), &0.into())
    );
    assert_eq!(counted(&app.get(&path).json()), 4);
    assert_eq!(app.post("/v1/admin/projections/nothing/rebuild", "").status, 404);
}
