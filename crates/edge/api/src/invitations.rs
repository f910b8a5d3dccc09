//! Invitations to an organization, `/v1/invitations`; and to register, `/v1/admin/invitations`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::access::Role;
use stoa_identity::invitation::{DAYS_MAX, Invitation, Offer, USES_MAX};
use stoa_identity::{Email, Error, Identity, Secret};
use stoa_kernel::id::InvitationId;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::{body, page};
use crate::call::{Call, Paged};
use crate::platform::Platform;
use crate::render::{invalid, problem};

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(resend))
        .routes(routes!(revoke))
        .routes(routes!(list_registrations, create_registration))
        .routes(routes!(revoke_registration))
}

/// An invitation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invitation)]
pub(crate) struct View {
    /// Its id.
    id: String,
    /// To whom; null where it is for whoever has the link.
    email: Option<String>,
    /// What they are to be.
    role: &'static str,
    /// `pending`, `accepted`, `declined` or `revoked`.
    state: &'static str,
    /// How often it can still be used.
    uses_left: u32,
    /// Who sent it.
    invited_by: String,
    /// Until when it is good.
    #[schema(format = "date-time")]
    expires_at: String,
    /// Counts its changes.
    version: i64,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// The link, which is shown once, where it names no address: else it is in the letter alone.
    link: Option<String>,
}

page! {
    /// A page.
    pub(crate) PageView as InvitationPage: Vec<View> "What is on it."
}

impl View {
    fn of(platform: &Platform, invitation: &Invitation, secret: Option<&Secret>) -> Self {
        let link = |secret: &Secret| format!("{}/invitation#{}", platform.identity.issuer(), secret.reveal());
        Self {
            id: invitation.id.to_string(),
            email: invitation.email.as_ref().map(|email| email.to_string()),
            role: invitation.role.name(),
            state: invitation.state.name(),
            uses_left: invitation.uses_left,
            invited_by: invitation.invited_by.clone(),
            expires_at: rfc3339::text(invitation.expires_at),
            version: invitation.version,
            created_at: rfc3339::text(invitation.created_at),
            // Who has the link of a letter has shown that the address is theirs: nobody else is shown it.
            link: secret.filter(|_| invitation.email.is_none()).map(link),
        }
    }
}

body! {
    /// Who is invited.
    CreateBody as InvitationDraft {
        /// To which address; to whoever has the link without.
        optional email("email"): Option<Email> as Option<String> [format = "email", max_length = 254, nullable = false],
        /// What they are to be; `member` without.
        optional role("role"): Option<Role> as Option<String> [pattern = "^(owner|admin|developer|member|viewer|guest)$", nullable = false],
        /// How many days it is good; 7 without.
        value days("days"): Option<u32> as Option<u32> [minimum = 1, maximum = 90, nullable = false],
        /// How often it can be used where it names no address; once without.
        value uses("uses"): Option<u32> as Option<u32> [minimum = 1, maximum = 1000, nullable = false],
    }
}

impl CreateBody {
    fn offer(self) -> Result<Offer, Problem> {
        let (days, uses) = (self.days.unwrap_or(7), self.uses.unwrap_or(1));
        let mut wrong = Vec::new();
        if !(1..=DAYS_MAX).contains(&days) {
            wrong.push(("/days", format!("is a number from 1 to {DAYS_MAX}")));
        }
        if !(1..=USES_MAX).contains(&uses) {
            wrong.push(("/uses", format!("is a number from 1 to {USES_MAX}")));
        }
        if !wrong.is_empty() {
            return Err(invalid(&wrong));
        }
        Ok(Offer { email: self.email, role: self.role.unwrap_or(Role::Member), days, uses })
    }
}

async fn listed(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let query = Identity::invitation_query(&call.caller.cx);
    let view =
        async |found: Vec<Invitation>| Ok(found.iter().map(|one| View::of(platform, one, None)).collect());
    call.page(platform, call.params(), query, view).await
}

async fn created(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let offer = CreateBody::read(call)?.offer()?;
    if let Some(email) = &offer.email {
        call.attempt(platform, "letters", &email.to_string().to_lowercase()).await?;
    }
    let decide = async {
        let invited = platform.identity.invite(&call.caller.cx, call.caller.role(), &offer).await;
        let (invitation, secret, commit) = invited.map_err(|error| problem(&error))?;
        Ok((View::of(platform, &invitation, Some(&secret)), commit))
    };
    call.change(platform, StatusCode::CREATED, decide, Error::Store).await
}

async fn revoked(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let id: InvitationId = call.part("invitation")?;
    let decide = async {
        let revoked = platform.identity.revoke_invitation(&call.caller.cx, id).await;
        let (invitation, commit) = revoked.map_err(|error| problem(&error))?;
        Ok((View::of(platform, &invitation, None), commit))
    };
    call.change(platform, StatusCode::OK, decide, Error::Store).await
}

/// List the invitations to the organization
#[utoipa::path(
    get, path = "/v1/invitations", tag = "members", operation_id = "listInvitations",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page.", body = PageView))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    listed(&platform, &call).await
}

/// Invite somebody to the organization
///
/// The link is shown once, and sent where there is an address.
#[utoipa::path(
    post, path = "/v1/invitations", tag = "members", operation_id = "createInvitation", request_body = CreateBody,
    responses((status = 201, description = "It can be used.", body = View))
)]
pub(crate) async fn create(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    created(&platform, &call).await
}

/// Take an invitation back
#[utoipa::path(
    delete, path = "/v1/invitations/{invitation}", tag = "members", operation_id = "revokeInvitation",
    params(("invitation" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is revoked.", body = View), (status = 409, description = "It was used, declined or revoked."))
)]
pub(crate) async fn revoke(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    revoked(&platform, &call).await
}

/// List the invitations to register
#[utoipa::path(
    get, path = "/v1/admin/invitations", tag = "admin", operation_id = "listRegistrations",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page.", body = PageView))
)]
pub(crate) async fn list_registrations(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    listed(&platform, &call).await
}

/// Invite somebody to register
///
/// The link is shown once, and sent where there is an address.
#[utoipa::path(
    post, path = "/v1/admin/invitations", tag = "admin", operation_id = "createRegistration", request_body = CreateBody,
    responses((status = 201, description = "It can be used.", body = View))
)]
pub(crate) async fn create_registration(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    created(&platform, &call).await
}

/// Take an invitation to register back
#[utoipa::path(
    delete, path = "/v1/admin/invitations/{invitation}", tag = "admin", operation_id = "revokeRegistration",
    params(("invitation" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is revoked.", body = View), (status = 409, description = "It was used, declined or revoked."))
)]
pub(crate) async fn revoke_registration(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    revoked(&platform, &call).await
}

/// Send an invitation again
///
/// It has a new link; the old one is good for nothing.
#[utoipa::path(
    post, path = "/v1/invitations/{invitation}/resend", tag = "members", operation_id = "resendInvitation",
    params(("invitation" = String, Path, description = "Its id")),
    responses((status = 200, description = "It can be used.", body = View), (status = 409, description = "It was used, declined or revoked."))
)]
pub(crate) async fn resend(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: InvitationId = call.part("invitation")?;
    let decide = async {
        let sent = platform.identity.resend(&call.caller.cx, call.caller.role(), id).await;
        let (invitation, secret, commit) = sent.map_err(|error| problem(&error))?;
        Ok((View::of(&platform, &invitation, Some(&secret)), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}
