//! Letting a program in that has no browser.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::Error;
use stoa_identity::device::{INTERVAL_S, LASTS_S, UserCode};
use utoipa::ToSchema;

use super::{Keeping, SignedIn, signed_in};
use crate::body::body;
use crate::call::{self, Call, Empty};
use crate::platform::Platform;
use crate::render::problem;

/// What a program shows, and what it keeps.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeviceBegun)]
pub(crate) struct Begun {
    /// What the program keeps, and asks with.
    device_code: String,
    /// What it shows.
    #[schema(example = "BCDF-GHJK")]
    user_code: String,
    /// Where its user types that.
    verification_uri: String,
    /// The same, with the code typed in already.
    verification_uri_complete: String,
    /// How long it may wait, in seconds.
    expires_in: i64,
    /// How long between two questions, in seconds.
    interval: u32,
}

/// Begin to let a program in (RFC 8628)
#[utoipa::path(
    post, path = "/v1/auth/device", tag = "auth", operation_id = "beginDevice",
    responses((status = 200, description = "It waits.", body = Begun))
)]
pub(crate) async fn begin(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let begun = platform.identity.begin_device(&call.caller.cx, &call.client()).await;
    let (secret, user_code) = begun.map_err(|error| problem(&error))?;
    let page = format!("{}/device", platform.identity.issuer());
    call::ok(&Begun {
        device_code: secret.reveal().to_owned(),
        verification_uri_complete: format!("{page}?code={user_code}"),
        verification_uri: page,
        user_code,
        expires_in: LASTS_S,
        interval: INTERVAL_S,
    })
}

body! {
    /// What a program keeps.
    PollBody as DeviceTokenRequest {
        /// The device code.
        required device_code("deviceCode"): String as String [max_length = 200],
    }
}

/// Ask whether somebody has let the program in
#[utoipa::path(
    post, path = "/v1/auth/device/token", tag = "auth", operation_id = "pollDevice", request_body = PollBody,
    responses(
        (status = 200, description = "Signed in.", body = SignedIn),
        (status = 400, description = "Nobody has yet; `authorization_pending`."),
        (status = 403, description = "It was not let in."),
        (status = 410, description = "It is over."),
    )
)]
pub(crate) async fn poll(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PollBody::read(&call)?;
    let issued = platform.identity.poll_device(&call.caller.cx, &body.device_code).await;
    signed_in(&platform, issued.map_err(|error| problem(&error))?, Keeping::Token).await
}

body! {
    /// What a program shows.
    UserCodeBody as DeviceCodeRequest {
        /// The code.
        required code("code"): UserCode as String [example = "BCDF-GHJK", max_length = 20],
    }
}

/// What waits.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitingDevice)]
pub(crate) struct Waiting {
    /// What it calls itself.
    #[schema(example = "Stoa command line on Linux")]
    client: String,
}

/// See what waits under a code
#[utoipa::path(
    post, path = "/v1/auth/device/look", tag = "auth", operation_id = "lookAtDevice", request_body = UserCodeBody,
    responses((status = 200, description = "It is this.", body = Waiting), (status = 410, description = "There is nothing, or it is over."))
)]
pub(crate) async fn look(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = UserCodeBody::read(&call)?;
    let found =
        platform.identity.device(&call.caller.cx, &body.code).await.map_err(|error| problem(&error))?;
    call::ok(&Waiting { client: found.client })
}

async fn answer(platform: &Platform, call: &Call, is_approved: bool) -> Result<Response, Problem> {
    let body = UserCodeBody::read(call)?;
    let known = call.caller.session()?;
    let decide = async {
        let answered =
            platform.identity.answer_device(&call.caller.cx, &known.session, &body.code, is_approved).await;
        answered.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(platform, StatusCode::NO_CONTENT, decide, |error| {
        if error.is_by("device_grants_version") { Error::LinkInvalid } else { Error::Store(error) }
    })
    .await
}

/// Let a program in
#[utoipa::path(
    post, path = "/v1/auth/device/approve", tag = "auth", operation_id = "approveDevice", request_body = UserCodeBody,
    responses((status = 204, description = "It may come in, as you."), (status = 410, description = "There is nothing, or it is over."))
)]
pub(crate) async fn approve(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    answer(&platform, &call, true).await
}

/// Do not let a program in
#[utoipa::path(
    post, path = "/v1/auth/device/deny", tag = "auth", operation_id = "denyDevice", request_body = UserCodeBody,
    responses((status = 204, description = "It may not."), (status = 410, description = "There is nothing, or it is over."))
)]
pub(crate) async fn deny(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    answer(&platform, &call, false).await
}
