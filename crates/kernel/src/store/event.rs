//! Facts. The log is written by commits alone; it is also the outbox.
//!
//! An event belongs to a stream, where its **offset** is dense from 1. A stream has an **epoch**, which changes when it is rebuilt
//! or restored. The **position** is the total order of everything that has happened, in which readers follow without gaps.

use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::context::{Actor, TraceParent};
use crate::id::{EventId, OrganizationId};

/// The declaration of a type of event: one row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// `organization.created`: entity and past participle.
    pub name: &'static str,
    /// The version of the schema of its payload.
    pub version: u16,
    /// What it says has happened, in one sentence.
    pub about: &'static str,
    /// The JSON Schema of its payload.
    pub schema: fn() -> serde_json::Value,
}

/// The installation was restored from a backup. Whoever follows all of the log learns of it; whoever follows a part sees the new epochs
/// of its streams. No event before the restoration has had its position: see [`next_era`].
pub const RESTORED: EventType = EventType {
    name: "installation.restored",
    version: 1,
    about: "The installation was restored from a backup: what followers have seen after it may not have happened.",
    schema: || {
        serde_json::json!({
            "type": "object",
            "required": ["lastPosition"],
            "properties": {
                "lastPosition": {"type": "integer", "description": "The last position that the backup holds."}
            }
        })
    },
};

/// The stream of [`RESTORED`].
pub const INSTALLATION_STREAM: &str = "installation/0";

/// The first position after a restoration at `now`, of a log that goes up to `last`: the microseconds since 1970. Nothing that the
/// backup does not hold can have had it, nor what comes after it, unless more than a million events were told each second: a follower
/// that has seen more than the backup holds misses nothing of what comes, also when one backup is restored twice.
#[must_use]
pub const fn next_era(last: i64, now: Micros) -> i64 {
    if now.0 > last { now.0 } else { last.saturating_add(1) }
}

/// The epoch of a stream after a restoration at `now`: the seconds since 1970, for the same reason.
#[must_use]
pub const fn next_epoch(now: Micros) -> i64 {
    now.0.div_euclid(1_000_000)
}

/// What an event happened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The entity, as in the name of the type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id, as the API writes it.
    pub id: String,
    /// Its version after the event, if it has versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<i64>,
}

/// A fact that a commit tells.
pub trait Event: Serialize + Send + Sync {
    /// Its declaration.
    const TYPE: EventType;

    /// What it happened to.
    fn aggregate(&self) -> Aggregate;

    /// The organization that it belongs to, where that is not the one of the context: the system's scope has none.
    fn organization(&self) -> Option<OrganizationId> {
        None
    }

    /// The stream that it is told in: by default that of its aggregate.
    fn stream(&self) -> String {
        let aggregate = self.aggregate();
        format!("{}/{}", aggregate.kind, aggregate.id)
    }
}

/// What several types of events say alike of what they happened to.
pub trait Fact: Serialize + Send + Sync {
    /// The JSON Schema of it.
    fn schema() -> serde_json::Value;

    /// What it is about.
    fn aggregate(&self) -> Aggregate;

    /// The organization that it belongs to.
    fn organization(&self) -> Option<OrganizationId>;
}

/// Declares types of events that say the same, a [`Fact`], of what they happened to.
#[macro_export]
macro_rules! told {
    ($vis:vis $fact:ty { $($(#[$about:meta])* $name:ident = $kind:literal, $sentence:literal;)* }) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, ::serde::Serialize)]
        #[serde(transparent)]
        $vis struct $name($fact);

        impl $name {
            /// Of what it happened to.
            #[must_use]
            $vis fn of(what: impl Into<$fact>) -> Self {
                Self(what.into())
            }
        }

        impl $crate::store::Event for $name {
            const TYPE: $crate::store::EventType = $crate::store::EventType {
                name: $kind,
                version: 1,
                about: $sentence,
                schema: <$fact as $crate::store::Fact>::schema,
            };

            fn aggregate(&self) -> $crate::store::Aggregate {
                $crate::store::Fact::aggregate(&self.0)
            }

            fn organization(&self) -> Option<$crate::id::OrganizationId> {
                $crate::store::Fact::organization(&self.0)
            }
        }
    )*};
}

/// An event as it is told: what consumers, webhooks and `GET /v1/events` see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Identity: a consumer that sees it twice has seen one event.
    pub event_id: EventId,
    /// The place in the total order; 0 while it has none.
    pub position: i64,
    /// The stream.
    pub stream: String,
    /// The epoch of the stream.
    pub epoch: i64,
    /// The place in the stream, dense from 1.
    pub offset: i64,
    /// When it was committed, as a time of the clock of the process that did.
    #[serde(with = "rfc3339")]
    pub timestamp: Micros,
    /// The name of the type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of the type's schema.
    pub version: u16,
    /// Whose it is; absent for what concerns the installation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organization_id: Option<OrganizationId>,
    /// Who did it.
    pub actor: Actor,
    /// What it happened to.
    pub aggregate: Aggregate,
    /// What the client called the change, echoed so that it knows its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_mutation_id: Option<String>,
    /// The trace that it is part of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<TraceParent>,
    /// What the type says, by its schema.
    pub payload: serde_json::Value,
}

/// Times in JSON: RFC 3339, UTC, microseconds.
pub mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use crate::clock::Micros;

    /// `2026-11-21T12:00:00.000001Z`: always six digits of a second, so that times sort as texts do.
    #[must_use]
    pub fn text(time: Micros) -> String {
        Timestamp::from_microsecond(time.0).map_or_else(|_| time.0.to_string(), |time| format!("{time:.6}"))
    }

    /// Writes a time.
    ///
    /// # Errors
    /// Of the serializer.
    pub fn serialize<S: Serializer>(time: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*time))
    }

    /// Reads a time.
    ///
    /// # Errors
    /// When it is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let time: Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Micros(time.as_microsecond()))
    }
}
