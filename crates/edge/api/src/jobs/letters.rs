use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_jobs::desk::Filter;
use stoa_kernel::context::Scope;
use stoa_kernel::store::queue::JobState;

use super::{Changed, JobPage, list, problem, refusal};
use crate::body::body;
use crate::call::Call;
use crate::platform::Platform;

/// List dead letters
///
/// Jobs that are not tried any more: what exhausted its attempts, was refused for good, could not be read, or had no handler.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "jobs", operation_id = "listDeadLetters",
    params(
        ("limit" = Option<u32>, Query, description = "How many, 20 without", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "Where to go on, from the page before"),
        ("kind" = Option<String>, Query, description = "Only of this kind"),
        ("queue" = Option<String>, Query, description = "Only of this queue"),
        ("batch" = Option<String>, Query, description = "Only of this batch"),
        ("reason" = Option<String>, Query, description = "Only with this reason"),
    ),
    responses((status = 200, description = "They are these.", body = JobPage))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let filter = list::filter(&mut params);
    let states = (vec![JobState::Failed, JobState::Holding], Vec::new());
    list::page(&platform, &call, params, &filter, states).await
}

body! {
    /// Which dead letters.
    FilterBody as DeadLetterFilter {
        /// Of this kind.
        optional kind("kind"): Option<String> as Option<String> [nullable = false],
        /// Of this queue.
        optional queue("queue"): Option<String> as Option<String> [nullable = false],
        /// Of this batch.
        optional batch("batch"): Option<String> as Option<String> [nullable = false],
        /// With this reason.
        optional reason("reason"): Option<String> as Option<String> [nullable = false],
    }
}

async fn bulk(platform: &Platform, call: &Call, is_replayed: bool) -> Result<Response, Problem> {
    let body = FilterBody::read(call)?;
    let texts =
        [("/kind", &body.kind), ("/queue", &body.queue), ("/batch", &body.batch), ("/reason", &body.reason)];
    let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
    let wrong: Vec<_> = texts
        .iter()
        .filter(|(_, text)| has_nul(text))
        .map(|(pointer, _)| (*pointer, "holds a NUL character".to_owned()))
        .collect();
    if !wrong.is_empty() {
        return Err(crate::render::invalid(&wrong));
    }
    let is_all = texts.iter().all(|(_, text)| text.is_none());
    if is_all && call.caller.cx.scope == Scope::System {
        let detail = "This would be about every organization: name one (Stoa-Organization), or say which dead letters.";
        return Err(Problem::new("organization_required", detail));
    }
    let filter = Filter { kind: body.kind, queue: body.queue, batch: body.batch, reason: body.reason };
    let decide = async {
        let decided = platform.desk.bulk(&call.caller.cx, &filter, is_replayed).await;
        let (count, has_more, commit) = decided.map_err(|error| problem(&error))?;
        Ok((Changed { count, has_more }, commit))
    };
    call.change(platform, StatusCode::OK, decide, refusal).await
}

/// Try many dead letters again
///
/// The oldest 200 that the filter names, all or none of them.
#[utoipa::path(
    post, path = "/v1/dead-letters/replay", tag = "jobs", operation_id = "replayDeadLetters",
    request_body = Option<FilterBody>,
    responses((status = 200, description = "So many are tried again.", body = Changed))
)]
pub(crate) async fn replay(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    bulk(&platform, &call, true).await
}

/// Discard many dead letters
///
/// The oldest 200 that the filter names, all or none of them.
#[utoipa::path(
    post, path = "/v1/dead-letters/discard", tag = "jobs", operation_id = "discardDeadLetters",
    request_body = Option<FilterBody>,
    responses((status = 200, description = "So many are gone.", body = Changed))
)]
pub(crate) async fn discard(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    bulk(&platform, &call, false).await
}
