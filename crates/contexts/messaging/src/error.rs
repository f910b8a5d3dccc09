//! Why nothing was done.

use stoa_kernel::entropy::NoEntropy;
use stoa_kernel::error::Coded;
use stoa_kernel::id::IssueError;
use stoa_kernel::store::{StoreError, StoreErrorKind};

/// Why nothing was done to webhooks and notifications.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none that the caller may know of.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is not in a state in which that can be done.
    #[error("{0}")]
    WrongState(String),
    /// A webhook of somebody else that cannot be believed. It never says why.
    #[error("the webhook cannot be verified")]
    Unverified,
    /// Fields that do not hold what they must: the field, and what it takes.
    #[error("{} of the fields cannot be taken", .0.len())]
    Invalid(Vec<(&'static str, String)>),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Unavailable, error.to_string()))
    }
}

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Overloaded, error.to_string()))
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "record_not_found",
            Self::WrongState(_) => "wrong_state",
            Self::Unverified => "webhook_unverified",
            Self::Invalid(_) => "validation_failed",
            Self::Store(error) => error.code(),
        }
    }
}
