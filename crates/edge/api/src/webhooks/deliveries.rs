use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::id::WebhookDeliveryId;
use stoa_kernel::store::Record as _;
use stoa_kernel::store::event::rfc3339;
use stoa_messaging::webhook::{WebhookAttempt, WebhookDelivery};
use utoipa::ToSchema;

use super::{named, problem};
use crate::body::{body, page};
use crate::call::{self, Call, Empty, Paged};
use crate::jobs::submit::Time;
use crate::jobs::{refusal, time};
use crate::platform::Platform;
use crate::render::invalid;

/// An event on its way to an endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookDelivery)]
struct View {
    /// Its id.
    #[schema(example = "whd_0akvp3r7jtw01")]
    id: String,
    /// Where to.
    endpoint_id: String,
    /// What it is about; null for what was sent for trying.
    event_id: Option<String>,
    /// Its type.
    #[schema(example = "member.joined")]
    r#type: String,
    /// The header `webhook-id`: the same for every attempt.
    webhook_id: String,
    /// pending, delivered, failed or cancelled.
    #[schema(example = "delivered")]
    state: String,
    /// How often it was tried.
    attempts: i64,
    /// The last status that was answered.
    last_status: Option<i64>,
    /// When it is tried next.
    #[schema(format = "date-time")]
    next_at: Option<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ended.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    /// Until when it is kept.
    #[schema(format = "date-time")]
    expires_at: String,
}

impl View {
    fn of(delivery: &WebhookDelivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            endpoint_id: delivery.endpoint_id.to_string(),
            event_id: delivery.event_id.map(|id| id.to_string()),
            r#type: delivery.kind.clone(),
            webhook_id: delivery.webhook_id.clone(),
            state: delivery.state.clone(),
            attempts: delivery.attempts,
            last_status: delivery.last_status,
            next_at: time(delivery.next_at),
            created_at: rfc3339::text(delivery.created_at),
            finished_at: time(delivery.finished_at),
            expires_at: rfc3339::text(delivery.expires_at),
        }
    }
}

/// One attempt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookAttempt)]
struct AttemptView {
    /// Which, from 1.
    attempt: i64,
    /// When it began.
    #[schema(format = "date-time")]
    at: String,
    /// How long it took, in milliseconds.
    duration_ms: i64,
    /// What was answered.
    status: Option<i64>,
    /// Why nothing was.
    error: Option<String>,
    /// The first kilobyte of the answer.
    excerpt: Option<String>,
}

impl AttemptView {
    fn of(attempt: &WebhookAttempt) -> Self {
        Self {
            attempt: attempt.attempt,
            at: rfc3339::text(attempt.at),
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error: attempt.error.clone(),
            excerpt: attempt.excerpt.clone(),
        }
    }
}

/// A delivery with what was sent, and every attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookHistory)]
struct Shown {
    /// The delivery.
    #[serde(flatten)]
    delivery: View,
    /// What is sent.
    payload: serde_json::Value,
    /// Every attempt, in order.
    history: Vec<AttemptView>,
}

page! {
    /// Deliveries.
    Page as WebhookDeliveries: Vec<View> "The deliveries, the newest first."
}

/// List what was sent to a webhook endpoint
#[utoipa::path(
    get, path = "/v1/webhooks/{webhook}/deliveries", tag = "webhooks", operation_id = "listWebhookDeliveries",
    params(
        ("webhook" = String, Path, description = "Its id"),
        Paged,
        ("state" = Option<String>, Query, description = "Only these: pending, delivered, failed or cancelled"),
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let endpoint = named(&platform, &call).await?;
    let mut params = call.params();
    let mut query = WebhookDelivery::select()
        .eq(WebhookDelivery::ENDPOINT_ID, &endpoint.id)
        .descending(WebhookDelivery::ID);
    if let Some(state) = params.text("state") {
        if !["pending", "delivered", "failed", "cancelled"].contains(&state.as_str()) {
            params.wrong("state", "the states are pending, delivered, failed, cancelled");
        }
        query = query.eq(WebhookDelivery::STATE, &state);
    }
    let view = async |found: Vec<WebhookDelivery>| Ok(found.iter().map(View::of).collect());
    call.page(&platform, params, query, view).await
}

async fn delivery(platform: &Platform, call: &Call) -> Result<WebhookDelivery, Problem> {
    let id: WebhookDeliveryId = call.part("delivery")?;
    platform.endpoints.delivery(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

/// Show a delivery and its attempts
#[utoipa::path(
    get, path = "/v1/webhook-deliveries/{delivery}", tag = "webhooks", operation_id = "getWebhookDelivery",
    params(("delivery" = String, Path, description = "Its id", example = "whd_0akvp3r7jtw01")),
    responses((status = 200, description = "It is this.", body = Shown))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let found = delivery(&platform, &call).await?;
    let attempts =
        platform.endpoints.attempts(&call.caller.cx, found.id).await.map_err(|error| problem(&error))?;
    let history = attempts.iter().map(AttemptView::of).collect();
    call::ok(&Shown { delivery: View::of(&found), payload: found.payload.0, history })
}

/// Send a delivery again
///
/// One that has ended, under the same id: whoever has had it already can tell.
#[utoipa::path(
    post, path = "/v1/webhook-deliveries/{delivery}/resend", tag = "webhooks", operation_id = "resendWebhookDelivery",
    params(("delivery" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is on its way."))
)]
pub(crate) async fn resend(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let found = delivery(&platform, &call).await?;
        let resent = platform.endpoints.resend(&call.caller.cx, &found).await;
        Ok((Empty, resent.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}

/// Send something to a webhook endpoint for trying
///
/// An event `webhook.test`, signed like all others; also where the endpoint is not active.
#[utoipa::path(
    post, path = "/v1/webhooks/{webhook}/test", tag = "webhooks", operation_id = "testWebhook",
    params(("webhook" = String, Path, description = "Its id")),
    responses((status = 202, description = "It is on its way.", body = View))
)]
pub(crate) async fn test(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let endpoint = named(&platform, &call).await?;
        let (sent, commit) = platform.endpoints.test(&endpoint).map_err(|error| problem(&error))?;
        Ok((View::of(&sent), commit))
    };
    call.change(&platform, StatusCode::ACCEPTED, decide, refusal).await
}

body! {
    /// Since when.
    ReplayBody as WebhookReplay {
        /// What failed from this time on.
        required since("since"): Time as String [format = "date-time", example = "2026-11-21T12:00:00Z"],
    }
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhooksReplayed)]
struct Replayed {
    /// How many.
    count: usize,
    /// Whether there are more: ask again.
    has_more: bool,
}

/// Send again what failed
///
/// The oldest 200 deliveries of the endpoint that failed or were cancelled since a time, all or none of them.
#[utoipa::path(
    post, path = "/v1/webhooks/{webhook}/replay", tag = "webhooks", operation_id = "replayWebhook",
    params(("webhook" = String, Path, description = "Its id")),
    request_body = ReplayBody,
    responses((status = 200, description = "So many are on their way.", body = Replayed))
)]
pub(crate) async fn replay(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = ReplayBody::read(&call)?;
    if body.since.0 > platform.clock.now() {
        return Err(invalid(&[("/since", "has not come yet".to_owned())]));
    }
    let decide = async {
        let endpoint = named(&platform, &call).await?;
        let replayed = platform.endpoints.replay(&call.caller.cx, &endpoint, body.since.0).await;
        let (count, has_more, commit) = replayed.map_err(|error| problem(&error))?;
        Ok((Replayed { count, has_more }, commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}
