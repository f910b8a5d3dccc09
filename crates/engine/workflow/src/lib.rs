//! Durable workflows: runs of steps that survive any crash, wait for months, and undo what they did when they fail.
//!
//! ```text
//! start ─► advance (a job in the mailbox of the run): journal ─► Workflow::next (pure) ─► begins steps
//!             ▲                                                       │
//!             │   a step's end and the next advance are one commit    ├─ activity: a job that performs it
//!             └───────────────────────────────────────────────────────┼─ timer: a job of a later time
//!                                                                     ├─ signal: somebody says so
//!                                                                     └─ child: another run
//! ```
//!
//! A step's output is stored in the commit that ends it, so a run never repeats what is done; it goes on with the journal, whichever
//! process does so. What to do next depends on the journal alone. A run stays with the version of its definition.
//!
//! When a step fails, or the run is cancelled, what was completed is undone, the last first (a saga: Garcia-Molina and Salem, 1987). A step
//! that cannot be undone stops the run, and an alert says so.
//!
//! | start at | for |
//! |---|---|
//! | [`Workflow`], [`Next`], [`Step`] | what a definition says |
//! | [`Activity`] | what a step does |
//! | [`Runs`] | what people ask of runs |
//! | [`Advance`], [`Perform`], [`Wake`] | the jobs that runs are made of |
//!
//! What it may not know: what the work is.
#![deny(missing_docs)]

mod advance;
mod commands;
mod data_keys;
mod definition;
mod perform;
mod probe;
mod record;
mod told;

pub use advance::{ADVANCE, Advance, WAKE, Wake};
pub use commands::{Error, RUN_KEPT_US, Runs, STEPS_MAX, start};
pub use data_keys::{ROTATE_KEYS, RotateKeys};
pub use definition::{
    Activity, At, Entry, Form, Next, Outcome, Policy, Registry, Step, Undo, View, What, Workflow, in_order,
};
pub use perform::{PERFORM, Perform};
pub use probe::ProbeWorkflow;
pub use record::{Run, RunState, Signal, StepRecord, StepState};
pub use told::EVENT_TYPES;

use stoa_kernel::store::{Record as _, RecordMeta};

/// The records of this part.
pub const RECORDS: &[&RecordMeta] = &[Run::META, StepRecord::META, Signal::META];
