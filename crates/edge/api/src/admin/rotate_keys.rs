use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use stoa_http::Problem;
use stoa_jobs::janitor::CLEAN;
use stoa_kernel::store::Commit;
use utoipa::ToSchema;

use crate::caller::Caller;
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
    Caller { cx, .. }: Caller,
) -> Result<Json<View>, Problem> {
    // A task of its own: it goes on to the end also when nobody waits for the answer any more.
    let (keyring, store) = (Arc::clone(&platform.keyring), Arc::clone(&platform.store));
    let rotating = tokio::spawn(async move {
        let rotated = keyring.rotate().await;
        match &rotated {
            Ok(rotated) => tracing::info!(rotated, request = %cx.request, "data keys were rotated"),
            Err(error) => tracing::error!(%error, request = %cx.request, "data keys were not all rotated"),
        }
        // What is sealed already is sealed anew at once, not only at the next round.
        let anew = Commit::new().job(CLEAN.job(&serde_json::json!({})));
        if let Err(error) = store.commit(&cx, anew).await {
            tracing::warn!(%error, "what is sealed by old keys waits for the next round");
        }
        rotated
    });
    match rotating.await {
        Ok(rotated) => Ok(Json(View { rotated: rotated.map_err(|error| Problem::of(&error))? })),
        Err(_) => {
            Err(Problem::new("internal", "The rotation was cut off; the log has more under the trace id."))
        }
    }
}
