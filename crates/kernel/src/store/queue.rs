//! Jobs as records: what a runner takes and ends.

use super::{Json, Record};
use crate::clock::Micros;
use crate::context::Context;
use crate::id::JobId;

/// A unit of background work.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "jobs", entity = "job", tenant = organization_id, version = version, unaudited, retention = short,
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
    /// Not before.
    pub run_at: Micros,
    /// Jobs with the same one run in order.
    #[record(plain, about = "an id")]
    pub order_key: Option<String>,
    /// At most one live job has it.
    #[record(plain, about = "an id")]
    pub dedupe_key: Option<String>,
    /// Actor, request and trace.
    #[record(plain, about = "ids")]
    pub context: Json<Context>,
    /// When it was asked for.
    pub created_at: Micros,
    /// How often it was tried.
    pub attempts: i64,
    /// Why the last attempt failed.
    #[record(plain, about = "what failed, without personal data")]
    pub last_error: Option<String>,
    /// Counts its changes.
    pub version: i64,
}
