//! The documentation that is served: the OpenAPI document, a page that renders it, and a page for each error. No script.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use serde_json::Value;
use stoa_http::Problem;
use stoa_kernel::error;
use utoipa::openapi::OpenApi;

use crate::platform::Platform;

const STYLE: &str = include_str!("docs.css");

pub(crate) fn router(document: &OpenApi) -> Router<Arc<Platform>> {
    let json: Arc<str> = document.to_json().unwrap_or_default().into();
    let page: Arc<str> = page(&json).into();
    let (served, shown) = (json, page);
    Router::new()
        .route(
            "/openapi.json",
            get(async move || {
                (
                    [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")],
                    served.to_string(),
                )
            }),
        )
        .route("/docs", get(async move || Html(shown.to_string())))
        .route("/docs/style.css", get(async || ([(header::CONTENT_TYPE, "text/css")], STYLE)))
        .route("/docs/errors/{code}", get(error_page))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn framed(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body><main>{body}</main></body></html>"
    )
}

async fn error_page(Path(code): Path<String>) -> Response {
    let Some(row) = error::find(&code) else {
        return Problem::new("not_found", "There is no error of this name.").into_response();
    };
    let mut body = format!(
        "<p><a href=\"/docs\">Stoa</a></p><h1>{}</h1><p class=\"meta\">{} · status {}</p>",
        escaped(row.title),
        row.code,
        row.status
    );
    for block in row.page.split("\n\n").skip(1) {
        let block = block.trim();
        match block.strip_prefix("## ") {
            Some(heading) => drop(write!(body, "<h2>{}</h2>", escaped(heading))),
            None => drop(write!(body, "<p>{}</p>", code_spans(&escaped(block)))),
        }
    }
    Html(framed(row.title, &body)).into_response()
}

/// Text between backquotes is code.
fn code_spans(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(place, part)| if place % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() })
        .collect()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// Renders the document, once.
fn page(json: &str) -> String {
    let document: Value = serde_json::from_str(json).unwrap_or_default();
    let info = document.get("info").cloned().unwrap_or_default();
    let mut body = format!(
        "<h1>{} <small>{}</small></h1><p>{}</p><p><a href=\"/openapi.json\">openapi.json</a></p>",
        escaped(text(&info, "title")),
        escaped(text(&info, "version")),
        escaped(text(&info, "description"))
    );
    let paths = document.get("paths").and_then(Value::as_object).cloned().unwrap_or_default();
    for (path, item) in &paths {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let _ = write!(
                body,
                "<section id=\"{}\"><h2>{}</h2><p><code class=\"{method}\">{} {}</code></p><p>{}</p>",
                escaped(text(operation, "operationId")),
                escaped(text(operation, "summary")),
                method.to_uppercase(),
                escaped(path),
                code_spans(&escaped(text(operation, "description")))
            );
            parameters(&mut body, operation);
            responses(&mut body, operation);
            body.push_str("</section>");
        }
    }
    let schemas =
        document.pointer("/components/schemas").and_then(Value::as_object).cloned().unwrap_or_default();
    body.push_str("<h2>Schemas</h2>");
    for (name, schema) in &schemas {
        let shown = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            body,
            "<details id=\"schema-{0}\"><summary>{0}</summary><pre>{1}</pre></details>",
            escaped(name),
            escaped(&shown)
        );
    }
    body.push_str("<h2>Errors</h2><ul>");
    for row in error::TABLE {
        let _ = write!(
            body,
            "<li><a href=\"/docs/errors/{0}\"><code>{0}</code></a> {1} · {2}</li>",
            row.code,
            row.status,
            escaped(row.title)
        );
    }
    body.push_str("</ul>");
    framed("Stoa API", &body)
}

fn parameters(body: &mut String, operation: &Value) {
    let Some(parameters) = operation.get("parameters").and_then(Value::as_array) else { return };
    body.push_str("<table><thead><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr></thead><tbody>");
    for parameter in parameters {
        let _ = write!(
            body,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escaped(text(parameter, "name")),
            escaped(text(parameter, "in")),
            code_spans(&escaped(text(parameter, "description")))
        );
    }
    body.push_str("</tbody></table>");
}

fn responses(body: &mut String, operation: &Value) {
    let Some(responses) = operation.get("responses").and_then(Value::as_object) else { return };
    body.push_str("<table><thead><tr><th>Status</th><th>Meaning</th></tr></thead><tbody>");
    for (status, response) in responses {
        let _ = write!(body, "<tr><td>{status}</td><td>{}</td></tr>", escaped(text(response, "description")));
    }
    body.push_str("</tbody></table>");
}
