//! Jobs as records: what waits and runs, what has ended, and how queues are set.

use serde::{Deserialize, Serialize};

use super::{Json, Record};
use crate::clock::Micros;
use crate::context::Context;
use crate::id::JobId;

/// The most bytes of a payload; more belongs into an object.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

crate::choice! {
    /// Where a job stands that has not ended.
    JobState, "a state" {
        /// It can be claimed.
        Ready = "ready",
        /// Its time has not come: it was asked for later, or is tried again.
        Scheduled = "scheduled",
        /// Another job of its mailbox comes first.
        Waiting = "waiting",
        /// A worker holds it.
        Running = "running",
        /// A dead letter: it is not tried any more.
        Failed = "failed",
        /// A dead letter that its mailbox waits for.
        Holding = "holding",
    }
}

crate::choice! {
    /// How a job ended.
    EndState, "a state" {
        /// It was done.
        Completed = "completed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Whether it is a dead letter.
    #[must_use]
    pub const fn is_dead(self) -> bool {
        matches!(self, Self::Failed | Self::Holding)
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: i64,
    /// When it failed.
    pub at: Micros,
    /// Why, as a stable code.
    pub code: String,
    /// Why, for people, without personal data.
    pub message: String,
}

/// A unit of background work that has not ended.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "jobs", entity = "job", tenant = organization_id, version = version, unaudited, expires = expires_at, retention = short,
         unique(jobs_dedupe_key = (organization_id, queue, dedupe_key)))]
pub struct QueuedJob {
    /// Its id.
    #[record(key)]
    pub id: JobId,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// The queue.
    #[record(plain, about = "a registered name")]
    pub queue: String,
    /// The kind.
    #[record(plain, about = "a registered name")]
    pub kind: String,
    /// What it needs to know.
    #[record(
        encrypted,
        plain,
        about = "what the work needs, which may be an address or a link; gone when it is done"
    )]
    pub payload: Json<serde_json::Value>,
    /// 0 is critical, 3 is low.
    pub priority: i64,
    /// Where it stands.
    #[record(plain, about = "a state")]
    pub state: JobState,
    /// Its place in the order of enqueueing; the store gives it.
    pub sequence: i64,
    /// Not before.
    pub run_at: Micros,
    /// Jobs with the same one run one at a time, in order.
    #[record(plain, about = "an id")]
    pub order_key: Option<String>,
    /// At most one live job has it.
    #[record(plain, about = "an id")]
    pub dedupe_key: Option<String>,
    /// Jobs with the same one are counted together.
    #[record(plain, about = "an id")]
    pub batch_key: Option<String>,
    /// Actor, request and trace.
    #[record(plain, about = "ids")]
    pub context: Json<Context>,
    /// When it was asked for.
    pub created_at: Micros,
    /// How often it was begun.
    pub attempts: i64,
    /// How often it was taken back from the dead letters.
    pub replays: i64,
    /// The worker that holds it.
    #[record(plain, about = "a random id")]
    pub holder: Option<String>,
    /// Until when, unless it is extended.
    pub lease_until: Option<Micros>,
    /// When the last attempt began.
    pub started_at: Option<Micros>,
    /// When it was asked to stop.
    pub cancel_at: Option<Micros>,
    /// How much of it is done, in percent.
    pub progress: i64,
    /// What it is at.
    #[record(plain, about = "what is being done, without personal data")]
    pub message: Option<String>,
    /// The attempts that failed; the last twenty.
    #[record(plain, about = "what failed, without personal data")]
    pub errors: Json<Vec<Attempt>>,
    /// Why it is a dead letter, as a stable code.
    #[record(plain, about = "a code")]
    pub reason: Option<String>,
    /// Since when it is one.
    pub failed_at: Option<Micros>,
    /// When it is removed.
    pub expires_at: Option<Micros>,
    /// Grows when it is claimed or changes its state: the token that refuses whoever has lost it.
    pub version: i64,
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "finished_jobs", entity = "finished_job", tenant = organization_id, unaudited, expires = expires_at, retention = short)]
pub struct FinishedJob {
    /// Its id.
    #[record(key)]
    pub id: JobId,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// The queue.
    #[record(plain, about = "a registered name")]
    pub queue: String,
    /// The kind.
    #[record(plain, about = "a registered name")]
    pub kind: String,
    /// 0 is critical, 3 is low.
    pub priority: i64,
    /// How it ended.
    #[record(plain, about = "a state")]
    pub state: EndState,
    /// Jobs with the same one are counted together.
    #[record(plain, about = "an id")]
    pub batch_key: Option<String>,
    /// Actor, request and trace.
    #[record(plain, about = "ids")]
    pub context: Json<Context>,
    /// When it was asked for.
    pub created_at: Micros,
    /// How often it was begun.
    pub attempts: i64,
    /// When the last attempt began.
    pub started_at: Option<Micros>,
    /// When it ended.
    pub finished_at: Micros,
    /// What it said last.
    #[record(plain, about = "what was done, without personal data")]
    pub message: Option<String>,
    /// The attempts that failed.
    #[record(plain, about = "what failed, without personal data")]
    pub errors: Json<Vec<Attempt>>,
    /// What came of it.
    #[record(encrypted, plain, about = "what the work answers, which may hold anything; kept for some days")]
    pub result: Option<Json<serde_json::Value>>,
    /// When it is removed.
    pub expires_at: Micros,
    /// The token of its last attempt.
    pub version: i64,
}

/// How a queue is set. One that nobody has set has no record: it runs, without a limit.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "queues", entity = "queue", system, version = version)]
pub struct QueueSetting {
    /// Its name.
    #[record(key, plain, about = "a registered name")]
    pub name: String,
    /// Since when nothing of it is claimed.
    pub paused_at: Option<Micros>,
    /// How many of its jobs run at once, in all processes together.
    pub concurrency_max: Option<i64>,
    /// Counts its changes.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// An organization whose jobs wait.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "job_holds", entity = "job_hold", tenant = organization_id, unaudited)]
pub struct JobHold {
    /// Whose they are.
    #[record(key)]
    pub organization_id: i64,
    /// Since when.
    pub created_at: Micros,
}
