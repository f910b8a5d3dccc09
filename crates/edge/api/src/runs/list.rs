use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::store::Record as _;
use stoa_workflow::{Run, RunState};
use utoipa::ToSchema;

use super::{StepView, View, named, problem};
use crate::body::page;
use crate::call::{self, Call, Paged};
use crate::platform::Platform;

page! {
    /// Runs.
    Page as Runs: Vec<View> "The runs, the newest first."
}

/// A run with its journal.
#[derive(Serialize, ToSchema)]
#[schema(as = RunJournal)]
struct Shown {
    /// The run.
    #[serde(flatten)]
    run: View,
    /// Its journal, in the order in which steps were begun.
    steps: Vec<StepView>,
}

/// List runs
#[utoipa::path(
    get, path = "/v1/runs", tag = "runs", operation_id = "listRuns",
    params(
        Paged,
        ("workflow" = Option<String>, Query, description = "Only of this workflow"),
        ("state" = Option<String>, Query, description = "Only these, separated by commas: running, compensating, completed, failed, cancelled, stopped"),
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let mut query = Run::select().descending(Run::ID);
    if let Some(workflow) = params.text("workflow") {
        if workflow.contains('\0') {
            params.wrong("workflow", "holds a NUL character");
        }
        query = query.eq(Run::WORKFLOW, &workflow);
    }
    if let Some(states) = params.text("state") {
        let read: Result<Vec<RunState>, String> = states.split(',').map(str::parse).collect();
        match read {
            Ok(states) => query = query.is_in(Run::STATE, &states),
            Err(wrong) => params.wrong("state", wrong),
        }
    }
    let view = async |found: Vec<Run>| Ok(found.iter().map(|run| View::of(&platform, run)).collect());
    call.page(&platform, params, query, view).await
}

/// Show a run and its journal
#[utoipa::path(
    get, path = "/v1/runs/{run}", tag = "runs", operation_id = "getRun",
    params(("run" = String, Path, description = "Its id", example = "run_0akvp3r7jtw01")),
    responses((status = 200, description = "It is this.", body = Shown))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let run = named(&platform, &call).await?;
    let journal = platform.runs.journal(&call.caller.cx, run.id).await.map_err(|error| problem(&error))?;
    let is_open = platform.runs.is_open(&run);
    let steps = journal.iter().map(|step| StepView::of(step, is_open)).collect();
    call::ok(&Shown { run: View::of(&platform, &run), steps })
}
