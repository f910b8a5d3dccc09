//! Passkeys of one's own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use stoa_http::Problem;
use stoa_identity::Error;
use stoa_identity::passkey::Passkey;
use stoa_identity::user::Name;
use stoa_kernel::id::FactorId;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;

use super::sessions::day;
use super::{session, user};
use crate::body::body;
use crate::call::{Call, Empty};
use crate::platform::Platform;
use crate::render::problem;

/// A passkey.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Passkey)]
pub(crate) struct PasskeyView {
    /// Its id.
    id: String,
    /// What its user calls it.
    #[schema(example = "Laptop")]
    name: String,
    /// The day on which it was last used.
    last_used: String,
    /// When it was registered.
    #[schema(format = "date-time")]
    created_at: String,
    /// Counts its changes.
    version: i64,
}

impl PasskeyView {
    pub(crate) fn of(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.to_string(),
            name: passkey.name.0.clone(),
            last_used: day(passkey.last_used_day),
            created_at: rfc3339::text(passkey.created_at),
            version: passkey.version,
        }
    }
}

body! {
    /// What a passkey is to be called.
    NameBody as PasskeyName {
        /// The name.
        required name("name"): Name as String [example = "Laptop", min_length = 1, max_length = 120],
    }
}

/// A ceremony that was begun.
#[derive(Serialize, ToSchema)]
#[schema(as = PasskeyRegistration)]
pub(crate) struct Begun {
    /// Ends the ceremony, once, within five minutes.
    ceremony: String,
    /// For `navigator.credentials.create`, with binary values in base64url.
    #[schema(value_type = Object)]
    options: Value,
}

/// Begin to register a passkey
#[utoipa::path(
    post, path = "/v1/me/passkeys/options", tag = "account", operation_id = "beginPasskey", request_body = NameBody,
    responses((status = 200, description = "What the browser is to be asked.", body = Begun))
)]
pub(crate) async fn options(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = NameBody::read(&call)?;
    let decide = async {
        let user = user(&platform, &call).await?;
        let begun = platform.identity.begin_passkey(&call.caller.cx, &user, &body.name).await;
        let (ceremony, commit) = begun.map_err(|error| problem(&error))?;
        Ok((Begun { ceremony: ceremony.secret.reveal().to_owned(), options: ceremony.options }, commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

body! {
    /// What a browser answered.
    CreateBody as PasskeyRegistrationRequest {
        /// The secret of the ceremony.
        required ceremony("ceremony"): String as String [max_length = 200],
        /// What `navigator.credentials.create` gave, with binary values in base64url.
        any credential("credential"): Value as Object [],
    }
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RegisteredPasskey)]
pub(crate) struct Registered {
    /// The passkey.
    passkey: PasskeyView,
    /// Recovery codes, which come with the first second factor: shown once.
    recovery_codes: Vec<String>,
}

/// End registering a passkey
#[utoipa::path(
    post, path = "/v1/me/passkeys", tag = "account", operation_id = "createPasskey", request_body = CreateBody,
    responses((status = 201, description = "It can be used.", body = Registered), (status = 410, description = "The ceremony is over."))
)]
pub(crate) async fn create(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = CreateBody::read(&call)?;
    let decide = async {
        let (user, session) = (user(&platform, &call).await?, session(&platform, &call).await?);
        let made = platform
            .identity
            .finish_passkey(&call.caller.cx, &user, &session, &body.ceremony, body.credential)
            .await;
        let (passkey, codes, commit) = made.map_err(|error| problem(&error))?;
        let recovery_codes = codes.iter().map(|code| code.reveal().to_owned()).collect();
        Ok((Registered { passkey: PasskeyView::of(&passkey), recovery_codes }, commit))
    };
    let refusal = |error: stoa_kernel::store::StoreError| {
        if error.is_by("passkeys_credential_key") {
            Error::Duplicate("this passkey is registered already".to_owned())
        } else if error.is_by("tickets_version") || error.is_by("tickets_pkey") {
            Error::LinkInvalid
        } else {
            Error::Store(error)
        }
    };
    call.change(&platform, StatusCode::CREATED, decide, refusal).await
}

/// Call a passkey something else
#[utoipa::path(
    patch, path = "/v1/me/passkeys/{passkey}", tag = "account", operation_id = "renamePasskey",
    params(("passkey" = String, Path, description = "Its id")),
    request_body(content = NameBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is called that.", body = PasskeyView))
)]
pub(crate) async fn rename(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: FactorId = call.part("passkey")?;
    let body = NameBody::read(&call)?;
    let decide = async {
        let renamed =
            platform.identity.rename_passkey(&call.caller.cx, call.caller.user()?, id, &body.name).await;
        let (passkey, commit) = renamed.map_err(|error| problem(&error))?;
        Ok((PasskeyView::of(&passkey), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

/// Remove a passkey
#[utoipa::path(
    delete, path = "/v1/me/passkeys/{passkey}", tag = "account", operation_id = "removePasskey",
    params(("passkey" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is removed."), (status = 409, description = "It is the last way to sign in."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: FactorId = call.part("passkey")?;
    let decide = async {
        let user = user(&platform, &call).await?;
        let removed = platform.identity.remove_passkey(&call.caller.cx, &user, id).await;
        removed.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}
