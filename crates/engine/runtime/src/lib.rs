//! What every process has, whatever it serves: a clock, ids, a lifecycle, health, limits, logs.
//!
//! What it may not know: a driver, a web framework, a context.
//!
//! | start at | for |
//! |---|---|
//! | [`clock`], [`ids`] | the system's clock; ids of a node whose number is leased |
#![deny(missing_docs)]

pub mod clock;
pub mod ids;
