//! Data keys, in the database: the steps are those of every engine.

use stoa_kernel::clock::Clock;
use stoa_kernel::context::Scope;
use stoa_kernel::store::{BoxFuture, Keyring, Kind, Resealed, Select, StoreError, Value};
use stoa_store::Registry;
use stoa_store::keyring::{self, KeyTable};
use stoa_store::render::Engine;
use stoa_store::seal::{Vault, Wrapped};

use crate::failure;
use crate::pipeline::Sent;
use crate::store::PostgresStore;

impl KeyTable for PostgresStore {
    const ENGINE: Engine = Engine::Postgres;

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
        self.sealed_rows(Scope::System, None, &select).await
    }

    async fn execute(&self, sql: String, values: Vec<Value>, kinds: Vec<Kind>) -> Result<(), StoreError> {
        self.within(Scope::System, None, Sent { sql: &sql, values: &values, kinds: &kinds }).await?;
        Ok(())
    }
}

impl Keyring for PostgresStore {
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let sent = Sent { sql: keyring::ONE_OF_EACH, values: &[], kinds: &[] };
            let rows = self.within(Scope::System, None, sent).await?;
            let read = |row: &tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
                Ok((
                    row.try_get(0)?,
                    row.try_get(1)?,
                    Wrapped { master: row.try_get(2)?, bytes: row.try_get(3)? },
                ))
            };
            let keys =
                rows.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(|error| failure::of(&error))?;
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
