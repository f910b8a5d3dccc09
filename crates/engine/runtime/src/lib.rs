//! What every process has, whatever it serves: a clock, ids, a lifecycle, health, limits, logs.
//!
//! What it may not know: a driver, a web framework, a context.
//!
//! | start at | for |
//! |---|---|
//! | [`clock`], [`ids`] | the system's clock; ids of a node whose number is leased |
//! | [`lifecycle`] | starting in order, stopping in reverse |
//! | [`health`] | whether it works, and what does not |
//! | [`guard`] | what stands before a database that is somewhere else |
//! | [`limiter`] | token buckets by caller |
//! | [`scrub`] | what never reaches a log |
#![deny(missing_docs)]

pub mod clock;
pub mod guard;
pub mod health;
pub mod ids;
pub mod lifecycle;
pub mod limiter;
pub mod scrub;
