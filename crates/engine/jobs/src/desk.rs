//! What people ask of jobs: to do one, to stop it, to take it back.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::error::Coded;
use stoa_kernel::id::{Ids, IssueError, JobId};
use stoa_kernel::store::queue::{
    EndState, FinishedJob, JobState, PAYLOAD_BYTES_MAX, QueueSetting, QueuedJob,
};
use stoa_kernel::store::{
    Commit, Duplicate, Ended, Job, Priority, Query, Record as _, Store, StoreError, StoreErrorKind,
};

use crate::kind::{DAY_US, Kind};
use crate::letters::{self, end};
use crate::queue::{Depth, Held, Queue};

/// The most jobs that one request changes.
pub const BULK_MAX: u32 = 200;
/// The most of what has ended that figures are taken from.
const ENDED_MAX: u32 = 200;
/// The most characters of a key.
const KEY_CHARS_MAX: usize = 200;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none that the caller may know of.
    #[error("there is no such job")]
    NotFound,
    /// There is none, or none that the caller may know of.
    #[error("there is no such schedule")]
    NoSchedule,
    /// What it would overlap has not ended.
    #[error("the job of the fire before has not ended, and this schedule passes over what overlaps")]
    Busy,
    /// No kind uses it.
    #[error("there is no queue \"{0}\"")]
    NoQueue(String),
    /// There is none, or only Stoa asks for it.
    #[error("nobody may ask for jobs of the kind \"{0}\"")]
    KindUnknown(String),
    /// It is Stoa's own.
    #[error("what is of the kind \"{0}\" is Stoa's own: something relies on it")]
    Protected(String),
    /// It is not in a state in which that can be done.
    #[error("the job is {is}; only one that is {wanted} can be {verb}")]
    WrongState {
        /// What it is.
        is: &'static str,
        /// What it would have to be.
        wanted: &'static str,
        /// What was to be done.
        verb: &'static str,
    },
    /// Fields that do not hold what they must: the field, and what it takes.
    #[error("{} of the fields cannot be taken", .0.len())]
    Invalid(Vec<(&'static str, String)>),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "job_not_found",
            Self::NoSchedule => "schedule_not_found",
            Self::Busy => "wrong_state",
            Self::NoQueue(_) => "queue_not_found",
            Self::KindUnknown(_) => "job_kind_unknown",
            Self::Protected(_) => "forbidden",
            Self::WrongState { .. } => "wrong_state",
            Self::Invalid(_) => "validation_failed",
            Self::Store(error) => error.code(),
        }
    }
}

/// No id could be issued just now.
pub(crate) fn unissued(error: IssueError) -> Error {
    Error::Store(StoreError::new(StoreErrorKind::Overloaded, error.to_string()))
}

/// A job, wherever it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It has not ended, or is a dead letter.
    Live(Box<QueuedJob>),
    /// It has ended.
    Ended(Box<FinishedJob>),
}

impl Found {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        match self {
            Self::Live(job) => job.id,
            Self::Ended(job) => job.id,
        }
    }

    /// Where it stands, in the words of the API.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self::Live(job) => match job.state {
                JobState::Ready => "queued",
                JobState::Scheduled if job.attempts > 0 => "retrying",
                JobState::Scheduled => "scheduled",
                JobState::Waiting => "waiting",
                JobState::Running => "running",
                JobState::Failed | JobState::Holding => "failed",
            },
            Self::Ended(job) => job.state.name(),
        }
    }

    /// Whether nothing more becomes of it by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Live(job) => job.state.is_dead(),
            Self::Ended(_) => true,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The kind.
    pub kind: String,
    /// What it needs to know.
    pub payload: Value,
    /// How soon; by its kind, if nothing is said.
    pub priority: Option<Priority>,
    /// Not before.
    pub run_at: Option<Micros>,
    /// Its mailbox.
    pub order_key: Option<String>,
    /// At most one live job has it.
    pub dedupe_key: Option<String>,
    /// Jobs with the same one are counted together.
    pub batch_key: Option<String>,
}

/// Which jobs are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this batch.
    pub batch: Option<String>,
    /// Dead for this reason.
    pub reason: Option<String>,
}

impl Filter {
    /// Those that have not ended.
    #[must_use]
    pub fn live(&self, states: &[JobState]) -> Query<QueuedJob> {
        let mut query = QueuedJob::select().is_in(QueuedJob::STATE, states);
        if let Some(kind) = &self.kind {
            query = query.eq(QueuedJob::KIND, kind);
        }
        if let Some(queue) = &self.queue {
            query = query.eq(QueuedJob::QUEUE, queue);
        }
        if self.batch.is_some() {
            query = query.eq(QueuedJob::BATCH_KEY, &self.batch);
        }
        if self.reason.is_some() {
            query = query.eq(QueuedJob::REASON, &self.reason);
        }
        query
    }

    /// Those that have.
    #[must_use]
    pub fn ended(&self, states: &[EndState]) -> Query<FinishedJob> {
        let mut query = FinishedJob::select().is_in(FinishedJob::STATE, states);
        if let Some(kind) = &self.kind {
            query = query.eq(FinishedJob::KIND, kind);
        }
        if let Some(queue) = &self.queue {
            query = query.eq(FinishedJob::QUEUE, queue);
        }
        if self.batch.is_some() {
            query = query.eq(FinishedJob::BATCH_KEY, &self.batch);
        }
        query
    }
}

/// How a queue does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is in it.
    pub depth: Depth,
    /// How it is set, where somebody has.
    pub setting: Option<QueueSetting>,
    /// Jobs that ended lately, of which the figures are.
    pub ended: usize,
    /// How many of them ended in a second, in thousandths.
    pub per_second_milli: i64,
    /// How long they waited before they began: half of them at most so long, 95 and 99 of a hundred; in microseconds.
    pub waited_us: [i64; 3],
    /// How long they took.
    pub took_us: [i64; 3],
}

/// Where what is asked is decided.
pub struct Desk {
    /// Where jobs are.
    pub store: Arc<dyn Store>,
    /// What workers do.
    pub queue: Arc<dyn Queue>,
    /// Dates it.
    pub clock: Arc<dyn Clock>,
    /// Numbers it.
    pub ids: Arc<dyn Ids>,
    /// Every kind.
    pub kinds: Vec<&'static Kind>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl Desk {
    /// A kind by its name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&'static Kind> {
        self.kinds.iter().copied().find(|kind| kind.name == name)
    }

    /// A job, wherever it stands.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn find(&self, cx: &Context, id: JobId) -> Result<Found, Error> {
        let store = self.store.as_ref();
        if let Some(job) = store.find(cx, QueuedJob::select().eq(QueuedJob::ID, &id)).await? {
            return Ok(Found::Live(Box::new(job)));
        }
        let ended = store.find(cx, FinishedJob::select().eq(FinishedJob::ID, &id)).await?;
        ended.map(|job| Found::Ended(Box::new(job))).ok_or(Error::NotFound)
    }

    /// The live job that has a dedupe key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn by_dedupe_key(
        &self,
        cx: &Context,
        kind: &Kind,
        key: &str,
    ) -> Result<Option<QueuedJob>, Error> {
        let query = QueuedJob::select()
            .eq(QueuedJob::ORGANIZATION_ID, &cx.scope.number())
            .eq(QueuedJob::QUEUE, &kind.queue.to_owned())
            .eq(QueuedJob::DEDUPE_KEY, &Some(key.to_owned()));
        Ok(self.store.find(cx, query).await?)
    }

    /// Decides that a job is to be done. Refused by `jobs_dedupe_key` when another one has its key.
    ///
    /// # Errors
    /// [`Error::KindUnknown`], [`Error::Invalid`].
    pub fn submit(&self, draft: Draft) -> Result<(&'static Kind, Job), Error> {
        let kind = self.kind(&draft.kind).filter(|kind| kind.form.is_some());
        let kind = kind.ok_or_else(|| Error::KindUnknown(draft.kind.clone()))?;
        let mut wrong = Vec::new();
        if let Some(form) = kind.form
            && let Err(message) = form.read(&draft.payload)
        {
            wrong.push(("/payload", message));
        }
        let payload = draft.payload.to_string();
        if payload.len() > PAYLOAD_BYTES_MAX {
            wrong.push(("/payload", format!("has at most {PAYLOAD_BYTES_MAX} bytes")));
        }
        let keys = [
            ("/orderKey", &draft.order_key),
            ("/dedupeKey", &draft.dedupe_key),
            ("/batchKey", &draft.batch_key),
        ];
        for (pointer, key) in keys {
            let is_bad = |key: &String| {
                !(1..=KEY_CHARS_MAX).contains(&key.chars().count()) || key.chars().any(char::is_control)
            };
            if key.as_ref().is_some_and(is_bad) {
                wrong.push((
                    pointer,
                    format!("has 1 to {KEY_CHARS_MAX} characters, none of them control characters"),
                ));
            }
        }
        if draft.run_at.is_some_and(|time| time.since(self.clock.now()) > 366 * DAY_US) {
            wrong.push(("/runAt", "is within a year from now".to_owned()));
        }
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        let id = self.ids.next().map_err(unissued)?;
        let job = Job {
            id: Some(id),
            priority: draft.priority.unwrap_or(kind.priority),
            run_at: draft.run_at,
            order_key: draft.order_key,
            dedupe_key: draft.dedupe_key,
            on_duplicate: Duplicate::Refuse,
            batch_key: draft.batch_key,
            ..Job::new(kind.queue, kind.name, payload)
        };
        Ok((kind, job))
    }

    /// Decides that a job stops: one that waits at once; one that runs is asked to, and ends within half a minute.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`], [`Error::Protected`].
    pub async fn cancel(&self, cx: &Context, id: JobId) -> Result<Commit, Error> {
        let found = self.find(cx, id).await?;
        self.is_yielding(cx, &found)?;
        let wrong = |is| Error::WrongState { is, wanted: "waiting or running", verb: "cancelled" };
        let Found::Live(job) = &found else { return Err(wrong(found.state())) };
        let noted = Commit::new().note("job.cancelled", "job", &id);
        match job.state {
            JobState::Failed | JobState::Holding => Err(wrong(found.state())),
            JobState::Running => {
                let held = Held { id, version: job.version };
                if !self.queue.ask_to_stop(held, self.clock.now()).await? {
                    // It ended, or was given back, this very moment.
                    return Err(wrong("not running any more"));
                }
                Ok(noted)
            }
            JobState::Ready | JobState::Scheduled | JobState::Waiting => {
                let keep_us = self.kind(&job.kind).map_or(DAY_US, |kind| kind.keep_us.max(DAY_US));
                Ok(noted.end(end(job, Ended::Cancelled(keep_us))))
            }
        }
    }

    /// Refuses what others rely on, and to an organization what Stoa asks for by itself.
    fn is_yielding(&self, cx: &Context, found: &Found) -> Result<(), Error> {
        let Found::Live(job) = found else { return Ok(()) };
        let kind = self.kind(&job.kind);
        let is_own = kind.is_none_or(|kind| kind.form.is_some()) || cx.scope == Scope::System;
        let is_dispensable = kind.is_none_or(|kind| kind.is_dispensable);
        if is_own && is_dispensable { Ok(()) } else { Err(Error::Protected(job.kind.clone())) }
    }

    /// The dead letter with an id.
    async fn letter(&self, cx: &Context, id: JobId, verb: &'static str) -> Result<QueuedJob, Error> {
        match self.find(cx, id).await? {
            Found::Live(job) if job.state.is_dead() => Ok(*job),
            found => Err(Error::WrongState { is: found.state(), wanted: "failed", verb }),
        }
    }

    /// Decides that a dead letter is tried again, as it is or with another payload.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`], [`Error::Invalid`], [`Error::KindUnknown`] when a payload is given that nobody may give.
    pub async fn replay(&self, cx: &Context, id: JobId, payload: Option<Value>) -> Result<Commit, Error> {
        let letter = self.letter(cx, id, "taken back").await?;
        if let Some(payload) = &payload {
            let form = self.kind(&letter.kind).and_then(|kind| kind.form);
            let form = form.ok_or_else(|| Error::KindUnknown(letter.kind.clone()))?;
            form.read(payload).map_err(|message| Error::Invalid(vec![("/payload", message)]))?;
            if payload.to_string().len() > PAYLOAD_BYTES_MAX {
                let message = format!("has at most {PAYLOAD_BYTES_MAX} bytes");
                return Err(Error::Invalid(vec![("/payload", message)]));
            }
        }
        let replayed = letters::replay(&letter, payload, self.clock.now());
        Ok(replayed.note("job.replayed", "job", &id))
    }

    /// Decides that a dead letter goes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`], [`Error::Protected`].
    pub async fn discard(&self, cx: &Context, id: JobId) -> Result<Commit, Error> {
        let letter = self.letter(cx, id, "discarded").await?;
        self.is_yielding(cx, &Found::Live(Box::new(letter.clone())))?;
        Ok(Commit::new().end(end(&letter, Ended::Discarded)).note("job.discarded", "job", &id))
    }

    /// Decides over many dead letters at once, the oldest first: how many, and whether there are more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn bulk(
        &self,
        cx: &Context,
        filter: &Filter,
        is_replayed: bool,
    ) -> Result<(usize, bool, Commit), Error> {
        let query = filter.live(&[JobState::Failed, JobState::Holding]).ascending(QueuedJob::ID);
        let mut letters = self.store.list(cx, query.limit(BULK_MAX + 1)).await?;
        if !is_replayed {
            letters.retain(|letter| self.is_yielding(cx, &Found::Live(Box::new(letter.clone()))).is_ok());
        }
        let most = usize::try_from(BULK_MAX).unwrap_or(usize::MAX);
        let has_more = letters.len() > most;
        letters.truncate(most);
        let now = self.clock.now();
        let commit = letters.iter().fold(Commit::new(), |commit, letter| {
            if is_replayed {
                commit.and(letters::replay(letter, None, now)).note("job.replayed", "job", &letter.id)
            } else {
                commit.end(end(letter, Ended::Discarded)).note("job.discarded", "job", &letter.id)
            }
        });
        Ok((letters.len(), has_more, commit))
    }

    /// Decides that everything that waits in a queue is cancelled; what runs, goes on. How many, and whether there are more.
    ///
    /// # Errors
    /// [`Error::NoQueue`].
    pub async fn drain(&self, cx: &Context, queue: &str) -> Result<(usize, bool, Commit), Error> {
        self.known(queue)?;
        let filter = Filter { queue: Some(queue.to_owned()), ..Filter::default() };
        let states = [JobState::Ready, JobState::Scheduled, JobState::Waiting];
        let query = filter.live(&states).descending(QueuedJob::ID).limit(BULK_MAX + 1);
        let mut jobs = self.store.list(cx, query).await?;
        let most = usize::try_from(BULK_MAX).unwrap_or(usize::MAX);
        let has_more = jobs.len() > most;
        jobs.truncate(most);
        jobs.retain(|job| self.kind(&job.kind).is_none_or(|kind| kind.is_dispensable));
        let ends = jobs.iter().map(|job| end(job, Ended::Cancelled(DAY_US)));
        let commit = ends.fold(Commit::new(), Commit::end);
        Ok((jobs.len(), has_more, commit.note("queue.drained", "queue", queue)))
    }

    fn known(&self, queue: &str) -> Result<(), Error> {
        let is_known = self.kinds.iter().any(|kind| kind.queue == queue);
        is_known.then_some(()).ok_or_else(|| Error::NoQueue(queue.to_owned()))
    }

    /// Decides how a queue is set: whether it is paused, and how many of its jobs run at once. `None` leaves it as it is.
    ///
    /// # Errors
    /// [`Error::NoQueue`].
    pub async fn set_queue(
        &self,
        cx: &Context,
        queue: &str,
        is_paused: Option<bool>,
        concurrency_max: Option<Option<i64>>,
    ) -> Result<(QueueSetting, Commit), Error> {
        self.known(queue)?;
        let query = QueueSetting::select().eq(QueueSetting::NAME, &queue.to_owned());
        let before = self.store.find(cx, query).await?;
        let now = self.clock.now();
        let paused_at = before.as_ref().and_then(|setting| setting.paused_at);
        let setting = QueueSetting {
            name: queue.to_owned(),
            paused_at: match is_paused {
                Some(true) => paused_at.or(Some(now)),
                Some(false) => None,
                None => paused_at,
            },
            concurrency_max: concurrency_max
                .unwrap_or_else(|| before.as_ref().and_then(|setting| setting.concurrency_max)),
            version: before.as_ref().map_or(1, |setting| setting.version + 1),
            updated_at: now,
        };
        let commit = match &before {
            Some(before) => Commit::new().update(before, &setting),
            None => Commit::new().insert(&setting),
        };
        Ok((setting, commit))
    }

    /// How every queue does.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn queues(&self, cx: &Context) -> Result<Vec<Standing>, Error> {
        let mut depths: HashMap<String, Depth> =
            self.queue.depths().await?.into_iter().map(|depth| (depth.queue.clone(), depth)).collect();
        let settings = self.store.list(cx, QueueSetting::select().ascending(QueueSetting::NAME)).await?;
        let ended = FinishedJob::select().descending(FinishedJob::ID).limit(ENDED_MAX);
        let ended = self.store.list(cx, ended).await?;
        let mut names: Vec<&str> = self.kinds.iter().map(|kind| kind.queue).collect();
        names.sort_unstable();
        names.dedup();
        let now = self.clock.now();
        let standing = |name: &str| {
            let none = || Depth { queue: name.to_owned(), ..Depth::default() };
            let depth = depths.remove(name).unwrap_or_else(none);
            let setting = settings.iter().find(|setting| setting.name == name).cloned();
            let own: Vec<&FinishedJob> = ended.iter().filter(|job| job.queue == name).collect();
            let since = own.iter().map(|job| job.finished_at).min().unwrap_or(now);
            let span_us = now.since(since).max(1_000_000);
            let count = i64::try_from(own.len()).unwrap_or(i64::MAX);
            let started = || own.iter().filter_map(|job| Some((job, job.started_at?)));
            Standing {
                depth,
                setting,
                ended: own.len(),
                per_second_milli: count.saturating_mul(1_000_000_000) / span_us,
                waited_us: percentiles(started().map(|(job, start)| start.since(job.created_at)).collect()),
                took_us: percentiles(started().map(|(job, start)| job.finished_at.since(start)).collect()),
            }
        };
        Ok(names.into_iter().map(standing).collect())
    }

    /// How many jobs of a batch there are: that are still to be done, run among these, were done, failed, were cancelled.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn batch(&self, cx: &Context, key: &str) -> Result<[i64; 5], Error> {
        let filter = Filter { batch: Some(key.to_owned()), ..Filter::default() };
        let live = async |states: &[JobState]| self.store.count(cx, filter.live(states)).await;
        let ended = async |state| self.store.count(cx, filter.ended(&[state])).await;
        // What ends meanwhile is counted twice rather than not at all: a batch is never done too early.
        Ok([
            live(&[JobState::Ready, JobState::Scheduled, JobState::Waiting, JobState::Running]).await?,
            live(&[JobState::Running]).await?,
            ended(EndState::Completed).await?,
            live(&[JobState::Failed, JobState::Holding]).await?,
            ended(EndState::Cancelled).await?,
        ])
    }
}

/// The value that half of them do not exceed, 95 and 99 of a hundred (nearest rank).
fn percentiles(mut values: Vec<i64>) -> [i64; 3] {
    values.sort_unstable();
    [50, 95, 99].map(|percent| {
        let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
        values.get(rank).copied().unwrap_or(0).max(0)
    })
}
