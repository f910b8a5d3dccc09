//! Tickets: secrets that work once. Links in mail, challenges of passkeys, the state of a sign-in elsewhere.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::{TicketId, UserId};
use stoa_kernel::store::{Commit, Json, Record};

use crate::Error;
use crate::opaque::{self, Secret, equal};
use crate::service::Identity;

const PREFIX: &str = "stoa_tkt";

/// A secret that works once.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "tickets", entity = "ticket", system, unaudited, expires = expires_at, retention = short)]
pub(crate) struct Ticket {
    #[record(key)]
    pub(crate) id: TicketId,
    #[record(plain, about = "what it is for")]
    pub(crate) kind: String,
    pub(crate) user_id: Option<UserId>,
    #[record(plain, about = "a hash of the secret")]
    pub(crate) hash: Vec<u8>,
    #[record(
        encrypted,
        plain,
        about = "what the flow must remember, which may be an address; gone when it is used"
    )]
    pub(crate) payload: Json<Value>,
    pub(crate) expires_at: Micros,
    pub(crate) created_at: Micros,
}

/// What a ticket is for, and how long it lasts, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) &'static str, i64);

const MINUTE_US: i64 = 60_000_000;

impl Kind {
    pub(crate) const SETUP: Self = Self("setup", 30 * 24 * 60 * MINUTE_US);
    pub(crate) const VERIFY_EMAIL: Self = Self("verify_email", 24 * 60 * MINUTE_US);
    pub(crate) const CHANGE_EMAIL: Self = Self("change_email", 60 * MINUTE_US);
    pub(crate) const RESET_PASSWORD: Self = Self("reset_password", 30 * MINUTE_US);
    pub(crate) const MAGIC_LINK: Self = Self("magic_link", 10 * MINUTE_US);
    pub(crate) const PASSKEY_REGISTRATION: Self = Self("passkey_registration", 5 * MINUTE_US);
    pub(crate) const PASSKEY_CHALLENGE: Self = Self("passkey_challenge", 5 * MINUTE_US);
    pub(crate) const PROVIDER: Self = Self("provider", 10 * MINUTE_US);
}

impl Ticket {
    /// What the flow remembered.
    pub(crate) fn payload<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_value(self.payload.0.clone()).map_err(|_| Error::LinkInvalid)
    }

    /// The user that it belongs to.
    pub(crate) fn user(&self) -> Result<UserId, Error> {
        self.user_id.ok_or(Error::LinkInvalid)
    }
}

impl Identity {
    /// A new ticket: its secret, and the commit that makes it good.
    pub(crate) fn ticket<T: Serialize>(
        &self,
        kind: Kind,
        user: Option<UserId>,
        payload: &T,
    ) -> Result<(Secret, Commit), Error> {
        let (id, now) = (self.ids.next()?, self.clock.now());
        let (secret, hash) = opaque::mint(self.entropy.as_ref(), PREFIX, id)?;
        let ticket = Ticket {
            id,
            kind: kind.0.to_owned(),
            user_id: user,
            hash: hash.to_vec(),
            payload: Json(serde_json::to_value(payload).unwrap_or_default()),
            expires_at: now.plus(kind.1),
            created_at: now,
        };
        Ok((secret, Commit::new().insert(&ticket)))
    }

    /// The ticket of a secret. Deleting it in the commit of what it allows burns it: of two, one is refused.
    pub(crate) async fn find_ticket(&self, cx: &Context, kind: Kind, secret: &str) -> Result<Ticket, Error> {
        let (id, hash) = opaque::read(PREFIX, secret).ok_or(Error::LinkInvalid)?;
        let found = self.store.find(cx, Ticket::select().eq(Ticket::ID, &id)).await?;
        found
            .filter(|ticket| ticket.kind == kind.0 && equal(&ticket.hash, &hash))
            .filter(|ticket| self.clock.now() < ticket.expires_at)
            .ok_or(Error::LinkInvalid)
    }

    /// Deletes the tickets of a user of some kinds: an address that changed, a password that was reset.
    pub(crate) async fn void_tickets(
        &self,
        cx: &Context,
        user: UserId,
        kinds: &[Kind],
    ) -> Result<Commit, Error> {
        let kinds: Vec<String> = kinds.iter().map(|kind| kind.0.to_owned()).collect();
        let query = Ticket::select().eq(Ticket::USER_ID, &Some(user)).is_in(Ticket::KIND, &kinds);
        let found = self.store.list(cx, query).await?;
        Ok(found.iter().fold(Commit::new(), Commit::delete))
    }
}

/// A ticket that somebody else has used meanwhile is over.
pub(crate) fn burned(error: Error) -> Error {
    match error {
        Error::Store(error) if error.is_by("tickets_pkey") || error.is_by("tickets_version") => {
            Error::LinkInvalid
        }
        other => other,
    }
}
