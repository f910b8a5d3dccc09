//! The HTTP API: one module for each context, one file for each operation; OpenAPI from the same registration.
//!
//! What it may not know: an adapter, a driver.
#![deny(missing_docs)]

pub mod access;
mod admin;
mod api_keys;
mod audit;
mod auth;
mod body;
mod call;
mod caller;
mod events;
mod flags;
mod identity_providers;
mod invitations;
mod jobs;
mod me;
mod members;
mod notifications;
mod openapi;
mod operator;
mod ops;
mod organizations;
mod pages;
mod permissions;
mod plan;
mod platform;
mod privacy;
mod render;
mod roles;
mod runs;
mod schedules;
mod telemetry;
mod webhooks;

pub use operator::OperatorToken;
pub use permissions::page as permissions_page;
pub use platform::{Parts, Platform};

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use stoa_http::Problem;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

fn operations() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(auth::router())
        .merge(me::router())
        .merge(organizations::router())
        .merge(members::router())
        .merge(invitations::router())
        .merge(roles::router())
        .merge(api_keys::router())
        .merge(flags::router())
        .merge(plan::router())
        .merge(audit::router())
        .merge(identity_providers::router())
        .merge(events::router())
        .merge(jobs::router())
        .merge(schedules::router())
        .merge(runs::router())
        .merge(webhooks::router())
        .merge(notifications::router())
        .merge(privacy::router())
        .merge(telemetry::router())
        .merge(admin::router())
}

/// The document of the API, as it is committed and served.
#[must_use]
pub fn document() -> OpenApi {
    openapi::complete(operations().into_openapi())
}

/// Everything that a process serves: the API, its documentation, and how it does.
pub fn router(platform: &Arc<Platform>) -> Router {
    let (api, document) = operations().split_for_parts();
    let document = openapi::complete(document);
    let api = api
        .layer(from_fn_with_state(Arc::clone(platform), caller::enter))
        .layer(from_fn_with_state(Arc::clone(&platform.shedder), stoa_http::shed::shed))
        .merge(ops::docs::router(&document))
        .merge(pages::router());
    Router::new()
        .merge(api)
        .merge(ops::router())
        .fallback(async || Problem::new("not_found", "There is nothing at this address."))
        .method_not_allowed_fallback(async || {
            Problem::new("method_not_allowed", "This address does not take this method.")
        })
        .layer(stoa_http::headers::compression())
        .layer(stoa_http::headers::cors(&platform.cors_origins))
        .layer(from_fn(stoa_http::headers::secure))
        .layer(from_fn_with_state(Arc::clone(&platform.observer), stoa_http::observe::observe))
        .layer(from_fn_with_state(platform.proxies.clone(), stoa_http::proxy::unwrap))
        .with_state(Arc::clone(platform))
}

/// What is served on the port for operators alone: health and metrics.
pub fn ops_router(platform: &Arc<Platform>) -> Router {
    Router::new()
        .merge(ops::router())
        .fallback(async || Problem::new("not_found", "There is nothing at this address."))
        .method_not_allowed_fallback(async || {
            Problem::new("method_not_allowed", "This address does not take this method.")
        })
        .layer(from_fn(stoa_http::headers::secure))
        .layer(from_fn_with_state(Arc::clone(&platform.observer), stoa_http::observe::observe))
        .with_state(Arc::clone(platform))
}
