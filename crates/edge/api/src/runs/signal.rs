use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use stoa_http::Problem;

use super::{Steer, steer};
use crate::body::body;
use crate::call::Call;
use crate::platform::Platform;

body! {
    /// What a run is told.
    SignalBody as RunSignal {
        /// What the signal is called.
        required name("name"): String as String [min_length = 1, max_length = 100, example = "approve"],
        /// What it says; at most 256 KiB.
        value payload("payload"): Option<serde_json::Value> as Option<Value> [],
    }
}

/// Tell a run something
///
/// The step that waits for the signal goes on. Where none does yet, it is kept for the step for thirty days.
#[utoipa::path(
    post, path = "/v1/runs/{run}/signals", tag = "runs", operation_id = "signalRun",
    params(("run" = String, Path, description = "Its id")),
    request_body = SignalBody,
    responses((status = 204, description = "It is told, exactly once."))
)]
pub(crate) async fn signal(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SignalBody::read(&call)?;
    let payload = body.payload.unwrap_or(serde_json::Value::Null);
    steer(&platform, &call, Steer::Signal(&body.name, &payload)).await
}
