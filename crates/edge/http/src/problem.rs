//! Errors as problem documents: RFC 9457, `application/problem+json`.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use stoa_kernel::error::{self, Coded};

use crate::observe;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Where: a JSON Pointer into the body (RFC 6901), or the name of a parameter.
    pub pointer: String,
    /// What, stable.
    pub code: &'static str,
    /// What, for people.
    pub message: String,
}

/// An answer that says what went wrong, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    headers: Vec<(HeaderName, String)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'p> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'p str,
    code: &'static str,
    trace_id: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'p [FieldProblem],
}

impl Problem {
    /// A problem with a code of the table, and a sentence about this occurrence of it.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// The problem of an error. What is wrong inside is logged here, where it ends, and not told.
    #[must_use]
    pub fn of(error: &dyn Coded) -> Self {
        let code = error.code();
        let row = error::find(code);
        match row.map_or(500, |row| row.status) {
            500 => {
                tracing::error!(code, error = %chain(error), "a request failed");
                Self::new(code, "The request failed; the log has more under the trace id.")
            }
            503 => {
                tracing::warn!(code, error = %chain(error), "a request was refused");
                // What the driver says is for the log: it may name paths, roles and addresses.
                Self::new(code, sentence(row.map_or("it is not available", |row| row.title))).retry_after(1)
            }
            507 => {
                tracing::error!(code, error = %chain(error), "a request was refused");
                Self::new(code, sentence(&error.to_string()))
            }
            _ => Self::new(code, sentence(&error.to_string())),
        }
    }

    /// The same, with everything that is wrong.
    #[must_use]
    pub fn with(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    /// The same, with a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same, with the time after which trying again makes sense, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, seconds.to_string())
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let dot = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{dot}", chars.as_str())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let row = error::find(self.code).or_else(|| error::find("internal"));
        let (status, title) =
            row.map_or((500, "Something is wrong inside Stoa"), |row| (row.status, row.title));
        let document = Document {
            kind: format!("/docs/errors/{}", self.code),
            title,
            status,
            detail: &self.detail,
            code: self.code,
            trace_id: observe::trace_id(),
            errors: &self.errors,
        };
        let body = serde_json::to_string(&document).unwrap_or_default();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        metrics::counter!("stoa_problems_total", "code" => self.code).increment(1);
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
