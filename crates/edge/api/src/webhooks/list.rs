use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use stoa_http::Problem;
use stoa_kernel::store::Record as _;
use stoa_messaging::webhook::Endpoint;

use super::{View, failing_since, named, problem};
use crate::body::page;
use crate::call::{self, Call, Paged};
use crate::platform::Platform;

page! {
    /// Webhook endpoints.
    Page as Webhooks: Vec<View> "The endpoints, in the order in which they were made."
}

/// List webhook endpoints
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    params(
        Paged,
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let view = async |found: Vec<Endpoint>| {
        let failing =
            platform.endpoints.failing(&call.caller.cx, &found).await.map_err(|error| problem(&error))?;
        Ok(found.iter().zip(failing).map(|(endpoint, since)| View::of(endpoint, since)).collect())
    };
    call.page(&platform, call.params(), Endpoint::select().ascending(Endpoint::ID), view).await
}

/// Show a webhook endpoint
#[utoipa::path(
    get, path = "/v1/webhooks/{webhook}", tag = "webhooks", operation_id = "getWebhook",
    params(("webhook" = String, Path, description = "Its id", example = "whe_0akvp3r7jtw01")),
    responses((status = 200, description = "It is this.", body = View))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let endpoint = named(&platform, &call).await?;
    call::ok(&View::of(&endpoint, failing_since(&platform, &call, &endpoint).await?))
}
