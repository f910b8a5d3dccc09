//! Opening: the pool, and whether the role and the schema are fit to be used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::failure;
use crate::target::{Target, parse};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use stoa_kernel::clock::Clock;
use stoa_kernel::error::Coded;
use stoa_kernel::id::Ids;
use stoa_kernel::store::StoreError;
use stoa_store::Registry;
use stoa_store::migrations::{Applied, Migration, PlanError, plan};
use stoa_store::seal::Vault;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// The address of the database, with the runtime role.
    pub url: String,
    /// Authorities that its certificate is verified by; those that the system trusts, if there are none.
    pub ca_file: Option<PathBuf>,
    /// The most connections.
    pub connections: usize,
    /// Whether statements are prepared by name. Off behind a pooler in transaction mode that does not know of them.
    pub prepared: bool,
    /// Whether to listen for notifications. Off behind a pooler in transaction mode.
    pub notifications: bool,
    /// A statement may take this long.
    pub statement_timeout: Duration,
    /// Waiting for a connection, or for one to be made, may take this long.
    pub connect_timeout: Duration,
    /// The records that it keeps.
    pub registry: Registry,
    /// Seals columns.
    pub vault: Arc<Vault>,
    /// Numbers events, entries and jobs.
    pub ids: Arc<dyn Ids>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// The changes of the schema that must have been applied.
    pub migrations: &'static [Migration],
    /// Called when events may have been committed, here or elsewhere: it must not block.
    pub committed: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none.
    #[error("the address of the database cannot be read: {0}")]
    Address(String),
    /// It cannot be reached, or refuses.
    #[error("the database cannot be used: {0}")]
    Unreachable(StoreError),
    /// The role could look past row-level security.
    #[error("the role \"{role}\" is {why}; with it the database could not keep organizations apart")]
    RoleTooStrong {
        /// The role.
        role: String,
        /// What it may.
        why: &'static str,
    },
    /// Migrations are missing, or not those of this program.
    #[error("the schema is not up to date: {0} migrations are missing")]
    Behind(usize),
    /// The schema is not one that this program can work with.
    #[error(transparent)]
    Schema(#[from] PlanError),
}

impl Coded for OpenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Address(_) => "config_invalid",
            Self::Unreachable(_) => "database_unavailable",
            Self::RoleTooStrong { .. } => "database_role_too_strong",
            Self::Behind(_) | Self::Schema(_) => "schema_mismatch",
        }
    }

    fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::Address(_) => "write postgres://user:password@host:5432/database".to_owned(),
            Self::Unreachable(_) => {
                "check that the server runs, and the address, role and password in DATABASE_URL".to_owned()
            }
            Self::RoleTooStrong { .. } => {
                "make a plain role (CREATE ROLE stoa LOGIN PASSWORD '…'), put it into DATABASE_URL, and the \
                                           owner into DATABASE_OWNER_URL"
                    .to_owned()
            }
            Self::Behind(_) => "run `stoa migrate` with the owner in DATABASE_OWNER_URL".to_owned(),
            Self::Schema(PlanError::Newer { .. }) => "use the newer version of stoa that made it".to_owned(),
            Self::Schema(_) => "use the released version of stoa; its migrations never change".to_owned(),
        })
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Unreachable(failure::of(&error))
    }
}

/// The role of an address, and what of the address may be shown: host, port and database.
#[must_use]
pub fn describe(url: &str) -> Option<(String, String)> {
    let config = parse(url).ok()?;
    let host = config.get_hosts().first().map_or_else(
        || "localhost".to_owned(),
        |host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        },
    );
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let role = config.get_user().unwrap_or("").to_owned();
    let database = config.get_dbname().unwrap_or(&role);
    let shown = format!("{host}:{port}/{database}");
    Some((role, shown))
}

/// The pool of an address.
pub(crate) fn pool(options: &Options, target: Target) -> Result<Pool, OpenError> {
    let Target { mut config, tls } = target;
    config.connect_timeout(options.connect_timeout).application_name("stoa");
    if options.prepared {
        // A pooler takes no options; there every transaction says it for itself.
        config.options(format!("-c statement_timeout={}", options.statement_timeout.as_millis()));
    }
    let manager =
        Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(options.connections.max(2))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(options.connect_timeout))
        .create_timeout(Some(options.connect_timeout))
        .build()
        .map_err(|error| OpenError::Address(error.to_string()))
}

/// Refuses a role that could look past row-level security, and a schema that is not up to date.
pub(crate) async fn check(connection: &Object, options: &Options) -> Result<(), OpenError> {
    let tables: Vec<&str> = options.registry.iter().map(|meta| meta.table).collect();
    let role = connection
        .query_typed(
            "SELECT r.rolname::text, r.rolsuper, r.rolbypassrls, EXISTS (SELECT FROM pg_class c WHERE pg_has_role(r.oid, c.relowner, 'MEMBER') \
             AND c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY($1)) \
             FROM pg_roles r WHERE r.rolname = current_user",
            &[(&tables, tokio_postgres::types::Type::TEXT_ARRAY)],
        )
        .await?;
    let role = role.first().ok_or_else(|| OpenError::Address("the role has no name".to_owned()))?;
    let name: String = role.try_get(0)?;
    for (column, why) in
        [(1, "a superuser"), (2, "allowed to bypass row-level security"), (3, "the owner of the tables")]
    {
        if role.try_get::<_, bool>(column)? {
            return Err(OpenError::RoleTooStrong { role: name, why });
        }
    }
    let known = applied(connection).await?;
    let missing = plan(options.migrations, &known, |migration| migration.postgres)?;
    if missing.is_empty() { Ok(()) } else { Err(OpenError::Behind(missing.len())) }
}

/// The migrations that a database remembers; none when it remembers nothing.
pub(crate) async fn applied(client: &tokio_postgres::Client) -> Result<Vec<Applied>, tokio_postgres::Error> {
    let there = client.query_typed("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?;
    if !there.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed("SELECT number, name, checksum FROM schema_migrations ORDER BY number", &[])
        .await?;
    rows.iter()
        .map(|row| Ok(Applied { number: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? }))
        .collect()
}
