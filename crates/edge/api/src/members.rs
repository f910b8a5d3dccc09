//! Members of an organization: `/v1/members`; and leaving and transferring it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::access::Role;
use stoa_identity::member::{self, Member};
use stoa_identity::{Error, Identity};
use stoa_kernel::id::{MemberId, UserId};
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::{body, page};
use crate::call::{self, Call, Empty, Paged};
use crate::me::SessionView;
use crate::platform::Platform;
use crate::render::problem;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, patch, remove))
        .routes(routes!(sessions, end_sessions))
        .routes(routes!(leave))
        .routes(routes!(transfer))
}

/// A member.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Member)]
pub(crate) struct View {
    /// The membership.
    id: String,
    /// The user.
    user_id: String,
    /// What they are called.
    name: Option<String>,
    /// Where they get mail.
    email: Option<String>,
    /// `owner`, `admin`, `developer`, `member`, `viewer` or `guest`.
    #[schema(example = "member")]
    role: &'static str,
    /// Counts its changes.
    version: i64,
    /// When they joined.
    #[schema(format = "date-time")]
    created_at: String,
}

page! {
    /// A page.
    pub(crate) PageView as MemberPage: Vec<View> "What is on it."
}

async fn views(platform: &Platform, call: &Call, members: Vec<Member>) -> Result<Vec<View>, Problem> {
    let ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
    let users = platform.identity.users(&call.caller.cx, &ids).await.map_err(|error| problem(&error))?;
    let view = |member: Member| {
        let user = users.iter().find(|user| user.id == member.user_id);
        View {
            id: member.id.to_string(),
            user_id: member.user_id.to_string(),
            name: user.and_then(|user| user.name.as_ref()).map(|name| name.0.clone()),
            email: user.map(|user| user.email.to_string()),
            role: member.role.name(),
            version: member.version,
            created_at: rfc3339::text(member.created_at),
        }
    };
    Ok(members.into_iter().map(view).collect())
}

async fn one(platform: &Platform, call: &Call, member: Member) -> Result<View, Problem> {
    let mut views = views(platform, call, vec![member]).await?;
    views.pop().ok_or_else(|| problem(&Error::NotFound("member")))
}

async fn found(platform: &Platform, call: &Call) -> Result<Member, Problem> {
    let id: MemberId = call.part("member")?;
    platform.identity.member(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

/// List the members
#[utoipa::path(
    get, path = "/v1/members", tag = "members", operation_id = "listMembers",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page.", body = PageView))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call.page(&platform, call.params(), Identity::member_query(), async |members| {
        views(&platform, &call, members).await
    })
    .await
}

/// Get a member
#[utoipa::path(
    get, path = "/v1/members/{member}", tag = "members", operation_id = "getMember",
    params(("member" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is this.", body = View))
)]
pub(crate) async fn get(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call::ok(&one(&platform, &call, found(&platform, &call).await?).await?)
}

body! {
    /// What is to be different.
    PatchBody as MemberPatch {
        /// The role.
        required role("role"): Role as String [example = "admin", pattern = "^(owner|admin|developer|member|viewer|guest)$"],
    }
}

/// Change the role of a member
///
/// Nobody gives a role above their own; only owners make owners, and there is always one.
#[utoipa::path(
    patch, path = "/v1/members/{member}", tag = "members", operation_id = "updateMember",
    params(("member" = String, Path, description = "Its id")),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is now this.", body = View))
)]
pub(crate) async fn patch(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PatchBody::read(&call)?;
    let decide = async {
        let member = found(&platform, &call).await?;
        call.matches(&member.id, member.version)?;
        let changed = platform.identity.set_role(call.caller.role(), &member, body.role);
        let (member, commit) = changed.map_err(|error| problem(&error))?;
        Ok((one(&platform, &call, member).await?, commit))
    };
    call.change(&platform, StatusCode::OK, decide, member::refusal).await
}

/// Remove a member
#[utoipa::path(
    delete, path = "/v1/members/{member}", tag = "members", operation_id = "removeMember",
    params(("member" = String, Path, description = "Its id")),
    responses((status = 204, description = "They are no member any more."), (status = 409, description = "They are the last owner."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let member = found(&platform, &call).await?;
        call.matches(&member.id, member.version)?;
        let removed = platform.identity.remove(&call.caller.cx, call.caller.role(), &member).await;
        removed.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, member::refusal).await
}

/// Where a member is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberSessions)]
pub(crate) struct SessionsView {
    /// The sessions.
    items: Vec<SessionView>,
}

/// List where a member is signed in
#[utoipa::path(
    get, path = "/v1/members/{member}/sessions", tag = "members", operation_id = "listMemberSessions",
    params(("member" = String, Path, description = "Its id")),
    responses((status = 200, description = "They are these.", body = SessionsView))
)]
pub(crate) async fn sessions(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let member = found(&platform, &call).await?;
    let found =
        platform.identity.sessions(&call.caller.cx, member.user_id).await.map_err(|error| problem(&error))?;
    call::ok(&SessionsView { items: found.iter().map(|session| SessionView::of(session, None)).collect() })
}

/// Sign a member out everywhere
///
/// Nobody signs somebody out whose role is above their own.
#[utoipa::path(
    delete, path = "/v1/members/{member}/sessions", tag = "members", operation_id = "revokeMemberSessions",
    params(("member" = String, Path, description = "Its id")),
    responses((status = 204, description = "Signed out."))
)]
pub(crate) async fn end_sessions(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let member = found(&platform, &call).await?;
    if member.role > call.caller.role() {
        return Err(problem(&Error::Forbidden(format!(
            "a {} is not signed out by a {}",
            member.role,
            call.caller.role()
        ))));
    }
    let failed = |error: stoa_kernel::store::StoreError| Problem::of(&error);
    let noted = stoa_kernel::store::Commit::new().note("member.signed_out", "member", &member.id);
    platform.store.commit(&call.caller.cx, noted).await.map_err(failed)?;
    let ended = platform.identity.sign_out_everywhere(&call.caller.cx, member.user_id, None).await;
    ended.map_err(|error| problem(&error))?;
    call::with(StatusCode::NO_CONTENT, &Empty)
}

async fn own(platform: &Platform, call: &Call) -> Result<Member, Problem> {
    let mine = platform
        .identity
        .memberships(&call.caller.cx, call.caller.user()?)
        .await
        .map_err(|error| problem(&error))?;
    let organization = call.caller.cx.scope.organization();
    let own = mine.into_iter().find(|member| Some(member.organization_id) == organization);
    own.ok_or_else(|| problem(&Error::NotFound("member")))
}

/// Leave an organization
#[utoipa::path(
    post, path = "/v1/organizations/{organization}/leave", tag = "members", operation_id = "leaveOrganization",
    params(("organization" = String, Path, description = "Its id or its slug")),
    responses((status = 204, description = "You are no member any more."), (status = 409, description = "You are the last owner."))
)]
pub(crate) async fn leave(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    if call.caller.session().is_err() {
        return Err(problem(&Error::Forbidden("organizations are left by people".to_owned())));
    }
    let decide = async {
        let member = own(&platform, &call).await?;
        let left = platform.identity.remove(&call.caller.cx, Role::Owner, &member).await;
        left.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, member::refusal).await
}

body! {
    /// Who is to be the owner.
    TransferBody as TransferRequest {
        /// The member.
        required member("member"): MemberId as String [],
    }
}

/// Make somebody else the owner
///
/// The owner before becomes an admin.
#[utoipa::path(
    post, path = "/v1/organizations/{organization}/transfer", tag = "members", operation_id = "transferOrganization",
    params(("organization" = String, Path, description = "Its id or its slug")),
    request_body = TransferBody,
    responses((status = 204, description = "They are the owner."))
)]
pub(crate) async fn transfer(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = TransferBody::read(&call)?;
    let decide = async {
        let owner = own(&platform, &call).await?;
        let to =
            platform.identity.member(&call.caller.cx, body.member).await.map_err(|error| problem(&error))?;
        let moved = platform.identity.transfer(&owner, &to);
        moved.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, member::refusal).await
}
