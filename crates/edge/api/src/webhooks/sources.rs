use std::sync::Arc;

use axum::extract::State as Extracted;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::shed::{Charge, Known};
use stoa_identity::organization::State;
use stoa_kernel::id::{HookId, HookSourceId};
use stoa_kernel::store::event::rfc3339;
use stoa_kernel::store::{Commit, Record as _, StoreError};
use stoa_messaging::webhook::{HookSource, Received, SOURCES_MAX, SourceDraft, SourceKind};
use stoa_runtime::limiter::{Limit, Outage};
use utoipa::ToSchema;

use super::problem;
use crate::body::{body, page};
use crate::call::{self, Call, Empty, Paged};
use crate::jobs::refusal;
use crate::platform::Platform;

/// The most bytes of a webhook of somebody else.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// So many webhooks of a source are taken in a minute.
const PER_MINUTE_MAX: u32 = 600;

/// From where webhooks are taken.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HookSource)]
struct View {
    /// Its id.
    #[schema(example = "hks_0akvp3r7jtw01")]
    id: String,
    /// What people call it.
    #[schema(example = "our shop")]
    name: String,
    /// How it signs: standard, github or stripe.
    #[schema(example = "standard")]
    kind: String,
    /// Where it sends to, below the address of the installation.
    #[schema(example = "/v1/hooks/hks_0akvp3r7jtw01")]
    path: String,
    /// What it signs with: shown when it is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    secret: Option<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// Counts its changes.
    version: i64,
}

impl View {
    fn of(source: &HookSource) -> Self {
        Self {
            id: source.id.to_string(),
            name: source.name.clone(),
            kind: source.kind.to_string(),
            path: format!("/v1/hooks/{}", source.id),
            secret: None,
            created_at: rfc3339::text(source.created_at),
            version: source.version,
        }
    }
}

page! {
    /// Sources of webhooks.
    Page as HookSources: Vec<View> "The sources, in the order in which they were made."
}

/// List the sources of webhooks
#[utoipa::path(
    get, path = "/v1/hook-sources", tag = "webhooks", operation_id = "listHookSources",
    params(
        Paged,
    ),
    responses((status = 200, description = "They are these.", body = Page))
)]
pub(crate) async fn list(
    Extracted(platform): Extracted<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let view = async |found: Vec<HookSource>| Ok(found.iter().map(View::of).collect());
    call.page(&platform, call.params(), HookSource::select().ascending(HookSource::ID), view).await
}

body! {
    /// A source of webhooks that is to be made.
    CreateBody as HookSourceDraft {
        /// What people call it.
        required name("name"): String as String [min_length = 1, max_length = 100, example = "our shop"],
        /// How it signs.
        required kind("kind"): SourceKind as String [pattern = "^(standard|github|stripe)$", example = "standard"],
        /// What it signs with, where the other side has chosen that; one is drawn without.
        optional secret("secret"): Option<String> as Option<String> [min_length = 8, max_length = 500, nullable = false],
    }
}

/// What a refused source is called.
fn refused(error: StoreError) -> stoa_identity::Error {
    if error.is_by("hook_sources_quota") {
        let what = "sources of webhooks";
        return stoa_identity::Error::QuotaExceeded { what, limit: SOURCES_MAX, used: SOURCES_MAX + 1 };
    }
    refusal(error)
}

/// Take webhooks from somebody
///
/// The secret is shown this once.
#[utoipa::path(
    post, path = "/v1/hook-sources", tag = "webhooks", operation_id = "createHookSource",
    request_body = CreateBody,
    responses((status = 201, description = "Its webhooks are taken.", body = View))
)]
pub(crate) async fn create(
    Extracted(platform): Extracted<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let body = CreateBody::read(&call)?;
    let draft = SourceDraft { name: body.name, kind: body.kind, secret: body.secret };
    let decide = async {
        let made = platform.inbound.create(&call.caller.cx, draft);
        let (source, commit) = made.map_err(|error| problem(&error))?;
        Ok((View { secret: Some(source.secret.clone()), ..View::of(&source) }, commit))
    };
    call.change(&platform, StatusCode::CREATED, decide, refused).await
}

/// Take no more webhooks from somebody
#[utoipa::path(
    delete, path = "/v1/hook-sources/{source}", tag = "webhooks", operation_id = "removeHookSource",
    params(("source" = String, Path, description = "Its id")),
    responses((status = 204, description = "Its webhooks are refused."))
)]
pub(crate) async fn remove(
    Extracted(platform): Extracted<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let id: HookSourceId = call.part("source")?;
    let decide = async {
        let source = platform.inbound.find(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
        call.matches(&source.id, source.version)?;
        Ok((Empty, Commit::new().delete(&source)))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}

/// A webhook of somebody else.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReceivedHook)]
struct HookView {
    /// Its id.
    #[schema(example = "hok_0akvp3r7jtw01")]
    id: String,
    /// From where it came.
    source_id: String,
    /// What its sender calls it.
    external_id: String,
    /// What it says.
    body: serde_json::Value,
    /// When it came.
    #[schema(format = "date-time")]
    created_at: String,
}

/// Show a webhook that was taken
#[utoipa::path(
    get, path = "/v1/received-hooks/{hook}", tag = "webhooks", operation_id = "getReceivedHook",
    params(("hook" = String, Path, description = "Its id", example = "hok_0akvp3r7jtw01")),
    responses((status = 200, description = "It is this.", body = HookView))
)]
pub(crate) async fn show(
    Extracted(platform): Extracted<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let id: HookId = call.part("hook")?;
    let hook = platform.inbound.hook(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
    call::ok(&HookView {
        id: hook.id.to_string(),
        source_id: hook.source_id.to_string(),
        external_id: hook.external_id,
        body: hook.body.0,
        created_at: rfc3339::text(hook.created_at),
    })
}

/// What became of a webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HookTaken)]
struct Taken {
    /// Whether it is new; one that came before is not taken again.
    is_new: bool,
}

/// Take a webhook of somebody else
///
/// Verified by the way in which its source signs, with a time that is at most five minutes off; stored before it is answered, once for the id
/// that its sender gave it. `hook.received` then tells of it. At most 600 in a minute are taken from one source.
#[utoipa::path(
    post, path = "/v1/hooks/{source}", tag = "webhooks", operation_id = "takeHook",
    params(("source" = String, Path, description = "The id of the source")),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 202, description = "It is taken.", body = Taken),
        (status = 403, description = "It cannot be verified."),
        (status = 413, description = "The body is too large."),
    )
)]
pub(crate) async fn take(
    Extracted(platform): Extracted<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    if call.body.len() > BODY_BYTES_MAX {
        return Err(Problem::new(
            "body_too_large",
            format!("A body has at most {BODY_BYTES_MAX} bytes here."),
        ));
    }
    let headers: Vec<(String, String)> = call
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    // Whether there is such a source is for those to know who can sign for it.
    let unverified = |_: stoa_messaging::Error| problem(&stoa_messaging::Error::Unverified);
    let id: HookSourceId = call.part("source").map_err(|_| unverified(stoa_messaging::Error::Unverified))?;
    let source = platform.inbound.find(&call.caller.cx, id).await.map_err(unverified)?;
    let known = platform.identity.known_organization(&call.caller.cx, source.organization_id).await;
    let known = known.map_err(|error| crate::render::problem(&error))?;
    if known.is_none_or(|organization| organization.state != State::Active) {
        return Err(unverified(stoa_messaging::Error::Unverified));
    }
    let charge = Charge {
        known: Known::Name("hooks", &source.id.to_string()),
        limit: Limit::Window { most: PER_MINUTE_MAX, seconds: 60 },
    };
    platform.shedder.charge(&[charge], Outage::CountHere).await?;
    let received = Received { headers: &headers, body: &call.body };
    let taken = platform.inbound.take(&call.caller.cx, id, received).await;
    let is_new = taken.map_err(|error| problem(&error))?;
    call::with(StatusCode::ACCEPTED, &Taken { is_new })
}
