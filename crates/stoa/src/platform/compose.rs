//! The composition: which store, with what around it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stoa_bus::{JetStreamBroker, NatsSignals};
use stoa_cache::{LocalLimiter, RedisCache, RedisLimiter, RedisLink};
use stoa_identity::access::Permission;
use stoa_jobs::queue::Queue;
use stoa_kernel::clock::Clock;
use stoa_kernel::resilience::policies::DATABASE;
use stoa_kernel::store::{AuditTrail, EventLog, EventType, Keyring, Leases, Store, StoreErrorKind, Upkeep};
use stoa_outbox::{Broker, Feed, Signals};
use stoa_runtime::cache::Commons;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::entropy::SystemEntropy;
use stoa_runtime::guard::GuardedStore;
use stoa_runtime::ids::{InstallationClock, NodeIds};
use stoa_runtime::limiter::{Limits, RateLimiter};
use stoa_runtime::trace::{Collector, TracedStore};
use stoa_store::Registry;
use stoa_store::migrations;
use stoa_store::seal::{MasterKeys, Vault};
use stoa_store_postgres::{MigrateOptions, PostgresStore};
use stoa_store_sqlite::SqliteStore;
use stoa_telemetry::{Options, OtlpCollector, Traces};

use super::config::Config;
use crate::failure::Failure;

/// A store, behind its ports.
pub(crate) struct Stores {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) trail: Arc<dyn AuditTrail>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
    pub(crate) keyring: Arc<dyn Keyring>,
    /// The time of the installation.
    pub(crate) clock: Arc<dyn Clock>,
    /// What it is, for people.
    pub(crate) about: String,
}

impl Stores {
    /// The ports of one store; `port` is the store with what stands before it.
    fn of<S>(port: Arc<dyn Store>, store: &Arc<S>, clock: Arc<dyn Clock>, about: String) -> Self
    where
        S: EventLog + Leases + AuditTrail + Queue + Upkeep + Keyring + 'static,
    {
        Self {
            store: port,
            log: Arc::clone(store) as _,
            leases: Arc::clone(store) as _,
            trail: Arc::clone(store) as _,
            queue: Arc::clone(store) as _,
            upkeep: Arc::clone(store) as _,
            keyring: Arc::clone(store) as _,
            clock,
            about,
        }
    }
}

/// The records of all contexts.
pub(crate) fn registry() -> Registry {
    Registry::with(
        &[
            stoa_identity::RECORDS,
            stoa_jobs::RECORDS,
            stoa_workflow::RECORDS,
            stoa_outbox::RECORDS,
            stoa_messaging::RECORDS,
        ]
        .concat(),
    )
}

/// The last migration that this program knows.
pub(crate) fn last_migration() -> i64 {
    migrations::ALL.last().map_or(0, |last| last.number)
}

/// The types of events of all parts.
pub(crate) fn event_types() -> Vec<EventType> {
    [
        stoa_identity::event_types(),
        stoa_jobs::event_types(),
        stoa_workflow::EVENT_TYPES.to_vec(),
        stoa_messaging::event_types(),
        stoa_outbox::EVENT_TYPES.to_vec(),
    ]
    .concat()
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

/// Opens the store of a configuration, and tries its master keys. With the owner's address the schema of PostgreSQL is brought up to
/// date first.
pub(crate) async fn open(
    config: &Config,
    masters: MasterKeys,
    ids: Arc<NodeIds>,
    committed: &Feed,
) -> Result<Stores, Failure> {
    let stores = open_untried(config, masters, ids, committed).await?;
    // With other keys nothing that is sealed could be read, and what is sealed now could not be read with the right ones.
    stores.keyring.check().await.map_err(|error| match error.kind {
        StoreErrorKind::Corrupt => {
            Failure::new("secret_missing", error.to_string()).way_out(stoa_store_sqlite::WRONG_KEYS)
        }
        _ => Failure::of(&error, ""),
    })?;
    Ok(stores)
}

async fn open_untried(
    config: &Config,
    masters: MasterKeys,
    ids: Arc<NodeIds>,
    committed: &Feed,
) -> Result<Stores, Failure> {
    if config.database.url.is_empty() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = stoa_store_sqlite::Options {
            folder: config.data.folder.clone(),
            readers: config.data.readers,
            registry: registry(),
            vault: Arc::new(Vault::new(masters)),
            ids,
            clock: Arc::clone(&clock),
            migrations: migrations::ALL,
            committed: hinting(committed),
        };
        let store = Arc::new(SqliteStore::open(options).map_err(|error| Failure::of(&error, ""))?);
        let port = traced(store.clone(), "sqlite");
        let about = format!("{} (SQLite)", config.data.folder.display());
        return Ok(Stores::of(port, &store, clock, about));
    }
    let clock: Arc<dyn Clock> = Arc::new(InstallationClock::of(Arc::clone(&ids)));
    let store = Arc::new(open_postgres(config, masters, ids, committed).await?);
    let guarded =
        traced(Arc::new(GuardedStore::new(store.clone(), &DATABASE, Arc::clone(&clock))), "postgresql");
    let about = format!("{} (PostgreSQL)", shown(&config.database.url));
    Ok(Stores::of(guarded, &store, clock, about))
}

fn hinting(feed: &Feed) -> Arc<dyn Fn() + Send + Sync> {
    let feed = feed.clone();
    Arc::new(move || feed.hint())
}

/// Opens the store on PostgreSQL.
pub(crate) async fn open_postgres(
    config: &Config,
    masters: MasterKeys,
    ids: Arc<NodeIds>,
    committed: &Feed,
) -> Result<PostgresStore, Failure> {
    if !config.database.owner_url.is_empty() {
        migrate(config).await?;
    }
    let options = stoa_store_postgres::Options {
        url: config.database.url.clone(),
        ca_file: ca_file(config),
        connections: config.database.connections,
        prepared: config.database.prepared,
        notifications: config.database.notifications,
        statement_timeout: Duration::from_millis(config.database.statement_timeout_ms),
        connect_timeout: Duration::from_millis(config.database.connect_timeout_ms),
        registry: registry(),
        vault: Arc::new(Vault::new(masters)),
        clock: Arc::new(InstallationClock::of(Arc::clone(&ids))),
        ids,
        migrations: migrations::ALL,
        committed: hinting(committed),
    };
    PostgresStore::open(options).await.map_err(|error| Failure::of(&error, ""))
}

/// Puts spans around a store, where they are recorded.
fn traced(store: Arc<dyn Store>, system: &'static str) -> Arc<dyn Store> {
    if stoa_runtime::trace::is_enabled() { Arc::new(TracedStore::new(store, system)) } else { store }
}

/// The connection to Redis, where there is one.
pub(crate) fn redis(config: &Config) -> Result<Option<RedisLink>, Failure> {
    if config.redis.url.is_empty() {
        return Ok(None);
    }
    let link = RedisLink::new(&config.redis.url, &config.redis.prefix).map_err(|error| {
        Failure::new("config_invalid", format!("redis.url: {error}"))
            .way_out("write redis://user:password@host:6379/")
    })?;
    Ok(Some(link))
}

/// What limits are counted in: Redis, where there is one, and the process.
pub(crate) fn limits(redis: Option<&RedisLink>) -> (Limits, Option<Arc<dyn RateLimiter>>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let own = Arc::new(LocalLimiter::new(Arc::clone(&clock)));
    let Some(link) = redis else { return (Limits::own(own), None) };
    let shared: Arc<dyn RateLimiter> = Arc::new(RedisLimiter::on(link));
    (Limits::shared(Arc::clone(&shared), own, clock), Some(shared))
}

/// What is looked up is kept in: the process, and Redis, where there is one. What is there is sealed by a key of this installation, and of this
/// shape of records and permissions: another version of the program reads none of it.
pub(crate) fn commons(redis: Option<RedisLink>, secret: &str, clock: &Arc<dyn Clock>) -> Commons {
    let Some(link) = redis else { return Commons::default() };
    let mut shape = blake3::Hasher::new_derive_key("stoa 2026-11 shared cache");
    shape.update(secret.as_bytes()).update(env!("CARGO_PKG_VERSION").as_bytes());
    for meta in registry().iter() {
        shape.update(format!("\n{}", meta.table).as_bytes());
        for column in meta.columns {
            shape.update(format!("\n.{} {:?}", column.name, column.kind).as_bytes());
        }
    }
    for permission in Permission::ALL {
        shape.update(format!("\n{permission}").as_bytes());
    }
    let (key, entropy) = (*shape.finalize().as_bytes(), Arc::new(SystemEntropy));
    let cache = RedisCache::on(link, key, Arc::clone(clock), entropy);
    Commons::with(Arc::new(cache), Arc::clone(clock))
}

/// What there is beside the processes: a bus, and a broker that keeps the log for others.
pub(crate) struct Bus {
    pub(crate) signals: Arc<dyn Signals>,
    pub(crate) broker: Arc<dyn Broker>,
}

/// The bus, where there is one.
pub(crate) async fn bus(config: &Config) -> Result<Option<Bus>, Failure> {
    if config.nats.url.is_empty() {
        return Ok(None);
    }
    let signals = NatsSignals::new(&config.nats.url, &config.nats.prefix).await.map_err(|error| {
        Failure::new("config_invalid", format!("nats.url: {error}")).way_out("write nats://host:4222")
    })?;
    let kept = Duration::from_secs(config.nats.kept_h.saturating_mul(3_600));
    let broker = Arc::new(JetStreamBroker::beside(&signals, kept));
    Ok(Some(Bus { signals: Arc::new(signals), broker }))
}

/// The way to the collector, where there is one.
pub(crate) fn collector(config: &Config, holder: &str) -> Result<Option<Arc<dyn Collector>>, Failure> {
    let Some(options) = telemetry(config, holder)? else { return Ok(None) };
    let collector = OtlpCollector::new(options)
        .map_err(|error| Failure::new("config_invalid", format!("telemetry.endpoint: {error}")))?;
    Ok(Some(Arc::new(collector)))
}

/// Sends the spans of this process to the collector from now on, where there is one.
pub(crate) fn traces(config: &Config, holder: &str) -> Result<Option<Traces>, Failure> {
    let Some(options) = telemetry(config, holder)? else { return Ok(None) };
    Traces::start(&options)
        .map(Some)
        .map_err(|error| Failure::new("config_invalid", format!("telemetry.endpoint: {error}")))
}

/// What a collector is sent with, where there is one.
fn telemetry(config: &Config, holder: &str) -> Result<Option<Options>, Failure> {
    if config.telemetry.endpoint.is_empty() {
        return Ok(None);
    }
    Ok(Some(Options {
        endpoint: config.telemetry.endpoint.clone(),
        headers: super::config::telemetry_headers(config)?,
        version: env!("CARGO_PKG_VERSION"),
        instance: holder.to_owned(),
    }))
}

fn ca_file(config: &Config) -> Option<PathBuf> {
    let file = &config.database.ca_file;
    (!file.is_empty()).then(|| PathBuf::from(file))
}

/// Brings the schema of PostgreSQL up to date, as its owner.
pub(crate) async fn migrate(config: &Config) -> Result<usize, Failure> {
    let role = role(&config.database.url)?;
    let options = MigrateOptions {
        owner_url: &config.database.owner_url,
        ca_file: ca_file(config),
        runtime_role: &role,
        migrations: migrations::ALL,
        clock: &SystemClock,
    };
    stoa_store_postgres::migrate(options).await.map_err(|error| Failure::of(&error, ""))
}
