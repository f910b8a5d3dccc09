//! The HTTP API: one module for each context, one file for each operation; OpenAPI from the same registration.
//!
//! What it may not know: an adapter, a driver.
#![deny(missing_docs)]

mod admin;
mod events;
mod openapi;
mod operator;
mod ops;
mod organizations;
mod platform;
mod privacy;
mod render;
mod telemetry;

pub use operator::OperatorToken;
pub use platform::{Parts, Platform};

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use stoa_http::Problem;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

fn operations() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(organizations::router())
        .merge(events::router())
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
        .layer(from_fn_with_state(Arc::clone(&platform.shedder), stoa_http::shed::shed))
        .merge(ops::docs::router(&document));
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
