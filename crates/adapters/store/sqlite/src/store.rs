//! The store: the port on a writer and its readers.

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use stoa_kernel::clock::Clock;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::Ids;
use stoa_kernel::store::{
    BoxFuture, ColumnMeta, Commit, Consistency, Kind, Receipt, Record as _, Replayed, Select, Store,
    StoreError, Value,
};
use stoa_store::Registry;
use stoa_store::bookkeeping::IdempotencyKey;
use stoa_store::keyring;
use stoa_store::prepare::{Preparation, sealing_organizations};
use stoa_store::render::{Engine, Renderer};
use stoa_store::seal::Vault;
use stoa_store::slow::SlowLog;

use crate::open::{self, OpenError, Options};
use crate::reader::Readers;
use crate::security::{authorize_writer, install_scope, install_triggers, install_views};
use crate::writer::{Setup, Writer};
use crate::{jobs, leases};

/// The store in a data folder. While it lives, no other process opens the folder.
pub struct SqliteStore {
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) renderer: Renderer,
    pub(crate) registry: Registry,
    pub(crate) vault: Arc<Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) slow: SlowLog,
    pub(crate) resealing: Mutex<keyring::Progress>,
    pub(crate) path: PathBuf,
    ids: Arc<dyn Ids>,
    _lock: File,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store of a folder: makes it when it is new, brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let lock = open::lock(&options.folder)?;
        let path = open::database(&options.folder);
        let mut connection = open::writing(&path)?;
        open::migrate(&mut connection, &path, options.migrations, options.clock.as_ref())?;
        let damaged =
            |error: rusqlite::Error| OpenError::Damaged { path: path.clone(), reason: error.to_string() };
        jobs::release(&connection).map_err(damaged)?;
        leases::release(&connection).map_err(damaged)?;
        let scope = install_scope(&connection).map_err(damaged)?;
        install_views(&connection, &options.registry).map_err(damaged)?;
        install_triggers(&connection, &options.registry).map_err(damaged)?;
        authorize_writer(&mut connection).map_err(damaged)?;
        let (checkpoint, wanted) = sync_channel::<()>(1);
        let checkpointing = open::writing(&path)?;
        std::thread::Builder::new()
            .name("stoa-checkpoint".to_owned())
            .spawn(move || {
                while wanted.recv().is_ok() {
                    let _ = checkpointing.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                }
            })
            .map_err(|source| OpenError::Unwritable { path: path.clone(), source })?;
        let readers = Readers::open(&path, &options.registry, options.readers)?;
        let setup = Setup {
            connection,
            scope,
            clock: Arc::clone(&options.clock),
            committed: options.committed,
            checkpoint,
        };
        let writer = Writer::start(setup)
            .map_err(|error| OpenError::Damaged { path: path.clone(), reason: error.to_string() })?;
        Ok(Self {
            writer,
            readers,
            renderer: Renderer::new(Engine::Sqlite),
            registry: options.registry,
            vault: options.vault,
            clock: options.clock,
            slow: SlowLog::default(),
            resealing: Mutex::default(),
            ids: options.ids,
            path,
            _lock: lock,
        })
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
        let receipt = self.writer.commit(prepared, cx.deadline).await?;
        let took = u32::try_from(self.clock.steady().since(start)).unwrap_or(u32::MAX);
        metrics::histogram!("stoa_commit_duration_seconds").record(f64::from(took) / 1e6);
        Ok(receipt)
    }

    /// Runs any SQL as a reader within a scope: for tests that try to look past it.
    ///
    /// # Errors
    /// What the database refused.
    #[doc(hidden)]
    pub fn probe(&self, scope: Scope, sql: &str) -> Result<Vec<Vec<Value>>, StoreError> {
        self.readers.within(scope)?.rows_by_hand(sql)
    }

    /// Runs any SQL as the writer within a scope: for tests that try to write past it.
    ///
    /// # Errors
    /// What the database refused.
    #[doc(hidden)]
    pub async fn probe_write(&self, scope: Scope, sql: &'static str) -> Result<usize, StoreError> {
        self.writer.probe(scope, sql).await
    }

    /// Rows as they are stored: sealed values are sealed.
    pub(crate) fn sealed_rows(&self, scope: Scope, select: &Select) -> Result<Vec<Vec<Value>>, StoreError> {
        let bound = self.renderer.select(scope, select, false)?;
        let kinds = select.meta.columns.iter().map(ColumnMeta::stored_kind);
        let start = self.clock.steady();
        let rows =
            self.readers.within(scope)?.rows(&bound.text.sql, &bound.values, &kinds, Some(select.meta))?;
        self.slow.note(&bound.text.sql, self.clock.steady().since(start));
        Ok(rows)
    }

    pub(crate) async fn opened(
        &self,
        select: &Select,
        mut rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        for row in &mut rows {
            if let Some(organization) = self.vault.missing_key(select.meta, row, self.clock.steady()) {
                keyring::load(self, organization).await?;
            }
            self.vault.open_row(select.meta, row)?;
        }
        Ok(rows)
    }
}

impl Store for SqliteStore {
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.apply(cx, commit))
    }

    fn rows<'a>(
        &'a self,
        cx: &'a Context,
        select: Select,
        _: Consistency,
    ) -> BoxFuture<'a, Result<Vec<Vec<Value>>, StoreError>> {
        let rows = self.sealed_rows(cx.scope, &select);
        if !select.meta.has_sealed() {
            return Box::pin(std::future::ready(rows));
        }
        Box::pin(async move { self.opened(&select, rows?).await })
    }

    fn count_rows<'a>(&'a self, cx: &'a Context, select: Select) -> BoxFuture<'a, Result<i64, StoreError>> {
        let count = || {
            let bound = self.renderer.select(cx.scope, &select, true)?;
            let reader = self.readers.within(cx.scope)?;
            let rows = reader.rows(
                &bound.text.sql,
                &bound.values,
                &std::iter::once(Kind::Integer),
                Some(select.meta),
            )?;
            Ok(rows.first().and_then(|row| row.first()).and_then(Value::integer).unwrap_or(0))
        };
        Box::pin(std::future::ready(count()))
    }

    fn replayed<'a>(
        &'a self,
        cx: &'a Context,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Replayed>, StoreError>> {
        Box::pin(async move {
            let select = stoa_store::bookkeeping::replay(cx, key, self.clock.now());
            let rows = self.sealed_rows(cx.scope, &select)?;
            let found = self.opened(&select, rows).await?.into_iter().next();
            found.map(IdempotencyKey::from_values).transpose()?.map(IdempotencyKey::replayed).transpose()
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.writer.task(|_| Ok(())))
    }
}
