use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::platform::Platform;

/// A type of event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventType)]
pub(crate) struct View {
    /// Its name.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The version of its schema.
    version: u16,
    /// What it says has happened.
    about: &'static str,
    /// The JSON Schema of its payload.
    #[schema(value_type = Object)]
    schema: serde_json::Value,
}

/// The catalogue.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypes)]
pub(crate) struct Catalogue {
    /// Every type.
    items: Vec<View>,
}

/// List the types of events
#[utoipa::path(
    get, path = "/v1/event-types", tag = "events", operation_id = "listEventTypes",
    responses((status = 200, description = "Every type.", body = Catalogue))
)]
pub(crate) async fn types(State(platform): State<Arc<Platform>>) -> Json<Catalogue> {
    let items = platform
        .event_types
        .iter()
        .map(|kind| View {
            kind: kind.name,
            version: kind.version,
            about: kind.about,
            schema: (kind.schema)(),
        })
        .collect();
    Json(Catalogue { items })
}
