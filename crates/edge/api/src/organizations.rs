//! Organizations: `/v1/organizations`.

mod create;
mod get;
mod list;
mod patch;
mod purge;
mod state;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use stoa_http::idempotency::{Key, once};
use stoa_http::{Problem, etag};
use stoa_identity::organization::{self, Organization};
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::Decided;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::{Object, SchemaType, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::platform::Platform;
use crate::render;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(get::get, patch::patch))
        .routes(routes!(state::suspend))
        .routes(routes!(state::resume))
        .routes(routes!(state::archive))
        .routes(routes!(purge::purge))
}

/// An organization.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Organization)]
pub(crate) struct View {
    /// Its id.
    #[schema(example = "org_01j9x3w8k4q2z", pattern = "^org_[0-9a-hjkmnp-tv-z]{13}$")]
    id: String,
    /// Its name in addresses.
    #[schema(example = "north-wind")]
    slug: String,
    /// Its name for people.
    #[schema(example = "North Wind Trading")]
    name: String,
    /// Whom to write to about it.
    #[schema(example = "office@example.org")]
    contact_email: Option<String>,
    /// What it has set, by name.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    settings: Value,
    /// Where it is in its life: `active`, `suspended`, `archived`, `purging` or `purged`.
    #[schema(example = "active", pattern = "^(active|suspended|archived|purging|purged)$")]
    state: &'static str,
    /// How much it may have: `free`, `team`, `business` or `unlimited`.
    #[schema(example = "unlimited")]
    plan: &'static str,
    /// Whether its members need a second factor.
    mfa_required: bool,
    /// Counts its changes; also its entity tag.
    version: i64,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// The schema of settings, whose values are texts.
fn settings_schema() -> Object {
    settings(SchemaType::new(Type::String))
}

/// The schema of a change of settings: null removes one.
fn settings_patch_schema() -> Object {
    settings(SchemaType::from_iter([Type::String, Type::Null]))
}

fn settings(value: SchemaType) -> Object {
    let text =
        |kind| ObjectBuilder::new().schema_type(kind).max_length(Some(organization::SETTING_CHARS_MAX));
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .description(Some("What it sets, by name; there are at most 64."))
        .property_names(Some(text(SchemaType::new(Type::String)).min_length(Some(1))))
        .additional_properties(Some(text(value)))
        .max_properties(Some(organization::SETTINGS_MAX))
        .build()
}

impl View {
    pub(crate) fn of(organization: &Organization) -> Self {
        Self {
            id: organization.id.to_string(),
            slug: organization.slug.to_string(),
            name: organization.name.clone(),
            contact_email: organization.contact_email.as_ref().map(|email| email.to_string()),
            settings: serde_json::to_value(&organization.settings).unwrap_or_default(),
            state: organization.state.name(),
            plan: organization.plan.name(),
            mfa_required: organization.mfa_required,
            version: organization.version,
            created_at: rfc3339::text(organization.created_at),
            updated_at: rfc3339::text(organization.updated_at),
        }
    }
}

/// What the context's errors are called at the edge.
pub(crate) fn problem(error: &organization::Error) -> Problem {
    match error {
        organization::Error::Invalid(wrong) => render::invalid(wrong),
        other => Problem::of(other),
    }
}

fn id(text: &str) -> Result<OrganizationId, Problem> {
    text.parse()
        .map_err(|error: stoa_kernel::id::ParseIdError| Problem::new("invalid_id", format!("{error}.")))
}

/// The organization that an address names, as it is written there.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is no UTF-8 is the name of nothing.
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(problem(&organization::Error::NotFound));
        };
        Ok(Self(text))
    }
}

/// What a request to change an organization comes with.
struct Asked<'a> {
    method: Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

/// Changes one organization: finds it, holds the caller to `If-Match`, decides, and applies with the idempotency key of the request.
async fn change(
    platform: &Platform,
    cx: &Context,
    text: &str,
    asked: Asked<'_>,
    decide: impl FnOnce(&Organization, &dyn Clock) -> Result<Decided<Organization>, organization::Error>,
) -> Result<Response, Problem> {
    let key = Key::of(asked.headers, &asked.method, asked.uri.path(), asked.body)?;
    let id = id(text)?;
    let store = platform.store.as_ref();
    let work = async {
        let found = organization::by_id(store, cx, id).await.map_err(|error| problem(&error))?;
        etag::require(asked.headers, &found.id, found.version)?;
        let Decided { value, commit } =
            decide(&found, platform.clock.as_ref()).map_err(|error| problem(&error))?;
        let reply = render::reply(StatusCode::OK, &value.id, value.version, &View::of(&value))?;
        Ok((value, commit, reply))
    };
    let refusal = |error, value: &Organization| problem(&organization::Error::of_commit(error, value));
    once(store, cx, &platform.in_flight, key, platform.clock.now(), work, refusal).await
}
