//! Runs of workflows: `/v1/runs`, and `/v1/workflows`.

mod change;
mod list;
mod signal;
mod start;
mod workflows;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::id::RunId;
use stoa_kernel::store::event::rfc3339;
use stoa_workflow::{Error, Run, StepRecord};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::{Call, Empty};
use crate::jobs::{organization, refusal, time};
use crate::platform::Platform;
use crate::render::invalid;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(workflows::list))
        .routes(routes!(list::list, start::start))
        .routes(routes!(list::show))
        .routes(routes!(change::cancel))
        .routes(routes!(change::retry))
        .routes(routes!(change::fork))
        .routes(routes!(signal::signal))
}

/// A run of a workflow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Run)]
pub(crate) struct View {
    /// Its id.
    #[schema(example = "run_0akvp3r7jtw01")]
    id: String,
    /// For whom; null is for the installation.
    organization_id: Option<String>,
    /// The workflow.
    #[schema(example = "probe")]
    workflow: String,
    /// The version of its definition, which it stays with.
    definition: i64,
    /// Where it stands: running, compensating (it undoes what it did), completed, failed, cancelled, or stopped (it cannot undo what it did).
    #[schema(example = "running")]
    state: &'static str,
    /// At most one live run of the workflow has it.
    key: Option<String>,
    /// What it was started with; only of workflows that anybody may start.
    input: Option<serde_json::Value>,
    /// What came of it.
    output: Option<serde_json::Value>,
    /// Why it failed.
    error: Option<String>,
    /// The run that it is a step of.
    parent_run_id: Option<String>,
    /// The run whose journal it began with.
    forked_from: Option<String>,
    /// Whether it was asked to stop.
    is_cancelling: bool,
    /// Who started it.
    #[schema(example = "user:usr_0akvp3r7jtw01")]
    started_by: String,
    /// When.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ended.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
    /// Until when it is kept.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// Counts its changes.
    version: i64,
}

impl View {
    pub(crate) fn of(platform: &Platform, run: &Run) -> Self {
        let is_open = platform.runs.is_open(run);
        Self {
            id: run.id.to_string(),
            organization_id: organization(run.organization_id),
            workflow: run.workflow.clone(),
            definition: run.definition,
            state: run.state.name(),
            key: run.key.clone(),
            input: is_open.then(|| run.input.0.clone()),
            output: run.output.as_ref().map(|output| output.0.clone()),
            error: run.error.clone(),
            parent_run_id: run.parent_run_id.map(|id| id.to_string()),
            forked_from: run.forked_from.map(|id| id.to_string()),
            is_cancelling: run.cancel_at.is_some() && !run.state.is_over(),
            started_by: run.context.0.actor.label(),
            created_at: rfc3339::text(run.created_at),
            finished_at: time(run.finished_at),
            expires_at: time(run.expires_at),
            version: run.version,
        }
    }
}

/// An entry of the journal of a run.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RunStep)]
struct StepView {
    /// What the definition calls it.
    #[schema(example = "step-1")]
    step: String,
    /// Its place in the journal, from 1.
    sequence: i64,
    /// What it is: activity, timer, signal or child.
    #[schema(example = "activity")]
    what: String,
    /// The activity, the signal or the workflow.
    #[schema(example = "work")]
    name: String,
    /// Where it stands: running, completed, failed, cancelled, undoing, undone or `undo_failed`.
    #[schema(example = "completed")]
    state: &'static str,
    /// What it was begun with; only of workflows that anybody may start.
    input: Option<serde_json::Value>,
    /// What came of it; only of workflows that anybody may start.
    output: Option<serde_json::Value>,
    /// Why it failed.
    error: Option<String>,
    /// How often it was tried, until it ended.
    attempts: i64,
    /// The run that it is.
    child_run_id: Option<String>,
    /// Until when it waits, at most.
    #[schema(format = "date-time")]
    wake_at: Option<String>,
    /// When it was begun.
    #[schema(format = "date-time")]
    started_at: String,
    /// When it ended.
    #[schema(format = "date-time")]
    finished_at: Option<String>,
}

impl StepView {
    fn of(step: &StepRecord, is_open: bool) -> Self {
        Self {
            step: step.step.clone(),
            sequence: step.sequence,
            what: step.what.clone(),
            name: step.name.clone(),
            state: step.state.name(),
            input: is_open.then(|| step.input.0.clone()),
            output: step.output.as_ref().filter(|_| is_open).map(|output| output.0.clone()),
            error: step.error.clone(),
            attempts: step.attempts,
            child_run_id: step.child_run_id.map(|id| id.to_string()),
            wake_at: time(step.wake_at),
            started_at: rfc3339::text(step.started_at),
            finished_at: time(step.finished_at),
        }
    }
}

/// What the errors of runs are called at the edge.
pub(crate) fn problem(error: &Error) -> Problem {
    match error {
        Error::Invalid(wrong) => invalid(wrong),
        other => Problem::of(other),
    }
}

/// So often a change of a run is decided again when the run has gone on meanwhile.
const TRIES: usize = 8;

/// What a run is made to do.
enum Steer<'s> {
    Cancel,
    Retry,
    Signal(&'s str, &'s serde_json::Value),
}

/// Changes the run that an address names. One that goes on just then is looked at again.
async fn steer(platform: &Platform, call: &Call, how: Steer<'_>) -> Result<Response, Problem> {
    let cx = &call.caller.cx;
    let mut tries = 1;
    loop {
        let decided = async {
            let run = named(platform, call).await?;
            let decided = match how {
                Steer::Cancel => platform.runs.cancel(cx, &run),
                Steer::Retry => platform.runs.retry(cx, &run).await,
                Steer::Signal(name, payload) => platform.runs.signal(cx, &run, name, payload.clone()).await,
            };
            Ok((Empty, decided.map_err(|error| problem(&error))?))
        };
        match call.change(platform, StatusCode::NO_CONTENT, decided, refusal).await {
            Err(refused) if refused.code() == "conflict" && tries < TRIES => tries += 1,
            answered => return answered,
        }
    }
}

/// The run that an address names.
async fn named(platform: &Platform, call: &Call) -> Result<Run, Problem> {
    let id: RunId = call.part("run")?;
    platform.runs.find(&call.caller.cx, id).await.map_err(|error| problem(&error))
}
