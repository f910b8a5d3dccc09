//! What the commands of schedules ask.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::commands::{Question, act, get};
use super::work::{fields, typed};
use crate::cli::client::{Firing, ScheduleCommand, Times};
use crate::failure::Failure;

const SCHEDULES: &[&str] =
    &["id", "name", "kind", "cron", "timeZone", "everyS", "at", "pausedAt", "nextAt", "lastAt", "fired"];

fn times(times: &Times) -> Map<String, Value> {
    let mut body = fields(&[("cron", &times.cron), ("timeZone", &times.time_zone), ("at", &times.at)]);
    times.every_s.map(|seconds| body.insert("everyS".to_owned(), seconds.into()));
    body
}

fn firing(firing: &Firing) -> Result<Map<String, Value>, Failure> {
    let mut body = times(&firing.times);
    body.extend(fields(&[
        ("priority", &firing.priority),
        ("misfire", &firing.misfire),
        ("overlap", &firing.overlap),
    ]));
    firing.catch_up_max.map(|most| body.insert("catchUpMax".to_owned(), most.into()));
    firing.jitter_s.map(|seconds| body.insert("jitterS".to_owned(), seconds.into()));
    if let Some(payload) = &firing.payload {
        body.insert("payload".to_owned(), typed("--payload", payload)?);
    }
    Ok(body)
}

pub(super) fn schedule(what: &ScheduleCommand) -> Result<Question, Failure> {
    let path = |schedule: &String| format!("/v1/schedules/{schedule}");
    let set = |schedule: &String, body| act(Method::PATCH, path(schedule), Some(body));
    Ok(match what {
        ScheduleCommand::List => get("/v1/schedules?limit=100", SCHEDULES),
        ScheduleCommand::Show { schedule } => get(path(schedule), &[]),
        ScheduleCommand::Create { name, kind, firing: given } => {
            let mut body = firing(given)?;
            body.insert("name".to_owned(), name.clone().into());
            body.insert("kind".to_owned(), kind.clone().into());
            act(Method::POST, "/v1/schedules", Some(body.into()))
        }
        ScheduleCommand::Set { schedule, firing: given } => set(schedule, firing(given)?.into()),
        ScheduleCommand::Pause { schedule } => set(schedule, json!({"paused": true})),
        ScheduleCommand::Resume { schedule } => set(schedule, json!({"paused": false})),
        ScheduleCommand::Run { schedule } => act(Method::POST, format!("{}/run", path(schedule)), None),
        ScheduleCommand::Remove { schedule } => act(Method::DELETE, path(schedule), None),
        ScheduleCommand::Preview { schedule: Some(schedule), .. } => {
            get(format!("{}/preview", path(schedule)), &[])
        }
        ScheduleCommand::Preview { schedule: None, times: given } => {
            act(Method::POST, "/v1/schedules/preview", Some(times(given).into()))
        }
    })
}
