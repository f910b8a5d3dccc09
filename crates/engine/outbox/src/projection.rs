//! Projections: tables that are made of the log alone, and can be made anew while they are read.
//!
//! ```text
//! log ─► one leader by lease ─► Projection::fold ─► commit: rows of a generation + its cursor
//!
//! generation 1 ───────────── live ─────────────┐ swapped when the new one has caught up; the old one is removed
//!        rebuild ─► generation 2 from the first event ─► live
//! ```
//!
//! The rows and the cursor of a generation are one commit, so each event is folded once, whoever leads and whenever a process ends.

use std::sync::Arc;

use stoa_jobs::Failed;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::Ids;
use stoa_kernel::store::{BoxFuture, Commit, Envelope, EventLog, Record, Store, StoreError, StoreErrorKind};
use tokio::sync::watch;

use crate::consumer::{EventCursor, Missed, REST_US, cursor, system};
use crate::feed::Feed;
use crate::leader::Leader;
use crate::rounds::{Rounds, Step, run, step};

/// The most events of one step.
const STEP: u32 = 500;
/// The most rows of an old generation that are removed at once.
const REMOVED_AT_ONCE: u32 = 1_000;
/// For how long a generation can be read after another took its place, in microseconds: five minutes, for lists that are read page by page.
pub const RETIRED_US: i64 = 300_000_000;
/// The generation that a projection begins with.
const FIRST: i64 = 1;

/// A table that is made of the log.
pub trait Projection: Send + Sync {
    /// Its name: `activity`.
    fn name(&self) -> &'static str;

    /// What it shows, for people.
    fn about(&self) -> &'static str;

    /// The types of events that it is made of; all when empty.
    fn kinds(&self) -> Vec<String> {
        Vec::new()
    }

    /// Decides what events change in a generation. They come in the order of the log, all at once; what the commit holds is applied with the
    /// cursor or not at all. An event that failed before may come alone and later.
    ///
    /// # Errors
    /// [`Failed`]: they are folded one by one then, and one that fails alone is tried again by a job.
    fn fold<'a>(
        &'a self,
        cx: &'a Context,
        generation: i64,
        events: &'a [Envelope],
    ) -> BoxFuture<'a, Result<Commit, Failed>>;

    /// Removes rows of the generations before `live`, at most `most`; an empty commit when there are none.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn outdated<'a>(
        &'a self,
        cx: &'a Context,
        live: i64,
        most: u32,
    ) -> BoxFuture<'a, Result<Commit, StoreError>>;
}

/// Which rows of a projection are read, and which are being made.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "projections", entity = "projection", system, version = version)]
pub struct Generations {
    /// The projection.
    #[record(key, plain, about = "a registered name")]
    pub name: String,
    /// The generation that is read.
    pub live: i64,
    /// The one that is being made anew.
    pub building: Option<i64>,
    /// The one that was read before, until it is removed.
    pub retired: Option<i64>,
    /// When the one that is read took its place.
    pub live_since: Micros,
    /// Counts its changes.
    pub version: i64,
}

/// What the cursor of a generation is called.
#[must_use]
pub fn cursor_name(projection: &str, generation: i64) -> String {
    format!("projection:{projection}#{generation}")
}

/// The generations of a projection; nothing before it was begun.
///
/// # Errors
/// See [`StoreError`].
pub async fn generations(
    store: &dyn Store,
    cx: &Context,
    name: &str,
) -> Result<Option<Generations>, StoreError> {
    let query = Generations::select().eq(Generations::NAME, &name.to_owned());
    store.find(&cx.within(Scope::System), query).await
}

/// The generations of a projection that can be read: the one that is, and the one that was before it, for whoever reads that to the end.
///
/// # Errors
/// See [`StoreError`].
pub async fn readable(store: &dyn Store, cx: &Context, name: &str) -> Result<(i64, Option<i64>), StoreError> {
    let found = generations(store, cx, name).await?;
    Ok(found.map_or((FIRST, None), |found| (found.live, found.retired)))
}

impl Generations {
    /// Those of a projection that is begun.
    #[must_use]
    pub fn first(name: &str, now: Micros) -> Self {
        Self {
            name: name.to_owned(),
            live: FIRST,
            building: None,
            retired: None,
            live_since: now,
            version: 1,
        }
    }

    /// Makes the projection anew, from the first event on; what there is stays readable, and up to date, until the new one has caught up.
    /// Where one is being made already, it is that one.
    pub fn rebuild(&self) -> (Self, Commit) {
        if self.building.is_some() {
            return (self.clone(), Commit::new());
        }
        let begun = Self { building: Some(self.live + 1), version: self.version + 1, ..self.clone() };
        let commit = Commit::new().update(self, &begun).action("projection.rebuild_begun");
        (begun, commit)
    }
}

/// A projection at work.
pub struct Projecting {
    /// What it is.
    pub projection: Arc<dyn Projection>,
    /// Where its rows are.
    pub store: Arc<dyn Store>,
    /// What it is made of.
    pub log: Arc<dyn EventLog>,
    /// Which process makes it.
    pub leader: Leader,
    /// Woken by what happens.
    pub feed: Feed,
    /// For how long a generation can be read after another took its place, in microseconds.
    pub kept_us: i64,
    /// Dates it.
    pub clock: Arc<dyn Clock>,
    /// Numbers it.
    pub ids: Arc<dyn Ids>,
}

impl std::fmt::Debug for Projecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projecting").field("projection", &self.projection.name()).finish_non_exhaustive()
    }
}

impl Projecting {
    /// Follows the log until `stop`, then gives leadership back.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        run(self, stop).await;
    }

    /// One step of what is read, and one of what is being made: whether there is more already. Nothing, unless this process leads.
    ///
    /// # Errors
    /// When the store cannot be reached: nothing is passed over.
    pub async fn round(&self) -> Result<bool, StoreError> {
        if !self.leader.leads().await? {
            return Ok(false);
        }
        let cx = system(self.ids.as_ref());
        let known = self.generations(&cx).await?;
        let (mut is_more, position) = self.fold_next(&cx, known.live).await?;
        // Whoever began to read what was there before may read it to the end.
        if known.retired.is_some() && self.clock.now().since(known.live_since) >= self.kept_us {
            return Ok(self.remove(&cx, &known).await? || is_more);
        }
        if let Some(building) = known.building {
            let (is_behind, reached) = self.fold_next(&cx, building).await?;
            is_more |= is_behind;
            // One that was there before is removed first: then there are never more than two that can be read.
            if !is_behind && reached >= position && known.retired.is_none() {
                self.swap(&cx, &known, building).await?;
                is_more = true;
            }
        }
        Ok(is_more)
    }

    async fn generations(&self, cx: &Context) -> Result<Generations, StoreError> {
        let name = self.projection.name();
        if let Some(found) = generations(self.store.as_ref(), cx, name).await? {
            return Ok(found);
        }
        let first = Generations::first(name, self.clock.now());
        match self.store.commit(cx, Commit::new().insert(&first)).await {
            Ok(_) => Ok(first),
            // Another process was faster.
            Err(error) if error.kind == StoreErrorKind::Duplicate => {
                generations(self.store.as_ref(), cx, name).await?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Folds the next events into a generation: whether there are more, and where it stands then.
    async fn fold_next(&self, cx: &Context, generation: i64) -> Result<(bool, i64), StoreError> {
        let name = self.projection.name();
        let now = self.clock.now();
        let own = cursor_name(name, generation);
        let at = cursor(self.store.as_ref(), cx, &own, std::future::ready(Ok(0)), now).await?;
        let Step { events, position, is_full } =
            step(self.log.as_ref(), at.position, STEP, self.projection.kinds()).await?;
        if events.is_empty() && (position == at.position || now.since(at.updated_at) < REST_US) {
            return Ok((false, position));
        }
        let to = |position| EventCursor { position, version: at.version + 1, updated_at: now, ..at.clone() };
        match self.fold(cx, generation, &events).await {
            Ok(commit) => match self.store.commit(cx, commit.update(&at, &to(position))).await {
                Ok(_) => {}
                // Another leads by now, or an event that failed before was taken at the same time: nothing of this one was applied.
                Err(error) if error.kind == StoreErrorKind::Conflict => return Ok((true, at.position)),
                Err(error) if error.kind.is_passing() => return Err(error),
                Err(error) => return self.one_by_one(cx, generation, at, &events, &error.to_string()).await,
            },
            Err(why) => return self.one_by_one(cx, generation, at, &events, &why.message).await,
        }
        metrics::counter!("stoa_consumer_events_total", "consumer" => name)
            .increment(u64::try_from(events.len()).unwrap_or(0));
        Ok((is_full, position))
    }

    async fn fold(&self, cx: &Context, generation: i64, events: &[Envelope]) -> Result<Commit, Failed> {
        if events.is_empty() { Ok(Commit::new()) } else { self.projection.fold(cx, generation, events).await }
    }

    /// Folds events alone, because together they failed. One that fails alone becomes a job, and holds up nothing.
    async fn one_by_one(
        &self,
        cx: &Context,
        generation: i64,
        mut at: EventCursor,
        events: &[Envelope],
        why: &str,
    ) -> Result<(bool, i64), StoreError> {
        let name = self.projection.name();
        tracing::warn!(
            projection = name,
            why,
            "events could not be folded together; they are folded one by one"
        );
        for event in events {
            let moved = EventCursor {
                position: event.position,
                version: at.version + 1,
                updated_at: self.clock.now(),
                ..at.clone()
            };
            let why = match self.projection.fold(cx, generation, std::slice::from_ref(event)).await {
                Ok(commit) => match self.store.commit(cx, commit.update(&at, &moved)).await {
                    Ok(_) => None,
                    Err(error) if error.kind == StoreErrorKind::Conflict => return Ok((true, at.position)),
                    Err(error) if error.kind.is_passing() => return Err(error),
                    Err(error) => Some(error.to_string()),
                },
                Err(why) => Some(why.message),
            };
            if let Some(why) = why {
                tracing::warn!(projection = name, event = %event.event_id, why, "an event could not be folded; a job tries it again");
                metrics::counter!("stoa_consumer_failures_total", "consumer" => name).increment(1);
                let job = Missed::of(name, Some(generation), event).job(event);
                self.store.commit(cx, Commit::new().job(job).update(&at, &moved)).await?;
            }
            at = moved;
        }
        Ok((true, at.position))
    }

    /// From now on the new generation is read.
    async fn swap(&self, cx: &Context, known: &Generations, building: i64) -> Result<(), StoreError> {
        let swapped = Generations {
            live: building,
            building: None,
            retired: Some(known.live),
            live_since: self.clock.now(),
            version: known.version + 1,
            ..known.clone()
        };
        self.apply(cx, Commit::new().update(known, &swapped).action("projection.rebuilt")).await?;
        tracing::info!(projection = known.name, generation = building, "a projection was made anew");
        Ok(())
    }

    /// Removes what was read before: whether there is more of it.
    async fn remove(&self, cx: &Context, known: &Generations) -> Result<bool, StoreError> {
        let commit = self.projection.outdated(cx, known.live, REMOVED_AT_ONCE).await?;
        if !commit.is_empty() {
            return self.apply(cx, commit).await.map(|()| true);
        }
        let Some(retired) = known.retired else { return Ok(false) };
        let clean = Generations { retired: None, version: known.version + 1, ..known.clone() };
        let mut commit = Commit::new().update(known, &clean).action("projection.cleaned");
        let own = EventCursor::select().eq(EventCursor::NAME, &cursor_name(&known.name, retired));
        if let Some(cursor) = self.store.find(cx, own).await? {
            commit = commit.delete(&cursor);
        }
        self.apply(cx, commit).await.map(|()| true)
    }

    /// Applies what the next round finds again, where another process or somebody who asks was faster.
    async fn apply(&self, cx: &Context, commit: Commit) -> Result<(), StoreError> {
        match self.store.commit(cx, commit).await {
            Err(error) if error.kind == StoreErrorKind::Conflict => Ok(()),
            other => other.map(drop),
        }
    }
}

impl Rounds for Projecting {
    type Error = StoreError;

    fn who(&self) -> &str {
        self.projection.name()
    }

    fn led(&self) -> (&Feed, &Leader) {
        (&self.feed, &self.leader)
    }

    async fn step(&self) -> Result<bool, Self::Error> {
        self.round().await
    }
}
