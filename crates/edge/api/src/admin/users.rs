use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_identity::user::State as Life;
use stoa_identity::{Error, User};
use stoa_kernel::id::UserId;
use stoa_kernel::store::Record as _;

use crate::body::page;
use crate::call::{self, Call, Paged};
use crate::me::UserView;
use crate::platform::Platform;
use crate::render::problem;

page! {
    /// A page.
    pub(crate) PageView as UserPage: Vec<UserView> "What is on it."
}

/// List all users
#[utoipa::path(
    get, path = "/v1/admin/users", tag = "admin", operation_id = "listUsers",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page.", body = PageView))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let view = async |found: Vec<User>| Ok(found.iter().map(UserView::of).collect());
    call.page(&platform, call.params(), User::select().ascending(User::ID), view).await
}

async fn found(platform: &Platform, call: &Call) -> Result<User, Problem> {
    let id: UserId = call.part("user")?;
    platform.identity.user(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

/// Get a user
#[utoipa::path(
    get, path = "/v1/admin/users/{user}", tag = "admin", operation_id = "getUser",
    params(("user" = String, Path, description = "Their id")),
    responses((status = 200, description = "It is this.", body = UserView))
)]
pub(crate) async fn get(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call::ok(&UserView::of(&found(&platform, &call).await?))
}

async fn set(platform: &Platform, call: &Call, state: Life) -> Result<Response, Problem> {
    let decide = async {
        let user = found(platform, call).await?;
        let changed = platform.identity.set_state(&call.caller.cx, &user, state).await;
        let (user, commit) = changed.map_err(|error| problem(&error))?;
        Ok((UserView::of(&user), commit))
    };
    call.change(platform, StatusCode::OK, decide, Error::Store).await
}

/// Suspend a user
///
/// They are signed out everywhere, their keys stop, and they cannot sign in.
#[utoipa::path(
    post, path = "/v1/admin/users/{user}/suspend", tag = "admin", operation_id = "suspendUser",
    params(("user" = String, Path, description = "Their id")),
    responses((status = 200, description = "They are suspended.", body = UserView), (status = 409, description = "They are already, or run the installation."))
)]
pub(crate) async fn suspend(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    set(&platform, &call, Life::Suspended).await
}

/// Let a suspended user sign in again
#[utoipa::path(
    post, path = "/v1/admin/users/{user}/resume", tag = "admin", operation_id = "resumeUser",
    params(("user" = String, Path, description = "Their id")),
    responses((status = 200, description = "They may sign in.", body = UserView), (status = 409, description = "They are not suspended."))
)]
pub(crate) async fn resume(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    set(&platform, &call, Life::Active).await
}

/// Take the second factors from a user who has lost theirs
///
/// The authenticator app, the recovery codes and the passkeys; they are signed out everywhere, and told by a letter.
#[utoipa::path(
    post, path = "/v1/admin/users/{user}/reset-factors", tag = "admin", operation_id = "resetUserFactors",
    params(("user" = String, Path, description = "Their id")),
    responses((status = 204, description = "The password, or a link in a letter, does."), (status = 409, description = "They have none."))
)]
pub(crate) async fn reset_factors(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let decide = async {
        let user = found(&platform, &call).await?;
        call.matches(&user.id, user.version)?;
        let reset = platform.identity.reset_factors(&call.caller.cx, &user).await;
        reset.map(|commit| (call::Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}
