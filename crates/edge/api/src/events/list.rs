use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_kernel::store::{Envelope, Value};
use utoipa::ToSchema;

use super::{failed, filter, fingerprint};
use crate::caller::Caller;
use crate::platform::Platform;

/// A page of events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventPage)]
pub(crate) struct Listed {
    /// The events, in the order of their positions.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Envelope>,
    /// Where the next page begins. Also on the last one: what happens later comes after it.
    next_cursor: Option<String>,
    /// Whether there is more already.
    has_more: bool,
}

/// List events
///
/// In the order of the log. A reader that continues from `nextCursor` sees every event once, also those that come later.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "listEvents",
    params(
        ("limit" = Option<u32>, Query, description = "The most of a page; 20 without", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "Where the page before ended: its `nextCursor`"),
        ("organization" = Option<String>, Query, description = "Only those of this organization"),
        ("type" = Option<String>, Query, description = "Only these types, separated by commas"),
        ("stream" = Option<String>, Query, description = "Only this stream"),
        ("since" = Option<String>, Query, description = "Only from this time on", format = "date-time"),
    ),
    responses((status = 200, description = "A page.", body = Listed))
)]
pub(crate) async fn list(
    State(platform): State<Arc<Platform>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Listed>, Problem> {
    let mut params = Params::of(&uri);
    let (limit, cursor) = (params.limit(), params.text("cursor"));
    let (scope, filter) = filter(&platform, &caller, &mut params);
    let print = fingerprint(scope, &filter);
    let after = cursor.and_then(|cursor| {
        platform.cursors.open(print, &cursor).map_err(|error| params.wrong("cursor", error.to_string())).ok()
    });
    params.finish()?;
    let position = after.as_ref().and_then(|place| place.first()).and_then(Value::integer).unwrap_or(0);
    let mut items = platform
        .log
        .events_after(scope, position, limit + 1, &filter)
        .await
        .map_err(|error| failed(&error))?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = items.len() > most;
    items.truncate(most);
    let end = items.last().map_or(position, |last| last.position);
    Ok(Json(Listed {
        items,
        next_cursor: Some(platform.cursors.seal(print, &[Value::Integer(end)])),
        has_more,
    }))
}
