//! What the commands of events ask.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::ask::Api;
use super::commands::{Question, act, get};
use super::table::cell;
use super::work::query;
use crate::cli::client::{Client, EventCommand};
use crate::failure::{Exit, Failure};

const EVENTS: &[&str] = &["position", "timestamp", "type", "stream", "eventId"];
const ACTIVITY: &[&str] = &["day", "type", "events", "firstAt", "lastAt", "organizationId"];
const TYPES: &[&str] = &["type", "version", "about"];
const CONSUMERS: &[&str] = &["name", "position", "behind", "behindSince", "updatedAt", "about"];
const PROJECTIONS: &[&str] = &[
    "name",
    "live.generation",
    "live.position",
    "live.behind",
    "building.position",
    "building.behind",
    "about",
];

/// How long is waited before following goes on after an interruption.
const PAUSE: Duration = Duration::from_secs(1);

/// What a command asks; nothing for [`EventCommand::Follow`], which is no question.
pub(super) fn event(what: &EventCommand) -> Option<Question> {
    Some(match what {
        EventCommand::List { kind, stream, since } => get(
            format!("/v1/events?{}", query(&[("type", kind), ("stream", stream), ("since", since)])),
            EVENTS,
        ),
        EventCommand::Activity { from, to, kind } => get(
            format!("/v1/events/activity?{}", query(&[("from", from), ("to", to), ("type", kind)])),
            ACTIVITY,
        ),
        EventCommand::Types => get("/v1/event-types", TYPES),
        EventCommand::Consumers => get("/v1/admin/consumers", CONSUMERS),
        EventCommand::Projections => get("/v1/admin/projections", PROJECTIONS),
        EventCommand::Rebuild { projection } => {
            let name: String = url::form_urlencoded::byte_serialize(projection.as_bytes()).collect();
            act(Method::POST, format!("/v1/admin/projections/{}/rebuild", name.replace('+', "%20")), None)
        }
        EventCommand::Follow { .. } => return None,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells a client when a server is back: it asks again after a while"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Prints events as they happen: a line each, or their JSON.
pub(super) fn follow(client: &Client, what: &EventCommand) -> Result<Exit, Failure> {
    let EventCommand::Follow { kind, stream, after, count } = what else { return Ok(Exit::Clean) };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("type", kind), ("stream", stream)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let path = format!("/v1/events/stream?{}", query.finish());
    let mut api = Api::open(client)?;
    let (mut last, mut left) = (after.map(|event| event.to_string()), count.unwrap_or(u64::MAX));
    let mut has_followed = false;
    while left > 0 {
        let stream = match api.stream(client, &path, last.as_deref()) {
            Ok(stream) => stream,
            // It was there before: it is started anew, perhaps, or has too much to do.
            Err(unopened) if has_followed && unopened.is_passing => {
                pause();
                continue;
            }
            Err(unopened) => return Err(unopened.failure),
        };
        has_followed = true;
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if let Some(id) = line.strip_prefix("id:") {
                last = Some(id.trim().to_owned());
            }
            let Some(data) = line.strip_prefix("data:") else { continue };
            let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
            let text = if client.json {
                event.to_string()
            } else {
                EVENTS.iter().map(|column| cell(&event, column)).collect::<Vec<_>>().join("  ")
            };
            crate::print(&format!("{text}\n"))?;
            left -= 1;
            if left == 0 {
                return Ok(Exit::Clean);
            }
        }
        pause();
    }
    Ok(Exit::Clean)
}
