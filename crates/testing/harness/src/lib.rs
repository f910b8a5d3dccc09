//! Real servers for tests: PostgreSQL, PgBouncer, Redis and NATS, started privately on free ports of 127.0.0.1, ended with the test.
//!
//! `stoa-harness run COMMAND…` starts PostgreSQL once for a whole run of tests and says so in the environment; a test that finds none
//! starts its own. PostgreSQL and PgBouncer refuse to run as root: then they run as another user of the machine.
#![deny(missing_docs)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that cannot start what a test needs is to fail the test"
)]

mod collector;
mod fault;
mod others;
mod postgres;
mod server;
mod skew;

pub use collector::Collector;
pub use fault::FaultProxy;
pub use others::{Nats, PgBouncer, Redis};
pub use postgres::{Database, Postgres};
pub use skew::skewed_by;

/// A port of 127.0.0.1 that is free at the moment.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}
