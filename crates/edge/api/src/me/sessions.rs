//! Where one is signed in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::Error;
use stoa_identity::session::Session;
use stoa_kernel::id::SessionId;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;

use crate::call::{self, Call, Empty};
use crate::platform::Platform;
use crate::render::problem;

/// A signed-in device. No address is kept.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// Its id.
    id: String,
    /// What signed in.
    #[schema(example = "Firefox on Linux")]
    client: String,
    /// How, as names of RFC 8176.
    methods: Vec<String>,
    /// Whether a second factor is missing.
    mfa_pending: bool,
    /// Whether it is the one that asks.
    is_current: bool,
    /// When it began.
    #[schema(format = "date-time")]
    created_at: String,
    /// The day on which it was last used.
    #[schema(example = "2026-11-21")]
    last_used: String,
    /// When it is over, if it is not used until then.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// Sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
pub(crate) struct SessionList {
    /// The sessions.
    pub(crate) items: Vec<SessionView>,
}

/// A day since 1970, as a date.
pub(crate) fn day(day: i64) -> String {
    let micros = stoa_kernel::clock::Micros(day.saturating_mul(86_400_000_000));
    rfc3339::text(micros).split('T').next().unwrap_or_default().to_owned()
}

impl SessionView {
    pub(crate) fn of(session: &Session, current: Option<SessionId>) -> Self {
        Self {
            id: session.id.to_string(),
            client: session.client.clone(),
            methods: session.methods.split(' ').map(str::to_owned).collect(),
            mfa_pending: session.is_pending,
            is_current: Some(session.id) == current,
            created_at: rfc3339::text(session.created_at),
            last_used: day(session.last_used_day),
            expires_at: rfc3339::text(session.expires_at),
        }
    }
}

/// List where you are signed in
#[utoipa::path(
    get, path = "/v1/me/sessions", tag = "account", operation_id = "listMySessions",
    responses((status = 200, description = "They are these.", body = SessionList))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let current = call.caller.session()?.session.id;
    let found = platform.identity.sessions(&call.caller.cx, call.caller.user()?).await;
    let found = found.map_err(|error| problem(&error))?;
    call::ok(&SessionList {
        items: found.iter().map(|session| SessionView::of(session, Some(current))).collect(),
    })
}

/// Sign out everywhere
#[utoipa::path(
    delete, path = "/v1/me/sessions", tag = "account", operation_id = "signOutEverywhere",
    params(("keepCurrent" = Option<bool>, Query, description = "Whether the session that asks stays")),
    responses((status = 204, description = "Signed out."))
)]
pub(crate) async fn end_all(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let keeps = params.read::<bool>("keepCurrent").unwrap_or(false);
    params.finish()?;
    let current = call.caller.session()?.session.id;
    let ended = platform
        .identity
        .sign_out_everywhere(&call.caller.cx, call.caller.user()?, keeps.then_some(current))
        .await;
    ended.map_err(|error| problem(&error))?;
    call::with(StatusCode::NO_CONTENT, &Empty)
}

/// Sign a device out
#[utoipa::path(
    delete, path = "/v1/me/sessions/{session}", tag = "account", operation_id = "revokeMySession",
    params(("session" = String, Path, description = "Its id")),
    responses((status = 204, description = "Signed out."), (status = 404, description = "There is none."))
)]
pub(crate) async fn end(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: SessionId = call.part("session")?;
    let decide = async {
        let ended =
            platform.identity.revoke_session(&call.caller.cx, call.caller.user()?, id, "signed_out").await;
        ended.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}
