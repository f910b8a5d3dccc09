//! What every process has, whatever it serves: a clock, ids, a lifecycle, health, limits, logs.
//!
//! What it may not know: a driver, a web framework, a context.
//!
//! | start at | for |
//! |---|---|
//! | [`clock`], [`entropy`], [`ids`] | the system's clock and random bytes; ids of a node whose number is leased |
//! | [`blocking`], [`cache`] | work that keeps a processor busy; what was looked up already |
//! | [`mail`], [`outbound`] | letters, and requests to somebody else |
//! | [`lifecycle`] | starting in order, stopping in reverse |
//! | [`alerts`] | rules, and what fires |
//! | [`health`] | whether it works, and what does not |
//! | [`guard`] | what stands before a database that is somewhere else |
//! | [`limiter`] | rate limits by caller, and what happens when those who count are away |
//! | [`scrub`] | what never reaches a log |
//! | [`trace`] | spans, and where they go |
#![deny(missing_docs)]

pub mod alerts;
pub mod blocking;
pub mod cache;
pub mod clock;
pub mod entropy;
pub mod guard;
pub mod health;
pub mod ids;
pub mod lifecycle;
pub mod limiter;
pub mod mail;
pub mod outbound;
pub mod scrub;
pub mod trace;
