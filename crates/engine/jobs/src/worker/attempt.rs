//! One attempt at a job.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::Priority;
use stoa_kernel::store::queue::QueuedJob;
use tokio::sync::watch;

use super::{Place, Shared};
use crate::handler::{Done, Failed, Stop, Work};
use crate::kind::Kind;
use crate::queue::Held;

/// How an attempt ended.
pub(super) enum Outcome {
    /// It was done.
    Done(Box<Done>),
    /// It was not.
    Failed(Failed),
    /// It was asked to stop, and did.
    Cancelled,
    /// It is not its turn yet: so many microseconds later.
    Postponed(i64),
    /// Somebody else has it.
    Lost,
}

fn failed(code: &'static str, message: impl Into<String>, is_final: bool) -> Outcome {
    Outcome::Failed(Failed { code, message: message.into(), is_final, after_us: None })
}

impl Shared {
    /// Does a job, from the claim to its end.
    pub(super) async fn work(self: Arc<Self>, job: QueuedJob, place: Place, stop: watch::Receiver<Stop>) {
        let kind = self.parts.registry.get(&job.kind).map(|handler| handler.kind());
        let cx = context(&job, kind);
        let waited = job.started_at.map_or(0, |start| start.since(job.run_at.max(job.created_at)));
        let priority = Priority::of(job.priority).name();
        metrics::histogram!("stoa_job_start_seconds", "queue" => job.queue.clone(), "priority" => priority)
            .record(seconds(waited));
        let start = self.parts.clock.steady();
        let outcome = self.attempt(&job, &cx, stop).await;
        let took = self.parts.clock.steady().since(start);
        metrics::histogram!("stoa_job_duration_seconds", "kind" => job.kind.clone()).record(seconds(took));
        let own = Held { id: job.id, version: job.version };
        self.settle(&cx, job, kind, outcome, place).await;
        // Where it was lost and claimed again, the new attempt is here under the same id.
        let mut running = self.running();
        if running.get(&own.id).is_some_and(|running| running.again.held == own) {
            running.remove(&own.id);
        }
    }

    async fn attempt(&self, job: &QueuedJob, cx: &Context, stop: watch::Receiver<Stop>) -> Outcome {
        let Some(handler) = self.parts.registry.get(&job.kind) else {
            return failed("no_handler", "no worker here does jobs of this kind", true);
        };
        let kind = handler.kind();
        if job.attempts > i64::from(kind.retry.attempts_max) {
            return failed("worker_lost", "its workers were not heard of any more, each time", true);
        }
        if let Some(pace) = kind.pace
            && let Some(wait_us) = self.parts.pacing.begin(kind.name, pace).await
        {
            return Outcome::Postponed(wait_us);
        }
        let queue = Arc::clone(&self.parts.queue);
        let work = Work { cx: cx.clone(), job: job.clone(), queue, stop: stop.clone() };
        let mut ended = stop.clone();
        let doing = AssertUnwindSafe(handler.run(&work)).catch_unwind();
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(kind.timeout, doing) => outcome,
            // The keeper says so also when a job that was asked to stop does not.
            _ = ended.wait_for(|stop| *stop == Stop::Lost) => return Outcome::Lost,
        };
        let was_asked = *stop.borrow() == Stop::Asked;
        match outcome {
            Ok(Ok(Ok(done))) => Outcome::Done(Box::new(done)),
            Ok(Ok(Err(_))) if was_asked => Outcome::Cancelled,
            Ok(Ok(Err(error))) => Outcome::Failed(error),
            Ok(Err(_)) => failed("panicked", "it panicked; the log of its worker has more", false),
            Err(_) => failed("timed_out", format!("it took longer than {} s", kind.timeout.as_secs()), false),
        }
    }
}

/// Whoever asked for it did it; for whom, the job says, or its kind.
fn context(job: &QueuedJob, kind: Option<&Kind>) -> Context {
    let own = u64::try_from(job.organization_id).ok().filter(|id| *id > 0);
    let own = own.and_then(OrganizationId::from_raw).map_or(Scope::System, Scope::Organization);
    let is_installation = kind.is_none_or(|kind| kind.is_installation);
    let scope = if is_installation { Scope::System } else { own };
    Context { scope, deadline: None, ..job.context.0.clone() }
}

fn seconds(micros: i64) -> f64 {
    Duration::from_micros(micros.max(0).unsigned_abs()).as_secs_f64()
}
