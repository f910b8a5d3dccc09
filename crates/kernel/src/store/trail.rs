//! The audit trail as records: what queries read. Commits enter it with SQL of the stores' own, and prove it by [`super::audit`].

use super::{Json, Record};
use crate::clock::Micros;

/// An entry of the audit trail.
#[derive(Debug, Clone, Record)]
#[record(table = "audit_entries", entity = "audit_entry", tenant = organization_id, unaudited, retention = audit)]
pub struct AuditEntry {
    /// Whose it is; 0 for the installation.
    #[record(key)]
    pub organization_id: i64,
    /// Its place, dense from 1.
    #[record(key)]
    pub sequence: i64,
    /// Its id.
    pub id: i64,
    /// When.
    pub time: Micros,
    /// Who, by id.
    #[record(plain, about = "an id, no name")]
    pub actor: String,
    /// What.
    #[record(plain, about = "a name of the catalogue")]
    pub action: String,
    /// To what.
    #[record(plain, about = "an entity's name")]
    pub target_kind: String,
    /// Its id.
    #[record(plain, about = "an id")]
    pub target: String,
    /// The request.
    #[record(plain, about = "an id")]
    pub request: String,
    /// What changed, personal and sealed values redacted.
    #[record(plain, about = "redacted by the description of the record")]
    pub diff: Json<serde_json::Value>,
    /// The hash after it.
    #[record(plain, about = "a hash")]
    pub hash: Vec<u8>,
}
