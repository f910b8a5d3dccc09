//! The job that performs an activity: the end of a step, what it changes and the next advance are one commit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use stoa_jobs::{Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::clock::Clock;
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::queue::PAYLOAD_BYTES_MAX;
use stoa_kernel::store::{BoxFuture, Commit, Job, Json, Store};

use crate::advance::{Target, advance, find_run, find_step, organization};
use crate::definition::{At, Outcome, Policy, Registry, Undo};
use crate::record::{Run, StepRecord, StepState};

/// The longest that an attempt may take.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// The longest pause before another attempt, in microseconds.
const WAIT_US_MAX: i64 = 3_600_000_000;

/// Why a job is tried again although the step was not: the store refused, or the process does not know the definition.
const NO_ATTEMPT: [&str; 2] = ["store_refused", UNKNOWN];
const UNKNOWN: &str = "definition_unknown";
/// How long a job waits for a process that knows the definition, in microseconds.
const UNKNOWN_US: i64 = 2_000_000;

/// The kind of the job that performs an activity. The step says how often it is tried; the job never gives up before.
pub static PERFORM: Kind = Kind {
    timeout: TIMEOUT_MAX.saturating_add(Duration::from_secs(60)),
    retry: RetryPolicy { attempts_max: 1_000_000, ..RETRY },
    keep_us: 0,
    is_dispensable: false,
    ..Kind::new("workflow.perform", "workflows", "Performs a step of a run.")
};

/// The job that performs a step, or undoes it.
pub(crate) fn job(step: &StepRecord) -> Job {
    let target = Target { run: step.run_id, step: Some(step.step.clone()) };
    Job { organization: organization(step.organization_id), ..PERFORM.job(&target) }
}

/// Does those jobs.
pub struct Perform {
    /// Where runs are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// What they execute.
    pub registry: Registry,
}

impl std::fmt::Debug for Perform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Perform").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Handler for Perform {
    fn kind(&self) -> &'static Kind {
        &PERFORM
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let target: Target = work.payload()?;
            let name = target.step.unwrap_or_default();
            let store = self.store.as_ref();
            let run = find_run(store, &work.cx, target.run).await?.filter(|run| !run.state.is_over());
            let step = find_step(store, &work.cx, target.run, &name).await?;
            let step = step.filter(|step| matches!(step.state, StepState::Running | StepState::Undoing));
            // It was ended otherwise.
            let (Some(run), Some(step)) = (run, step) else { return Ok(Done::default()) };
            self.perform(work, &run, &step).await.map(Done::from)
        })
    }
}

impl Perform {
    async fn perform(&self, work: &Work, run: &Run, step: &StepRecord) -> Result<Commit, Failed> {
        let policy = step.policy.0;
        // What the store or this process could not do is no attempt of the step.
        let passed =
            work.job.errors.0.iter().filter(|error| NO_ATTEMPT.contains(&error.code.as_str())).count();
        let attempt = (work.job.attempts - i64::try_from(passed).unwrap_or(0)).max(1);
        let outcome = if attempt > i64::from(policy.attempts_max) {
            Err(Failed {
                code: "worker_lost",
                ..Failed::never("its workers were not heard of any more, each time")
            })
        } else {
            self.attempt(work, run, step, attempt).await?
        };
        let is_undoing = step.state == StepState::Undoing;
        let mut after = StepRecord {
            attempts: attempt,
            version: step.version + 1,
            finished_at: Some(self.clock.now()),
            ..step.clone()
        };
        let commit = match outcome {
            Ok(_) if work.is_stopped() => return Err(Failed::later("it was stopped")),
            Ok(done) => {
                let Outcome { commit, output } = done;
                if is_undoing {
                    after.state = StepState::Undone;
                } else {
                    (after.state, after.output) = (StepState::Completed, Some(Json(output)));
                }
                commit
            }
            Err(why) if !why.is_final && attempt < i64::from(policy.attempts_max) => {
                return Err(Failed { after_us: Some(pause(policy, attempt)), ..why });
            }
            Err(why) => {
                after.state = if is_undoing { StepState::UndoFailed } else { StepState::Failed };
                after.error = Some(format!("{}: {}", why.code, why.message));
                Commit::new()
            }
        };
        Ok(commit.update(step, &after).job(advance(run.id, run.organization_id)))
    }

    /// One attempt. The outer error is none of the step's: another process may do better.
    async fn attempt(
        &self,
        work: &Work,
        run: &Run,
        step: &StepRecord,
        attempt: i64,
    ) -> Result<Result<Outcome, Failed>, Failed> {
        let workflow = self.registry.get(&run.workflow, run.definition).ok_or_else(|| {
            let why = format!("this process does not know version {} of {}", run.definition, run.workflow);
            Failed { code: UNKNOWN, after_us: Some(UNKNOWN_US), ..Failed::later(why) }
        })?;
        let (name, output) = match (&step.undo.0, step.state) {
            (Undo::By(name), StepState::Undoing) => {
                (name.as_str(), step.output.as_ref().map(|output| &output.0))
            }
            _ => (step.name.as_str(), None),
        };
        let Some(activity) = workflow.activity(name) else {
            return Ok(Err(Failed {
                code: "no_handler",
                ..Failed::never(format!("there is no activity {name}"))
            }));
        };
        let idempotency_key =
            format!("{}/{}{}", run.id, step.step, if output.is_some() { "/undo" } else { "" });
        let lot = blake3::hash(idempotency_key.as_bytes());
        let at = At {
            cx: &work.cx,
            run: run.id,
            step: &step.step,
            input: &step.input.0,
            output,
            now: step.started_at,
            seed: lot.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            idempotency_key,
            attempt,
        };
        let timeout = Duration::from_millis(step.policy.0.timeout_ms).min(TIMEOUT_MAX);
        let doing = AssertUnwindSafe(activity.perform(&at)).catch_unwind();
        Ok(match tokio::time::timeout(timeout, doing).await {
            Ok(Ok(Ok(outcome))) if size(&outcome.output) > PAYLOAD_BYTES_MAX => {
                Err(Failed::never(format!("its output has more than {PAYLOAD_BYTES_MAX} bytes")))
            }
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failed {
                code: "panicked",
                ..Failed::later("it panicked; the log of its worker has more")
            }),
            Err(_) => {
                let why = format!("it took longer than {} ms", timeout.as_millis());
                Err(Failed { code: "timed_out", ..Failed::later(why) })
            }
        })
    }
}

fn size(output: &Value) -> usize {
    output.to_string().len()
}

/// Twice as long before each further attempt.
fn pause(policy: Policy, attempt: i64) -> i64 {
    let base = i64::try_from(policy.wait_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
    let doublings = u32::try_from((attempt - 1).clamp(0, 40)).unwrap_or(40);
    base.saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX)).clamp(0, WAIT_US_MAX)
}
