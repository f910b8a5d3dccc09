//! Opening: the folder, the lock, the schema, the connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use stoa_kernel::clock::Clock;
use stoa_kernel::error::Coded;
use stoa_kernel::id::Ids;
use stoa_kernel::store::StoreError;
use stoa_store::Registry;
use stoa_store::migrations::{Applied, Migration, PlanError, checksum, plan};
use stoa_store::seal::Vault;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// The data folder; it is made when it is not there.
    pub folder: PathBuf,
    /// How many connections read.
    pub readers: usize,
    /// The records that it keeps.
    pub registry: Registry,
    /// Seals columns.
    pub vault: Arc<Vault>,
    /// Numbers events, entries and jobs.
    pub ids: Arc<dyn Ids>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// The changes of the schema.
    pub migrations: &'static [Migration],
    /// Called after events were committed, from the writer's thread: it must not block.
    pub committed: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("folder", &self.folder)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: another process is using this data folder", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be made, or not written to.
    #[error("{}: the data folder cannot be written to", path.display())]
    Unwritable {
        /// What was tried.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no database, or a damaged one.
    #[error("{}: the file is damaged or is not a database of Stoa ({reason})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The schema is not one that this program can work with.
    #[error("{}: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// What is sealed in it does not open by the master keys.
    #[error("{0}")]
    Keys(StoreError),
    /// The disk is full.
    #[error("{}: the disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
}

/// What to do when the master keys are not those that a database was sealed with.
pub const WRONG_KEYS: &str = "configure the master keys that it was sealed with, beside new ones: in master.keys, or in STOA_SECRETS__MASTER_KEYS";

impl Coded for OpenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "data_folder_in_use",
            Self::Unwritable { .. } => "data_folder_unwritable",
            Self::Damaged { .. } => "database_damaged",
            Self::Schema { .. } => "schema_mismatch",
            Self::Keys(_) => "secret_missing",
            Self::Full { .. } => "storage_full",
        }
    }

    fn way_out(&self) -> Option<String> {
        Some(match self {
            Self::Locked { .. } => "stop the other process, or choose another folder with --data".to_owned(),
            Self::Unwritable { .. } => {
                "give this user the right to write there, or choose another folder with --data".to_owned()
            }
            Self::Damaged { .. } => "restore a backup into a new folder with `stoa restore`".to_owned(),
            Self::Schema { source: PlanError::Newer { .. }, .. } => {
                "use the newer version of stoa that wrote it".to_owned()
            }
            Self::Schema { .. } => "use the released version of stoa; its migrations never change".to_owned(),
            Self::Keys(_) => WRONG_KEYS.to_owned(),
            Self::Full { .. } => "free some space and start again".to_owned(),
        })
    }
}

/// The database in a data folder.
pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("stoa.db")
}

/// Takes the folder for this process; the lock ends with the file.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| {
            if source.kind() == io::ErrorKind::StorageFull {
                OpenError::Full { path }
            } else {
                OpenError::Unwritable { path, source }
            }
        }
    };
    std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
    let path = folder.join("stoa.lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unwritable(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unwritable(&path)(source)),
    }
}

fn of(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    move |error| {
        let path = path.clone();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => OpenError::Full { path },
            Some(
                rusqlite::ErrorCode::ReadOnly
                | rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::PermissionDenied,
            ) => OpenError::Unwritable { path, source: io::Error::other(error.to_string()) },
            _ => OpenError::Damaged { path, reason: error.to_string() },
        }
    }
}

/// A connection that may write, set up for durability.
pub(crate) fn writing(path: &Path) -> Result<Connection, OpenError> {
    let fail = of(path);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&fail)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(&fail)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(&fail)?;
    if mode != "wal" {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            reason: format!("the journal is \"{mode}\", not a WAL"),
        });
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; \
             PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 201326592; PRAGMA cache_size = -32768;",
        )
        .map_err(&fail)?;
    prepare_once(&connection).map_err(&fail)?;
    Ok(connection)
}

/// A connection that only reads.
pub(crate) fn reading(path: &Path) -> Result<Connection, OpenError> {
    let fail = of(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&fail)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(&fail)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA mmap_size = 268435456;")
        .map_err(&fail)?;
    prepare_once(&connection).map_err(&fail)?;
    Ok(connection)
}

/// Keeps statements prepared, whatever is bound to them: otherwise SQLite plans anew for every other `LIMIT`.
fn prepare_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(512);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

const REMEMBERED: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number     INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    checksum   TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

/// The migrations that a database remembers.
pub(crate) fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    connection
        .prepare("SELECT number, name, checksum FROM schema_migrations ORDER BY number")?
        .query_map([], |row| Ok(Applied { number: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? }))?
        .collect()
}

/// Brings the schema up to date; returns how many migrations were applied. Each is applied whole or not at all.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &'static [Migration],
    clock: &dyn Clock,
) -> Result<usize, OpenError> {
    let fail = of(path);
    connection.execute_batch(REMEMBERED).map_err(&fail)?;
    let known = applied(connection).map_err(&fail)?;
    let missing = plan(migrations, &known, |migration| migration.sqlite)
        .map_err(|source| OpenError::Schema { path: path.to_owned(), source })?;
    for migration in &missing {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(&fail)?;
        transaction.execute_batch(migration.sqlite).map_err(&fail)?;
        transaction
            .execute(
                "INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
                (migration.number, migration.name, checksum(migration.sqlite), clock.now().0),
            )
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
    }
    Ok(missing.len())
}
