use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_jobs::desk::Standing;
use utoipa::ToSchema;

use super::{Changed, problem, refusal, time};
use crate::body::body;
use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::invalid;

/// How long something took.
#[derive(Serialize, ToSchema)]
#[schema(as = QueuePercentiles)]
struct Percentiles {
    /// Half of them at most so long, in milliseconds.
    p50: i64,
    /// 95 of a hundred, in milliseconds.
    p95: i64,
    /// 99 of a hundred, in milliseconds.
    p99: i64,
}

/// A queue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Queue)]
struct View {
    /// Its name.
    #[schema(example = "mail")]
    name: String,
    /// Since when nothing of it is begun; null while it runs.
    #[schema(format = "date-time")]
    paused_at: Option<String>,
    /// How many of its jobs run at once, in all processes together; null is as many as there is room for.
    concurrency_max: Option<i64>,
    /// What can be begun.
    ready: i64,
    /// Whose time has not come.
    scheduled: i64,
    /// What waits for its mailbox.
    waiting: i64,
    /// What runs.
    running: i64,
    /// Dead letters.
    failed: i64,
    /// Since when the oldest that can be begun could be.
    #[schema(format = "date-time")]
    oldest_at: Option<String>,
    /// Of how many jobs that ended lately the figures are.
    ended: usize,
    /// How many of them ended in a second.
    #[schema(example = 12.5)]
    per_second: f64,
    /// How long they waited before they began.
    waited_ms: Percentiles,
    /// How long they took.
    took_ms: Percentiles,
}

/// Queues.
#[derive(Serialize, ToSchema)]
#[schema(as = Queues)]
struct List {
    /// The queues, by name.
    items: Vec<View>,
}

fn millis([p50, p95, p99]: [i64; 3]) -> Percentiles {
    Percentiles { p50: p50 / 1_000, p95: p95 / 1_000, p99: p99 / 1_000 }
}

impl View {
    fn of(standing: Standing) -> Self {
        let Standing { depth, setting, ended, per_second_milli, waited_us, took_us } = standing;
        Self {
            name: depth.queue,
            paused_at: time(setting.as_ref().and_then(|setting| setting.paused_at)),
            concurrency_max: setting.and_then(|setting| setting.concurrency_max),
            ready: depth.ready,
            scheduled: depth.scheduled,
            waiting: depth.waiting,
            running: depth.running,
            failed: depth.failed,
            oldest_at: time(depth.oldest),
            ended,
            per_second: f64::from(i32::try_from(per_second_milli).unwrap_or(i32::MAX)) / 1_000.0,
            waited_ms: millis(waited_us),
            took_ms: millis(took_us),
        }
    }
}

async fn all(platform: &Platform, call: &Call) -> Result<Vec<View>, Problem> {
    let found = platform.desk.queues(&call.caller.cx).await.map_err(|error| problem(&error))?;
    Ok(found.into_iter().map(View::of).collect())
}

/// List the queues, and how they do
#[utoipa::path(
    get, path = "/v1/admin/queues", tag = "admin", operation_id = "listQueues",
    responses((status = 200, description = "They are these.", body = List))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call::ok(&List { items: all(&platform, &call).await? })
}

body! {
    /// How a queue is to be set.
    SetBody as QueueChange {
        /// Whether nothing of it is begun; what runs goes on.
        value paused("paused"): Option<bool> as Option<bool> [nullable = false],
        /// How many of its jobs run at once, in all processes together, 1 to 10000; null is as many as there is room for.
        value limit("concurrencyMax"): Option<Option<i64>> as Option<i64> [minimum = 1, maximum = 10_000, nullable = true],
    }
}

/// Pause a queue, let it go on, or limit it
#[utoipa::path(
    patch, path = "/v1/admin/queues/{queue}", tag = "admin", operation_id = "setQueue",
    params(("queue" = String, Path, description = "Its name", example = "mail")),
    request_body = SetBody,
    responses((status = 200, description = "It is now so.", body = View))
)]
pub(crate) async fn set(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let name: String = call.part("queue")?;
    let body = SetBody::read(&call)?;
    if body.limit.flatten().is_some_and(|limit| !(1..=10_000).contains(&limit)) {
        return Err(invalid(&[("/concurrencyMax", "is a number from 1 to 10000, or null".to_owned())]));
    }
    let decide = async {
        let set = platform.desk.set_queue(&call.caller.cx, &name, body.paused, body.limit).await;
        let (setting, commit) = set.map_err(|error| problem(&error))?;
        let mut view = all(&platform, &call).await?.into_iter().find(|view| view.name == name);
        if let Some(view) = &mut view {
            (view.paused_at, view.concurrency_max) = (time(setting.paused_at), setting.concurrency_max);
        }
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}

/// Cancel everything that waits in a queue
///
/// The newest 200 of it, so that nothing is begun meanwhile that was to be cancelled; what runs goes on.
#[utoipa::path(
    post, path = "/v1/admin/queues/{queue}/drain", tag = "admin", operation_id = "drainQueue",
    params(("queue" = String, Path, description = "Its name")),
    responses((status = 200, description = "So many are cancelled.", body = Changed))
)]
pub(crate) async fn drain(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let name: String = call.part("queue")?;
    let decide = async {
        let drained = platform.desk.drain(&call.caller.cx, &name).await;
        let (count, has_more, commit) = drained.map_err(|error| problem(&error))?;
        Ok((Changed { count, has_more }, commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}
