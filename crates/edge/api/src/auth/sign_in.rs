//! Signing in with an address, and what to do about passwords.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use stoa_http::Problem;
use stoa_identity::Email;
use stoa_identity::password::{NewPassword, Password};

use super::{Keeping, SignedIn, own_page, sent, signed_in};
use crate::body::body;
use crate::call::Call;
use crate::platform::Platform;
use crate::render::problem;

body! {
    /// Who signs in.
    SignInBody as SignInRequest {
        /// The address.
        required email("email"): Email as String [example = "ada@example.org", format = "email", max_length = 254],
        /// The password.
        required password("password"): Password as String [max_length = 1024],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// Sign in
///
/// Whatever is not right, the answer is the same. With a second factor enrolled, `mfaPending` is true, and only the endpoints that
/// show it answer.
#[utoipa::path(
    post, path = "/v1/auth/sign-in", tag = "auth", operation_id = "signIn", request_body = SignInBody,
    responses((status = 200, description = "Signed in.", body = SignedIn), (status = 401, description = "The credentials are not right."))
)]
pub(crate) async fn sign_in(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SignInBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    call.attempt(&platform, "sign-in", &body.email.to_string().to_lowercase()).await?;
    let issued =
        platform.identity.sign_in(&call.caller.cx, &body.email, &body.password, &call.client()).await;
    signed_in(&platform, issued.map_err(|error| problem(&error))?, keeping).await
}

body! {
    /// Who wants a letter.
    LetterBody as LetterRequest {
        /// The address.
        required email("email"): Email as String [example = "ada@example.org", format = "email", max_length = 254],
    }
}

/// Ask for a link that signs in
#[utoipa::path(
    post, path = "/v1/auth/magic-link", tag = "auth", operation_id = "requestMagicLink", request_body = LetterBody,
    responses((status = 202, description = "A letter is on its way, if there is somebody to get it.", body = super::Sent))
)]
pub(crate) async fn request_link(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let body = LetterBody::read(&call)?;
    call.attempt(&platform, "letters", &body.email.to_string().to_lowercase()).await?;
    platform
        .identity
        .request_magic_link(&call.caller.cx, &body.email)
        .await
        .map_err(|error| problem(&error))?;
    sent()
}

body! {
    /// The secret of a letter.
    LinkBody as LinkRequest {
        /// The secret.
        required token("token"): String as String [max_length = 200],
        /// How the session is kept: `token` (the default) or `cookie`.
        optional session("session"): Option<Keeping> as Option<String> [pattern = "^(token|cookie)$", nullable = false],
    }
}

/// Sign in with a link
#[utoipa::path(
    post, path = "/v1/auth/magic-link/exchange", tag = "auth", operation_id = "useMagicLink", request_body = LinkBody,
    responses((status = 200, description = "Signed in.", body = SignedIn), (status = 410, description = "The link is over."))
)]
pub(crate) async fn use_link(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = LinkBody::read(&call)?;
    let keeping = own_page(&platform, &call, body.session)?;
    let issued = platform.identity.use_magic_link(&call.caller.cx, &body.token, &call.client()).await;
    signed_in(&platform, issued.map_err(|error| problem(&error))?, keeping).await
}

/// Ask for a link to set a new password
#[utoipa::path(
    post, path = "/v1/auth/password/forgot", tag = "auth", operation_id = "forgotPassword", request_body = LetterBody,
    responses((status = 202, description = "A letter is on its way, if there is somebody to get it.", body = super::Sent))
)]
pub(crate) async fn forgot(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = LetterBody::read(&call)?;
    call.attempt(&platform, "letters", &body.email.to_string().to_lowercase()).await?;
    platform.identity.request_reset(&call.caller.cx, &body.email).await.map_err(|error| problem(&error))?;
    sent()
}

body! {
    /// A new password.
    ResetBody as ResetPasswordRequest {
        /// The secret of the letter.
        required token("token"): String as String [max_length = 200],
        /// The new password.
        required password("password"): NewPassword as String [min_length = 8, max_length = 256],
    }
}

/// Set a new password with a link
///
/// Every session ends. Second factors stay.
#[utoipa::path(
    post, path = "/v1/auth/password/reset", tag = "auth", operation_id = "resetPassword", request_body = ResetBody,
    responses((status = 204, description = "It is set."), (status = 410, description = "The link is over."))
)]
pub(crate) async fn reset(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = ResetBody::read(&call)?;
    platform
        .identity
        .reset_password(&call.caller.cx, &body.token, &body.password.0)
        .await
        .map_err(|error| problem(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

body! {
    /// The secret of a letter.
    ConfirmBody as ConfirmEmailRequest {
        /// The secret.
        required token("token"): String as String [max_length = 200],
    }
}

/// Confirm a new address
///
/// From now on it is the one that counts; the old one is told.
#[utoipa::path(
    post, path = "/v1/auth/email/confirm", tag = "auth", operation_id = "confirmEmail", request_body = ConfirmBody,
    responses((status = 204, description = "It is the address now."), (status = 410, description = "The link is over."))
)]
pub(crate) async fn confirm_email(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let body = ConfirmBody::read(&call)?;
    platform.identity.change_email(&call.caller.cx, &body.token).await.map_err(|error| problem(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

body! {
    /// Who shows again who they are.
    ReauthenticateBody as ReauthenticateRequest {
        /// The password.
        required password("password"): Password as String [max_length = 1024],
    }
}

/// Show again who you are, by the password
///
/// For ten minutes what is sensitive is allowed. Where there is a second factor, it is shown instead: see `verifyCode`.
#[utoipa::path(
    post, path = "/v1/auth/reauthenticate", tag = "auth", operation_id = "reauthenticate", request_body = ReauthenticateBody,
    responses((status = 204, description = "It is you."), (status = 401, description = "The password is not right."))
)]
pub(crate) async fn reauthenticate(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let body = ReauthenticateBody::read(&call)?;
    let known = call.caller.session()?;
    call.attempt(&platform, "reauthenticate", &known.session.user_id.to_string()).await?;
    call.change(
        &platform,
        StatusCode::NO_CONTENT,
        async {
            let identity = &platform.identity;
            let session =
                identity.session(&call.caller.cx, known.session.id).await.map_err(|error| problem(&error))?;
            let done = identity.reauthenticate(&call.caller.cx, &session, &body.password).await;
            done.map(|(_, commit)| (crate::call::Empty, commit)).map_err(|error| problem(&error))
        },
        stoa_identity::Error::Store,
    )
    .await
}
