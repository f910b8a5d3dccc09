use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_kernel::store::StoreError;
use stoa_messaging::webhook::{Change, Draft, ENDPOINTS_MAX};

use super::{Headers, View, patterns, problem};
use crate::body::body;
use crate::call::Call;
use crate::jobs::refusal;
use crate::platform::Platform;

body! {
    /// A webhook endpoint that is to be made.
    CreateBody as WebhookDraft {
        /// Where: https, at a public address.
        required url("url"): String as String [format = "uri", max_length = 2_000, example = "https://erp.example.org/stoa"],
        /// Which types of events: `member.joined`, `member.*`, `*`.
        value events("events"): Option<Vec<String>> as Vec<String> [min_items = 1, max_items = 50, example = json!(["member.*"])],
        /// Headers of its own, at most 20; their values are not shown again.
        value headers("headers"): Option<Headers> as Option<Headers> [nullable = false],
        /// What it is for.
        optional description("description"): Option<String> as Option<String> [max_length = 500, nullable = false],
        /// How long it may take, in seconds; 5 without.
        value timeout_s("timeoutS"): Option<u32> as Option<u32> [minimum = 1, maximum = 30, nullable = false],
        /// Whether events are sent.
        value active("active"): Option<bool> as Option<bool> [nullable = false],
    }
}

/// What a refused endpoint is called.
fn refused(error: StoreError) -> stoa_identity::Error {
    if error.is_by("webhooks_quota") {
        let what = "webhook endpoints";
        return stoa_identity::Error::QuotaExceeded { what, limit: ENDPOINTS_MAX, used: ENDPOINTS_MAX + 1 };
    }
    refusal(error)
}

/// Make a webhook endpoint
///
/// Events that happen from then on are sent to it, signed by the Standard Webhooks specification. The secret is shown this once.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks", operation_id = "createWebhook",
    request_body = CreateBody,
    responses((status = 201, description = "It is made.", body = View))
)]
pub(crate) async fn create(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = CreateBody::read(&call)?;
    let change = Change {
        url: None,
        patterns: None,
        headers: body.headers,
        description: body.description,
        timeout_s: body.timeout_s,
        is_active: body.active,
    };
    let draft =
        Draft { url: body.url, patterns: patterns(&platform, &body.events.unwrap_or_default())?, change };
    let decide = async {
        let made = platform.endpoints.create(&call.caller.cx, draft);
        let (endpoint, secret, commit) = made.map_err(|error| problem(&error))?;
        let view = View { secret: Some(secret.reveal().to_owned()), ..View::of(&endpoint, None) };
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::CREATED, decide, refused).await
}
