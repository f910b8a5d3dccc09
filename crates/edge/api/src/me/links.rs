//! Accounts elsewhere that one signs in with.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::browser::Cookie;
use stoa_identity::Error;
use stoa_identity::oidc::Wanted;
use stoa_identity::provider::Link;
use stoa_kernel::id::{LinkId, ProviderId};
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;

use super::user;
use crate::body::body;
use crate::call::{self, Call, Empty};
use crate::platform::Platform;
use crate::render::problem;

/// An account elsewhere.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LinkedAccount)]
pub(crate) struct LinkView {
    /// Its id.
    id: String,
    /// Who vouches for it.
    provider_id: String,
    /// The issuer.
    issuer: String,
    /// What it is called there.
    label: Option<String>,
    /// When it was linked.
    #[schema(format = "date-time")]
    created_at: String,
}

impl LinkView {
    fn of(link: &Link) -> Self {
        Self {
            id: link.id.to_string(),
            provider_id: link.provider_id.to_string(),
            issuer: link.issuer.clone(),
            label: link.label.as_ref().map(|label| label.0.clone()),
            created_at: rfc3339::text(link.created_at),
        }
    }
}

/// Accounts elsewhere.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkedAccounts)]
pub(crate) struct LinkList {
    /// The accounts.
    items: Vec<LinkView>,
}

/// List the accounts elsewhere that you sign in with
#[utoipa::path(
    get, path = "/v1/me/links", tag = "account", operation_id = "listMyLinks",
    responses((status = 200, description = "They are these.", body = LinkList))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let found = platform
        .identity
        .links(&call.caller.cx, call.caller.user()?)
        .await
        .map_err(|error| problem(&error))?;
    call::ok(&LinkList { items: found.iter().map(LinkView::of).collect() })
}

body! {
    /// Which account is to be linked.
    LinkBody as LinkAccountRequest {
        /// Who vouches for it.
        required provider("provider"): ProviderId as String [],
        /// Where to go afterwards: a path of this site.
        optional return_to("returnTo"): Option<String> as Option<String> [max_length = 1024, nullable = false],
    }
}

/// Where the browser goes.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkStarted)]
pub(crate) struct Started {
    /// To the provider.
    url: String,
}

/// Begin to link an account
///
/// The browser goes to `url`; when it comes back, the account is linked.
#[utoipa::path(
    post, path = "/v1/me/links", tag = "account", operation_id = "linkAccount", request_body = LinkBody,
    responses((status = 200, description = "Where the browser goes.", body = Started))
)]
pub(crate) async fn start(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = LinkBody::read(&call)?;
    let wanted = Wanted { return_to: body.return_to, invitation: None, link: Some(call.caller.user()?) };
    let started = platform
        .identity
        .start(&call.caller.cx, body.provider, wanted)
        .await
        .map_err(|error| problem(&error))?;
    let mut response = call::ok(&Started { url: started.url })?;
    response
        .headers_mut()
        .append(header::SET_COOKIE, platform.cookies.set(Cookie::Flow, started.browser.reveal(), 600));
    Ok(response)
}

/// Unlink an account
#[utoipa::path(
    delete, path = "/v1/me/links/{link}", tag = "account", operation_id = "unlinkAccount",
    params(("link" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is unlinked."), (status = 409, description = "It is the last way to sign in."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: LinkId = call.part("link")?;
    let decide = async {
        let user = user(&platform, &call).await?;
        let removed = platform.identity.unlink(&call.caller.cx, &user, id).await;
        removed.map(|commit| (Empty, commit)).map_err(|error| problem(&error))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}
