use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::keys::PUBLISHED_US;
use utoipa::ToSchema;

use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

/// What was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SigningKeyRotated)]
pub(crate) struct View {
    /// The id of the new key: the `kid` of its tokens.
    key_id: String,
    /// In how many seconds it signs; it is published already.
    #[schema(example = 120)]
    signs_in_seconds: i64,
}

/// Rotate the key that signs access tokens
///
/// The new one is published now and signs soon; the old one verifies until its last token is over. No request fails.
#[utoipa::path(
    post, path = "/v1/admin/signing-keys/rotate", tag = "admin", operation_id = "rotateSigningKey",
    responses((status = 200, description = "The new key.", body = View))
)]
pub(crate) async fn rotate(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id = platform.identity.rotate_signing_keys(&call.caller.cx).await.map_err(|error| problem(&error))?;
    call::with(StatusCode::OK, &View { key_id: id.to_string(), signs_in_seconds: PUBLISHED_US / 1_000_000 })
}
