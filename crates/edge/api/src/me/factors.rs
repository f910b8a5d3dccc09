//! Authenticator apps and recovery codes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::factor::Code;
use stoa_identity::{Error, Secret};
use utoipa::ToSchema;

use super::passkeys::PasskeyView;
use super::{session, user};
use crate::body::body;
use crate::call::{self, Call, Empty};
use crate::platform::Platform;
use crate::render::problem;

/// How one can show a second factor.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Factors)]
pub(crate) struct FactorsView {
    /// Whether there is an authenticator app.
    totp: bool,
    /// The passkeys.
    passkeys: Vec<PasskeyView>,
    /// How many recovery codes are left.
    recovery_codes_left: i64,
}

/// See your second factors
#[utoipa::path(
    get, path = "/v1/me/factors", tag = "account", operation_id = "getMyFactors",
    responses((status = 200, description = "They are these.", body = FactorsView))
)]
pub(crate) async fn get(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (identity, cx, user) = (&platform.identity, &call.caller.cx, call.caller.user()?);
    let (totp, _, recovery_codes_left) = identity.factors(cx, user).await.map_err(|error| problem(&error))?;
    let passkeys = identity.passkeys(cx, user).await.map_err(|error| problem(&error))?;
    call::ok(&FactorsView {
        totp,
        passkeys: passkeys.iter().map(PasskeyView::of).collect(),
        recovery_codes_left,
    })
}

/// What an authenticator app needs to know: shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TotpEnrolment)]
pub(crate) struct EnrolmentView {
    /// The secret, in base 32.
    secret: String,
    /// The same as an `otpauth://` address.
    uri: String,
    /// The same as a picture, in SVG.
    qr_svg: String,
}

/// Begin to enrol an authenticator app
///
/// It counts from the first right code on.
#[utoipa::path(
    post, path = "/v1/me/totp", tag = "account", operation_id = "enrolTotp",
    responses((status = 200, description = "For the app.", body = EnrolmentView), (status = 409, description = "There is one already."))
)]
pub(crate) async fn enrol(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let user = user(&platform, &call).await?;
        let (enrolment, commit) =
            platform.identity.enrol(&call.caller.cx, &user).await.map_err(|error| problem(&error))?;
        let view = EnrolmentView {
            secret: enrolment.secret.reveal().to_owned(),
            uri: enrolment.uri.reveal().to_owned(),
            qr_svg: enrolment.qr_svg.reveal().to_owned(),
        };
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

body! {
    /// A code.
    CodeBody as FactorCode {
        /// Six digits of the app, or a recovery code.
        required code("code"): Code as String [example = "123456", min_length = 6, max_length = 40],
    }
}

/// Recovery codes: shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RecoveryCodes)]
pub(crate) struct CodesView {
    /// The codes; each is good once.
    recovery_codes: Vec<String>,
}

impl CodesView {
    pub(crate) fn of(codes: &[Secret]) -> Self {
        Self { recovery_codes: codes.iter().map(|code| code.reveal().to_owned()).collect() }
    }
}

/// A code that was used at the same time by somebody else was used.
fn replayed(error: stoa_kernel::store::StoreError) -> Error {
    if stoa_identity::factor::burnt(&error) { Error::CodeInvalid } else { Error::Store(error) }
}

/// End enrolling with the first code
///
/// Ten recovery codes come with it, shown once. All other devices are signed out.
#[utoipa::path(
    post, path = "/v1/me/totp/confirm", tag = "account", operation_id = "confirmTotp", request_body = CodeBody,
    responses((status = 200, description = "It counts.", body = CodesView), (status = 422, description = "The code is not right."))
)]
pub(crate) async fn confirm(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call)?;
    let decide = async {
        let (user, session) = (user(&platform, &call).await?, session(&platform, &call).await?);
        let confirmed = platform.identity.confirm(&call.caller.cx, &user, &session, &body.code).await;
        let (codes, commit) = confirmed.map_err(|error| problem(&error))?;
        Ok((CodesView::of(&codes), commit))
    };
    call.change(&platform, StatusCode::OK, decide, replayed).await
}

/// Remove the authenticator app
///
/// It takes a code of it, or a recovery code.
#[utoipa::path(
    post, path = "/v1/me/totp/disable", tag = "account", operation_id = "disableTotp", request_body = CodeBody,
    responses((status = 204, description = "It is removed."), (status = 422, description = "The code is not right."))
)]
pub(crate) async fn disable(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = CodeBody::read(&call)?;
    let decide = async {
        let user = user(&platform, &call).await?;
        let disabled = platform.identity.disable(&call.caller.cx, &user, &body.code).await;
        disabled.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, replayed).await
}

/// Get new recovery codes instead of the old ones
#[utoipa::path(
    post, path = "/v1/me/recovery-codes", tag = "account", operation_id = "regenerateRecoveryCodes",
    responses((status = 200, description = "The new ones, shown once.", body = CodesView))
)]
pub(crate) async fn codes(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let user = user(&platform, &call).await?;
        let made = platform.identity.regenerate_codes(&call.caller.cx, &user).await;
        let (codes, commit) = made.map_err(|error| problem(&error))?;
        Ok((CodesView::of(&codes), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}
