//! What whoever was invited does with the secret of the invitation.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::member;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;

use crate::body::body;
use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

body! {
    /// The secret of an invitation.
    SecretBody as InvitationSecret {
        /// The secret.
        required token("token"): String as String [max_length = 200],
    }
}

/// What an invitation offers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OfferedInvitation)]
pub(crate) struct Offered {
    /// The organization; null where it is only to register.
    organization_name: Option<String>,
    /// The role.
    role: String,
    /// To which address, where it is for one.
    email: Option<String>,
    /// Until when it is good.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// See what an invitation offers
#[utoipa::path(
    post, path = "/v1/auth/invitation", tag = "auth", operation_id = "lookAtInvitation", request_body = SecretBody,
    responses((status = 200, description = "It offers this.", body = Offered), (status = 410, description = "It is over."))
)]
pub(crate) async fn look(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SecretBody::read(&call)?;
    let found = platform.identity.look_at_invitation(&call.caller.cx, &body.token).await;
    let (invitation, organization_name) = found.map_err(|error| problem(&error))?;
    call::ok(&Offered {
        organization_name,
        role: invitation.role.to_string(),
        email: invitation.email.as_ref().map(|email| email.to_string()),
        expires_at: rfc3339::text(invitation.expires_at),
    })
}

/// What came of accepting.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AcceptedInvitation)]
pub(crate) struct Joined {
    /// The organization that one is a member of now.
    organization_id: String,
    /// The role there.
    role: String,
}

/// Accept an invitation
#[utoipa::path(
    post, path = "/v1/auth/invitation/accept", tag = "auth", operation_id = "acceptInvitation", request_body = SecretBody,
    responses((status = 200, description = "You are a member.", body = Joined), (status = 410, description = "It is over, or for somebody else."))
)]
pub(crate) async fn accept(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SecretBody::read(&call)?;
    let user = call.caller.user()?;
    let decide = async {
        let accepted = platform.identity.accept_invitation(&call.caller.cx, user, &body.token).await;
        let (invitation, commit) = accepted.map_err(|error| problem(&error))?;
        let view = Joined {
            organization_id: invitation.organization_id.to_string(),
            role: invitation.role.to_string(),
        };
        Ok((view, commit))
    };
    let refusal = |error: stoa_kernel::store::StoreError| {
        if error.is_by("invitations_version") {
            stoa_identity::Error::LinkInvalid
        } else {
            member::refusal(error)
        }
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}

/// Decline an invitation
#[utoipa::path(
    post, path = "/v1/auth/invitation/decline", tag = "auth", operation_id = "declineInvitation", request_body = SecretBody,
    responses((status = 204, description = "It is declined."), (status = 410, description = "It is over."))
)]
pub(crate) async fn decline(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SecretBody::read(&call)?;
    let commit = platform
        .identity
        .decline_invitation(&call.caller.cx, &body.token)
        .await
        .map_err(|error| problem(&error))?;
    let declined = platform.store.commit(&call.caller.cx, commit).await;
    declined.map_err(|error| match error.is_by("invitations_version") {
        true => problem(&stoa_identity::Error::LinkInvalid),
        false => Problem::of(&error),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
