//! What roles may do here: `/v1/roles`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::Error;
use stoa_identity::access::{Permission, Permissions, Role};
use stoa_identity::grant::Grant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::body;
use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(set))
}

/// A permission of a role.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RolePermission)]
pub(crate) struct PermissionView {
    /// Its name.
    #[schema(example = "members:invite")]
    permission: &'static str,
    /// What it lets do.
    about: &'static str,
    /// Whether the role has it.
    allowed: bool,
    /// Whether the organization has said so, rather than the table.
    is_granted: bool,
    /// Whether the organization can say so.
    is_grantable: bool,
}

/// A role, and what it may do here.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct View {
    /// Its name.
    #[schema(example = "member")]
    role: &'static str,
    /// Every permission.
    permissions: Vec<PermissionView>,
}

/// Roles.
#[derive(Serialize, ToSchema)]
#[schema(as = Roles)]
pub(crate) struct RoleList {
    /// The roles, the strongest first.
    items: Vec<View>,
}

impl View {
    fn of(role: Role, grants: &[Grant]) -> Self {
        let said = |permission: Permission| {
            grants
                .iter()
                .find(|grant| grant.role == role && grant.permission == permission)
                .map(|grant| grant.is_allowed)
        };
        let has = Permissions::of(role, Permission::ALL.iter().filter_map(|one| Some((*one, said(*one)?))));
        let permission = |one: &Permission| PermissionView {
            permission: one.name(),
            about: one.about(),
            allowed: has.has(*one),
            is_granted: said(*one).is_some(),
            is_grantable: one.is_grantable() && role != Role::Owner,
        };
        Self { role: role.name(), permissions: Permission::ALL.iter().map(permission).collect() }
    }
}

/// List what roles may do here
#[utoipa::path(
    get, path = "/v1/roles", tag = "members", operation_id = "listRoles",
    responses((status = 200, description = "They may do this.", body = RoleList))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let grants = platform.identity.grants(&call.caller.cx).await.map_err(|error| problem(&error))?;
    call::ok(&RoleList { items: Role::ALL.iter().rev().map(|role| View::of(*role, &grants)).collect() })
}

body! {
    /// Whether a role has a permission.
    SetBody as GrantRequest {
        /// `true` gives it, `false` takes it, null leaves it to the table.
        value allowed("allowed"): Option<Option<bool>> as Option<bool> [],
    }
}

/// Give a permission to a role, or take it
#[utoipa::path(
    put, path = "/v1/roles/{role}/permissions/{permission}", tag = "members", operation_id = "setPermission",
    params(
        ("role" = String, Path, description = "The role", pattern = "^(owner|admin|developer|member|viewer|guest)$"),
        ("permission" = String, Path, description = "The permission", example = "members:invite"),
    ),
    request_body = SetBody,
    responses((status = 200, description = "The role may do this now.", body = View), (status = 403, description = "It is fixed."))
)]
pub(crate) async fn set(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (role, permission): (Role, Permission) = (call.part("role")?, call.part("permission")?);
    let body = SetBody::read(&call)?;
    let allowed = body.allowed.flatten();
    let decide = async {
        let (identity, cx) = (&platform.identity, &call.caller.cx);
        let commit =
            identity.set_grant(cx, role, permission, allowed).await.map_err(|error| problem(&error))?;
        let mut grants = identity.grants(cx).await.map_err(|error| problem(&error))?;
        grants.retain(|grant| !(grant.role == role && grant.permission == permission));
        let mut view = View::of(role, &grants);
        let shown = view.permissions.iter_mut().find(|one| one.permission == permission.name());
        if let (Some(shown), Some(allowed)) = (shown, allowed) {
            (shown.allowed, shown.is_granted) = (allowed, true);
        }
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}
