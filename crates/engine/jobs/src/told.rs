//! What the log tells about jobs.

use serde::Serialize;
use serde_json::json;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{Aggregate, Event as _, EventType, Fact};

/// A job that has failed, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedJob {
    #[serde(skip)]
    organization: Option<OrganizationId>,
    /// Which.
    job_id: String,
    /// Its kind.
    kind: String,
    /// Its queue.
    queue: String,
    /// Why, as a stable code.
    reason: String,
    /// How often it was tried since it was last taken back.
    attempts: i64,
    /// How often it was taken back.
    replays: i64,
}

impl From<(&QueuedJob, &str)> for FailedJob {
    fn from((job, reason): (&QueuedJob, &str)) -> Self {
        let organization = u64::try_from(job.organization_id).ok().filter(|id| *id > 0);
        Self {
            organization: organization.and_then(OrganizationId::from_raw),
            job_id: job.id.to_string(),
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            reason: reason.to_owned(),
            attempts: job.attempts,
            replays: job.replays,
        }
    }
}

impl Fact for FailedJob {
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "required": ["jobId", "kind", "queue", "reason", "attempts", "replays"],
            "properties": {
                "jobId": {"type": "string", "description": "Which."},
                "kind": {"type": "string", "description": "Its kind."},
                "queue": {"type": "string", "description": "Its queue."},
                "reason": {"type": "string", "description": "Why, as a stable code."},
                "attempts": {"type": "integer", "description": "How often it was tried since it was last taken back."},
                "replays": {"type": "integer", "description": "How often it was taken back."}
            },
            "additionalProperties": false
        })
    }

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "job".to_owned(), id: self.job_id.clone(), version: None }
    }

    fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }
}

stoa_kernel::told! {
    pub FailedJob {
        /// A job has become a dead letter.
        JobDeadLettered = "job.dead_lettered", "A job is not tried any more: it is a dead letter.";
        /// A dead letter will not be taken back without somebody asking.
        DeadLetterAlert = "job.dead_letter_alert", "A dead letter will not be taken back by itself: somebody must look at it.";
    }
}

/// The types of events of jobs.
pub(crate) const EVENT_TYPES: &[EventType] = &[JobDeadLettered::TYPE, DeadLetterAlert::TYPE];
