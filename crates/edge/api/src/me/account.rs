//! What one is called, how one is reached, and where one is a member.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::password::{NewPassword, Password};
use stoa_identity::trail::Asked;
use stoa_identity::user::Name;
use stoa_identity::{Email, Error, User};
use stoa_kernel::context::Scope;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;

use super::{session, user};
use crate::audit::EntryView;
use crate::body::body;
use crate::call::{self, Call, Empty, Paged};
use crate::platform::Platform;
use crate::render::problem;

/// A user.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(crate) struct UserView {
    /// Their id.
    #[schema(example = "usr_01j9x3w8k4q2z")]
    id: String,
    /// Where they get mail.
    #[schema(example = "ada@example.org")]
    email: String,
    /// Whether they have shown that it is theirs.
    email_verified: bool,
    /// What they are called.
    name: Option<String>,
    /// `active` or `suspended`.
    state: &'static str,
    /// Whether they run the installation.
    is_owner: bool,
    /// Whether there is a password.
    has_password: bool,
    /// Counts its changes.
    version: i64,
    /// When they registered.
    #[schema(format = "date-time")]
    created_at: String,
}

impl UserView {
    pub(crate) fn of(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            email_verified: user.email_verified_at.is_some(),
            name: user.name.as_ref().map(|name| name.0.clone()),
            state: user.state.name(),
            is_owner: user.is_owner,
            has_password: user.password_hash.is_some(),
            version: user.version,
            created_at: rfc3339::text(user.created_at),
        }
    }
}

/// See your account
#[utoipa::path(
    get, path = "/v1/me", tag = "account", operation_id = "getMe",
    responses((status = 200, description = "It is this.", body = UserView))
)]
pub(crate) async fn get(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call::ok(&UserView::of(&user(&platform, &call).await?))
}

body! {
    /// What is to be different.
    PatchBody as UserPatch {
        /// What you are called; null removes it.
        nullable name("name"): Option<Option<Name>> as Option<String> [max_length = 120],
    }
}

/// Change what you are called
#[utoipa::path(
    patch, path = "/v1/me", tag = "account", operation_id = "updateMe",
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is now this.", body = UserView))
)]
pub(crate) async fn patch(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PatchBody::read(&call)?;
    let decide = async {
        let user = user(&platform, &call).await?;
        call.matches(&user.id, user.version)?;
        let Some(name) = body.name else {
            return Ok((UserView::of(&user), stoa_kernel::store::Commit::new()));
        };
        let (user, commit) = platform.identity.rename(&user, name);
        Ok((UserView::of(&user), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

body! {
    /// A new password.
    PasswordBody as ChangePasswordRequest {
        /// The one before; absent where there was none.
        optional current_password("currentPassword"): Option<Password> as Option<String> [max_length = 1024, nullable = false],
        /// The new one.
        required password("password"): NewPassword as String [min_length = 8, max_length = 256],
    }
}

/// Change your password
///
/// All other devices are signed out.
#[utoipa::path(
    post, path = "/v1/me/password", tag = "account", operation_id = "changePassword", request_body = PasswordBody,
    responses((status = 204, description = "It is changed."), (status = 401, description = "The one before is not right."))
)]
pub(crate) async fn password(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PasswordBody::read(&call)?;
    call.attempt(&platform, "reauthenticate", &call.caller.user()?.to_string()).await?;
    let decide = async {
        let session = session(&platform, &call).await?;
        let identity = &platform.identity;
        let changed = identity
            .change_password(&call.caller.cx, &session, body.current_password.as_ref(), &body.password.0)
            .await;
        changed.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}

body! {
    /// A new address.
    EmailBody as ChangeEmailRequest {
        /// The address.
        required email("email"): Email as String [format = "email", max_length = 254],
    }
}

/// Change your address
///
/// A letter goes to the new address; it counts when the link in it is used. Until then nothing changes.
#[utoipa::path(
    post, path = "/v1/me/email", tag = "account", operation_id = "changeEmail", request_body = EmailBody,
    responses((status = 202, description = "A letter is on its way."))
)]
pub(crate) async fn email(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = EmailBody::read(&call)?;
    call.attempt(&platform, "letters", &body.email.to_string().to_lowercase()).await?;
    let decide = async {
        let user = user(&platform, &call).await?;
        let asked = platform.identity.request_email_change(&call.caller.cx, &user, &body.email).await;
        asked.map(|commit| (serde_json::json!({"status": "sent"}), commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::ACCEPTED, decide, Error::Store).await
}

/// Where one is a member.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Membership)]
pub(crate) struct MembershipView {
    /// The membership.
    member_id: String,
    /// The organization.
    organization_id: String,
    /// Its name in addresses.
    slug: String,
    /// Its name for people.
    name: String,
    /// Where it is in its life.
    state: &'static str,
    /// What one is there.
    role: &'static str,
}

/// The organizations of a user.
#[derive(Serialize, ToSchema)]
#[schema(as = Memberships)]
pub(crate) struct MembershipList {
    /// The memberships.
    items: Vec<MembershipView>,
}

/// List your organizations
#[utoipa::path(
    get, path = "/v1/me/organizations", tag = "account", operation_id = "listMyOrganizations",
    responses((status = 200, description = "They are these.", body = MembershipList))
)]
pub(crate) async fn organizations(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let (identity, cx) = (&platform.identity, &call.caller.cx);
    let members = identity.memberships(cx, call.caller.user()?).await.map_err(|error| problem(&error))?;
    let mut items = Vec::with_capacity(members.len());
    for member in members {
        let found =
            identity.known_organization(cx, member.organization_id).await.map_err(|error| problem(&error))?;
        let Some(organization) = found else { continue };
        items.push(MembershipView {
            member_id: member.id.to_string(),
            organization_id: organization.id.to_string(),
            slug: organization.slug.to_string(),
            name: organization.name.clone(),
            state: organization.state.name(),
            role: member.role.name(),
        });
    }
    call::ok(&MembershipList { items })
}

body! {
    /// Which organization.
    SwitchBody as SwitchRequest {
        /// Its id or its slug.
        required organization("organization"): String as String [max_length = 64],
    }
}

/// A token that says which organization is looked at.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Switched)]
pub(crate) struct Switched {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// How long it is good, in seconds.
    expires_in: i64,
    /// The organization.
    organization_id: String,
}

/// Choose the organization that is looked at when a request names none
#[utoipa::path(
    post, path = "/v1/me/organization", tag = "account", operation_id = "switchOrganization", request_body = SwitchBody,
    responses((status = 200, description = "It is this one now.", body = Switched), (status = 404, description = "You are no member of such an organization."))
)]
pub(crate) async fn switch(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SwitchBody::read(&call)?;
    let (identity, cx) = (&platform.identity, &call.caller.cx);
    let decide = async {
        let session = session(&platform, &call).await?;
        let named =
            identity.organization_named(cx, &body.organization).await.map_err(|error| problem(&error))?;
        let id = named.ok_or_else(|| problem(&Error::NotFound("organization")))?;
        let (access, commit) = identity.switch(cx, &session, id).await.map_err(|error| problem(&error))?;
        let expires_in = identity.settings().access_us / 1_000_000;
        let view = Switched {
            access_token: access.reveal().to_owned(),
            expires_in,
            organization_id: id.to_string(),
        };
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

/// See what you have done
///
/// The entries of the audit trail of the installation, where accounts are, that you are the actor of.
#[utoipa::path(
    get, path = "/v1/me/audit", tag = "account", operation_id = "listMyAudit",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page, the newest first.", body = crate::audit::EntryPage))
)]
pub(crate) async fn audit(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let asked = Asked { actor: Some(call.caller.cx.actor.label()), ..Asked::default() };
    let query = asked.query(&call.caller.cx.within(Scope::System));
    call.page(&platform, call.params(), query, async |found| Ok(found.iter().map(EntryView::of).collect()))
        .await
}
