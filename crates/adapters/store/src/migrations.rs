//! The numbered changes of the schema: two folders, equal numbers and names, forward only. A released one never changes.

use sha2::{Digest as _, Sha256};

/// One change of the schema, for each engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Dense from 1.
    pub number: i64,
    /// What it is about.
    pub name: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal, $file:literal) => {
        Migration {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("../../../../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../../../../migrations/postgres/", $file)),
        }
    };
}

/// Every migration, in order.
pub const ALL: &[Migration] = &[
    migration!(1, "foundation", "0001_foundation.sql"),
    migration!(2, "rows_in_order", "0002_rows_in_order.sql"),
    migration!(3, "identity", "0003_identity.sql"),
    migration!(4, "jobs", "0004_jobs.sql"),
    migration!(5, "schedules", "0005_schedules.sql"),
    migration!(6, "workflows", "0006_workflows.sql"),
    migration!(7, "consumers", "0007_consumers.sql"),
    migration!(8, "webhooks", "0008_webhooks.sql"),
    migration!(9, "notifications", "0009_notifications.sql"),
    migration!(10, "projections", "0010_projections.sql"),
];

/// What identifies a migration that was applied: the SHA-256 of its text, in hexadecimal.
#[must_use]
pub fn checksum(sql: &str) -> String {
    Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A migration as the database remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Its checksum when it was applied.
    pub checksum: String,
}

/// Why a database cannot be brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The text of a released migration was changed.
    #[error("migration {number} ({name}) was applied with another text; released migrations never change")]
    Changed {
        /// Its number.
        number: i64,
        /// Its name.
        name: String,
    },
    /// The database is ahead.
    #[error(
        "the database is at migration {found}, this program knows {known}; it was written by a newer version"
    )]
    Newer {
        /// The last one applied.
        found: i64,
        /// The last one known.
        known: i64,
    },
}

/// What is still to be applied. `sql` picks the text of the engine.
///
/// # Errors
/// [`PlanError`].
pub fn plan<'m>(
    all: &'m [Migration],
    applied: &[Applied],
    sql: impl Fn(&Migration) -> &'static str,
) -> Result<Vec<&'m Migration>, PlanError> {
    let known = all.last().map_or(0, |last| last.number);
    if let Some(found) = applied.iter().map(|one| one.number).max().filter(|&found| found > known) {
        return Err(PlanError::Newer { found, known });
    }
    let mut missing = Vec::new();
    for migration in all {
        match applied.iter().find(|one| one.number == migration.number) {
            None => missing.push(migration),
            Some(one) if one.checksum == checksum(sql(migration)) && one.name == migration.name => {}
            Some(one) => {
                return Err(PlanError::Changed { number: one.number, name: one.name.clone() });
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Migration] = &[
        Migration { number: 1, name: "one", sqlite: "1", postgres: "a" },
        Migration { number: 2, name: "two", sqlite: "2", postgres: "b" },
    ];

    fn applied(number: i64, name: &str, sql: &str) -> Applied {
        Applied { number, name: name.to_owned(), checksum: checksum(sql) }
    }

    #[test]
    fn what_is_missing_is_planned_in_order_and_what_was_changed_is_refused() {
        let numbers = |applied: &[Applied]| {
            plan(TWO, applied, |one| one.sqlite)
                .map(|all| all.iter().map(|one| one.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[]), Ok(vec![1, 2]));
        assert_eq!(numbers(&[applied(1, "one", "1")]), Ok(vec![2]));
        assert_eq!(numbers(&[applied(1, "one", "1"), applied(2, "two", "2")]), Ok(vec![]));
        assert!(matches!(numbers(&[applied(1, "one", "x")]), Err(PlanError::Changed { number: 1, .. })));
        assert_eq!(numbers(&[applied(3, "three", "3")]), Err(PlanError::Newer { found: 3, known: 2 }));
    }

    #[test]
    fn numbers_are_dense_and_both_folders_hold_the_same_files() {
        assert!(ALL.iter().zip(1..).all(|(migration, number)| migration.number == number));
        let names = |folder: &str| {
            let path =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../migrations").join(folder);
            let mut names: Vec<_> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("sqlite"), names("postgres"));
        let known: Vec<_> = ALL.iter().map(|one| format!("{:04}_{}.sql", one.number, one.name)).collect();
        assert_eq!(names("sqlite"), known);
    }
}
