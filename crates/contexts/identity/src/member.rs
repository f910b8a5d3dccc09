//! Members: users in organizations, with one role each.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{MemberId, OrganizationId, UserId};
use stoa_kernel::store::{Commit, Page, PageRequest, Record, StoreError};

use crate::Error;
use crate::access::Role;
use crate::api_key::ApiKey;
use crate::facts::{MemberJoined, MemberLeft, MemberUpdated};
use crate::plan::Limit;
use crate::service::Identity;

/// A user in an organization.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "members", entity = "member", tenant = organization_id, version = version,
         unique(members_user_key = (organization_id, user_id)))]
pub struct Member {
    /// Its id.
    #[record(key)]
    pub id: MemberId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user.
    pub user_id: UserId,
    /// What they are there.
    pub role: Role,
    /// Counts its changes.
    pub version: i64,
    /// When they joined.
    pub created_at: Micros,
    /// When the role last changed.
    pub updated_at: Micros,
}

impl Member {
    fn owners(organization: OrganizationId) -> stoa_kernel::store::Query<Self> {
        Self::select().eq(Self::ORGANIZATION_ID, &organization).eq(Self::ROLE, &Role::Owner)
    }
}

/// The refusal of a change that would leave nobody to answer for an organization.
pub(crate) const AN_OWNER: &str = "an_organization_has_an_owner";

impl Identity {
    /// The commit that makes a user a member.
    ///
    /// # Errors
    /// When no id can be issued.
    pub fn joining(&self, organization: OrganizationId, user: UserId, role: Role) -> Result<Commit, Error> {
        let now = self.clock.now();
        let member = Member {
            id: self.ids.next()?,
            organization_id: organization,
            user_id: user,
            role,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let told = MemberJoined {
            id: member.id.to_string(),
            user: user.to_string(),
            role: role.to_string(),
            organization: Some(organization),
        };
        Ok(Commit::new().insert(&member).event(&told))
    }

    /// The same, held to the limit of the plan.
    pub(crate) async fn joining_within_plan(
        &self,
        cx: &Context,
        organization: OrganizationId,
        user: UserId,
        role: Role,
    ) -> Result<Commit, Error> {
        let limit = self.limit(cx, organization, Limit::Members).await?;
        let all = Member::select().eq(Member::ORGANIZATION_ID, &organization);
        let used = self.store.count(&cx.within(Scope::System), all.clone()).await?;
        let joining = self.joining(organization, user, role)?;
        match limit {
            Some(limit) if used >= limit => Err(Error::QuotaExceeded { what: "members", limit, used }),
            Some(limit) => Ok(joining.count("members_quota", all, 0, limit)),
            None => Ok(joining),
        }
    }

    /// The member with an id, of the organization of the context.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn member(&self, cx: &Context, id: MemberId) -> Result<Member, Error> {
        self.store.find(cx, Member::select().eq(Member::ID, &id)).await?.ok_or(Error::NotFound("member"))
    }

    /// The members of the organization of the context.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn members(&self, cx: &Context, request: PageRequest) -> Result<Page<Member>, Error> {
        Ok(self.store.page(cx, Self::member_query(), request).await?)
    }

    /// The members of an organization whose role is at least this one, the first thousand.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn members_from(
        &self,
        organization: OrganizationId,
        least: Role,
    ) -> Result<Vec<UserId>, StoreError> {
        let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| *role >= least).collect();
        let query = Member::select().eq(Member::ORGANIZATION_ID, &organization).is_in(Member::ROLE, &roles);
        let found = self.store.list(&self.internal(), query.ascending(Member::ID).limit(1_000)).await?;
        Ok(found.into_iter().map(|member| member.user_id).collect())
    }

    /// The query of [`Identity::members`], for cursors.
    #[must_use]
    pub fn member_query() -> stoa_kernel::store::Query<Member> {
        Member::select().ascending(Member::ID)
    }

    /// The organizations that a user is a member of.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn memberships(&self, cx: &Context, user: UserId) -> Result<Vec<Member>, Error> {
        let query = Member::select().eq(Member::USER_ID, &user).ascending(Member::ID);
        Ok(self.store.list(&cx.within(Scope::System), query).await?)
    }

    /// Changes the role of a member. Nobody gives a role that is stronger than their own, nor changes somebody who is stronger.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::LastOwner`].
    pub fn set_role(&self, own: Role, member: &Member, role: Role) -> Result<(Member, Commit), Error> {
        if role > own || member.role > own {
            return Err(Error::Forbidden(format!("a role above {own} is not yours to give or to take")));
        }
        if (role == Role::Owner || member.role == Role::Owner) && own != Role::Owner {
            return Err(Error::Forbidden("only an owner makes or unmakes owners".to_owned()));
        }
        let changed =
            Member { role, version: member.version + 1, updated_at: self.clock.now(), ..member.clone() };
        let told = MemberUpdated {
            id: member.id.to_string(),
            user: member.user_id.to_string(),
            role: role.to_string(),
            organization: Some(member.organization_id),
        };
        let mut commit = Commit::new().update(member, &changed).event(&told).action("member.role_changed");
        if member.role == Role::Owner {
            commit = commit.count(AN_OWNER, Member::owners(member.organization_id), 1, i64::MAX);
        }
        Ok((changed, commit))
    }

    /// Makes somebody else the owner; the owner before becomes an admin.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::WrongState`].
    pub fn transfer(&self, owner: &Member, to: &Member) -> Result<Commit, Error> {
        if owner.role != Role::Owner {
            return Err(Error::Forbidden("only an owner transfers an organization".to_owned()));
        }
        if owner.id == to.id {
            return Err(Error::WrongState("this member is the owner already".to_owned()));
        }
        let (_, up) = self.set_role(Role::Owner, to, Role::Owner)?;
        let (_, down) = self.set_role(Role::Owner, owner, Role::Admin)?;
        Ok(up.and(down).action("organization.transferred"))
    }

    /// Ends a membership: somebody leaves, or is removed. Their keys end with it, and invitations by which they could come back.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Store`].
    pub async fn remove(&self, cx: &Context, own: Role, member: &Member) -> Result<Commit, Error> {
        if member.role > own {
            return Err(Error::Forbidden(format!("a {} is not removed by a {own}", member.role)));
        }
        let told = MemberLeft {
            id: member.id.to_string(),
            user: member.user_id.to_string(),
            organization: Some(member.organization_id),
        };
        let cx = cx.within(Scope::Organization(member.organization_id));
        let keys = ApiKey::select().eq(ApiKey::USER_ID, &member.user_id);
        let keys = self.store.list(&cx, keys.ascending(ApiKey::ID)).await?;
        let mut commit = Commit::new().delete(member).event(&told);
        for key in keys.iter().filter(|key| key.revoked_at.is_none()) {
            commit = commit.and(self.revoke_key(key)?.1);
        }
        let user = self.user(&cx.within(Scope::System), member.user_id).await?;
        commit = commit.and(self.revoked_invitations(&cx, &user.email_key).await?);
        Ok(match member.role {
            Role::Owner => commit.count(AN_OWNER, Member::owners(member.organization_id), 1, i64::MAX),
            _ => commit,
        })
    }
}

/// What the refusal of a commit about members means.
#[must_use]
pub fn refusal(error: StoreError) -> Error {
    if error.is_by(AN_OWNER) {
        Error::LastOwner
    } else if error.is_by("members_user_key") {
        Error::Duplicate("this user is a member already".to_owned())
    } else if error.is_by("members_quota") {
        Error::WrongState("the plan allows no more members".to_owned())
    } else {
        Error::Store(error)
    }
}
