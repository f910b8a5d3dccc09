//! Showing a second factor: after signing in, or again for what is sensitive.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use stoa_http::Problem;
use stoa_identity::factor::Code;
use stoa_identity::session::{Issued, Session};

use super::passkey::{CeremonyView, PasskeyBody};
use super::{Keeping, SignedIn, own_page, signed_in};
use crate::body::body;
use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

body! {
    /// A code.
    CodeBody as CodeRequest {
        /// Six digits of the authenticator app, or a recovery code.
        required code("code"): Code as String [example = "123456", min_length = 6, max_length = 40],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// The session of the caller, as it is stored.
async fn session(platform: &Platform, call: &Call) -> Result<Session, Problem> {
    let known = call.caller.session()?;
    platform.identity.session(&call.caller.cx, known.session.id).await.map_err(|error| problem(&error))
}

async fn passed(
    platform: &Platform,
    issued: Result<Issued, stoa_identity::Error>,
    keeping: Keeping,
) -> Result<Response, Problem> {
    signed_in(platform, issued.map_err(|error| problem(&error))?, keeping).await
}

/// Show a second factor by a code
///
/// The session is replaced by one that is verified. A code is good once; the answer is the same for one that is wrong and one that was
/// used.
#[utoipa::path(
    post, path = "/v1/auth/mfa/code", tag = "auth", operation_id = "verifyCode", request_body = CodeBody,
    responses((status = 200, description = "Signed in.", body = SignedIn), (status = 422, description = "The code is not right, or was used."))
)]
pub(crate) async fn code(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    let session = session(&platform, &call).await?;
    let issued = platform.identity.verify_code(&call.caller.cx, &session, &body.code).await;
    passed(&platform, issued, keeping).await
}

/// Begin to show a passkey as a second factor
#[utoipa::path(
    post, path = "/v1/auth/mfa/passkey/options", tag = "auth", operation_id = "beginPasskeyFactor",
    responses((status = 200, description = "What the browser is to be asked.", body = CeremonyView), (status = 404, description = "There is no passkey."))
)]
pub(crate) async fn passkey_options(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let user = call.caller.user()?;
    let begun = platform
        .identity
        .begin_passkey_factor(&call.caller.cx, user)
        .await
        .map_err(|error| problem(&error))?;
    call::ok(&CeremonyView::of(begun))
}

/// Show a passkey as a second factor
#[utoipa::path(
    post, path = "/v1/auth/mfa/passkey", tag = "auth", operation_id = "verifyPasskey", request_body = PasskeyBody,
    responses((status = 200, description = "Signed in.", body = SignedIn), (status = 410, description = "The ceremony is over."))
)]
pub(crate) async fn passkey(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PasskeyBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    let session = session(&platform, &call).await?;
    let issued =
        platform.identity.verify_passkey(&call.caller.cx, &session, &body.ceremony, body.credential).await;
    passed(&platform, issued, keeping).await
}
