use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_kernel::store::registry::Kept;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::platform::Platform;

/// A column that is kept.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeptColumn)]
pub(crate) struct View {
    /// Its table.
    table: &'static str,
    /// What one record of the table is called.
    entity: &'static str,
    /// Its name.
    column: &'static str,
    /// Whether it is personal data.
    personal: bool,
    /// Whose, where it is.
    subject: &'static str,
    /// Why it is kept.
    why: &'static str,
    /// Whether it is sealed before it is stored.
    encrypted: bool,
    /// Whether search indexes it.
    searchable: bool,
    /// Who can reach it: `organization` or `installation`.
    #[schema(pattern = "^(organization|installation)$")]
    scope: &'static str,
    /// The class of retention.
    retention: &'static str,
    /// How long that is.
    kept_for: &'static str,
}

impl From<&Kept> for View {
    fn from(kept: &Kept) -> Self {
        Self {
            table: kept.table,
            entity: kept.entity,
            column: kept.column,
            personal: kept.personal,
            subject: kept.subject,
            why: kept.why,
            encrypted: kept.encrypted,
            searchable: kept.searchable,
            scope: kept.scope,
            retention: kept.retention,
            kept_for: kept.kept_for,
        }
    }
}

/// The data registry.
#[derive(Serialize, ToSchema)]
#[schema(as = DataRegistry)]
pub(crate) struct Registry {
    /// Every column, by table.
    items: Vec<View>,
}

/// Read the data registry
///
/// What is kept of whom, why, and for how long: every column of every table, read off the descriptions that the platform itself works by.
#[utoipa::path(
    get, path = "/v1/privacy/registry", tag = "privacy", operation_id = "getDataRegistry",
    params(("personal" = Option<bool>, Query, description = "Only columns that are personal data, or only those that are not")),
    responses((status = 200, description = "Every column.", body = Registry))
)]
pub(crate) async fn registry(
    State(platform): State<Arc<Platform>>,
    _: Caller,
    uri: Uri,
) -> Result<Json<Registry>, Problem> {
    let mut params = Params::of(&uri);
    let personal = params.read::<bool>("personal");
    params.finish()?;
    let wanted = |kept: &&Kept| personal.is_none_or(|personal| personal == kept.personal);
    Ok(Json(Registry { items: platform.kept.iter().filter(wanted).map(View::from).collect() }))
}
