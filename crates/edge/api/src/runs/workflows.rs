use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use utoipa::ToSchema;

use crate::call::{self, Call};
use crate::platform::Platform;

/// A workflow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Workflow)]
struct View {
    /// Its name.
    #[schema(example = "probe")]
    name: &'static str,
    /// The version that runs start on.
    version: i64,
    /// What it does.
    about: &'static str,
    /// Whether its runs may be started by whoever may start runs.
    is_open: bool,
    /// The JSON Schema of its input, where they may.
    input_schema: Option<serde_json::Value>,
}

/// Workflows.
#[derive(Serialize, ToSchema)]
#[schema(as = Workflows)]
struct List {
    /// The workflows, by name.
    items: Vec<View>,
}

/// List the workflows
#[utoipa::path(
    get, path = "/v1/workflows", tag = "runs", operation_id = "listWorkflows",
    responses((status = 200, description = "They are these.", body = List))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call.params().finish()?;
    let all = platform.runs.registry.all().map(|workflow| View {
        name: workflow.name(),
        version: workflow.version(),
        about: workflow.about(),
        is_open: workflow.form().is_some(),
        input_schema: workflow.form().map(|form| (form.schema)()),
    });
    call::ok(&List { items: all.collect() })
}
