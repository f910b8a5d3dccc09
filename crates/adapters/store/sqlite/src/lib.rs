//! The store on SQLite: one writer that commits for everybody at once, readers that never wait for it.
//!
//! ```text
//! callers ──Prepared──► queue ──► writer thread: BEGIN · all that wait · COMMIT (one fsync for all) ──► each its own answer
//! callers ──Select────► readers: read-only connections, used inline, through views that carry the scope
//! ```
//!
//! Row-level security is ours: see `security.rs`. WAL, `synchronous=FULL`: what was answered is on disk.
//!
//! What it may not know: anything but the kernel's ports, the shared rendering, and its driver.
#![deny(missing_docs)]

mod backup;
mod events;
mod failure;
mod jobs;
mod keys;
mod leases;
mod open;
mod reader;
mod security;
mod store;
mod upkeep;
mod writer;

pub use backup::{Snapshot, copy, inspect, opens, restored};
pub use open::{OpenError, Options, WRONG_KEYS};
pub use store::SqliteStore;
