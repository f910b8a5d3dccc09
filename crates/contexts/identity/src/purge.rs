//! The end of an organization: everything in it is removed, in bounded steps, and a tombstone stays.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stoa_jobs::{Done, Failed, Handler, Kind, Work, letters};
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::id::{Ids, OrganizationId};
use stoa_kernel::store::queue::{JobHold, QueuedJob};
use stoa_kernel::store::{BoxFuture, Commit, Ended, Job, Priority, Record as _, Store, Upkeep};
use stoa_workflow::{Activity, At, Next, Outcome, Policy, Step, Undo, View, Workflow};

use crate::organization::{self, Organization, State};

/// The kind of the job that starts the run: it is the organization's own, and the run the installation's, which stays.
pub static PURGE: Kind = Kind {
    priority: Priority::Low,
    timeout: Duration::from_secs(60),
    // Nothing of the organization stays, this job neither.
    keep_us: 0,
    is_dispensable: false,
    is_installation: true,
    ..Kind::new("organization.purge", "organizations", "Begins to remove everything in an organization.")
};
/// How many rows of each table are removed at once, and how often in a step.
const BATCH: u32 = 500;
const BATCHES: usize = 40;

/// The job that begins to remove what is in an organization.
pub(crate) fn job(id: OrganizationId) -> Job {
    PURGE.job(&json!({"organization": id}))
}

fn named(input: &Value) -> Result<OrganizationId, Failed> {
    let id = input.get("organization").and_then(Value::as_str).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Failed::never("no organization is named"))
}

/// Does those jobs.
pub struct Purging {
    /// Where organizations are.
    pub store: Arc<dyn Store>,
    /// Dates the run.
    pub clock: Arc<dyn Clock>,
    /// Numbers it.
    pub ids: Arc<dyn Ids>,
    /// What it executes.
    pub workflow: Arc<PurgeWorkflow>,
}

impl std::fmt::Debug for Purging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Purging")
    }
}

impl Handler for Purging {
    fn kind(&self) -> &'static Kind {
        &PURGE
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let id = named(&work.job.payload.0)?;
            if purging(self.store.as_ref(), &work.cx, id).await?.is_none() {
                return Ok(Done::default());
            }
            let run = self.ids.next().map_err(|error| Failed::later(error.to_string()))?;
            let input = json!({"organization": id});
            let workflow = self.workflow.as_ref();
            let key = Some(id.to_string());
            let (_, commit) = stoa_workflow::start(run, self.clock.now(), &work.cx, workflow, input, key);
            Ok(Done::from(commit))
        })
    }
}

/// The organization, while it is being removed: `None` when somebody else has done it, or it was never to be.
async fn purging(
    store: &dyn Store,
    cx: &Context,
    id: OrganizationId,
) -> Result<Option<Organization>, Failed> {
    match organization::by_id(store, cx, id).await {
        Ok(found) => Ok(Some(found).filter(|found| found.state == State::Purging)),
        Err(organization::Error::NotFound) => Ok(None),
        Err(error) => Err(Failed::later(error.to_string())),
    }
}

/// Removes rows, then jobs, then leaves the tombstone.
pub struct PurgeWorkflow {
    remove: Remove,
    discard: Discard,
    bury: Bury,
}

impl std::fmt::Debug for PurgeWorkflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PurgeWorkflow")
    }
}

impl PurgeWorkflow {
    /// On a store.
    #[must_use]
    pub fn on(store: &Arc<dyn Store>, upkeep: &Arc<dyn Upkeep>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            remove: Remove(Arc::clone(upkeep)),
            discard: Discard(Arc::clone(store)),
            bury: Bury(Arc::clone(store), Arc::clone(clock)),
        }
    }
}

impl Workflow for PurgeWorkflow {
    fn name(&self) -> &'static str {
        "organization.purge"
    }

    fn about(&self) -> &'static str {
        "Removes everything in an organization; a tombstone stays."
    }

    fn next(&self, view: &View<'_>) -> Result<Next, String> {
        // What is removed cannot be brought back: it goes on for as long as it takes.
        let policy = Policy { attempts_max: 50, timeout_ms: 300_000, wait_ms: 500, is_tolerated: false };
        let step = |name: String, activity: &str, undo| Step {
            policy,
            undo,
            ..Step::activity(name, activity, view.input.clone())
        };
        for (prefix, activity) in [("rows", "remove"), ("jobs", "discard")] {
            for number in 1.. {
                let name = format!("{prefix}-{number}");
                match view.output(&name) {
                    None => return Ok(Next::Steps(vec![step(name, activity, Undo::Impossible)])),
                    Some(done) if done["more"] == true => {}
                    Some(_) => break,
                }
            }
        }
        Ok(match view.output("bury") {
            None => Next::Steps(vec![step("bury".to_owned(), "bury", Undo::Nothing)]),
            Some(_) => Next::Done(view.input.clone()),
        })
    }

    fn activity(&self, name: &str) -> Option<&dyn Activity> {
        match name {
            "remove" => Some(&self.remove),
            "discard" => Some(&self.discard),
            "bury" => Some(&self.bury),
            _ => None,
        }
    }
}

/// Removes rows. What is removed is not there any more: doing so twice does no more.
struct Remove(Arc<dyn Upkeep>);

impl Activity for Remove {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let id = named(at.input)?;
            for _ in 0..BATCHES {
                if self.0.purge_organization(id, BATCH).await? == 0 {
                    return Ok(Outcome::of(json!({"more": false})));
                }
            }
            Ok(Outcome::of(json!({"more": true})))
        })
    }
}

/// Discards jobs: what is discarded is not there any more, and doing so twice does no more.
struct Discard(Arc<dyn Store>);

impl Activity for Discard {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let id = named(at.input)?;
            for _ in 0..BATCHES {
                let asked = QueuedJob::select().eq(QueuedJob::ORGANIZATION_ID, &id.to_i64());
                let jobs = self.0.list(at.cx, asked.ascending(QueuedJob::ID).limit(BATCH)).await?;
                let ends = jobs.iter().map(|job| letters::end(job, Ended::Discarded));
                self.0.commit(at.cx, ends.fold(Commit::new(), Commit::end)).await?;
                if jobs.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                    return Ok(Outcome::of(json!({"more": false})));
                }
            }
            Ok(Outcome::of(json!({"more": true})))
        })
    }
}

/// Leaves the tombstone.
struct Bury(Arc<dyn Store>, Arc<dyn Clock>);

impl Activity for Bury {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let (store, id) = (self.0.as_ref(), named(at.input)?);
            let Some(found) = purging(store, at.cx, id).await? else { return Ok(Outcome::default()) };
            let held = JobHold::select().eq(JobHold::ORGANIZATION_ID, &id.to_i64());
            let held = store.list(at.cx, held).await?;
            let commit = held.iter().fold(Commit::new(), Commit::delete);
            let commit = commit.and(organization::purged(&found, self.1.as_ref()).commit);
            Ok(Outcome { commit, output: Value::Null })
        })
    }
}
