//! What the commands of webhooks ask.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::commands::{Question, act, get};
use super::work::{fields, query};
use crate::cli::client::{EndpointArgs, WebhookCommand};
use crate::failure::Failure;

const WEBHOOKS: &[&str] = &["id", "url", "events", "isActive", "disabledReason", "failingSince"];
const DELIVERIES: &[&str] = &["id", "type", "state", "attempts", "lastStatus", "nextAt", "createdAt"];
const SOURCES: &[&str] = &["id", "name", "kind", "path"];
fn endpoint(what: &EndpointArgs) -> Result<Map<String, Value>, Failure> {
    let mut body = fields(&[("description", &what.description)]);
    if !what.events.is_empty() {
        body.insert("events".to_owned(), what.events.clone().into());
    }
    let mut headers = Map::new();
    for header in &what.headers {
        let (name, value) = header.split_once('=').ok_or_else(|| {
            Failure::new("usage", format!("--header {header} is no header"))
                .way_out("write it as --header NAME=VALUE")
        })?;
        headers.insert(name.to_owned(), value.into());
    }
    if !headers.is_empty() {
        body.insert("headers".to_owned(), headers.into());
    }
    what.timeout_s.map(|seconds| body.insert("timeoutS".to_owned(), seconds.into()));
    Ok(body)
}

pub(super) fn webhook(what: &WebhookCommand) -> Result<Question, Failure> {
    let path = |webhook: &String| format!("/v1/webhooks/{webhook}");
    let set = |webhook: &String, body| act(Method::PATCH, path(webhook), Some(body));
    Ok(match what {
        WebhookCommand::List => get("/v1/webhooks?limit=100", WEBHOOKS),
        WebhookCommand::Show { webhook } => get(path(webhook), &[]),
        WebhookCommand::Create { target, what } => {
            let mut body = endpoint(what)?;
            body.insert("url".to_owned(), target.clone().into());
            act(Method::POST, "/v1/webhooks", Some(body.into()))
        }
        WebhookCommand::Set { webhook, to, what } => {
            let mut body = endpoint(what)?;
            body.extend(fields(&[("url", to)]));
            set(webhook, body.into())
        }
        WebhookCommand::Disable { webhook } => set(webhook, json!({"active": false})),
        WebhookCommand::Enable { webhook } => set(webhook, json!({"active": true})),
        WebhookCommand::Remove { webhook } => act(Method::DELETE, path(webhook), None),
        WebhookCommand::Rotate { webhook, overlap_s } => act(
            Method::POST,
            format!("{}/rotate-secret", path(webhook)),
            Some(json!({"overlapS": overlap_s})),
        ),
        WebhookCommand::Test { webhook } => act(Method::POST, format!("{}/test", path(webhook)), None),
        WebhookCommand::Deliveries { webhook, state } => {
            get(format!("{}/deliveries?{}", path(webhook), query(&[("state", state)])), DELIVERIES)
        }
        WebhookCommand::Delivery { delivery } => get(format!("/v1/webhook-deliveries/{delivery}"), &[]),
        WebhookCommand::Resend { delivery } => {
            act(Method::POST, format!("/v1/webhook-deliveries/{delivery}/resend"), None)
        }
        WebhookCommand::Replay { webhook, since } => {
            act(Method::POST, format!("{}/replay", path(webhook)), Some(json!({"since": since})))
        }
        WebhookCommand::Sources => get("/v1/hook-sources?limit=100", SOURCES),
        WebhookCommand::AddSource { name, kind } => {
            act(Method::POST, "/v1/hook-sources", Some(json!({"name": name, "kind": kind})))
        }
        WebhookCommand::RemoveSource { source } => {
            act(Method::DELETE, format!("/v1/hook-sources/{source}"), None)
        }
    })
}
