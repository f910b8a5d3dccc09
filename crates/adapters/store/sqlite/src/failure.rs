//! SQLite's errors as those of the port.

use rusqlite::ffi::{self, ErrorCode};
use stoa_kernel::store::{RecordMeta, StoreError, StoreErrorKind};
use stoa_store::bookkeeping::IdempotencyKey;

use stoa_kernel::store::Record as _;

/// What a statement about `meta` ran into.
pub(crate) fn of(error: &rusqlite::Error, meta: Option<&RecordMeta>) -> StoreError {
    if let rusqlite::Error::SqlInputError { msg, .. } = error {
        return StoreError::new(
            StoreErrorKind::Invalid,
            format!("a statement that the database refuses: {msg}"),
        );
    }
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return StoreError::new(
            StoreErrorKind::Corrupt,
            format!("the database answered what was not expected: {error}"),
        );
    };
    let message = message.as_deref().unwrap_or("");
    match code.code {
        ErrorCode::ConstraintViolation => constraint(code.extended_code, message, meta),
        ErrorCode::DiskFull => StoreError::new(StoreErrorKind::Full, "the disk is full"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            StoreError::new(StoreErrorKind::ReadOnly, "the data folder does not accept writes")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreError::new(StoreErrorKind::Corrupt, format!("the database file is damaged: {message}"))
        }
        ErrorCode::OperationInterrupted => {
            StoreError::new(StoreErrorKind::Deadline, "the query took too long")
        }
        ErrorCode::AuthorizationForStatementDenied => {
            StoreError::new(StoreErrorKind::Invalid, format!("a statement outside the scope: {message}"))
        }
        _ => StoreError::new(StoreErrorKind::Unavailable, format!("the database failed: {message}")),
    }
}

fn constraint(extended: i32, message: &str, meta: Option<&RecordMeta>) -> StoreError {
    if !matches!(
        extended,
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID
    ) {
        return StoreError::new(
            StoreErrorKind::Invalid,
            format!("a value that the schema refuses: {message}"),
        );
    }
    // "UNIQUE constraint failed: table.column, table.column"
    let columns: Vec<&str> = message
        .rsplit(": ")
        .next()
        .unwrap_or("")
        .split(", ")
        .map(|column| column.rsplit('.').next().unwrap_or(column))
        .collect();
    let Some(meta) = meta else {
        return StoreError::new(StoreErrorKind::Duplicate, "a key is taken");
    };
    if meta.table == IdempotencyKey::META.table {
        return StoreError::new(StoreErrorKind::Replayed, "the idempotency key has been used")
            .by("idempotency_keys_pkey");
    }
    let named = |indexes: &[usize]| {
        indexes.len() == columns.len()
            && indexes
                .iter()
                .all(|&index| meta.columns.get(index).is_some_and(|column| columns.contains(&column.name)))
    };
    let name = meta
        .unique
        .iter()
        .find(|unique| named(unique.columns))
        .map_or_else(|| format!("{}_pkey", meta.table), |unique| unique.name.to_owned());
    StoreError::new(
        StoreErrorKind::Duplicate,
        format!("a {} with this {} exists already", meta.entity, columns.join(" and ")),
    )
    .by(name)
}
