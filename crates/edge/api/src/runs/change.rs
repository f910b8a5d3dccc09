use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;

use super::{Steer, View, named, problem, steer};
use crate::body::body;
use crate::call::Call;
use crate::jobs::refusal;
use crate::platform::Platform;

/// Cancel a run
///
/// It waits no more, finishes what is being done, and undoes what it did, the last first.
#[utoipa::path(
    post, path = "/v1/runs/{run}/cancel", tag = "runs", operation_id = "cancelRun",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is asked to stop."))
)]
pub(crate) async fn cancel(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    steer(&platform, &call, Steer::Cancel).await
}

/// Try a run again from the step that failed
///
/// One that failed or stopped and has undone nothing goes on with that step; one that could not undo a step tries that again.
#[utoipa::path(
    post, path = "/v1/runs/{run}/retry", tag = "runs", operation_id = "retryRun",
    params(("run" = String, Path, description = "Its id")),
    responses((status = 204, description = "It goes on."))
)]
pub(crate) async fn retry(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    steer(&platform, &call, Steer::Retry).await
}

body! {
    /// Where another run begins.
    ForkBody as RunFork {
        /// The step that it does anew, and everything after it.
        required step("step"): String as String [example = "step-2"],
    }
}

/// Begin another run with what this one had completed before a step
#[utoipa::path(
    post, path = "/v1/runs/{run}/fork", tag = "runs", operation_id = "forkRun",
    params(("run" = String, Path, description = "Its id")),
    request_body = ForkBody,
    responses((status = 202, description = "It begins. `Location` is where it is seen.", body = View))
)]
pub(crate) async fn fork(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = ForkBody::read(&call)?;
    let decide = async {
        let run = named(&platform, &call).await?;
        let forked = platform.runs.fork(&call.caller.cx, &run, &body.step).await;
        let (fork, commit) = forked.map_err(|error| problem(&error))?;
        Ok((View::of(&platform, &fork), commit))
    };
    call.change(&platform, StatusCode::ACCEPTED, decide, refusal).await
}
