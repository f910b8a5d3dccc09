//! What each operation needs: one table, held by a middleware before any of them runs. What is not in the table is refused.
//!
//! The document of the API, the page of permissions and the matrix that is tested are made from it.

use axum::http::Method;
use stoa_identity::access::Permission;

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody. Credentials are not looked at.
    Anyone,
    /// Whoever has signed in, also while a second factor is missing.
    Pending,
    /// Whoever has signed in.
    Person,
    /// Whoever has signed in, and whoever runs the installation.
    PersonOrInstallation,
    /// Whoever shows any credential that is good.
    Known,
    /// Whoever has the permission in the organization that the request is about.
    Member(Permission),
    /// The same, and whoever runs the installation.
    MemberOrInstallation(Permission),
    /// Whoever runs the installation: its owner, and the operator token.
    Installation,
}

/// What an operation needs.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// How it is called.
    pub method: &'static str,
    /// Where.
    pub path: &'static str,
    /// By whom.
    pub who: Who,
    /// Whether they must have shown who they are within the last ten minutes. Programs with keys cannot.
    pub is_fresh: bool,
    /// Whether it is tried by those who guess: attempts of an address are counted, and refused while nobody can count.
    pub is_attempt: bool,
}

macro_rules! rules {
    ($($method:ident $path:literal $who:expr $(, $flag:ident)*;)*) => {
        /// The table.
        pub const RULES: &[Rule] = &[$(rules!(@ Rule { method: stringify!($method), path: $path, who: $who, is_fresh: false, is_attempt: false } $(, $flag)*)),*];
    };
    (@ $rule:expr) => { $rule };
    (@ $rule:expr, fresh) => { Rule { is_fresh: true, ..$rule } };
    (@ $rule:expr, attempt) => { Rule { is_attempt: true, ..$rule } };
}

use Permission as P;
use Who::{Anyone, Installation, Known, Member, MemberOrInstallation, Pending, Person, PersonOrInstallation};

rules! {
    GET "/.well-known/jwks.json" Anyone;

    POST "/v1/auth/setup" Anyone, attempt;
    POST "/v1/auth/register" Anyone, attempt;
    POST "/v1/auth/verify-email" Anyone, attempt;
    POST "/v1/auth/verify-email/resend" Anyone, attempt;
    POST "/v1/auth/sign-in" Anyone, attempt;
    POST "/v1/auth/magic-link" Anyone, attempt;
    POST "/v1/auth/magic-link/exchange" Anyone, attempt;
    POST "/v1/auth/password/forgot" Anyone, attempt;
    POST "/v1/auth/password/reset" Anyone, attempt;
    POST "/v1/auth/email/confirm" Anyone, attempt;
    POST "/v1/auth/refresh" Anyone;
    POST "/v1/auth/sign-out" Anyone;
    POST "/v1/auth/passkey/options" Anyone;
    POST "/v1/auth/passkey" Anyone;
    POST "/v1/auth/mfa/code" Pending, attempt;
    POST "/v1/auth/mfa/passkey/options" Pending;
    POST "/v1/auth/mfa/passkey" Pending;
    POST "/v1/auth/reauthenticate" Person, attempt;
    GET "/v1/auth/providers" Anyone;
    GET "/v1/auth/providers/{provider}/start" Anyone, attempt;
    GET "/v1/auth/callback" Anyone, attempt;
    POST "/v1/auth/callback" Anyone, attempt;
    POST "/v1/auth/device" Anyone, attempt;
    POST "/v1/auth/device/token" Anyone;
    POST "/v1/auth/device/look" Person, attempt;
    POST "/v1/auth/device/approve" Person, attempt;
    POST "/v1/auth/device/deny" Person, attempt;
    POST "/v1/auth/invitation" Anyone, attempt;
    POST "/v1/auth/invitation/accept" Person, attempt;
    POST "/v1/auth/invitation/decline" Anyone, attempt;

    GET "/v1/me" Person;
    PATCH "/v1/me" Person;
    POST "/v1/me/password" Person, fresh;
    POST "/v1/me/email" Person, fresh;
    GET "/v1/me/sessions" Person;
    DELETE "/v1/me/sessions" Person;
    DELETE "/v1/me/sessions/{session}" Person;
    GET "/v1/me/factors" Person;
    POST "/v1/me/totp" Person, fresh;
    POST "/v1/me/totp/confirm" Person, attempt;
    POST "/v1/me/totp/disable" Person, fresh;
    POST "/v1/me/recovery-codes" Person, fresh;
    POST "/v1/me/passkeys/options" Person, fresh;
    POST "/v1/me/passkeys" Person;
    PATCH "/v1/me/passkeys/{passkey}" Person;
    DELETE "/v1/me/passkeys/{passkey}" Person, fresh;
    GET "/v1/me/links" Person;
    POST "/v1/me/links" Person, fresh;
    DELETE "/v1/me/links/{link}" Person, fresh;
    GET "/v1/me/organizations" Person;
    POST "/v1/me/organization" Person;
    GET "/v1/me/audit" Person;

    GET "/v1/organizations" Installation;
    POST "/v1/organizations" PersonOrInstallation;
    GET "/v1/organizations/{organization}" MemberOrInstallation(P::OrganizationRead);
    PATCH "/v1/organizations/{organization}" MemberOrInstallation(P::OrganizationUpdate);
    POST "/v1/organizations/{organization}/suspend" Installation;
    POST "/v1/organizations/{organization}/resume" Installation;
    POST "/v1/organizations/{organization}/archive" MemberOrInstallation(P::OrganizationArchive);
    POST "/v1/organizations/{organization}/purge" MemberOrInstallation(P::OrganizationPurge), fresh;
    POST "/v1/organizations/{organization}/transfer" Member(P::OrganizationTransfer), fresh;
    POST "/v1/organizations/{organization}/leave" Member(P::OrganizationRead);
    PUT "/v1/organizations/{organization}/plan" Installation;
    POST "/v1/organizations/{organization}/credits" Installation;

    GET "/v1/members" Member(P::MembersRead);
    GET "/v1/members/{member}" Member(P::MembersRead);
    PATCH "/v1/members/{member}" Member(P::MembersUpdate);
    DELETE "/v1/members/{member}" Member(P::MembersRemove);
    GET "/v1/members/{member}/sessions" Member(P::SessionsRead);
    DELETE "/v1/members/{member}/sessions" Member(P::SessionsRevoke);
    GET "/v1/invitations" MemberOrInstallation(P::MembersInvite);
    POST "/v1/invitations" MemberOrInstallation(P::MembersInvite);
    POST "/v1/invitations/{invitation}/resend" MemberOrInstallation(P::MembersInvite);
    DELETE "/v1/invitations/{invitation}" MemberOrInstallation(P::MembersInvite);
    GET "/v1/roles" Member(P::GrantsRead);
    PUT "/v1/roles/{role}/permissions/{permission}" Member(P::GrantsUpdate);
    GET "/v1/api-keys" Member(P::ApiKeysRead);
    POST "/v1/api-keys" Member(P::ApiKeysCreate), fresh;
    GET "/v1/api-keys/{key}" Member(P::ApiKeysRead);
    POST "/v1/api-keys/{key}/rotate" Member(P::ApiKeysCreate), fresh;
    DELETE "/v1/api-keys/{key}" Member(P::ApiKeysCreate);
    GET "/v1/flags" Member(P::FlagsRead);
    PUT "/v1/flags/{flag}" Member(P::FlagsUpdate);
    DELETE "/v1/flags/{flag}" Member(P::FlagsUpdate);
    GET "/v1/plan" MemberOrInstallation(P::PlanRead);
    GET "/v1/credits" MemberOrInstallation(P::CreditsRead);
    GET "/v1/audit" MemberOrInstallation(P::AuditRead);
    GET "/v1/audit/export" MemberOrInstallation(P::AuditRead), fresh;
    GET "/v1/audit/verify" MemberOrInstallation(P::AuditRead);
    GET "/v1/identity-providers" Member(P::ProvidersRead);
    POST "/v1/identity-providers" Member(P::ProvidersUpdate), fresh;
    PATCH "/v1/identity-providers/{provider}" Member(P::ProvidersUpdate), fresh;
    DELETE "/v1/identity-providers/{provider}" Member(P::ProvidersUpdate), fresh;

    GET "/v1/events" MemberOrInstallation(P::EventsRead);
    GET "/v1/events/activity" MemberOrInstallation(P::EventsRead);
    GET "/v1/events/stream" MemberOrInstallation(P::EventsRead);
    GET "/v1/event-types" Anyone;

    GET "/v1/job-kinds" Known;
    GET "/v1/jobs" MemberOrInstallation(P::JobsRead);
    POST "/v1/jobs" MemberOrInstallation(P::JobsSubmit);
    GET "/v1/jobs/{job}" MemberOrInstallation(P::JobsRead);
    GET "/v1/jobs/{job}/stream" MemberOrInstallation(P::JobsRead);
    POST "/v1/jobs/{job}/cancel" MemberOrInstallation(P::JobsUpdate);
    POST "/v1/jobs/{job}/replay" MemberOrInstallation(P::JobsUpdate);
    DELETE "/v1/jobs/{job}" MemberOrInstallation(P::JobsUpdate);
    GET "/v1/job-batches/{batch}" MemberOrInstallation(P::JobsRead);
    GET "/v1/dead-letters" MemberOrInstallation(P::JobsRead);
    POST "/v1/dead-letters/replay" MemberOrInstallation(P::JobsUpdate);
    POST "/v1/dead-letters/discard" MemberOrInstallation(P::JobsUpdate);
    GET "/v1/admin/queues" Installation;
    PATCH "/v1/admin/queues/{queue}" Installation;
    POST "/v1/admin/queues/{queue}/drain" Installation;

    GET "/v1/schedules" MemberOrInstallation(P::SchedulesRead);
    POST "/v1/schedules" MemberOrInstallation(P::SchedulesUpdate);
    POST "/v1/schedules/preview" MemberOrInstallation(P::SchedulesRead);
    GET "/v1/schedules/{schedule}" MemberOrInstallation(P::SchedulesRead);
    PATCH "/v1/schedules/{schedule}" MemberOrInstallation(P::SchedulesUpdate);
    DELETE "/v1/schedules/{schedule}" MemberOrInstallation(P::SchedulesUpdate);
    GET "/v1/schedules/{schedule}/preview" MemberOrInstallation(P::SchedulesRead);
    POST "/v1/schedules/{schedule}/run" MemberOrInstallation(P::SchedulesUpdate);

    GET "/v1/workflows" Known;
    GET "/v1/runs" MemberOrInstallation(P::RunsRead);
    POST "/v1/runs" MemberOrInstallation(P::RunsUpdate);
    GET "/v1/runs/{run}" MemberOrInstallation(P::RunsRead);
    POST "/v1/runs/{run}/cancel" MemberOrInstallation(P::RunsUpdate);
    POST "/v1/runs/{run}/retry" MemberOrInstallation(P::RunsUpdate);
    POST "/v1/runs/{run}/fork" MemberOrInstallation(P::RunsUpdate);
    POST "/v1/runs/{run}/signals" MemberOrInstallation(P::RunsUpdate);

    GET "/v1/webhooks" MemberOrInstallation(P::WebhooksRead);
    POST "/v1/webhooks" MemberOrInstallation(P::WebhooksUpdate);
    GET "/v1/webhooks/{webhook}" MemberOrInstallation(P::WebhooksRead);
    PATCH "/v1/webhooks/{webhook}" MemberOrInstallation(P::WebhooksUpdate);
    DELETE "/v1/webhooks/{webhook}" MemberOrInstallation(P::WebhooksUpdate);
    POST "/v1/webhooks/{webhook}/rotate-secret" MemberOrInstallation(P::WebhooksUpdate);
    POST "/v1/webhooks/{webhook}/test" MemberOrInstallation(P::WebhooksUpdate);
    POST "/v1/webhooks/{webhook}/replay" MemberOrInstallation(P::WebhooksUpdate);
    GET "/v1/webhooks/{webhook}/deliveries" MemberOrInstallation(P::WebhooksRead);
    GET "/v1/webhook-deliveries/{delivery}" MemberOrInstallation(P::WebhooksRead);
    POST "/v1/webhook-deliveries/{delivery}/resend" MemberOrInstallation(P::WebhooksUpdate);
    GET "/v1/hook-sources" MemberOrInstallation(P::WebhooksRead);
    POST "/v1/hook-sources" MemberOrInstallation(P::WebhooksUpdate);
    DELETE "/v1/hook-sources/{source}" MemberOrInstallation(P::WebhooksUpdate);
    POST "/v1/hooks/{source}" Anyone;
    GET "/v1/received-hooks/{hook}" MemberOrInstallation(P::WebhooksRead);

    GET "/v1/notifications" Person;
    GET "/v1/notifications/unread-count" Person;
    GET "/v1/notifications/stream" Person;
    POST "/v1/notifications/read-all" Person;
    POST "/v1/notifications/{notification}/read" Person;
    GET "/v1/notifications/settings" Person;
    PATCH "/v1/notifications/settings" Person;
    GET "/v1/notifications/preferences" Person;
    PUT "/v1/notifications/preferences/{template}/{channel}" Person;

    POST "/v1/telemetry/{signal}" Known;
    GET "/v1/privacy/registry" Installation;

    GET "/v1/admin/consumers" Installation;
    GET "/v1/admin/database" Installation;
    GET "/v1/admin/projections" Installation;
    POST "/v1/admin/projections/{projection}/rebuild" Installation;
    POST "/v1/admin/keys/rotate" Installation;
    POST "/v1/admin/signing-keys/rotate" Installation;
    GET "/v1/admin/notifications" Installation;
    POST "/v1/admin/notifications/{delivery}/replay" Installation;
    GET "/v1/admin/users" Installation;
    GET "/v1/admin/users/{user}" Installation;
    POST "/v1/admin/users/{user}/suspend" Installation;
    POST "/v1/admin/users/{user}/resume" Installation;
    POST "/v1/admin/users/{user}/reset-factors" Installation, fresh;
    GET "/v1/admin/invitations" Installation;
    POST "/v1/admin/invitations" Installation;
    DELETE "/v1/admin/invitations/{invitation}" Installation;
    GET "/v1/admin/identity-providers" Installation;
    POST "/v1/admin/identity-providers" Installation, fresh;
    PATCH "/v1/admin/identity-providers/{provider}" Installation, fresh;
    DELETE "/v1/admin/identity-providers/{provider}" Installation, fresh;
    GET "/v1/admin/audit" Installation;
    GET "/v1/admin/audit/verify" Installation;
}

/// What the operation at `path`, as it is registered, needs.
#[must_use]
pub fn rule(method: &Method, path: &str) -> Option<&'static Rule> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    RULES.iter().find(|rule| rule.method == method && rule.path == path)
}

impl Who {
    /// The permission that it names.
    #[must_use]
    pub const fn permission(self) -> Option<Permission> {
        match self {
            Self::Member(permission) | Self::MemberOrInstallation(permission) => Some(permission),
            _ => None,
        }
    }

    /// In words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Anyone => "anybody",
            Self::Pending => "whoever has signed in, also while a second factor is missing",
            Self::Person => "whoever has signed in",
            Self::PersonOrInstallation => "whoever has signed in, or runs the installation",
            Self::Known => "any credential that is good",
            Self::Member(_) => "members and keys with the permission",
            Self::MemberOrInstallation(_) => {
                "members and keys with the permission, or whoever runs the installation"
            }
            Self::Installation => "whoever runs the installation",
        }
    }
}
