//! Workflows on a store: whatever is run twice or fails, what holds is whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use stoa_identity::organization;
use stoa_identity::purge::PurgeWorkflow;
use stoa_jobs::{Failed, Handler, LEASE_US, Pace, Pacing, Parts, Registry as Kinds, Worker};
use stoa_kernel::context::Context;
use stoa_kernel::id::RunId;
use stoa_kernel::store::{BoxFuture, Commit, Record as _, StoreErrorKind};
use stoa_workflow::{
    Activity, Advance, At, Next, Outcome, Perform, Policy, Registry, RotateKeys, Run, RunState, Runs, Step,
    StepState, Undo, View, Wake, What, Workflow, in_order, start,
};
use tokio::sync::watch;

use super::{all, insert, specimen};
use crate::upgrade::organization as founded;
use crate::{Specimen, Subject};

/// Nobody waits for a turn here.
struct Unpaced;

impl Pacing for Unpaced {
    fn begin<'a>(&'a self, _: &'a str, _: Pace) -> BoxFuture<'a, Option<i64>> {
        Box::pin(std::future::ready(None))
    }
}

/// Performs each activity twice, keeping what came of it the second time; fails for good in a step that is named.
struct Shaken {
    inner: Arc<dyn Workflow>,
    activities: BTreeMap<String, ShakenActivity>,
}

struct ShakenActivity {
    inner: Arc<dyn Workflow>,
    name: String,
    fail_at: Arc<Mutex<String>>,
}

impl Shaken {
    fn of(inner: Arc<dyn Workflow>, activities: &[&str], fail_at: &Arc<Mutex<String>>) -> Arc<dyn Workflow> {
        let shaken = |name: &&str| {
            let (name, inner) = ((*name).to_owned(), Arc::clone(&inner));
            (name.clone(), ShakenActivity { inner, name, fail_at: Arc::clone(fail_at) })
        };
        Arc::new(Self { activities: activities.iter().map(shaken).collect(), inner })
    }
}

impl Workflow for Shaken {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn about(&self) -> &'static str {
        self.inner.about()
    }

    fn next(&self, view: &View<'_>) -> Result<Next, String> {
        self.inner.next(view)
    }

    fn activity(&self, name: &str) -> Option<&dyn Activity> {
        self.activities.get(name).map(|activity| activity as &dyn Activity)
    }
}

impl Activity for ShakenActivity {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            if at.output.is_none() && *self.fail_at.lock().unwrap() == at.step {
                return Err(Failed::never("it was told to fail"));
            }
            let inner = self.inner.activity(&self.name).unwrap();
            // As if the process had died before the end of the step was stored.
            let _ = inner.perform(at).await;
            inner.perform(at).await
        })
    }
}

/// Runs workflows until a run is over.
async fn until_over(subject: &Subject, registry: &Registry, cx: &Context, id: RunId) -> Run {
    let (store, clock, ids) = (subject.store.clone(), subject.clock.clone(), subject.ids.clone());
    let handlers: [Arc<dyn Handler>; 3] = [
        Arc::new(Advance {
            store: store.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            registry: registry.clone(),
        }),
        Arc::new(Perform { store: store.clone(), clock: clock.clone(), registry: registry.clone() }),
        Arc::new(Wake { store: store.clone(), clock: clock.clone() }),
    ];
    let stop = working(subject, handlers.to_vec());
    let runs = runs(subject, registry);
    let over = async {
        loop {
            let run = runs.find(cx, id).await.unwrap();
            if run.state.is_over() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let run = tokio::time::timeout(Duration::from_secs(60), over).await.expect("the run ends");
    stop.await;
    run
}

/// A worker that does jobs until what is returned is awaited.
pub(super) fn working(
    subject: &Subject,
    handlers: Vec<Arc<dyn Handler>>,
) -> impl Future<Output = ()> + use<> {
    let parts = Parts {
        queue: subject.queue.clone(),
        store: subject.store.clone(),
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
        registry: Kinds::of(handlers),
        pacing: Arc::new(Unpaced),
        holder: "worker".to_owned(),
        concurrency: 8,
        lease_us: LEASE_US,
    };
    let (hints, hinted) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let working = tokio::spawn(Worker::new(parts, hinted).run(stopped));
    let hinting = tokio::spawn(async move {
        loop {
            hints.send_modify(|count| *count += 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    async move {
        stop.send_replace(true);
        working.await.unwrap();
        hinting.abort();
    }
}

fn runs(subject: &Subject, registry: &Registry) -> Runs {
    Runs {
        store: subject.store.clone(),
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
        registry: registry.clone(),
    }
}

async fn begin(subject: &Subject, cx: &Context, workflow: &Arc<dyn Workflow>, input: Value) -> RunId {
    let id = subject.ids.next().unwrap();
    let (_, commit) = start(id, subject.clock.now(), cx, workflow.as_ref(), input, None);
    subject.store.commit(cx, commit).await.unwrap();
    id
}

/// Inserts a record in each of its four steps; undoing a step removes its record.
struct Saga {
    insert: Insert,
    remove: Remove,
}

struct Insert(Arc<Subject>);
struct Remove(Arc<Subject>, Mutex<Vec<String>>);

impl Workflow for Saga {
    fn name(&self) -> &'static str {
        "test.saga"
    }

    fn about(&self) -> &'static str {
        "Inserts four records."
    }

    fn next(&self, view: &View<'_>) -> Result<Next, String> {
        let policy = Policy { attempts_max: 2, wait_ms: 1, ..Policy::default() };
        let step = |number| Step {
            policy,
            ..Step::activity(format!("s{number}"), "insert", json!({"number": number})).undone_by("remove")
        };
        Ok(in_order(view, (1..=4).map(step).collect()))
    }

    fn activity(&self, name: &str) -> Option<&dyn Activity> {
        match name {
            "insert" => Some(&self.insert),
            "remove" => Some(&self.remove),
            _ => None,
        }
    }
}

impl Activity for Insert {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let record = specimen(&self.0, at.cx, at.step);
            Ok(Outcome { commit: Commit::new().insert(&record), output: json!({"id": record.id}) })
        })
    }
}

impl Activity for Remove {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let found = Specimen::select().eq(Specimen::CODE, &at.step.to_owned());
            let found = self.0.store.find(at.cx, found).await?;
            assert!(
                at.output.is_some_and(|output| output["id"].is_string()),
                "what came of the step is given"
            );
            self.1.lock().unwrap().push(at.step.to_owned());
            Ok(Outcome { commit: found.iter().fold(Commit::new(), Commit::delete), output: Value::Null })
        })
    }
}

pub async fn a_saga_holds_with_each_step_run_twice_and_a_failure_at_each(subject: Subject) {
    let subject = Arc::new(subject);
    let other = subject.organization();
    insert(&subject, &other, "s1").await;
    for fail_at in ["", "s1", "s2", "s3", "s4"] {
        let cx = subject.organization();
        let saga = Arc::new(Saga {
            insert: Insert(subject.clone()),
            remove: Remove(subject.clone(), Mutex::default()),
        });
        let failing = Arc::new(Mutex::new(fail_at.to_owned()));
        let workflow = Shaken::of(saga.clone(), &["insert", "remove"], &failing);
        let registry = Registry::of([workflow.clone()]);
        let id = begin(&subject, &cx, &workflow, json!({})).await;
        let run = until_over(&subject, &registry, &cx, id).await;
        let journal = runs(&subject, &registry).journal(&cx, id).await.unwrap();
        let left = all(&subject, &cx).await.len();
        let undone = saga.remove.1.lock().unwrap().clone();
        if fail_at.is_empty() {
            assert_eq!((run.state, left, undone.len()), (RunState::Completed, 4, 0));
            assert_eq!(run.output.unwrap().0, journal[3].output.as_ref().unwrap().0);
            continue;
        }
        assert_eq!((run.state, left), (RunState::Failed, 0), "at {fail_at}: {run:?}");
        assert!(run.error.as_ref().unwrap().starts_with(&format!("step {fail_at}: refused")), "{run:?}");
        let mut expected: Vec<&str> =
            ["s1", "s2", "s3", "s4"].into_iter().take_while(|step| *step != fail_at).collect();
        expected.reverse();
        let twice: Vec<&str> = expected.iter().flat_map(|step| [*step, *step]).collect();
        assert_eq!(undone, twice, "the last first");
        assert!(journal.iter().all(|step| matches!(step.state, StepState::Undone | StepState::Failed)));
        // Another run goes on from where it failed, and does anew what was undone.
        failing.lock().unwrap().clear();
        let runs = runs(&subject, &registry);
        let (fork, commit) = runs.fork(&subject.system(), &run, fail_at).await.unwrap();
        subject.store.commit(&cx, commit).await.unwrap();
        let forked = until_over(&subject, &registry, &cx, fork.id).await;
        assert_eq!((forked.state, all(&subject, &cx).await.len()), (RunState::Completed, 4));
    }
    assert_eq!(all(&subject, &other).await.len(), 1, "nobody else is touched");
}

pub async fn a_purge_holds_with_each_step_run_twice_and_a_failure_at_each(subject: Subject) {
    let system = subject.system();
    let other = subject.organization();
    insert(&subject, &other, "theirs").await;
    for (number, fail_at) in ["", "rows-1", "jobs-1", "bury"].into_iter().enumerate() {
        let (made, commit) = founded(&subject, &format!("gone-{number}"));
        subject.store.commit(&system, commit).await.unwrap();
        let cx = system.within(stoa_kernel::context::Scope::Organization(made.id));
        for row in 0..3 {
            insert(&subject, &cx, &format!("row{row}")).await;
        }
        let purged = organization::purge(&made, &format!("gone-{number}"), subject.clock.as_ref()).unwrap();
        subject.store.commit(&cx, purged.commit).await.unwrap();
        let workflow: Arc<dyn Workflow> =
            Arc::new(PurgeWorkflow::on(&subject.store, &subject.upkeep, &subject.clock));
        let failing = Arc::new(Mutex::new(fail_at.to_owned()));
        let workflow = Shaken::of(workflow, &["remove", "discard", "bury"], &failing);
        let registry = Registry::of([workflow.clone()]);
        let id = begin(&subject, &system, &workflow, json!({"organization": made.id})).await;
        let mut run = until_over(&subject, &registry, &system, id).await;
        if !fail_at.is_empty() {
            // What is removed cannot be brought back: somebody looks at it, and lets it go on.
            let stopped = if fail_at == "rows-1" { RunState::Failed } else { RunState::Stopped };
            assert_eq!(run.state, stopped, "{run:?}");
            failing.lock().unwrap().clear();
            let again = runs(&subject, &registry).retry(&system, &run).await.unwrap();
            subject.store.commit(&system, again).await.unwrap();
            run = until_over(&subject, &registry, &system, id).await;
        }
        assert_eq!(run.state, RunState::Completed, "{run:?}");
        let tombstone = organization::by_id(subject.store.as_ref(), &system, made.id).await.unwrap();
        assert_eq!(tombstone.state, organization::State::Purged);
        assert_eq!(all(&subject, &cx).await, []);
    }
    assert_eq!(all(&subject, &other).await.len(), 1, "nobody else is touched");
}

pub async fn a_rotation_of_keys_holds_with_each_step_run_twice(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let (mine, theirs) = (insert(&subject, &cx, "mine").await, insert(&subject, &other, "theirs").await);
    let never = Arc::new(Mutex::new(String::new()));
    let workflow = Shaken::of(Arc::new(RotateKeys::of(&subject.keyring)), &["rotate", "reseal"], &never);
    let registry = Registry::of([workflow.clone()]);
    let id = begin(&subject, &subject.system(), &workflow, Value::Null).await;
    let run = until_over(&subject, &registry, &subject.system(), id).await;
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert!(run.output.unwrap().0["rotated"].as_u64() >= Some(2));
    assert_eq!((all(&subject, &cx).await, all(&subject, &other).await), (vec![mine], vec![theirs]));
    let left = subject.keyring.reseal(100).await.unwrap();
    assert_eq!((left.resealed, left.unopened), (0, 0), "everything is sealed by the newest keys");
}

/// Waits for ten signals, one after the other.
struct Asking;

impl Workflow for Asking {
    fn name(&self) -> &'static str {
        "test.asking"
    }

    fn about(&self) -> &'static str {
        "Waits for signals."
    }

    fn next(&self, view: &View<'_>) -> Result<Next, String> {
        let ask = |number| {
            let what = What::Signal { name: "go".to_owned(), us_max: None };
            Step { undo: Undo::Nothing, ..Step::of(format!("ask-{number}"), what) }
        };
        Ok(in_order(view, (1..=10).map(ask).collect()))
    }

    fn activity(&self, _: &str) -> Option<&dyn Activity> {
        None
    }
}

pub async fn a_signal_and_a_run_that_goes_on_do_not_miss_each_other(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let workflow: Arc<dyn Workflow> = Arc::new(Asking);
    let registry = Registry::of([workflow.clone()]);
    let id = begin(&subject, &cx, &workflow, json!({})).await;
    let signalling = async {
        let runs = runs(&subject, &registry);
        assert!(runs.find(&other, id).await.is_err(), "nobody else's run is told anything");
        for number in 0..10 {
            loop {
                let run = runs.find(&cx, id).await.unwrap();
                let told = runs.signal(&subject.system(), &run, "go", json!(number)).await.unwrap();
                let Err(error) = subject.store.commit(&cx, told).await else { break };
                // It went on just then.
                assert_eq!(error.kind, StoreErrorKind::Conflict, "{error}");
            }
        }
    };
    let (run, ()) = tokio::join!(until_over(&subject, &registry, &cx, id), signalling);
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    let journal = runs(&subject, &registry).journal(&cx, id).await.unwrap();
    let mut heard: Vec<i64> =
        journal.iter().map(|step| step.output.as_ref().unwrap().0["signal"].as_i64().unwrap()).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..10).collect::<Vec<i64>>(), "each is heard once");
}
