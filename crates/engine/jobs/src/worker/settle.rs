//! What becomes of a job after an attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::RequestId;
use stoa_kernel::random::Random;
use stoa_kernel::store::queue::{Attempt, PAYLOAD_BYTES_MAX, QueuedJob};
use stoa_kernel::store::{Commit, Ended, JobEnd, StoreError};

use super::attempt::Outcome;
use super::{Place, Shared};
use crate::handler::{Done, Failed};
use crate::kind::{DAY_US, Kind, RETRY};
use crate::letters::{self, end};
use crate::queue::{Again, Finish, Held, Unreadable};
use crate::told::{DeadLetterAlert, JobDeadLettered};

/// For how long a dead letter is kept, in microseconds.
const LETTER_US: i64 = 90 * DAY_US;
/// The attempts that are remembered.
const ERRORS_MAX: usize = 20;
/// How often an effect is tried to be stored. It is safe: with it the job ends, so it cannot happen twice.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Draws from what the tasks of a worker share.
struct Drawn<'s>(&'s Shared);

impl Random for Drawn<'_> {
    fn next_u64(&mut self) -> u64 {
        self.0.draw()
    }
}

impl Shared {
    pub(super) async fn settle(
        self: &Arc<Self>,
        cx: &Context,
        job: QueuedJob,
        kind: Option<&'static Kind>,
        outcome: Outcome,
        place: Place,
    ) {
        let keep_us = kind.map_or(0, |kind| kind.keep_us);
        let (name, id, is_ordered) = (job.kind.clone(), job.id, job.order_key.is_some());
        let settled = match outcome {
            Outcome::Done(done) => {
                metrics::counter!("stoa_jobs_done_total", "kind" => name).increment(1);
                if done.commit.is_empty() && done.result.is_none() && job.order_key.is_none() {
                    let finish = Finish { held: held(&job), keep_us };
                    // Nobody hears it when the worker has ended; then the lease ends, and it is done again.
                    self.ending.fetch_add(1, Ordering::Release);
                    let _ = self.finished.send(finish).await;
                    return;
                }
                self.complete(cx, &job, kind, *done, keep_us).await
            }
            Outcome::Failed(why) => {
                metrics::counter!("stoa_jobs_failed_total", "kind" => name).increment(1);
                self.fail(cx, &job, kind, why).await
            }
            Outcome::Cancelled => self.cancel(cx, &job, keep_us).await,
            Outcome::Postponed(delay_us) => {
                let (held, attempts) = (held(&job), job.attempts - 1);
                let again = Again { held, delay_us, attempts, errors: job.errors.0 };
                self.again(&again).await
            }
            // When it was asked to stop and did not, nobody else has it: it ends here.
            Outcome::Lost if self.was_asked(&job) => self.cancel(cx, &job, keep_us).await,
            Outcome::Lost => Ok(()),
        };
        if is_ordered {
            // The next of its mailbox can be begun.
            self.nudged.notify_one();
        }
        if let Err(error) = settled {
            tracing::warn!(job = %id, %error, "the end of a job could not be stored; it is done again when its lease ends");
        }
        drop(place);
    }

    /// Gives a job back, and looks for it when it is due.
    async fn again(&self, again: &Again) -> Result<(), StoreError> {
        self.parts.queue.again(again).await?;
        let due = self.parts.clock.now().plus(again.delay_us);
        self.due.fetch_min(due.0, Ordering::Relaxed);
        self.nudged.notify_one();
        Ok(())
    }

    /// Makes a job that cannot be read a dead letter: its key is gone, or another version has written it.
    pub(super) async fn bury(&self, job: Unreadable) {
        tracing::warn!(job = %job.held.id, why = job.why, "a job cannot be read; it is a dead letter");
        let attempt = Attempt {
            attempt: 1,
            at: self.parts.clock.now(),
            code: "undecodable".to_owned(),
            message: "it cannot be read; the log of its worker has more".to_owned(),
        };
        let how = Ended::Failed {
            reason: "undecodable".to_owned(),
            errors: vec![attempt],
            holds: false,
            keep_us: LETTER_US,
        };
        let Unreadable { held, organization, order_key, .. } = job;
        let end = JobEnd { id: held.id, organization, version: held.version, order_key, how };
        let cx = Context {
            scope: Scope::System,
            actor: Actor::System,
            request: self.parts.ids.next().unwrap_or(RequestId::NONE),
            trace: None,
            deadline: None,
        };
        if let Err(error) = self.commit(&cx, Commit::new().end(end)).await {
            tracing::warn!(job = %held.id, %error, "the end of a job that cannot be read could not be stored");
        }
    }

    fn was_asked(&self, job: &QueuedJob) -> bool {
        let own = held(job);
        let running = self.running();
        running.get(&job.id).is_some_and(|running| running.again.held == own && running.asked.is_some())
    }

    async fn cancel(&self, cx: &Context, job: &QueuedJob, keep_us: i64) -> Result<(), StoreError> {
        self.commit(cx, Commit::new().end(end(job, Ended::Cancelled(keep_us)))).await
    }

    /// Applies an effect together with the end of the job.
    async fn complete(
        &self,
        cx: &Context,
        job: &QueuedJob,
        kind: Option<&'static Kind>,
        done: Done,
        keep_us: i64,
    ) -> Result<(), StoreError> {
        let result = done.result.map(|result| result.to_string());
        if result.as_ref().is_some_and(|result| result.len() > PAYLOAD_BYTES_MAX) {
            let message = format!("its result has more than {PAYLOAD_BYTES_MAX} bytes");
            return self.fail(cx, job, kind, Failed::never(message)).await;
        }
        let commit = done.commit.end(end(job, Ended::Completed(result, keep_us)));
        match self.commit(cx, commit).await {
            Ok(()) => Ok(()),
            // Somebody else has it; or it has ended, and the answer was lost on the way.
            Err(error) if error.is_by("jobs_version") => Ok(()),
            // That is no failure of the job: it is done again when its lease ends.
            Err(error) if error.kind.is_passing() => Err(error),
            Err(error) => self.fail(cx, job, kind, Failed::from(error)).await,
        }
    }

    async fn commit(&self, cx: &Context, commit: Commit) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.parts.store.commit(cx, commit.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt < TRIES && error.kind.is_passing() => {
                    attempt += 1;
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a job back, or makes it a dead letter.
    async fn fail(
        &self,
        cx: &Context,
        job: &QueuedJob,
        kind: Option<&'static Kind>,
        why: Failed,
    ) -> Result<(), StoreError> {
        let retry = kind.map_or(RETRY, |kind| kind.retry);
        let attempts = u32::try_from(job.attempts).unwrap_or(u32::MAX);
        let errors = errors(job, &why, self.parts.clock.now());
        let Failed { code, message, is_final, after_us } = why;
        if !is_final && attempts < retry.attempts_max {
            let delay_us = after_us.unwrap_or_else(|| retry.wait(attempts, &mut Drawn(self)));
            tracing::info!(job = %job.id, kind = %job.kind, attempts, code, message, delay_us, "a job failed; it is tried again");
            let again = Again { held: held(job), delay_us, attempts: job.attempts, errors };
            return self.again(&again).await;
        }
        let reason = if is_final { code } else { "attempts_exhausted" };
        tracing::warn!(job = %job.id, kind = %job.kind, attempts, code, message, "a job has become a dead letter");
        metrics::counter!("stoa_dead_letters_total", "kind" => job.kind.clone()).increment(1);
        let holds = kind.is_some_and(|kind| kind.holds) && job.order_key.is_some();
        let how = Ended::Failed { reason: reason.to_owned(), errors, holds, keep_us: LETTER_US };
        let commit = Commit::new().end(end(job, how)).event(&JobDeadLettered::of((job, reason)));
        let commit = if letters::is_replayed(kind, reason, job.replays) {
            commit
        } else {
            commit.event(&DeadLetterAlert::of((job, reason)))
        };
        self.commit(&cx.within(Scope::System), commit).await
    }
}

fn held(job: &QueuedJob) -> Held {
    Held { id: job.id, version: job.version }
}

/// The attempts that failed, with this one. Those of which nobody has told ended with their worker.
fn errors(job: &QueuedJob, why: &Failed, now: Micros) -> Vec<Attempt> {
    let mut errors = job.errors.0.clone();
    let told = errors.last().map_or(0, |last| last.attempt);
    let entry = |attempt, code: &str, message: &str| Attempt {
        attempt,
        at: now,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let lost = |attempt| entry(attempt, "worker_lost", "its worker was not heard of any more");
    errors.extend((told + 1..job.attempts).map(lost));
    errors.push(entry(job.attempts, why.code, &why.message));
    let more = errors.len().saturating_sub(ERRORS_MAX);
    errors.drain(..more);
    errors
}
