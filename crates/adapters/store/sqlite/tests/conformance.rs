//! The store on SQLite passes what every store must.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up is to fail")]

mod setup;

stoa_conformance::store_suite!(setup::fresh);
