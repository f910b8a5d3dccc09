use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use utoipa::ToSchema;

use super::named;
use crate::call::Call;
use crate::jobs::{problem, refusal};
use crate::platform::Platform;

/// A job that was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleFired)]
struct Fired {
    /// Its id.
    #[schema(example = "job_0akvp3r7jtw01")]
    id: String,
}

/// Fire a schedule now
///
/// Beside its instants, whether it is paused or not.
#[utoipa::path(
    post, path = "/v1/schedules/{schedule}/run", tag = "schedules", operation_id = "runSchedule",
    params(("schedule" = String, Path, description = "Its id")),
    responses((status = 202, description = "The job is asked for. `Location` is where it is seen.", body = Fired))
)]
pub(crate) async fn run(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let (schedule, clock) = named(&platform, &call).await?;
        let fired = platform.schedules.run(&call.caller.cx, (&schedule, &clock)).await;
        let (id, commit) = fired.map_err(|error| problem(&error))?;
        Ok((Fired { id: id.to_string() }, commit))
    };
    call.change(&platform, StatusCode::ACCEPTED, decide, refusal).await
}
