use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_kernel::id::JobId;

use super::{problem, refusal};
use crate::body::body;
use crate::call::{Call, Empty};
use crate::platform::Platform;

/// Cancel a job
///
/// One that waits is cancelled at once. One that runs is asked to stop; after half a minute it is ended.
#[utoipa::path(
    post, path = "/v1/jobs/{job}/cancel", tag = "jobs", operation_id = "cancelJob",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is cancelled, or asked to stop."))
)]
pub(crate) async fn cancel(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: JobId = call.part("job")?;
    let decide = async {
        let commit = platform.desk.cancel(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
        Ok((Empty, commit))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}

body! {
    /// What is to be different this time.
    ReplayBody as JobReplay {
        /// Another payload, by the schema of its kind; without it, the same.
        value payload("payload"): Option<serde_json::Value> as Option<Object> [nullable = false],
    }
}

/// Try a dead letter again
#[utoipa::path(
    post, path = "/v1/jobs/{job}/replay", tag = "jobs", operation_id = "replayJob",
    params(("job" = String, Path, description = "Its id")),
    request_body = Option<ReplayBody>,
    responses((status = 204, description = "It is tried again, as often as a new one."))
)]
pub(crate) async fn replay(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: JobId = call.part("job")?;
    let body = ReplayBody::read(&call)?;
    let decide = async {
        let replayed = platform.desk.replay(&call.caller.cx, id, body.payload).await;
        Ok((Empty, replayed.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}

/// Discard a dead letter
#[utoipa::path(
    delete, path = "/v1/jobs/{job}", tag = "jobs", operation_id = "discardJob",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone; where its mailbox waited for it, that goes on."))
)]
pub(crate) async fn discard(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: JobId = call.part("job")?;
    let decide = async {
        let commit = platform.desk.discard(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
        Ok((Empty, commit))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}
