//! The worker: claims what there is room for, does it, ends it.
//!
//! ```text
//! hint, poll ─► tidy ─► claim ─► a task for each job ─► settle ─┬─ no effect ──► finisher: many ends, one statement
//!                         ▲                                     ├─ an effect ──► commit: effect and end are one change
//!                         └───────── a place is free ◄──────────┴─ failed ─────► again later, or a dead letter
//!                 keeper: extends leases, hears who was asked to stop
//! ```
//!
//! Hints only shorten waiting; the poll is the truth. A worker that is not heard of for the time of a lease loses what it holds, and
//! whatever it does to it later is refused by the token.

mod attempt;
mod finisher;
mod keeper;
mod settle;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::id::{Ids, JobId};
use stoa_kernel::random::{Random, SplitMix64};
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{BoxFuture, Store, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::handler::Stop;
use crate::kind::{Pace, Registry};
use crate::queue::{Again, Claim, Finish, Held, Queue};
use crate::share::Strides;

/// How long a worker may hold a job without a word, in microseconds.
pub const LEASE_US: i64 = 30_000_000;
/// How long nobody says that there is work before it is looked for.
const POLL: Duration = Duration::from_millis(500);
/// Between two looks for what is due, at most.
const TIDY_US: i64 = 1_000_000;
/// How much is tidied up at once.
const TIDY_MAX: u32 = 1_000;
/// How long what runs may go on when the process ends.
const DRAIN: Duration = Duration::from_secs(20);
/// How long giving back may take, then.
const GIVE_BACK: Duration = Duration::from_secs(5);
/// How long it is waited for more room where there is little.
const GATHER: Duration = Duration::from_millis(2);

/// Who counts how often a kind begins.
pub trait Pacing: Send + Sync {
    /// Counts a beginning of a kind; how many microseconds it must wait instead, if it must.
    fn begin<'a>(&'a self, kind: &'a str, pace: Pace) -> BoxFuture<'a, Option<i64>>;
}

/// What a worker works with.
pub struct Parts {
    /// Where jobs are.
    pub queue: Arc<dyn Queue>,
    /// Where their effects go.
    pub store: Arc<dyn Store>,
    /// Dates attempts.
    pub clock: Arc<dyn Clock>,
    /// Numbers what has no request of its own.
    pub ids: Arc<dyn Ids>,
    /// Who does what.
    pub registry: Registry,
    /// Who counts beginnings.
    pub pacing: Arc<dyn Pacing>,
    /// This process.
    pub holder: String,
    /// How many jobs it does at once.
    pub concurrency: usize,
    /// How long it may hold a job without a word, in microseconds: [`LEASE_US`].
    pub lease_us: i64,
}

/// A job that is being done here.
struct Running {
    /// How it is given back when the process ends before it does.
    again: Again,
    stop: watch::Sender<Stop>,
    organization: i64,
    /// When it was asked to stop.
    asked: Option<Micros>,
}

/// What the tasks of a worker share.
struct Shared {
    parts: Parts,
    running: Mutex<HashMap<JobId, Running>>,
    /// Jobs of normal and low priority that run.
    late: AtomicUsize,
    places: Arc<Semaphore>,
    freed: Notify,
    /// Something became ready here of which nobody else tells.
    nudged: Notify,
    /// When a job that was given back here is due, in microseconds.
    due: AtomicI64,
    random: Mutex<SplitMix64>,
    finished: mpsc::Sender<Finish>,
    /// Ends that are not on disk yet.
    ending: AtomicUsize,
}

/// A place of a worker that a job takes.
struct Place {
    shared: Arc<Shared>,
    is_late: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_late {
            self.shared.late.fetch_sub(1, Ordering::Relaxed);
        }
        drop(self.permit.take());
        self.shared.freed.notify_one();
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, HashMap<JobId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

/// Does jobs.
pub struct Worker {
    shared: Arc<Shared>,
    finished: mpsc::Receiver<Finish>,
    hints: watch::Receiver<u64>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("holder", &self.shared.parts.holder).finish_non_exhaustive()
    }
}

/// Where claiming goes on.
struct Cursor {
    strides: Strides,
    after: i64,
    /// When it is looked next for what is due.
    tidy_at: Micros,
}

impl Worker {
    /// A worker; `hints` say that something was committed.
    #[must_use]
    pub fn new(parts: Parts, hints: watch::Receiver<u64>) -> Self {
        let seed = parts
            .holder
            .bytes()
            .fold(17, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let (ending, finished) = mpsc::channel(parts.concurrency.saturating_mul(2));
        let shared = Arc::new(Shared {
            places: Arc::new(Semaphore::new(parts.concurrency)),
            parts,
            running: Mutex::default(),
            late: AtomicUsize::new(0),
            freed: Notify::new(),
            nudged: Notify::new(),
            due: AtomicI64::new(i64::MAX),
            random: Mutex::new(SplitMix64::seeded(seed)),
            finished: ending,
            ending: AtomicUsize::new(0),
        });
        Self { shared, finished, hints }
    }

    /// Works until `stop`, then finishes what it holds, and gives back what takes too long.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { shared, finished, mut hints } = self;
        let finishing = tokio::spawn(finisher::run(Arc::clone(&shared), finished));
        let keeping = tokio::spawn(keeper::run(Arc::clone(&shared)));
        let mut cursor = Cursor { strides: Strides::default(), after: -1, tidy_at: Micros(0) };
        while !*stop.borrow() {
            let rest = match shared.round(&mut cursor).await {
                Ok(rest) => rest,
                Err(error) => {
                    tracing::warn!(%error, "jobs could not be claimed; they are at the next round");
                    Rest::Until(POLL)
                }
            };
            match rest {
                Rest::Not => {}
                Rest::Full => tokio::select! {
                    _ = stop.changed() => {}
                    () = shared.gathered() => {}
                },
                // Those that are urgent still have places, and are heard of.
                Rest::Late(wait) => tokio::select! {
                    _ = stop.changed() => {}
                    _ = hints.changed() => {}
                    () = shared.freed.notified() => {}
                    () = shared.nudged.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                },
                Rest::Until(wait) => tokio::select! {
                    _ = stop.changed() => {}
                    _ = hints.changed() => {}
                    () = shared.nudged.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                },
            }
        }
        shared.drain().await;
        keeping.abort();
        finishing.abort();
    }
}

/// What a round says of the next one.
enum Rest {
    /// There may be more.
    Not,
    /// There is more than there is room for.
    Full,
    /// There is nothing urgent, and no room for anything else.
    Late(Duration),
    /// There is nothing, unless somebody says so.
    Until(Duration),
}

impl Shared {
    /// Tidies up when it is time to, claims, and begins.
    async fn round(self: &Arc<Self>, cursor: &mut Cursor) -> Result<Rest, StoreError> {
        let parts = &self.parts;
        let now = parts.clock.now();
        if now >= cursor.tidy_at || now.0 >= self.due.load(Ordering::Relaxed) {
            self.due.store(i64::MAX, Ordering::Relaxed);
            let tidied = parts.queue.tidy(TIDY_MAX).await?;
            if tidied.lost > 0 {
                metrics::counter!("stoa_jobs_lost_total").increment(u64::from(tidied.lost));
                tracing::warn!(lost = tidied.lost, "workers were not heard of; their jobs are tried again");
            }
            let next = if tidied.due == TIDY_MAX { 0 } else { tidied.next_us.unwrap_or(TIDY_US) };
            cursor.tidy_at = parts.clock.now().plus(next.clamp(0, TIDY_US));
        }
        let free = self.places.available_permits();
        if free == 0 {
            return Ok(Rest::Full);
        }
        // A quarter of the places is kept for what is urgent.
        let reserved = (parts.concurrency / 4).max(usize::from(parts.concurrency > 1));
        let late = self.late.load(Ordering::Relaxed);
        let room_late = parts.concurrency.saturating_sub(reserved).saturating_sub(late).min(free);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let ask = Claim {
            holder: parts.holder.clone(),
            lease_us: parts.lease_us,
            queues: parts.registry.queues(),
            room: number(free),
            room_late: number(room_late),
            after: cursor.after,
            strides: cursor.strides,
            // A quarter is left for the others, however urgent what one has is.
            tenant: number(parts.concurrency.saturating_sub(reserved).max(1)),
            tenants: self.tenants(),
            lot: self.draw(),
        };
        let claimed = parts.queue.claim(&ask).await?;
        let was_in_the_middle = cursor.after >= 0;
        (cursor.strides, cursor.after) = (claimed.strides, claimed.after.unwrap_or(-1));
        let count = claimed.jobs.len();
        for unreadable in claimed.unreadable {
            self.bury(unreadable).await;
        }
        for job in claimed.jobs {
            self.begin(job);
        }
        if count > 0 || was_in_the_middle {
            return Ok(Rest::Not);
        }
        let next = cursor.tidy_at.0.min(self.due.load(Ordering::Relaxed));
        let until = Micros(next).since(parts.clock.now()).clamp(1_000, 500_000);
        let wait = Duration::from_micros(until.unsigned_abs()).min(POLL);
        Ok(if room_late == 0 || claimed.has_more { Rest::Late(wait) } else { Rest::Until(wait) })
    }

    /// Waits until there is room, and a little for more of it: claiming one by one costs more than it gains.
    async fn gathered(&self) {
        tokio::select! {
            () = self.freed.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        if self.places.available_permits() < self.parts.concurrency / 4 {
            tokio::time::sleep(GATHER).await;
        }
    }

    /// How many places each organization has.
    fn tenants(&self) -> Vec<(i64, u32)> {
        let mut counts: HashMap<i64, u32> = HashMap::new();
        for running in self.running().values() {
            *counts.entry(running.organization).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    fn begin(self: &Arc<Self>, job: QueuedJob) {
        let is_late = job.priority >= 2;
        let permit = Arc::clone(&self.places).try_acquire_owned().ok();
        if is_late {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        let place = Place { shared: Arc::clone(self), is_late, permit };
        let (stop, stopped) = watch::channel(Stop::Not);
        let held = Held { id: job.id, version: job.version };
        let again = Again { held, delay_us: 0, attempts: job.attempts - 1, errors: job.errors.0.clone() };
        let organization = job.organization_id;
        self.running().insert(job.id, Running { again, stop, organization, asked: None });
        tokio::spawn(Arc::clone(self).work(job, place, stopped));
    }

    /// Waits for what runs; gives back what takes too long, so that another process takes it at once.
    async fn drain(&self) {
        let all = u32::try_from(self.parts.concurrency).unwrap_or(u32::MAX);
        let finished = async {
            let _all = self.places.acquire_many(all).await;
            while self.ending.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(GATHER).await;
            }
        };
        if tokio::time::timeout(DRAIN, finished).await.is_ok() {
            return;
        }
        let left: Vec<Running> = self.running().drain().map(|(_, running)| running).collect();
        tracing::warn!(jobs = left.len(), "jobs were still under way; other processes do them again");
        let give_back = left.iter().map(|running| {
            running.stop.send_replace(Stop::Lost);
            self.parts.queue.again(&running.again)
        });
        let _ = tokio::time::timeout(GIVE_BACK, futures_util::future::join_all(give_back)).await;
    }
}
