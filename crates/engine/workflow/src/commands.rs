//! What people ask of runs: to start one, to tell it something, to stop it, to go on after a failure.

use std::sync::Arc;

use serde_json::Value;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::error::Coded;
use stoa_kernel::id::{Ids, IssueError, RunId};
use stoa_kernel::store::queue::PAYLOAD_BYTES_MAX;
use stoa_kernel::store::{Commit, Json, Record as _, Store, StoreError, StoreErrorKind};

use crate::advance::{advance, find_run};
use crate::definition::{Registry, Undo, Workflow};
use crate::perform;
use crate::record::{Run, RunState, Signal, StepRecord, StepState};
use crate::told::RunStarted;

/// How long the end of a run is kept, in microseconds: 90 days.
pub const RUN_KEPT_US: i64 = 90 * 86_400_000_000;
/// The most steps of a run.
pub const STEPS_MAX: usize = 1_000;
/// The most characters of a name or a key.
pub(crate) const NAME_CHARS_MAX: usize = 100;
/// How long a signal that nobody waits for is kept, in microseconds: 30 days.
const SIGNAL_KEPT_US: i64 = 30 * 86_400_000_000;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or none that the caller may know of.
    #[error("there is no such run")]
    NotFound,
    /// There is none, or only Stoa starts it.
    #[error("nobody may start runs of \"{0}\"")]
    WorkflowUnknown(String),
    /// It is Stoa's own.
    #[error("runs of \"{0}\" are Stoa's own: something relies on them")]
    Protected(String),
    /// It is not in a state in which that can be done.
    #[error("{0}")]
    WrongState(String),
    /// Fields that do not hold what they must: the field, and what it takes.
    #[error("{} of the fields cannot be taken", .0.len())]
    Invalid(Vec<(&'static str, String)>),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Overloaded, error.to_string()))
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "run_not_found",
            Self::WorkflowUnknown(_) => "workflow_unknown",
            Self::Protected(_) => "forbidden",
            Self::WrongState(_) => "wrong_state",
            Self::Invalid(_) => "validation_failed",
            Self::Store(error) => error.code(),
        }
    }
}

/// A run that begins.
pub(crate) fn started(
    id: RunId,
    now: Micros,
    cx: &Context,
    workflow: &dyn Workflow,
    input: Value,
    key: Option<String>,
) -> Run {
    Run {
        id,
        organization_id: cx.scope.number(),
        workflow: workflow.name().to_owned(),
        definition: workflow.version(),
        state: RunState::Running,
        key,
        input: Json(input),
        output: None,
        error: None,
        parent_run_id: None,
        parent_step: None,
        forked_from: None,
        cancel_at: None,
        context: Json(Context { deadline: None, ..cx.clone() }),
        created_at: now,
        finished_at: None,
        expires_at: None,
        version: 1,
    }
}

/// Decides that a run begins. Refused by `workflow_runs_key` when a live run of the workflow has the key.
pub fn start(
    id: RunId,
    now: Micros,
    cx: &Context,
    workflow: &dyn Workflow,
    input: Value,
    key: Option<String>,
) -> (Run, Commit) {
    let run = started(id, now, cx, workflow, input, key);
    let commit =
        Commit::new().insert(&run).event(&RunStarted::of(&run)).job(advance(id, run.organization_id));
    (run, commit)
}

/// Where people ask for runs.
pub struct Runs {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
    /// What they execute.
    pub registry: Registry,
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Runs {
    /// A run.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn find(&self, cx: &Context, id: RunId) -> Result<Run, Error> {
        find_run(self.store.as_ref(), cx, id).await?.ok_or(Error::NotFound)
    }

    /// The live run of a workflow with a key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn by_key(&self, cx: &Context, workflow: &str, key: &str) -> Result<Option<Run>, Error> {
        let query = Run::select()
            .eq(Run::ORGANIZATION_ID, &cx.scope.number())
            .eq(Run::WORKFLOW, &workflow.to_owned())
            .eq(Run::KEY, &Some(key.to_owned()));
        Ok(self.store.find(cx, query).await?)
    }

    /// The journal of a run, in order.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn journal(&self, cx: &Context, id: RunId) -> Result<Vec<StepRecord>, Error> {
        let query = StepRecord::select().eq(StepRecord::RUN_ID, &id).ascending(StepRecord::SEQUENCE);
        Ok(self.store.list(cx, query).await?)
    }

    /// Whether people may see what a run was given, and steer it.
    #[must_use]
    pub fn is_open(&self, run: &Run) -> bool {
        self.registry.newest(&run.workflow).is_some_and(|workflow| workflow.form().is_some())
    }

    /// Whoever runs the installation steers Stoa's own too: somebody must when one has stopped.
    fn steered(&self, cx: &Context, run: &Run) -> Result<(), Error> {
        let may = self.is_open(run) || cx.scope == Scope::System;
        if may { Ok(()) } else { Err(Error::Protected(run.workflow.clone())) }
    }

    /// Decides that a run begins which anybody may start.
    ///
    /// # Errors
    /// [`Error::WorkflowUnknown`], [`Error::Invalid`].
    pub fn start(
        &self,
        cx: &Context,
        workflow: &str,
        input: Value,
        key: Option<String>,
    ) -> Result<(Run, Commit), Error> {
        let unknown = || Error::WorkflowUnknown(workflow.to_owned());
        let found = self.registry.newest(workflow).ok_or_else(unknown)?;
        let form = found.form().ok_or_else(unknown)?;
        let mut wrong = Vec::new();
        if let Err(message) = form.read(&input) {
            wrong.push(("/input", message));
        }
        if input.to_string().len() > PAYLOAD_BYTES_MAX {
            wrong.push(("/input", format!("has at most {PAYLOAD_BYTES_MAX} bytes")));
        }
        let is_bad = |text: &String| {
            !(1..=NAME_CHARS_MAX).contains(&text.chars().count()) || text.chars().any(char::is_control)
        };
        if key.as_ref().is_some_and(is_bad) {
            wrong.push((
                "/key",
                format!("has 1 to {NAME_CHARS_MAX} characters, none of them control characters"),
            ));
        }
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        Ok(start(self.ids.next()?, self.clock.now(), cx, found.as_ref(), input, key))
    }

    /// Decides that a run stops: it waits no more, finishes what is being done, and undoes what it did.
    ///
    /// # Errors
    /// [`Error::WrongState`], [`Error::Protected`].
    pub fn cancel(&self, cx: &Context, run: &Run) -> Result<Commit, Error> {
        self.steered(cx, run)?;
        if run.state != RunState::Running || run.cancel_at.is_some() {
            let is = if run.cancel_at.is_some() { "being cancelled" } else { run.state.name() };
            return Err(Error::WrongState(format!(
                "the run is {is}; only one that is running can be cancelled"
            )));
        }
        let asked = Run { cancel_at: Some(self.clock.now()), version: run.version + 1, ..run.clone() };
        let commit = Commit::new().update(run, &asked).job(advance(run.id, run.organization_id));
        Ok(commit.note("run.cancelled", "run", &run.id))
    }

    /// Decides that a run is told something: the step that waits for it goes on; where none does yet, it is kept for it.
    ///
    /// # Errors
    /// [`Error::WrongState`], [`Error::Invalid`], [`Error::Protected`].
    pub async fn signal(&self, cx: &Context, run: &Run, name: &str, payload: Value) -> Result<Commit, Error> {
        self.steered(cx, run)?;
        if run.state.is_over() {
            return Err(Error::WrongState(format!("the run is {}: nothing reaches it any more", run.state)));
        }
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let message = format!("has 1 to {NAME_CHARS_MAX} characters, none of them control characters");
            return Err(Error::Invalid(vec![("/name", message)]));
        }
        if payload.to_string().len() > PAYLOAD_BYTES_MAX {
            return Err(Error::Invalid(vec![("/payload", format!("has at most {PAYLOAD_BYTES_MAX} bytes"))]));
        }
        let now = self.clock.now();
        let waiting = self
            .journal(cx, run.id)
            .await?
            .into_iter()
            .find(|step| step.state == StepState::Running && step.what == "signal" && step.name == name);
        // Whatever is decided for the run at the same time is decided again with this.
        let heard = Run { version: run.version + 1, ..run.clone() };
        let commit = Commit::new().update(run, &heard).note("run.signalled", "run", &run.id);
        Ok(match waiting {
            Some(step) => {
                let after = StepRecord {
                    state: StepState::Completed,
                    output: Some(Json(serde_json::json!({"signal": payload}))),
                    finished_at: Some(now),
                    version: step.version + 1,
                    ..step.clone()
                };
                commit.update(&step, &after).job(advance(run.id, run.organization_id))
            }
            None => commit.insert(&Signal {
                id: self.ids.next()?,
                run_id: run.id,
                organization_id: run.organization_id,
                name: name.to_owned(),
                payload: Json(payload),
                created_at: now,
                expires_at: now.plus(SIGNAL_KEPT_US),
            }),
        })
    }

    /// Decides that a run which failed or stopped goes on: with the step that could not be undone, else with the step that failed.
    ///
    /// # Errors
    /// [`Error::WrongState`] when there is no such step, or some of the run is undone; [`Error::Protected`].
    pub async fn retry(&self, cx: &Context, run: &Run) -> Result<Commit, Error> {
        self.steered(cx, run)?;
        if !matches!(run.state, RunState::Failed | RunState::Stopped) {
            let why = format!("the run is {}; only one that failed or stopped can be tried again", run.state);
            return Err(Error::WrongState(why));
        }
        let journal = self.journal(cx, run.id).await?;
        let is_any = |state| journal.iter().any(|step| step.state == state);
        let (state, from, to) = if is_any(StepState::UndoFailed) {
            (RunState::Compensating, StepState::UndoFailed, StepState::Undoing)
        } else if is_any(StepState::Undone) {
            return Err(Error::WrongState("what the run did is undone; fork it from a step".to_owned()));
        } else {
            (RunState::Running, StepState::Failed, StepState::Running)
        };
        let is_again = |step: &StepRecord| step.state == from && step.what == "activity";
        if !journal.iter().any(is_again) {
            return Err(Error::WrongState(
                "no step of the run can be tried again; fork it from a step".to_owned(),
            ));
        }
        let is_undone = state == RunState::Compensating;
        let (error, cancel_at) =
            (run.error.clone().filter(|_| is_undone), run.cancel_at.filter(|_| is_undone));
        let going = Run {
            state,
            error,
            cancel_at,
            finished_at: None,
            expires_at: None,
            version: run.version + 1,
            ..run.clone()
        };
        let mut commit = Commit::new().update(run, &going).note("run.retried", "run", &run.id);
        for step in &journal {
            let mut after = StepRecord { expires_at: None, version: step.version + 1, ..step.clone() };
            if is_again(step) {
                (after.state, after.error, after.finished_at) = (to, None, None);
                commit = commit.job(perform::job(&after));
            }
            commit = commit.update(step, &after);
        }
        Ok(commit)
    }

    /// Decides that another run begins with what this one had completed before a step.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such step, [`Error::WrongState`] while it goes on, [`Error::Protected`].
    pub async fn fork(&self, cx: &Context, run: &Run, step: &str) -> Result<(Run, Commit), Error> {
        self.steered(cx, run)?;
        if !run.state.is_over() {
            return Err(Error::WrongState(format!(
                "the run is {}; only one that is over is forked",
                run.state
            )));
        }
        let journal = self.journal(cx, run.id).await?;
        let from = journal.iter().find(|entry| entry.step == step).map(|entry| entry.sequence);
        let from = from.ok_or_else(|| {
            Error::Invalid(vec![("/step", "the journal has no step of this name".to_owned())])
        })?;
        let id: RunId = self.ids.next()?;
        let fork = Run {
            id,
            organization_id: run.organization_id,
            workflow: run.workflow.clone(),
            definition: run.definition,
            state: RunState::Running,
            key: None,
            input: run.input.clone(),
            output: None,
            error: None,
            parent_run_id: None,
            parent_step: None,
            forked_from: Some(run.id),
            cancel_at: None,
            context: Json(Context { deadline: None, ..cx.clone() }),
            // Its journal was made with that time.
            created_at: run.created_at,
            finished_at: None,
            expires_at: None,
            version: 1,
        };
        // What was undone, or not done, is done again, and so is what came after it.
        let kept = journal
            .iter()
            .filter(|entry| entry.sequence < from)
            .take_while(|entry| entry.state == StepState::Completed);
        let commit = Commit::new().insert(&fork).event(&RunStarted::of(&fork));
        let commit = kept.fold(commit, |commit, entry| {
            // What another run did is not this one's to undo.
            let kept = StepRecord {
                run_id: id,
                undo: Json(Undo::Nothing),
                expires_at: None,
                version: 1,
                ..entry.clone()
            };
            commit.insert(&kept)
        });
        let commit = commit.job(advance(id, fork.organization_id)).note("run.forked", "run", &run.id);
        Ok((fork, commit))
    }
}
