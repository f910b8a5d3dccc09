//! Backup: SQLite's online backup, while the store is in use, verified by opening what was made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;
use stoa_kernel::clock::Micros;
use stoa_kernel::id::{AuditId, EventId};
use stoa_kernel::store::audit::{Chained, Entry, Verifier};
use stoa_kernel::store::event::INSTALLATION_STREAM;
use stoa_store::migrations::Applied;
use stoa_store::seal::Vault;

use crate::keys::one_of_each;
use crate::open::{OpenError, applied, database, reading};

/// What was found in a database that is not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// The last migration.
    pub migration: i64,
    /// The last position of the event log.
    pub position: i64,
    /// The number of events.
    pub events: i64,
    /// The number of audit entries, all of which hold.
    pub audit_entries: i64,
    /// The number of organizations with an audit trail.
    pub trails: i64,
}

fn damaged(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => OpenError::Full { path: path.clone() },
        _ => OpenError::Damaged { path: path.clone(), reason: error.to_string() },
    }
}

/// Copies the database of a data folder, which may be in use, to `to`; verifies the copy.
///
/// # Errors
/// [`OpenError`]: the source or the copy cannot be used.
pub fn copy(folder: &Path, to: &Path) -> Result<Snapshot, OpenError> {
    let from = database(folder);
    let source = reading(&from)?;
    {
        let mut target = Connection::open(to).map_err(damaged(to))?;
        let backup = Backup::new(&source, &mut target).map_err(damaged(&from))?;
        // In one step: a step at a time would start again with every commit in between.
        backup.run_to_completion(i32::MAX, Duration::from_millis(50), None).map_err(damaged(to))?;
        drop(backup);
        target.execute_batch("PRAGMA journal_mode = DELETE").map_err(damaged(to))?;
    }
    inspect(to)
}

/// Tells the log of a database that it was restored: every stream has a new epoch and positions a new era, so that whoever followed
/// knows that what it has seen may not be there, and misses nothing of what comes.
///
/// # Errors
/// [`OpenError`].
pub fn restored(path: &Path, id: EventId, now: Micros) -> Result<(), OpenError> {
    let tell = |connection: &mut Connection| -> rusqlite::Result<()> {
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        let transaction = connection.transaction()?;
        let last: i64 =
            transaction.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| row.get(0))?;
        let told = stoa_store::events::restored(last, id, now);
        transaction.execute("UPDATE streams SET epoch = max(epoch + 1, ?1)", [told.epoch])?;
        transaction.execute(
            "INSERT INTO streams (organization_id, stream, epoch, head) VALUES (0, ?1, ?2, 1) \
             ON CONFLICT (organization_id, stream) DO UPDATE SET head = head + 1",
            (INSTALLATION_STREAM, told.epoch),
        )?;
        transaction.execute(
            "INSERT INTO events (id, position, organization_id, stream, epoch, stream_offset, time, kind, version, actor, \
             aggregate_kind, aggregate_id, payload) \
             SELECT ?1, ?2, 0, stream, epoch, head, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM streams WHERE organization_id = 0 AND stream = ?10",
            (
                told.id, told.position, told.time, told.kind, told.version, told.actor, told.aggregate_kind,
                told.aggregate_id, told.payload, INSTALLATION_STREAM,
            ),
        )?;
        transaction.commit()
    };
    let mut connection = Connection::open(path).map_err(damaged(path))?;
    tell(&mut connection).map_err(damaged(path))
}

/// Tries whether the master keys of a vault open what is sealed in a database that nobody writes.
///
/// # Errors
/// [`OpenError::Damaged`], or which master key is missing or another one.
pub fn opens(path: &Path, vault: &Vault) -> Result<(), OpenError> {
    let keys = one_of_each(&reading(path)?).map_err(damaged(path))?;
    stoa_store::keyring::check(vault, &keys).map_err(OpenError::Keys)
}

/// Looks at a database that nobody writes: its pages, its event log, and every audit trail.
///
/// # Errors
/// [`OpenError::Damaged`] with what does not hold.
pub fn inspect(path: &Path) -> Result<Snapshot, OpenError> {
    let fail = damaged(path);
    let broken = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let connection = reading(path)?;
    let whole: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(&fail)?;
    if whole != "ok" {
        return Err(broken(whole));
    }
    let migration = applied(&connection).map_err(&fail)?.last().map_or(0, |last: &Applied| last.number);
    let (events, position): (i64, i64) = connection
        .query_row("SELECT count(*), coalesce(max(position), 0) FROM events", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(&fail)?;
    let sparse: Option<String> = connection
        .query_row(
            "SELECT s.stream FROM streams s JOIN (SELECT organization_id, stream, count(*) AS n, max(stream_offset) AS last \
             FROM events GROUP BY 1, 2) e USING (organization_id, stream) WHERE e.n <> s.head OR e.last <> s.head LIMIT 1",
            [],
            |row| row.get(0),
        )
        .map(Some)
        .or_else(|error| if error == rusqlite::Error::QueryReturnedNoRows { Ok(None) } else { Err(error) })
        .map_err(&fail)?;
    if let Some(stream) = sparse {
        return Err(broken(format!("the stream {stream} has gaps")));
    }
    let (audit_entries, trails) = verify_trails(&connection).map_err(&fail)?.map_err(broken)?;
    Ok(Snapshot { path: path.to_owned(), migration, position, events, audit_entries, trails })
}

fn verify_trails(connection: &Connection) -> rusqlite::Result<Result<(i64, i64), String>> {
    let mut heads = connection
        .prepare("SELECT organization_id, sequence, hash FROM audit_heads ORDER BY organization_id")?;
    let mut entries = connection.prepare(
        "SELECT sequence, id, time, actor, action, target_kind, target, request, diff, hash \
         FROM audit_entries WHERE organization_id = ?1 ORDER BY sequence",
    )?;
    let heads: Vec<(i64, i64, [u8; 32])> = heads
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (mut count, mut trails) = (0, 0);
    for (organization, sequence, hash) in heads {
        let mut verifier = Verifier::default();
        let mut rows = entries.query([organization])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(1)?;
            let Some(id) = AuditId::from_raw(id.cast_unsigned()) else {
                return Ok(Err(format!(
                    "the audit entry {id} of organization {organization} has no valid id"
                )));
            };
            let entry = Entry {
                id,
                organization,
                time: Micros(row.get(2)?),
                actor: row.get(3)?,
                action: row.get(4)?,
                target_kind: row.get(5)?,
                target: row.get(6)?,
                request: row.get(7)?,
                diff: row.get(8)?,
            };
            if let Err(broken) = verifier.take(&Chained { sequence: row.get(0)?, entry, hash: row.get(9)? }) {
                return Ok(Err(format!("the audit trail of organization {organization}: {broken}")));
            }
            count += 1;
        }
        if let Err(broken) = verifier.finish(sequence, &hash) {
            return Ok(Err(format!("the audit trail of organization {organization}: {broken}")));
        }
        trails += 1;
    }
    Ok(Ok((count, trails)))
}
