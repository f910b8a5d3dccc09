//! How the process does: for load balancers, for Prometheus, for people.

pub(crate) mod docs;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use stoa_http::Problem;
use stoa_runtime::health::Status;
use stoa_runtime::lifecycle::Phase;

use crate::platform::Platform;

pub(crate) fn router() -> Router<Arc<Platform>> {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(async || Json(serde_json::json!({"status": "live"}))))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
}

async fn health(State(platform): State<Arc<Platform>>) -> Response {
    let report = platform.health.report().await;
    let status =
        if report.status == Status::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(report)).into_response()
}

async fn ready(State(platform): State<Arc<Platform>>) -> Response {
    if platform.health.is_ready().await {
        return Json(serde_json::json!({"status": "ready"})).into_response();
    }
    let why = match platform.health.phase() {
        Phase::Starting => "The process is starting.",
        Phase::Draining => "The process is about to end.",
        Phase::Running => "Something that is needed does not work; /health says what.",
    };
    Problem::new("not_ready", why).retry_after(1).into_response()
}

async fn metrics(State(platform): State<Arc<Platform>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (platform.metrics)()).into_response()
}
