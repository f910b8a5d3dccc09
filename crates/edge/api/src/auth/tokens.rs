//! Refreshing and ending sessions, and the keys that tokens are verified by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use stoa_http::Problem;
use stoa_http::browser::{CSRF, Cookie};
use stoa_identity::Error;

use super::{Keeping, SignedIn, end_cookies, signed_in};
use crate::body::body;
use crate::call::Call;
use crate::platform::Platform;
use crate::render::problem;

body! {
    /// A refresh token; pages send none, and are known by their cookie.
    RefreshBody as RefreshRequest {
        /// The token.
        optional refresh_token("refreshToken"): Option<String> as Option<String> [max_length = 300, nullable = false],
    }
}

/// The refresh token of a request: in the body, or in the cookie of a page of ours, which shows that it is one.
async fn token(platform: &Platform, call: &Call) -> Result<(String, Keeping), Problem> {
    let given = if call.body.is_empty() { None } else { RefreshBody::read(call)?.refresh_token };
    if let Some(token) = given {
        return Ok((token, Keeping::Token));
    }
    let signed_out = || problem(&Error::SignedOut);
    let token = platform.cookies.get(&call.headers, Cookie::Refresh).ok_or_else(signed_out)?;
    let session = platform.identity.session_of(&token).await.map_err(|error| problem(&error))?;
    let wanted = platform.identity.csrf_token(session).await.map_err(|error| problem(&error))?;
    let shown = call.headers.get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_shown = blake3::hash(shown.as_bytes()) == blake3::hash(wanted.as_bytes());
    if !is_shown || !platform.cookies.is_from_our_page(&call.headers) {
        return Err(Problem::new(
            "csrf_failed",
            "The request did not come from a page of ours; send Stoa-CSRF with what the cookie says.",
        ));
    }
    Ok((token, Keeping::Cookie))
}

/// Get the next access token
///
/// A refresh token is good once; with the answer comes the next. Sent again within ten seconds, it gets the same answer; later, its
/// session ends: somebody has a copy.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", operation_id = "refresh", request_body = Option<RefreshBody>,
    responses((status = 200, description = "The next tokens.", body = SignedIn), (status = 401, description = "The session is over."), (status = 403, description = "Another site has sent it."))
)]
pub(crate) async fn refresh(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (token, keeping) = token(&platform, &call).await?;
    match platform.identity.refresh(&call.caller.cx, &token, &call.client()).await {
        Ok(issued) => signed_in(&platform, issued, keeping).await,
        Err(Error::SignedOut) if keeping == Keeping::Cookie => {
            let mut response = problem(&Error::SignedOut).into_response();
            end_cookies(&platform, &mut response);
            Ok(response)
        }
        Err(error) => Err(problem(&error)),
    }
}

/// Sign out
///
/// Ends the session of a refresh token, or of the access token in `Authorization` when there is none.
#[utoipa::path(
    post, path = "/v1/auth/sign-out", tag = "auth", operation_id = "signOut", request_body = Option<RefreshBody>,
    responses((status = 204, description = "Signed out."), (status = 403, description = "Another site has sent it."))
)]
pub(crate) async fn sign_out(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let bearer = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|text| text.split_once(' ')).map(|(_, token)| token.trim());
    let has_cookie = platform.cookies.get(&call.headers, Cookie::Refresh).is_some();
    let session = match bearer.filter(|_| call.body.is_empty() && !has_cookie) {
        Some(access) => platform.identity.verify(access).await.map(|verified| verified.claims.sid),
        None => platform.identity.session_of(&token(&platform, &call).await?.0).await,
    };
    let session = session.map_err(|error| problem(&error))?;
    platform.identity.sign_out(&call.caller.cx, session).await.map_err(|error| problem(&error))?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    end_cookies(&platform, &mut response);
    Ok(response)
}

/// Get the keys that access tokens are verified by
///
/// A JSON Web Key Set (RFC 7517); empty where tokens are signed with HS256, which only this installation can verify.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth", operation_id = "getJwks",
    responses((status = 200, description = "The keys.", body = Object))
)]
pub(crate) async fn jwks(State(platform): State<Arc<Platform>>) -> Result<Response, Problem> {
    let set: Value = platform.identity.jwks().await.map_err(|error| problem(&error))?;
    let mut response = Json(set).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    Ok(response)
}
