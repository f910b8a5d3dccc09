//! The data registry: what is kept of whom, why, and for how long (a record of processing, GDPR article 30). It is read off the
//! descriptions of records, so it cannot be out of date.

use serde::Serialize;

use super::record::{RecordMeta, Tenancy};

/// A column that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Its table.
    pub table: &'static str,
    /// What one record of the table is called.
    pub entity: &'static str,
    /// Its name.
    pub column: &'static str,
    /// Whether it is personal data.
    pub personal: bool,
    /// Whose, where it is.
    pub subject: &'static str,
    /// Why it is kept.
    pub why: &'static str,
    /// Whether it is sealed before it is stored.
    pub encrypted: bool,
    /// Whether search indexes it.
    pub searchable: bool,
    /// `organization` or `installation`: who can reach it.
    pub scope: &'static str,
    /// The class of retention.
    pub retention: &'static str,
    /// How long that is.
    pub kept_for: &'static str,
}

/// Every column of these records, in the order of tables and columns.
#[must_use]
pub fn kept(records: impl Iterator<Item = &'static RecordMeta>) -> Vec<Kept> {
    let mut records: Vec<_> = records.collect();
    records.sort_by_key(|meta| meta.table);
    let columns = records.into_iter().flat_map(|meta| meta.columns.iter().map(move |column| (meta, column)));
    columns
        .map(|(meta, column)| Kept {
            table: meta.table,
            entity: meta.entity,
            column: column.name,
            personal: column.personal,
            subject: column.subject,
            why: column.about,
            encrypted: column.encrypted,
            searchable: column.searchable,
            scope: match meta.tenancy {
                Tenancy::Organization(_) => "organization",
                Tenancy::System => "installation",
            },
            retention: meta.retention.name(),
            kept_for: meta.retention.about(),
        })
        .collect()
}
