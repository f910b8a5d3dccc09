//! Problems of identity, and answers.

use std::fmt::Display;

use axum::http::StatusCode;
use serde::Serialize;
use stoa_http::problem::FieldProblem;
use stoa_http::{Problem, fields};
use stoa_identity::Error;
use stoa_kernel::store::Reply;

/// What the errors of identity are called at the edge.
pub(crate) fn problem(error: &Error) -> Problem {
    match error {
        Error::Invalid(wrong) => invalid(wrong),
        Error::FactorLocked(seconds) => Problem::of(error).retry_after(*seconds),
        Error::AuthorizationPending(seconds) => Problem::of(error).retry_after(*seconds),
        Error::SignedOut => Problem::of(error)
            .header(axum::http::header::WWW_AUTHENTICATE, "Bearer realm=\"stoa\", error=\"invalid_token\""),
        Error::InvalidCredentials => {
            Problem::of(error).header(axum::http::header::WWW_AUTHENTICATE, "Bearer realm=\"stoa\"")
        }
        other => Problem::of(other),
    }
}

/// Fields that a context cannot take.
pub(crate) fn invalid(wrong: &[(&'static str, String)]) -> Problem {
    let wrong = wrong.iter().map(|(pointer, message)| FieldProblem {
        pointer: (*pointer).to_owned(),
        code: "invalid_value",
        message: message.clone(),
    });
    fields::invalid(wrong.collect())
}

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
