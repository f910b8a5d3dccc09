use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;

use super::{View, problem};
use crate::body::body;
use crate::call::{self, Call};
use crate::jobs::refusal;
use crate::platform::Platform;

body! {
    /// A run that is to begin.
    StartBody as RunDraft {
        /// The workflow.
        required workflow("workflow"): String as String [example = "probe"],
        /// What it is given, by the schema of the workflow; at most 256 KiB.
        value input("input"): Option<serde_json::Value> as Option<Object> [nullable = false],
        /// At most one live run of the workflow has it: while there is one, that one is answered.
        optional key("key"): Option<String> as Option<String> [min_length = 1, max_length = 100, nullable = false],
    }
}

/// Start a run
#[utoipa::path(
    post, path = "/v1/runs", tag = "runs", operation_id = "startRun",
    request_body = StartBody,
    responses(
        (status = 202, description = "It begins, and goes on whatever happens to any process. `Location` is where it is seen.", body = View),
        (status = 200, description = "A live run has the key: this one.", body = View),
    )
)]
pub(crate) async fn start(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = StartBody::read(&call)?;
    let cx = &call.caller.cx;
    let input = body.input.unwrap_or_else(|| serde_json::json!({}));
    let live = async || match &body.key {
        Some(key) => platform.runs.by_key(cx, &body.workflow, key).await.map_err(|error| problem(&error)),
        None => Ok(None),
    };
    let started = platform.runs.start(cx, &body.workflow, input, body.key.clone());
    let (run, commit) = started.map_err(|error| problem(&error))?;
    if let Some(live) = live().await? {
        return call::ok(&View::of(&platform, &live));
    }
    let view = View::of(&platform, &run);
    let commit = commit.note("run.started", "run", &run.id);
    let answered = call.change(&platform, StatusCode::ACCEPTED, async { Ok((view, commit)) }, refusal).await;
    if answered.as_ref().is_err_and(|refused| refused.code() == "duplicate")
        && let Some(live) = live().await?
    {
        // Another request was faster.
        return call::ok(&View::of(&platform, &live));
    }
    answered
}
