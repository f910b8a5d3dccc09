use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use stoa_http::Problem;
use utoipa::ToSchema;

use crate::operator::Operator;
use crate::platform::Platform;

/// What was done.
#[derive(Serialize, ToSchema)]
#[schema(as = KeysRotated)]
pub(crate) struct View {
    /// So many organizations have a new data key.
    #[schema(example = 12)]
    rotated: u32,
}

/// Rotate the data keys
///
/// Every organization's secrets are sealed by a new key from now on; what is sealed already is sealed anew in the background, and can be
/// read throughout. Repeating it is safe, and makes further keys.
#[utoipa::path(
    post, path = "/v1/admin/keys/rotate", tag = "admin", operation_id = "rotateKeys",
    responses((status = 200, description = "New keys are in use.", body = View))
)]
pub(crate) async fn rotate_keys(
    State(platform): State<Arc<Platform>>,
    Operator(cx): Operator,
) -> Result<Json<View>, Problem> {
    let rotated = platform.keyring.rotate().await.map_err(|error| Problem::of(&error))?;
    tracing::info!(rotated, request = %cx.request, "data keys were rotated");
    platform.cleaning.notify_one();
    Ok(Json(View { rotated }))
}
