use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use stoa_http::Problem;
use stoa_identity::organization;

use super::{Asked, Named, change};
use crate::operator::Operator;
use crate::platform::Platform;

/// Archive an organization
///
/// It can be read, and never changes again.
#[utoipa::path(
    post, path = "/v1/organizations/{organization}/archive", tag = "organizations", operation_id = "archiveOrganization",
    params(
        ("organization" = String, Path, description = "Its id", pattern = "^org_[0-9a-hjkmnp-tv-z]{13}$"),
        ("If-Match" = Option<String>, Header, description = "The entity tag of the version to change"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$"),
    ),
    responses(
        (status = 200, description = "It is now this.", body = super::View),
        (status = 404, description = "There is none.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is archived already, or somebody else changed it meanwhile.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It is at another version.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key was used for another request.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn archive(
    State(platform): State<Arc<Platform>>,
    Operator(cx): Operator,
    Named(text): Named,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Asked { method: Method::POST, uri: &uri, headers: &headers, body: &[] };
    change(&platform, &cx, &text, asked, organization::archive).await
}
