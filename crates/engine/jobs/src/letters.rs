//! Dead letters: jobs that are not tried any more, until somebody takes them back.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Context;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::queue::{JobState, QueuedJob};
use stoa_kernel::store::{
    BoxFuture, Commit, Ended, Job, JobEnd, Json, Priority, Record as _, Store, StoreError,
};

use crate::handler::{Done, Failed, Handler, Work};
use crate::kind::{DAY_US, Kind, RETRY};

/// Between two rounds of the watcher, in seconds; a dead letter is left alone for as long.
pub const ROUND_S: i64 = 300;
/// The kind of a round of the watcher.
pub static WATCH: Kind = Kind {
    retry: RetryPolicy { attempts_max: 3, ..RETRY },
    timeout: Duration::from_secs(120),
    keep_us: DAY_US,
    replays_max: 0,
    is_installation: true,
    ..Kind::new(
        "dead_letters.watch",
        "upkeep",
        "Takes dead letters back that may have failed for what is over.",
    )
};
/// How many it takes back in a round.
const STEP: u32 = 500;

/// Whether a dead letter is taken back without anybody asking: what was refused for good would be refused again.
#[must_use]
pub fn is_replayed(kind: Option<&Kind>, reason: &str, replays: i64) -> bool {
    reason == "attempts_exhausted" && kind.is_some_and(|kind| replays < kind.replays_max)
}

/// The end of a dead letter, or of any job that does not run, without a trace.
#[must_use]
pub fn end(job: &QueuedJob, how: Ended) -> JobEnd {
    let order_key = job.order_key.clone();
    JobEnd { id: job.id, organization: job.organization_id, version: job.version, order_key, how }
}

/// Takes a dead letter back, as it is or with another payload. One whose mailbox waits for it goes on at its head; one whose mailbox
/// has gone on, at its end.
pub fn replay(letter: &QueuedJob, payload: Option<serde_json::Value>, now: Micros) -> Commit {
    let payload = payload.unwrap_or_else(|| letter.payload.0.clone());
    if letter.order_key.is_none() || letter.state == JobState::Holding {
        let again = QueuedJob {
            payload: Json(payload),
            state: JobState::Ready,
            run_at: now,
            attempts: 0,
            replays: letter.replays + 1,
            started_at: None,
            cancel_at: None,
            progress: 0,
            message: None,
            reason: None,
            failed_at: None,
            expires_at: None,
            errors: Json(Vec::new()),
            version: letter.version + 1,
            ..letter.clone()
        };
        return Commit::new().update(letter, &again);
    }
    let organization = u64::try_from(letter.organization_id).ok().filter(|id| *id > 0);
    let job = Job {
        id: Some(letter.id),
        organization: organization.and_then(OrganizationId::from_raw),
        priority: Priority::of(letter.priority),
        order_key: letter.order_key.clone(),
        batch_key: letter.batch_key.clone(),
        replays: letter.replays + 1,
        ..Job::new(letter.queue.clone(), letter.kind.clone(), payload.to_string())
    };
    Commit::new().end(end(letter, Ended::Discarded)).job(job)
}

/// Takes dead letters back that may have failed for what is over by now.
pub struct Watcher {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Dates it.
    pub clock: Arc<dyn Clock>,
    /// What is known of kinds.
    pub kinds: Vec<&'static Kind>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Handler for Watcher {
    fn kind(&self) -> &'static Kind {
        &WATCH
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let replayed = self.round(&work.cx).await?;
            if replayed > 0 {
                tracing::info!(replayed, "dead letters were taken back");
            }
            Ok(Done { result: Some(serde_json::json!({"replayed": replayed})), ..Done::default() })
        })
    }
}

impl Watcher {
    /// One look; how many were taken back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn round(&self, cx: &Context) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut replayed = 0;
        for kind in self.kinds.iter().filter(|kind| kind.replays_max > 0) {
            let eligible = QueuedJob::select()
                .is_in(QueuedJob::STATE, &[JobState::Failed, JobState::Holding])
                .eq(QueuedJob::KIND, &kind.name.to_owned())
                .eq(QueuedJob::REASON, &Some("attempts_exhausted".to_owned()))
                .lt(QueuedJob::REPLAYS, &kind.replays_max)
                .le(QueuedJob::FAILED_AT, &Some(now.plus(-ROUND_S * 1_000_000)))
                .ascending(QueuedJob::ID)
                .limit(STEP);
            let letters = match self.store.list(cx, eligible).await {
                Ok(letters) => letters,
                Err(error) => {
                    tracing::warn!(kind = kind.name, %error, "dead letters of a kind could not be read");
                    continue;
                }
            };
            for letter in letters {
                match self.store.commit(cx, replay(&letter, None, now)).await {
                    Ok(_) => replayed += 1,
                    // Somebody was faster.
                    Err(error) if error.is_by("jobs_version") => {}
                    Err(error) => {
                        tracing::warn!(job = %letter.id, %error, "a dead letter could not be taken back");
                    }
                }
            }
        }
        Ok(replayed)
    }
}
