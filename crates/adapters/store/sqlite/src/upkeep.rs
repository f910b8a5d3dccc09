//! What keeps the database small, and says how it does.

use std::collections::HashMap;

use rusqlite::Connection;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::insight::{IndexUse, Insight, Pool, TableSize};
use stoa_kernel::store::{BoxFuture, StoreError, Upkeep};
use stoa_store::keyring::{END_ORPHANS, ORPHAN_US};

use crate::failure;
use crate::open::{applied, reading};
use crate::store::SqliteStore;

/// Up to so many pages (400 MB) the size of every table is read, and its rows are counted: both read all of it.
const PAGES_MAX: i64 = 100_000;

impl Upkeep for SqliteStore {
    fn purge_expired(&self, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        let now = self.clock.now().0;
        let purges: Vec<String> = self
            .registry
            .expiring()
            .map(|(table, column)| {
                format!(
                    "DELETE FROM main.{table} WHERE rowid IN \
                     (SELECT rowid FROM main.{table} WHERE {column} <= ?1 ORDER BY {column} LIMIT ?2)"
                )
            })
            .collect();
        Box::pin(async move {
            let mut removed = 0;
            for purge in purges {
                let ended = self
                    .writer
                    .task(move |connection| connection.prepare_cached(&purge)?.execute((now, limit)))
                    .await?;
                removed = removed.max(ended);
            }
            let orphaned = self
                .writer
                .task(move |connection| {
                    connection.prepare_cached(END_ORPHANS)?.execute((now - ORPHAN_US, limit))
                })
                .await?;
            Ok(u32::try_from(removed.max(orphaned)).unwrap_or(u32::MAX))
        })
    }

    fn purge_organization(
        &self,
        organization: OrganizationId,
        limit: u32,
    ) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(async move {
            let mut most = 0;
            for purge in self.registry.purges() {
                let purge = purge.replace("FROM ", "FROM main.");
                let removed = self
                    .writer
                    .task(move |connection| {
                        connection.prepare_cached(&purge)?.execute((organization.to_i64(), limit))
                    })
                    .await?;
                most = most.max(removed);
            }
            Ok(u32::try_from(most).unwrap_or(u32::MAX))
        })
    }

    fn insight(&self) -> BoxFuture<'_, Result<Insight, StoreError>> {
        let (path, pool) = (self.path.clone(), self.pool());
        let slow_statements = self.slow.worst(20);
        Box::pin(async move {
            let look = tokio::task::spawn_blocking(move || {
                let connection = reading(&path).map_err(|error| {
                    StoreError::new(stoa_kernel::store::StoreErrorKind::Unavailable, error.to_string())
                })?;
                look(&connection).map_err(|error| failure::of(&error, None))
            });
            let insight = look.await.map_err(|_| {
                StoreError::new(stoa_kernel::store::StoreErrorKind::Unavailable, "the look was cut off")
            })??;
            Ok(Insight { pool, slow_statements, ..insight })
        })
    }

    fn migration(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        const LAST: &str = "SELECT coalesce(max(number), 0) FROM main.schema_migrations";
        Box::pin(self.writer.task(|connection| connection.query_row(LAST, [], |row| row.get(0))))
    }

    fn pool(&self) -> Pool {
        self.readers.pool()
    }
}

fn look(connection: &Connection) -> rusqlite::Result<Insight> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA page_count")?;
    let bytes = pages * number("PRAGMA page_size")?;
    let is_small = pages <= PAGES_MAX;
    let mut sizes = HashMap::new();
    if is_small {
        let mut statement = connection.prepare("SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            sizes.insert(row.get::<_, String>(0)?, row.get::<_, i64>(1)?);
        }
    }
    let (mut tables, mut indexes) = (Vec::new(), Vec::new());
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name FROM sqlite_schema WHERE type IN ('table', 'index') ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, table): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let bytes = sizes.get(&name).copied();
        if kind == "table" {
            let count = || number(&format!("SELECT count(*) FROM \"{name}\""));
            let rows = if is_small { Some(count()?) } else { None };
            tables.push(TableSize { name, rows, bytes });
        } else {
            indexes.push(IndexUse { name, table, scans: None, bytes });
        }
    }
    tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    indexes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(Insight {
        engine: "sqlite",
        version: rusqlite::version().to_owned(),
        migration: applied(connection)?.last().map_or(0, |last| last.number),
        bytes,
        pool: Pool::default(),
        tables,
        indexes,
        waiting: Vec::new(),
        slow_statements: Vec::new(),
    })
}
