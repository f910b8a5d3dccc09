//! The store on SQLite passes what every store must.

mod setup;

stoa_conformance::store_suite!(setup::fresh);
