//! Ids: 64-bit snowflakes, one type for each kind of thing, written as `usr_01j9x…`.
//!
//! ```text
//!  63 62                                     22 21        12 11          0
//! ┌──┬─────────────────────────────────────────┬────────────┬─────────────┐
//! │0 │ milliseconds since 2024-01-01T00:00:00Z │ node 0–1023│ seq 0–4095  │
//! └──┴─────────────────────────────────────────┴────────────┴─────────────┘
//! ```
//!
//! Text form: the type's prefix, `_`, and 13 lower-case Crockford base-32 digits
//! (<https://www.crockford.com/base32.html>). A bare decimal number is accepted on input.
//! An id is identity, never order across nodes.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use crate::clock::Clock;

/// 2024-01-01T00:00:00Z in milliseconds since the Unix epoch.
pub const EPOCH_MS: i64 = 1_704_067_200_000;
/// The number of node ids: 0 to 1023.
pub const NODES: u16 = 1 << 10;
/// Ids that one node can issue in one millisecond.
pub const IDS_PER_MS: u16 = 1 << 12;
/// The longest that [`Generator`] runs ahead of its clock before it refuses, in milliseconds.
pub const AHEAD_MS_MAX: i64 = 5;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_DIGITS: usize = 13;

/// A kind of thing that has ids of its own.
pub trait Kind: 'static {
    /// The prefix in the text form, without the underscore.
    const PREFIX: &'static str;
}

/// An id of a thing of kind `K`.
pub struct Id<K: Kind> {
    raw: u64,
    kind: PhantomData<fn() -> K>,
}

/// Why a text is not an id of the expected kind. Code `invalid_id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The prefix belongs to another kind.
    #[error("expected an id that starts with \"{expected}_\", got \"{found}_\"")]
    WrongPrefix {
        /// The prefix that this place takes.
        expected: &'static str,
        /// The prefix that was given.
        found: String,
    },
    /// The digits are not 13 Crockford digits of a 63-bit number, nor a decimal one.
    #[error("expected \"{expected}_\" and 13 Crockford base-32 digits")]
    Malformed {
        /// The prefix that this place takes.
        expected: &'static str,
    },
}

impl<K: Kind> Id<K> {
    /// The id of nothing: what stands where none could be issued.
    pub const NONE: Self = Self { raw: 0, kind: PhantomData };

    /// The id with these bits; `None` when the top bit is set (an id is a positive 64-bit integer).
    #[must_use]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        if raw >> 63 == 0 { Some(Self { raw, kind: PhantomData }) } else { None }
    }

    /// The 64 bits, as stored.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.raw
    }

    /// The bits as databases keep them: an id is never negative.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.raw.cast_signed()
    }

    /// When the id was issued, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn issued_ms(self) -> i64 {
        i64::try_from(self.raw >> 22).unwrap_or(i64::MAX).saturating_add(EPOCH_MS)
    }

    /// The node that issued it, 0 to 1023.
    #[must_use]
    pub const fn node(self) -> u16 {
        ((self.raw >> 12) & 0x3FF) as u16
    }
}

/// Writes `raw` as 13 Crockford digits, most significant first.
#[must_use]
pub fn crockford(raw: u64) -> String {
    (0..TEXT_DIGITS)
        .rev()
        .map(|digit| {
            let index = usize::try_from((raw >> (5 * digit)) & 31).unwrap_or(0);
            DIGITS.get(index).map_or('0', |&byte| char::from(byte))
        })
        .collect()
}

/// Reads Crockford digits: any case, `i`/`l` as 1, `o` as 0. `None` for anything else or more than 64 bits.
#[must_use]
pub fn parse_crockford(text: &str) -> Option<u64> {
    if text.len() != TEXT_DIGITS {
        return None;
    }
    text.bytes().try_fold(0u64, |value, byte| {
        let digit = match byte.to_ascii_lowercase() {
            b'i' | b'l' => 1,
            b'o' => 0,
            other => DIGITS.iter().position(|&known| known == other)?,
        };
        value.checked_mul(32)?.checked_add(u64::try_from(digit).ok()?)
    })
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, crockford(self.raw))
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = ParseIdError::Malformed { expected: K::PREFIX };
        let raw = match text.rsplit_once('_') {
            Some((prefix, _)) if prefix != K::PREFIX => {
                return Err(ParseIdError::WrongPrefix { expected: K::PREFIX, found: prefix.to_owned() });
            }
            Some((_, digits)) => parse_crockford(digits),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        raw.and_then(Self::from_raw).ok_or(malformed)
    }
}

impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.raw.cmp(&other.raw)
    }
}
impl<K: Kind> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: Kind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: Kind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Declares the kinds of id: the one registry of prefixes.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $alias:ident, $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $kind {}
            impl Kind for $kind { const PREFIX: &'static str = $prefix; }
            $(#[$doc])*
            pub type $alias = Id<$kind>;
        )*
        /// Every prefix, in the order of declaration.
        pub const PREFIXES: &[&str] = &[$($prefix),*];
    };
}

kinds! {
    /// The tenant.
    Organization, OrganizationId, "org";
    /// A person, global to the installation.
    User, UserId, "usr";
    /// A key that a program signs in with.
    ApiKey, ApiKeyId, "key";
    /// One request or job, for finding it in the logs.
    Request, RequestId, "req";
    /// A fact in the event log.
    EventRecord, EventId, "evt";
    /// An entry of the audit trail.
    AuditEntry, AuditId, "aud";
    /// One unit of background work.
    Job, JobId, "job";
    /// A configured pair of sources plus rules.
    Reconciliation, ReconciliationId, "rec";
    /// One run of a reconciliation.
    Execution, ExecutionId, "exe";
    /// A signed-in device.
    Session, SessionId, "ses";
    /// A user in an organization.
    Member, MemberId, "mem";
    /// An offer to register, or to join an organization.
    Invitation, InvitationId, "inv";
    /// A grant or a refusal of one permission to a role.
    Grant, GrantId, "grt";
    /// A passkey, an authenticator app, a recovery code.
    Factor, FactorId, "fct";
    /// A secret that works once: links in mail, challenges, the state of a flow.
    Ticket, TicketId, "tkt";
    /// An account elsewhere that a user signs in with.
    Link, LinkId, "lnk";
    /// Who vouches for accounts: an issuer of OpenID Connect, or GitHub.
    Provider, ProviderId, "idp";
    /// A key that signs access tokens.
    SigningKey, SigningKeyId, "sig";
    /// A feature flag of an organization.
    Flag, FlagId, "flg";
    /// An entry of an organization's ledger of credits.
    Credit, CreditId, "crd";
    /// Something that a user is told.
    Notification, NotificationId, "ntf";
    /// A notification on its way out of the application.
    NotificationDelivery, NotificationDeliveryId, "ntd";
    /// Where an organization has its events sent.
    WebhookEndpoint, WebhookEndpointId, "whe";
    /// An event on its way to an endpoint.
    WebhookDelivery, WebhookDeliveryId, "whd";
    /// One attempt of a delivery.
    WebhookAttempt, WebhookAttemptId, "wha";
    /// From where an organization takes webhooks of others.
    HookSource, HookSourceId, "hks";
    /// A webhook of somebody else.
    Hook, HookId, "hok";
    /// One execution of a workflow.
    Run, RunId, "run";
    /// Something that a run is told.
    Signal, SignalId, "sgn";
    /// What enqueues jobs by the clock.
    Schedule, ScheduleId, "sch";
}

/// Why no id could be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The clock is further behind the last id than ids may run ahead of it.
    #[error("the clock is {behind_ms} ms behind the last id issued; the most allowed is {AHEAD_MS_MAX} ms")]
    ClockBehind {
        /// How far behind, in milliseconds.
        behind_ms: i64,
    },
    /// The clock shows a time before 2024 or after 2093, which 41 bits of milliseconds cannot hold.
    #[error("the clock shows a time that an id cannot hold (2024 to 2093)")]
    ClockOutOfRange,
    /// The process holds no node id at the moment.
    #[error("this process holds no node id")]
    NoNode,
    /// Node ids are 0 to 1023.
    #[error("node ids are 0 to 1023, got {0}")]
    NodeOutOfRange(u16),
}

/// Issues the ids of one node: never the same twice, always increasing.
///
/// When the clock steps back or a millisecond is used up, it keeps counting from the last millisecond that it used,
/// at most [`AHEAD_MS_MAX`] ahead of the clock; past that it refuses, and readiness reports it. It never waits.
#[derive(Debug)]
pub struct Generator {
    node: u16,
    last_ms: i64,
    sequence: u16,
}

impl Generator {
    /// A generator for `node`, which no other live process may hold.
    ///
    /// # Errors
    /// [`IssueError::NodeOutOfRange`] for a node above 1023.
    pub const fn for_node(node: u16) -> Result<Self, IssueError> {
        if node < NODES {
            Ok(Self { node, last_ms: -1, sequence: IDS_PER_MS - 1 })
        } else {
            Err(IssueError::NodeOutOfRange(node))
        }
    }

    /// The next id.
    ///
    /// # Errors
    /// [`IssueError::ClockBehind`], [`IssueError::ClockOutOfRange`].
    pub fn issue<K: Kind>(&mut self, clock: &dyn Clock) -> Result<Id<K>, IssueError> {
        let now_ms = clock.now().millis() - EPOCH_MS;
        if !(0..1 << 41).contains(&now_ms) {
            return Err(IssueError::ClockOutOfRange);
        }
        let (ms, sequence) = if now_ms > self.last_ms {
            (now_ms, 0)
        } else if self.sequence + 1 < IDS_PER_MS {
            (self.last_ms, self.sequence + 1)
        } else {
            (self.last_ms + 1, 0)
        };
        if ms - now_ms > AHEAD_MS_MAX {
            return Err(IssueError::ClockBehind { behind_ms: ms - now_ms });
        }
        let high = u64::try_from(ms).map_err(|_| IssueError::ClockOutOfRange)?;
        let raw = (high << 22) | (u64::from(self.node) << 12) | u64::from(sequence);
        let id = Id::from_raw(raw).ok_or(IssueError::ClockOutOfRange)?;
        (self.last_ms, self.sequence) = (ms, sequence);
        Ok(id)
    }
}

/// The port through which code obtains new ids.
pub trait Ids: Send + Sync {
    /// The next 63 bits; wrap them with [`Id::from_raw`] or use `next` of `dyn Ids`.
    ///
    /// # Errors
    /// As [`Generator::issue`].
    fn next_raw(&self) -> Result<u64, IssueError>;
}

impl dyn Ids + '_ {
    /// A new id of kind `K`.
    ///
    /// # Errors
    /// As [`Generator::issue`].
    pub fn next<K: Kind>(&self) -> Result<Id<K>, IssueError> {
        Id::from_raw(self.next_raw()?).ok_or(IssueError::ClockOutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Manual, Micros};
    use proptest::prelude::*;

    fn clock() -> Manual {
        Manual::at(Micros((EPOCH_MS + 1_000) * 1_000))
    }

    proptest! {
        #[test]
        fn an_id_reads_back_from_both_of_its_forms(raw in 0u64..1 << 63) {
            let id = UserId::from_raw(raw).unwrap();
            prop_assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
            prop_assert_eq!(raw.to_string().parse::<UserId>(), Ok(id));
            prop_assert_eq!(serde_json::from_str::<UserId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".{0,24}") {
            let _ = text.parse::<UserId>();
        }

        #[test]
        fn ids_of_a_node_increase_even_when_the_clock_steps_back(steps in prop::collection::vec(-3_000i64..3_000, 1..500)) {
            let clock = clock();
            let mut generator = Generator::for_node(7).unwrap();
            let mut last = None;
            for step in steps {
                clock.advance(step);
                if let Ok(id) = generator.issue::<User>(&clock) {
                    prop_assert!(last.is_none_or(|last| id > last));
                    prop_assert_eq!(id.node(), 7);
                    last = Some(id);
                }
            }
        }
    }

    #[test]
    fn a_wrong_prefix_says_which_one_was_expected() {
        let organization = OrganizationId::from_raw(5).unwrap().to_string();
        let error = organization.parse::<UserId>().unwrap_err();
        assert_eq!(error.to_string(), "expected an id that starts with \"usr_\", got \"org_\"");
    }

    #[test]
    fn a_millisecond_holds_4096_ids_and_the_next_ones_run_ahead_at_most_5_ms() {
        let clock = clock();
        let mut generator = Generator::for_node(0).unwrap();
        let issued = std::iter::from_fn(|| generator.issue::<User>(&clock).ok()).count();
        assert_eq!(issued, usize::from(IDS_PER_MS) * 6);
        assert!(matches!(generator.issue::<User>(&clock), Err(IssueError::ClockBehind { behind_ms: 6 })));
    }

    #[test]
    fn prefixes_are_unique_and_nodes_are_bounded() {
        let mut prefixes = PREFIXES.to_vec();
        prefixes.sort_unstable();
        prefixes.dedup();
        assert_eq!(prefixes.len(), PREFIXES.len());
        assert_eq!(Generator::for_node(1024).unwrap_err(), IssueError::NodeOutOfRange(1024));
    }
}
