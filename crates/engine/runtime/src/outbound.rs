//! Every request that we make to somebody else, as a port. Whoever implements it connects to public addresses alone.

use stoa_kernel::store::BoxFuture;

/// A request. Nothing else can be said: no method but these, no redirects, no proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetch {
    /// `https://host/path`.
    pub url: String,
    /// Headers beside those of the connection.
    pub headers: Vec<(String, String)>,
    /// The body and its media type: it is a POST then, and a GET without.
    pub body: Option<(&'static str, String)>,
    /// The most bytes of the answer.
    pub bytes_max: usize,
    /// Whether an answer that has more is cut off there, instead of being none.
    pub is_excerpt: bool,
    /// The most that all of it may take, in milliseconds.
    pub timeout_ms: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfetched {
    /// The address must not be asked.
    Refused(String),
    /// It did not answer, not in time, or too much.
    Failed(String),
}

impl std::fmt::Display for Unfetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the address is refused: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Asks somebody else.
pub trait Outbound: Send + Sync {
    /// One request, one answer.
    ///
    /// # Errors
    /// [`Unfetched`].
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Unfetched>>;

    /// Whether an address could be asked at all, without asking: for whoever registers one.
    ///
    /// # Errors
    /// [`Unfetched::Refused`].
    fn check(&self, url: &str) -> Result<(), Unfetched>;
}
