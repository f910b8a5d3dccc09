use std::collections::BTreeMap;

use stoa_kernel::context::Scope;
use stoa_kernel::store::{Commit, EventFilter};

use super::noted;
use crate::Subject;

pub async fn offsets_are_dense_in_every_stream_under_contention(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let writers = (0..64).map(|writer| {
        let (store, cx) = (subject.store.clone(), if writer % 2 == 0 { cx.clone() } else { other.clone() });
        async move {
            for round in 0..8 {
                let commit =
                    Commit::new().event(&noted("hot", round)).event(&noted(&format!("cold{writer}"), round));
                let receipt = store.commit(&cx, commit).await.unwrap();
                assert_eq!(receipt.events.len(), 2);
            }
        }
    });
    futures_util::future::join_all(writers).await;
    subject.sequenced().await;
    for cx in [&cx, &other] {
        let events = subject.log.events_after(cx.scope, 0, 10_000, &EventFilter::default()).await.unwrap();
        let mut streams: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for event in &events {
            streams.entry(&event.stream).or_default().push(event.offset);
        }
        assert_eq!((events.len(), streams.len()), (32 * 8 * 2, 33));
        for (stream, offsets) in streams {
            let dense: Vec<i64> = (1..=i64::try_from(offsets.len()).unwrap()).collect();
            assert_eq!(offsets, dense, "{stream}: dense, and positions keep the order of the stream");
        }
    }
}

pub async fn readers_by_position_see_every_event_once(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let writers = (0..32).map(|writer| {
        let (store, cx) = (subject.store.clone(), if writer % 2 == 0 { cx.clone() } else { other.clone() });
        async move {
            for round in 0..20 {
                // Commits of different weight end in another order than they began.
                let mut commit = Commit::new();
                for part in 0..=(writer % 5) {
                    commit = commit.event(&noted(&format!("s{}", (writer + part) % 7), round));
                }
                store.commit(&cx, commit).await.unwrap();
            }
        }
    });
    let expected: usize = (0..32).map(|writer| 20 * (1 + writer % 5)).sum();
    let reader = async {
        let (mut seen, mut position) = (Vec::new(), 0);
        while seen.len() < expected {
            subject.log.sequence(50).await.unwrap();
            for event in
                subject.log.events_after(Scope::System, position, 17, &EventFilter::default()).await.unwrap()
            {
                assert!(event.position > position, "positions increase");
                position = event.position;
                seen.push(event.event_id);
            }
            tokio::task::yield_now().await;
        }
        seen
    };
    let (_, mut seen) = tokio::join!(futures_util::future::join_all(writers), reader);
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((count, seen.len()), (expected, expected), "each once, none skipped");
    let head = subject.log.head().await.unwrap();
    assert_eq!(head, i64::try_from(expected).unwrap(), "positions are dense");
}

pub async fn the_log_is_filtered(subject: Subject) {
    let cx = subject.organization();
    for number in 0..6 {
        let commit = Commit::new().event(&noted(if number % 2 == 0 { "a" } else { "b" }, number));
        subject.store.commit(&cx, commit).await.unwrap();
    }
    subject.sequenced().await;
    let read = async |after, limit, filter: EventFilter| {
        let events = subject.log.events_after(cx.scope, after, limit, &filter).await.unwrap();
        events.iter().map(|event| event.payload["number"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 100, EventFilter::default()).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(read(2, 2, EventFilter::default()).await, [2, 3]);
    let stream = EventFilter { stream: Some("specimen/b".to_owned()), ..EventFilter::default() };
    assert_eq!(read(0, 100, stream).await, [1, 3, 5]);
    let kinds = EventFilter { kinds: vec!["specimen.noted".to_owned()], ..EventFilter::default() };
    assert_eq!(read(4, 100, kinds).await, [4, 5]);
    let unknown = EventFilter { kinds: vec!["no.such".to_owned()], ..EventFilter::default() };
    assert_eq!(read(0, 100, unknown).await, Vec::<i64>::new());
    let future = EventFilter { since: Some(subject.clock.now().plus(60_000_000)), ..EventFilter::default() };
    assert_eq!(read(0, 100, future).await, Vec::<i64>::new());
    let first = subject.log.events_after(cx.scope, 0, 1, &EventFilter::default()).await.unwrap().remove(0);
    assert_eq!((first.epoch, first.offset, first.organization_id), (1, 1, cx.scope.organization()));
    assert_eq!((first.kind.as_str(), first.version, first.actor), ("specimen.noted", 1, cx.actor));
}
