//! Signing in with an account elsewhere.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::browser::Cookie;
use stoa_http::params::Params;
use stoa_identity::Error;
use stoa_identity::oidc::{Callback, Wanted};
use stoa_identity::provider::Provider;
use stoa_kernel::id::ProviderId;
use utoipa::ToSchema;

use super::{add_cookie, keep_in_cookies};
use crate::call::{self, Call};
use crate::platform::Platform;
use crate::render::problem;

/// Who vouches for accounts, as everybody may know.
#[derive(Serialize, ToSchema)]
#[schema(as = OfferedProvider)]
pub(crate) struct Offered {
    /// Its id.
    id: String,
    /// Its name in addresses.
    slug: String,
    /// Its name for people.
    #[schema(example = "Google")]
    name: String,
    /// `oidc`, `google`, `microsoft`, `apple` or `github`.
    kind: &'static str,
}

/// With whom one can sign in.
#[derive(Serialize, ToSchema)]
#[schema(as = OfferedProviders)]
pub(crate) struct OfferedList {
    /// The providers.
    items: Vec<Offered>,
}

impl Offered {
    fn of(provider: &Provider) -> Self {
        Self {
            id: provider.id.to_string(),
            slug: provider.slug.to_string(),
            name: provider.name.clone(),
            kind: provider.kind.name(),
        }
    }
}

/// List the providers that one can sign in with
#[utoipa::path(
    get, path = "/v1/auth/providers", tag = "auth", operation_id = "listOfferedProviders",
    params(("organization" = Option<String>, Query, description = "Also those of this organization: its id or slug")),
    responses((status = 200, description = "They are these.", body = OfferedList))
)]
pub(crate) async fn offered(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let named = params.text("organization");
    params.finish()?;
    let identity = &platform.identity;
    let organization = match named {
        Some(text) => {
            identity.organization_named(&call.caller.cx, &text).await.map_err(|error| problem(&error))?
        }
        None => None,
    };
    let found = identity.offered(&call.caller.cx, organization).await.map_err(|error| problem(&error))?;
    call::ok(&OfferedList { items: found.iter().map(Offered::of).collect() })
}

/// Sends a browser somewhere.
pub(crate) fn redirect(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Begin to sign in with a provider
///
/// For browsers: it sends them to the provider, and keeps in a cookie what ties the answer to this browser.
#[utoipa::path(
    get, path = "/v1/auth/providers/{provider}/start", tag = "auth", operation_id = "startProvider",
    params(
        ("provider" = String, Path, description = "Its id"),
        ("returnTo" = Option<String>, Query, description = "Where to go afterwards: a path of this site"),
        ("invitation" = Option<String>, Query, description = "The secret of an invitation"),
    ),
    responses((status = 303, description = "To the provider."))
)]
pub(crate) async fn start(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: ProviderId = call.part("provider")?;
    let mut params = call.params();
    let wanted =
        Wanted { return_to: params.text("returnTo"), invitation: params.text("invitation"), link: None };
    params.finish()?;
    let started =
        platform.identity.start(&call.caller.cx, id, wanted).await.map_err(|error| problem(&error))?;
    let mut response = redirect(&started.url);
    add_cookie(&mut response, platform.cookies.set(Cookie::Flow, started.browser.reveal(), 600));
    Ok(response)
}

/// Come back from a provider
///
/// For browsers: it signs them in and sends them on, or to the sign-in page with `error`.
#[utoipa::path(
    get, path = "/v1/auth/callback", tag = "auth", operation_id = "providerCallback",
    params(
        ("state" = Option<String>, Query, description = "What was sent along"),
        ("code" = Option<String>, Query, description = "What the provider gives for it"),
        ("error" = Option<String>, Query, description = "Why it does not"),
        ("iss" = Option<String>, Query, description = "Who answers (RFC 9207)"),
    ),
    responses((status = 303, description = "To where the browser came from, or to the sign-in page."))
)]
pub(crate) async fn callback(State(platform): State<Arc<Platform>>, call: Call) -> Response {
    // Providers add parameters of their own; what we do not know is left alone.
    let mut params = Params::of(&call.uri);
    let callback = Callback {
        state: params.text("state").unwrap_or_default(),
        code: params.text("code"),
        error: params.text("error"),
        iss: params.text("iss"),
        browser: platform.cookies.get(&call.headers, Cookie::Flow).unwrap_or_default(),
    };
    let mut response = match ended(&platform, &call, callback).await {
        Ok(response) => response,
        Err(error) => {
            let code = stoa_kernel::error::Coded::code(&error);
            tracing::info!(code, %error, "a sign-in with a provider did not end well");
            redirect(&format!("/sign-in?error={code}"))
        }
    };
    add_cookie(&mut response, platform.cookies.set(Cookie::Flow, "", 0));
    response
}

async fn ended(platform: &Platform, call: &Call, callback: Callback) -> Result<Response, Error> {
    let finished = platform.identity.finish(&call.caller.cx, callback, &call.client()).await?;
    let Some(issued) = finished.issued else { return Ok(redirect(&finished.return_to)) };
    let to = if issued.session.is_pending { "/mfa".to_owned() } else { finished.return_to };
    let mut response = redirect(&to);
    keep_in_cookies(platform, &mut response, &issued).await.map_err(|_| Error::ProviderUnavailable)?;
    Ok(response)
}

/// Come back from a provider that posts
///
/// For browsers: another site posts without our cookies, so it is sent on to the same address as a link.
#[utoipa::path(
    post, path = "/v1/auth/callback", tag = "auth", operation_id = "providerCallbackPosted",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To `providerCallback`."))
)]
pub(crate) async fn posted(call: Call) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&call.body).into_owned().collect();
    let known = form.iter().filter(|(name, _)| ["state", "code", "error", "iss"].contains(&name.as_str()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    known.for_each(|(name, value)| {
        query.append_pair(name, value);
    });
    redirect(&format!("/v1/auth/callback?{}", query.finish()))
}
