use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_jobs::schedule::{Change, Draft, Misfire, Name, Overlap, SCHEDULES_MAX};
use stoa_kernel::store::{Priority, StoreError};

use super::{Times, View};
use crate::body::body;
use crate::call::Call;
use crate::jobs::submit::Time;
use crate::jobs::{problem, refusal};
use crate::platform::Platform;
use crate::render::invalid;

body! {
    /// A schedule that is to be made: `cron`, `everyS` or `at` says when it fires.
    CreateBody as ScheduleDraft {
        /// What people call it.
        required name("name"): Name as String [pattern = "^[a-z][a-z0-9._-]{0,63}$", example = "close-the-books"],
        /// The kind of its jobs.
        required kind("kind"): String as String [example = "probe"],
        /// What they need to know, by the schema of their kind; at most 256 KiB.
        value payload("payload"): Option<serde_json::Value> as Option<Object> [nullable = false],
        /// How soon they are wanted; by their kind, if nothing is said.
        optional priority("priority"): Option<Priority> as Option<String> [pattern = "^(critical|high|normal|low)$", nullable = false],
        /// Five fields (minute, hour, day of the month, month, day of the week), six with seconds before them, or `@daily` and the like.
        optional cron("cron"): Option<String> as Option<String> [max_length = 200, example = "0 9 * * MON-FRI", nullable = false],
        /// On whose clocks: an IANA time zone, UTC without one. A time that they skip fires once, when they go on; one that they show twice fires the first time.
        optional time_zone("timeZone"): Option<String> as Option<String> [example = "Europe/Berlin", nullable = false],
        /// Every so many seconds, from now on.
        value every_s("everyS"): Option<i64> as Option<i64> [minimum = 1, maximum = 31_622_400, nullable = false],
        /// Once, at this time.
        optional at("at"): Option<Time> as Option<String> [format = "date-time", nullable = false],
        /// What becomes of instants at which nobody was there to fire, later than a minute: they fire once for all (`run_once`), not at all (`skip`), or the newest each by itself (`catch_up`).
        optional misfire("misfire"): Option<Misfire> as Option<String> [pattern = "^(run_once|skip|catch_up)$", nullable = false],
        /// How many of them are caught up with.
        value catch_up_max("catchUpMax"): Option<u32> as Option<u32> [minimum = 1, maximum = 100, nullable = false],
        /// What becomes of a fire while the job of the one before has not ended: it fires (`allow`), it does not (`skip`), or its job waits (`queue`).
        optional overlap("overlap"): Option<Overlap> as Option<String> [pattern = "^(allow|skip|queue)$", nullable = false],
        /// How many seconds a job is delayed at most, by chance.
        value jitter_s("jitterS"): Option<u32> as Option<u32> [minimum = 0, maximum = 86_400, nullable = false],
        /// Whether it does not fire yet.
        value paused("paused"): Option<bool> as Option<bool> [nullable = false],
    }
}

/// What a refused schedule is called.
pub(super) fn refused(error: StoreError) -> stoa_identity::Error {
    if error.is_by("schedules_quota") {
        return stoa_identity::Error::QuotaExceeded {
            what: "schedules",
            limit: SCHEDULES_MAX,
            used: SCHEDULES_MAX + 1,
        };
    }
    refusal(error)
}

/// Make a schedule
///
/// It asks for a job at each of its instants, exactly once, whichever processes run or die.
#[utoipa::path(
    post, path = "/v1/schedules", tag = "schedules", operation_id = "createSchedule",
    request_body = CreateBody,
    responses((status = 201, description = "It is made.", body = View))
)]
pub(crate) async fn create(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = CreateBody::read(&call)?;
    let at = body.at.map(|time| time.0);
    let times = Times { cron: body.cron, time_zone: body.time_zone, every_s: body.every_s, at };
    let timing = times.timing(None, platform.clock.now())?;
    let timing = timing.ok_or_else(|| invalid(&[("/cron", "say when: cron, everyS or at".to_owned())]))?;
    let change = Change {
        payload: body.payload,
        priority: body.priority,
        timing: None,
        misfire: body.misfire,
        catch_up_max: body.catch_up_max,
        overlap: body.overlap,
        jitter_s: body.jitter_s,
        is_paused: body.paused,
    };
    let draft = Draft { name: body.name, kind: body.kind, timing, change };
    let decide = async {
        let made = platform.schedules.create(&call.caller.cx, draft);
        let (schedule, clock, commit) = made.map_err(|error| problem(&error))?;
        Ok((View::of(&platform, &schedule, Some(&clock)), commit))
    };
    call.change(&platform, StatusCode::CREATED, decide, refused).await
}
