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
//!
//! A job exists exactly if the change that asked for it does; what a job changes here and its end are one change. Everything else that it
//! does may happen twice.
//!
//! What it may not know: what the work is.
#![deny(missing_docs)]

pub mod desk;
mod handler;
mod kind;
pub mod letters;
mod probe;
pub mod queue;
pub mod share;
mod told;
mod worker;

pub use handler::{Done, Failed, Handler, Work};
pub use kind::{DAY_US, Form, Kind, Pace, RETRY, Registry};
pub use probe::{PROBE, Probe};
use stoa_kernel::store::queue::{FinishedJob, JobHold, QueueSetting};
use stoa_kernel::store::{Record as _, RecordMeta};
pub use told::{DeadLetterAlert, EVENT_TYPES, JobDeadLettered};

/// The records of this part, beside the jobs themselves, which commits know.
pub const RECORDS: &[&RecordMeta] = &[FinishedJob::META, QueueSetting::META, JobHold::META];

pub use worker::{LEASE_US, Pacing, Parts, Worker};
