//! Answers.

use std::fmt::Display;

use axum::http::StatusCode;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::store::Reply;

/// The reply of an operation on a resource with a version.
pub(crate) fn reply<T: Serialize>(
    status: StatusCode,
    id: &dyn Display,
    version: i64,
    view: &T,
) -> Result<Reply, Problem> {
    let body = serde_json::to_string(view).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::new("internal", "The answer could not be written.")
    })?;
    Ok(Reply {
        status: status.as_u16(),
        headers: vec![("etag".to_owned(), stoa_http::etag::of(id, version))],
        body,
    })
}
