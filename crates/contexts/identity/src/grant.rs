//! Grants: what an organization gives to a role beside the table, or takes from it.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{GrantId, OrganizationId};
use stoa_kernel::store::{Commit, Record, StoreError, StoreErrorKind};

use crate::Error;
use crate::access::{Permission, Permissions, Role};
use crate::facts::GrantsChanged;
use crate::service::Identity;

/// A permission that a role has here, or has not.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "grants", entity = "grant", tenant = organization_id,
         unique(grants_role_key = (organization_id, role, permission)))]
pub struct Grant {
    /// Its id.
    #[record(key)]
    pub id: GrantId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The role.
    pub role: Role,
    /// The permission.
    pub permission: Permission,
    /// Whether the role has it.
    pub is_allowed: bool,
    /// When that was said.
    pub created_at: Micros,
}

impl Identity {
    /// What an organization has said about roles.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn grants(&self, cx: &Context) -> Result<Vec<Grant>, Error> {
        Ok(self.store.list(cx, Grant::select().ascending(Grant::ID)).await?)
    }

    /// What a role may do in an organization.
    pub(crate) async fn permissions(
        &self,
        cx: &Context,
        organization: OrganizationId,
        role: Role,
    ) -> Result<Permissions, Error> {
        let query = Grant::select().eq(Grant::ORGANIZATION_ID, &organization).eq(Grant::ROLE, &role);
        let said = self.store.list(&cx.within(Scope::System), query).await?;
        Ok(Permissions::of(role, said.into_iter().map(|grant| (grant.permission, grant.is_allowed))))
    }

    /// Gives a permission to a role (`true`), takes it (`false`), or leaves it to the table (`None`).
    ///
    /// # Errors
    /// [`Error::Forbidden`] for what is fixed, and for owners.
    pub async fn set_grant(
        &self,
        cx: &Context,
        role: Role,
        permission: Permission,
        is_allowed: Option<bool>,
    ) -> Result<Commit, Error> {
        let organization_id = cx
            .scope
            .organization()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "no organization"))?;
        if role == Role::Owner || !permission.is_grantable() {
            return Err(Error::Forbidden(format!("{permission} of {role} is fixed")));
        }
        let query = Grant::select().eq(Grant::ROLE, &role).eq(Grant::PERMISSION, &permission);
        let found = self.store.find(cx, query).await?;
        if found.as_ref().map(|grant| grant.is_allowed) == is_allowed {
            return Ok(Commit::new());
        }
        let mut commit = found.iter().fold(Commit::new(), Commit::delete);
        if let Some(is_allowed) = is_allowed {
            let grant = Grant {
                id: self.ids.next()?,
                organization_id,
                role,
                permission,
                is_allowed,
                created_at: self.clock.now(),
            };
            commit = commit.insert(&grant);
        }
        let told = GrantsChanged {
            id: format!("{role}/{permission}"),
            role: role.to_string(),
            permission: permission.to_string(),
            allowed: is_allowed.map_or_else(|| "default".to_owned(), |allowed| allowed.to_string()),
            organization: Some(organization_id),
        };
        Ok(commit.event(&told))
    }
}
