//! The store: the port on a pool and its committers.

use std::sync::{Arc, Mutex};

use deadpool_postgres::Pool;
use stoa_kernel::clock::Clock;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::Ids;
use stoa_kernel::store::{
    BoxFuture, Commit, Consistency, Receipt, Record as _, Replayed, Select, Store, StoreError,
    StoreErrorKind, Value,
};
use stoa_store::Registry;
use stoa_store::bookkeeping::IdempotencyKey;
use stoa_store::keyring;
use stoa_store::prepare::{Preparation, sealing_organizations};
use stoa_store::render::{Bound, Engine, Renderer};
use stoa_store::seal::Vault;
use stoa_store::slow::SlowLog;
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::bind::{Bind, Read};
use crate::committer::{Committers, Shared, scope_alone};
use crate::open::{self, OpenError, Options};
use crate::pipeline::{Lent, Pipeline, Sent};
use crate::target::Target;
use crate::{failure, listen};

/// The store in a database.
pub struct PostgresStore {
    committers: Committers,
    pub(crate) shared: Arc<Shared>,
    pub(crate) renderer: Renderer,
    pub(crate) registry: Registry,
    pub(crate) vault: Arc<Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) slow: SlowLog,
    pub(crate) resealing: Mutex<keyring::Progress>,
    pub(crate) ids: Arc<dyn Ids>,
    listening: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

pub(crate) fn no_connection(error: &deadpool_postgres::PoolError) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("no connection to the database: {error}"))
}

impl PostgresStore {
    /// Opens the store of a database whose schema is up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let target = Target::of(&options.url, options.ca_file.as_deref())?;
        let pool = open::pool(&options, target.clone())?;
        {
            let connection =
                pool.get().await.map_err(|error| OpenError::Unreachable(no_connection(&error)))?;
            open::check(&connection, &options).await?;
        }
        let listening =
            options.notifications.then(|| tokio::spawn(listen::run(target, Arc::clone(&options.committed))));
        let committers = options.connections.saturating_sub(2).clamp(1, 8);
        let shared = Arc::new(Shared {
            pool,
            prepared: options.prepared,
            notifications: options.notifications,
            statement_timeout: options.statement_timeout,
            clock: Arc::clone(&options.clock),
            committed: options.committed,
        });
        Ok(Self {
            committers: Committers::start(&shared, committers),
            shared,
            renderer: Renderer::new(Engine::Postgres),
            registry: options.registry,
            vault: options.vault,
            clock: options.clock,
            slow: SlowLog::default(),
            resealing: Mutex::default(),
            ids: options.ids,
            listening,
        })
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    async fn apply(&self, cx: &Context, commit: Commit) -> Result<Receipt, StoreError> {
        for organization in sealing_organizations(cx, &commit) {
            keyring::ensure(self, organization).await?;
        }
        let preparation = Preparation {
            renderer: &self.renderer,
            vault: &self.vault,
            ids: self.ids.as_ref(),
            clock: self.clock.as_ref(),
        };
        let start = self.clock.steady();
        let prepared = preparation.prepare(cx, commit)?;
        let receipt = self.committers.commit(prepared, cx.deadline).await?;
        let took = u32::try_from(self.clock.steady().since(start)).unwrap_or(u32::MAX);
        metrics::histogram!("stoa_commit_duration_seconds").record(f64::from(took) / 1e6);
        Ok(receipt)
    }

    /// Runs one statement within a scope, in one round trip.
    pub(crate) async fn within(
        &self,
        within: Scope,
        deadline: Option<stoa_kernel::clock::Micros>,
        sent: Sent<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let object = self.shared.pool.get().await.map_err(|error| no_connection(&error))?;
        let mut lent = Lent::new(object);
        let most = i64::try_from(self.shared.statement_timeout.as_millis()).unwrap_or(i64::MAX);
        let left = deadline.map_or(most, |deadline| deadline.since(self.clock.now()) / 1_000);
        if left <= 0 {
            lent.done();
            return Err(StoreError::new(StoreErrorKind::Deadline, "the deadline has passed"));
        }
        let Some(connection) = lent.get() else { return Ok(Vec::new()) };
        let mut pipeline = Pipeline::new(connection, self.shared.prepared);
        pipeline.plain(format!("BEGIN; {}{}", self.timeout(left, most), scope_alone(within)));
        pipeline.send(sent).await.map_err(|error| failure::of(&error))?;
        let (rows, is_clean) = only_rows(connection, pipeline).await;
        if is_clean {
            lent.done();
        }
        rows
    }

    /// The rows of a query within a scope: one statement that sets its scope by itself, where the connection has the time limit and
    /// keeps statements prepared; otherwise a transaction around it.
    async fn read(
        &self,
        within: Scope,
        deadline: Option<stoa_kernel::clock::Micros>,
        bound: &Bound,
    ) -> Result<Vec<Row>, StoreError> {
        let most = i64::try_from(self.shared.statement_timeout.as_micros()).unwrap_or(i64::MAX);
        let has_time = deadline.is_none_or(|deadline| deadline.since(self.clock.now()) >= most);
        if !self.shared.prepared || !has_time {
            return self.within(within, deadline, Sent::of(&bound.text, &bound.values)).await;
        }
        let object = self.shared.pool.get().await.map_err(|error| no_connection(&error))?;
        let mut lent = Lent::new(object);
        let Some(connection) = lent.get() else { return Ok(Vec::new()) };
        let (setting, of) = match within {
            Scope::Organization(id) => ("stoa.organization", id.raw().to_string()),
            Scope::System => ("stoa.system", "on".to_owned()),
        };
        let scope = [Value::Text(setting.to_owned()), Value::Text(of)];
        let values: Vec<Bind<'_>> = bound.values.iter().chain(&scope).map(Bind).collect();
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let statement =
            connection.prepare_cached(&bound.text.scoped).await.map_err(|error| failure::of(&error))?;
        let rows = connection.query(&statement, &values).await.map_err(|error| failure::of(&error))?;
        lent.done();
        Ok(rows)
    }

    /// The time that a statement may take, where that is not what the connection was opened with: behind a pooler it was opened with
    /// nothing.
    fn timeout(&self, left: i64, most: i64) -> String {
        if self.shared.prepared && left >= most {
            return String::new();
        }
        format!("SET LOCAL statement_timeout = {}; ", left.min(most))
    }

    /// Rows as they are stored: sealed values are sealed.
    pub(crate) async fn sealed_rows(
        &self,
        scope: Scope,
        deadline: Option<stoa_kernel::clock::Micros>,
        select: &Select,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let bound = self.renderer.select(scope, select, false)?;
        let start = self.clock.steady();
        let rows = self.read(scope, deadline, &bound).await?;
        self.slow.note(&bound.text.sql, self.clock.steady().since(start));
        rows.iter().map(values_of).collect()
    }

    pub(crate) async fn opened_rows(
        &self,
        cx: &Context,
        select: &Select,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let rows = self.sealed_rows(cx.scope, cx.deadline, select).await?;
        self.opened(select, rows).await
    }

    /// Rows with their sealed values opened.
    pub(crate) async fn opened(
        &self,
        select: &Select,
        mut rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        if select.meta.has_sealed() {
            for row in &mut rows {
                if let Some(organization) = self.vault.missing_key(select.meta, row, self.clock.steady()) {
                    keyring::load(self, organization).await?;
                }
                self.vault.open_row(select.meta, row)?;
            }
        }
        Ok(rows)
    }
}

/// Commits a transaction of one statement: its rows, and whether the connection can be used again.
pub(crate) async fn only_rows(
    connection: &deadpool_postgres::Object,
    mut pipeline: Pipeline<'_>,
) -> (Result<Vec<Row>, StoreError>, bool) {
    pipeline.plain("COMMIT".to_owned());
    let (mut answers, failed) = pipeline.run().await;
    if let Some(error) = failed {
        let is_clean = connection.batch_execute("ROLLBACK").await.is_ok();
        return (Err(failure::of(&error)), is_clean);
    }
    (Ok(if answers.len() > 1 { answers.swap_remove(1) } else { Vec::new() }), true)
}

/// The values of a row.
pub(crate) fn values_of(row: &Row) -> Result<Vec<Value>, StoreError> {
    (0..row.len())
        .map(|index| row.try_get::<_, Read>(index).map(|read| read.0).map_err(|error| failure::of(&error)))
        .collect()
}

impl Store for PostgresStore {
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.apply(cx, commit))
    }

    fn rows<'a>(
        &'a self,
        cx: &'a Context,
        select: Select,
        _: Consistency,
    ) -> BoxFuture<'a, Result<Vec<Vec<Value>>, StoreError>> {
        Box::pin(async move { self.opened_rows(cx, &select).await })
    }

    fn count_rows<'a>(&'a self, cx: &'a Context, select: Select) -> BoxFuture<'a, Result<i64, StoreError>> {
        Box::pin(async move {
            let bound = self.renderer.select(cx.scope, &select, true)?;
            let rows = self.read(cx.scope, cx.deadline, &bound).await?;
            rows.first().map_or(Ok(0), |row| row.try_get(0).map_err(|error| failure::of(&error)))
        })
    }

    fn replayed<'a>(
        &'a self,
        cx: &'a Context,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Replayed>, StoreError>> {
        Box::pin(async move {
            let select = stoa_store::bookkeeping::replay(cx, key, self.clock.now());
            let found = self.opened_rows(cx, &select).await?.into_iter().next();
            found.map(IdempotencyKey::from_values).transpose()?.map(IdempotencyKey::replayed).transpose()
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let sent = Sent { sql: "SELECT 1::bigint", values: &[], kinds: &[] };
            self.within(Scope::System, None, sent).await.map(|_| ())
        })
    }
}
