use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_runtime::lifecycle::Phase;
use utoipa::ToSchema;

use super::problem;
use crate::call::{self, Call};
use crate::platform::Platform;

/// Between two looks at a batch that is awaited.
const LOOK: Duration = Duration::from_millis(250);
/// The longest that one is awaited, in seconds.
const WAIT_S_MAX: u64 = 25;

/// How a batch does.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobBatch)]
struct View {
    /// Its key.
    key: String,
    /// All of it that there is.
    total: i64,
    /// What waits.
    queued: i64,
    /// What runs.
    running: i64,
    /// What was done.
    completed: i64,
    /// Dead letters.
    failed: i64,
    /// What was cancelled.
    cancelled: i64,
    /// Whether nothing waits or runs any more.
    is_done: bool,
}

async fn look(platform: &Platform, call: &Call, key: &str) -> Result<View, Problem> {
    let counted = platform.desk.batch(&call.caller.cx, key).await;
    let [open, running, completed, failed, cancelled] = counted.map_err(|error| problem(&error))?;
    Ok(View {
        key: key.to_owned(),
        total: open + completed + failed + cancelled,
        queued: (open - running).max(0),
        running,
        completed,
        failed,
        cancelled,
        is_done: open == 0,
    })
}

/// Show a batch, or await it
#[utoipa::path(
    get, path = "/v1/job-batches/{batch}", tag = "jobs", operation_id = "getJobBatch",
    params(
        ("batch" = String, Path, description = "The batch key of its jobs"),
        ("waitS" = Option<u64>, Query, description = "How many seconds to wait for its end, 0 without", minimum = 0, maximum = 25),
    ),
    responses((status = 200, description = "It does so; one of which there is nothing is done.", body = View))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let key: String = call.part("batch")?;
    let mut params = call.params();
    let wait_s = params.read::<u64>("waitS").unwrap_or(0);
    if wait_s > WAIT_S_MAX {
        params.wrong("waitS", format!("is a number from 0 to {WAIT_S_MAX}"));
    }
    if key.contains('\0') {
        params.wrong("batch", "holds a NUL character");
    }
    params.finish()?;
    let mut looks = u64::try_from(LOOK.as_millis()).map_or(0, |look| wait_s * 1_000 / look.max(1));
    let mut phase = platform.health.phases();
    loop {
        let view = look(&platform, &call, &key).await?;
        if view.is_done || looks == 0 {
            return call::ok(&view);
        }
        looks -= 1;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Draining) => looks = 0,
        }
    }
}
