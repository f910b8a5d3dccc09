//! The end of an organization: everything in it is removed, in bounded steps, and a tombstone stays.

use std::sync::Arc;
use std::time::Duration;

use stoa_jobs::letters;
use stoa_jobs::{Done, Failed, Handler, Kind, Work};
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::queue::{JobHold, QueuedJob};
use stoa_kernel::store::{BoxFuture, Commit, Ended, Job, Priority, Record as _, Store, Upkeep};

use crate::organization::{self, Organization, State};

/// The kind of the job.
pub static PURGE: Kind = Kind {
    priority: Priority::Low,
    timeout: Duration::from_secs(300),
    // Nothing of the organization stays, this job neither.
    keep_us: 0,
    is_dispensable: false,
    is_installation: true,
    ..Kind::new("organization.purge", "organizations", "Removes everything in an organization.")
};
/// How many rows of each table a step removes, and how many steps a job takes before it asks for another.
const STEP: u32 = 500;
const STEPS_MAX: usize = 20;

/// The job that removes what is in an organization.
pub(crate) fn job(id: OrganizationId) -> Job {
    PURGE.job(&serde_json::json!({"organization": id}))
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
                let asked = QueuedJob::select()
                    .eq(QueuedJob::ORGANIZATION_ID, &found.id.to_i64())
                    .ascending(QueuedJob::ID)
                    .limit(STEP);
                let others = self.store.list(cx, asked).await?;
                let (few, most) = (others.len(), usize::try_from(STEP).unwrap_or(usize::MAX));
                let ends = others
                    .iter()
                    .filter(|job| job.id != own.id)
                    .map(|job| letters::end(job, Ended::Discarded));
                let commit = ends.fold(Commit::new(), Commit::end);
                if few < most {
                    let held = self
                        .store
                        .list(cx, JobHold::select().eq(JobHold::ORGANIZATION_ID, &found.id.to_i64()));
                    let commit = held.await?.iter().fold(commit, Commit::delete);
                    return Ok(commit.and(organization::purged(&found, self.clock.as_ref()).commit));
                }
                self.store.commit(cx, commit).await?;
            }
        }
        tracing::info!(organization = %found.id, request = %cx.request, "more of an organization is to be removed");
        // Another job of the installation goes on.
        Ok(Commit::new().job(job(found.id)))
    }
}

impl Handler for Purging {
    fn kind(&self) -> &'static Kind {
        &PURGE
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let (cx, asked) = (&work.cx, &work.job);
            let id = asked.payload.0.get("organization").and_then(serde_json::Value::as_str);
            let id = id.and_then(|id| id.parse::<OrganizationId>().ok());
            let id = id.ok_or_else(|| Failed::never("the job names no organization"))?;
            match organization::by_id(self.store.as_ref(), cx, id).await {
                Ok(found) if found.state == State::Purging => {
                    self.work(cx, found, asked).await.map(Done::from)
                }
                // Somebody else has done it, or it was never to be.
                Ok(_) | Err(organization::Error::NotFound) => Ok(Done::default()),
                Err(error) => Err(Failed::later(error.to_string())),
            }
        })
    }
}
