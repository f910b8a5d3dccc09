//! The jobs that take a run further: one at a time for a run, in its mailbox.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stoa_jobs::{Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Context;
use stoa_kernel::id::{Ids, IssueError, OrganizationId, RunId};
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::{BoxFuture, Commit, Job, Json, Record as _, Store, StoreError};

use crate::commands::{NAME_CHARS_MAX, RUN_KEPT_US, STEPS_MAX, started};
use crate::definition::{Entry, Next, Registry, Step, Undo, View, What};
use crate::perform;
use crate::record::{Run, RunState, Signal, StepRecord, StepState};
use crate::told::{RunEnded, RunStarted, RunStopped};

/// Tried for about a day: what a run waits for is told by nobody else.
const PATIENT: RetryPolicy = RetryPolicy { attempts_max: 60, ..RETRY };

/// The kind of the job that decides what a run does next.
pub static ADVANCE: Kind = Kind {
    timeout: Duration::from_secs(60),
    retry: PATIENT,
    keep_us: 0,
    is_dispensable: false,
    ..Kind::new("workflow.advance", "workflows", "Decides what a run does next.")
};
/// The kind of the job that ends the waiting of a step.
pub static WAKE: Kind = Kind {
    retry: PATIENT,
    keep_us: 0,
    is_dispensable: false,
    ..Kind::new("workflow.wake", "workflows", "Ends the waiting of a step when its time has come.")
};

/// Which run, and which step of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) run: RunId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) step: Option<String>,
}

/// The organization of a number, where it is one.
pub(crate) fn organization(number: i64) -> Option<OrganizationId> {
    u64::try_from(number).ok().filter(|id| *id > 0).and_then(OrganizationId::from_raw)
}

/// The job that takes a run further: one at a time, in the order in which they were asked for.
pub(crate) fn advance(run: RunId, whose: i64) -> Job {
    let target = Target { run, step: None };
    Job { organization: organization(whose), order_key: Some(format!("run:{run}")), ..ADVANCE.job(&target) }
}

pub(crate) async fn find_run(store: &dyn Store, cx: &Context, id: RunId) -> Result<Option<Run>, StoreError> {
    store.find(cx, Run::select().eq(Run::ID, &id)).await
}

pub(crate) async fn find_step(
    store: &dyn Store,
    cx: &Context,
    run: RunId,
    step: &str,
) -> Result<Option<StepRecord>, StoreError> {
    let query = StepRecord::select().eq(StepRecord::RUN_ID, &run).eq(StepRecord::STEP, &step.to_owned());
    store.find(cx, query).await
}

/// Does the jobs that take runs further.
pub struct Advance {
    /// Where runs are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
    /// What they execute.
    pub registry: Registry,
}

impl std::fmt::Debug for Advance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Advance").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Handler for Advance {
    fn kind(&self) -> &'static Kind {
        &ADVANCE
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let target: Target = work.payload()?;
            self.advance(&work.cx, target.run).await.map(Done::from)
        })
    }
}

fn unissued(error: IssueError) -> Failed {
    Failed::later(error.to_string())
}

/// A run and its journal, as they were read, and what becomes of them.
struct Journal<'j> {
    before: Run,
    run: Run,
    steps: Vec<(Option<StepRecord>, StepRecord)>,
    commit: Commit,
    now: Micros,
    cx: &'j Context,
    own: &'j Advance,
}

impl Advance {
    async fn advance(&self, cx: &Context, id: RunId) -> Result<Commit, Failed> {
        let store = self.store.as_ref();
        // The run first: whatever comes to it while the rest is read makes this attempt void.
        let Some(run) = find_run(store, cx, id).await?.filter(|run| !run.state.is_over()) else {
            return Ok(Commit::new());
        };
        let steps = StepRecord::select().eq(StepRecord::RUN_ID, &id).ascending(StepRecord::SEQUENCE);
        let steps = store.list(cx, steps).await?;
        let mut journal = Journal {
            before: run.clone(),
            run,
            steps: steps.into_iter().map(|step| (Some(step.clone()), step)).collect(),
            commit: Commit::new(),
            now: self.clock.now(),
            cx,
            own: self,
        };
        journal.go_on().await?;
        Ok(journal.finish())
    }
}

impl Journal<'_> {
    async fn go_on(&mut self) -> Result<(), Failed> {
        if self.run.state == RunState::Running && self.run.cancel_at.is_none() && !self.has_failed() {
            self.begin_next().await?;
        }
        if self.run.state == RunState::Running && (self.run.cancel_at.is_some() || self.has_failed()) {
            self.end_waiting().await?;
            if !self.is_any(StepState::Running) {
                self.run.state = RunState::Compensating;
            }
        }
        if self.run.state == RunState::Compensating {
            self.undo_next().await?;
        }
        Ok(())
    }

    fn is_any(&self, state: StepState) -> bool {
        self.steps.iter().any(|(_, step)| step.state == state)
    }

    /// Whether the run is to fail. The first reason is kept.
    fn has_failed(&mut self) -> bool {
        if self.run.error.is_none() {
            let failed = self
                .steps
                .iter()
                .find(|(_, step)| step.state == StepState::Failed && !step.policy.0.is_tolerated);
            self.run.error = failed.map(|(_, step)| {
                format!("step {}: {}", step.step, step.error.as_deref().unwrap_or("it failed"))
            });
        }
        self.run.error.is_some()
    }

    /// Asks the definition what is next, and begins it.
    async fn begin_next(&mut self) -> Result<(), Failed> {
        let (name, version) = (self.run.workflow.clone(), self.run.definition);
        let workflow = self.own.registry.get(&name, version).cloned().ok_or_else(|| {
            // Another process may know it, or this one when it is brought up to date.
            Failed::later(format!("this process does not know version {version} of {name}"))
        })?;
        let entry = |step: &StepRecord| Entry {
            state: step.state,
            output: step.output.as_ref().map_or(Value::Null, |output| output.0.clone()),
            error: step.error.clone(),
        };
        let entries: BTreeMap<String, Entry> =
            self.steps.iter().map(|(_, step)| (step.step.clone(), entry(step))).collect();
        let input = self.run.input.0.clone();
        let view = View { input: &input, started_at: self.run.created_at, steps: &entries };
        match workflow.next(&view) {
            Ok(Next::Done(output)) => {
                self.end_waiting().await?;
                if self.is_any(StepState::Running) {
                    return Ok(());
                }
                self.run.output = Some(Json(output));
                self.end(RunState::Completed).await?;
            }
            Ok(Next::Steps(steps)) => {
                let known: HashSet<&str> = entries.keys().map(String::as_str).collect();
                let new: Vec<Step> =
                    steps.into_iter().filter(|step| !known.contains(step.name.as_str())).collect();
                for step in new {
                    if let Err(wrong) = self.begin(step).await? {
                        self.run.error = Some(format!("definition: {wrong}"));
                        return Ok(());
                    }
                }
                if !self.is_any(StepState::Running) && !self.is_ready_again() {
                    self.run.error = Some("definition: it waits for nothing".to_owned());
                }
            }
            Err(wrong) => self.run.error = Some(format!("definition: {wrong}")),
        }
        Ok(())
    }

    /// Whether a step was begun and is done already, so that there is more to decide at once.
    fn is_ready_again(&self) -> bool {
        self.steps.iter().any(|(before, step)| before.is_none() && step.state == StepState::Completed)
    }

    /// Begins a step. `Err` is what is wrong with it.
    async fn begin(&mut self, step: Step) -> Result<Result<(), String>, Failed> {
        let Step { name, what, policy, undo } = step;
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Ok(Err(format!("a step is called by 1 to {NAME_CHARS_MAX} characters")));
        }
        if self.steps.len() >= STEPS_MAX {
            return Ok(Err(format!("a run has at most {STEPS_MAX} steps")));
        }
        if self.steps.iter().any(|(_, step)| step.step == name) {
            return Ok(Err(format!("two steps are called {name}")));
        }
        let sequence = self.steps.last().map_or(1, |(_, last)| last.sequence + 1);
        let mut record = StepRecord {
            run_id: self.run.id,
            step: name,
            organization_id: self.run.organization_id,
            sequence,
            what: String::new(),
            name: String::new(),
            input: Json(Value::Null),
            policy: Json(policy),
            undo: Json(undo),
            state: StepState::Running,
            output: None,
            error: None,
            attempts: 0,
            child_run_id: None,
            wake_at: None,
            started_at: self.now,
            finished_at: None,
            expires_at: None,
            version: 1,
        };
        match what {
            What::Activity { name, input } => {
                (record.what, record.name, record.input) = ("activity".to_owned(), name, Json(input));
                self.ask(perform::job(&record));
            }
            What::Timer { us } => {
                (record.what, record.wake_at) = ("timer".to_owned(), Some(self.now.plus(us.max(0))));
                self.ask(wake(&record));
            }
            What::Signal { name, us_max } => {
                (record.what, record.name) = ("signal".to_owned(), name);
                self.await_signal(&mut record, us_max).await?;
            }
            What::Child { workflow, input } => {
                let Some(child) = self.own.registry.newest(&workflow) else {
                    return Ok(Err(format!("there is no workflow {workflow}")));
                };
                let child = Run {
                    parent_run_id: Some(self.run.id),
                    parent_step: Some(record.step.clone()),
                    organization_id: self.run.organization_id,
                    ..started(
                        self.own.ids.next().map_err(unissued)?,
                        self.now,
                        self.cx,
                        child.as_ref(),
                        input.clone(),
                        None,
                    )
                };
                (record.what, record.name, record.input) = ("child".to_owned(), workflow, Json(input));
                record.child_run_id = Some(child.id);
                self.change(|commit| commit.insert(&child).event(&RunStarted::of(&child)));
                self.ask(advance(child.id, child.organization_id));
            }
        }
        self.steps.push((None, record));
        Ok(Ok(()))
    }

    /// A step that waits for a signal, which may have come before it.
    async fn await_signal(&mut self, record: &mut StepRecord, us_max: Option<i64>) -> Result<(), Failed> {
        let early = Signal::select().eq(Signal::RUN_ID, &self.run.id).eq(Signal::NAME, &record.name);
        let early = self.own.store.find(self.cx, early.ascending(Signal::ID)).await?;
        if let Some(early) = early {
            record.state = StepState::Completed;
            record.output = Some(Json(json!({"signal": early.payload.0})));
            record.finished_at = Some(self.now);
            self.change(|commit| commit.delete(&early));
            self.ask(advance(self.run.id, self.run.organization_id));
            return Ok(());
        }
        if let Some(us) = us_max {
            record.wake_at = Some(self.now.plus(us.max(0)));
            self.ask(wake(record));
        }
        Ok(())
    }

    fn change(&mut self, change: impl FnOnce(Commit) -> Commit) {
        self.commit = change(std::mem::take(&mut self.commit));
    }

    fn ask(&mut self, job: Job) {
        self.change(|commit| commit.job(job));
    }

    /// Waits no more for time, signals and other runs; what is being done, is finished first.
    async fn end_waiting(&mut self) -> Result<(), Failed> {
        let mut children = Vec::new();
        for (_, step) in self.steps.iter_mut().filter(|(_, step)| step.state == StepState::Running) {
            match step.what.as_str() {
                "timer" | "signal" => {
                    step.state = StepState::Cancelled;
                    step.finished_at = Some(self.now);
                }
                "child" => children.extend(step.child_run_id),
                _ => {}
            }
        }
        for id in children {
            let child = find_run(self.own.store.as_ref(), self.cx, id).await?;
            let Some(child) = child.filter(|child| !child.state.is_over() && child.cancel_at.is_none())
            else {
                continue;
            };
            let asked = Run { cancel_at: Some(self.now), version: child.version + 1, ..child.clone() };
            self.change(|commit| commit.update(&child, &asked));
            self.ask(advance(id, child.organization_id));
        }
        Ok(())
    }

    /// Undoes what was completed last, if it is to be undone; ends when there is nothing left to undo.
    async fn undo_next(&mut self) -> Result<(), Failed> {
        if self.is_any(StepState::Undoing) {
            return Ok(());
        }
        if let Some((_, step)) = self.steps.iter().find(|(_, step)| step.state == StepState::UndoFailed) {
            let why = format!(
                "step {} could not be undone: {}",
                step.step,
                step.error.as_deref().unwrap_or("it failed")
            );
            return self.stop(why).await;
        }
        let last = self
            .steps
            .iter_mut()
            .rev()
            .find(|(_, step)| step.state == StepState::Completed && step.undo.0 != Undo::Nothing);
        match last {
            None => {
                let how = if self.run.error.is_some() { RunState::Failed } else { RunState::Cancelled };
                self.end(how).await
            }
            Some((_, step)) if step.undo.0 == Undo::Impossible => {
                let why = format!("step {} is done, and cannot be undone", step.step);
                self.stop(why).await
            }
            Some((_, step)) => {
                step.state = StepState::Undoing;
                step.attempts = 0;
                let job = perform::job(step);
                self.ask(job);
                Ok(())
            }
        }
    }

    /// Somebody must look at it.
    async fn stop(&mut self, why: String) -> Result<(), Failed> {
        tracing::warn!(run = %self.run.id, workflow = self.run.workflow, why, "a run has stopped: it cannot undo what it did");
        metrics::counter!("stoa_runs_stopped_total").increment(1);
        self.run.error = Some(match self.run.error.take() {
            Some(first) => format!("{first}; {why}"),
            None => why,
        });
        self.end(RunState::Stopped).await
    }

    async fn end(&mut self, state: RunState) -> Result<(), Failed> {
        self.run.state = state;
        self.run.key = None;
        self.run.finished_at = Some(self.now);
        metrics::counter!("stoa_runs_ended_total", "workflow" => self.run.workflow.clone(), "state" => state.name()).increment(1);
        let run = self.run.clone();
        if state == RunState::Stopped {
            self.change(|commit| commit.event(&RunStopped::of(&run)));
        } else {
            let expires = self.now.plus(RUN_KEPT_US);
            self.run.expires_at = Some(expires);
            self.steps.iter_mut().for_each(|(_, step)| step.expires_at = Some(expires));
            self.change(|commit| commit.event(&RunEnded::of(&run)));
        }
        self.tell_parent().await
    }

    /// The end of a run is the end of the step that it is.
    async fn tell_parent(&mut self) -> Result<(), Failed> {
        let (Some(parent), Some(step)) = (self.run.parent_run_id, self.run.parent_step.clone()) else {
            return Ok(());
        };
        let found = find_step(self.own.store.as_ref(), self.cx, parent, &step).await?;
        let Some(before) = found.filter(|step| step.state == StepState::Running) else { return Ok(()) };
        let mut after =
            StepRecord { finished_at: Some(self.now), version: before.version + 1, ..before.clone() };
        after.state = match self.run.state {
            RunState::Completed => StepState::Completed,
            RunState::Cancelled => StepState::Cancelled,
            _ => StepState::Failed,
        };
        (after.output, after.error) = (self.run.output.clone(), self.run.error.clone());
        self.change(|commit| commit.update(&before, &after));
        self.ask(advance(parent, before.organization_id));
        Ok(())
    }

    /// What became of everything, as one change.
    fn finish(self) -> Commit {
        let Self { before, mut run, steps, mut commit, .. } = self;
        let mut is_begun = false;
        for (before, mut step) in steps {
            match before {
                None => {
                    is_begun = true;
                    commit = commit.insert(&step);
                }
                Some(before) if before != step => {
                    step.version += 1;
                    commit = commit.update(&before, &step);
                }
                Some(_) => {}
            }
        }
        // Whoever has not seen a step that waits for a signal decides again with it.
        if run == before && !is_begun {
            return commit.unchanged(&before);
        }
        run.version += 1;
        commit.update(&before, &run)
    }
}

/// The job that ends the waiting of a step.
fn wake(step: &StepRecord) -> Job {
    let target = Target { run: step.run_id, step: Some(step.step.clone()) };
    Job { organization: organization(step.organization_id), run_at: step.wake_at, ..WAKE.job(&target) }
}

/// Does the jobs that end the waiting of steps.
pub struct Wake {
    /// Where runs are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

impl Handler for Wake {
    fn kind(&self) -> &'static Kind {
        &WAKE
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let target: Target = work.payload()?;
            let name = target.step.unwrap_or_default();
            let found = find_step(self.store.as_ref(), &work.cx, target.run, &name).await?;
            // It was ended by what it waited for.
            let Some(step) = found.filter(|step| step.state == StepState::Running) else {
                return Ok(Done::default());
            };
            let output = if step.what == "timer" { Value::Null } else { json!({"timedOut": true}) };
            let after = StepRecord {
                state: StepState::Completed,
                output: Some(Json(output)),
                finished_at: Some(self.clock.now()),
                version: step.version + 1,
                ..step.clone()
            };
            let commit = Commit::new().update(&step, &after).job(advance(step.run_id, step.organization_id));
            Ok(Done::from(commit))
        })
    }
}
