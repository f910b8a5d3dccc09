//! Consumers: what follows the log and changes something for each event, exactly once.
//!
//! ```text
//! log ─► one leader by lease, from its cursor ─► Consumer::consume ─► commit: effect + processed_events ─► cursor
//!                                                     └─ refused ─► a job `event.consume`: tried again, dead letter
//! ```
//!
//! Events of one stream come in their order, those of different streams beside each other. An event that fails does not hold up the
//! others: a job of its own tries it again, and that is a dead letter in the end, which `stoa dlq` shows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use stoa_jobs::{Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{EventId, Ids, RequestId};
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::{
    BoxFuture, Commit, Duplicate, Envelope, EventFilter, EventLog, Job, Record, Store, StoreError,
    StoreErrorKind,
};
use tokio::sync::watch;

use crate::feed::Feed;
use crate::leader::Leader;
use crate::projection::{self, Projection};
use crate::rounds::{Rounds, Step, run, step};

/// The most events of one step.
const STEP: u32 = 200;
/// So many streams are consumed beside each other.
const BESIDE: usize = 16;
/// A cursor moves past what is none of its own so rarely, in microseconds.
pub(crate) const REST_US: i64 = 5_000_000;
/// For how long it is known that an event was consumed, in microseconds: longer than a dead letter is kept that may be taken back.
const PROCESSED_US: i64 = 100 * 86_400_000_000;

/// The kind of the job that tries an event again.
pub static CONSUME: Kind = Kind {
    retry: RetryPolicy { base_us: 1_000_000, attempts_max: 8, ..RETRY },
    keep_us: 0,
    is_dispensable: false,
    ..Kind::new("event.consume", "events", "Tries an event again that a consumer could not take.")
};

/// Where a follower of the log stands.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "event_cursors", entity = "event_cursor", system, version = version, unaudited)]
pub struct EventCursor {
    /// The follower.
    #[record(key, plain, about = "a registered name")]
    pub name: String,
    /// The last position that it has dealt with.
    pub position: i64,
    /// Into what it follows, where that can be lost: another one is filled anew.
    #[record(plain, about = "an identity of a stream")]
    pub mark: Option<String>,
    /// Counts its steps.
    pub version: i64,
    /// When it last moved.
    pub updated_at: Micros,
}

/// An event that a consumer has taken.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "processed_events", entity = "processed_event", tenant = organization_id, unaudited, expires = expires_at, retention = short)]
pub struct ProcessedEvent {
    /// Whose the event is; 0 for the installation.
    #[record(key)]
    pub organization_id: i64,
    /// The consumer.
    #[record(key, plain, about = "a registered name")]
    pub consumer: String,
    /// The event.
    #[record(key)]
    pub event_id: EventId,
    /// When this is forgotten.
    pub expires_at: Micros,
}

/// What refuses an event that was taken already.
const TAKEN: &str = "processed_events_pkey";

/// Changes something for each event. It may be asked for the same event twice; what it decides happens once.
pub trait Consumer: Send + Sync {
    /// Its name: `webhooks`.
    fn name(&self) -> &'static str;

    /// The types of events that it takes; all when empty.
    fn kinds(&self) -> Vec<String> {
        Vec::new()
    }

    /// What it does, for people.
    fn about(&self) -> &'static str;

    /// Whether it takes what happened before it was there; else it begins with what comes.
    fn is_from_the_start(&self) -> bool {
        false
    }

    /// Decides what an event changes. The context is that of the event: its organization, its actor, its trace.
    ///
    /// # Errors
    /// [`Failed`]: it is tried again by a job.
    fn consume<'a>(&'a self, cx: &'a Context, event: &'a Envelope) -> BoxFuture<'a, Result<Commit, Failed>>;
}

fn context(ids: &dyn Ids, event: &Envelope) -> Context {
    Context {
        scope: event.organization_id.map_or(Scope::System, Scope::Organization),
        actor: event.actor,
        request: ids.next().unwrap_or(RequestId::NONE),
        trace: event.traceparent,
        deadline: None,
    }
}

/// The context of whoever follows the log itself.
pub(crate) fn system(ids: &dyn Ids) -> Context {
    Context {
        scope: Scope::System,
        actor: Actor::System,
        request: ids.next().unwrap_or(RequestId::NONE),
        trace: None,
        deadline: None,
    }
}

fn processed(name: &str, event: &Envelope, now: Micros) -> ProcessedEvent {
    ProcessedEvent {
        organization_id: event.organization_id.map_or(0, stoa_kernel::id::Id::to_i64),
        consumer: name.to_owned(),
        event_id: event.event_id,
        expires_at: now.plus(PROCESSED_US),
    }
}

/// The cursor of a name; made by `first` where there is none yet.
pub(crate) async fn cursor(
    store: &dyn Store,
    cx: &Context,
    name: &str,
    first: impl Future<Output = Result<i64, StoreError>>,
    now: Micros,
) -> Result<EventCursor, StoreError> {
    let query = || EventCursor::select().eq(EventCursor::NAME, &name.to_owned());
    if let Some(found) = store.find(cx, query()).await? {
        return Ok(found);
    }
    let made = EventCursor {
        name: name.to_owned(),
        position: first.await?,
        mark: None,
        version: 1,
        updated_at: now,
    };
    match store.commit(cx, Commit::new().insert(&made)).await {
        Ok(_) => Ok(made),
        // Another process was faster.
        Err(error) if error.kind == StoreErrorKind::Duplicate => store.find(cx, query()).await?.ok_or(error),
        Err(error) => Err(error),
    }
}

/// A consumer at work.
pub struct Consuming {
    /// Who decides.
    pub consumer: Arc<dyn Consumer>,
    /// Where effects go.
    pub store: Arc<dyn Store>,
    /// What is followed.
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

impl std::fmt::Debug for Consuming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consuming").field("consumer", &self.consumer.name()).finish_non_exhaustive()
    }
}

impl Consuming {
    /// Consumes until `stop`, then gives leadership back.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        run(self, stop).await;
    }

    /// One step, if this process leads: how many events were taken.
    ///
    /// # Errors
    /// When the store cannot be reached: nothing is passed over.
    pub async fn round(&self) -> Result<usize, StoreError> {
        let name = self.consumer.name();
        if !self.leader.leads().await? {
            return Ok(0);
        }
        let (cx, now) = (system(self.ids.as_ref()), self.clock.now());
        let first = async { if self.consumer.is_from_the_start() { Ok(0) } else { self.log.head().await } };
        let cursor = cursor(self.store.as_ref(), &cx, name, first, now).await?;
        let Step { events, position, .. } =
            step(self.log.as_ref(), cursor.position, STEP, self.consumer.kinds()).await?;
        if events.is_empty() && (position == cursor.position || now.since(cursor.updated_at) < REST_US) {
            return Ok(0);
        }
        let mut streams: HashMap<&str, Vec<&Envelope>> = HashMap::new();
        for event in &events {
            streams.entry(&event.stream).or_default().push(event);
        }
        let taking = stream::iter(streams.into_values().map(Ok)).try_for_each_concurrent(
            BESIDE,
            |events| async move {
                for event in events {
                    self.take(event).await?;
                }
                Ok::<(), StoreError>(())
            },
        );
        taking.await?;
        let moved = EventCursor { position, version: cursor.version + 1, updated_at: now, ..cursor.clone() };
        match self.store.commit(&cx, Commit::new().update(&cursor, &moved)).await {
            // Somebody else leads by now, and has taken them too: each was taken once.
            Err(error) if error.kind == StoreErrorKind::Conflict => {}
            other => drop(other?),
        }
        metrics::counter!("stoa_consumer_events_total", "consumer" => name)
            .increment(u64::try_from(events.len()).unwrap_or(0));
        if let Some(last) = events.last() {
            let late = self.clock.now().since(last.timestamp);
            metrics::histogram!("stoa_consumer_delay_seconds", "consumer" => name)
                .record(Duration::from_micros(late.unsigned_abs()).as_secs_f64());
        }
        Ok(events.len())
    }

    async fn take(&self, event: &Envelope) -> Result<(), StoreError> {
        let (name, cx) = (self.consumer.name(), context(self.ids.as_ref(), event));
        let why = match self.consumer.consume(&cx, event).await {
            Ok(commit) if commit.is_empty() => return Ok(()),
            Ok(commit) => {
                let commit = commit.insert(&processed(name, event, self.clock.now()));
                match self.store.commit(&cx, commit).await {
                    Ok(_) => return Ok(()),
                    Err(error) if error.is_by(TAKEN) => return Ok(()),
                    Err(error) if error.kind.is_passing() => return Err(error),
                    Err(error) => Failed::from(error),
                }
            }
            Err(why) => why,
        };
        tracing::warn!(consumer = name, event = %event.event_id, code = why.code, message = why.message, "an event could not be consumed; a job tries it again");
        metrics::counter!("stoa_consumer_failures_total", "consumer" => name).increment(1);
        let job = Missed::of(name, None, event).job(event);
        self.store.commit(&cx, Commit::new().job(job)).await.map(drop)
    }
}

impl Rounds for Consuming {
    type Error = StoreError;

    fn who(&self) -> &str {
        self.consumer.name()
    }

    fn led(&self) -> (&Feed, &Leader) {
        (&self.feed, &self.leader)
    }

    async fn step(&self) -> Result<bool, Self::Error> {
        Ok(self.round().await? == usize::try_from(STEP).unwrap_or(usize::MAX))
    }
}

/// An event that could not be taken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Missed {
    consumer: String,
    /// The generation, where a projection could not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    event: EventId,
    position: i64,
}

impl Missed {
    pub(crate) fn of(consumer: &str, generation: Option<i64>, event: &Envelope) -> Self {
        Self { consumer: consumer.to_owned(), generation, event: event.event_id, position: event.position }
    }

    /// What tries it again: once, for whichever leader asks, for whoever the event belongs to.
    pub(crate) fn job(&self, event: &Envelope) -> Job {
        let generation = self.generation.map(|generation| format!("#{generation}")).unwrap_or_default();
        Job {
            organization: event.organization_id,
            dedupe_key: Some(format!("{}{generation}/{}", self.consumer, self.event)),
            on_duplicate: Duplicate::Skip,
            batch_key: Some(format!("consumer:{}", self.consumer)),
            ..CONSUME.job(self)
        }
    }
}

/// Tries events again that a consumer could not take.
pub struct Again {
    /// Who decides.
    pub consumers: Vec<Arc<dyn Consumer>>,
    /// What is made of the log.
    pub projections: Vec<Arc<dyn Projection>>,
    /// Where it is known what was taken.
    pub store: Arc<dyn Store>,
    /// Where events are.
    pub log: Arc<dyn EventLog>,
    /// Dates it.
    pub clock: Arc<dyn Clock>,
    /// Numbers it.
    pub ids: Arc<dyn Ids>,
}

impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Again")
    }
}

impl Again {
    async fn fold(&self, work: &Work, name: &str, generation: i64, event: &Envelope) -> Result<Done, Failed> {
        let projection = self.projections.iter().find(|projection| projection.name() == name);
        let projection = projection.ok_or_else(|| Failed::later("this process has no such projection"))?;
        // What was made anew meanwhile has this event, or a job of its own for it.
        if generation < projection::readable(self.store.as_ref(), &work.cx, name).await?.0 {
            return Ok(Done::default());
        }
        let commit = projection.fold(&work.cx, generation, std::slice::from_ref(event)).await?;
        Ok(Done::from(commit))
    }
}

impl Handler for Again {
    fn kind(&self) -> &'static Kind {
        &CONSUME
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let missed: Missed = work.payload()?;
            let scope = work.cx.scope;
            let found = self.log.events_after(scope, missed.position - 1, 1, &EventFilter::default()).await?;
            // It was removed with everything else of its organization.
            let Some(event) = found.into_iter().find(|event| event.event_id == missed.event) else {
                return Ok(Done::default());
            };
            if let Some(generation) = missed.generation {
                return self.fold(work, &missed.consumer, generation, &event).await;
            }
            let consumer = self.consumers.iter().find(|consumer| consumer.name() == missed.consumer);
            let consumer = consumer.ok_or_else(|| Failed::later("this process has no such consumer"))?;
            let done = processed(consumer.name(), &event, self.clock.now());
            let known = ProcessedEvent::select()
                .eq(ProcessedEvent::ORGANIZATION_ID, &done.organization_id)
                .eq(ProcessedEvent::CONSUMER, &done.consumer)
                .eq(ProcessedEvent::EVENT_ID, &done.event_id);
            if self.store.find(&work.cx, known).await?.is_some() {
                return Ok(Done::default());
            }
            let commit = consumer.consume(&context(self.ids.as_ref(), &event), &event).await?;
            Ok(Done::from(if commit.is_empty() { commit } else { commit.insert(&done) }))
        })
    }
}

/// How a follower of the log does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// The last position that it has dealt with.
    pub position: i64,
    /// When it last moved.
    pub updated_at: Option<Micros>,
    /// How many events it has not dealt with; counting ends at [`LAG_MAX`].
    pub behind: usize,
    /// When the first of them happened.
    pub since: Option<Micros>,
}

/// Counting of what a consumer is behind ends here.
pub const LAG_MAX: u32 = 1_000;

/// How a follower does that takes these types of events. One that has not begun begins at `first`; without it, with what comes.
///
/// # Errors
/// See [`StoreError`].
pub async fn standing(
    store: &dyn Store,
    log: &dyn EventLog,
    cx: &Context,
    (name, about): (&str, &str),
    kinds: Vec<String>,
    first: Option<i64>,
) -> Result<Standing, StoreError> {
    let found = store.find(cx, EventCursor::select().eq(EventCursor::NAME, &name.to_owned())).await?;
    let position = match (&found, first) {
        (Some(cursor), _) => cursor.position,
        (None, Some(first)) => first,
        (None, None) => log.head().await?,
    };
    let filter = EventFilter { kinds, ..EventFilter::default() };
    let waiting = log.events_after(Scope::System, position, LAG_MAX, &filter).await?;
    Ok(Standing {
        name: name.to_owned(),
        about: about.to_owned(),
        position,
        updated_at: found.map(|cursor| cursor.updated_at),
        behind: waiting.len(),
        since: waiting.first().map(|event| event.timestamp),
    })
}
