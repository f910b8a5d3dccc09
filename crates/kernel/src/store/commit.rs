//! One atomic change, as a value.

use serde::Serialize;

use super::event::{Aggregate, Event, EventType};
use super::queue::Attempt;
use super::record::{Record, RecordMeta};
use super::select::{Query, Select};
use super::value::Value;
use crate::clock::Micros;
use crate::id::{JobId, OrganizationId};

/// What must hold for a commit to be applied.
#[derive(Debug, Clone)]
pub enum Guard {
    /// This record is still as it was read.
    Unchanged {
        /// What it is.
        meta: &'static RecordMeta,
        /// All its values, as they were read.
        values: Vec<Value>,
    },
    /// So many records answer the query. The only guard over a predicate, and the only one that needs serializable isolation.
    Count {
        /// The query; its order and limit play no role.
        select: Select,
        /// At least so many.
        least: i64,
        /// At most so many.
        most: i64,
        /// What is said to have refused.
        name: &'static str,
    },
}

/// A change of one record.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new record.
    Insert {
        /// What it is.
        meta: &'static RecordMeta,
        /// Its values.
        values: Vec<Value>,
        /// Its key, for people.
        label: String,
    },
    /// Another state of a record. Exactly one row changes: the one with the key and version of `before`.
    Update {
        /// What it is.
        meta: &'static RecordMeta,
        /// As it was read.
        before: Vec<Value>,
        /// As it is to be; its version is one more.
        after: Vec<Value>,
        /// Its key, for people.
        label: String,
    },
    /// The end of a record. Exactly one row goes.
    Delete {
        /// What it is.
        meta: &'static RecordMeta,
        /// As it was read.
        before: Vec<Value>,
        /// Its key, for people.
        label: String,
    },
}

impl Write {
    /// What is written.
    #[must_use]
    pub const fn meta(&self) -> &'static RecordMeta {
        match self {
            Self::Insert { meta, .. } | Self::Update { meta, .. } | Self::Delete { meta, .. } => meta,
        }
    }

    /// The values that say which row it is.
    #[must_use]
    pub fn row(&self) -> &[Value] {
        match self {
            Self::Insert { values: row, .. }
            | Self::Update { before: row, .. }
            | Self::Delete { before: row, .. } => row,
        }
    }

    /// The key of the record, for people.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Insert { label, .. } | Self::Update { label, .. } | Self::Delete { label, .. } => label,
        }
    }

    /// What it does, in the words of the audit trail.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "created",
            Self::Update { .. } => "updated",
            Self::Delete { .. } => "deleted",
        }
    }

    /// The organization that the record belongs to; 0 where it belongs to the installation.
    #[must_use]
    pub fn organization(&self) -> i64 {
        self.meta().tenant().and_then(|column| self.row().get(column)).and_then(Value::integer).unwrap_or(0)
    }
}

/// An event that is to be told.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its declaration.
    pub kind: EventType,
    /// What it happened to.
    pub aggregate: Aggregate,
    /// Where it is told.
    pub stream: String,
    /// Whose it is, where the context does not say.
    pub organization: Option<OrganizationId>,
    /// Its payload.
    pub payload: String,
}

/// How soon a job is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before everything else.
    Critical,
    /// Within a second.
    High,
    /// Within ten seconds.
    Normal,
    /// Within a minute.
    Low,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The priority with this number: 0 is critical, 3 and more is low.
    #[must_use]
    pub fn of(level: i64) -> Self {
        usize::try_from(level).ok().and_then(|level| Self::ALL.get(level)).copied().unwrap_or(Self::Low)
    }
}

impl std::str::FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|priority| priority.name() == text);
        found.ok_or_else(|| format!("expected critical, high, normal or low, got \"{text}\""))
    }
}

/// What becomes of a job whose dedupe key another live job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicate {
    /// It is not enqueued: the other one does it.
    #[default]
    Skip,
    /// The commit is refused by `jobs_dedupe_key`.
    Refuse,
}

/// A unit of background work that is to be done exactly if the change happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id, where somebody must know it before the commit.
    pub id: Option<JobId>,
    /// For whom, where the context does not say.
    pub organization: Option<OrganizationId>,
    /// The queue.
    pub queue: String,
    /// The registered kind.
    pub kind: String,
    /// What it needs to know, as JSON.
    pub payload: String,
    /// How soon.
    pub priority: Priority,
    /// Not before this time.
    pub run_at: Option<Micros>,
    /// Jobs with the same key run one at a time, in the order of their commits: an entity's mailbox.
    pub order_key: Option<String>,
    /// At most one live job of the queue has this key.
    pub dedupe_key: Option<String>,
    /// What becomes of it when another one has the key.
    pub on_duplicate: Duplicate,
    /// Jobs with the same key are counted together.
    pub batch_key: Option<String>,
    /// How often it was taken back from the dead letters.
    pub replays: i64,
}

impl Job {
    /// A job of normal priority, as soon as possible, in no mailbox.
    #[must_use]
    pub fn new(queue: impl Into<String>, kind: impl Into<String>, payload: String) -> Self {
        Self {
            id: None,
            organization: None,
            queue: queue.into(),
            kind: kind.into(),
            payload,
            priority: Priority::Normal,
            run_at: None,
            order_key: None,
            dedupe_key: None,
            on_duplicate: Duplicate::Skip,
            batch_key: None,
            replays: 0,
        }
    }
}

/// The end of a job that is still as it was read or claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEnd {
    /// Which.
    pub id: JobId,
    /// Whose it is; 0 for the installation.
    pub organization: i64,
    /// Its version then: when it has another now, the commit is refused by `jobs_version`.
    pub version: i64,
    /// Its mailbox, which goes on.
    pub order_key: Option<String>,
    /// How it ends.
    pub how: Ended,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It was done; what came of it, as JSON, and for how many microseconds that is kept.
    Completed(Option<String>, i64),
    /// It was cancelled; for how many microseconds that is kept.
    Cancelled(i64),
    /// It goes without a trace but the audit trail's.
    Discarded,
    /// It becomes a dead letter.
    Failed {
        /// Why, as a stable code.
        reason: String,
        /// The attempts that failed.
        errors: Vec<Attempt>,
        /// Whether its mailbox waits for it.
        holds: bool,
        /// For how many microseconds it is kept.
        keep_us: i64,
    },
}

/// The answer of an operation, kept so that a retry gets the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers that belong to the answer: `ETag`, `Location`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The record that makes a retried operation one operation.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key that the client chose, at most 255 characters.
    pub key: String,
    /// A hash of the request: the same key with another request is refused.
    pub fingerprint: [u8; 32],
    /// The answer.
    pub reply: Reply,
    /// When the key may be used anew.
    pub expires: Micros,
}

/// Something that is entered in the audit trail although no record changes: a refusal, a look at a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What happened: `session.refused`.
    pub action: Action,
    /// The entity that it is about.
    pub target_kind: &'static str,
    /// Its id.
    pub target: String,
    /// What more there is to say: an array of JSON Patch, without personal data.
    pub diff: String,
}

/// The name of an audited action, where the verb of the write says too little: `organization.suspended`.
pub type Action = &'static str;

/// One atomic change: applied whole, or refused whole.
#[derive(Debug, Clone, Default)]
#[must_use = "a commit changes nothing until a store applies it"]
pub struct Commit {
    /// What must hold.
    pub guards: Vec<Guard>,
    /// What changes, in order.
    pub writes: Vec<Write>,
    /// What is told, in order.
    pub events: Vec<Told>,
    /// What is to be done.
    pub jobs: Vec<Job>,
    /// What has been done.
    pub ends: Vec<JobEnd>,
    /// What makes a retry one operation.
    pub idempotency: Option<Idempotency>,
    /// What the audit trail calls it.
    pub action: Option<Action>,
    /// What else is entered in the audit trail.
    pub notes: Vec<Note>,
    /// What the client called it; echoed in the events.
    pub client_mutation_id: Option<String>,
}

impl Commit {
    /// A commit that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses unless `record` is still as it was read.
    pub fn unchanged<R: Record>(mut self, record: &R) -> Self {
        self.guards.push(Guard::Unchanged { meta: R::META, values: record.values() });
        self
    }

    /// Refuses unless at least `least` and at most `most` records answer the query **after** the writes. `name` is what the error
    /// then names.
    pub fn count<R: Record>(mut self, name: &'static str, query: Query<R>, least: i64, most: i64) -> Self {
        self.guards.push(Guard::Count { select: query.build(), least, most, name });
        self
    }

    /// Adds a record.
    pub fn insert<R: Record>(mut self, record: &R) -> Self {
        self.writes.push(Write::Insert { meta: R::META, values: record.values(), label: record.label() });
        self
    }

    /// Puts a record into another state, if it is still as `before`. The version of `after` must be one more.
    pub fn update<R: Record>(mut self, before: &R, after: &R) -> Self {
        let (before, after, label) = (before.values(), after.values(), before.label());
        self.writes.push(Write::Update { meta: R::META, before, after, label });
        self
    }

    /// Ends a record, if it is still as it was read.
    pub fn delete<R: Record>(mut self, record: &R) -> Self {
        self.writes.push(Write::Delete { meta: R::META, before: record.values(), label: record.label() });
        self
    }

    /// Tells a fact.
    pub fn event<E: Event>(mut self, event: &E) -> Self {
        self.events.push(Told {
            kind: E::TYPE,
            aggregate: event.aggregate(),
            stream: event.stream(),
            organization: event.organization(),
            payload: serde_json::to_string(event).unwrap_or_else(|_| "null".to_owned()),
        });
        self
    }

    /// Asks for work.
    pub fn job(mut self, job: Job) -> Self {
        self.jobs.push(job);
        self
    }

    /// Ends a job: its effects and its end are one change.
    pub fn end(mut self, end: JobEnd) -> Self {
        self.ends.push(end);
        self
    }

    /// Whether it would change nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.guards.is_empty()
            && self.writes.is_empty()
            && self.events.is_empty()
            && self.jobs.is_empty()
            && self.ends.is_empty()
            && self.idempotency.is_none()
            && self.notes.is_empty()
    }

    /// Says what the audit trail calls it.
    pub const fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Enters something in the audit trail although no record changes.
    pub fn note(
        mut self,
        action: Action,
        target_kind: &'static str,
        target: &(impl ToString + ?Sized),
    ) -> Self {
        self.notes.push(Note { action, target_kind, target: target.to_string(), diff: "[]".to_owned() });
        self
    }

    /// This change and another one, as one.
    pub fn and(mut self, other: Self) -> Self {
        self.guards.extend(other.guards);
        self.writes.extend(other.writes);
        self.events.extend(other.events);
        self.jobs.extend(other.jobs);
        self.ends.extend(other.ends);
        self.notes.extend(other.notes);
        self.action = self.action.or(other.action);
        self.idempotency = self.idempotency.or(other.idempotency);
        self.client_mutation_id = self.client_mutation_id.or(other.client_mutation_id);
        self
    }

    /// Makes retries with the same key one operation.
    pub fn once(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }
}

/// What a command decided: what it answers, and the change that makes it true.
#[derive(Debug, Clone)]
#[must_use = "a decision changes nothing until its commit is applied"]
pub struct Decided<T> {
    /// The answer.
    pub value: T,
    /// The change.
    pub commit: Commit,
}

impl<T: Serialize> Decided<T> {
    /// A decision.
    pub const fn new(value: T, commit: Commit) -> Self {
        Self { value, commit }
    }
}
