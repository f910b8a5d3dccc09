//! Secrets as a port: bytes that nobody can guess.

/// The machine gives no random bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no random bytes: {0}")]
pub struct NoEntropy(pub String);

/// The port through which code draws secrets.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with what nobody can guess.
    ///
    /// # Errors
    /// [`NoEntropy`].
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

impl dyn Entropy + '_ {
    /// So many bytes.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
