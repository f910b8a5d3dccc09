//! The store on PostgreSQL: a commit is one round trip, and commits that wait together are one transaction.
//!
//! ```text
//! callers ──Prepared──► committers (one for each share of the organizations)
//!                          BEGIN · for each: scope, lock, guards, writes, audit, events · COMMIT      all sent at once
//! ```
//!
//! Every commit of an organization takes that organization's lock first, in one order, so that commits never deadlock, hot streams
//! queue rather than fail, and a count that was checked stays true until the end. When one of a group is refused, the group is undone
//! and each is tried alone: a commit is a value.
//!
//! Row-level security is the database's: see `migrations/postgres` and [`OpenError::RoleTooStrong`]. No session state is kept, so
//! PgBouncer in transaction mode works.
//!
//! What it may not know: anything but the kernel's ports, the shared rendering, and its driver.
#![deny(missing_docs)]

mod bind;
mod committer;
mod events;
mod failure;
mod jobs;
mod keys;
mod leases;
mod listen;
mod migrate;
mod open;
mod pipeline;
mod store;
mod target;
mod upkeep;

pub use migrate::{MigrateOptions, migrate};
pub use open::{OpenError, Options, describe};
pub use store::PostgresStore;
