//! The relay: publishes the log to a broker, at least once, in its order. One process leads, by lease.
//!
//! Whatever listens there hears each event under its id, by which the broker drops what it has had already. A broker that lost what it had
//! is told what happened lately anew: nobody need notice.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::clock::Clock;
use stoa_kernel::context::Scope;
use stoa_kernel::id::Ids;
use stoa_kernel::store::{
    BoxFuture, Commit, Envelope, EventFilter, EventLog, Store, StoreError, StoreErrorKind,
};
use tokio::sync::watch;

use crate::consumer::{EventCursor, cursor, system};
use crate::feed::Feed;
use crate::leader::Leader;
use crate::rounds::{Rounds, run};
use crate::signals::Unheard;

/// The name of its cursor and of its lease.
pub const RELAY: &str = "relay";
/// The most events of one step.
const STEP: u32 = 500;
/// The most bytes of a message: what NATS takes unless it is told otherwise, less its headers.
const BYTES_MAX: usize = 1_000_000;
/// What is told a broker that has nothing, in microseconds: a day.
const AGAIN_US: i64 = 86_400_000_000;

/// A message for a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where: `org.org_….organization.created`.
    pub subject: String,
    /// What makes it one message however often it is published.
    pub id: String,
    /// What it says.
    pub payload: Vec<u8>,
}

/// A broker that keeps messages for whoever comes later.
pub trait Broker: Send + Sync {
    /// What it keeps them in; another answer than before says that what it had is lost.
    ///
    /// # Errors
    /// [`Unheard`].
    fn mark(&self) -> BoxFuture<'_, Result<String, Unheard>>;

    /// Publishes messages in their order. When it returns, all of them are kept.
    ///
    /// # Errors
    /// [`Unheard`]: some of them may be kept.
    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<(), Unheard>>;
}

/// Where an event is published: `org.<organization>.<type>`, and `installation.<type>` for what is nobody's.
#[must_use]
pub fn subject(event: &Envelope) -> String {
    match event.organization_id {
        Some(organization) => format!("org.{organization}.{}", event.kind),
        None => format!("installation.{}", event.kind),
    }
}

/// The message of an event. One that is too large for a broker says what happened without its payload, which is in the log: nobody's event
/// holds up the others.
fn message(event: &Envelope) -> Message {
    let mut payload = serde_json::to_vec(event).unwrap_or_default();
    if payload.len() > BYTES_MAX {
        let bare = Envelope { payload: serde_json::Value::Null, ..event.clone() };
        payload = serde_json::to_vec(&bare).unwrap_or_default();
    }
    Message { subject: subject(event), id: event.event_id.to_string(), payload }
}

/// Publishes the log.
pub struct Relay {
    /// Where to.
    pub broker: Arc<dyn Broker>,
    /// Where its cursor is.
    pub store: Arc<dyn Store>,
    /// What is published.
    pub log: Arc<dyn EventLog>,
    /// Which process does so.
    pub leader: Leader,
    /// Woken by what happens.
    pub feed: Feed,
    /// Dates it.
    pub clock: Arc<dyn Clock>,
    /// Numbers it.
    pub ids: Arc<dyn Ids>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("leader", &self.leader).finish_non_exhaustive()
    }
}

/// Why nothing was published.
#[derive(Debug)]
pub(crate) enum Unpublished {
    Store(StoreError),
    Broker(Unheard),
}

impl From<StoreError> for Unpublished {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Unheard> for Unpublished {
    fn from(error: Unheard) -> Self {
        Self::Broker(error)
    }
}

impl std::fmt::Display for Unpublished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Broker(error) => error.fmt(f),
        }
    }
}

impl Relay {
    /// Publishes until `stop`, then gives leadership back.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        run(self, stop).await;
    }

    async fn round(&self) -> Result<usize, Unpublished> {
        if !self.leader.leads().await? {
            return Ok(0);
        }
        let mark = self.broker.mark().await?;
        let (cx, now) = (system(self.ids.as_ref()), self.clock.now());
        let lately = EventFilter { since: Some(now.plus(-AGAIN_US)), ..EventFilter::default() };
        let first = async {
            let first = self.log.events_after(Scope::System, 0, 1, &lately).await?;
            Ok::<i64, StoreError>(match first.first() {
                Some(first) => first.position - 1,
                None => self.log.head().await?,
            })
        };
        let known = cursor(self.store.as_ref(), &cx, RELAY, async { Ok(0) }, now).await?;
        let from = match &known.mark {
            Some(own) if *own == mark => known.position,
            // What was never published comes too, however long ago it happened.
            Some(_) => first.await?.min(known.position),
            None => first.await?,
        };
        let events = self.log.events_after(Scope::System, from, STEP, &EventFilter::default()).await?;
        if events.is_empty() && known.mark.as_ref() == Some(&mark) {
            return Ok(0);
        }
        let messages: Vec<Message> = events.iter().map(message).collect();
        self.broker.publish(&messages).await?;
        let moved = EventCursor {
            position: events.last().map_or(from, |last| last.position),
            mark: Some(mark),
            version: known.version + 1,
            updated_at: now,
            ..known.clone()
        };
        match self.store.commit(&cx, Commit::new().update(&known, &moved)).await {
            // Somebody else leads by now; what was published twice is dropped by its id.
            Err(error) if error.kind == StoreErrorKind::Conflict => {}
            other => drop(other?),
        }
        metrics::counter!("stoa_events_relayed_total").increment(u64::try_from(events.len()).unwrap_or(0));
        if let Some(last) = events.last() {
            let late = Duration::from_micros(self.clock.now().since(last.timestamp).unsigned_abs());
            metrics::histogram!("stoa_relay_delay_seconds").record(late.as_secs_f64());
        }
        Ok(events.len())
    }
}

impl Rounds for Relay {
    type Error = Unpublished;

    fn who(&self) -> &str {
        RELAY
    }

    fn led(&self) -> (&Feed, &Leader) {
        (&self.feed, &self.leader)
    }

    async fn step(&self) -> Result<bool, Self::Error> {
        Ok(self.round().await? == usize::try_from(STEP).unwrap_or(usize::MAX))
    }
}
