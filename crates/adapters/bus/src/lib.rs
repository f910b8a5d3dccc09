//! What processes tell each other: in one process, or through NATS.
//!
//! What it may not know: a store, a web framework.
#![deny(missing_docs)]

mod local;
mod nats;

pub use local::LocalSignals;
pub use nats::{NatsError, NatsSignals};

/// So many signals wait for a listener; then it misses the oldest.
const WAITING_MAX: usize = 1_024;
