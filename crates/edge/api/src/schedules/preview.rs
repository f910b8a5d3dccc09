use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_jobs::schedule::Timing;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;

use super::{Times, named};
use crate::body::body;
use crate::call::{self, Call};
use crate::jobs::submit::Time;
use crate::platform::Platform;
use crate::render::invalid;

/// When it fires.
#[derive(Serialize, ToSchema)]
#[schema(as = SchedulePreview)]
struct Preview {
    /// The next ten instants; fewer where there are no more. A jitter comes on top.
    #[schema(example = json!(["2026-11-30T08:00:00Z"]))]
    fires: Vec<String>,
}

fn preview(platform: &Platform, timing: &Timing) -> Result<Response, Problem> {
    call::ok(&Preview { fires: platform.schedules.preview(timing).into_iter().map(rfc3339::text).collect() })
}

/// When a schedule fires next, paused or not
#[utoipa::path(
    get, path = "/v1/schedules/{schedule}/preview", tag = "schedules", operation_id = "previewSchedule",
    params(("schedule" = String, Path, description = "Its id")),
    responses((status = 200, description = "At these times.", body = Preview))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (schedule, _) = named(&platform, &call).await?;
    preview(&platform, &schedule.timing.0)
}

body! {
    /// When something would fire: one of `cron`, `everyS` and `at`.
    PreviewBody as ScheduleTimes {
        /// A cron expression.
        optional cron("cron"): Option<String> as Option<String> [max_length = 200, example = "0 9 * * MON-FRI", nullable = false],
        /// On whose clocks; UTC without one.
        optional time_zone("timeZone"): Option<String> as Option<String> [example = "Europe/Berlin", nullable = false],
        /// Every so many seconds, from now on.
        value every_s("everyS"): Option<i64> as Option<i64> [minimum = 1, maximum = 31_622_400, nullable = false],
        /// Once, at this time.
        optional at("at"): Option<Time> as Option<String> [format = "date-time", nullable = false],
    }
}

/// When a schedule would fire that is not made yet
#[utoipa::path(
    post, path = "/v1/schedules/preview", tag = "schedules", operation_id = "previewTimes",
    request_body = PreviewBody,
    responses((status = 200, description = "At these times.", body = Preview))
)]
pub(crate) async fn draft(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PreviewBody::read(&call)?;
    let at = body.at.map(|time| time.0);
    let times = Times { cron: body.cron, time_zone: body.time_zone, every_s: body.every_s, at };
    let timing = times.timing(None, platform.clock.now())?;
    preview(
        &platform,
        &timing.ok_or_else(|| invalid(&[("/cron", "say when: cron, everyS or at".to_owned())]))?,
    )
}
