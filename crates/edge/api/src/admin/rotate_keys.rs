use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_workflow::{ROTATE_KEYS, start};

use crate::call::{self, Call};
use crate::jobs::refusal;
use crate::platform::Platform;
use crate::runs::{View, problem};

/// At most one rotation is under way.
const KEY: &str = "rotation";

/// Rotate the data keys
///
/// Every organization's secrets are sealed by a new key from then on, and what is sealed already is sealed anew; it can be read throughout.
/// A run does it, which survives any crash; its output says how many keys were made and how many values sealed anew.
#[utoipa::path(
    post, path = "/v1/admin/keys/rotate", tag = "admin", operation_id = "rotateKeys",
    responses(
        (status = 202, description = "A run does it. `Location` is where it is seen.", body = View),
        (status = 200, description = "A rotation is under way: this one.", body = View),
    )
)]
pub(crate) async fn rotate_keys(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let cx = &call.caller.cx;
    let live = async || platform.runs.by_key(cx, ROTATE_KEYS, KEY).await.map_err(|error| problem(&error));
    if let Some(live) = live().await? {
        return call::ok(&View::of(&platform, &live));
    }
    let decide = async {
        let lost = || Problem::new("internal", "The rotation of keys is not there.");
        let workflow = platform.runs.registry.newest(ROTATE_KEYS).ok_or_else(lost)?;
        let id = platform.ids.next().map_err(|error| problem(&error.into()))?;
        let (run, commit) = start(
            id,
            platform.clock.now(),
            cx,
            workflow.as_ref(),
            serde_json::Value::Null,
            Some(KEY.to_owned()),
        );
        Ok((View::of(&platform, &run), commit.note("keys.rotation_begun", "run", &run.id)))
    };
    let answered = call.change(&platform, StatusCode::ACCEPTED, decide, refusal).await;
    if answered.as_ref().is_err_and(|refused| refused.code() == "duplicate")
        && let Some(live) = live().await?
    {
        return call::ok(&View::of(&platform, &live));
    }
    answered
}
