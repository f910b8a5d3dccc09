use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use stoa_http::Problem;
use stoa_kernel::id::JobId;
use stoa_runtime::lifecycle::Phase;
use utoipa::ToSchema;

use super::{View, problem};
use crate::call::Call;
use crate::events::is_still_good;
use crate::platform::Platform;

/// Between comments that keep the connection open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What is told of a job.
#[derive(ToSchema)]
#[schema(as = JobEvent)]
#[expect(dead_code, reason = "it is written as an event, not as JSON")]
struct Told {
    /// Its version and how far it is.
    #[schema(example = "2.40")]
    id: String,
    /// Always `job`.
    #[schema(example = "job")]
    event: String,
    /// The job, as JSON.
    data: String,
}

/// Follow a job
///
/// Server-sent events: `job` when anything of it changes, with the job as `data`, beginning with how it stands. Ends when it has ended.
#[utoipa::path(
    get, path = "/v1/jobs/{job}/stream", tag = "jobs", operation_id = "streamJob",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 200, description = "The stream.", content_type = "text/event-stream", body = Told))
)]
pub(crate) async fn stream(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let id: JobId = call.part("job")?;
    call.params().finish()?;
    platform.desk.find(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
    let place = Arc::clone(&platform.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::new("overloaded", "Too many streams are open.").retry_after(5))?;
    let state = Some((platform, call, place, String::new()));
    let events = stream::unfold(state, move |state| async move {
        let (platform, call, place, mut seen) = state?;
        let mut phase = platform.health.phases();
        loop {
            if !is_still_good(&platform, &call.caller).await {
                return None;
            }
            let found = platform.desk.find(&call.caller.cx, id).await.ok()?;
            let text = serde_json::to_string(&View::of(&platform, &found)).unwrap_or_default();
            if text != seen {
                let (View { version, progress, .. }, is_over) =
                    (View::of(&platform, &found), found.is_over());
                let event =
                    Event::default().id(format!("{version}.{}", progress.percent)).event("job").data(&text);
                seen = text;
                return Some((Ok(event), (!is_over).then_some((platform, call, place, seen))));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                // A process that ends lets go: the client continues elsewhere.
                _ = phase.wait_for(|phase| *phase == Phase::Draining) => return None,
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}
