use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use stoa_http::Problem;
use stoa_http::fields::{self, Fields};
use stoa_identity::organization;
use utoipa::ToSchema;

use super::{Asked, Named, change};
use crate::caller::Caller;
use crate::platform::Platform;

/// That everything is to be removed.
#[derive(ToSchema)]
#[schema(as = PurgeRequest)]
#[expect(dead_code, reason = "it describes what is read field by field")]
pub(crate) struct PurgeDocument {
    /// The slug of the organization, typed by a person.
    #[schema(example = "north-wind", max_length = 40)]
    confirmation: String,
}

/// Remove an organization with everything in it
///
/// A job does it; the organization is `purging` until then, and a tombstone stays. It cannot be undone.
#[utoipa::path(
    post, path = "/v1/organizations/{organization}/purge", tag = "organizations", operation_id = "purgeOrganization",
    params(("organization" = String, Path, description = "Its id", pattern = "^org_[0-9a-hjkmnp-tv-z]{13}$")),
    request_body = PurgeDocument,
    responses((status = 200, description = "It is being removed.", body = super::View))
)]
pub(crate) async fn purge(
    State(platform): State<Arc<Platform>>,
    Caller { cx, .. }: Caller,
    Named(text): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = fields::read(body, platform.body_bytes_max).await?;
    let mut given = Fields::of(&headers, &body)?;
    let confirmation = given.required::<String>("confirmation");
    given.finish()?;
    let confirmation = confirmation.unwrap_or_default();
    let asked = Asked { method: Method::POST, uri: &uri, headers: &headers, body: &body };
    change(&platform, &cx, &text, asked, |found, clock| organization::purge(found, &confirmation, clock))
        .await
}
