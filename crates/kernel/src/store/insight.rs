//! How a database does, for its operator: whatever the engine offers.

use serde::Serialize;

/// A look into a database.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Insight {
    /// `sqlite` or `postgresql`.
    pub engine: &'static str,
    /// Its version.
    pub version: String,
    /// The last migration that was applied.
    pub migration: i64,
    /// All of it, in bytes.
    pub bytes: i64,
    /// Connections.
    pub pool: Pool,
    /// Every table, the largest first.
    pub tables: Vec<TableSize>,
    /// Every index, the largest first.
    pub indexes: Vec<IndexUse>,
    /// Locks that somebody waits for.
    pub waiting: Vec<Waiting>,
    /// The slowest statements of this process, those that took longest in all first.
    pub slow_statements: Vec<SlowStatement>,
}

/// Connections of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Open.
    pub open: usize,
    /// The most.
    pub max: usize,
    /// Open and not in use.
    pub idle: usize,
    /// Callers that wait for one.
    pub waiting: usize,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// About so many rows; `None` where counting would take too long.
    pub rows: Option<i64>,
    /// Without its indexes, in bytes; `None` where it is not known.
    pub bytes: Option<i64>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexUse {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// How often it was used since statistics began; `None` where the engine does not count.
    pub scans: Option<i64>,
    /// In bytes; `None` where it is not known.
    pub bytes: Option<i64>,
}

/// Somebody who waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The session.
    pub session: i64,
    /// Those who hold it.
    pub blocked_by: Vec<i64>,
    /// For how long, in milliseconds.
    pub for_ms: i64,
}

/// A statement that took long, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowStatement {
    /// Its text, with places for values.
    pub sql: String,
    /// How often it was slow.
    pub calls: u64,
    /// The longest, in microseconds.
    pub max_us: i64,
    /// All of them together, in microseconds.
    pub total_us: i64,
}
