//! The composition: which store, with what around it.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::clock::Clock;
use stoa_kernel::id::Ids;
use stoa_kernel::resilience::policies::DATABASE;
use stoa_kernel::store::{AuditTrail, EventLog, Leases, Store};
use stoa_outbox::Feed;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::guard::GuardedStore;
use stoa_runtime::ids::NodeIds;
use stoa_store::Registry;
use stoa_store::migrations;
use stoa_store::seal::{MasterKeys, Vault};
use stoa_store_postgres::{MigrateOptions, PostgresStore};
use stoa_store_sqlite::SqliteStore;

use super::config::Config;
use crate::failure::Failure;

/// A store, behind its ports.
pub(crate) struct Stores {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) trail: Arc<dyn AuditTrail>,
    /// What it is, for people.
    pub(crate) about: String,
}

/// The records of all contexts.
pub(crate) fn registry() -> Registry {
    Registry::with(stoa_identity::RECORDS)
}

/// The address without what must not be shown.
pub(crate) fn shown(url: &str) -> String {
    stoa_store_postgres::describe(url).map_or_else(|| "PostgreSQL".to_owned(), |(_, shown)| shown)
}

/// The role of an address.
fn role(url: &str) -> Result<String, Failure> {
    stoa_store_postgres::describe(url).map(|(role, _)| role).filter(|role| !role.is_empty()).ok_or_else(
        || {
            Failure::new("config_invalid", "database.url names no role")
                .way_out("write postgres://role:password@host:5432/database")
        },
    )
}

/// Opens the store of a configuration. With the owner's address the schema of PostgreSQL is brought up to date first.
pub(crate) async fn open(
    config: &Config,
    masters: MasterKeys,
    ids: Arc<NodeIds>,
    committed: &Feed,
) -> Result<Stores, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let vault = Arc::new(Vault::new(masters));
    let ids: Arc<dyn Ids> = ids;
    let hint = committed.clone();
    let committed: Arc<dyn Fn() + Send + Sync> = Arc::new(move || hint.hint());
    if config.database.url.is_empty() {
        let options = stoa_store_sqlite::Options {
            folder: config.data.folder.clone(),
            readers: config.data.readers,
            registry: registry(),
            vault,
            ids,
            clock,
            migrations: migrations::ALL,
            committed,
        };
        let store = Arc::new(SqliteStore::open(options).map_err(|error| Failure::of(&error, ""))?);
        let about = format!("{} (SQLite)", config.data.folder.display());
        return Ok(Stores {
            store: store.clone(),
            log: store.clone(),
            leases: store.clone(),
            trail: store,
            about,
        });
    }
    if !config.database.owner_url.is_empty() {
        migrate(config).await?;
    }
    let options = stoa_store_postgres::Options {
        url: config.database.url.clone(),
        connections: config.database.connections,
        prepared: config.database.prepared,
        notifications: config.database.notifications,
        statement_timeout: Duration::from_millis(config.database.statement_timeout_ms),
        connect_timeout: Duration::from_millis(config.database.connect_timeout_ms),
        registry: registry(),
        vault,
        ids,
        clock: Arc::clone(&clock),
        migrations: migrations::ALL,
        committed,
    };
    let store = Arc::new(PostgresStore::open(options).await.map_err(|error| Failure::of(&error, ""))?);
    let guarded = Arc::new(GuardedStore::new(store.clone(), &DATABASE, clock));
    let about = format!("{} (PostgreSQL)", shown(&config.database.url));
    Ok(Stores { store: guarded, log: store.clone(), leases: store.clone(), trail: store, about })
}

/// Brings the schema of PostgreSQL up to date, as its owner.
pub(crate) async fn migrate(config: &Config) -> Result<usize, Failure> {
    let role = role(&config.database.url)?;
    let options = MigrateOptions {
        owner_url: &config.database.owner_url,
        runtime_role: &role,
        migrations: migrations::ALL,
        clock: &SystemClock,
    };
    stoa_store_postgres::migrate(options).await.map_err(|error| Failure::of(&error, ""))
}
