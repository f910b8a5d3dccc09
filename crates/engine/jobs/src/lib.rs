//! Work that was asked for by commits: taken by one process at a time, tried until it is done.
//!
//! What it may not know: what the work is.
#![deny(missing_docs)]

mod runner;

pub use runner::{Failed, Handler, Runner};
