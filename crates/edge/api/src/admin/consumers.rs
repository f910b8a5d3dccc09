use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::store::StoreError;
use stoa_outbox::{LAG_MAX, Standing, standing};
use utoipa::ToSchema;

use crate::call::{self, Call};
use crate::jobs::time;
use crate::platform::Platform;

/// Somebody who follows the event log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Consumer)]
struct View {
    /// Its name.
    #[schema(example = "webhooks")]
    name: String,
    /// What it does.
    about: String,
    /// The last position that it has dealt with.
    position: i64,
    /// When it last moved.
    #[schema(format = "date-time")]
    updated_at: Option<String>,
    /// How many events it has not dealt with; counting ends at 1000.
    behind: usize,
    /// Whether there may be more.
    is_more: bool,
    /// When the first of them happened.
    #[schema(format = "date-time")]
    behind_since: Option<String>,
}

/// Consumers.
#[derive(Serialize, ToSchema)]
#[schema(as = Consumers)]
struct List {
    /// The consumers, by name.
    items: Vec<View>,
}

impl View {
    fn of(standing: Standing) -> Self {
        Self {
            name: standing.name,
            about: standing.about,
            position: standing.position,
            updated_at: time(standing.updated_at),
            behind: standing.behind,
            is_more: standing.behind >= usize::try_from(LAG_MAX).unwrap_or(usize::MAX),
            behind_since: time(standing.since),
        }
    }
}

/// List who follows the event log, and how far behind they are
///
/// Events that a consumer could not take are jobs `event.consume` of the batch `consumer:<name>`; what is not tried any more is a dead letter.
#[utoipa::path(
    get, path = "/v1/admin/consumers", tag = "admin", operation_id = "listConsumers",
    responses((status = 200, description = "They are these.", body = List))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call.params().finish()?;
    let failed = |error: StoreError| Problem::of(&error);
    let mut items = Vec::new();
    for (name, about, kinds) in &platform.consumers {
        let (store, log) = (platform.store.as_ref(), platform.log.as_ref());
        let found = standing(store, log, &call.caller.cx, (name, about), kinds.clone(), None)
            .await
            .map_err(failed)?;
        items.push(View::of(found));
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    call::ok(&List { items })
}
