//! Matching: ordered passes over two sides, decided by component and never by file order.
//!
//! ```text
//! pass ─► keys ─► partitions ─► blocks ─► gates ─► components ─► assignment / groups ─► decisions
//!                 (hash % n)    (same key)          (1:1 edges)   (optimal, or ambiguous)
//! ```
//!
//! Integers only in the decision path. The result depends on the records and the rules, not on threads, partitions,
//! the order of rows in a file, or the machine.

pub mod assignment;
mod block;
mod classes;
mod diagnose;
mod engine;
pub mod explain;
mod found;
pub mod gates;
pub mod key;
pub mod likeness;
pub mod miss;
mod nearby;
pub mod outcome;
mod pass;
pub mod rates;
pub mod subset;
mod tolerance;
mod union;

pub use engine::{EngineError, RunOptions, run};
