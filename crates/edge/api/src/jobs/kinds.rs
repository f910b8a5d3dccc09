use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use utoipa::ToSchema;

use crate::call;
use crate::platform::Platform;

/// A kind of job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobKind)]
struct View {
    /// Its name.
    #[schema(example = "probe")]
    name: &'static str,
    /// The queue of its jobs.
    queue: &'static str,
    /// What it does.
    about: &'static str,
    /// Whether anybody may ask for it; the others only Stoa asks for.
    is_open: bool,
    /// How soon, unless a job says otherwise.
    priority: &'static str,
    /// How often it is tried.
    attempts_max: u32,
    /// The most that an attempt may take, in seconds.
    timeout_s: u64,
    /// Whether the mailbox of a dead letter waits for it.
    holds_mailbox: bool,
    /// The JSON Schema of its payload.
    payload_schema: Option<serde_json::Value>,
}

/// Kinds.
#[derive(Serialize, ToSchema)]
#[schema(as = JobKinds)]
struct Kinds {
    /// The kinds.
    items: Vec<View>,
}

/// List the kinds of jobs
#[utoipa::path(
    get, path = "/v1/job-kinds", tag = "jobs", operation_id = "listJobKinds",
    responses((status = 200, description = "They are these.", body = Kinds))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>) -> Result<Response, Problem> {
    let view = |kind: &&'static stoa_jobs::Kind| View {
        name: kind.name,
        queue: kind.queue,
        about: kind.about,
        is_open: kind.form.is_some(),
        priority: kind.priority.name(),
        attempts_max: kind.retry.attempts_max,
        timeout_s: kind.timeout.as_secs(),
        holds_mailbox: kind.holds,
        payload_schema: kind.form.map(|form| (form.schema)()),
    };
    call::ok(&Kinds { items: platform.desk.kinds.iter().map(view).collect() })
}
