//! Who there is and who may do what: users and how they sign in, sessions, organizations with their members, roles, keys and flags.
//!
//! Commands read through the store's port, decide, and return what they decided; whoever called applies the commit. Where a refusal
//! itself must be remembered (a wrong password, a token that came twice), the command applies it.
//!
//! | start at | for |
//! |---|---|
//! | [`Identity`] | everything that can be done |
//! | [`access`] | the policy: roles, permissions |
//! | [`session`], [`keys`] | sessions, tokens, and what signs them |
//! | [`register`], [`sign_in`], [`factor`], [`passkey`], [`oidc`], [`device`] | coming in |
//! | [`organization`], [`member`], [`invitation`], [`grant`], [`api_key`], [`flag`], [`plan`], [`provider`] | organizations |
//! | [`directory`] | what a request needs to know of who asks |
//!
//! What it may not know: a database, a web framework, another context.
#![deny(missing_docs)]

pub mod access;
pub mod api_key;
pub mod device;
pub mod directory;
mod email;
mod error;
pub mod factor;
pub mod facts;
pub mod flag;
pub mod grant;
pub mod invitation;
mod jwt;
pub mod key_rotation;
pub mod keys;
pub mod member;
pub mod oidc;
mod opaque;
pub mod organization;
pub mod passkey;
pub mod password;
pub mod plan;
pub mod provider;
pub mod purge;
pub mod register;
mod service;
pub mod session;
pub mod sign_in;
mod ticket;
pub mod trail;
pub mod user;

pub use email::{Email, ParseEmailError};
pub use error::Error;
pub use opaque::Secret;
pub use organization::Organization;
pub use service::{Identity, Parts, Registration, Settings};
pub use user::User;

use stoa_kernel::store::{EventType, Record as _, RecordMeta};

/// The records of this context.
pub const RECORDS: &[&RecordMeta] = &[
    Organization::META,
    User::META,
    session::Session::META,
    ticket::Ticket::META,
    device::DeviceGrant::META,
    factor::Authenticator::META,
    factor::RecoveryCode::META,
    passkey::Passkey::META,
    provider::Link::META,
    keys::InstallationKey::META,
    member::Member::META,
    invitation::Invitation::META,
    grant::Grant::META,
    api_key::ApiKey::META,
    flag::Flag::META,
    plan::CreditEntry::META,
    provider::Provider::META,
];

/// The types of its events.
#[must_use]
pub fn event_types() -> Vec<EventType> {
    [organization::EVENT_TYPES, facts::EVENT_TYPES].concat()
}
