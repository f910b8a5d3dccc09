//! What the commands of jobs, dead letters and queues ask.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::commands::{Question, act, get};
use crate::cli::client::{DlqCommand, JobCommand, Letters, QueueCommand};
use crate::failure::Failure;

const JOBS: &[&str] = &["id", "kind", "state", "attempts", "priority", "createdAt", "finishedAt"];
const KINDS: &[&str] = &["name", "queue", "isOpen", "priority", "attemptsMax", "timeoutS", "about"];
const LETTERS: &[&str] = &["id", "kind", "queue", "reason", "attempts", "replays", "finishedAt"];
const QUEUES: &[&str] = &[
    "name",
    "pausedAt",
    "concurrencyMax",
    "ready",
    "scheduled",
    "waiting",
    "running",
    "failed",
    "perSecond",
];

/// JSON that somebody typed behind a flag.
pub(super) fn typed(flag: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new("usage", format!("{flag} is not JSON: {error}"))
            .way_out(format!("write it as {flag} '{{\"steps\": 3}}'"))
    })
}

/// The parameters that are given, as a query.
pub(super) fn query(given: &[(&str, &Option<String>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", "100");
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

/// The fields that are given, as a body.
pub(super) fn fields(given: &[(&str, &Option<String>)]) -> Map<String, Value> {
    let field = |(name, value): &(&str, &Option<String>)| {
        value.as_ref().map(|value| ((*name).to_owned(), Value::from(value.as_str())))
    };
    given.iter().filter_map(field).collect()
}

pub(super) fn job(what: &JobCommand) -> Result<Question, Failure> {
    Ok(match what {
        JobCommand::List { state, kind, batch } => {
            get(format!("/v1/jobs?{}", query(&[("state", state), ("kind", kind), ("batch", batch)])), JOBS)
        }
        JobCommand::Kinds => get("/v1/job-kinds", KINDS),
        JobCommand::Show { job } => get(format!("/v1/jobs/{job}"), &[]),
        JobCommand::Submit { kind, payload, priority, run_at, order_key, dedupe_key, batch_key } => {
            let mut body = fields(&[
                ("priority", priority),
                ("runAt", run_at),
                ("orderKey", order_key),
                ("dedupeKey", dedupe_key),
                ("batchKey", batch_key),
            ]);
            body.insert("kind".to_owned(), kind.clone().into());
            body.insert("payload".to_owned(), typed("--payload", payload)?);
            act(Method::POST, "/v1/jobs", Some(body.into()))
        }
        JobCommand::Cancel { job } => act(Method::POST, format!("/v1/jobs/{job}/cancel"), None),
        JobCommand::Batch { batch, wait_s } => {
            let key: String = url::form_urlencoded::byte_serialize(batch.as_bytes()).collect();
            get(format!("/v1/job-batches/{}?waitS={wait_s}", key.replace('+', "%20")), &[])
        }
    })
}

fn named(which: &Letters) -> [(&'static str, &Option<String>); 3] {
    [("kind", &which.kind), ("queue", &which.queue), ("reason", &which.reason)]
}

pub(super) fn dlq(what: &DlqCommand) -> Result<Question, Failure> {
    Ok(match what {
        DlqCommand::List { which } => get(format!("/v1/dead-letters?{}", query(&named(which))), LETTERS),
        DlqCommand::Show { job } => get(format!("/v1/jobs/{job}"), &[]),
        DlqCommand::Replay { job: Some(job), payload, .. } => {
            let payload = payload.as_deref().map(|text| typed("--payload", text)).transpose()?;
            let body = payload.map(|payload| json!({"payload": payload}));
            act(Method::POST, format!("/v1/jobs/{job}/replay"), body)
        }
        DlqCommand::Replay { which, .. } => {
            act(Method::POST, "/v1/dead-letters/replay", Some(fields(&named(which)).into()))
        }
        DlqCommand::Discard { job: Some(job), .. } => act(Method::DELETE, format!("/v1/jobs/{job}"), None),
        DlqCommand::Discard { which, .. } => {
            act(Method::POST, "/v1/dead-letters/discard", Some(fields(&named(which)).into()))
        }
    })
}

pub(super) fn queue(what: &QueueCommand) -> Question {
    let set = |queue: &String, body| act(Method::PATCH, format!("/v1/admin/queues/{queue}"), Some(body));
    match what {
        QueueCommand::List => get("/v1/admin/queues", QUEUES),
        QueueCommand::Pause { queue } => set(queue, json!({"paused": true})),
        QueueCommand::Resume { queue } => set(queue, json!({"paused": false})),
        QueueCommand::Limit { queue, most } => set(queue, json!({"concurrencyMax": most})),
        QueueCommand::Drain { queue } => act(Method::POST, format!("/v1/admin/queues/{queue}/drain"), None),
    }
}
