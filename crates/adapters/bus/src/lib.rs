//! What processes tell each other, in one process or through NATS; and what NATS keeps for others.
//!
//! What it may not know: a store, a web framework.
#![deny(missing_docs)]

mod jetstream;
mod local;
mod nats;

pub use jetstream::JetStreamBroker;
pub use local::LocalSignals;
pub use nats::{NatsError, NatsSignals};

/// So many signals wait for a listener; then it misses the oldest.
const WAITING_MAX: usize = 1_024;
