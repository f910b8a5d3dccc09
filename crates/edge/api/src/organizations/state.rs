//! The changes of an organization's state: they take nothing but its id, and differ in what they are called.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use stoa_http::Problem;
use stoa_identity::organization;

use super::{Asked, Named, change};
use crate::caller::Caller;
use crate::platform::Platform;

macro_rules! changes {
    ($($name:ident $operation:literal at $path:literal: $summary:literal, $about:literal, refused when $refused:literal;)*) => {$(
        #[doc = $summary]
        ///
        #[doc = $about]
        #[utoipa::path(
            post, path = $path, tag = "organizations", operation_id = $operation,
            params(
                ("organization" = String, Path, description = "Its id", pattern = "^org_[0-9a-hjkmnp-tv-z]{13}$"),
                ("If-Match" = Option<String>, Header, description = "The entity tag of the version to change"),
                ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$"),
            ),
            responses(
                (status = 200, description = "It is now this.", body = super::View),
                (status = 404, description = "There is none.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
                (status = 409, description = $refused, body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
                (status = 412, description = "It is at another version.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
                (status = 422, description = "The idempotency key was used for another request.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
            )
        )]
        pub(crate) async fn $name(
            State(platform): State<Arc<Platform>>,
            Caller { cx, .. }: Caller,
            Named(text): Named,
            uri: Uri,
            headers: HeaderMap,
        ) -> Result<Response, Problem> {
            let asked = Asked { method: Method::POST, uri: &uri, headers: &headers, body: &[] };
            change(&platform, &cx, &text, asked, organization::$name).await
        }
    )*};
}

changes! {
    suspend "suspendOrganization" at "/v1/organizations/{organization}/suspend":
        "Suspend an organization",
        "Its requests are refused until it is resumed; nothing is lost.",
        refused when "It is not active, or somebody else changed it meanwhile.";
    resume "resumeOrganization" at "/v1/organizations/{organization}/resume":
        "Resume an organization",
        "A suspended organization is active again.",
        refused when "It is not suspended, or somebody else changed it meanwhile.";
    archive "archiveOrganization" at "/v1/organizations/{organization}/archive":
        "Archive an organization",
        "It can be read, and never changes again.",
        refused when "It is archived already, or somebody else changed it meanwhile.";
}
