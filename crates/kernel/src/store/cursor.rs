//! Cursors: where a list continues, opaque, signed, and of use for the same query alone.
//!
//! `base64url( fingerprint of the query (8) ‖ values ‖ BLAKE3 keyed hash of both (16) )`

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::value::Value;

const MAC_BYTES: usize = 16;
const PRINT_BYTES: usize = 8;

/// The key that cursors are signed with; the same in every process of an installation.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

/// A place in a list.
pub type Cursor = Vec<Value>;

/// A text that is no cursor of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It was altered, cut, or made elsewhere.
    #[error("the cursor is not one that this server has made")]
    Forged,
    /// It belongs to a list with other filters or another order.
    #[error("the cursor belongs to another list: filters and order must be the same on every page")]
    OtherQuery,
}

impl CursorKey {
    /// A key for cursors that is derived from a secret of the installation.
    #[must_use]
    pub fn derived(secret: &[u8]) -> Self {
        Self(blake3::derive_key("stoa 2026-11 list cursors", secret))
    }

    /// Seals a place of the query with this fingerprint.
    #[must_use]
    pub fn seal(&self, fingerprint: u64, place: &[Value]) -> String {
        let mut bytes = fingerprint.to_le_bytes().to_vec();
        place.iter().for_each(|value| write(&mut bytes, value));
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a cursor of the query with this fingerprint.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn open(&self, fingerprint: u64, cursor: &str) -> Result<Cursor, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Forged)?;
        let (body, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(CursorError::Forged)?;
        // blake3's hashes compare in constant time.
        let is_ours = blake3::keyed_hash(&self.0, body)
            .as_bytes()
            .first_chunk::<MAC_BYTES>()
            .is_some_and(|own| own.iter().zip(mac).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0);
        let (print, mut rest) = body.split_first_chunk::<PRINT_BYTES>().ok_or(CursorError::Forged)?;
        if !is_ours {
            return Err(CursorError::Forged);
        }
        if u64::from_le_bytes(*print) != fingerprint {
            return Err(CursorError::OtherQuery);
        }
        let mut place = Vec::new();
        while !rest.is_empty() {
            place.push(read(&mut rest).ok_or(CursorError::Forged)?);
        }
        Ok(place)
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let hash = blake3::keyed_hash(&self.0, bytes);
        hash.as_bytes().first_chunk::<MAC_BYTES>().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey")
    }
}

fn write(bytes: &mut Vec<u8>, value: &Value) {
    let mut sized = |tag: u8, content: &[u8]| {
        bytes.push(tag);
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(content);
    };
    match value {
        Value::Null => bytes.push(0),
        Value::Integer(value) => {
            bytes.push(1);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        Value::Boolean(value) => bytes.extend_from_slice(&[2, u8::from(*value)]),
        Value::Text(text) => sized(3, text.as_bytes()),
        Value::Bytes(content) => sized(4, content),
        Value::Json(text) => sized(5, text.as_bytes()),
    }
}

fn read(rest: &mut &[u8]) -> Option<Value> {
    let (&tag, after) = rest.split_first()?;
    *rest = after;
    let mut take = |count: usize| -> Option<&[u8]> {
        let (taken, after) = rest.split_at_checked(count)?;
        *rest = after;
        Some(taken)
    };
    Some(match tag {
        0 => Value::Null,
        1 => Value::Integer(i64::from_le_bytes(take(8)?.try_into().ok()?)),
        2 => Value::Boolean(*take(1)?.first()? == 1),
        3..=5 => {
            let length = u32::from_le_bytes(take(4)?.try_into().ok()?);
            let content = take(usize::try_from(length).ok()?)?.to_vec();
            match tag {
                4 => Value::Bytes(content),
                3 => Value::Text(String::from_utf8(content).ok()?),
                _ => Value::Json(String::from_utf8(content).ok()?),
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            any::<bool>().prop_map(Value::Boolean),
            ".*".prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn a_cursor_opens_for_its_own_query_and_no_other(place in prop::collection::vec(value(), 0..4), print: u64, other: u64) {
            let key = CursorKey::derived(b"a secret");
            let cursor = key.seal(print, &place);
            prop_assert_eq!(key.open(print, &cursor), Ok(place));
            prop_assert!(CursorKey::derived(b"another").open(print, &cursor) == Err(CursorError::Forged));
            if other != print {
                prop_assert_eq!(key.open(other, &cursor), Err(CursorError::OtherQuery));
            }
        }

        #[test]
        fn an_altered_cursor_is_refused(print: u64, number: i64, at: prop::sample::Index, flip in 1u8..) {
            let key = CursorKey::derived(b"a secret");
            let mut bytes = URL_SAFE_NO_PAD.decode(key.seal(print, &[Value::Integer(number)])).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(key.open(print, &URL_SAFE_NO_PAD.encode(bytes)), Err(CursorError::Forged));
        }

        #[test]
        fn any_text_is_refused_without_panic(text in ".{0,60}") {
            prop_assert_eq!(CursorKey::derived(b"a").open(1, &text), Err(CursorError::Forged));
        }
    }
}
