//! PostgreSQL's errors as those of the port.

use stoa_kernel::store::{StoreError, StoreErrorKind};
use tokio_postgres::error::SqlState;

/// Raised by `stoa_expect`: a statement touched another number of rows than it states.
pub(crate) const UNEXPECTED_ROWS: &str = "ST001";

/// Whether a transaction may be tried again as it is.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE]
            .contains(code)
    })
}

/// What a statement ran into.
pub(crate) fn of(error: &tokio_postgres::Error) -> StoreError {
    let new = |kind, message: String| StoreError::new(kind, message);
    let Some(db) = error.as_db_error() else {
        return new(
            StoreErrorKind::Unavailable,
            format!("the connection to the database failed: {}", chain(error)),
        );
    };
    let constraint = db.constraint().unwrap_or("").to_owned();
    let code = db.code();
    if code.code() == UNEXPECTED_ROWS {
        let message = if constraint.ends_with("_version") {
            "the record was changed or removed meanwhile".to_owned()
        } else {
            format!("{}: {}", constraint.replace('_', " "), db.message())
        };
        return new(StoreErrorKind::Conflict, message).by(constraint);
    }
    match *code {
        SqlState::UNIQUE_VIOLATION if constraint == "idempotency_keys_pkey" => {
            new(StoreErrorKind::Replayed, "the idempotency key has been used".to_owned()).by(constraint)
        }
        SqlState::UNIQUE_VIOLATION => {
            new(StoreErrorKind::Duplicate, "something with this key exists already".to_owned()).by(constraint)
        }
        SqlState::QUERY_CANCELED => new(StoreErrorKind::Deadline, "the statement took too long".to_owned()),
        SqlState::DISK_FULL => new(StoreErrorKind::Full, "the disk of the database is full".to_owned()),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            new(StoreErrorKind::ReadOnly, "the database does not accept writes".to_owned())
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            new(StoreErrorKind::Corrupt, format!("the database is damaged: {}", db.message()))
        }
        _ if is_transient(error) || is_operational(code) => {
            new(StoreErrorKind::Unavailable, format!("the database refused for the moment: {}", db.message()))
        }
        _ => {
            new(StoreErrorKind::Invalid, format!("the database refused: {} ({})", db.message(), code.code()))
        }
    }
}

/// Classes of errors that are about the server, not about the statement: connection, resources, operator, system.
fn is_operational(code: &SqlState) -> bool {
    ["08", "53", "57", "58", "25", "28", "3D"].iter().any(|class| code.code().starts_with(class))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
