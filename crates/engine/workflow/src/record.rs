//! Runs and their journals as records.

use serde_json::Value;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::{RunId, SignalId};
use stoa_kernel::store::{Json, Record};

use crate::definition::{Policy, Undo};

stoa_kernel::choice! {
    /// Where a run stands.
    RunState, "a state" {
        /// It goes on.
        Running = "running",
        /// It undoes what it did.
        Compensating = "compensating",
        /// It is done.
        Completed = "completed",
        /// A step failed; everything that can be undone is.
        Failed = "failed",
        /// It was cancelled; everything that can be undone is.
        Cancelled = "cancelled",
        /// It was to undo what cannot be undone: somebody must look at it.
        Stopped = "stopped",
    }
}

impl RunState {
    /// Whether nothing more becomes of it by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Compensating)
    }
}

stoa_kernel::choice! {
    /// Where a step stands.
    StepState, "a state" {
        /// It is under way, or waits for what it waits for.
        Running = "running",
        /// It is done; its output stays.
        Completed = "completed",
        /// It is not tried any more.
        Failed = "failed",
        /// It was not waited for any more.
        Cancelled = "cancelled",
        /// It is being undone.
        Undoing = "undoing",
        /// It is undone.
        Undone = "undone",
        /// It could not be undone.
        UndoFailed = "undo_failed",
    }
}

/// One execution of a workflow.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "workflow_runs", entity = "run", tenant = organization_id, version = version, unaudited, expires = expires_at,
         retention = short, unique(workflow_runs_key = (organization_id, workflow, key)))]
pub struct Run {
    /// Its id.
    #[record(key)]
    pub id: RunId,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// The workflow.
    #[record(plain, about = "a registered name")]
    pub workflow: String,
    /// The version of its definition, which it stays with.
    pub definition: i64,
    /// Where it stands.
    pub state: RunState,
    /// At most one live run of the workflow has it.
    #[record(plain, about = "an id")]
    pub key: Option<String>,
    /// What it was started with.
    #[record(encrypted, plain, about = "what the work needs")]
    pub input: Json<Value>,
    /// What came of it.
    #[record(encrypted, plain, about = "what the work answers")]
    pub output: Option<Json<Value>>,
    /// Why it did not: a code and a sentence.
    #[record(plain, about = "what failed, without personal data")]
    pub error: Option<String>,
    /// The run that it is a step of.
    pub parent_run_id: Option<RunId>,
    /// The step that it is.
    #[record(plain, about = "a name in a definition")]
    pub parent_step: Option<String>,
    /// The run whose journal it began with.
    pub forked_from: Option<RunId>,
    /// When it was asked to stop.
    pub cancel_at: Option<Micros>,
    /// Who started it, under which request and trace.
    #[record(plain, about = "ids")]
    pub context: Json<Context>,
    /// When it was started.
    pub created_at: Micros,
    /// When it ended.
    pub finished_at: Option<Micros>,
    /// When it is removed.
    pub expires_at: Option<Micros>,
    /// Counts its changes.
    pub version: i64,
}

/// An entry of the journal of a run.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "workflow_steps", entity = "step", tenant = organization_id, version = version, unaudited, expires = expires_at,
         retention = short)]
pub struct StepRecord {
    /// The run.
    #[record(key)]
    pub run_id: RunId,
    /// What the definition calls it.
    #[record(key, plain, about = "a name in a definition")]
    pub step: String,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// Its place in the journal, from 1.
    pub sequence: i64,
    /// activity, timer, signal or child.
    #[record(plain, about = "a kind of step")]
    pub what: String,
    /// The activity, the signal or the workflow.
    #[record(plain, about = "a registered name")]
    pub name: String,
    /// What it was begun with.
    #[record(encrypted, plain, about = "what the work needs")]
    pub input: Json<Value>,
    /// How often it is tried, and whether the run goes on without it.
    #[record(plain, about = "numbers")]
    pub policy: Json<Policy>,
    /// How it is undone.
    #[record(plain, about = "a registered name")]
    pub undo: Json<Undo>,
    /// Where it stands.
    pub state: StepState,
    /// What came of it.
    #[record(encrypted, plain, about = "what the work answers")]
    pub output: Option<Json<Value>>,
    /// Why it did not: a code and a sentence.
    #[record(plain, about = "what failed, without personal data")]
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// The run that it is.
    pub child_run_id: Option<RunId>,
    /// Until when it waits, at most.
    pub wake_at: Option<Micros>,
    /// When it was begun: what its activity takes for now.
    pub started_at: Micros,
    /// When it ended.
    pub finished_at: Option<Micros>,
    /// When it is removed.
    pub expires_at: Option<Micros>,
    /// Counts its changes.
    pub version: i64,
}

/// A signal for which no step waits yet.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "workflow_signals", entity = "signal", tenant = organization_id, unaudited, expires = expires_at, retention = short)]
pub struct Signal {
    /// Its id.
    #[record(key)]
    pub id: SignalId,
    /// The run.
    pub run_id: RunId,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// What it is called.
    #[record(plain, about = "a name in a definition")]
    pub name: String,
    /// What it says.
    #[record(encrypted, plain, about = "what somebody answered")]
    pub payload: Json<Value>,
    /// When it was sent.
    pub created_at: Micros,
    /// When it is removed.
    pub expires_at: Micros,
}
