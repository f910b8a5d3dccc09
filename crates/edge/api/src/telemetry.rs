//! What clients report of themselves, on its way to the collector: `/v1/telemetry`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use stoa_http::problem::FieldProblem;
use stoa_http::{Problem, fields};
use stoa_runtime::scrub::scrub;
use stoa_runtime::trace::{Signal, Uncollected};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::platform::Platform;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new().routes(routes!(report))
}

/// A report in the OpenTelemetry protocol, as JSON: one of the three lists.
#[derive(ToSchema)]
#[schema(as = TelemetryReport, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is passed on")]
pub(crate) struct Report {
    /// Spans, for `traces`.
    #[schema(value_type = Option<Vec<Object>>)]
    resource_spans: Option<Vec<Value>>,
    /// Measurements, for `metrics`.
    #[schema(value_type = Option<Vec<Object>>)]
    resource_metrics: Option<Vec<Value>>,
    /// Log records, for `logs`.
    #[schema(value_type = Option<Vec<Object>>)]
    resource_logs: Option<Vec<Value>>,
}

/// What became of a report.
#[derive(ToSchema)]
#[schema(as = TelemetryAccepted, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what is answered")]
pub(crate) struct Accepted {
    /// Why nothing was kept, where that is so.
    #[schema(value_type = Option<Object>)]
    partial_success: Option<Value>,
}

/// Whether a member is an id, a time or a number, which look like what is scrubbed. Both spellings of the protocol are read.
fn is_number(name: &str) -> bool {
    let name: String = name.chars().filter(|&char| char != '_').flat_map(char::to_lowercase).collect();
    let is_time = name.ends_with("unixnano");
    is_time
        || ["traceid", "spanid", "parentspanid", "intvalue", "asint", "count", "zerocount", "bucketcounts"]
            .contains(&name.as_str())
}

/// Takes out what must not leave: addresses, tokens, numbers of cards and accounts, in every text; and bytes, which cannot be read.
fn scrub_texts(value: &mut Value) {
    match value {
        Value::String(text) => *text = scrub(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(scrub_texts),
        Value::Object(members) => {
            members.retain(|name, _| !matches!(name.as_str(), "bytesValue" | "bytes_value"));
            members
                .iter_mut()
                .filter(|(name, _)| !is_number(name))
                .for_each(|(_, member)| scrub_texts(member));
        }
        _ => {}
    }
}

/// Report traces, metrics or logs of a client
///
/// OTLP over HTTP, as JSON. It is passed on to the collector of the installation; without one, nothing is kept and the answer says so.
#[utoipa::path(
    post, path = "/v1/telemetry/{signal}", tag = "telemetry", operation_id = "reportTelemetry",
    params(("signal" = String, Path, description = "`traces`, `metrics` or `logs`", pattern = "^(traces|metrics|logs)$")),
    request_body = Report,
    responses(
        (status = 200, description = "It was passed on, or nothing was kept.", body = Accepted),
        (status = 404, description = "There is no such signal.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "It is no report of this signal.", body = crate::openapi::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn report(
    State(platform): State<Arc<Platform>>,
    _: Caller,
    signal: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let none = || Problem::new("not_found", "The signals are traces, metrics and logs.");
    let Path(signal) = signal.map_err(|_| none())?;
    let signal = [Signal::Traces, Signal::Metrics, Signal::Logs]
        .into_iter()
        .find(|known| known.name() == signal)
        .ok_or_else(none)?;
    let body = fields::read(body, platform.body_bytes_max).await?;
    let mut report = fields::object(&headers, &body)?;
    if !report.get(signal.list()).is_some_and(Value::is_array) {
        let wrong = FieldProblem {
            pointer: format!("/{}", signal.list()),
            code: "required",
            message: "expected a list, as in OTLP over HTTP with JSON".to_owned(),
        };
        return Err(fields::invalid(vec![wrong]));
    }
    let Some(collector) = &platform.collector else {
        let answer = r#"{"partialSuccess":{"errorMessage":"no collector is configured; nothing was kept"}}"#;
        return Ok(json(answer));
    };
    report.values_mut().for_each(scrub_texts);
    let report = serde_json::to_string(&report).unwrap_or_default();
    let Err(error) = collector.collect(signal, report).await else { return Ok(json("{}")) };
    tracing::warn!(%error, signal = signal.name(), "a report was not passed on");
    if error == Uncollected::Refused {
        // Sending it again would be of no use, so the answer is none that asks for that.
        return Ok(json(r#"{"partialSuccess":{"errorMessage":"the collector refused the report"}}"#));
    }
    let detail = "The collector does not take reports at the moment.";
    Err(Problem::new("collector_unavailable", detail).retry_after(5))
}

fn json(body: &'static str) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_scrubbed_and_numbers_stay() {
        let mut report = json!({"resourceSpans": [{"spans": [{
            "name": "mail to ada@example.org",
            "startTimeUnixNano": "4111111111111111",
            "attributes": [
                {"key": "ada@example.org", "value": {"string_value": "ada@example.org"}},
                {"key": "k", "value": {"arrayValue": {"values": ["ada@example.org"]}, "bytesValue": "YWRh"}}
            ]
        }]}]});
        scrub_texts(&mut report);
        let text = report.to_string();
        assert!(!text.contains("ada@") && !text.contains("YWRh"), "{text}");
        assert!(text.contains("4111111111111111"), "{text}");
    }
}
