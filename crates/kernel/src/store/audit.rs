//! The audit trail: who did what to which record, entered by the commit itself and chained by hash per organization.
//!
//! `digest = SHA-256(fields)`, `hash = SHA-256(hash before ‖ digest)`; the first hash before is 32 zero bytes. Altering, removing or
//! reordering an entry breaks every hash after it; cutting the end off breaks with the head, which is kept apart.

use sha2::{Digest as _, Sha256};

use super::patch;
use super::record::RecordMeta;
use super::value::Value;
use crate::clock::Micros;
use crate::id::AuditId;

/// 32 bytes of SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first entry.
pub const GENESIS: Hash = [0; 32];

/// What stands in place of personal and sealed values.
const REDACTED: &str = "[redacted]";

/// One entry, before it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: AuditId,
    /// The organization; 0 for the installation.
    pub organization: i64,
    /// When.
    pub time: Micros,
    /// Who, as `Actor::label` writes it.
    pub actor: String,
    /// What: `organization.updated`.
    pub action: String,
    /// The entity of the target.
    pub target_kind: String,
    /// The id of the target.
    pub target: String,
    /// The request, for finding it in the logs.
    pub request: String,
    /// What changed, as a JSON Patch with personal and sealed values redacted.
    pub diff: String,
}

impl Entry {
    /// The digest of what the entry says.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut hasher = Sha256::new();
        for number in [self.id.to_i64(), self.organization, self.time.0] {
            hasher.update(number.to_be_bytes());
        }
        for text in [&self.actor, &self.action, &self.target_kind, &self.target, &self.request, &self.diff] {
            // With its length, so that nothing can move from one field to the next.
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finalize().into()
    }
}

/// The hash after an entry.
#[must_use]
pub fn chain(before: &Hash, digest: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(digest);
    hasher.finalize().into()
}

/// What a write changes: a JSON Patch over the columns, with personal and sealed values redacted by the description.
#[must_use]
pub fn changes(meta: &RecordMeta, before: Option<&[Value]>, after: Option<&[Value]>) -> String {
    let mut operations: Vec<serde_json::Value> = Vec::new();
    for (index, column) in meta.columns.iter().enumerate() {
        let old = before.map(|values| values.get(index).unwrap_or(&Value::Null));
        let new = after.map(|values| values.get(index).unwrap_or(&Value::Null));
        if old == new {
            continue;
        }
        let shown = |value: &Value| match value {
            Value::Null => serde_json::Value::Null,
            _ if column.personal || column.encrypted => REDACTED.into(),
            value => (column.shown)(value),
        };
        let path = format!("/{}", column.name);
        let operation =
            |name: &str, value: &Value| serde_json::json!({"op": name, "path": path, "value": shown(value)});
        match (old, new) {
            (None, Some(new)) if *new != Value::Null => operations.push(operation("add", new)),
            (Some(Value::Json(old)), Some(Value::Json(new))) if !column.personal && !column.encrypted => {
                let read = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
                operations.extend(patch::diff(&read(old), &read(new)).into_iter().map(|mut inner| {
                    if let Some(serde_json::Value::String(inner_path)) = inner.get_mut("path") {
                        inner_path.insert_str(0, &path);
                    }
                    inner
                }));
            }
            (Some(_), Some(new)) => operations.push(operation("replace", new)),
            (Some(old), None) if *old != Value::Null => {
                operations.push(serde_json::json!({"op": "remove", "path": path}));
            }
            _ => {}
        }
    }
    serde_json::Value::Array(operations).to_string()
}

/// An entry that has a place, as it is read back for proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chained {
    /// The place, dense from 1.
    pub sequence: i64,
    /// What it says.
    pub entry: Entry,
    /// The hash after it.
    pub hash: Hash,
}

/// Why a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is missing, or there twice.
    #[error("after entry {after} comes {found}: an entry was removed or added")]
    Gap {
        /// The last place that was in order.
        after: i64,
        /// The place that was found.
        found: i64,
    },
    /// An entry, or one before it, is not what was entered.
    #[error("entry {sequence} does not have the hash that it was entered with: it was altered")]
    Altered {
        /// Its place.
        sequence: i64,
    },
    /// The end was cut off.
    #[error("the trail ends at entry {found}, but its head is at {head}: the end was cut off")]
    Cut {
        /// The last entry.
        found: i64,
        /// What the head says.
        head: i64,
    },
}

/// Follows a chain entry by entry.
#[derive(Debug, Clone, Copy)]
pub struct Verifier {
    sequence: i64,
    hash: Hash,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { sequence: 0, hash: GENESIS }
    }
}

impl Verifier {
    /// Takes the next entry.
    ///
    /// # Errors
    /// [`Broken::Gap`], [`Broken::Altered`].
    pub fn take(&mut self, next: &Chained) -> Result<(), Broken> {
        if next.sequence != self.sequence + 1 {
            return Err(Broken::Gap { after: self.sequence, found: next.sequence });
        }
        let hash = chain(&self.hash, &next.entry.digest());
        if hash != next.hash {
            return Err(Broken::Altered { sequence: next.sequence });
        }
        (self.sequence, self.hash) = (next.sequence, hash);
        Ok(())
    }

    /// Compares the end with the head, which commits keep apart.
    ///
    /// # Errors
    /// [`Broken::Cut`], [`Broken::Altered`].
    pub fn finish(&self, head: i64, hash: &Hash) -> Result<(), Broken> {
        if head != self.sequence {
            return Err(Broken::Cut { found: self.sequence, head });
        }
        if *hash == self.hash { Ok(()) } else { Err(Broken::Altered { sequence: head }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(number: u64) -> Entry {
        Entry {
            id: AuditId::from_raw(number).unwrap(),
            organization: 7,
            time: Micros(1),
            actor: "system".to_owned(),
            action: "organization.updated".to_owned(),
            target_kind: "organization".to_owned(),
            target: "org_1".to_owned(),
            request: "req_1".to_owned(),
            diff: format!("[{number}]"),
        }
    }

    fn trail(length: u64) -> Vec<Chained> {
        let mut hash = GENESIS;
        (1..=length)
            .map(|number| {
                let entry = entry(number);
                hash = chain(&hash, &entry.digest());
                Chained { sequence: number.cast_signed(), entry, hash }
            })
            .collect()
    }

    fn verify(trail: &[Chained], head: &Chained) -> Result<(), Broken> {
        let mut verifier = Verifier::default();
        trail.iter().try_for_each(|next| verifier.take(next))?;
        verifier.finish(head.sequence, &head.hash)
    }

    proptest! {
        #[test]
        fn every_tampering_is_found(length in 2u64..20, at: prop::sample::Index, how in 0..5) {
            let whole = trail(length);
            let head = whole.last().unwrap().clone();
            prop_assert_eq!(verify(&whole, &head), Ok(()));
            let mut altered = whole;
            let at = at.index(altered.len());
            match how {
                0 => altered[at].entry.diff.push(' '),
                1 => altered[at].entry.actor = "user:other".to_owned(),
                2 => { altered.remove(at); }
                3 => altered.truncate(at),
                _ => altered.swap(at, (at + 1) % usize::try_from(length).unwrap()),
            }
            prop_assert!(verify(&altered, &head).is_err());
        }
    }

    #[test]
    fn nothing_moves_between_the_fields_of_a_digest() {
        let (mut a, mut b) = (entry(1), entry(1));
        (a.actor, a.action) = ("ab".to_owned(), "c".to_owned());
        (b.actor, b.action) = ("a".to_owned(), "bc".to_owned());
        assert_ne!(a.digest(), b.digest());
    }
}
