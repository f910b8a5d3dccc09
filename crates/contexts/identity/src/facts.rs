//! What happens to users, sessions, members and what belongs to them. Payloads name people by id alone.

use schemars::JsonSchema;
use serde::Serialize;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Aggregate, Event, EventType};

fn schema<T: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}

macro_rules! facts {
    ($($event:ident $name:literal { $($field:ident: $about_field:literal),* }: $about:literal;)*) => {
        $(
            #[doc = $about]
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct $event {
                /// Its id.
                pub id: String,
                $(#[doc = $about_field] pub $field: String,)*
                /// Whose it is, where it is an organization's.
                #[serde(skip)]
                pub organization: Option<OrganizationId>,
            }

            impl Event for $event {
                const TYPE: EventType = EventType { name: $name, version: 1, about: $about, schema: schema::<$event> };

                fn aggregate(&self) -> Aggregate {
                    let kind = $name.split('.').next().unwrap_or_default();
                    Aggregate { kind: kind.to_owned(), id: self.id.clone(), version: None }
                }

                fn organization(&self) -> Option<OrganizationId> {
                    self.organization
                }
            }
        )*
        /// The types of these events.
        pub const EVENT_TYPES: &[EventType] = &[$($event::TYPE),*];
    };
}

facts! {
    UserRegistered "user.registered" {}: "Somebody registered.";
    UserVerified "user.verified" {}: "A user showed that their address is theirs.";
    UserUpdated "user.updated" {}: "The name, address or state of a user changed.";
    PasswordChanged "user.password_changed" {}: "The password of a user changed.";
    FactorsChanged "user.factors_changed" { what: "What changed: authenticator, recovery_codes, passkey or link." }:
        "A way to sign in was added or removed.";
    SessionStarted "session.started" { user: "The user.", method: "How: pwd, hwk, link, oidc or device, and what came after it." }: "A user signed in.";
    SessionVerified "session.verified" { user: "The user." }: "A user showed again who they are.";
    SessionRevoked "session.revoked" { user: "The user.", reason: "Why: signed_out, revoked, reuse, factors or user." }:
        "A session ended before its time.";
    MemberJoined "member.joined" { user: "The user.", role: "Their role." }: "A user became a member of an organization.";
    MemberUpdated "member.updated" { user: "The user.", role: "Their role now." }: "The role of a member changed.";
    MemberLeft "member.left" { user: "The user." }: "A member left an organization, or was removed.";
    InvitationSent "invitation.sent" { role: "The role that is offered." }: "Somebody was invited.";
    InvitationEnded "invitation.ended" { state: "accepted, declined or revoked." }: "An invitation was accepted, declined or revoked.";
    GrantsChanged "grant.changed" { role: "The role.", permission: "The permission.", allowed: "true, false, or default." }:
        "A permission was given to a role, taken from it, or left to the table.";
    ApiKeyCreated "api_key.created" { user: "Who made it." }: "A key of a program was made.";
    ApiKeyChanged "api_key.changed" { what: "rotated or revoked." }: "A key of a program was rotated or revoked.";
    FlagChanged "flag.changed" { name: "Its name.", state: "on, off, removed, or a percentage." }: "A feature flag changed.";
    CreditsChanged "credit.changed" { amount: "What was added; less than zero when it was spent.", balance: "What is left." }:
        "Credits were granted or spent.";
    ProviderChanged "identity_provider.changed" { slug: "Its name in addresses." }: "Who vouches for accounts changed.";
}
