//! Data keys, in the database: the steps are those of every engine.

use rusqlite::Connection;
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Scope;
use stoa_kernel::store::{BoxFuture, Keyring, Kind, Resealed, Select, StoreError, Value};
use stoa_store::Registry;
use stoa_store::keyring::{self, KeyTable};
use stoa_store::render::Engine;
use stoa_store::seal::{Vault, Wrapped};

use crate::reader::Bind;
use crate::store::SqliteStore;

/// One data key for each master key.
pub(crate) fn one_of_each(connection: &Connection) -> rusqlite::Result<Vec<(i64, i64, Wrapped)>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, row.get(1)?, Wrapped { master: row.get(2)?, bytes: row.get(3)? }))
    };
    connection.prepare(keyring::ONE_OF_EACH)?.query_map([], read)?.collect()
}

impl KeyTable for SqliteStore {
    const ENGINE: Engine = Engine::Sqlite;

    fn vault(&self) -> &Vault {
        &self.vault
    }

    fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    async fn sealed(&self, select: Select) -> Result<Vec<Vec<Value>>, StoreError> {
        // Reading does not wait here, so that a long pass over many pages would keep others from this thread.
        tokio::task::yield_now().await;
        self.sealed_rows(Scope::System, &select)
    }

    async fn execute(&self, sql: String, values: Vec<Value>, _: Vec<Kind>) -> Result<(), StoreError> {
        self.writer
            .task(move |connection| {
                let mut statement = connection.prepare_cached(&sql)?;
                for (index, value) in (1..).zip(&values) {
                    statement.raw_bind_parameter(index, Bind(value))?;
                }
                statement.raw_execute().map(|_| ())
            })
            .await
    }
}

impl Keyring for SqliteStore {
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let keys = self.writer.task(one_of_each).await?;
            keyring::check(&self.vault, &keys)
        })
    }

    fn reseal(&self, limit: u32) -> BoxFuture<'_, Result<Resealed, StoreError>> {
        Box::pin(keyring::reseal(self, &self.resealing, limit))
    }

    fn rotate(&self) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(keyring::rotate(self))
    }
}
