use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stoa_http::{Problem, etag, idempotency};
use stoa_identity::organization::{self, Slug};

use super::{Named, View, id, problem};
use crate::caller::Caller;
use crate::platform::Platform;
use crate::render;

/// Get an organization
///
/// By its id, or by its slug.
#[utoipa::path(
    get, path = "/v1/organizations/{organization}", tag = "organizations", operation_id = "getOrganization",
    params(
        ("organization" = String, Path, description = "Its id or its slug", example = "org_01j9x3w8k4q2z"),
        ("If-None-Match" = Option<String>, Header, description = "The entity tag that is known already"),
    ),
    responses(
        (status = 200, description = "It is this.", body = View),
        (status = 304, description = "It is still what the caller knows."),
        (status = 404, description = "There is none.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(platform): State<Arc<Platform>>,
    Caller { cx, .. }: Caller,
    Named(text): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let store = platform.store.as_ref();
    // A slug has no underscore and an id always has one, or is a number.
    let found = match text.parse::<Slug>() {
        Ok(slug) => organization::by_slug(store, &cx, &slug).await,
        Err(_) => organization::by_id(store, &cx, id(&text)?).await,
    };
    let found = found.map_err(|error| problem(&error))?;
    if etag::is_known(&headers, &found.id, found.version) {
        return Ok(
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag::of(&found.id, found.version))]).into_response()
        );
    }
    Ok(idempotency::respond(render::reply(StatusCode::OK, &found.id, found.version, &View::of(&found))?))
}
