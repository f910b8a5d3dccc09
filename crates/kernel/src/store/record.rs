//! What a stored type says about itself: the one description that stores, search, export, erasure and audit read.

use std::marker::PhantomData;

use super::field::Field;
use super::select::Query;
use super::value::{Kind, Value};

/// A type that is stored, one row each. Derive it: `#[derive(Record)]` of `stoa-derive`.
pub trait Record: Sized + Send + Sync + 'static {
    /// Its description.
    const META: &'static RecordMeta;

    /// The values of its columns, in the order of the description.
    fn values(&self) -> Vec<Value>;

    /// The record of a row.
    ///
    /// # Errors
    /// [`Corrupt`]: the row names what it should not hold.
    fn from_values(values: Vec<Value>) -> Result<Self, Corrupt>;

    /// The primary key as people see it: the target of audit entries.
    fn label(&self) -> String;

    /// A query for records of this type.
    #[must_use]
    fn select() -> Query<Self> {
        Query::new()
    }
}

/// The description of a record.
#[derive(Debug)]
pub struct RecordMeta {
    /// The table, the same on every engine.
    pub table: &'static str,
    /// What one record is called: the `aggregate.type` of its events, the target of its audit entries.
    pub entity: &'static str,
    /// In the order in which values are given and read.
    pub columns: &'static [ColumnMeta],
    /// The columns of the primary key, by index.
    pub key: &'static [usize],
    /// Whose it is.
    pub tenancy: Tenancy,
    /// The column that counts its changes, for optimistic locking.
    pub version: Option<usize>,
    /// Its unique keys beside the primary one.
    pub unique: &'static [UniqueMeta],
    /// Whether its changes are entered in the audit trail. Only the store's own bookkeeping is not.
    pub audited: bool,
    /// How long it is kept.
    pub retention: Retention,
    /// The column with the time from which on the janitor removes it.
    pub expires: Option<usize>,
}

/// Whose a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// Of the organization that this column names. Nobody else can reach it.
    Organization(usize),
    /// Of the installation: reached only by the system's scope.
    System,
}

/// How long a class of records is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// As long as the account that it belongs to.
    Account,
    /// As long as the audit trail.
    Audit,
    /// As long as the event log.
    Event,
    /// Hours to days: bookkeeping that cleans up after itself.
    Short,
}

impl Retention {
    /// The name of the class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Audit => "audit",
            Self::Event => "event",
            Self::Short => "short",
        }
    }

    /// How long that is.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Account => "as long as the account that it belongs to",
            Self::Audit => "as long as the audit trail",
            Self::Event => "as long as the event log",
            Self::Short => "hours to days, then it is removed by itself",
        }
    }
}

/// The description of a column.
#[derive(Debug)]
pub struct ColumnMeta {
    /// Its name, the same on every engine.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How the audit trail shows a value of it.
    pub shown: fn(&Value) -> serde_json::Value,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it holds personal data: redacted in audit and logs, found by exports and erasure.
    pub personal: bool,
    /// Whether it is sealed before it is stored. It is `Bytes` then, whatever `kind` says, and cannot be searched.
    pub encrypted: bool,
    /// Whether search indexes it.
    pub searchable: bool,
    /// Why it is kept, for the data registry.
    pub about: &'static str,
    /// Whose it is when it is personal: the person that it is about.
    pub subject: &'static str,
}

impl ColumnMeta {
    /// What the column of the table holds: sealed values are bytes.
    #[must_use]
    pub const fn stored_kind(&self) -> Kind {
        if self.encrypted { Kind::Bytes } else { self.kind }
    }
}

/// A unique key.
#[derive(Debug)]
pub struct UniqueMeta {
    /// The name of the constraint, the same on every engine.
    pub name: &'static str,
    /// Its columns, by index.
    pub columns: &'static [usize],
}

impl RecordMeta {
    /// The index of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The index of the column with the organization.
    #[must_use]
    pub const fn tenant(&self) -> Option<usize> {
        match self.tenancy {
            Tenancy::Organization(column) => Some(column),
            Tenancy::System => None,
        }
    }

    /// Whether any column is sealed.
    #[must_use]
    pub fn has_sealed(&self) -> bool {
        self.columns.iter().any(|column| column.encrypted)
    }
}

/// A typed column of a record, as the derive names it: `Organization::SLUG`.
pub struct Column<R, T> {
    /// Its index.
    pub index: usize,
    types: PhantomData<fn() -> (R, T)>,
}

impl<R: Record, T: Field> Column<R, T> {
    /// The column at `index`; for the derive.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self { index, types: PhantomData }
    }
}

impl<R, T> Clone for Column<R, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R, T> Copy for Column<R, T> {}

/// A row that is not what its type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row {key} of {table} is corrupt: {column}: {reason}")]
pub struct Corrupt {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The primary key.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

/// Reads the values of a row one by one; for the derive.
#[derive(Debug)]
#[doc(hidden)]
pub struct Values {
    meta: &'static RecordMeta,
    values: std::vec::IntoIter<Value>,
    key: Option<i64>,
    next: usize,
}

impl Values {
    #[doc(hidden)]
    #[must_use]
    pub fn new(meta: &'static RecordMeta, values: Vec<Value>) -> Self {
        let key = meta.key.last().and_then(|&key| values.get(key)).and_then(Value::integer);
        Self { meta, values: values.into_iter(), key, next: 0 }
    }

    #[doc(hidden)]
    pub fn field<T: Field>(&mut self) -> Result<T, Corrupt> {
        let index = self.next;
        self.next += 1;
        T::from_value(self.values.next().unwrap_or(Value::Null)).map_err(|reason| Corrupt {
            table: self.meta.table,
            column: self.meta.columns.get(index).map_or("", |column| column.name),
            key: self.key.map_or_else(|| "?".to_owned(), |key| key.to_string()),
            reason,
        })
    }
}
