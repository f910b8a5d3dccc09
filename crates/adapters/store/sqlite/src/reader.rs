//! Readers: connections that are used inline. A read takes microseconds, less than handing it to another thread would.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use stoa_kernel::context::Scope;
use stoa_kernel::store::insight::Pool;
use stoa_kernel::store::{Kind, RecordMeta, StoreError, StoreErrorKind, Value};
use stoa_store::Registry;

use crate::failure;
use crate::open::{OpenError, reading};
use crate::security::{ScopeCell, authorize_reader, install_scope, install_views};

/// A value on its way into a statement.
pub(crate) struct Bind<'v>(pub(crate) &'v Value);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Boolean(value) => ValueRef::Integer(i64::from(*value)),
            Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Reads the column at `index` as `kind`.
pub(crate) fn value(row: &Row<'_>, index: usize, kind: Kind) -> rusqlite::Result<Value> {
    let found = row.get_ref(index)?;
    Ok(match (found, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(value), Kind::Boolean) => Value::Boolean(value != 0),
        (ValueRef::Integer(value), _) => Value::Integer(value),
        (ValueRef::Text(bytes), Kind::Json) => Value::Json(text(index, bytes)?),
        (ValueRef::Text(bytes), _) => Value::Text(text(index, bytes)?),
        (ValueRef::Blob(bytes), _) => Value::Bytes(bytes.to_vec()),
        (ValueRef::Real(_), _) => {
            return Err(rusqlite::Error::InvalidColumnType(
                index,
                "a number".to_owned(),
                rusqlite::types::Type::Real,
            ));
        }
    })
}

fn text(index: usize, bytes: &[u8]) -> rusqlite::Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// One connection and the scope that it reads in.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    scope: ScopeCell,
}

impl Reader {
    fn open(path: &Path, registry: &Registry) -> Result<Self, OpenError> {
        let mut connection = reading(path)?;
        let damaged =
            |error: rusqlite::Error| OpenError::Damaged { path: path.to_owned(), reason: error.to_string() };
        let scope = install_scope(&connection).map_err(damaged)?;
        // Views are temporary objects, which a query-only connection may not make.
        connection.execute_batch("PRAGMA query_only = OFF").map_err(damaged)?;
        install_views(&connection, registry).map_err(damaged)?;
        connection.execute_batch("PRAGMA query_only = ON").map_err(damaged)?;
        authorize_reader(&mut connection).map_err(damaged)?;
        Ok(Self { connection, scope })
    }

    /// The rows of a statement that was not rendered. It names no query of its own: SQLite tells the authorizer that name where it tells
    /// that of a view, so that a query could pass for one.
    pub(crate) fn rows_by_hand(&self, sql: &str) -> Result<Vec<Vec<Value>>, StoreError> {
        if sql.to_ascii_lowercase().contains("with") {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                "a reader's statement names no query of its own",
            ));
        }
        self.rows(sql, &[], &std::iter::once(Kind::Integer), None)
    }

    /// The rows of a statement, as values of these kinds.
    pub(crate) fn rows(
        &self,
        sql: &str,
        values: &[Value],
        kinds: &(impl Iterator<Item = Kind> + Clone),
        meta: Option<&RecordMeta>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Vec<Value>>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            for (index, value) in values.iter().enumerate() {
                statement.raw_bind_parameter(index + 1, Bind(value))?;
            }
            let mut found = Vec::new();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                found.push(
                    kinds
                        .clone()
                        .enumerate()
                        .map(|(index, kind)| value(row, index, kind))
                        .collect::<rusqlite::Result<_>>()?,
                );
            }
            Ok(found)
        };
        read().map_err(|error| failure::of(&error, meta))
    }
}

/// All readers.
pub(crate) struct Readers {
    all: Vec<Mutex<Reader>>,
    next: AtomicUsize,
}

/// A reader within a scope; outside of it, nothing can be read.
pub(crate) struct Scoped<'r>(MutexGuard<'r, Reader>);

impl std::ops::Deref for Scoped<'_> {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.0
    }
}

impl Drop for Scoped<'_> {
    fn drop(&mut self) {
        self.0.scope.clear();
    }
}

impl Readers {
    pub(crate) fn open(path: &Path, registry: &Registry, count: usize) -> Result<Self, OpenError> {
        let all = (0..count.max(1))
            .map(|_| Reader::open(path, registry).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { all, next: AtomicUsize::new(0) })
    }

    /// How many there are, and how many are free at the moment.
    pub(crate) fn pool(&self) -> Pool {
        let idle = self.all.iter().filter(|reader| reader.try_lock().is_ok()).count();
        Pool { open: self.all.len(), max: self.all.len(), idle, waiting: 0 }
    }

    /// A reader that is free, or the next to become so.
    pub(crate) fn within(&self, scope: Scope) -> Result<Scoped<'_>, StoreError> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.all.len();
        let mut free = None;
        for step in 0..count {
            let Some(reader) = self.all.get((start + step) % count) else { continue };
            match reader.try_lock() {
                Ok(guard) => free = Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => free = Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => continue,
            }
            break;
        }
        let guard = match free {
            Some(guard) => guard,
            None => {
                let reader = self.all.get(start % count);
                reader
                    .ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "there is no reader"))?
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
            }
        };
        guard.scope.set(scope);
        Ok(Scoped(guard))
    }
}
