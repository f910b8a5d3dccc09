//! The store on SQLite passes what every store must.

stoa_conformance::store_suite!(crate::setup::fresh);
