//! Signing in with a passkey.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use stoa_http::Problem;
use stoa_identity::passkey::Ceremony;
use utoipa::ToSchema;

use super::{Keeping, SignedIn, own_page, signed_in};
use crate::body::body;
use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

/// What a browser is to be asked.
#[derive(Serialize, ToSchema)]
#[schema(as = PasskeyCeremony)]
pub(crate) struct CeremonyView {
    /// Ends the ceremony, once, within five minutes.
    ceremony: String,
    /// For `navigator.credentials`, with binary values in base64url.
    #[schema(value_type = Object)]
    options: Value,
}

impl CeremonyView {
    pub(crate) fn of(ceremony: Ceremony) -> Self {
        Self { ceremony: ceremony.secret.reveal().to_owned(), options: ceremony.options }
    }
}

/// Begin to sign in with a passkey
///
/// The options name nobody: the authenticator offers the passkeys that it has.
#[utoipa::path(
    post, path = "/v1/auth/passkey/options", tag = "auth", operation_id = "beginPasskeySignIn",
    responses((status = 200, description = "What the browser is to be asked.", body = CeremonyView))
)]
pub(crate) async fn options(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let begun =
        platform.identity.begin_passkey_sign_in(&call.caller.cx).await.map_err(|error| problem(&error))?;
    call::ok(&CeremonyView::of(begun))
}

body! {
    /// What a browser answered.
    PasskeyBody as PasskeyRequest {
        /// The secret of the ceremony.
        required ceremony("ceremony"): String as String [max_length = 200],
        /// What `navigator.credentials` gave, with binary values in base64url.
        any credential("credential"): Value as Object [],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// Sign in with a passkey
#[utoipa::path(
    post, path = "/v1/auth/passkey", tag = "auth", operation_id = "passkeySignIn", request_body = PasskeyBody,
    responses((status = 200, description = "Signed in.", body = SignedIn), (status = 401, description = "It is not right."), (status = 410, description = "The ceremony is over."))
)]
pub(crate) async fn sign_in(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PasskeyBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    let issued = platform
        .identity
        .passkey_sign_in(&call.caller.cx, &body.ceremony, body.credential, &call.client())
        .await;
    signed_in(&platform, issued.map_err(|error| problem(&error))?, keeping).await
}
