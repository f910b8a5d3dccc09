//! The runner: one process by lease takes what is due, in order of priority, and ends each job with the commit that it decided.
//!
//! A job that fails is tried again with growing pauses, [`ATTEMPTS_MAX`] times; then it stays, with the reason, and is not tried any
//! more. A job may run twice, when a process dies between doing and ending it: handlers are written for that.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{Ids, RequestId};
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{BoxFuture, Commit, Leases, Record as _, Store, StoreError};
use tokio::sync::watch;

/// How long nobody says that there is work before it is looked for.
const POLL: Duration = Duration::from_millis(500);
/// How long the lease of the runner is held, in microseconds; a job takes less.
const LEASE_US: i64 = 60_000_000;
const LEASE_NAME: &str = "jobs";
/// The most that one job may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most jobs of a round.
const ROUND: u32 = 50;
/// How often a job is tried.
const ATTEMPTS_MAX: i64 = 12;
/// The first pause, in microseconds; each is twice the one before, up to an hour.
const PAUSE_US: i64 = 1_000_000;
const PAUSE_MAX_US: i64 = 3_600_000_000;
/// When a job that has failed for good is tried again: never.
const NEVER: Micros = Micros(i64::MAX);

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// Trying again may help.
    Later(String),
    /// It never will.
    Never(String),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

/// Does the jobs of one kind.
pub trait Handler: Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static str;

    /// Does one. What it returns is applied together with the end of the job, in the scope of the installation.
    ///
    /// # Errors
    /// [`Failed`].
    fn run<'a>(&'a self, cx: &'a Context, job: &'a QueuedJob) -> BoxFuture<'a, Result<Commit, Failed>>;
}

/// Takes jobs and does them.
pub struct Runner {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Where one process claims them.
    pub leases: Arc<dyn Leases>,
    /// Dates attempts.
    pub clock: Arc<dyn Clock>,
    /// Numbers what is done, for finding it in the logs.
    pub ids: Arc<dyn Ids>,
    /// This process.
    pub holder: String,
    /// Says that something was committed.
    pub hints: watch::Receiver<u64>,
    /// What can be done.
    pub handlers: Vec<Arc<dyn Handler>>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Runner {
    /// Runs until `stop`, then gives the claim back.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let handlers: HashMap<&'static str, Arc<dyn Handler>> =
            self.handlers.iter().map(|handler| (handler.kind(), Arc::clone(handler))).collect();
        while !*stop.borrow() {
            match self.round(&handlers, &stop).await {
                // There may be more.
                Ok(done) if done == ROUND => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "jobs could not be taken; they are at the next round"),
            }
            tokio::select! {
                _ = stop.changed() => {}
                _ = self.hints.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        let _ = self.leases.release(LEASE_NAME, &self.holder).await;
    }

    async fn round(
        &self,
        handlers: &HashMap<&'static str, Arc<dyn Handler>>,
        stop: &watch::Receiver<bool>,
    ) -> Result<u32, StoreError> {
        let cx = self.context();
        let due = QueuedJob::select()
            .le(QueuedJob::RUN_AT, &self.clock.now())
            .ascending(QueuedJob::PRIORITY)
            .ascending(QueuedJob::RUN_AT)
            .limit(ROUND);
        // Most of the time there is nothing to do, and then nothing is claimed either.
        let jobs = self.store.list(&cx, due).await?;
        let mut done = 0;
        for job in jobs {
            if *stop.borrow() || self.leases.acquire(LEASE_NAME, &self.holder, LEASE_US).await?.is_none() {
                break;
            }
            self.work(&cx, handlers, &job).await?;
            done += 1;
        }
        Ok(done)
    }

    fn context(&self) -> Context {
        Context {
            scope: Scope::System,
            actor: Actor::System,
            request: self.ids.next().unwrap_or(RequestId::NONE),
            trace: None,
            deadline: None,
        }
    }

    async fn work(
        &self,
        cx: &Context,
        handlers: &HashMap<&'static str, Arc<dyn Handler>>,
        job: &QueuedJob,
    ) -> Result<(), StoreError> {
        let asked = &job.context.0;
        // Who asked for it did it, within the installation: the job says for whom.
        let cx = Context { actor: asked.actor, trace: asked.trace, request: asked.request, ..cx.clone() };
        let outcome = match handlers.get(job.kind.as_str()) {
            None => Err(Failed::Never(format!("nobody does jobs of the kind {}", job.kind))),
            Some(handler) => {
                let work = AssertUnwindSafe(handler.run(&cx, job)).catch_unwind();
                match tokio::time::timeout(TIMEOUT, work).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(Failed::Later("it panicked".to_owned())),
                    Err(_) => Err(Failed::Later("it took too long".to_owned())),
                }
            }
        };
        let kind = job.kind.clone();
        let outcome = match outcome {
            Ok(commit) => {
                let commit = commit.delete(job);
                match self.store.commit(&cx, commit).await {
                    Ok(_) => {
                        metrics::counter!("stoa_jobs_done_total", "kind" => kind).increment(1);
                        return Ok(());
                    }
                    Err(error) => Failed::from(error),
                }
            }
            Err(failed) => failed,
        };
        metrics::counter!("stoa_jobs_failed_total", "kind" => kind).increment(1);
        self.store.commit(&cx, Commit::new().update(job, &self.failed(job, outcome))).await.map(drop)
    }

    fn failed(&self, job: &QueuedJob, why: Failed) -> QueuedJob {
        let attempts = job.attempts + 1;
        let (reason, run_at) = match why {
            Failed::Later(reason) if attempts < ATTEMPTS_MAX => {
                let doublings = u32::try_from(job.attempts).unwrap_or(0).min(20);
                let pause = (PAUSE_US << doublings).min(PAUSE_MAX_US);
                (reason, self.clock.now().plus(pause))
            }
            Failed::Later(reason) | Failed::Never(reason) => (reason, NEVER),
        };
        tracing::warn!(job = %job.id, kind = %job.kind, attempts, reason, "a job failed");
        QueuedJob { attempts, run_at, last_error: Some(reason), version: job.version + 1, ..job.clone() }
    }
}
