use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_kernel::clock::Micros;
use stoa_kernel::id::Id;
use stoa_kernel::store::event::rfc3339;
use stoa_outbox::{ACTIVITY, Activity, day, readable};
use utoipa::ToSchema;

use crate::body::page;
use crate::call::{Call, Paged};
use crate::jobs::{organization, time};
use crate::platform::Platform;

/// How often something happened on a day.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Activity)]
struct View {
    /// The day, in UTC.
    #[schema(format = "date", example = "2026-11-28")]
    day: String,
    /// The type of the events.
    #[serde(rename = "type")]
    #[schema(example = "member.joined")]
    kind: String,
    /// Where; null for the installation.
    organization_id: Option<String>,
    /// How many there were.
    events: i64,
    /// When the first of them happened.
    #[schema(format = "date-time")]
    first_at: Option<String>,
    /// When the last of them happened.
    #[schema(format = "date-time")]
    last_at: Option<String>,
}

page! {
    /// Counts of events.
    Page as ActivityPage: Vec<View> "The newest day first."
}

const DAY_US: i64 = 86_400_000_000;

impl View {
    fn of(row: &Activity) -> Self {
        let text = rfc3339::text(Micros(row.day.saturating_mul(DAY_US)));
        Self {
            day: text.chars().take(10).collect(),
            kind: row.kind.clone(),
            organization_id: organization(row.organization_id),
            events: row.events,
            first_at: time(Some(row.first_at)),
            last_at: time(Some(row.last_at)),
        }
    }
}

/// A day of the query, as days since 1970.
fn asked(params: &mut Params, name: &'static str) -> Option<i64> {
    let text = params.text(name)?;
    let begins = serde_json::Value::String(format!("{text}T00:00:00Z"));
    match rfc3339::deserialize(begins) {
        Ok(time) if text.len() == 10 => Some(day(time)),
        _ => {
            params.wrong(name, "expected a day such as 2026-11-28");
            None
        }
    }
}

/// Count what happens, by day and type
///
/// A projection of the event log: it follows within moments. Days are those of UTC.
#[utoipa::path(
    get, path = "/v1/events/activity", tag = "events", operation_id = "listActivity",
    params(
        Paged,
        ("organization" = Option<String>, Query, description = "Only that of this organization"),
        ("type" = Option<String>, Query, description = "Only these types, separated by commas"),
        ("from" = Option<String>, Query, description = "Only from this day on", format = "date"),
        ("to" = Option<String>, Query, description = "Only up to this day", format = "date"),
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn activity(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let cx = &call.caller.cx;
    let readable = readable(platform.store.as_ref(), cx, ACTIVITY).await;
    let (live, retired) = readable.map_err(|error| Problem::of(&error))?;
    let organization = super::organization(&call.caller, &mut params);
    let kinds = super::kinds(&platform, &mut params);
    let (from, to) = (asked(&mut params, "from"), asked(&mut params, "to"));
    let of = |generation| {
        let mut query = Activity::of(generation);
        if let Some(organization) = organization {
            query = query.eq(Activity::ORGANIZATION_ID, &Id::to_i64(organization));
        }
        if !kinds.is_empty() {
            query = query.is_in(Activity::KIND, &kinds);
        }
        if let Some(from) = from {
            query = query.ge(Activity::DAY, &from);
        }
        if let Some(to) = to {
            query = query.le(Activity::DAY, &to);
        }
        query
    };
    // Whoever began to read what was there before goes on in it.
    let cursor = call.params().text("cursor");
    let is_of = |generation: &i64| {
        let print = of(*generation).build().fingerprint(cx.scope);
        cursor.as_ref().is_some_and(|cursor| platform.cursors.open(print, cursor).is_ok())
    };
    let query = of(retired.filter(is_of).unwrap_or(live));
    let view = async |found: Vec<Activity>| Ok(found.iter().map(View::of).collect());
    call.page(&platform, params, query, view).await
}
