use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_jobs::desk::{Filter, Found};
use stoa_kernel::id::JobId;
use stoa_kernel::store::queue::{EndState, FinishedJob, JobState, QueuedJob};
use stoa_kernel::store::{Consistency, Field as _, Query, Record, StoreError, Value};

use super::{JobPage, View, problem};
use crate::call::{self, Call};
use crate::platform::Platform;

const LIVE: [JobState; 4] = [JobState::Ready, JobState::Scheduled, JobState::Waiting, JobState::Running];
const DEAD: [JobState; 2] = [JobState::Failed, JobState::Holding];

/// Which states a list shows.
fn states(params: &mut Params) -> (Vec<JobState>, Vec<EndState>) {
    let (mut live, mut ended) = (Vec::new(), Vec::new());
    let Some(asked) = params.text("state") else {
        return ([LIVE.as_slice(), &DEAD].concat(), EndState::ALL.to_vec());
    };
    for state in asked.split(',') {
        match state {
            "queued" => live.extend([JobState::Ready, JobState::Scheduled, JobState::Waiting]),
            "running" => live.push(JobState::Running),
            "failed" => live.extend(DEAD),
            "completed" => ended.push(EndState::Completed),
            "cancelled" => ended.push(EndState::Cancelled),
            _ => params.wrong("state", "the states are queued, running, completed, failed, cancelled"),
        }
    }
    (live, ended)
}

pub(super) fn filter(params: &mut Params) -> Filter {
    let mut text = |name: &str| {
        let text = params.text(name);
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            params.wrong(name, "holds a NUL character");
        }
        text
    };
    Filter { kind: text("kind"), queue: text("queue"), batch: text("batch"), reason: text("reason") }
}

/// The newest jobs before an id, of one of the two tables.
async fn before<R: Record>(
    platform: &Platform,
    call: &Call,
    query: Query<R>,
    after: Option<&[Value]>,
    limit: u32,
) -> Result<Vec<R>, StoreError> {
    let mut select = query.limit(limit + 1).build();
    select.after = after.map(<[Value]>::to_vec);
    let rows = platform.store.rows(&call.caller.cx, select, Consistency::Strong).await?;
    rows.into_iter().map(R::from_values).collect::<Result<_, _>>().map_err(StoreError::from)
}

/// One page of jobs, the newest first: what has ended and what has not are two tables, and one list.
pub(super) async fn page(
    platform: &Platform,
    call: &Call,
    mut params: Params,
    filter: &Filter,
    states: (Vec<JobState>, Vec<EndState>),
) -> Result<Response, Problem> {
    let (limit, cursor) = (params.limit(), params.text("cursor"));
    let (live, ended) = states;
    let (live_query, ended_query) = (filter.live(&live), filter.ended(&ended));
    let (live_query, ended_query) =
        (live_query.descending(QueuedJob::ID), ended_query.descending(FinishedJob::ID));
    let print = live_query.clone().build().fingerprint(call.caller.cx.scope)
        ^ ended_query.clone().build().fingerprint(call.caller.cx.scope).rotate_left(1);
    let after = cursor.and_then(|cursor| {
        let opened = platform.cursors.open(print, &cursor);
        opened.map_err(|error| params.wrong("cursor", error.to_string())).ok()
    });
    params.finish()?;
    let failed = |error: StoreError| Problem::of(&error);
    let mut found: Vec<Found> = Vec::new();
    if !live.is_empty() {
        let jobs = before(platform, call, live_query, after.as_deref(), limit).await.map_err(failed)?;
        found.extend(jobs.into_iter().map(|job| Found::Live(Box::new(job))));
    }
    if !ended.is_empty() {
        let jobs = before(platform, call, ended_query, after.as_deref(), limit).await.map_err(failed)?;
        found.extend(jobs.into_iter().map(|job| Found::Ended(Box::new(job))));
    }
    // Newest first; a job that ended between the two reads is shown once, as it ended.
    found.sort_by_key(|job| (std::cmp::Reverse(job.id().raw()), matches!(job, Found::Live(_))));
    found.dedup_by_key(|job| job.id());
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| has_more).map(|job| vec![job.id().to_value()]);
    let items = found.iter().map(|job| View::of(platform, job)).collect();
    call::ok(&JobPage {
        items,
        next_cursor: last.map(|place| platform.cursors.seal(print, &place)),
        has_more,
    })
}

/// List jobs
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs", operation_id = "listJobs",
    params(
        ("limit" = Option<u32>, Query, description = "How many, 20 without", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "Where to go on, from the page before"),
        ("state" = Option<String>, Query, description = "Only these, separated by commas: queued, running, completed, failed, cancelled"),
        ("kind" = Option<String>, Query, description = "Only of this kind"),
        ("queue" = Option<String>, Query, description = "Only of this queue"),
        ("batch" = Option<String>, Query, description = "Only of this batch"),
        ("reason" = Option<String>, Query, description = "Only dead letters with this reason"),
    ),
    responses((status = 200, description = "They are these.", body = JobPage))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let mut states = states(&mut params);
    let filter = filter(&mut params);
    if filter.reason.is_some() {
        states.1.clear();
    }
    page(&platform, &call, params, &filter, states).await
}

/// Show a job
#[utoipa::path(
    get, path = "/v1/jobs/{job}", tag = "jobs", operation_id = "getJob",
    params(("job" = String, Path, description = "Its id", example = "job_0akvp3r7jtw01")),
    responses((status = 200, description = "It is this.", body = View))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: JobId = call.part("job")?;
    let found = platform.desk.find(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
    call::ok(&View::of(&platform, &found))
}
