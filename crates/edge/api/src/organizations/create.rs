use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use stoa_http::Problem;
use stoa_http::fields::{self, Fields};
use stoa_http::idempotency::{Key, once};
use stoa_identity::Email;
use stoa_identity::access::Role;
use stoa_identity::organization::{self, Draft, Error, Slug};
use stoa_kernel::store::Decided;
use utoipa::ToSchema;

use super::{View, problem};
use crate::caller::{Caller, Credential};
use crate::platform::Platform;
use crate::render;

/// What a new organization is to be.
#[derive(ToSchema)]
#[schema(as = OrganizationDraft, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is read field by field")]
pub(crate) struct DraftDocument {
    /// Its name in addresses, unique in the installation.
    #[schema(
        example = "north-wind",
        pattern = "^[a-z](?:-?[a-z0-9]){1,39}$",
        min_length = 2,
        max_length = 40
    )]
    slug: String,
    /// Its name for people.
    #[schema(example = "North Wind Trading", min_length = 1, max_length = 120)]
    name: String,
    /// Whom to write to about it. It is stored sealed.
    #[schema(example = "office@example.org", max_length = 254)]
    contact_email: Option<String>,
    /// What it sets, by name.
    #[schema(schema_with = super::settings_schema, required = false)]
    settings: Option<BTreeMap<String, String>>,
}

/// Make an organization
///
/// Sent again with the same `Idempotency-Key`, it answers as the first time and makes nothing.
#[utoipa::path(
    post, path = "/v1/organizations", tag = "organizations", operation_id = "createOrganization",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe: 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$")),
    request_body = DraftDocument,
    responses(
        (status = 201, description = "It was made.", body = View),
        (status = 409, description = "The slug is taken, or the same request is under way.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "Fields cannot be taken, or the key was used for another request.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(platform): State<Arc<Platform>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = fields::read(body, platform.body_bytes_max).await?;
    let key = Key::of(&headers, &Method::POST, uri.path(), &body)?;
    let mut given = Fields::of(&headers, &body)?;
    let (slug, name) = (given.required::<Slug>("slug"), given.required::<String>("name"));
    let contact_email = given.nullable::<Email>("contactEmail").flatten();
    let settings: BTreeMap<String, String> = given
        .texts("settings")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .collect();
    given.also(organization::wrong(name.as_deref(), Some(&settings)));
    given.finish()?;
    let (Some(slug), Some(name)) = (slug, name) else {
        return Err(Problem::new("internal", "A field was lost."));
    };
    let draft = Draft { slug, name, contact_email, settings };
    let decide = async {
        let Decided { value, commit } = organization::create(
            draft,
            platform.identity.settings().plan,
            platform.ids.as_ref(),
            platform.clock.as_ref(),
        )
        .map_err(|error| problem(&error))?;
        // Whoever makes it answers for it.
        let commit = match &caller.credential {
            Credential::Session(known) => {
                let joined = platform.identity.joining(value.id, known.session.user_id, Role::Owner);
                commit.and(joined.map_err(|error| render::problem(&error))?)
            }
            _ => commit,
        };
        let mut reply = render::reply(StatusCode::CREATED, &value.id, value.version, &View::of(&value))?;
        reply.headers.push(("location".to_owned(), format!("/v1/organizations/{}", value.id)));
        Ok((value, commit, reply))
    };
    let refusal = |error, value: &_| problem(&Error::of_commit(error, value));
    once(platform.store.as_ref(), &caller.cx, &platform.in_flight, key, platform.clock.now(), decide, refusal)
        .await
}
