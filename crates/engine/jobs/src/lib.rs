//! Work that was asked for by commits, done by any process that has room.
//!
//! | start at | for |
//! |---|---|
//! | [`Kind`], [`Handler`] | what a job is, and what does it |
//! | [`queue`] | the port: what a store does for workers |
//! | [`share`] | who comes next |
//! | [`Worker`] | claims, does, ends |
//! | [`desk`] | what people ask of jobs |
//! | [`letters`] | what is not tried any more |
//! | [`janitor`] | what has expired, and what is sealed by old keys |
//! | [`schedule`] | what asks for jobs by the clock |
//!
//! A job exists exactly if the change that asked for it does; what a job changes here and its end are one change. Everything else that it
//! does may happen twice.
//!
//! What it may not know: what the work is.
#![deny(missing_docs)]

pub mod desk;
mod handler;
pub mod janitor;
mod kind;
pub mod letters;
mod probe;
pub mod queue;
pub mod schedule;
pub mod share;
mod told;
mod worker;

pub use handler::{Done, Failed, Handler, Work};
pub use kind::{DAY_US, Form, Kind, Pace, RETRY, Registry};
pub use probe::{PROBE, Probe};
use stoa_kernel::store::queue::{FinishedJob, JobHold, QueueSetting};
use stoa_kernel::store::{EventType, Record as _, RecordMeta};

use crate::schedule::{Schedule, ScheduleClock};
pub use told::{DeadLetterAlert, JobDeadLettered};

/// The types of events of this part.
#[must_use]
pub fn event_types() -> Vec<EventType> {
    [told::EVENT_TYPES, schedule::EVENT_TYPES].concat()
}

/// The records of this part, beside the jobs themselves, which commits know.
pub const RECORDS: &[&RecordMeta] =
    &[FinishedJob::META, QueueSetting::META, JobHold::META, Schedule::META, ScheduleClock::META];

pub use worker::{LEASE_US, Pacing, Parts, Worker};
