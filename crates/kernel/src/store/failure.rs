//! What can go wrong in a store, the same for every engine.

use crate::error::Coded;

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// A guard does not hold, or a record is not at the version that the commit expects. Nothing was changed.
    Conflict,
    /// A unique key is taken. Nothing was changed.
    Duplicate,
    /// The commit or select is wrong in itself: another organization's record, a text with NUL. A defect of the caller.
    Invalid,
    /// A stored row is not what its type says.
    Corrupt,
    /// The idempotency key of the commit has been used. Nothing was changed; the first reply can be read.
    Replayed,
    /// The database cannot be reached, or gave up. Trying again may help.
    Unavailable,
    /// Too many calls wait already, or this process cannot number anything now. Nothing was changed; trying again helps.
    Overloaded,
    /// The deadline of the context passed first.
    Deadline,
    /// The disk is full. Reads go on.
    Full,
    /// The database is open for reading alone.
    ReadOnly,
}

impl StoreErrorKind {
    /// Whether the store may take the same later: it is away, has too much to do, or has no room. Whoever asked has done nothing wrong.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Unavailable | Self::Overloaded | Self::Full | Self::ReadOnly)
    }
}

/// A store refused or failed. Whatever the kind, nothing of the commit was applied — except for [`StoreErrorKind::Unavailable`],
/// when the connection broke while the answer was awaited: then it is not known, and an idempotency key makes trying again safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// The kind.
    pub kind: StoreErrorKind,
    /// The unique key or guard that refused, by the name that it has on every engine.
    pub constraint: Option<String>,
    message: String,
}

impl StoreError {
    /// An error of a kind, with a sentence for people.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, constraint: None, message: message.into() }
    }

    /// The same, refused by a named constraint.
    #[must_use]
    pub fn by(mut self, constraint: impl Into<String>) -> Self {
        self.constraint = Some(constraint.into());
        self
    }

    /// Whether the constraint of this name refused.
    #[must_use]
    pub fn is_by(&self, constraint: &str) -> bool {
        self.constraint.as_deref() == Some(constraint)
    }
}

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self.kind {
            StoreErrorKind::Conflict => "conflict",
            StoreErrorKind::Duplicate => "duplicate",
            StoreErrorKind::Replayed => "idempotency_key_reused",
            StoreErrorKind::Invalid | StoreErrorKind::Corrupt => "internal",
            StoreErrorKind::Unavailable => "database_unavailable",
            StoreErrorKind::Overloaded => "overloaded",
            StoreErrorKind::Deadline => "deadline_exceeded",
            StoreErrorKind::Full => "storage_full",
            StoreErrorKind::ReadOnly => "storage_read_only",
        }
    }
}

impl From<super::record::Corrupt> for StoreError {
    fn from(corrupt: super::record::Corrupt) -> Self {
        Self::new(StoreErrorKind::Corrupt, corrupt.to_string())
    }
}
