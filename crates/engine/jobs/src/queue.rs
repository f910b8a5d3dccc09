//! The port: what a store does for workers, with SQL of its own.
//!
//! ```text
//!               ┌──────── retry, lease lost ────────┐
//!               ▼                                   │
//! enqueue ─► scheduled ─► ready ─► claim ─► running ┴─► completed | cancelled  (moved to finished_jobs)
//!               waiting ──┘  ▲                      └─► failed | holding        (a dead letter)
//!          (mailbox)         └─── replay ──────────────────┘
//! ```

use std::collections::{BTreeMap, HashMap};

use stoa_kernel::clock::Micros;
use stoa_kernel::id::JobId;
use stoa_kernel::store::queue::{Attempt, JobState, QueuedJob};
use stoa_kernel::store::{BoxFuture, Record as _, StoreError, StoreErrorKind, Value};

use crate::share::{Room, Strides};

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The worker.
    pub holder: String,
    /// How long it may hold what it gets without a word, in microseconds.
    pub lease_us: i64,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// How many jobs it has room for.
    pub room: u32,
    /// How many of them may be of normal or low priority.
    pub room_late: u32,
    /// The organization after which it goes on; less than 0 begins with the first.
    pub after: i64,
    /// What the priorities have had so far.
    pub strides: Strides,
    /// How many places one organization may have.
    pub tenant: u32,
    /// How many places organizations have.
    pub tenants: Vec<(i64, u32)>,
    /// Draws who is first among equals.
    pub lot: u64,
}

impl Claim {
    /// The room that it leaves, but for queues that have a limit.
    #[must_use]
    pub fn room(&self) -> Room {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let left = |(tenant, count): &(i64, u32)| (*tenant, size(self.tenant.saturating_sub(*count)));
        Room {
            all: size(self.room),
            late: size(self.room_late),
            queues: HashMap::new(),
            tenant: size(self.tenant),
            tenants: self.tenants.iter().map(left).collect(),
            lot: self.lot,
        }
    }
}

/// A job that was claimed and cannot be read: its key is gone, or it was altered, or written by another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub held: Held,
    /// Whose it is; 0 for the installation.
    pub organization: i64,
    /// Its mailbox.
    pub order_key: Option<String>,
    /// What is wrong with it.
    pub why: String,
}

impl Unreadable {
    /// Of a row as it is stored.
    #[must_use]
    pub fn of(row: &[Value], why: String) -> Option<Self> {
        let number = |index: usize| row.get(index).and_then(Value::integer);
        let id = number(QueuedJob::ID.index).and_then(|id| JobId::from_raw(u64::try_from(id).ok()?))?;
        Some(Self {
            held: Held { id, version: number(QueuedJob::VERSION.index)? },
            organization: number(QueuedJob::ORGANIZATION_ID.index)?,
            order_key: row.get(QueuedJob::ORDER_KEY.index).and_then(Value::text).map(str::to_owned),
            why,
        })
    }
}

/// What it gets.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    /// The jobs, in the order in which they are to be begun.
    pub jobs: Vec<QueuedJob>,
    /// What the priorities have had now.
    pub strides: Strides,
    /// The last organization that was looked at, where there may be more of them after it.
    pub after: Option<i64>,
    /// Jobs that were claimed as well, and cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Whether there were more than could be taken.
    pub has_more: bool,
}

impl Claimed {
    /// Adds a row that was claimed, once it was opened. One that cannot be read is none of the others' trouble.
    pub fn add(&mut self, row: &[Value], opened: Result<Vec<Vec<Value>>, StoreError>) {
        let read = opened.and_then(|rows| {
            rows.into_iter().next().map(QueuedJob::from_values).transpose().map_err(StoreError::from)
        });
        match read {
            Ok(job) => self.jobs.extend(job),
            // A key that could not be looked up just now says nothing about the job: its lease ends, and it is claimed again.
            Err(error) if error.kind != StoreErrorKind::Corrupt => {
                tracing::warn!(%error, "a job that was claimed could not be opened yet");
            }
            Err(error) => self.unreadable.extend(Unreadable::of(row, error.to_string())),
        }
    }
}

/// A job as its worker holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// Which.
    pub id: JobId,
    /// The token of the claim.
    pub version: i64,
}

/// A job of no mailbox that was done and had no effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Which.
    pub held: Held,
    /// For how many microseconds its end is kept.
    pub keep_us: i64,
}

/// A job that is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Which.
    pub held: Held,
    /// In how many microseconds it is tried again.
    pub delay_us: i64,
    /// How often it has been begun, by which attempts are counted.
    pub attempts: i64,
    /// The attempts that failed.
    pub errors: Vec<Attempt>,
}

/// What tidying up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// Jobs whose time has come.
    pub due: u32,
    /// Jobs whose worker was not heard of.
    pub lost: u32,
    /// Microseconds until the next job is due, where one is.
    pub next_us: Option<i64>,
}

/// How a queue does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Depth {
    /// Its name.
    pub queue: String,
    /// What can be claimed.
    pub ready: i64,
    /// Whose time has not come.
    pub scheduled: i64,
    /// What waits for its mailbox.
    pub waiting: i64,
    /// What is held by workers.
    pub running: i64,
    /// Dead letters.
    pub failed: i64,
    /// Since when the oldest job that can be claimed could be.
    pub oldest: Option<Micros>,
}

/// How queues do, from rows of a queue, a state, how many there are, and the time of the first.
#[must_use]
pub fn gather(rows: &[Vec<Value>]) -> Vec<Depth> {
    let mut found: BTreeMap<&str, Depth> = BTreeMap::new();
    for row in rows {
        let [queue, state, count, first] = row.as_slice() else { continue };
        let (Some(queue), Some(state)) = (queue.text(), state.text()) else { continue };
        let (count, first) = (count.integer().unwrap_or(0), first.integer().map(Micros));
        let depth =
            found.entry(queue).or_insert_with(|| Depth { queue: queue.to_owned(), ..Depth::default() });
        match state.parse() {
            Ok(JobState::Ready) => (depth.ready, depth.oldest) = (count, first),
            Ok(JobState::Scheduled) => depth.scheduled = count,
            Ok(JobState::Waiting) => depth.waiting = count,
            Ok(JobState::Running) => depth.running = count,
            Ok(JobState::Failed | JobState::Holding) => depth.failed += count,
            Err(_) => {}
        }
    }
    found.into_values().collect()
}

/// Jobs, as workers take and end them. Every method serves the installation, so it sees every organization.
pub trait Queue: Send + Sync {
    /// Takes jobs: of every priority its share, of every organization its turn, of every mailbox the head. None of a queue that is
    /// paused, of an organization that is on hold, or beyond the limit of a queue.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn claim<'a>(&'a self, ask: &'a Claim) -> BoxFuture<'a, Result<Claimed, StoreError>>;

    /// Extends the leases of what a worker holds; returns what it still does. The others were taken by somebody else, or have ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn renew<'a>(&'a self, held: &'a [Held], lease_us: i64) -> BoxFuture<'a, Result<Vec<Held>, StoreError>>;

    /// Asks the worker of a job to stop it; whether somebody still held it. Its token stays: whoever holds it ends it.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn ask_to_stop(&self, held: Held, now: Micros) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Which of the jobs that a worker holds were asked to stop.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn cancelled<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<Vec<JobId>, StoreError>>;

    /// Ends jobs of no mailbox that were done without an effect; returns those that were still held. All others end by a commit.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn finish<'a>(&'a self, done: &'a [Finish]) -> BoxFuture<'a, Result<Vec<Held>, StoreError>>;

    /// Gives a job back; whether it was still held.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn again<'a>(&'a self, job: &'a Again) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Says how far a job is, in percent; whether it was still held.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn progress<'a>(
        &'a self,
        held: Held,
        percent: i64,
        message: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Makes ready what is due and what was lost, at most `limit` of each. Safe to run twice.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn tidy(&self, limit: u32) -> BoxFuture<'_, Result<Tidied, StoreError>>;

    /// How every queue does that has jobs. Counting ends at 100,000 in all.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, StoreError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_cannot_be_read_is_none_of_the_others_trouble() {
        let mut row = vec![Value::Null; QueuedJob::META.columns.len()];
        let places = [
            (QueuedJob::ID.index, Value::Integer(7)),
            (QueuedJob::ORGANIZATION_ID.index, Value::Integer(3)),
            (QueuedJob::VERSION.index, Value::Integer(2)),
            (QueuedJob::ORDER_KEY.index, Value::Text("a".to_owned())),
        ];
        for (place, value) in places {
            row[place] = value;
        }
        let mut claimed = Claimed::default();
        let failed = |kind| Err(StoreError::new(kind, "no"));
        claimed.add(&row, failed(StoreErrorKind::Unavailable));
        assert_eq!(
            (claimed.jobs.len(), claimed.unreadable.len()),
            (0, 0),
            "its lease ends, and it is tried again"
        );
        claimed.add(&row, failed(StoreErrorKind::Corrupt));
        let held = Held { id: JobId::from_raw(7).unwrap(), version: 2 };
        let found = claimed.unreadable.first().unwrap();
        assert_eq!((found.held, found.organization, found.order_key.as_deref()), (held, 3, Some("a")));
    }
}
