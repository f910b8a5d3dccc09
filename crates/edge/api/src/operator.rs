//! The operator token: lets whoever runs the machine in, without an account. `stoa serve` prints it.

/// The hash of the token; the token itself is not kept.
#[derive(Clone)]
pub struct OperatorToken(blake3::Hash);

impl OperatorToken {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    /// Whether this is the token; takes the same time for every wrong one.
    pub(crate) fn is(&self, token: &str) -> bool {
        blake3::hash(token.as_bytes()) == self.0
    }
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorToken")
    }
}
