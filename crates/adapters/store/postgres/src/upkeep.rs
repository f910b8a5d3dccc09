//! What keeps the database small, and says how it does: from the statistics that a role without privileges may read.

use stoa_kernel::context::Scope;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::insight::{IndexUse, Insight, Pool, TableSize, Waiting};
use stoa_kernel::store::{BoxFuture, Kind, StoreError, Upkeep, Value};
use stoa_store::keyring::{END_ORPHANS, ORPHAN_US};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::failure;
use crate::pipeline::Sent;
use crate::store::PostgresStore;

const WHOLE: &str = "SELECT current_setting('server_version')::text, pg_database_size(current_database())::bigint, \
     (SELECT coalesce(max(number), 0)::bigint FROM schema_migrations)";
const TABLES: &str = "SELECT relname::text, n_live_tup::bigint, pg_table_size(relid)::bigint FROM pg_stat_user_tables \
     WHERE schemaname = current_schema() ORDER BY 3 DESC, 1";
const INDEXES: &str = "SELECT indexrelname::text, relname::text, idx_scan::bigint, pg_relation_size(indexrelid)::bigint \
     FROM pg_stat_user_indexes WHERE schemaname = current_schema() ORDER BY 4 DESC, 1";
const WAITING: &str = "SELECT pid::bigint, pg_blocking_pids(pid)::bigint[], \
     coalesce(extract(epoch FROM clock_timestamp() - state_change) * 1000, 0)::bigint \
     FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' ORDER BY 3 DESC LIMIT 50";

fn get<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|error| failure::of(&error))
}

impl PostgresStore {
    async fn plain(&self, sql: &str) -> Result<Vec<Row>, StoreError> {
        self.within(Scope::System, None, Sent { sql, values: &[], kinds: &[] }).await
    }
}

impl Upkeep for PostgresStore {
    fn purge_expired(&self, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(async move {
            let values = [Value::Integer(self.clock.now().0), Value::Integer(i64::from(limit))];
            let mut removed = 0;
            for (table, column) in self.registry.expiring() {
                let sql = format!(
                    "WITH over AS (SELECT ctid FROM {table} WHERE {column} <= $1 ORDER BY {column} LIMIT $2) \
                     DELETE FROM {table} USING over WHERE {table}.ctid = over.ctid RETURNING 1::bigint"
                );
                let sent = Sent { sql: &sql, values: &values, kinds: &[Kind::Integer, Kind::Integer] };
                removed = removed.max(self.within(Scope::System, None, sent).await?.len());
            }
            let before = [Value::Integer(self.clock.now().0 - ORPHAN_US), Value::Integer(i64::from(limit))];
            let sql = format!("{END_ORPHANS} RETURNING 1::bigint");
            let sent = Sent { sql: &sql, values: &before, kinds: &[Kind::Integer, Kind::Integer] };
            let orphaned = self.within(Scope::System, None, sent).await?.len();
            Ok(u32::try_from(removed.max(orphaned)).unwrap_or(u32::MAX))
        })
    }

    fn purge_organization(
        &self,
        organization: OrganizationId,
        limit: u32,
    ) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(async move {
            let values = [Value::Integer(organization.to_i64()), Value::Integer(i64::from(limit))];
            let mut most = 0;
            for purge in self.registry.purges() {
                let sql = format!("{purge} RETURNING 1::bigint");
                let sent = Sent { sql: &sql, values: &values, kinds: &[Kind::Integer, Kind::Integer] };
                most = most.max(self.within(Scope::System, None, sent).await?.len());
            }
            Ok(u32::try_from(most).unwrap_or(u32::MAX))
        })
    }

    fn insight(&self) -> BoxFuture<'_, Result<Insight, StoreError>> {
        Box::pin(async move {
            let whole = self.plain(WHOLE).await?;
            let (version, bytes, migration) = match whole.first() {
                Some(row) => (get(row, 0)?, get(row, 1)?, get(row, 2)?),
                None => (String::new(), 0, 0),
            };
            let tables = self.plain(TABLES).await?;
            let table = |row: &Row| {
                Ok(TableSize { name: get(row, 0)?, rows: Some(get(row, 1)?), bytes: Some(get(row, 2)?) })
            };
            let indexes = self.plain(INDEXES).await?;
            let index = |row: &Row| {
                Ok(IndexUse {
                    name: get(row, 0)?,
                    table: get(row, 1)?,
                    scans: Some(get(row, 2)?),
                    bytes: Some(get(row, 3)?),
                })
            };
            let waiting = self.plain(WAITING).await?;
            let wait = |row: &Row| {
                Ok(Waiting { session: get(row, 0)?, blocked_by: get(row, 1)?, for_ms: get(row, 2)? })
            };
            Ok(Insight {
                engine: "postgresql",
                version,
                migration,
                bytes,
                pool: Upkeep::pool(self),
                tables: tables.iter().map(table).collect::<Result<_, StoreError>>()?,
                indexes: indexes.iter().map(index).collect::<Result<_, StoreError>>()?,
                waiting: waiting.iter().map(wait).collect::<Result<_, StoreError>>()?,
                slow_statements: self.slow.worst(20),
            })
        })
    }

    fn migration(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async move {
            let rows = self.plain("SELECT coalesce(max(number), 0)::bigint FROM schema_migrations").await?;
            rows.first().map_or(Ok(0), |row| get(row, 0))
        })
    }

    fn pool(&self) -> Pool {
        let status = self.shared.pool.status();
        Pool { open: status.size, max: status.max_size, idle: status.available, waiting: status.waiting }
    }
}
