//! The audit trail as it is read back, for proof.

use stoa_kernel::id::AuditId;
use stoa_kernel::store::audit::{Chained, Entry, Hash};
use stoa_kernel::store::trail::AuditEntry;
use stoa_kernel::store::{Record as _, Select, StoreError, StoreErrorKind, Value};

use crate::bookkeeping::AuditHead;

/// The query for the entries of an organization after a place.
#[must_use]
pub fn entries_after(organization: i64, sequence: i64, limit: u32) -> Select {
    AuditEntry::select()
        .eq(AuditEntry::ORGANIZATION_ID, &organization)
        .gt(AuditEntry::SEQUENCE, &sequence)
        .ascending(AuditEntry::SEQUENCE)
        .limit(limit)
        .build()
}

/// The query for the heads of all trails.
#[must_use]
pub fn heads() -> Select {
    AuditHead::select().build()
}

fn corrupt(what: String) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what)
}

/// The head in a row.
///
/// # Errors
/// When the row is corrupt.
pub fn head(row: Vec<Value>) -> Result<(i64, i64, Hash), StoreError> {
    let head = AuditHead::from_values(row)?;
    let hash =
        head.hash.try_into().map_err(|_| corrupt("the head of an audit trail has no hash".to_owned()))?;
    Ok((head.organization_id, head.sequence, hash))
}

/// The entry in a row; its diff as the very text that was entered.
///
/// # Errors
/// When the row is corrupt.
pub fn chained(row: Vec<Value>) -> Result<Chained, StoreError> {
    let diff = match row.get(AuditEntry::DIFF.index) {
        Some(Value::Json(text)) => text.clone(),
        _ => String::new(),
    };
    let entry = AuditEntry::from_values(row)?;
    let id = u64::try_from(entry.id).ok().and_then(AuditId::from_raw);
    let place = || format!("the audit entry {} of organization {}", entry.sequence, entry.organization_id);
    Ok(Chained {
        sequence: entry.sequence,
        hash: entry.hash.clone().try_into().map_err(|_| corrupt(format!("{} has no hash", place())))?,
        entry: Entry {
            id: id.ok_or_else(|| corrupt(format!("{} has no id", place())))?,
            organization: entry.organization_id,
            time: entry.time,
            actor: entry.actor,
            action: entry.action,
            target_kind: entry.target_kind,
            target: entry.target,
            request: entry.request,
            diff,
        },
    })
}
