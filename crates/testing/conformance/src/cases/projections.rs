//! What is made of the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stoa_jobs::{Failed, Handler};
use stoa_kernel::context::Context;
use stoa_kernel::store::{BoxFuture, Commit, Envelope, Event as _, Record as _, StoreError};
use stoa_outbox::{
    ACTIVITY, Activity, ActivityProjection, Again, EventCursor, Feed, Generations, Leader, Projecting,
    Projection, cursor_name, generations, readable,
};

use super::consumers::tell;
use super::workflows::working;
use crate::{Ended, Subject};

/// The activity, but that some events fail: together, and alone as often as it is told.
struct Unlucky {
    inner: ActivityProjection,
    failing: Mutex<u32>,
}

impl Projection for Unlucky {
    fn name(&self) -> &'static str {
        ACTIVITY
    }

    fn about(&self) -> &'static str {
        self.inner.about()
    }

    fn fold<'a>(
        &'a self,
        cx: &'a Context,
        generation: i64,
        events: &'a [Envelope],
    ) -> BoxFuture<'a, Result<Commit, Failed>> {
        if events.iter().any(|event| event.payload["number"] == 13) {
            let mut failing = self.failing.lock().unwrap();
            if *failing > 0 {
                *failing -= 1;
                return Box::pin(std::future::ready(Err(Failed::later("unlucky"))));
            }
        }
        self.inner.fold(cx, generation, events)
    }

    fn outdated<'a>(
        &'a self,
        cx: &'a Context,
        live: i64,
        most: u32,
    ) -> BoxFuture<'a, Result<Commit, StoreError>> {
        self.inner.outdated(cx, live, most)
    }
}

fn activity(subject: &Subject, failing: u32) -> Arc<dyn Projection> {
    let inner = ActivityProjection { store: subject.store.clone(), ends_with: Ended::TYPE.name };
    Arc::new(Unlucky { inner, failing: Mutex::new(failing) })
}

fn projecting(subject: &Subject, projection: &Arc<dyn Projection>, holder: &str) -> Projecting {
    Projecting {
        projection: projection.clone(),
        store: subject.store.clone(),
        log: subject.log.clone(),
        leader: Leader::of(&subject.leases, &subject.clock, "projection:activity", holder),
        feed: Feed::default(),
        kept_us: 0,
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
    }
}

/// What is read: how many notes each organization has.
async fn counts(subject: &Subject) -> BTreeMap<i64, i64> {
    let cx = subject.system();
    let (generation, _) = readable(subject.store.as_ref(), &cx, ACTIVITY).await.unwrap();
    let query = Activity::of(generation).eq(Activity::KIND, &"specimen.noted".to_owned());
    let mut sums = BTreeMap::new();
    for row in subject.store.list(&cx, query).await.unwrap() {
        *sums.entry(row.organization_id).or_insert(0) += row.events;
    }
    sums
}

async fn known(subject: &Subject) -> Generations {
    generations(subject.store.as_ref(), &subject.system(), ACTIVITY).await.unwrap().unwrap()
}

async fn until_idle(projecting: &Projecting) {
    while projecting.round().await.unwrap() {}
}

pub async fn a_projection_has_every_event_once_whoever_leads(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    tell(&subject, &cx, "a", 0..30).await;
    let projection = activity(&subject, 0);
    // Both take themselves for the leader.
    let (first, second) =
        (projecting(&subject, &projection, "one"), projecting(&subject, &projection, "one"));
    tokio::join!(until_idle(&first), until_idle(&second));
    tell(&subject, &cx, "a", 30..40).await;
    tell(&subject, &other, "b", 0..5).await;
    tokio::join!(until_idle(&first), until_idle(&second));
    let (own, others) = (cx.scope.number(), other.scope.number());
    assert_eq!(counts(&subject).await, BTreeMap::from([(own, 40), (others, 5)]));
    // Who does not lead folds nothing.
    tell(&subject, &other, "b", 5..6).await;
    let third = projecting(&subject, &projection, "two");
    assert!(!third.round().await.unwrap());
    assert_eq!(counts(&subject).await[&others], 5);
    first.leader.resign().await;
    until_idle(&third).await;
    assert_eq!(counts(&subject).await[&others], 6);
    // An organization sees its own alone.
    let seen = subject.store.list(&cx, Activity::of(1)).await.unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|row| row.organization_id == own));
}

pub async fn a_projection_is_made_anew_while_it_is_read(subject: Subject) {
    let cx = subject.organization();
    let own = cx.scope.number();
    let projection = activity(&subject, 0);
    let first = projecting(&subject, &projection, "one");
    tell(&subject, &cx, "a", 0..20).await;
    until_idle(&first).await;
    // Something has gone wrong in it.
    let system = subject.system();
    let row = subject.store.list(&cx, Activity::of(1).eq(Activity::ORGANIZATION_ID, &own)).await.unwrap();
    let wrong = Activity { events: 999, version: row[0].version + 1, ..row[0].clone() };
    subject.store.commit(&system, Commit::new().update(&row[0], &wrong)).await.unwrap();
    assert_eq!(counts(&subject).await[&own], 999);
    let (begun, commit) = known(&subject).await.rebuild();
    assert_eq!((begun.live, begun.building), (1, Some(2)));
    subject.store.commit(&system, commit).await.unwrap();
    let (again, commit) = known(&subject).await.rebuild();
    assert!(commit.is_empty() && again == begun, "one is being made already");
    tell(&subject, &cx, "a", 20..25).await;
    assert_eq!(counts(&subject).await[&own], 999, "what there is stays readable");
    // What was there before can be read to its end.
    let keeping = Projecting { kept_us: 60_000_000, ..projecting(&subject, &projection, "one") };
    until_idle(&keeping).await;
    assert_eq!(counts(&subject).await[&own], 25);
    let kept = readable(subject.store.as_ref(), &system, ACTIVITY).await.unwrap();
    assert_eq!(kept, (2, Some(1)));
    assert!(!subject.store.list(&system, Activity::of(1)).await.unwrap().is_empty());
    until_idle(&first).await;
    let after = known(&subject).await;
    assert_eq!((after.live, after.building, after.retired), (2, None, None));
    // Nothing of the old one stays.
    assert!(subject.store.list(&system, Activity::of(1)).await.unwrap().is_empty());
    let cursor = EventCursor::select().eq(EventCursor::NAME, &cursor_name(ACTIVITY, 1));
    assert_eq!(subject.store.find(&system, cursor).await.unwrap(), None);
    tell(&subject, &cx, "a", 25..26).await;
    until_idle(&first).await;
    assert_eq!(counts(&subject).await[&own], 26);
}

pub async fn an_event_that_cannot_be_folded_holds_up_nothing(subject: Subject) {
    let subject = Arc::new(subject);
    let cx = subject.organization();
    let own = cx.scope.number();
    // Together, alone, and once by its job.
    let projection = activity(&subject, 3);
    let first = projecting(&subject, &projection, "one");
    tell(&subject, &cx, "a", 10..20).await;
    until_idle(&first).await;
    assert_eq!(counts(&subject).await[&own], 9, "the others go on");
    let again = Again {
        consumers: Vec::new(),
        projections: vec![projection],
        store: subject.store.clone(),
        log: subject.log.clone(),
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
    };
    let stop = working(&subject, vec![Arc::new(again) as Arc<dyn Handler>]);
    let there = async {
        while counts(&subject).await[&own] < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there).await.expect("it is tried again");
    stop.await;
    assert_eq!(counts(&subject).await[&own], 10);
}

pub async fn nothing_of_an_organization_that_ended_is_counted(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let (own, others) = (cx.scope.number(), other.scope.number());
    let projection = activity(&subject, 0);
    let first = projecting(&subject, &projection, "one");
    tell(&subject, &cx, "a", 0..3).await;
    until_idle(&first).await;
    // In the same step: more of both, the end of one, and what is told of it later.
    tell(&subject, &cx, "a", 3..5).await;
    tell(&subject, &other, "b", 0..4).await;
    subject.store.commit(&cx, Commit::new().event(&Ended)).await.unwrap();
    tell(&subject, &cx, "a", 5..6).await;
    tell(&subject, &other, "b", 4..5).await;
    until_idle(&first).await;
    let wanted = BTreeMap::from([(own, 1), (others, 5)]);
    assert_eq!(counts(&subject).await, wanted);
    let (_, commit) = known(&subject).await.rebuild();
    subject.store.commit(&subject.system(), commit).await.unwrap();
    until_idle(&first).await;
    assert_eq!(known(&subject).await.live, 2);
    assert_eq!(counts(&subject).await, wanted);
}
