use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::store::insight::{self, Insight};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::platform::Platform;

/// A look into the database: whatever the engine offers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DatabaseInsight)]
pub(crate) struct View {
    /// `sqlite` or `postgresql`.
    #[schema(example = "sqlite", pattern = "^(sqlite|postgresql)$")]
    engine: &'static str,
    /// Its version.
    #[schema(example = "3.50.4")]
    version: String,
    /// The last migration that was applied.
    migration: i64,
    /// All of it, in bytes.
    bytes: i64,
    /// Connections of this process.
    pool: PoolView,
    /// Every table, the largest first.
    tables: Vec<TableView>,
    /// Every index, the largest first.
    indexes: Vec<IndexView>,
    /// Sessions that wait for a lock, the longest first.
    waiting: Vec<WaitingView>,
    /// Statements of this process that took 50 ms or longer, those that took longest in all first.
    slow_statements: Vec<SlowView>,
}

/// Connections.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabasePool)]
struct PoolView {
    /// Open.
    open: usize,
    /// The most.
    max: usize,
    /// Open and not in use.
    idle: usize,
    /// Callers that wait for one.
    waiting: usize,
}

/// A table.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseTable)]
struct TableView {
    /// Its name.
    name: String,
    /// About so many rows; null where counting would take too long.
    rows: Option<i64>,
    /// Without its indexes, in bytes; null where it is not known.
    bytes: Option<i64>,
}

/// An index.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseIndex)]
struct IndexView {
    /// Its name.
    name: String,
    /// Its table.
    table: String,
    /// How often it was used since statistics began; null where the engine does not count.
    scans: Option<i64>,
    /// In bytes; null where it is not known.
    bytes: Option<i64>,
}

/// A session that waits for a lock.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DatabaseWaiting)]
struct WaitingView {
    /// The session.
    session: i64,
    /// Those who hold it.
    blocked_by: Vec<i64>,
    /// For how long, in milliseconds.
    for_ms: i64,
}

/// A statement that took long, without its values.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DatabaseSlowStatement)]
struct SlowView {
    /// Its text.
    sql: String,
    /// How often it was slow.
    calls: u64,
    /// The longest, in microseconds.
    max_us: i64,
    /// All of them together, in microseconds.
    total_us: i64,
}

impl From<Insight> for View {
    fn from(found: Insight) -> Self {
        let insight::Pool { open, max, idle, waiting } = found.pool;
        let table = |insight::TableSize { name, rows, bytes }| TableView { name, rows, bytes };
        let index = |insight::IndexUse { name, table, scans, bytes }| IndexView { name, table, scans, bytes };
        let wait =
            |insight::Waiting { session, blocked_by, for_ms }| WaitingView { session, blocked_by, for_ms };
        let slow = |insight::SlowStatement { sql, calls, max_us, total_us }| SlowView {
            sql,
            calls,
            max_us,
            total_us,
        };
        Self {
            engine: found.engine,
            version: found.version,
            migration: found.migration,
            bytes: found.bytes,
            pool: PoolView { open, max, idle, waiting },
            tables: found.tables.into_iter().map(table).collect(),
            indexes: found.indexes.into_iter().map(index).collect(),
            waiting: found.waiting.into_iter().map(wait).collect(),
            slow_statements: found.slow_statements.into_iter().map(slow).collect(),
        }
    }
}

/// Look into the database
///
/// Its size, connections, tables, indexes, locks and slow statements.
#[utoipa::path(
    get, path = "/v1/admin/database", tag = "admin", operation_id = "getDatabase",
    responses((status = 200, description = "How it does.", body = View))
)]
pub(crate) async fn database(
    State(platform): State<Arc<Platform>>,
    _: Caller,
) -> Result<Json<View>, Problem> {
    let found = platform.upkeep.insight().await.map_err(|error| Problem::of(&error))?;
    Ok(Json(found.into()))
}
