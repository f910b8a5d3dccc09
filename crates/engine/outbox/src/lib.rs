//! The event log at work: giving positions, and telling whoever follows that there is more.
//!
//! ```text
//! commit ──hint──► Sequencer (one leader by lease) ──positions──► Feed ──► SSE, relay, projections: read by position
//! ```
//!
//! Hints only shorten waiting; the poll is the truth.
//!
//! What it may not know: a driver, a web framework, a context.
#![deny(missing_docs)]

mod feed;
mod installation;
mod sequencer;
mod signals;

pub use feed::{Feed, Follower};
pub use installation::{AlertRaised, AlertResolved, AlertState, EVENT_TYPES};
pub use sequencer::{LEASE_NAME as SEQUENCER_LEASE, Sequencer};
pub use signals::{COMMITTED, Heard, Signals, Unheard, carry_hints};
