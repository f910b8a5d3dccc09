//! What travels with a request or a job: who, for whom, under which trace, until when.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Micros};
use crate::id::{ApiKeyId, OrganizationId, RequestId, UserId};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    User(UserId),
    /// A program with a key.
    ApiKey(ApiKeyId),
    /// Stoa itself: schedules, reconcilers, the command line without an account.
    System,
}

/// A W3C Trace Context parent, `00-{trace}-{span}-{flags}` (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// The header is not a version-00 `traceparent` with non-zero ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a W3C traceparent: 00-<32 hex>-<16 hex>-<2 hex>, ids not zero")]
pub struct ParseTraceParentError;

impl TraceParent {
    /// A parent with these ids; `None` when either is zero, which the standard forbids.
    #[must_use]
    pub const fn new(trace: u128, span: u64, sampled: bool) -> Option<Self> {
        if trace == 0 || span == 0 { None } else { Some(Self { trace, span, flags: sampled as u8 }) }
    }

    /// The id of the span that called.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.span
    }

    /// Whether the caller records this trace.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// The trace id: what an error shows, and what the logs are searched for.
    #[must_use]
    pub const fn trace(self) -> u128 {
        self.trace
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    fn from_str(header: &str) -> Result<Self, Self::Err> {
        let lower_hex = |part: &str, width: usize| {
            part.len() == width && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = header.split('-');
        let (Some("00"), Some(trace), Some(span), Some(flags), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseTraceParentError);
        };
        if !(lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2)) {
            return Err(ParseTraceParentError);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| ParseTraceParentError)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| ParseTraceParentError)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| ParseTraceParentError)?;
        if trace == 0 || span == 0 {
            return Err(ParseTraceParentError);
        }
        Ok(Self { trace, span, flags })
    }
}

impl Serialize for TraceParent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let header = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        header.parse().map_err(serde::de::Error::custom)
    }
}

/// Whose records a piece of work may reach. There is no third way, and none without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Scope {
    /// Those of one organization.
    Organization(OrganizationId),
    /// Those of the installation and of every organization. For the few places that serve the installation; each is listed in
    /// `ARCHITECTURE.md`.
    System,
}

impl Scope {
    /// The organization, as records and logs name it; 0 stands for the installation.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Organization(id) => id.to_i64(),
            Self::System => 0,
        }
    }

    /// The organization, if it is the scope of one.
    #[must_use]
    pub const fn organization(self) -> Option<OrganizationId> {
        match self {
            Self::Organization(id) => Some(id),
            Self::System => None,
        }
    }
}

/// The context of one piece of work. Passed explicitly, serialized into jobs and events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Whom it is done for.
    pub scope: Scope,
    /// Who asked for it.
    pub actor: Actor,
    /// The request that it began with.
    pub request: RequestId,
    /// The trace that it is part of, if the caller sent one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<TraceParent>,
    /// When an answer is of no use any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline: Option<Micros>,
}

impl Actor {
    /// `user:usr_…`, `key:key_…` or `system`: how records name an actor.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::User(id) => format!("user:{id}"),
            Self::ApiKey(id) => format!("key:{id}"),
            Self::System => "system".to_owned(),
        }
    }
}

impl Context {
    /// The same work, for another organization or for the installation.
    #[must_use]
    pub fn within(&self, scope: Scope) -> Self {
        Self { scope, ..self.clone() }
    }

    /// Microseconds left until the deadline: zero when it has passed, `None` when there is none.
    #[must_use]
    pub fn remaining(&self, clock: &dyn Clock) -> Option<i64> {
        self.deadline.map(|deadline| deadline.since(clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Manual;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_context_survives_being_sent(
            organization in 0u64..1 << 63, user in 0u64..1 << 63, trace in 1u128.., span in 1u64.., deadline in any::<Option<i64>>()
        ) {
            let context = Context {
                scope: Scope::Organization(OrganizationId::from_raw(organization).unwrap()),
                actor: Actor::User(UserId::from_raw(user).unwrap()),
                request: RequestId::from_raw(1).unwrap(),
                trace: TraceParent::new(trace, span, true),
                deadline: deadline.map(Micros),
            };
            let sent = serde_json::to_string(&context).unwrap();
            prop_assert_eq!(serde_json::from_str::<Context>(&sent).unwrap(), context);
        }
    }

    #[test]
    fn a_malformed_traceparent_is_refused() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(good.parse::<TraceParent>().unwrap().to_string(), good);
        for bad in
            ["", "00-0-0-01", &good.to_uppercase(), &good.replace("00f067aa0ba902b7", "0000000000000000")]
        {
            assert_eq!(bad.parse::<TraceParent>(), Err(ParseTraceParentError), "{bad}");
        }
    }

    #[test]
    fn a_passed_deadline_leaves_nothing() {
        let context = Context {
            scope: Scope::System,
            actor: Actor::System,
            request: RequestId::from_raw(1).unwrap(),
            trace: None,
            deadline: Some(Micros(10)),
        };
        assert_eq!(context.remaining(&Manual::at(Micros(4))), Some(6));
        assert_eq!(context.remaining(&Manual::at(Micros(11))), Some(0));
    }
}
