//! Webhooks: `/v1/webhooks`, their deliveries, and the webhooks of others: `/v1/hook-sources`, `/v1/hooks`.

mod change;
mod create;
mod deliveries;
mod list;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::clock::Micros;
use stoa_kernel::id::WebhookEndpointId;
use stoa_kernel::store::event::rfc3339;
use stoa_messaging::Error;
use stoa_messaging::webhook::{Endpoint, Pattern};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Call;
use crate::jobs::time;
use crate::platform::Platform;
use crate::render::invalid;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::show, change::change, change::remove))
        .routes(routes!(change::rotate))
        .routes(routes!(deliveries::test))
        .routes(routes!(deliveries::replay))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::show))
        .routes(routes!(deliveries::resend))
        .routes(routes!(sources::list, sources::create))
        .routes(routes!(sources::remove))
        .routes(routes!(sources::take))
        .routes(routes!(sources::show))
}

/// Where events are sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
struct View {
    /// Its id.
    #[schema(example = "whe_0akvp3r7jtw01")]
    id: String,
    /// Where.
    #[schema(example = "https://erp.example.org/stoa")]
    url: String,
    /// Which types of events.
    #[schema(example = json!(["member.*", "job.dead_lettered"]))]
    events: Vec<String>,
    /// The names of the headers of its own; their values are not shown again.
    headers: Vec<String>,
    /// What it is for.
    description: String,
    /// How long it may take, in seconds.
    timeout_s: u32,
    /// Whether events are sent.
    is_active: bool,
    /// Since when nothing is sent.
    #[schema(format = "date-time")]
    disabled_at: Option<String>,
    /// Why: manual, gone (it answered 410), failing (for five days).
    disabled_reason: Option<String>,
    /// Since when every attempt has failed; null while it does well.
    #[schema(format = "date-time")]
    failing_since: Option<String>,
    /// Until when the secret before signs too.
    #[schema(format = "date-time")]
    previous_secret_until: Option<String>,
    /// The secret: shown when it is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", required = false, nullable = false)]
    secret: Option<String>,
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
    fn of(endpoint: &Endpoint, failing_since: Option<Micros>) -> Self {
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url.clone(),
            events: endpoint.patterns.0.iter().map(ToString::to_string).collect(),
            headers: endpoint.headers.0.keys().cloned().collect(),
            description: endpoint.description.clone(),
            timeout_s: endpoint.timeout_s,
            is_active: endpoint.disabled_at.is_none(),
            disabled_at: time(endpoint.disabled_at),
            disabled_reason: endpoint.disabled_reason.clone(),
            failing_since: time(failing_since),
            previous_secret_until: time(endpoint.previous_until),
            secret: None,
            created_at: rfc3339::text(endpoint.created_at),
            updated_at: rfc3339::text(endpoint.updated_at),
            version: endpoint.version,
        }
    }
}

/// What the errors of messaging are called at the edge.
pub(crate) fn problem(error: &Error) -> Problem {
    match error {
        Error::Invalid(wrong) => invalid(wrong),
        other => Problem::of(other),
    }
}

/// The endpoint that an address names.
async fn named(platform: &Platform, call: &Call) -> Result<Endpoint, Problem> {
    let id: WebhookEndpointId = call.part("webhook")?;
    platform.endpoints.find(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

/// Since when everything fails that is sent to an endpoint.
async fn failing_since(platform: &Platform, call: &Call, of: &Endpoint) -> Result<Option<Micros>, Problem> {
    let failing = platform.endpoints.failing(&call.caller.cx, std::slice::from_ref(of)).await;
    Ok(failing.map_err(|error| problem(&error))?.into_iter().next().flatten())
}

/// Types of events, each read by itself.
fn patterns(platform: &Platform, texts: &[String]) -> Result<Vec<Pattern>, Problem> {
    let read = |text: &String| {
        let pattern: Pattern = text.parse()?;
        if platform.event_types.iter().any(|known| pattern.matches(known.name)) {
            return Ok(pattern);
        }
        Err(format!("no type of events is \"{text}\"; /v1/event-types lists them"))
    };
    texts.iter().map(|text| read(text).map_err(|message| invalid(&[("/events", message)]))).collect()
}

/// Headers of an endpoint: names and texts.
type Headers = BTreeMap<String, String>;
