//! What a store does for workers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stoa_jobs::Kind;
use stoa_jobs::letters::Watcher;
use stoa_jobs::queue::{Again, Claim, Finish, Held};
use stoa_jobs::share::Strides;
use stoa_kernel::clock::Manual;
use stoa_kernel::context::Context;
use stoa_kernel::store::queue::{
    Attempt, EndState, FinishedJob, JobHold, JobState, PAYLOAD_BYTES_MAX, QueueSetting, QueuedJob,
};
use stoa_kernel::store::{
    Commit, Duplicate, Ended, Job, JobEnd, Priority, Record as _, StoreError, StoreErrorKind,
};

use super::{all, insert, noted, refused, specimen};
use crate::Subject;

const MINUTE_US: i64 = 60_000_000;

fn job(number: usize) -> Job {
    Job::new("default", "test.work", format!("{{\"number\":{number}}}"))
}

fn ask(room: u32) -> Claim {
    Claim {
        holder: "one".to_owned(),
        lease_us: MINUTE_US,
        queues: vec!["default".to_owned(), "other".to_owned()],
        room,
        room_late: room,
        after: -1,
        strides: Strides::default(),
        tenant: u32::MAX,
        tenants: Vec::new(),
        lot: 7,
    }
}

async fn enqueue(subject: &Subject, cx: &Context, jobs: impl IntoIterator<Item = Job>) {
    let commit = jobs.into_iter().fold(Commit::new(), Commit::job);
    subject.store.commit(cx, commit).await.unwrap();
}

async fn claim(subject: &Subject, ask: &Claim) -> Vec<QueuedJob> {
    subject.queue.claim(ask).await.unwrap().jobs
}

fn numbers(jobs: &[QueuedJob]) -> Vec<i64> {
    jobs.iter().map(|job| job.payload.0["number"].as_i64().unwrap()).collect()
}

fn held(job: &QueuedJob) -> Held {
    Held { id: job.id, version: job.version }
}

fn end(job: &QueuedJob, how: Ended) -> JobEnd {
    let order_key = job.order_key.clone();
    JobEnd { id: job.id, organization: job.organization_id, version: job.version, order_key, how }
}

fn done(job: &QueuedJob) -> JobEnd {
    end(job, Ended::Completed(None, MINUTE_US))
}

async fn ended(subject: &Subject, cx: &Context, end: JobEnd) -> Result<(), StoreError> {
    subject.store.commit(cx, Commit::new().end(end)).await.map(drop)
}

async fn live(subject: &Subject) -> Vec<QueuedJob> {
    let all = QueuedJob::select().ascending(QueuedJob::SEQUENCE);
    subject.store.list(&subject.system(), all).await.unwrap()
}

async fn finished(subject: &Subject) -> Vec<FinishedJob> {
    let all = FinishedJob::select().ascending(FinishedJob::ID);
    subject.store.list(&subject.system(), all).await.unwrap()
}

pub async fn a_job_is_enqueued_with_its_commit_or_not_at_all(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let keyed = |number| Job { dedupe_key: Some("k".to_owned()), ..job(number) };
    enqueue(&subject, &cx, [job(1), job(2), keyed(3)]).await;
    let strict = Job { on_duplicate: Duplicate::Refuse, ..keyed(4) };
    let again = subject.store.commit(&cx, Commit::new().event(&noted("s", 1)).job(strict)).await;
    refused(again, StoreErrorKind::Duplicate, Some("jobs_dedupe_key"));
    // One that may be skipped is, and the rest of the commit stands.
    let record = specimen(&subject, &cx, "kept");
    subject.store.commit(&cx, Commit::new().insert(&record).job(keyed(5)).job(job(6))).await.unwrap();
    enqueue(&subject, &other, [keyed(7), Job { queue: "other".to_owned(), ..keyed(8) }]).await;
    assert_eq!(all(&subject, &cx).await.len(), 1);
    assert_eq!(numbers(&live(&subject).await), [1, 2, 3, 6, 7, 8]);
    let long = Job::new("default", "test.work", format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX)));
    refused(subject.store.commit(&cx, Commit::new().job(long)).await, StoreErrorKind::Invalid, None);
    let theirs = Job { organization: other.scope.organization(), ..job(9) };
    refused(subject.store.commit(&cx, Commit::new().job(theirs)).await, StoreErrorKind::Invalid, None);
    // An organization sees its own; its context travels with the job.
    let seen = subject.store.list(&cx, QueuedJob::select().ascending(QueuedJob::SEQUENCE)).await.unwrap();
    assert_eq!((numbers(&seen), &seen[0].context.0), (vec![1, 2, 3, 6], &cx));
    let theirs = seen[0].clone();
    refused(ended(&subject, &other, done(&theirs)).await, StoreErrorKind::Invalid, None);
    let disguised = JobEnd { organization: other.scope.number(), ..done(&theirs) };
    ended(&subject, &other, disguised).await.unwrap_err();
}

pub async fn every_job_is_claimed_by_one_of_many_workers(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    for number in 0..8 {
        let cx = if number % 2 == 0 { &cx } else { &other };
        enqueue(&subject, cx, (0..10).map(|each| job(number * 10 + each))).await;
    }
    let work = (0..4).map(|worker| {
        let (queue, ask) = (subject.queue.clone(), Claim { holder: format!("w{worker}"), ..ask(7) });
        async move {
            let (mut own, mut misses) = (Vec::new(), 0);
            // Another worker may hold what there is for a moment.
            while misses < 50 {
                let jobs = queue.claim(&ask).await.unwrap().jobs;
                misses = if jobs.is_empty() { misses + 1 } else { 0 };
                assert!(jobs.iter().all(|job| job.holder.as_deref() == Some(ask.holder.as_str())));
                own.extend(numbers(&jobs));
            }
            own
        }
    });
    let claimed = futures_util::future::join_all(work).await.concat();
    assert_eq!(claimed.len(), 80);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 80);
    assert!(live(&subject).await.iter().all(|job| job.state == JobState::Running && job.attempts == 1));
}

pub async fn a_claim_takes_what_is_urgent_and_gives_everybody_a_turn(subject: Subject) {
    let (cx, other, third) = (subject.organization(), subject.organization(), subject.organization());
    enqueue(&subject, &cx, (0..20).map(job)).await;
    enqueue(&subject, &other, [job(100)]).await;
    enqueue(
        &subject,
        &third,
        [Job { priority: Priority::High, ..job(200) }, Job { priority: Priority::Low, ..job(300) }],
    )
    .await;
    let first = claim(&subject, &ask(4)).await;
    assert_eq!(numbers(&first)[0], 200, "{first:?}");
    let of_first: HashSet<i64> = numbers(&first).into_iter().collect();
    assert!(of_first.is_superset(&HashSet::from([200, 0, 100])), "{of_first:?}");
    // Those that are not urgent leave room.
    enqueue(&subject, &third, [Job { priority: Priority::Critical, ..job(400) }]).await;
    let second = claim(&subject, &Claim { room_late: 1, ..ask(10) }).await;
    assert_eq!((numbers(&second)[0], second.len()), (400, 2), "{second:?}");
    // In the order of enqueueing, in parts, from where the last claim ended.
    let rest = claim(&subject, &ask(100)).await;
    let of_one: Vec<i64> = numbers(&rest).into_iter().filter(|number| *number < 100).collect();
    assert!(of_one.is_sorted() && rest.len() + first.len() + second.len() == 24, "{of_one:?}");
    enqueue(&subject, &cx, [job(500)]).await;
    enqueue(&subject, &other, [job(600)]).await;
    let (low, high) =
        (cx.scope.number().min(other.scope.number()), cx.scope.number().max(other.scope.number()));
    let beyond = claim(&subject, &Claim { after: low, ..ask(100) }).await;
    assert_eq!(beyond.iter().map(|job| job.organization_id).collect::<Vec<_>>(), [high]);
}

pub async fn what_is_paused_on_hold_or_full_is_not_claimed(subject: Subject) {
    let (cx, other, system) = (subject.organization(), subject.organization(), subject.system());
    let elsewhere = |number| Job { queue: "other".to_owned(), ..job(number) };
    enqueue(&subject, &cx, [job(1), job(2), job(3), elsewhere(4)]).await;
    enqueue(&subject, &other, [job(5)]).await;
    let now = subject.clock.now();
    let setting = |name: &str, paused, limit| QueueSetting {
        name: name.to_owned(),
        paused_at: paused,
        concurrency_max: limit,
        version: 1,
        updated_at: now,
    };
    let hold = JobHold { organization_id: other.scope.number(), created_at: now };
    let (paused, limited) = (setting("other", Some(now), None), setting("default", None, Some(2)));
    let set = Commit::new().insert(&paused).insert(&limited).insert(&hold);
    subject.store.commit(&system, set).await.unwrap();
    let first = claim(&subject, &ask(10)).await;
    assert_eq!(numbers(&first), [1, 2]);
    assert_eq!(claim(&subject, &ask(10)).await, []);
    ended(&subject, &cx, done(&first[0])).await.unwrap();
    assert_eq!(numbers(&claim(&subject, &ask(10)).await), [3]);
    let open = QueueSetting { concurrency_max: None, version: 2, ..limited.clone() };
    let on = QueueSetting { paused_at: None, version: 2, ..paused.clone() };
    let set = Commit::new().update(&limited, &open).update(&paused, &on).delete(&hold);
    subject.store.commit(&system, set).await.unwrap();
    let rest: HashSet<i64> = numbers(&claim(&subject, &ask(10)).await).into_iter().collect();
    assert_eq!(rest, HashSet::from([4, 5]));
}

pub async fn jobs_of_a_mailbox_run_one_at_a_time_in_their_order(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let mail = |number, key: &str| Job { order_key: Some(key.to_owned()), ..job(number) };
    enqueue(&subject, &cx, [mail(1, "a"), mail(2, "a"), mail(11, "b")]).await;
    enqueue(&subject, &cx, [mail(3, "a"), mail(4, "a")]).await;
    enqueue(&subject, &other, [mail(21, "a")]).await;
    let first = claim(&subject, &ask(10)).await;
    let of_cx =
        |jobs: &[QueuedJob]| numbers(jobs).into_iter().filter(|number| *number < 10).collect::<Vec<_>>();
    assert_eq!((of_cx(&first), first.len()), (vec![1], 3));
    let head = first.iter().find(|job| job.payload.0["number"] == 1).unwrap();
    // A head that is tried again is not overtaken.
    let later = Again { held: held(head), delay_us: 0, attempts: 1, errors: Vec::new() };
    assert!(subject.queue.again(&later).await.unwrap());
    let second = claim(&subject, &ask(10)).await;
    assert_eq!(of_cx(&second), [1]);
    ended(&subject, &cx, done(&second[0])).await.unwrap();
    let third = claim(&subject, &ask(10)).await;
    assert_eq!(of_cx(&third), [2]);
    // A dead head that holds its mailbox holds it, until it is discarded; another one lets it go on.
    let dead =
        |holds| Ended::Failed { reason: "test".to_owned(), errors: Vec::new(), holds, keep_us: MINUTE_US };
    ended(&subject, &cx, end(&third[0], dead(true))).await.unwrap();
    assert_eq!(claim(&subject, &ask(10)).await, []);
    let holding = live(&subject).await.into_iter().find(|job| job.state == JobState::Holding).unwrap();
    ended(&subject, &cx, end(&holding, Ended::Discarded)).await.unwrap();
    let fourth = claim(&subject, &ask(10)).await;
    assert_eq!(of_cx(&fourth), [3]);
    // One that waits can be cancelled, and lets nobody overtake.
    enqueue(&subject, &cx, [mail(5, "a")]).await;
    let waiting = live(&subject).await.into_iter().find(|job| job.payload.0["number"] == 4).unwrap();
    ended(&subject, &cx, end(&waiting, Ended::Cancelled(MINUTE_US))).await.unwrap();
    assert_eq!(claim(&subject, &ask(10)).await, []);
    ended(&subject, &cx, end(&fourth[0], dead(false))).await.unwrap();
    assert_eq!(of_cx(&claim(&subject, &ask(10)).await), [5]);
}

pub async fn mailboxes_keep_their_order_under_contention(subject: Subject) {
    let organizations = [subject.organization(), subject.organization()];
    let enqueueing = (0..4).map(|writer| {
        let (store, cx) = (subject.store.clone(), organizations[writer % 2].clone());
        async move {
            for number in 0..15 {
                let order_key = Some(format!("box{}", writer / 2));
                let commit = Commit::new().job(Job { order_key, ..job(number) });
                store.commit(&cx, commit).await.unwrap();
            }
        }
    });
    let all = Arc::new(AtomicUsize::new(0));
    let working = (0..3).map(|worker| {
        let (queue, store, ask) =
            (subject.queue.clone(), subject.store.clone(), Claim { holder: format!("w{worker}"), ..ask(2) });
        let (system, clock, claimed) = (subject.system(), subject.clock.clone(), all.clone());
        async move {
            let mut seen = Vec::new();
            let until = clock.steady().plus(20_000_000);
            while claimed.load(Ordering::Relaxed) < 60 && clock.steady() < until {
                let jobs = queue.claim(&ask).await.unwrap().jobs;
                claimed.fetch_add(jobs.len(), Ordering::Relaxed);
                for job in jobs {
                    let place = (job.organization_id, job.order_key.clone().unwrap());
                    seen.push((place, job.sequence, job.payload.0["number"].as_i64().unwrap()));
                    let cx = system.within(job.context.0.scope);
                    store.commit(&cx, Commit::new().end(done(&job))).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
            seen
        }
    });
    let (_, seen) = futures_util::future::join(
        futures_util::future::join_all(enqueueing),
        futures_util::future::join_all(working),
    )
    .await;
    let mut seen: Vec<_> = seen.concat();
    assert_eq!(seen.len(), 60, "a mailbox stands still");
    // Of one mailbox, whoever did them: the order of enqueueing is the order in which one writer asked.
    seen.sort();
    for pair in seen.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert!(pair[0].2 < pair[1].2, "{pair:?}");
    }
    assert_eq!(live(&subject).await, []);
}

pub async fn whoever_has_lost_a_job_can_do_nothing_to_it(subject: Subject) {
    let cx = subject.organization();
    enqueue(&subject, &cx, [job(1), job(2)]).await;
    let first = claim(&subject, &Claim { lease_us: 1, ..ask(1) }).await;
    let kept = claim(&subject, &ask(1)).await;
    let mut tidied = subject.queue.tidy(10).await.unwrap();
    while tidied.lost == 0 {
        tidied = subject.queue.tidy(10).await.unwrap();
    }
    assert_eq!((tidied.lost, tidied.due), (1, 0));
    let second = claim(&subject, &Claim { holder: "two".to_owned(), ..ask(5) }).await;
    assert_eq!((second.len(), second[0].id, second[0].attempts), (1, first[0].id, 2));
    assert!(second[0].version > first[0].version);
    let late = held(&first[0]);
    let record = specimen(&subject, &cx, "late");
    let commit = Commit::new().insert(&record).end(done(&first[0]));
    refused(subject.store.commit(&cx, commit).await, StoreErrorKind::Conflict, Some("jobs_version"));
    assert_eq!(all(&subject, &cx).await, [], "an effect without its end is none");
    assert_eq!(subject.queue.finish(&[Finish { held: late, keep_us: 1 }]).await.unwrap(), []);
    assert!(!subject.queue.progress(late, 5, None).await.unwrap());
    let again = Again { held: late, delay_us: 0, attempts: 0, errors: Vec::new() };
    assert!(!subject.queue.again(&again).await.unwrap());
    let both = [late, held(&kept[0]), held(&second[0])];
    let still = subject.queue.renew(&both, MINUTE_US).await.unwrap();
    assert_eq!(still.into_iter().collect::<HashSet<_>>(), both[1..].iter().copied().collect());
    let commit = Commit::new().insert(&record).end(done(&second[0]));
    subject.store.commit(&cx, commit).await.unwrap();
    assert_eq!(all(&subject, &cx).await.len(), 1);
}

pub async fn ended_jobs_are_kept_as_long_as_they_say(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    enqueue(&subject, &cx, (1..6).map(|number| Job { batch_key: Some("b".to_owned()), ..job(number) })).await;
    enqueue(&subject, &other, [job(9)]).await;
    let jobs = claim(&subject, &ask(10)).await;
    let of = |number: i64| jobs.iter().find(|job| job.payload.0["number"] == number).unwrap();
    assert!(subject.queue.progress(held(of(1)), 40, Some("at it")).await.unwrap());
    let result = Ended::Completed(Some("{\"canary\":true}".to_owned()), MINUTE_US);
    ended(&subject, &cx, end(of(1), result)).await.unwrap();
    ended(&subject, &cx, end(of(2), Ended::Cancelled(MINUTE_US))).await.unwrap();
    ended(&subject, &cx, end(of(3), Ended::Completed(None, 0))).await.unwrap();
    let finish = [
        Finish { held: held(of(4)), keep_us: MINUTE_US },
        Finish { held: held(of(5)), keep_us: 0 },
        Finish { held: held(of(9)), keep_us: 1 },
    ];
    assert_eq!(subject.queue.finish(&finish).await.unwrap().len(), 3);
    let found = finished(&subject).await;
    assert_eq!(found.len(), 4, "{found:?}");
    let kept = found.iter().find(|job| job.id == of(1).id).unwrap();
    assert_eq!((kept.state, kept.message.as_deref()), (EndState::Completed, Some("at it")));
    assert_eq!((&kept.result.as_ref().unwrap().0["canary"], kept.attempts), (&true.into(), 1));
    assert_eq!(found.iter().find(|job| job.id == of(2).id).unwrap().state, EndState::Cancelled);
    assert_eq!(live(&subject).await, []);
    let own = FinishedJob::select().eq(FinishedJob::BATCH_KEY, &Some("b".to_owned()));
    assert_eq!(subject.store.count(&cx, own).await.unwrap(), 3);
    while subject.upkeep.purge_expired(10).await.unwrap() == 0 {}
    assert_eq!(finished(&subject).await.len(), 3);
}

pub async fn jobs_are_tried_again_when_their_time_comes(subject: Subject) {
    let cx = subject.organization();
    let later = Job { run_at: Some(subject.clock.now().plus(MINUTE_US)), ..job(1) };
    enqueue(&subject, &cx, [later, job(2)]).await;
    let found = claim(&subject, &ask(10)).await;
    assert_eq!(numbers(&found), [2]);
    let error =
        Attempt { attempt: 1, at: subject.clock.now(), code: "test".to_owned(), message: "no".to_owned() };
    let again = Again { held: held(&found[0]), delay_us: 30_000, attempts: 1, errors: vec![error.clone()] };
    assert!(subject.queue.again(&again).await.unwrap());
    let mut tidied = subject.queue.tidy(10).await.unwrap();
    while tidied.due == 0 {
        assert!(tidied.next_us.is_some_and(|next| next <= 30_000), "{tidied:?}");
        tidied = subject.queue.tidy(10).await.unwrap();
    }
    assert!(tidied.next_us.is_some_and(|next| next > 30_000_000), "the other one is next: {tidied:?}");
    let found = claim(&subject, &ask(10)).await;
    assert_eq!((numbers(&found), found[0].attempts, &found[0].errors.0), (vec![2], 2, &vec![error.clone()]));
    let dead =
        Ended::Failed { reason: "exhausted".to_owned(), errors: vec![error], holds: false, keep_us: 1 };
    ended(&subject, &cx, end(&found[0], dead)).await.unwrap();
    let letter = live(&subject).await.into_iter().find(|job| job.payload.0["number"] == 2).unwrap();
    assert_eq!((letter.state, letter.reason.as_deref()), (JobState::Failed, Some("exhausted")));
    assert!(letter.failed_at.is_some() && letter.holder.is_none());
    let depths = subject.queue.depths().await.unwrap();
    assert_eq!(depths.len(), 1);
    assert_eq!((depths[0].scheduled, depths[0].failed, depths[0].ready), (1, 1, 0));
    while subject.upkeep.purge_expired(10).await.unwrap() == 0 {}
    assert_eq!(live(&subject).await.len(), 1);
}

pub async fn a_running_job_is_told_to_stop(subject: Subject) {
    let cx = subject.organization();
    enqueue(&subject, &cx, [job(1), job(2)]).await;
    let found = claim(&subject, &ask(10)).await;
    assert_eq!(subject.queue.cancelled("one").await.unwrap(), []);
    let now = subject.clock.now();
    // Asking does not take it from its worker: the token stays.
    insert(&subject, &cx, "a").await;
    assert!(subject.queue.ask_to_stop(held(&found[0]), now).await.unwrap());
    assert_eq!(subject.queue.cancelled("one").await.unwrap(), [found[0].id]);
    assert_eq!(subject.queue.cancelled("two").await.unwrap(), []);
    assert_eq!(subject.queue.finish(&[Finish { held: held(&found[0]), keep_us: 0 }]).await.unwrap().len(), 1);
    assert!(!subject.queue.ask_to_stop(held(&found[0]), now).await.unwrap());
}

pub async fn a_mailbox_whose_first_was_skipped_goes_on(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let keyed = |number, how| Job {
        order_key: Some("a".to_owned()),
        dedupe_key: Some("k".to_owned()),
        on_duplicate: how,
        ..job(number)
    };
    let plain = |number| Job { order_key: Some("a".to_owned()), ..job(number) };
    let elsewhere = Job { order_key: None, ..keyed(0, Duplicate::Skip) };
    enqueue(&subject, &cx, [elsewhere]).await;
    // The first is not enqueued, so the second is the first.
    enqueue(&subject, &cx, [keyed(1, Duplicate::Skip), plain(2)]).await;
    // Both are, in their order, however they are enqueued.
    enqueue(&subject, &other, [keyed(3, Duplicate::Refuse), plain(4)]).await;
    let first: HashSet<i64> = numbers(&claim(&subject, &ask(10)).await).into_iter().collect();
    assert_eq!(first, HashSet::from([0, 2, 3]));
}

pub async fn an_organization_has_no_more_places_than_it_may(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    enqueue(&subject, &cx, (0..20).map(|number| Job { priority: Priority::Critical, ..job(number) })).await;
    enqueue(&subject, &other, [job(100)]).await;
    let busy = vec![(cx.scope.number(), 2)];
    let claimed = subject.queue.claim(&Claim { tenant: 6, tenants: busy, ..ask(10) }).await.unwrap();
    let taken = numbers(&claimed.jobs);
    assert_eq!((taken.len(), taken.contains(&100), claimed.has_more), (5, true, true), "{taken:?}");
}

static TRIED: Kind = Kind::new("test.work", "default", "For tests.");

pub async fn dead_letters_are_taken_back_when_some_time_has_passed(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    enqueue(&subject, &cx, [job(1), job(2), Job { replays: 3, ..job(3) }]).await;
    enqueue(&subject, &other, [Job { order_key: Some("a".to_owned()), ..job(4) }]).await;
    for found in claim(&subject, &ask(10)).await {
        let reason = if found.payload.0["number"] == 2 { "refused" } else { "attempts_exhausted" };
        let how = Ended::Failed {
            reason: reason.to_owned(),
            errors: Vec::new(),
            holds: found.order_key.is_some(),
            keep_us: MINUTE_US,
        };
        ended(&subject, &subject.system(), end(&found, how)).await.unwrap();
    }
    let watcher = |after_us| Watcher {
        store: subject.store.clone(),
        clock: Arc::new(Manual::at(subject.clock.now().plus(after_us))),
        kinds: vec![&TRIED],
    };
    assert_eq!(watcher(0).round(&subject.system()).await.unwrap(), 0, "they have only just failed");
    assert_eq!(watcher(10 * MINUTE_US).round(&subject.system()).await.unwrap(), 2);
    let again = claim(&subject, &ask(10)).await;
    assert_eq!(numbers(&again).into_iter().collect::<HashSet<_>>(), HashSet::from([1, 4]));
    assert!(again.iter().all(|job| job.replays == 1 && job.attempts == 1));
    let theirs = again.iter().find(|job| job.order_key.is_some()).unwrap();
    assert_eq!(theirs.organization_id, other.scope.number(), "it is still whose it was");
}
