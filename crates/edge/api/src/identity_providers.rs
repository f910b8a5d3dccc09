//! Who vouches for accounts: of an organization, `/v1/identity-providers`; for everybody, `/v1/admin/identity-providers`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::Error;
use stoa_identity::organization::Slug;
use stoa_identity::provider::{Change, Draft, Kind, Provider};
use stoa_identity::user::Name;
use stoa_kernel::id::ProviderId;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::body;
use crate::call::{self, Call, Empty};
use crate::platform::Platform;
use crate::render::problem;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(patch, remove))
        .routes(routes!(list_installation, create_installation))
        .routes(routes!(patch_installation, remove_installation))
}

/// Who vouches for accounts. The client secret is never shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IdentityProvider)]
pub(crate) struct View {
    /// Its id.
    id: String,
    /// Its name in addresses.
    slug: String,
    /// `oidc`, `google`, `microsoft`, `apple` or `github`.
    kind: &'static str,
    /// Its name for people.
    name: String,
    /// Who it is.
    #[schema(example = "https://login.example.org/realms/staff")]
    issuer: String,
    /// What we are there.
    client_id: String,
    /// Where it sends browsers back to: what is registered there.
    redirect_uri: String,
    /// Whether it can be used.
    enabled: bool,
    /// Counts its changes.
    version: i64,
    /// When it was last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// Providers.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentityProviders)]
pub(crate) struct ProviderList {
    /// The providers.
    items: Vec<View>,
}

impl View {
    fn of(platform: &Platform, provider: &Provider) -> Self {
        Self {
            id: provider.id.to_string(),
            slug: provider.slug.to_string(),
            kind: provider.kind.name(),
            name: provider.name.clone(),
            issuer: provider.issuer.clone(),
            client_id: provider.client_id.clone(),
            redirect_uri: platform.identity.redirect_uri(),
            enabled: provider.is_enabled,
            version: provider.version,
            updated_at: rfc3339::text(provider.updated_at),
        }
    }
}

/// A text that a provider gave: not empty, at most 2048 characters, none of them control characters.
#[derive(Debug, Clone)]
pub(crate) struct Given(String);

impl std::str::FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = (1..=2_048).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err("has 1 to 2048 characters, none of them control characters".to_owned())
        }
    }
}

body! {
    /// A provider that is to be added.
    CreateBody as IdentityProviderDraft {
        /// Its name in addresses.
        required slug("slug"): Slug as String [example = "staff", pattern = "^[a-z](?:-?[a-z0-9]){1,39}$"],
        /// How it is spoken to.
        required kind("kind"): Kind as String [example = "oidc", pattern = "^(oidc|google|microsoft|apple|github)$"],
        /// Its name for people.
        required name("name"): Name as String [example = "Staff", min_length = 1, max_length = 120],
        /// Who it is, byte for byte what its tokens say; known for Google, Apple and GitHub.
        optional issuer("issuer"): Option<Given> as Option<String> [example = "https://login.example.org/realms/staff", max_length = 2048, nullable = false],
        /// What we are there.
        required client_id("clientId"): Given as String [max_length = 2048],
        /// What we show there. It is stored sealed.
        required client_secret("clientSecret"): Given as String [max_length = 2048],
    }
}

body! {
    /// What is to be different.
    PatchBody as IdentityProviderPatch {
        /// Its name for people.
        optional name("name"): Option<Name> as Option<String> [max_length = 120, nullable = false],
        /// What we are there.
        optional client_id("clientId"): Option<Given> as Option<String> [max_length = 2048, nullable = false],
        /// What we show there.
        optional client_secret("clientSecret"): Option<Given> as Option<String> [max_length = 2048, nullable = false],
        /// Whether it can be used.
        value enabled("enabled"): Option<bool> as Option<bool> [nullable = false],
    }
}

async fn listed(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let found = platform.identity.providers(&call.caller.cx).await.map_err(|error| problem(&error))?;
    call::ok(&ProviderList { items: found.iter().map(|provider| View::of(platform, provider)).collect() })
}

async fn created(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let body = CreateBody::read(call)?;
    let draft = Draft {
        slug: body.slug,
        kind: body.kind,
        name: body.name.0,
        issuer: body.issuer.map(|issuer| issuer.0),
        client_id: body.client_id.0,
        client_secret: body.client_secret.0,
    };
    let decide = async {
        let (provider, commit) =
            platform.identity.create_provider(&call.caller.cx, draft).map_err(|error| problem(&error))?;
        Ok((View::of(platform, &provider), commit))
    };
    let refusal = |error: stoa_kernel::store::StoreError| {
        if error.is_by("identity_providers_slug_key") {
            Error::Duplicate("there is a provider with this slug already".to_owned())
        } else {
            Error::Store(error)
        }
    };
    call.change(platform, StatusCode::CREATED, decide, refusal).await
}

async fn found(platform: &Platform, call: &Call) -> Result<Provider, Problem> {
    let id: ProviderId = call.part("provider")?;
    platform.identity.provider(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

async fn patched(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let body = PatchBody::read(call)?;
    let change = Change {
        name: body.name.map(|name| name.0),
        client_id: body.client_id.map(|id| id.0),
        client_secret: body.client_secret.map(|secret| secret.0),
        is_enabled: body.enabled,
    };
    let decide = async {
        let provider = found(platform, call).await?;
        call.matches(&provider.id, provider.version)?;
        let (provider, commit) = platform.identity.change_provider(&provider, change);
        Ok((View::of(platform, &provider), commit))
    };
    call.change(platform, StatusCode::OK, decide, Error::Store).await
}

async fn removed(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let decide = async {
        let provider = found(platform, call).await?;
        Ok((Empty, platform.identity.remove_provider(&provider)))
    };
    call.change(platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}

/// List the providers of the organization
#[utoipa::path(
    get, path = "/v1/identity-providers", tag = "identity providers", operation_id = "listIdentityProviders",
    responses((status = 200, description = "They are these.", body = ProviderList))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    listed(&platform, &call).await
}

/// Add a provider of the organization
#[utoipa::path(
    post, path = "/v1/identity-providers", tag = "identity providers", operation_id = "createIdentityProvider", request_body = CreateBody,
    responses((status = 201, description = "One can sign in with it.", body = View))
)]
pub(crate) async fn create(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    created(&platform, &call).await
}

/// Change a provider of the organization
#[utoipa::path(
    patch, path = "/v1/identity-providers/{provider}", tag = "identity providers", operation_id = "updateIdentityProvider",
    params(("provider" = String, Path, description = "Its id")),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is now this.", body = View))
)]
pub(crate) async fn patch(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    patched(&platform, &call).await
}

/// Remove a provider of the organization
#[utoipa::path(
    delete, path = "/v1/identity-providers/{provider}", tag = "identity providers", operation_id = "removeIdentityProvider",
    params(("provider" = String, Path, description = "Its id")),
    responses((status = 204, description = "Nobody signs in with it any more."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    removed(&platform, &call).await
}

/// List the providers for everybody
#[utoipa::path(
    get, path = "/v1/admin/identity-providers", tag = "admin", operation_id = "listInstallationProviders",
    responses((status = 200, description = "They are these.", body = ProviderList))
)]
pub(crate) async fn list_installation(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    listed(&platform, &call).await
}

/// Add a provider for everybody
#[utoipa::path(
    post, path = "/v1/admin/identity-providers", tag = "admin", operation_id = "createInstallationProvider", request_body = CreateBody,
    responses((status = 201, description = "One can sign in with it.", body = View))
)]
pub(crate) async fn create_installation(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    created(&platform, &call).await
}

/// Change a provider for everybody
#[utoipa::path(
    patch, path = "/v1/admin/identity-providers/{provider}", tag = "admin", operation_id = "updateInstallationProvider",
    params(("provider" = String, Path, description = "Its id")),
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "It is now this.", body = View))
)]
pub(crate) async fn patch_installation(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    patched(&platform, &call).await
}

/// Remove a provider for everybody
#[utoipa::path(
    delete, path = "/v1/admin/identity-providers/{provider}", tag = "admin", operation_id = "removeInstallationProvider",
    params(("provider" = String, Path, description = "Its id")),
    responses((status = 204, description = "Nobody signs in with it any more."))
)]
pub(crate) async fn remove_installation(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    removed(&platform, &call).await
}
