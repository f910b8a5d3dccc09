use stoa_kernel::context::Actor;
use stoa_kernel::id::UserId;
use stoa_kernel::store::audit::Verifier;
use stoa_kernel::store::trail::AuditEntry;
use stoa_kernel::store::{Commit, EventFilter, Idempotency, Lag, Record as _, Reply, StoreErrorKind};

use super::{all, changed, insert, noted, refused, specimen};
use crate::{Specimen, Subject};

static EVERY: EventFilter = EventFilter { kinds: Vec::new(), stream: None, since: None };

fn once(subject: &Subject, key: &str, body: &str) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        fingerprint: [7; 32],
        reply: Reply {
            status: 201,
            headers: vec![("etag".to_owned(), "\"1\"".to_owned())],
            body: body.to_owned(),
        },
        expires: subject.clock.now().plus(60_000_000),
    }
}

pub async fn an_operation_with_a_key_happens_once(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    assert_eq!(subject.store.replayed(&cx, "k").await.unwrap(), None);
    let attempts = (0..8).map(|attempt| {
        let (store, cx, once) =
            (subject.store.clone(), cx.clone(), once(&subject, "k", &format!("canary-{attempt}")));
        let record = specimen(&subject, &cx, &format!("c{attempt}"));
        async move { store.commit(&cx, Commit::new().insert(&record).event(&noted("s", 1)).once(once)).await }
    });
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refusal in outcomes.into_iter().filter(Result::is_err) {
        refused(refusal, StoreErrorKind::Replayed, Some("idempotency_keys_pkey"));
    }
    assert_eq!(all(&subject, &cx).await.len(), 1);
    let replayed = subject.store.replayed(&cx, "k").await.unwrap().unwrap();
    assert_eq!((replayed.fingerprint, replayed.reply.status), ([7; 32], 201));
    assert!(replayed.reply.body.starts_with("canary-") && replayed.reply.headers[0].0 == "etag");
    // The key of another organization, or of another actor, is another key.
    assert_eq!(subject.store.replayed(&other, "k").await.unwrap(), None);
    let mut someone = cx.clone();
    someone.actor = Actor::User(UserId::from_raw(5).unwrap());
    assert_eq!(subject.store.replayed(&someone, "k").await.unwrap(), None);
    subject.store.commit(&someone, Commit::new().once(once(&subject, "k", "theirs"))).await.unwrap();
    subject.store.commit(&subject.system(), Commit::new().once(once(&subject, "k", "system"))).await.unwrap();
    // A key whose time is over may be used anew.
    let over = Idempotency { expires: subject.clock.now(), ..once(&subject, "short", "first") };
    subject.store.commit(&cx, Commit::new().once(over)).await.unwrap();
    assert_eq!(subject.store.replayed(&cx, "short").await.unwrap(), None);
    subject.store.commit(&cx, Commit::new().once(once(&subject, "short", "second"))).await.unwrap();
    assert_eq!(subject.store.replayed(&cx, "short").await.unwrap().unwrap().reply.body, "second");
}

pub async fn a_guarded_record_must_be_unchanged(subject: Subject) {
    let cx = subject.organization();
    let (guard, own) = (insert(&subject, &cx, "guard").await, insert(&subject, &cx, "own").await);
    let after = changed(&own, 2);
    subject.store.commit(&cx, Commit::new().unchanged(&guard).update(&own, &after)).await.unwrap();
    subject.store.commit(&cx, Commit::new().update(&guard, &changed(&guard, 2))).await.unwrap();
    let late = Commit::new().unchanged(&guard).update(&after, &changed(&after, 3));
    refused(subject.store.commit(&cx, late).await, StoreErrorKind::Conflict, Some("specimens_version"));
    let found = subject.store.find(&cx, Specimen::select().eq(Specimen::ID, &own.id)).await.unwrap();
    assert_eq!(found, Some(after));
}

pub async fn a_count_is_guarded_after_the_writes(subject: Subject) {
    let cx = subject.organization();
    let (a, b) = (insert(&subject, &cx, "a").await, insert(&subject, &cx, "b").await);
    let flagged = || Specimen::select().eq(Specimen::FLAG, &true);
    let drop =
        |record: &Specimen| Commit::new().delete(record).count("someone_is_left", flagged(), 1, i64::MAX);
    subject.store.commit(&cx, drop(&a)).await.unwrap();
    refused(subject.store.commit(&cx, drop(&b)).await, StoreErrorKind::Conflict, Some("someone_is_left"));
    assert_eq!(all(&subject, &cx).await, [b]);
    let many = Commit::new().insert(&specimen(&subject, &cx, "c")).count("only_one", flagged(), 0, 1);
    refused(subject.store.commit(&cx, many).await, StoreErrorKind::Conflict, Some("only_one"));
}

pub async fn two_commits_cannot_break_a_count_together(subject: Subject) {
    let cx = subject.organization();
    for round in 0..10 {
        let (a, b) = (
            insert(&subject, &cx, &format!("a{round}")).await,
            insert(&subject, &cx, &format!("b{round}")).await,
        );
        let flagged = || Specimen::select().eq(Specimen::FLAG, &true);
        let leave =
            |record: &Specimen| Commit::new().delete(record).count("someone_is_left", flagged(), 1, i64::MAX);
        let (one, two) =
            tokio::join!(subject.store.commit(&cx, leave(&a)), subject.store.commit(&cx, leave(&b)));
        assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
        let left = all(&subject, &cx).await;
        subject.store.commit(&cx, Commit::new().delete(&left[0])).await.unwrap();
    }
}

pub async fn the_audit_trail_holds_and_redacts(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let first = insert(&subject, &cx, "a").await;
    let second = changed(&first, 2);
    subject
        .store
        .commit(&cx, Commit::new().update(&first, &second).action("specimen.weighed"))
        .await
        .unwrap();
    subject.store.commit(&cx, Commit::new().delete(&second)).await.unwrap();
    futures_util::future::join_all((0..40).map(|number| {
        let cx = if number % 2 == 0 { &cx } else { &other };
        let subject = &subject;
        async move { insert(subject, cx, &format!("n{number}")).await }
    }))
    .await;
    let mut trails = subject.trail.trails().await.unwrap();
    trails.retain(|(organization, ..)| *organization != 0);
    assert_eq!(trails.len(), 2);
    for (organization, head, hash) in trails {
        let mut verifier = Verifier::default();
        let mut after = 0;
        loop {
            let entries = subject.trail.entries_after(organization, after, 7).await.unwrap();
            let Some(last) = entries.last() else { break };
            after = last.sequence;
            entries.iter().for_each(|entry| verifier.take(entry).unwrap());
            assert!(
                entries.iter().all(|entry| !entry.entry.diff.contains("canary")),
                "personal data is redacted"
            );
        }
        verifier.finish(head, &hash).unwrap();
    }
    let entries = subject.trail.entries_after(cx.scope.number(), 0, 3).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.entry.action.as_str()).collect();
    assert_eq!(actions, ["specimen.created", "specimen.weighed", "specimen.deleted"]);
    assert!(
        entries[1].entry.diff.contains(r#"{"op":"replace","path":"/number","value":2}"#),
        "{}",
        entries[1].entry.diff
    );
    assert_eq!(entries[1].entry.target, first.id.to_string());
    assert_eq!(entries[1].entry.request, cx.request.to_string());
}

pub async fn reads_see_what_was_committed_before(subject: Subject) {
    let cx = subject.organization();
    futures_util::future::join_all((0..20).map(|writer| {
        let (subject, cx) = (&subject, &cx);
        async move {
            let mut record = insert(subject, cx, &format!("w{writer}")).await;
            for number in 2..12 {
                let next = changed(&record, number);
                subject.store.commit(cx, Commit::new().update(&record, &next)).await.unwrap();
                let query = Specimen::select().eq(Specimen::ID, &record.id);
                record = subject.store.find(cx, query).await.unwrap().unwrap();
                assert_eq!(record, next);
            }
        }
    }))
    .await;
}

pub async fn a_commit_past_its_deadline_is_refused(subject: Subject) {
    let mut cx = subject.organization();
    let record = specimen(&subject, &cx, "late");
    cx.deadline = Some(subject.clock.now().plus(-1));
    let outcome = subject.store.commit(&cx, Commit::new().insert(&record)).await;
    refused(outcome, StoreErrorKind::Deadline, None);
    cx.deadline = Some(subject.clock.now().plus(20_000_000));
    assert_eq!(all(&subject, &cx).await, []);
    subject.store.commit(&cx, Commit::new().insert(&record)).await.unwrap();
}

pub async fn a_lease_has_one_holder(subject: Subject) {
    let leases = subject.leases.as_ref();
    let first = leases.acquire("leader", "a", 60_000_000).await.unwrap().unwrap();
    assert_eq!(leases.acquire("leader", "b", 60_000_000).await.unwrap(), None);
    let renewed = leases.acquire("leader", "a", 60_000_000).await.unwrap().unwrap();
    assert_eq!(renewed.token, first.token, "who holds it keeps the token");
    assert!(leases.acquire("other", "b", 60_000_000).await.unwrap().is_some());
    leases.release("leader", "b").await.unwrap();
    assert_eq!(
        leases.acquire("leader", "b", 60_000_000).await.unwrap(),
        None,
        "only the holder gives it back"
    );
    leases.release("leader", "a").await.unwrap();
    let second = leases.acquire("leader", "b", 0).await.unwrap().unwrap();
    assert!(second.token > first.token);
    let third =
        leases.acquire("leader", "a", 60_000_000).await.unwrap().expect("a lease that has ended is free");
    assert!(third.token > second.token);
    assert_eq!(leases.holder("leader").await.unwrap().as_deref(), Some("a"));
    leases.release("leader", "a").await.unwrap();
    assert_eq!(leases.holder("leader").await.unwrap(), None);
    assert_eq!(leases.holder("nothing").await.unwrap(), None);
    let many = futures_util::future::join_all((0..20).map(|holder| {
        let leases = subject.leases.clone();
        async move { leases.acquire("race", &holder.to_string(), 60_000_000).await.unwrap() }
    }));
    assert_eq!(many.await.iter().filter(|lease| lease.is_some()).count(), 1);
}

pub async fn sealed_columns_are_sealed_anew(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let (a, b) = (insert(&subject, &cx, "a").await, insert(&subject, &other, "b").await);
    let reseal = async |limit| {
        let done = subject.keyring.reseal(limit).await.unwrap();
        (done.resealed, done.unopened, done.more)
    };
    assert_eq!(reseal(100).await, (0, 0, false), "everything is sealed by the newest key");
    subject.keyring.check().await.unwrap();
    assert_eq!(subject.keyring.rotate().await.unwrap(), 2);
    assert_eq!(reseal(1).await, (1, 0, true), "in bounded steps");
    assert_eq!(reseal(100).await, (1, 0, false));
    assert_eq!(reseal(100).await, (0, 0, false));
    assert_eq!((all(&subject, &cx).await, all(&subject, &other).await), (vec![a.clone()], vec![b]));
    subject.store.commit(&cx, Commit::new().update(&a, &changed(&a, 2))).await.unwrap();
}

pub async fn what_has_expired_is_purged_in_bounded_steps(subject: Subject) {
    let cx = subject.organization();
    let now = subject.clock.now();
    for number in 0..5 {
        let expires = now.plus(if number == 4 { 60_000_000 } else { -1 });
        let once = Idempotency { expires, ..once(&subject, &format!("k{number}"), "{}") };
        subject.store.commit(&cx, Commit::new().once(once)).await.unwrap();
    }
    assert_eq!(subject.upkeep.purge_expired(3).await.unwrap(), 3, "in bounded steps");
    assert_eq!(subject.upkeep.purge_expired(100).await.unwrap(), 1);
    assert_eq!(subject.upkeep.purge_expired(100).await.unwrap(), 0);
    assert!(subject.store.replayed(&cx, "k4").await.unwrap().is_some(), "what has not expired stays");
}

pub async fn a_note_is_in_the_audit_trail_and_changes_nothing(subject: Subject) {
    let cx = subject.organization();
    subject.store.commit(&cx, Commit::new().note("session.refused", "user", "usr_1")).await.unwrap();
    let trail = subject.trail.entries_after(cx.scope.number(), 0, 10).await.unwrap();
    assert_eq!(trail.len(), 1, "{trail:?}");
    let entry = &trail[0];
    let said = (
        entry.entry.action.as_str(),
        entry.entry.target_kind.as_str(),
        entry.entry.target.as_str(),
        entry.entry.diff.as_str(),
    );
    assert_eq!(said, ("session.refused", "user", "usr_1", "[]"));
    let read = AuditEntry::select()
        .eq(AuditEntry::ACTION, &"session.refused".to_owned())
        .ascending(AuditEntry::SEQUENCE);
    assert_eq!(subject.store.list(&cx, read.clone()).await.unwrap().len(), 1);
    assert_eq!(
        subject.store.list(&subject.organization(), read).await.unwrap().len(),
        0,
        "a trail is its organization's"
    );
}

pub async fn an_organization_is_purged_in_bounded_steps_and_nobody_else_is_touched(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    for cx in [&cx, &other] {
        for code in ["a", "b", "c"] {
            insert(&subject, cx, code).await;
        }
        subject
            .store
            .commit(cx, Commit::new().event(&noted("s", 1)).once(once(&subject, "k", "{}")))
            .await
            .unwrap();
    }
    subject.sequenced().await;
    let id = cx.scope.organization().unwrap();
    assert_eq!(subject.upkeep.purge_organization(id, 2).await.unwrap(), 2, "in bounded steps");
    while subject.upkeep.purge_organization(id, 2).await.unwrap() > 0 {}
    assert_eq!(all(&subject, &cx).await.len(), 0);
    assert_eq!(subject.store.replayed(&cx, "k").await.unwrap(), None);
    let events = |scope| subject.log.events_after(scope, 0, 100, &EVERY);
    assert_eq!(events(cx.scope).await.unwrap().len(), 0);
    assert!(!subject.trail.entries_after(id.to_i64(), 0, 10).await.unwrap().is_empty(), "the trail stays");
    assert_eq!((all(&subject, &other).await.len(), events(other.scope).await.unwrap().len()), (3, 1));
    assert!(subject.store.replayed(&other, "k").await.unwrap().is_some());
}

pub async fn a_look_into_the_database_names_its_tables(subject: Subject) {
    insert(&subject, &subject.organization(), "a").await;
    let insight = subject.upkeep.insight().await.unwrap();
    assert!(["sqlite", "postgresql"].contains(&insight.engine) && !insight.version.is_empty());
    assert!(insight.bytes > 0 && insight.migration >= 1 && insight.pool.open >= 1, "{insight:?}");
    for name in ["specimens", "events", "audit_entries"] {
        let table = insight.tables.iter().find(|table| table.name == name);
        assert!(table.is_some_and(|table| table.rows.is_some() && table.bytes.is_some()), "{name}");
    }
    assert!(insight.indexes.iter().any(|index| index.table == "events"));
    assert_eq!(insight.waiting, []);
    assert_eq!(subject.upkeep.migration().await.unwrap(), insight.migration);
}

pub async fn the_log_says_how_far_behind_it_is(subject: Subject) {
    let cx = subject.organization();
    for number in 0..3 {
        subject.store.commit(&cx, Commit::new().event(&noted("s", number))).await.unwrap();
    }
    let lag = subject.log.lag().await.unwrap();
    assert_eq!(lag.waiting > 0, lag.oldest.is_some(), "{lag:?}");
    assert!(lag.waiting <= 3);
    subject.sequenced().await;
    assert_eq!(subject.log.lag().await.unwrap(), Lag::default());
}

pub async fn a_ping_answers(subject: Subject) {
    subject.store.ping().await.unwrap();
    let empty = subject.store.commit(&subject.organization(), Commit::new()).await.unwrap();
    assert!(empty.events.is_empty());
}
