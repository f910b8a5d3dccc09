//! The store on SQLite: it passes what every store must, and keeps organizations apart from below.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up is to fail")]

mod conformance;
mod isolation;
mod setup;
mod upgrade;
