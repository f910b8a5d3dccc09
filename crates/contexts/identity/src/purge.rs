//! The end of an organization: everything in it is removed, in bounded steps, and a tombstone stays.

use std::sync::Arc;

use stoa_jobs::{Failed, Handler};
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{BoxFuture, Commit, Job, Priority, Record as _, Store, Upkeep};

use crate::organization::{self, Organization, State};

/// The queue and the kind of the job.
const PURGE: (&str, &str) = ("organizations", "organization.purge");
/// How many rows of each table a step removes, and how many steps a job takes before it asks for another.
const STEP: u32 = 500;
const STEPS_MAX: usize = 20;

/// The job that removes what is in an organization.
pub(crate) fn job(id: OrganizationId) -> Job {
    let (queue, kind) = PURGE;
    Job {
        queue,
        kind,
        payload: serde_json::json!({"organization": id}).to_string(),
        priority: Priority::Low,
        run_at: None,
        order_key: None,
        dedupe_key: None,
    }
}

/// Does those jobs. Safe to run twice: what is removed is not there any more.
pub struct Purging {
    /// Where the tombstone stays.
    pub store: Arc<dyn Store>,
    /// Removes rows.
    pub upkeep: Arc<dyn Upkeep>,
    /// Dates it.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Purging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Purging")
    }
}

impl Purging {
    async fn work(&self, cx: &Context, found: Organization, own: &QueuedJob) -> Result<Commit, Failed> {
        for _ in 0..STEPS_MAX {
            if self.upkeep.purge_organization(found.id, STEP).await? == 0 {
                let asked = QueuedJob::select().eq(QueuedJob::ORGANIZATION_ID, &found.id.to_i64());
                let others = self.store.list(cx, asked).await?;
                let commit = others.iter().filter(|job| job.id != own.id).fold(Commit::new(), Commit::delete);
                return Ok(commit.and(organization::purged(&found, self.clock.as_ref()).commit));
            }
        }
        tracing::info!(organization = %found.id, request = %cx.request, "more of an organization is to be removed");
        // Another job of the installation goes on.
        Ok(Commit::new().job(job(found.id)))
    }
}

impl Handler for Purging {
    fn kind(&self) -> &'static str {
        PURGE.1
    }

    fn run<'a>(&'a self, cx: &'a Context, asked: &'a QueuedJob) -> BoxFuture<'a, Result<Commit, Failed>> {
        Box::pin(async move {
            let id = asked.payload.0.get("organization").and_then(serde_json::Value::as_str);
            let id = id.and_then(|id| id.parse::<OrganizationId>().ok());
            let id = id.ok_or_else(|| Failed::Never("the job names no organization".to_owned()))?;
            match organization::by_id(self.store.as_ref(), cx, id).await {
                Ok(found) if found.state == State::Purging => self.work(cx, found, asked).await,
                // Somebody else has done it, or it was never to be.
                Ok(_) | Err(organization::Error::NotFound) => Ok(Commit::new()),
                Err(error) => Err(Failed::Later(error.to_string())),
            }
        })
    }
}
