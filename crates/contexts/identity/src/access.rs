//! The policy: who may do what. One table, read by the API, by the matrix that is tested, and by the page that is generated.

use std::fmt;
use std::str::FromStr;

/// What a member of an organization is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Role {
    /// Sees the organization, and what is shown to them.
    Guest,
    /// Sees everything that is not about people and keys.
    Viewer,
    /// Works.
    Member,
    /// Builds: keys of programs, flags.
    Developer,
    /// Runs the organization: people, keys, settings.
    Admin,
    /// Answers for it: everything.
    Owner,
}

impl Role {
    /// All of them, the weakest first.
    pub const ALL: [Self; 6] =
        [Self::Guest, Self::Viewer, Self::Member, Self::Developer, Self::Admin, Self::Owner];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| "a role is owner, admin, developer, member, viewer or guest".to_owned())
    }
}

stoa_kernel::text_field!(Role);

macro_rules! permissions {
    ($($permission:ident $name:literal from $role:ident $(, $fixed:ident)?: $about:literal;)*) => {
        /// What may be done: `resource:action`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $(#[doc = $about] $permission,)*
        }

        impl Permission {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$permission),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$permission => $name,)* }
            }

            /// What it lets do.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$permission => $about,)* }
            }

            /// The weakest role that has it, unless the organization grants it to others.
            #[must_use]
            pub const fn from(self) -> Role {
                match self { $(Self::$permission => Role::$role,)* }
            }

            /// Whether an organization may give it to other roles, or take it from them.
            #[must_use]
            pub const fn is_grantable(self) -> bool {
                match self { $(Self::$permission => permissions!(@ $($fixed)?),)* }
            }
        }
    };
    (@ fixed) => { false };
    (@) => { true };
}

permissions! {
    OrganizationRead "organization:read" from Guest, fixed: "See the organization.";
    OrganizationUpdate "organization:update" from Admin: "Change its name, contact, settings and rules.";
    OrganizationArchive "organization:archive" from Owner, fixed: "Archive it.";
    OrganizationPurge "organization:purge" from Owner, fixed: "Remove it with everything in it.";
    OrganizationTransfer "organization:transfer" from Owner, fixed: "Make somebody else the owner.";
    MembersRead "members:read" from Member: "See who is in it.";
    MembersInvite "members:invite" from Admin: "Invite people.";
    MembersUpdate "members:update" from Admin, fixed: "Change the role of members.";
    MembersRemove "members:remove" from Admin: "Remove members.";
    GrantsRead "grants:read" from Admin: "See which permissions roles have here.";
    GrantsUpdate "grants:update" from Owner, fixed: "Give permissions to roles, or take them.";
    SessionsRead "sessions:read" from Admin: "See where members are signed in.";
    SessionsRevoke "sessions:revoke" from Admin: "Sign members out.";
    ApiKeysRead "api_keys:read" from Developer: "See the keys of programs.";
    ApiKeysCreate "api_keys:create" from Developer, fixed: "Make keys, with no more permissions than one's own.";
    ApiKeysUpdateAny "api_keys:update:any" from Admin: "Rotate and revoke keys of others.";
    FlagsRead "flags:read" from Guest: "See which features are on.";
    FlagsUpdate "flags:update" from Developer: "Turn features on and off.";
    EventsRead "events:read" from Member: "Follow what happens.";
    JobsRead "jobs:read" from Member: "See jobs and what became of them.";
    JobsSubmit "jobs:submit" from Developer: "Ask for jobs.";
    JobsUpdate "jobs:update" from Developer: "Cancel jobs, take dead letters back or discard them.";
    SchedulesRead "schedules:read" from Member: "See schedules and when they fire.";
    SchedulesUpdate "schedules:update" from Developer: "Make, change and remove schedules, and fire them.";
    RunsRead "runs:read" from Member: "See runs of workflows and their journals.";
    RunsUpdate "runs:update" from Developer: "Start, signal, cancel, retry and fork runs.";
    WebhooksRead "webhooks:read" from Developer: "See webhook endpoints, what was sent to them, and sources.";
    WebhooksUpdate "webhooks:update" from Developer: "Make, change, try and remove webhook endpoints and sources.";
    AuditRead "audit:read" from Admin: "Read and export the audit trail.";
    ProvidersRead "providers:read" from Admin: "See who vouches for accounts.";
    ProvidersUpdate "providers:update" from Admin, fixed: "Change who vouches for accounts.";
    PlanRead "plan:read" from Viewer: "See the plan, its limits and the usage.";
    CreditsRead "credits:read" from Viewer: "See the ledger of credits.";
}

impl Permission {
    const fn bit(self) -> u64 {
        1 << (self as u32)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|permission| permission.name() == text)
            .ok_or_else(|| format!("there is no permission \"{text}\""))
    }
}

stoa_kernel::text_field!(Permission);

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Permissions(u64);

impl Permissions {
    /// Those of a role, with what the organization grants it (`true`) or takes from it (`false`). Nobody takes anything from owners.
    #[must_use]
    pub fn of(role: Role, grants: impl IntoIterator<Item = (Permission, bool)>) -> Self {
        let own = Permission::ALL.iter().copied().filter(|permission| role >= permission.from());
        let mut set: Self = own.collect();
        for (permission, is_allowed) in grants {
            match is_allowed {
                _ if role == Role::Owner || !permission.is_grantable() => {}
                true => set.0 |= permission.bit(),
                false => set.0 &= !permission.bit(),
            }
        }
        set
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// What both have.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Everything in the set.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.has(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | permission.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_role_has_everything_that_a_weaker_one_has() {
        const { assert!(Permission::ALL.len() <= 64) };
        for pair in Role::ALL.windows(2) {
            let (weak, strong) = (Permissions::of(pair[0], []), Permissions::of(pair[1], []));
            assert_eq!(weak.both(strong), weak);
        }
        assert_eq!(Permissions::of(Role::Owner, []).iter().count(), Permission::ALL.len());
    }

    #[test]
    fn grants_change_a_role_but_never_what_is_fixed_and_never_an_owner() {
        let changed =
            Permissions::of(Role::Viewer, [(Permission::AuditRead, true), (Permission::PlanRead, false)]);
        assert!(changed.has(Permission::AuditRead) && !changed.has(Permission::PlanRead));
        assert!(
            !Permissions::of(Role::Viewer, [(Permission::GrantsUpdate, true)]).has(Permission::GrantsUpdate)
        );
        assert!(
            Permissions::of(Role::Guest, [(Permission::OrganizationRead, false)])
                .has(Permission::OrganizationRead)
        );
        assert!(Permissions::of(Role::Owner, [(Permission::AuditRead, false)]).has(Permission::AuditRead));
    }

    #[test]
    fn names_read_back() {
        assert!(Permission::ALL.iter().all(|permission| permission.name().parse() == Ok(*permission)));
        assert!(Role::ALL.iter().all(|role| role.name().parse() == Ok(*role)));
    }
}
