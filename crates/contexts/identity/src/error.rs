//! Why nothing was done.

use stoa_kernel::entropy::NoEntropy;
use stoa_kernel::error::Coded;
use stoa_kernel::id::IssueError;
use stoa_kernel::store::{StoreError, StoreErrorKind};

/// Why nothing was done to users, sessions, members and what belongs to them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Whoever asked could not show who they are. It never says why.
    #[error("the credentials are not right")]
    InvalidCredentials,
    /// The session or the token is over, or never was.
    #[error("the session is over; sign in again")]
    SignedOut,
    /// A second factor is needed first.
    #[error("a second factor is needed before anything else")]
    MfaPending,
    /// The organization asks its members for a second factor, and this user has none.
    #[error("the organization asks its members for a second factor; enrol one")]
    MfaRequired,
    /// It was too long ago that the user showed who they are.
    #[error("sign in again: this needs an authentication within the last ten minutes")]
    ReauthenticationRequired,
    /// The role of the caller does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// There is none, or none that the caller may know of.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Somebody else has this name.
    #[error("{0}")]
    Duplicate(String),
    /// It is not in a state for that.
    #[error("{0}")]
    WrongState(String),
    /// Nobody can register by themselves.
    #[error("nobody registers here by themselves: registration is by invitation, or closed")]
    RegistrationClosed,
    /// A link, an invitation or a challenge is over, was used, or never was.
    #[error("this is over or was used already; ask for a new one")]
    LinkInvalid,
    /// The code of an authenticator app or a recovery code is wrong, or was used.
    #[error("the code is not right, or was used already")]
    CodeInvalid,
    /// Too many wrong codes.
    #[error("too many wrong codes; wait {0} seconds")]
    FactorLocked(u32),
    /// It would leave the user without a way to sign in.
    #[error("this is the last way to sign in; add another one first")]
    LastSignInMethod,
    /// It would leave the organization without an owner.
    #[error("an organization always has an owner; make somebody else one first")]
    LastOwner,
    /// A limit of the plan.
    #[error("there is a limit of {limit} {what}, and {used} are in use or asked for")]
    QuotaExceeded {
        /// What there is a limit of.
        what: &'static str,
        /// The limit.
        limit: i64,
        /// How many are in use.
        used: i64,
    },
    /// Who vouches for accounts did not do it, or in a way that cannot be trusted.
    #[error("the sign-in with the provider was refused: {0}")]
    ProviderRefused(String),
    /// It cannot be asked.
    #[error("the provider does not answer")]
    ProviderUnavailable,
    /// A program waits for a person to let it in.
    #[error("nobody has let this in yet; ask again in {0} seconds")]
    AuthorizationPending(u32),
    /// Fields that do not hold what they must: the field, and what it takes.
    #[error("{} of the fields cannot be taken", .0.len())]
    Invalid(Vec<(&'static str, String)>),
    /// Too much is under way.
    #[error("too many sign-ins are under way")]
    Busy,
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// One field that cannot be taken.
    pub(crate) fn field(pointer: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![(pointer, message.into())])
    }
}

impl From<NoEntropy> for Error {
    fn from(error: NoEntropy) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Unavailable, error.to_string()))
    }
}

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Unavailable, error.to_string()))
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::SignedOut => "not_authenticated",
            Self::MfaPending => "mfa_pending",
            Self::MfaRequired => "mfa_required",
            Self::ReauthenticationRequired => "reauthentication_required",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "record_not_found",
            Self::Duplicate(_) => "duplicate",
            Self::WrongState(_) => "wrong_state",
            Self::RegistrationClosed => "registration_closed",
            Self::LinkInvalid => "link_invalid",
            Self::CodeInvalid => "code_invalid",
            Self::FactorLocked(_) => "factor_locked",
            Self::LastSignInMethod => "last_sign_in_method",
            Self::LastOwner => "last_owner",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::ProviderRefused(_) => "provider_refused",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::AuthorizationPending(_) => "authorization_pending",
            Self::Invalid(_) => "validation_failed",
            Self::Busy => "overloaded",
            Self::Store(error) => error.code(),
        }
    }
}
