use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_messaging::webhook::Change;

use super::{Headers, View, failing_since, named, patterns, problem};
use crate::body::body;
use crate::call::{Call, Empty};
use crate::jobs::refusal;
use crate::platform::Platform;

body! {
    /// What is to be different: a JSON Merge Patch (RFC 7396).
    PatchBody as WebhookPatch {
        /// Where.
        optional url("url"): Option<String> as Option<String> [format = "uri", max_length = 2_000, nullable = false],
        /// Which types of events, in place of what was.
        value events("events"): Option<Vec<String>> as Option<Vec<String>> [min_items = 1, max_items = 50, nullable = false],
        /// Headers of its own, in place of what was.
        value headers("headers"): Option<Headers> as Option<Headers> [nullable = false],
        /// What it is for.
        optional description("description"): Option<String> as Option<String> [max_length = 500, nullable = false],
        /// How long it may take, in seconds.
        value timeout_s("timeoutS"): Option<u32> as Option<u32> [minimum = 1, maximum = 30, nullable = false],
        /// Whether events are sent.
        value active("active"): Option<bool> as Option<bool> [nullable = false],
    }
}

/// Change a webhook endpoint, or let it go on
#[utoipa::path(
    patch, path = "/v1/webhooks/{webhook}", tag = "webhooks", operation_id = "updateWebhook",
    params(("webhook" = String, Path, description = "Its id")),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is now this.", body = View))
)]
pub(crate) async fn change(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PatchBody::read(&call)?;
    let change = Change {
        url: body.url,
        patterns: body.events.as_deref().map(|events| patterns(&platform, events)).transpose()?,
        headers: body.headers,
        description: body.description,
        timeout_s: body.timeout_s,
        is_active: body.active,
    };
    let decide = async {
        let endpoint = named(&platform, &call).await?;
        call.matches(&endpoint.id, endpoint.version)?;
        let since = failing_since(&platform, &call, &endpoint).await?.filter(|_| !change.is_anew());
        let changed = platform.endpoints.change(&call.caller.cx, &endpoint, change).await;
        let (after, commit) = changed.map_err(|error| problem(&error))?;
        Ok((View::of(&after, since), commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}

/// Remove a webhook endpoint
///
/// What is on its way is cancelled.
#[utoipa::path(
    delete, path = "/v1/webhooks/{webhook}", tag = "webhooks", operation_id = "removeWebhook",
    params(("webhook" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let endpoint = named(&platform, &call).await?;
        call.matches(&endpoint.id, endpoint.version)?;
        let removed = platform.endpoints.remove(&call.caller.cx, &endpoint).await;
        Ok((Empty, removed.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}

body! {
    /// How the secret is replaced.
    RotateBody as WebhookRotation {
        /// For how many seconds the secret before signs too; 86400 without, 0 is not at all.
        value overlap_s("overlapS"): Option<u32> as Option<u32> [minimum = 0, maximum = 604_800, nullable = false],
    }
}

/// Replace the secret of a webhook endpoint
///
/// The new one is shown this once. Meanwhile webhooks carry the signatures of both.
#[utoipa::path(
    post, path = "/v1/webhooks/{webhook}/rotate-secret", tag = "webhooks", operation_id = "rotateWebhookSecret",
    params(("webhook" = String, Path, description = "Its id")),
    request_body = Option<RotateBody>,
    responses((status = 200, description = "It has a new secret.", body = View))
)]
pub(crate) async fn rotate(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = RotateBody::read(&call)?;
    let decide = async {
        let endpoint = named(&platform, &call).await?;
        let rotated = platform.endpoints.rotate(&endpoint, body.overlap_s.unwrap_or(86_400));
        let (after, secret, commit) = rotated.map_err(|error| problem(&error))?;
        let since = failing_since(&platform, &call, &after).await?;
        let view = View { secret: Some(secret.reveal().to_owned()), ..View::of(&after, since) };
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}
