use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use stoa_http::Problem;
use stoa_http::fields::{self, Fields};
use stoa_identity::Email;
use stoa_identity::organization::{self, Change, Slug};
use utoipa::ToSchema;

use super::{Asked, Named, change};
use crate::caller::{Caller, Credential};
use crate::platform::Platform;

/// What is to be different: a JSON Merge Patch (RFC 7396).
#[derive(ToSchema)]
#[schema(as = OrganizationPatch, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read field by field")]
pub(crate) struct PatchDocument {
    /// Its name in addresses.
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]){1,39}$", min_length = 2, max_length = 40, nullable = false)]
    slug: Option<String>,
    /// Its name for people.
    #[schema(min_length = 1, max_length = 120, nullable = false)]
    name: Option<String>,
    /// Whom to write to; null removes it.
    #[schema(max_length = 254)]
    contact_email: Option<String>,
    /// Settings to change; null removes one. There are at most 64 afterwards.
    #[schema(schema_with = super::settings_patch_schema, required = false)]
    settings: Option<BTreeMap<String, Option<String>>>,
    /// Whether its members need a second factor.
    #[schema(nullable = false)]
    mfa_required: Option<bool>,
}

/// Change an organization
#[utoipa::path(
    patch, path = "/v1/organizations/{organization}", tag = "organizations", operation_id = "updateOrganization",
    params(
        ("organization" = String, Path, description = "Its id", pattern = "^org_[0-9a-hjkmnp-tv-z]{13}$"),
        ("If-Match" = Option<String>, Header, description = "The entity tag of the version to change"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$"),
    ),
    request_body(content = PatchDocument, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "It is now this.", body = super::View),
        (status = 404, description = "There is none.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The slug is taken, the organization is archived, or somebody else changed it meanwhile.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "It is at another version.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "Fields cannot be taken, or the key was used for another request.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn patch(
    State(platform): State<Arc<Platform>>,
    Caller { cx, credential, .. }: Caller,
    Named(text): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = fields::read(body, platform.body_bytes_max).await?;
    let mut given = Fields::of(&headers, &body)?;
    let (slug, name) = (given.optional::<Slug>("slug"), given.optional::<String>("name"));
    let contact_email = given.nullable::<Email>("contactEmail");
    let settings = given.texts("settings");
    let mfa_required = given.value::<bool>("mfaRequired");
    let texts: Option<BTreeMap<String, String>> = settings.as_ref().map(|texts| {
        let set = texts.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        set.collect()
    });
    given.also(organization::wrong(name.as_deref(), texts.as_ref()));
    given.finish()?;
    // Whoever asks for a second factor has shown one: else they would shut themselves out.
    if let (Some(true), Credential::Session(known)) = (mfa_required, &credential)
        && !known.session.has_shown_factor()
    {
        return Err(Problem::new(
            "mfa_required",
            "Add a second factor yourself, and sign in with it, first.",
        ));
    }
    let asked = Asked { method: Method::PATCH, uri: &uri, headers: &headers, body: &body };
    change(&platform, &cx, &text, asked, |found, clock| {
        let settings = settings.map(|changes| {
            let mut merged = found.settings.0.clone();
            for (name, value) in changes {
                match value.as_str() {
                    Some(value) => drop(merged.insert(name, value.to_owned())),
                    None => drop(merged.remove(&name)),
                }
            }
            merged
        });
        organization::update(
            found,
            Change { slug, name, contact_email, settings, mfa_required, ..Change::default() },
            clock,
        )
    })
    .await
}
