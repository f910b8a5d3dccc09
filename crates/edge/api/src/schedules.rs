//! Schedules: `/v1/schedules`.

mod change;
mod create;
mod list;
mod preview;
mod run;

use std::sync::Arc;

use serde::Serialize;
use stoa_http::Problem;
use stoa_jobs::schedule::{NEVER, Schedule, ScheduleClock, Timing};
use stoa_kernel::clock::Micros;
use stoa_kernel::id::ScheduleId;
use stoa_kernel::store::Priority;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Call;
use crate::jobs::{organization, problem, time};
use crate::platform::Platform;
use crate::render::invalid;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(preview::draft))
        .routes(routes!(list::show, change::change, change::remove))
        .routes(routes!(preview::show))
        .routes(routes!(run::run))
}

/// A schedule.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Schedule)]
struct View {
    /// Its id.
    #[schema(example = "sch_0akvp3r7jtw01")]
    id: String,
    /// For whom; null is for the installation.
    organization_id: Option<String>,
    /// What people call it.
    #[schema(example = "close-the-books")]
    name: String,
    /// The kind of its jobs.
    #[schema(example = "probe")]
    kind: String,
    /// Their queue.
    #[schema(example = "default")]
    queue: String,
    /// What they need to know; only of kinds that anybody may ask for.
    payload: Option<serde_json::Value>,
    /// How soon they are wanted: critical, high, normal or low.
    #[schema(example = "normal")]
    priority: &'static str,
    /// When it fires, as a cron expression; null where it is an interval or a time.
    #[schema(example = "0 9 * * MON-FRI")]
    cron: Option<String>,
    /// On whose clocks.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// Or every so many seconds.
    every_s: Option<i64>,
    /// Or once, at this time.
    #[schema(format = "date-time")]
    at: Option<String>,
    /// What becomes of instants at which nobody was there to fire, later than a minute: run_once, skip or catch_up.
    #[schema(example = "run_once")]
    misfire: String,
    /// How many of them are caught up with.
    catch_up_max: u32,
    /// What becomes of a fire while the job of the one before has not ended: allow, skip or queue.
    #[schema(example = "skip")]
    overlap: String,
    /// How many seconds a job is delayed at most, by chance.
    jitter_s: u32,
    /// Since when it does not fire; null while it does.
    #[schema(format = "date-time")]
    paused_at: Option<String>,
    /// Whether it is Stoa's own, which is paused but not changed.
    is_own: bool,
    /// Who made it.
    #[schema(example = "user:usr_0akvp3r7jtw01")]
    created_by: String,
    /// When it fires next; null when it does not any more.
    #[schema(format = "date-time")]
    next_at: Option<String>,
    /// The instant that fired last.
    #[schema(format = "date-time")]
    last_at: Option<String>,
    /// The job of the last fire.
    #[schema(example = "job_0akvp3r7jtw01")]
    last_job_id: Option<String>,
    /// How many instants fired.
    fired: i64,
    /// How many were passed over.
    skipped: i64,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was last changed.
    #[schema(format = "date-time")]
    updated_at: String,
    /// Counts its changes.
    version: i64,
}

impl View {
    fn of(platform: &Platform, schedule: &Schedule, clock: Option<&ScheduleClock>) -> Self {
        let is_open = platform.desk.kind(&schedule.kind).is_some_and(|kind| kind.form.is_some());
        let (cron, time_zone, every_s, at) = match &schedule.timing.0 {
            Timing::Cron { expression, time_zone } => {
                (Some(expression.clone()), Some(time_zone.clone()), None, None)
            }
            Timing::Every { seconds, .. } => (None, None, Some(*seconds), None),
            Timing::Once { at } => (None, None, None, time(Some(*at))),
        };
        Self {
            id: schedule.id.to_string(),
            organization_id: organization(schedule.organization_id),
            name: schedule.name.to_string(),
            kind: schedule.kind.clone(),
            queue: schedule.queue.clone(),
            payload: is_open.then(|| schedule.payload.0.clone()),
            priority: Priority::of(schedule.priority).name(),
            cron,
            time_zone,
            every_s,
            at,
            misfire: schedule.misfire.to_string(),
            catch_up_max: schedule.catch_up_max,
            overlap: schedule.overlap.to_string(),
            jitter_s: schedule.jitter_s,
            paused_at: time(schedule.paused_at),
            is_own: schedule.is_own,
            created_by: schedule.context.0.actor.label(),
            next_at: time(clock.map(|clock| clock.next_at).filter(|next| *next != NEVER)),
            last_at: time(clock.and_then(|clock| clock.last_at)),
            last_job_id: clock.and_then(|clock| clock.last_job_id).map(|id| id.to_string()),
            fired: clock.map_or(0, |clock| clock.fired),
            skipped: clock.map_or(0, |clock| clock.skipped),
            created_at: rfc3339::text(schedule.created_at),
            updated_at: rfc3339::text(schedule.updated_at),
            version: schedule.version,
        }
    }
}

/// The schedule that an address names.
async fn named(platform: &Platform, call: &Call) -> Result<(Schedule, ScheduleClock), Problem> {
    let id: ScheduleId = call.part("schedule")?;
    platform.schedules.find(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

/// When it is to fire, of the fields of a body.
#[derive(Default)]
struct Times {
    cron: Option<String>,
    time_zone: Option<String>,
    every_s: Option<i64>,
    at: Option<Micros>,
}

impl Times {
    /// The timing that they say, where they say one; `before` is what there is.
    fn timing(self, before: Option<&Timing>, now: Micros) -> Result<Option<Timing>, Problem> {
        let wrong = |pointer, message: String| Err(invalid(&[(pointer, message)]));
        let Self { cron, time_zone, every_s, at } = self;
        let given = [cron.is_some(), every_s.is_some(), at.is_some()].into_iter().filter(|is| *is).count();
        if given > 1 {
            return wrong("/cron", "it is one of cron, everyS and at, not several".to_owned());
        }
        let made = match (cron, time_zone, every_s, at) {
            (Some(cron), zone, ..) => {
                let own = || match before {
                    Some(Timing::Cron { time_zone, .. }) => time_zone.clone(),
                    _ => "UTC".to_owned(),
                };
                Timing::cron(&cron, &zone.unwrap_or_else(own))
            }
            (None, Some(zone), None, None) => match before {
                Some(Timing::Cron { expression, .. }) => Timing::cron(expression, &zone),
                _ => return wrong("/timeZone", "goes with cron".to_owned()),
            },
            (None, Some(_), ..) => return wrong("/timeZone", "goes with cron".to_owned()),
            (None, None, Some(seconds), _) => Timing::every(seconds, now),
            (None, None, None, Some(at)) => Ok(Timing::Once { at }),
            (None, None, None, None) => return Ok(None),
        };
        made.map(Some).or_else(|(pointer, message)| wrong(pointer, message))
    }
}
