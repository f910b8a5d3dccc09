use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::id::NotificationDeliveryId;
use stoa_kernel::store::Record as _;
use stoa_kernel::store::event::rfc3339;
use stoa_messaging::notification::NotificationDelivery;
use utoipa::ToSchema;

use crate::body::page;
use crate::call::{Call, Empty, Paged};
use crate::jobs::{organization, refusal, time};
use crate::platform::Platform;
use crate::webhooks::problem;

const STATES: [&str; 6] = ["queued", "digest", "sending", "delivered", "failed", "dead"];

/// A notification on its way out of the application.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationDelivery)]
struct View {
    /// Its id.
    #[schema(example = "ntd_0akvp3r7jtw01")]
    id: String,
    /// The organization that it is about.
    organization_id: Option<String>,
    /// What is told.
    notification_id: String,
    /// Who is told.
    user_id: String,
    /// Where.
    #[schema(example = "email")]
    channel: String,
    /// queued, digest (it waits for the next one), sending, delivered, failed (it is tried again) or dead.
    #[schema(example = "dead")]
    state: String,
    /// How often it was tried.
    attempts: i64,
    /// Why it failed.
    error: Option<String>,
    /// When it is tried next.
    #[schema(format = "date-time")]
    next_at: String,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ended.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
}

impl View {
    fn of(delivery: &NotificationDelivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            organization_id: organization(delivery.organization_id),
            notification_id: delivery.notification_id.to_string(),
            user_id: delivery.user_id.to_string(),
            channel: delivery.channel.to_string(),
            state: delivery.state.clone(),
            attempts: delivery.attempts,
            error: delivery.error.clone(),
            next_at: rfc3339::text(delivery.next_at),
            created_at: rfc3339::text(delivery.created_at),
            finished_at: time(delivery.finished_at),
        }
    }
}

page! {
    /// Deliveries.
    Page as NotificationDeliveries: Vec<View> "The deliveries, the newest first."
}

/// List letters of notifications, and how they stand
#[utoipa::path(
    get, path = "/v1/admin/notifications", tag = "admin", operation_id = "listNotificationDeliveries",
    params(
        Paged,
        ("state" = Option<String>, Query, description = "Only these: queued, digest, sending, delivered, failed or dead"),
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let mut query = NotificationDelivery::select().descending(NotificationDelivery::ID);
    if let Some(state) = params.text("state") {
        if !STATES.contains(&state.as_str()) {
            params.wrong("state", format!("the states are {}", STATES.join(", ")));
        }
        query = query.eq(NotificationDelivery::STATE, &state);
    }
    let view = async |found: Vec<NotificationDelivery>| Ok(found.iter().map(View::of).collect());
    call.page(&platform, params, query, view).await
}

/// Try a letter again that is dead
#[utoipa::path(
    post, path = "/v1/admin/notifications/{delivery}/replay", tag = "admin", operation_id = "replayNotification",
    params(("delivery" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is tried again, as often as a new one."))
)]
pub(crate) async fn replay(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: NotificationDeliveryId = call.part("delivery")?;
    let decide = async {
        let replayed = platform.inbox.replay(&call.caller.cx, id).await;
        Ok((Empty, replayed.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}
