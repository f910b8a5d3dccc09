//! What the commands of notifications ask.

use reqwest::Method;
use serde_json::{Value, json};

use super::commands::{Question, act, get};
use super::work::query;
use crate::cli::client::NotificationCommand;

const NOTIFICATIONS: &[&str] = &["id", "title", "template", "readAt", "createdAt"];
const PREFERENCES: &[&str] = &["template", "channel", "on", "about"];
const LETTERS: &[&str] = &["id", "userId", "state", "attempts", "error", "createdAt"];

pub(super) fn notification(what: &NotificationCommand) -> Question {
    let set = |body| act(Method::PATCH, "/v1/notifications/settings", Some(body));
    match what {
        NotificationCommand::List { unread } => {
            get(format!("/v1/notifications?limit=100&unread={unread}"), NOTIFICATIONS)
        }
        NotificationCommand::Count => get("/v1/notifications/unread-count", &[]),
        NotificationCommand::Read { notification: Some(id) } => {
            act(Method::POST, format!("/v1/notifications/{id}/read"), None)
        }
        NotificationCommand::Read { notification: None } => {
            act(Method::POST, "/v1/notifications/read-all", None)
        }
        NotificationCommand::Settings => get("/v1/notifications/settings", &[]),
        NotificationCommand::Mute { until } => set(json!({"muteUntil": until})),
        NotificationCommand::Unmute => set(json!({"muteUntil": Value::Null})),
        NotificationCommand::Digest { often } => set(json!({"digest": often})),
        NotificationCommand::Preferences => get("/v1/notifications/preferences", PREFERENCES),
        NotificationCommand::Prefer { template, channel, on } => {
            let path = format!("/v1/notifications/preferences/{template}/{channel}");
            act(Method::PUT, path, Some(json!({"on": on == "on"})))
        }
        NotificationCommand::Letters { state } => {
            get(format!("/v1/admin/notifications?{}", query(&[("state", state)])), LETTERS)
        }
        NotificationCommand::Replay { delivery } => {
            act(Method::POST, format!("/v1/admin/notifications/{delivery}/replay"), None)
        }
    }
}
