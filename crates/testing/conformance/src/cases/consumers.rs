//! Who follows the log.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stoa_jobs::{Failed, Handler as _};
use stoa_kernel::context::Context;
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{BoxFuture, Commit, Envelope, Record as _};
use stoa_outbox::{
    Again, Broker, CONSUME, Consumer, Consuming, Feed, Leader, Message, Relay, Unheard, standing,
};
use tokio::sync::watch;

use super::workflows::working;
use super::{all, noted, specimen};
use crate::Subject;

/// Makes a record of each event; fails for some as often as it is told.
struct Recording {
    subject: Arc<Subject>,
    failing: Mutex<u32>,
}

impl Consumer for Recording {
    fn name(&self) -> &'static str {
        "recording"
    }

    fn about(&self) -> &'static str {
        "Makes a record of each event."
    }

    fn kinds(&self) -> Vec<String> {
        vec!["specimen.noted".to_owned()]
    }

    fn consume<'a>(&'a self, cx: &'a Context, event: &'a Envelope) -> BoxFuture<'a, Result<Commit, Failed>> {
        Box::pin(async move {
            assert_eq!(cx.scope.organization(), event.organization_id);
            if event.payload["number"] == 13 {
                let mut failing = self.failing.lock().unwrap();
                if *failing > 0 {
                    *failing -= 1;
                    return Err(Failed::later("unlucky"));
                }
            }
            let code = format!("{}-{}", event.stream, event.payload["number"]);
            Ok(Commit::new().insert(&specimen(&self.subject, cx, &code)))
        })
    }
}

fn consuming(subject: &Arc<Subject>, consumer: &Arc<Recording>, holder: &str) -> Consuming {
    Consuming {
        consumer: consumer.clone(),
        store: subject.store.clone(),
        log: subject.log.clone(),
        leader: Leader::of(&subject.leases, &subject.clock, "consumer:recording", holder),
        feed: Feed::default(),
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
    }
}

fn recording(subject: &Arc<Subject>, failing: u32) -> Arc<Recording> {
    Arc::new(Recording { subject: subject.clone(), failing: Mutex::new(failing) })
}

pub(super) async fn tell(subject: &Subject, cx: &Context, stream: &str, numbers: std::ops::Range<i64>) {
    for number in numbers {
        subject.store.commit(cx, Commit::new().event(&noted(stream, number))).await.unwrap();
    }
    subject.sequenced().await;
}

pub async fn a_consumer_takes_every_event_once_whoever_leads(subject: Subject) {
    let subject = Arc::new(subject);
    let (cx, other) = (subject.organization(), subject.organization());
    tell(&subject, &cx, "before", 0..3).await;
    let consumer = recording(&subject, 0);
    // Both take themselves for the leader.
    let (first, second) = (consuming(&subject, &consumer, "one"), consuming(&subject, &consumer, "one"));
    assert_eq!(first.round().await.unwrap(), 0, "it begins with what comes");
    tell(&subject, &cx, "a", 0..40).await;
    tell(&subject, &other, "b", 0..40).await;
    let behind = async || {
        let kinds = consumer.kinds();
        standing(
            subject.store.as_ref(),
            subject.log.as_ref(),
            &subject.system(),
            ("recording", ""),
            kinds,
            None,
        )
        .await
        .unwrap()
    };
    assert_eq!(behind().await.behind, 80);
    let round = async |consuming: &Consuming| while consuming.round().await.unwrap() > 0 {};
    tokio::join!(round(&first), round(&second));
    assert_eq!((all(&subject, &cx).await.len(), all(&subject, &other).await.len()), (40, 40));
    assert_eq!((behind().await.behind, behind().await.since), (0, None));
    // Who does not lead takes nothing.
    tell(&subject, &cx, "c", 0..1).await;
    let third = consuming(&subject, &consumer, "two");
    assert_eq!(third.round().await.unwrap(), 0);
    first.leader.resign().await;
    assert_eq!(third.round().await.unwrap(), 1);
}

pub async fn an_event_that_fails_holds_up_nothing_and_is_tried_again(subject: Subject) {
    let subject = Arc::new(subject);
    let (cx, other) = (subject.organization(), subject.organization());
    let consumer = recording(&subject, 2);
    let first = consuming(&subject, &consumer, "one");
    first.round().await.unwrap();
    tell(&subject, &cx, "a", 10..20).await;
    tell(&subject, &other, "b", 0..5).await;
    while first.round().await.unwrap() > 0 {}
    assert_eq!(
        (all(&subject, &cx).await.len(), all(&subject, &other).await.len()),
        (9, 5),
        "the others go on"
    );
    let jobs = subject
        .store
        .list(&cx, QueuedJob::select().eq(QueuedJob::KIND, &CONSUME.name.to_owned()))
        .await
        .unwrap();
    assert_eq!((jobs.len(), jobs[0].batch_key.as_deref()), (1, Some("consumer:recording")));
    let again = Again {
        consumers: vec![consumer],
        projections: Vec::new(),
        store: subject.store.clone(),
        log: subject.log.clone(),
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
    };
    assert_eq!(again.kind().name, "event.consume");
    // Once more it fails; then it is done, and only once.
    let stop = working(&subject, vec![Arc::new(again)]);
    let there = async {
        while all(&subject, &cx).await.len() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there).await.expect("it is tried again");
    stop.await;
    assert_eq!(all(&subject, &cx).await.len(), 10);
}

/// A broker in memory, which can lose what it has, and be away.
#[derive(Default)]
struct Memory {
    state: Mutex<(u32, Vec<Message>, bool)>,
}

impl Broker for Memory {
    fn mark(&self) -> BoxFuture<'_, Result<String, Unheard>> {
        let (mark, _, is_away) = &*self.state.lock().unwrap();
        let found = if *is_away { Err(Unheard("away".to_owned())) } else { Ok(mark.to_string()) };
        Box::pin(std::future::ready(found))
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Result<(), Unheard>> {
        self.state.lock().unwrap().1.extend(messages.iter().cloned());
        Box::pin(std::future::ready(Ok(())))
    }
}

pub async fn a_broker_is_told_everything_and_again_when_it_lost_it(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    tell(&subject, &cx, "a", 0..3).await;
    let broker = Arc::new(Memory::default());
    let feed = Feed::default();
    let relay = Relay {
        broker: broker.clone(),
        store: subject.store.clone(),
        log: subject.log.clone(),
        leader: Leader::of(&subject.leases, &subject.clock, "relay", "one"),
        feed: feed.clone(),
        clock: subject.clock.clone(),
        ids: subject.ids.clone(),
    };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(relay.run(stopped));
    let heard = async |count: usize| {
        let there = async {
            loop {
                feed.hint();
                let found = broker.state.lock().unwrap().1.clone();
                if found.len() >= count {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), there).await.expect("the broker is told")
    };
    let found = heard(3).await;
    let organization = cx.scope.organization().unwrap();
    assert_eq!(found[0].subject, format!("org.{organization}.specimen.noted"));
    // It is away, and comes back with what it had.
    broker.state.lock().unwrap().2 = true;
    tell(&subject, &other, "b", 0..2).await;
    broker.state.lock().unwrap().2 = false;
    let found = heard(5).await;
    let ids: HashSet<&str> = found.iter().map(|message| message.id.as_str()).collect();
    assert_eq!((found.len(), ids.len()), (5, 5), "each once, in the order of the log");
    // It has lost everything: it is told anew.
    *broker.state.lock().unwrap() = (1, Vec::new(), false);
    let again = heard(5).await;
    assert_eq!(again, found);
    stop.send_replace(true);
    running.await.unwrap();
}
