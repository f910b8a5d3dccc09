//! What a definition says: which steps there are, in which order, what each does, and how it is undone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stoa_jobs::Failed;
pub use stoa_jobs::Form;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::RunId;
use stoa_kernel::store::{BoxFuture, Commit};

use crate::record::StepState;

/// A definition, in one version. Runs finish on the version that they started on: what changes its steps is another version.
pub trait Workflow: Send + Sync {
    /// Its name: `organization.purge`.
    fn name(&self) -> &'static str;

    /// From 1.
    fn version(&self) -> i64 {
        1
    }

    /// What it does.
    fn about(&self) -> &'static str;

    /// What its input must look like, where anybody may start it; what only Stoa starts has none, and is shown to nobody.
    fn form(&self) -> Option<Form> {
        None
    }

    /// What is to be done next. Pure: of the input and the journal alone.
    ///
    /// # Errors
    /// What is wrong with the run: it fails, and what it did is undone.
    fn next(&self, view: &View<'_>) -> Result<Next, String>;

    /// What does the activity of a name.
    fn activity(&self, name: &str) -> Option<&dyn Activity>;
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// These are to be begun; those that the journal has already are left as they are.
    Steps(Vec<Step>),
    /// Nothing more; this came of it.
    Done(Value),
}

/// A step that is to be begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What the journal calls it: unique in the run, 1 to 100 characters.
    pub name: String,
    /// What it is.
    pub what: What,
    /// How often it is tried, and whether the run goes on without it.
    pub policy: Policy,
    /// How it is undone.
    pub undo: Undo,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Something is done.
    Activity {
        /// By which activity.
        name: String,
        /// With what.
        input: Value,
    },
    /// Time passes.
    Timer {
        /// How much, in microseconds.
        us: i64,
    },
    /// Somebody says something. Its output is `{"signal": …}`, or `{"timedOut": true}`.
    Signal {
        /// What it is called.
        name: String,
        /// How long is waited at most, in microseconds.
        us_max: Option<i64>,
    },
    /// Another run; its output is that of the run.
    Child {
        /// Of which workflow.
        workflow: String,
        /// With what.
        input: Value,
    },
}

/// How often a step is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// How often at most.
    pub attempts_max: u32,
    /// How long an attempt may take, in milliseconds; at most an hour.
    pub timeout_ms: u64,
    /// How long is waited before the second attempt, in milliseconds; twice as long before each further one, at most an hour.
    pub wait_ms: u64,
    /// Whether the run goes on when it has failed.
    pub is_tolerated: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { attempts_max: 5, timeout_ms: 60_000, wait_ms: 200, is_tolerated: false }
    }
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", content = "by", rename_all = "snake_case")]
pub enum Undo {
    /// There is nothing to undo.
    #[default]
    Nothing,
    /// By this activity, which is given the input and the output of the step.
    By(String),
    /// It cannot be: the run stops there, and somebody must look at it.
    Impossible,
}

impl Step {
    /// A step that does something, with the usual policy, and with nothing to undo.
    #[must_use]
    pub fn activity(name: impl Into<String>, activity: &str, input: Value) -> Self {
        Self::of(name, What::Activity { name: activity.to_owned(), input })
    }

    /// A step with the usual policy, and with nothing to undo.
    #[must_use]
    pub fn of(name: impl Into<String>, what: What) -> Self {
        Self { name: name.into(), what, policy: Policy::default(), undo: Undo::Nothing }
    }

    /// The same, undone by an activity.
    #[must_use]
    pub fn undone_by(self, activity: &str) -> Self {
        Self { undo: Undo::By(activity.to_owned()), ..self }
    }
}

/// An entry of the journal, as a definition sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub state: StepState,
    /// What came of it.
    pub output: Value,
    /// Why it failed.
    pub error: Option<String>,
}

/// A run, as its definition sees it.
#[derive(Debug)]
pub struct View<'v> {
    /// What it was started with.
    pub input: &'v Value,
    /// When it was started.
    pub started_at: Micros,
    /// What there is in its journal.
    pub steps: &'v BTreeMap<String, Entry>,
}

impl View<'_> {
    /// The output of a step that is completed.
    #[must_use]
    pub fn output(&self, step: &str) -> Option<&Value> {
        self.steps.get(step).filter(|entry| entry.state == StepState::Completed).map(|entry| &entry.output)
    }
}

/// One step after the other; done with the output of the last.
#[must_use]
pub fn in_order(view: &View<'_>, steps: Vec<Step>) -> Next {
    let mut last = Value::Null;
    for step in steps {
        match view.steps.get(&step.name) {
            Some(entry) if entry.state == StepState::Completed => last = entry.output.clone(),
            Some(entry) if entry.state == StepState::Failed && step.policy.is_tolerated => last = Value::Null,
            // It is under way: nothing more for now.
            Some(_) | None => return Next::Steps(vec![step]),
        }
    }
    Next::Done(last)
}

/// Where an activity is performed.
#[derive(Debug)]
pub struct At<'a> {
    /// For whom, by whom.
    pub cx: &'a Context,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: &'a str,
    /// What it is given; when something is undone, what the step was given.
    pub input: &'a Value,
    /// What came of the step, where it is undone.
    pub output: Option<&'a Value>,
    /// What time it is, as far as the run knows: when the step was begun. The same at every attempt.
    pub now: Micros,
    /// What chance has drawn: the same at every attempt.
    pub seed: u64,
    /// Names the step to others, so that what it does twice is one thing to them. The same at every attempt.
    pub idempotency_key: String,
    /// Which attempt it is, from 1.
    pub attempt: i64,
}

/// What came of an activity.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is to be changed here: applied with the end of the step, or not at all.
    pub commit: Commit,
    /// What the journal keeps.
    pub output: Value,
}

impl Outcome {
    /// Something to keep, and nothing to change here.
    #[must_use]
    pub fn of(output: Value) -> Self {
        Self { commit: Commit::new(), output }
    }
}

/// Does something. It may be performed twice, when a process dies in the middle: what it does to others must bear that. What it does here is
/// in the commit that it returns, and happens once.
pub trait Activity: Send + Sync {
    /// Performs it.
    ///
    /// # Errors
    /// [`Failed`]: whether trying again may help.
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>>;
}

/// Every definition, in every version of which there may be runs.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<(&'static str, i64), Arc<dyn Workflow>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.0.keys()).finish()
    }
}

impl Registry {
    /// Of these definitions.
    #[must_use]
    pub fn of(workflows: impl IntoIterator<Item = Arc<dyn Workflow>>) -> Self {
        Self(
            workflows.into_iter().map(|workflow| ((workflow.name(), workflow.version()), workflow)).collect(),
        )
    }

    /// A version of a definition.
    #[must_use]
    pub fn get(&self, name: &str, version: i64) -> Option<&Arc<dyn Workflow>> {
        self.0
            .iter()
            .find(|((own, number), _)| *own == name && *number == version)
            .map(|(_, workflow)| workflow)
    }

    /// The newest version of a definition.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&Arc<dyn Workflow>> {
        self.0.iter().rev().find(|((own, _), _)| *own == name).map(|(_, workflow)| workflow)
    }

    /// The newest version of each, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Workflow>> {
        let is_newest =
            |name: &str, version: i64| self.newest(name).is_some_and(|newest| newest.version() == version);
        self.0
            .iter()
            .filter(move |((name, version), _)| is_newest(name, *version))
            .map(|(_, workflow)| workflow)
    }
}
