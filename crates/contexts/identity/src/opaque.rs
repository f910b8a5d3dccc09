//! Secrets that we give out and know again: the id of what they belong to, and 256 random bits, of which only the SHA-256 is kept.
//!
//! A secret with that much entropy needs no slow hash; it is compared in constant time.

use sha2::{Digest as _, Sha256};
use stoa_kernel::entropy::{Entropy, NoEntropy};
use stoa_kernel::id::{Id, Kind, crockford, parse_crockford};
use subtle::ConstantTimeEq as _;

/// 32 bytes of SHA-256.
pub(crate) type Hash = [u8; 32];

/// A secret as it is given out: shown once, kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// The SHA-256 of a text.
pub(crate) fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new secret of `id`: `<prefix>_<13 digits>_<64 hexadecimal digits>`, and its hash.
pub(crate) fn mint<K: Kind>(
    entropy: &dyn Entropy,
    prefix: &str,
    id: Id<K>,
) -> Result<(Secret, Hash), NoEntropy> {
    let random = hex(&entropy.bytes::<32>()?);
    let text = format!("{prefix}_{}_{random}", crockford(id.raw()));
    let hash = hash(&text);
    Ok((Secret(text), hash))
}

/// The id that a secret names, and its hash.
pub(crate) fn read<K: Kind>(prefix: &str, text: &str) -> Option<(Id<K>, Hash)> {
    let rest = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let (id, random) = rest.split_once('_')?;
    let is_whole = random.len() == 64 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = Id::from_raw(parse_crockford(id)?)?;
    is_whole.then(|| (id, hash(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_kernel::id::TicketId;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(7);
            Ok(())
        }
    }

    #[test]
    fn a_secret_is_known_again_and_nothing_else_is() {
        let id = TicketId::from_raw(77).unwrap();
        let (secret, minted) = mint(&Fixed, "stoa_tkt", id).unwrap();
        assert_eq!(read("stoa_tkt", secret.reveal()), Some((id, minted)));
        for bad in
            ["", "stoa_tkt", "stoa_tkt_1_2", &secret.reveal().replace("tkt", "inv"), &secret.reveal()[..60]]
        {
            assert_eq!(read::<stoa_kernel::id::Ticket>("stoa_tkt", bad), None, "{bad}");
        }
        assert_eq!(format!("{secret:?}"), "[secret]");
    }
}
