//! The store on SQLite: it passes what every store must, and keeps organizations apart from below.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up is to fail")]

mod conformance;
mod isolation;
mod setup;
mod upgrade;
