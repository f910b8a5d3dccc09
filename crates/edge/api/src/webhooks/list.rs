use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::store::Record as _;
use stoa_messaging::webhook::Endpoint;
use utoipa::ToSchema;

use super::{View, failing_since, named, problem};
use crate::call::{self, Call};
use crate::platform::Platform;

/// Webhook endpoints.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhooks)]
struct Page {
    /// The endpoints, in the order in which they were made.
    items: Vec<View>,
    /// Where the next page begins.
    next_cursor: Option<String>,
    /// Whether there are more.
    has_more: bool,
    /// How many there are, where that was asked for.
    #[schema(required = false, nullable = false)]
    total: Option<i64>,
}

/// List webhook endpoints
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    params(
        ("limit" = Option<u32>, Query, description = "How many, 20 without", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "Where to go on, from the page before"),
        ("count" = Option<bool>, Query, description = "Whether to count them all"),
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
