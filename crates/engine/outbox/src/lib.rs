//! The event log at work: giving positions, and telling whoever follows that there is more.
//!
//! ```text
//! commit ──hint──► Sequencer (one leader by lease) ──positions──► Feed ──► SSE, consumers, relay: read by position
//! ```
//!
//! | start at | for |
//! |---|---|
//! | [`Feed`], [`Follower`] | who follows the log in this process |
//! | [`Consumer`] | what changes something for each event, once |
//! | [`Projection`], [`Activity`] | tables that are made of the log, and can be made anew |
//! | [`Relay`], [`Broker`] | the log, published to others |
//! | [`Signals`] | what processes tell each other, and nobody keeps |
//!
//! Hints only shorten waiting; the poll is the truth.
//!
//! What it may not know: a driver, a web framework, a context.
#![deny(missing_docs)]

mod activity;
mod consumer;
mod feed;
mod installation;
mod leader;
mod projection;
mod relay;
mod rounds;
mod sequencer;
mod signals;

pub use activity::{ACTIVITY, Activity, ActivityProjection, day};
pub use consumer::{
    Again, CONSUME, Consumer, Consuming, EventCursor, LAG_MAX, ProcessedEvent, Standing, standing,
};
pub use feed::{Feed, Follower};
pub use installation::{AlertRaised, AlertResolved, AlertState, EVENT_TYPES};
pub use leader::Leader;
pub use projection::{Generations, Projecting, Projection, RETIRED_US, cursor_name, generations, readable};
pub use relay::{Broker, Message, RELAY, Relay, subject};
pub use sequencer::{LEASE_NAME as SEQUENCER_LEASE, Sequencer};
pub use signals::{COMMITTED, Heard, Signals, Unheard, carry_hints};

use stoa_kernel::store::{Record as _, RecordMeta};

/// The records of this part.
pub const RECORDS: &[&RecordMeta] =
    &[EventCursor::META, ProcessedEvent::META, Generations::META, Activity::META];
