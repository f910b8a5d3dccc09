//! Coming in: `/v1/auth`.

mod device;
mod invitation;
mod mfa;
mod passkey;
mod provider;
mod register;
mod sign_in;
mod tokens;

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::browser::Cookie;
use stoa_identity::session::Issued;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(register::setup))
        .routes(routes!(register::register))
        .routes(routes!(register::verify))
        .routes(routes!(register::resend))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(sign_in::request_link))
        .routes(routes!(sign_in::use_link))
        .routes(routes!(sign_in::forgot))
        .routes(routes!(sign_in::reset))
        .routes(routes!(sign_in::confirm_email))
        .routes(routes!(sign_in::reauthenticate))
        .routes(routes!(tokens::refresh))
        .routes(routes!(tokens::sign_out))
        .routes(routes!(tokens::jwks))
        .routes(routes!(passkey::options))
        .routes(routes!(passkey::sign_in))
        .routes(routes!(mfa::code))
        .routes(routes!(mfa::passkey_options))
        .routes(routes!(mfa::passkey))
        .routes(routes!(provider::offered))
        .routes(routes!(provider::start))
        .routes(routes!(provider::callback, provider::posted))
        .routes(routes!(device::begin))
        .routes(routes!(device::poll))
        .routes(routes!(device::look))
        .routes(routes!(device::approve))
        .routes(routes!(device::deny))
        .routes(routes!(invitation::look))
        .routes(routes!(invitation::accept))
        .routes(routes!(invitation::decline))
}

/// What whoever signed in is given.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignedIn)]
pub(crate) struct SignedIn {
    /// Whether a second factor is missing: only its endpoints answer until it is shown.
    mfa_pending: bool,
    /// For `Authorization: Bearer`.
    access_token: String,
    /// How long it is good, in seconds.
    #[schema(example = 900)]
    expires_in: i64,
    /// For the next access token; good once. Absent where it is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    refresh_token: Option<String>,
    /// The session.
    session_id: String,
    /// The user.
    user_id: String,
    /// The organization that is looked at when a request names none.
    organization_id: Option<String>,
}

/// How a session is kept: `token` gives the refresh token to a program; `cookie` keeps it where no script reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Token,
    Cookie,
}

impl std::str::FromStr for Keeping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "token" => Ok(Self::Token),
            "cookie" => Ok(Self::Cookie),
            _ => Err("a session is kept by token or cookie".to_owned()),
        }
    }
}

/// Refuses that another site signs a browser in.
fn own_page(platform: &Platform, call: &Call, keeping: Option<Keeping>) -> Result<Keeping, Problem> {
    let keeping = keeping.unwrap_or(Keeping::Token);
    if keeping == Keeping::Cookie && platform.cookies.is_from_elsewhere(&call.headers) {
        let detail = format!(
            "This page may not sign anybody in: people sign in at {}, which server.public_url names.",
            platform.identity.issuer()
        );
        return Err(Problem::new("csrf_failed", detail));
    }
    Ok(keeping)
}

/// Adds a cookie to an answer.
fn add_cookie(response: &mut Response, value: HeaderValue) {
    response.headers_mut().append(header::SET_COOKIE, value);
}

/// Ends the cookies of a session.
fn end_cookies(platform: &Platform, response: &mut Response) {
    for cookie in [Cookie::Refresh, Cookie::Csrf] {
        add_cookie(response, platform.cookies.set(cookie, "", 0));
    }
}

/// Puts a session into cookies.
async fn keep_in_cookies(
    platform: &Platform,
    response: &mut Response,
    issued: &Issued,
) -> Result<(), Problem> {
    let csrf = platform.identity.csrf_token(issued.session.id).await.map_err(|error| problem(&error))?;
    let seconds = issued.session.expires_at.since(platform.clock.now()).div_euclid(1_000_000);
    add_cookie(response, platform.cookies.set(Cookie::Refresh, issued.refresh.reveal(), seconds));
    add_cookie(response, platform.cookies.set(Cookie::Csrf, &csrf, seconds));
    Ok(())
}

/// The answer to whoever signed in.
async fn signed_in(platform: &Platform, issued: Issued, keeping: Keeping) -> Result<Response, Problem> {
    let view = SignedIn {
        mfa_pending: issued.session.is_pending,
        access_token: issued.access.reveal().to_owned(),
        expires_in: issued.access_s,
        refresh_token: (keeping == Keeping::Token).then(|| issued.refresh.reveal().to_owned()),
        session_id: issued.session.id.to_string(),
        user_id: issued.user.id.to_string(),
        organization_id: issued.session.organization_id.map(|id| id.to_string()),
    };
    let mut response = call::with(StatusCode::OK, &view)?;
    if keeping == Keeping::Cookie {
        keep_in_cookies(platform, &mut response, &issued).await?;
    }
    Ok(response)
}

/// An answer that says the same to everybody: a letter is on its way, if there is somebody to get it.
#[derive(Serialize, ToSchema)]
#[schema(as = LetterSent)]
pub(crate) struct Sent {
    /// `sent`, whether there is somebody to get it or not.
    #[schema(example = "sent")]
    status: &'static str,
}

fn sent() -> Result<Response, Problem> {
    call::with(StatusCode::ACCEPTED, &Sent { status: "sent" })
}
