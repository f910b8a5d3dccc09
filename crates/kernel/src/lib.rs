//! The vocabulary that every other crate shares. Pure: no I/O, no runtime, no framework.
//!
//! What it may not know: a driver, a web framework, an async runtime, another crate of ours.
//!
//! | start at | for |
//! |---|---|
//! | [`id`] | typed 64-bit ids and how they are written |
//! | [`clock`], [`random`], [`entropy`] | the ports for time, chance and secrets |
//! | [`currency`], [`money`] | ISO 4217 and exact amounts |
//! | [`date`], [`calendar`] | civil days and business days |
//! | [`context`] | what travels with a request or a job |
//! | [`store`] | records, commits, selects, events, audit: the door to what is stored |
//! | [`error`] | the table of error codes |
//! | [`resilience`] | retry, circuit breaker, token bucket, sliding window, bulkhead |
//! | [`limits`] | every bound, by name |
#![deny(missing_docs)]

// The derive names this crate; so it can be used here too.
extern crate self as stoa_kernel;

pub mod calendar;
pub mod clock;
pub mod context;
pub mod currency;
pub mod date;
pub mod entropy;
pub mod error;
pub mod id;
pub mod limits;
pub mod money;
pub mod random;
pub mod resilience;
pub mod store;
