use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_jobs::schedule::{Change, Misfire, Overlap};
use stoa_kernel::store::Priority;

use super::{Times, View, named};
use crate::body::body;
use crate::call::{Call, Empty};
use crate::jobs::submit::Time;
use crate::jobs::{problem, refusal};
use crate::platform::Platform;

body! {
    /// What is to be different: a JSON Merge Patch (RFC 7396).
    PatchBody as SchedulePatch {
        /// What its jobs need to know.
        value payload("payload"): Option<serde_json::Value> as Option<Object> [nullable = false],
        /// How soon they are wanted.
        optional priority("priority"): Option<Priority> as Option<String> [pattern = "^(critical|high|normal|low)$", nullable = false],
        /// When it fires, in place of what was.
        optional cron("cron"): Option<String> as Option<String> [max_length = 200, nullable = false],
        /// On whose clocks.
        optional time_zone("timeZone"): Option<String> as Option<String> [nullable = false],
        /// Every so many seconds, from now on.
        value every_s("everyS"): Option<i64> as Option<i64> [minimum = 1, maximum = 31_622_400, nullable = false],
        /// Once, at this time.
        optional at("at"): Option<Time> as Option<String> [format = "date-time", nullable = false],
        /// What becomes of instants that were missed.
        optional misfire("misfire"): Option<Misfire> as Option<String> [pattern = "^(run_once|skip|catch_up)$", nullable = false],
        /// How many of them are caught up with.
        value catch_up_max("catchUpMax"): Option<u32> as Option<u32> [minimum = 1, maximum = 100, nullable = false],
        /// What becomes of a fire while the job of the one before has not ended.
        optional overlap("overlap"): Option<Overlap> as Option<String> [pattern = "^(allow|skip|queue)$", nullable = false],
        /// How many seconds a job is delayed at most, by chance.
        value jitter_s("jitterS"): Option<u32> as Option<u32> [minimum = 0, maximum = 86_400, nullable = false],
        /// Whether it does not fire. What it passes over while it is paused was not missed.
        value paused("paused"): Option<bool> as Option<bool> [nullable = false],
    }
}

/// Change a schedule, pause it, or let it go on
#[utoipa::path(
    patch, path = "/v1/schedules/{schedule}", tag = "schedules", operation_id = "updateSchedule",
    params(("schedule" = String, Path, description = "Its id")),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is now this.", body = View))
)]
pub(crate) async fn change(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = PatchBody::read(&call)?;
    let decide = async {
        let (schedule, clock) = named(&platform, &call).await?;
        call.matches(&schedule.id, schedule.version)?;
        let at = body.at.map(|time| time.0);
        let times = Times { cron: body.cron, time_zone: body.time_zone, every_s: body.every_s, at };
        let change = Change {
            payload: body.payload,
            priority: body.priority,
            timing: times.timing(Some(&schedule.timing.0), platform.clock.now())?,
            misfire: body.misfire,
            catch_up_max: body.catch_up_max,
            overlap: body.overlap,
            jitter_s: body.jitter_s,
            is_paused: body.paused,
        };
        let changed = platform.schedules.change((&schedule, &clock), change);
        let (schedule, clock, commit) = changed.map_err(|error| problem(&error))?;
        Ok((View::of(&platform, &schedule, Some(&clock)), commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}

/// Remove a schedule
///
/// What it has asked for is done all the same.
#[utoipa::path(
    delete, path = "/v1/schedules/{schedule}", tag = "schedules", operation_id = "removeSchedule",
    params(("schedule" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let (schedule, clock) = named(&platform, &call).await?;
        call.matches(&schedule.id, schedule.version)?;
        let removed = platform.schedules.remove((&schedule, &clock));
        Ok((Empty, removed.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}
