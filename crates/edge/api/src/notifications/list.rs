use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::context::Scope;
use stoa_kernel::id::NotificationId;
use stoa_messaging::notification::{Inbox, Notification};
use utoipa::ToSchema;

use super::{View, own};
use crate::body::page;
use crate::call::{self, Call, Empty, Paged};
use crate::jobs::refusal;
use crate::platform::Platform;
use crate::webhooks::problem;

page! {
    /// Notifications.
    Page as Notifications: Vec<View> "The notifications, the newest first."
}

/// List what you are told
#[utoipa::path(
    get, path = "/v1/notifications", tag = "notifications", operation_id = "listNotifications",
    params(
        Paged,
        ("unread" = Option<bool>, Query, description = "Only what is not read"),
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (user, organization) = own(&call)?;
    let mut params = call.params();
    let is_unread = params.read::<bool>("unread").unwrap_or(false);
    let view =
        async |found: Vec<Notification>| Ok(platform.inbox.shown(found).iter().map(View::of).collect());
    // They are the user's, of whichever organization.
    let call = call.within(Scope::System);
    call.page(&platform, params, Inbox::query(user, organization, is_unread), view).await
}

/// How many there are.
#[derive(Serialize, ToSchema)]
#[schema(as = UnreadCount)]
struct Unread {
    /// Not read yet.
    unread: i64,
}

/// Count what you have not read
#[utoipa::path(
    get, path = "/v1/notifications/unread-count", tag = "notifications", operation_id = "countUnreadNotifications",
    responses((status = 200, description = "So many.", body = Unread))
)]
pub(crate) async fn unread(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (user, organization) = own(&call)?;
    call.params().finish()?;
    let unread = platform.inbox.unread(&call.caller.cx, user, organization).await;
    call::ok(&Unread { unread: unread.map_err(|error| problem(&error))? })
}

/// Mark a notification as read
#[utoipa::path(
    post, path = "/v1/notifications/{notification}/read", tag = "notifications", operation_id = "readNotification",
    params(("notification" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is read."))
)]
pub(crate) async fn read(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (user, organization) = own(&call)?;
    let id: NotificationId = call.part("notification")?;
    let call = call.within(Scope::System);
    let decide = async {
        let read = platform.inbox.read_one(&call.caller.cx, user, organization, id).await;
        Ok((Empty, read.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}

/// What was marked.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationsRead)]
struct Read {
    /// How many, at most 500.
    count: usize,
}

/// Mark everything as read
///
/// The newest 500.
#[utoipa::path(
    post, path = "/v1/notifications/read-all", tag = "notifications", operation_id = "readAllNotifications",
    responses((status = 200, description = "They are read.", body = Read))
)]
pub(crate) async fn read_all(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (user, organization) = own(&call)?;
    let call = call.within(Scope::System);
    let decide = async {
        let read = platform.inbox.read_all(&call.caller.cx, user, organization).await;
        let (count, commit) = read.map_err(|error| problem(&error))?;
        Ok((Read { count }, commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}
