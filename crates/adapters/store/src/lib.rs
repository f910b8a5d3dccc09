//! What both stores share: how records become SQL, what a commit comes to, how values are sealed, which migrations there are.
//!
//! What it may not know: a driver. `store-sqlite` and `store-postgres` stand on it.
//!
//! | start at | for |
//! |---|---|
//! | [`render`] | the SQL of selects and writes, from the description of a record |
//! | [`prepare`] | a commit as the statements, events and audit entries that it comes to |
//! | [`bookkeeping`] | the tables that belong to the store itself |
//! | [`events`], [`audit`] | how the log and the trail are read |
//! | [`seal`], [`keyring`] | columns that are encrypted, and their keys |
//! | [`slow`] | statements that took long |
//! | [`migrations`] | the numbered changes of the schema |
#![deny(missing_docs)]

pub mod audit;
pub mod bookkeeping;
pub mod events;
pub mod keyring;
pub mod migrations;
pub mod prepare;
pub mod render;
pub mod seal;
pub mod slow;

use stoa_kernel::store::RecordMeta;

/// The records that a store knows: its own, and those of the contexts that it serves.
#[derive(Debug, Clone)]
pub struct Registry(Vec<&'static RecordMeta>);

impl Registry {
    /// The store's own records and these.
    #[must_use]
    pub fn with(records: &[&'static RecordMeta]) -> Self {
        Self(bookkeeping::ALL.iter().chain(records).copied().collect())
    }

    /// Every record.
    pub fn iter(&self) -> impl Iterator<Item = &'static RecordMeta> + '_ {
        self.0.iter().copied()
    }

    /// The tables whose rows end by themselves, and the column that says when.
    pub fn expiring(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        let column = |meta: &RecordMeta| meta.expires.and_then(|column| meta.columns.get(column));
        self.iter().filter_map(move |meta| column(meta).map(|column| (meta.table, column.name)))
    }

    /// What removes the rows of an organization, table by table, at most as many as the second value: all but the organization itself
    /// with its audit trail, its jobs (the one that asks for this is among them), and the data keys that seal those: the janitor removes
    /// the keys of an organization that is purged. `$1` and `$2` are what both engines call values.
    #[must_use]
    pub fn purges(&self) -> Vec<String> {
        const STAYS: [&str; 6] =
            ["organizations", "audit_entries", "audit_heads", "jobs", "job_holds", "organization_keys"];
        let tables = self.iter().filter(|meta| !STAYS.contains(&meta.table));
        let purge = |meta: &RecordMeta| {
            let tenant = meta.tenant().and_then(|tenant| meta.columns.get(tenant))?.name;
            let key = meta.key.iter().filter_map(|key| meta.columns.get(*key)).map(|column| column.name);
            let key = key.collect::<Vec<_>>().join(", ");
            let table = meta.table;
            Some(format!(
                "DELETE FROM {table} WHERE {tenant} = $1 AND ({key}) IN (SELECT {key} FROM {table} WHERE {tenant} = $1 LIMIT $2)"
            ))
        };
        tables.filter_map(purge).collect()
    }

    /// The record of a table.
    #[must_use]
    pub fn of_table(&self, table: &str) -> Option<&'static RecordMeta> {
        self.iter().find(|meta| meta.table == table)
    }
}
