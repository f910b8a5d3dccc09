//! Jobs: `/v1/jobs`, dead letters, batches, and for whoever runs the installation the queues.

mod batch;
mod change;
mod kinds;
mod letters;
mod list;
mod queues;
mod stream;
pub(crate) mod submit;

use std::sync::Arc;

use serde::Serialize;
use stoa_http::Problem;
use stoa_jobs::Kind;
use stoa_jobs::desk::{Error, Found};
use stoa_kernel::clock::Micros;
use stoa_kernel::store::event::rfc3339;
use stoa_kernel::store::queue::{Attempt, FinishedJob, QueuedJob};
use stoa_kernel::store::{Job, Priority, StoreError};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Call;
use crate::platform::Platform;
use crate::render::invalid;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(kinds::list))
        .routes(routes!(list::list, submit::submit))
        .routes(routes!(list::show, change::discard))
        .routes(routes!(stream::stream))
        .routes(routes!(change::cancel))
        .routes(routes!(change::replay))
        .routes(routes!(batch::show))
        .routes(routes!(letters::list))
        .routes(routes!(letters::replay))
        .routes(routes!(letters::discard))
        .routes(routes!(queues::list))
        .routes(routes!(queues::set))
        .routes(routes!(queues::drain))
}

/// How far a job is.
#[derive(Serialize, ToSchema)]
#[schema(as = JobProgress)]
struct Progress {
    /// In percent.
    #[schema(minimum = 0, maximum = 100, example = 40)]
    percent: i64,
    /// What it is at.
    #[schema(example = "step 2 of 5")]
    message: Option<String>,
}

/// An attempt that failed.
#[derive(Serialize, ToSchema)]
#[schema(as = JobAttempt)]
struct Failure {
    /// Which, from 1.
    attempt: i64,
    /// When.
    #[schema(format = "date-time")]
    at: String,
    /// Why, as a stable code.
    #[schema(example = "timed_out")]
    code: String,
    /// Why, for people.
    message: String,
}

/// A job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
struct View {
    /// Its id.
    #[schema(example = "job_0akvp3r7jtw01")]
    id: String,
    /// For whom; null is for the installation.
    organization_id: Option<String>,
    /// Its kind.
    #[schema(example = "probe")]
    kind: String,
    /// Its queue.
    #[schema(example = "default")]
    queue: String,
    /// How soon: critical, high, normal or low.
    #[schema(example = "normal")]
    priority: &'static str,
    /// Where it stands: queued, scheduled, retrying, waiting (for its mailbox), running, completed, failed (a dead letter), cancelled.
    #[schema(example = "running")]
    state: &'static str,
    /// How often it was begun.
    attempts: i64,
    /// How often it is begun at most; null when its kind is not known any more.
    attempts_max: Option<u32>,
    /// How often it was taken back from the dead letters.
    replays: i64,
    /// How far it is.
    progress: Progress,
    /// Who asked for it.
    #[schema(example = "user:usr_0akvp3r7jtw01")]
    requested_by: String,
    /// What it needs to know; only of kinds that anybody may ask for.
    payload: Option<serde_json::Value>,
    /// What came of it.
    result: Option<serde_json::Value>,
    /// Its mailbox.
    order_key: Option<String>,
    /// At most one live job of its queue has it.
    dedupe_key: Option<String>,
    /// Jobs with the same one are counted together.
    batch_key: Option<String>,
    /// The attempts that failed, the last twenty.
    errors: Vec<Failure>,
    /// Why it is a dead letter, as a stable code.
    #[schema(example = "attempts_exhausted")]
    reason: Option<String>,
    /// Whether it was asked to stop.
    is_cancelling: bool,
    /// When it was asked for.
    #[schema(format = "date-time")]
    created_at: String,
    /// Not before.
    #[schema(format = "date-time")]
    run_at: Option<String>,
    /// When the last attempt began.
    #[schema(format = "date-time")]
    started_at: Option<String>,
    /// When it ended or failed.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    /// Until when it is kept.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// Grows when it is begun or changes its state.
    version: i64,
}

/// Jobs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Jobs)]
struct JobPage {
    /// The jobs, the newest first.
    items: Vec<View>,
    /// Where the next page begins.
    next_cursor: Option<String>,
    /// Whether there are more.
    has_more: bool,
}

/// What was done to many.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobsChanged)]
struct Changed {
    /// How many.
    count: usize,
    /// Whether there are more: ask again.
    has_more: bool,
}

pub(crate) fn time(time: Option<Micros>) -> Option<String> {
    time.map(rfc3339::text)
}

pub(crate) fn organization(number: i64) -> Option<String> {
    let id = u64::try_from(number).ok().filter(|id| *id > 0);
    id.and_then(stoa_kernel::id::OrganizationId::from_raw).map(|id| id.to_string())
}

fn failures(errors: &[Attempt]) -> Vec<Failure> {
    let failure = |error: &Attempt| Failure {
        attempt: error.attempt,
        at: rfc3339::text(error.at),
        code: error.code.clone(),
        message: error.message.clone(),
    };
    errors.iter().map(failure).collect()
}

impl View {
    /// A job that is asked for, as it will be.
    fn asked(platform: &Platform, call: &Call, kind: &Kind, job: &Job) -> Self {
        let now = platform.clock.now();
        let is_later = job.run_at.is_some_and(|time| time > now);
        Self {
            id: job.id.map(|id| id.to_string()).unwrap_or_default(),
            organization_id: organization(call.caller.cx.scope.number()),
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            priority: job.priority.name(),
            state: if is_later { "scheduled" } else { "queued" },
            attempts: 0,
            attempts_max: Some(kind.retry.attempts_max),
            replays: 0,
            progress: Progress { percent: 0, message: None },
            requested_by: call.caller.cx.actor.label(),
            payload: serde_json::from_str(&job.payload).ok(),
            result: None,
            order_key: job.order_key.clone(),
            dedupe_key: job.dedupe_key.clone(),
            batch_key: job.batch_key.clone(),
            errors: Vec::new(),
            reason: None,
            is_cancelling: false,
            created_at: rfc3339::text(now),
            run_at: time(Some(job.run_at.unwrap_or(now))),
            started_at: None,
            finished_at: None,
            expires_at: None,
            version: 1,
        }
    }

    fn of(platform: &Platform, found: &Found) -> Self {
        match found {
            Found::Live(job) => Self::live(platform, job, found.state()),
            Found::Ended(job) => Self::ended(platform, job),
        }
    }

    fn live(platform: &Platform, job: &QueuedJob, state: &'static str) -> Self {
        let kind = platform.desk.kind(&job.kind);
        let is_open = kind.is_some_and(|kind| kind.form.is_some());
        Self {
            id: job.id.to_string(),
            organization_id: organization(job.organization_id),
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            priority: Priority::of(job.priority).name(),
            state,
            attempts: job.attempts,
            attempts_max: kind.map(|kind| kind.retry.attempts_max),
            replays: job.replays,
            progress: Progress { percent: job.progress, message: job.message.clone() },
            requested_by: job.context.0.actor.label(),
            payload: is_open.then(|| job.payload.0.clone()),
            result: None,
            order_key: job.order_key.clone(),
            dedupe_key: job.dedupe_key.clone(),
            batch_key: job.batch_key.clone(),
            errors: failures(&job.errors.0),
            reason: job.reason.clone(),
            is_cancelling: job.cancel_at.is_some(),
            created_at: rfc3339::text(job.created_at),
            run_at: time(Some(job.run_at)),
            started_at: time(job.started_at),
            finished_at: time(job.failed_at),
            expires_at: time(job.expires_at),
            version: job.version,
        }
    }

    fn ended(platform: &Platform, job: &FinishedJob) -> Self {
        let is_done = job.state == stoa_kernel::store::queue::EndState::Completed;
        Self {
            id: job.id.to_string(),
            organization_id: organization(job.organization_id),
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            priority: Priority::of(job.priority).name(),
            state: job.state.name(),
            attempts: job.attempts,
            attempts_max: platform.desk.kind(&job.kind).map(|kind| kind.retry.attempts_max),
            replays: 0,
            progress: Progress { percent: if is_done { 100 } else { 0 }, message: job.message.clone() },
            requested_by: job.context.0.actor.label(),
            payload: None,
            result: job.result.as_ref().map(|result| result.0.clone()),
            order_key: None,
            dedupe_key: None,
            batch_key: job.batch_key.clone(),
            errors: failures(&job.errors.0),
            reason: None,
            is_cancelling: false,
            created_at: rfc3339::text(job.created_at),
            run_at: None,
            started_at: time(job.started_at),
            finished_at: time(Some(job.finished_at)),
            expires_at: time(Some(job.expires_at)),
            version: job.version,
        }
    }
}

/// What the errors of jobs are called at the edge.
pub(crate) fn problem(error: &Error) -> Problem {
    match error {
        Error::Invalid(wrong) => invalid(wrong),
        other => Problem::of(other),
    }
}

/// What a refused change of a job is called: the store names it.
pub(crate) fn refusal(error: StoreError) -> stoa_identity::Error {
    stoa_identity::Error::Store(error)
}
