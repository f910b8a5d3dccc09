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

    /// The record of a table.
    #[must_use]
    pub fn of_table(&self, table: &str) -> Option<&'static RecordMeta> {
        self.iter().find(|meta| meta.table == table)
    }
}
