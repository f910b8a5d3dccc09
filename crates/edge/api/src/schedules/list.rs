use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use stoa_http::Problem;
use stoa_jobs::schedule::Schedule;
use stoa_kernel::store::Record as _;

use super::{View, named};
use crate::body::page;
use crate::call::{self, Call, Paged};
use crate::jobs::problem;
use crate::platform::Platform;

page! {
    /// Schedules.
    Page as Schedules: Vec<View> "The schedules, in the order in which they were made."
}

/// List schedules
#[utoipa::path(
    get, path = "/v1/schedules", tag = "schedules", operation_id = "listSchedules",
    params(
        Paged,
        ("kind" = Option<String>, Query, description = "Only those of jobs of this kind"),
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let mut query = Schedule::select().ascending(Schedule::ID);
    if let Some(kind) = params.text("kind") {
        if kind.contains('\0') {
            params.wrong("kind", "holds a NUL character");
        }
        query = query.eq(Schedule::KIND, &kind);
    }
    let view = async |found: Vec<Schedule>| {
        let clocks =
            platform.schedules.clocks(&call.caller.cx, &found).await.map_err(|error| problem(&error))?;
        let both = found.iter().zip(&clocks);
        Ok(both.map(|(schedule, clock)| View::of(&platform, schedule, clock.as_ref())).collect())
    };
    call.page(&platform, params, query, view).await
}

/// Show a schedule
#[utoipa::path(
    get, path = "/v1/schedules/{schedule}", tag = "schedules", operation_id = "getSchedule",
    params(("schedule" = String, Path, description = "Its id", example = "sch_0akvp3r7jtw01")),
    responses((status = 200, description = "It is this.", body = View))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (schedule, clock) = named(&platform, &call).await?;
    call::ok(&View::of(&platform, &schedule, Some(&clock)))
}
