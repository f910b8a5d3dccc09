//! What schedules rely on: leases by the clock of the database, and commits that are refused when somebody else was faster.

use std::time::Duration;

use serde_json::json;
use stoa_jobs::schedule::{
    LEASE_NAME, Misfire, NEVER, Overlap, Own, Schedule, ScheduleClock, Scheduler, Timing,
};
use stoa_jobs::{Kind, PROBE};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::ScheduleId;
use stoa_kernel::store::queue::{JobHold, QueuedJob};
use stoa_kernel::store::{Commit, Ended, JobEnd, Json, Record as _};

use crate::Subject;

const HOUR_US: i64 = 3_600_000_000;

fn scheduler(subject: &Subject, holder: &str) -> Scheduler {
    Scheduler {
        store: subject.store.clone(),
        leases: subject.leases.clone(),
        ids: subject.ids.clone(),
        holder: holder.to_owned(),
        own: Vec::new(),
    }
}

/// A schedule that was due some seconds ago, every hour.
async fn due(subject: &Subject, cx: &Context, name: &str, overlap: Overlap) -> ScheduleId {
    let now = subject.clock.now();
    let instant = now.plus(-5_000_000);
    let schedule = Schedule {
        id: subject.ids.next().unwrap(),
        organization_id: cx.scope.number(),
        name: name.parse().unwrap(),
        kind: "probe".to_owned(),
        queue: "default".to_owned(),
        payload: Json(json!({"of": name})),
        priority: 1,
        timing: Json(Timing::Every { seconds: 3_600, from: instant }),
        misfire: Misfire::RunOnce,
        catch_up_max: 1,
        overlap,
        jitter_s: 0,
        paused_at: None,
        context: Json(cx.clone()),
        is_own: false,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let clock = ScheduleClock {
        id: schedule.id,
        organization_id: schedule.organization_id,
        next_at: instant,
        last_at: None,
        last_job_id: None,
        fired: 0,
        skipped: 0,
        version: 1,
    };
    subject.store.commit(cx, Commit::new().insert(&schedule).insert(&clock)).await.unwrap();
    schedule.id
}

async fn clock(subject: &Subject, id: ScheduleId) -> ScheduleClock {
    let found = ScheduleClock::select().eq(ScheduleClock::ID, &id);
    subject.store.find(&subject.system(), found).await.unwrap().unwrap()
}

async fn jobs(subject: &Subject) -> Vec<QueuedJob> {
    let all = QueuedJob::select().ascending(QueuedJob::SEQUENCE);
    subject.store.list(&subject.system(), all).await.unwrap()
}

/// Sets a clock back, as if its next instant had come.
async fn wind(subject: &Subject, id: ScheduleId) {
    let before = clock(subject, id).await;
    let after = ScheduleClock {
        next_at: subject.clock.now().plus(-1_000),
        version: before.version + 1,
        ..before.clone()
    };
    subject.store.commit(&subject.system(), Commit::new().update(&before, &after)).await.unwrap();
}

pub async fn a_schedule_fires_once_for_an_instant_whoever_leads(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let mut ids = Vec::new();
    for number in 0..6 {
        let cx = if number % 2 == 0 { &cx } else { &other };
        ids.push(due(&subject, cx, &format!("s{number}"), Overlap::Allow).await);
    }
    // All of them take themselves for the leader at the same time.
    let (first, second, third) =
        (scheduler(&subject, "one"), scheduler(&subject, "one"), scheduler(&subject, "one"));
    let round = async |scheduler: &Scheduler| {
        let mut is_leading = false;
        for _ in 0..3 {
            scheduler.round(&mut is_leading).await.unwrap();
        }
        assert!(is_leading);
    };
    tokio::join!(round(&first), round(&second), round(&third));
    let found = jobs(&subject).await;
    assert_eq!(found.len(), ids.len());
    for id in ids {
        let clock = clock(&subject, id).await;
        let own: Vec<&QueuedJob> = found.iter().filter(|job| Some(job.id) == clock.last_job_id).collect();
        assert_eq!((own.len(), clock.fired, clock.skipped), (1, 1, 0));
        assert_eq!((own[0].organization_id, own[0].priority), (clock.organization_id, 1));
        assert_eq!(own[0].context.0.scope.number(), clock.organization_id, "it is done for whose it is");
        assert_eq!(clock.next_at.0 - clock.last_at.unwrap().0, HOUR_US);
        assert_eq!(own[0].dedupe_key, Some(format!("{id}@{}", clock.last_at.unwrap().0)));
    }
}

pub async fn one_process_fires_and_the_next_takes_over(subject: Subject) {
    let cx = subject.organization();
    let (first, second) = (scheduler(&subject, "one"), scheduler(&subject, "two"));
    let (mut first_leads, mut second_leads) = (false, false);
    first.round(&mut first_leads).await.unwrap();
    let id = due(&subject, &cx, "due", Overlap::Allow).await;
    let rest = second.round(&mut second_leads).await.unwrap();
    assert!(first_leads && !second_leads && rest <= Duration::from_secs(1));
    assert_eq!(clock(&subject, id).await.fired, 0, "who does not lead fires nothing");
    // The leader ends; the next one is there at its next look.
    subject.leases.release(LEASE_NAME, "one").await.unwrap();
    second.round(&mut second_leads).await.unwrap();
    first.round(&mut first_leads).await.unwrap();
    assert!(second_leads && !first_leads);
    assert_eq!((clock(&subject, id).await.fired, jobs(&subject).await.len()), (1, 1));
    // Nothing is due: it says how long nothing will be, and looks before that all the same.
    let rest = second.round(&mut second_leads).await.unwrap();
    assert_eq!(rest, Duration::from_secs(1));
}

pub async fn schedules_of_an_organization_on_hold_wait(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let held = due(&subject, &cx, "held", Overlap::Allow).await;
    let free = due(&subject, &other, "free", Overlap::Allow).await;
    let hold = JobHold { organization_id: cx.scope.number(), created_at: Micros(0) };
    subject.store.commit(&cx, Commit::new().insert(&hold)).await.unwrap();
    let scheduler = scheduler(&subject, "one");
    let mut is_leading = false;
    for _ in 0..3 {
        scheduler.round(&mut is_leading).await.unwrap();
    }
    assert_eq!((clock(&subject, held).await.fired, clock(&subject, free).await.fired), (0, 1));
    subject.store.commit(&cx, Commit::new().delete(&hold)).await.unwrap();
    scheduler.round(&mut is_leading).await.unwrap();
    assert_eq!((clock(&subject, held).await.fired, jobs(&subject).await.len()), (1, 2));
}

pub async fn what_overlaps_fires_waits_or_is_passed_over(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let allowed = due(&subject, &cx, "allow", Overlap::Allow).await;
    let queued = due(&subject, &other, "queue", Overlap::Queue).await;
    let skipped = due(&subject, &cx, "skip", Overlap::Skip).await;
    let scheduler = scheduler(&subject, "one");
    let mut is_leading = false;
    let mut again = async || {
        scheduler.round(&mut is_leading).await.unwrap();
        for id in [allowed, queued, skipped] {
            wind(&subject, id).await;
        }
        scheduler.round(&mut is_leading).await.unwrap();
    };
    again().await;
    let count = async |id| {
        let clock = clock(&subject, id).await;
        (clock.fired, clock.skipped)
    };
    assert_eq!((count(allowed).await, count(queued).await, count(skipped).await), ((2, 0), (2, 0), (1, 1)));
    let found = jobs(&subject).await;
    let mailbox = Some(format!("schedule:{queued}"));
    assert_eq!(found.iter().filter(|job| job.order_key == mailbox).count(), 2, "one after the other");
    assert_eq!(found.len(), 5);
    // When the job has ended, it fires again.
    let last = clock(&subject, skipped).await.last_job_id;
    let running = found.iter().find(|job| Some(job.id) == last).unwrap();
    let end = JobEnd {
        id: running.id,
        organization: running.organization_id,
        version: running.version,
        order_key: None,
        how: Ended::Cancelled(HOUR_US),
    };
    subject.store.commit(&cx, Commit::new().end(end)).await.unwrap();
    wind(&subject, skipped).await;
    again().await;
    assert_eq!(count(skipped).await, (2, 2));
}

/// What keeps something in order, once.
static KEPT: Kind =
    Kind { is_installation: true, ..Kind::new("test.kept", "upkeep", "Keeps something in order.") };

pub async fn schedules_of_stoa_are_there_once_and_stay_paused(subject: Subject) {
    let with = |own: &[Own]| Scheduler { own: own.to_vec(), ..scheduler(&subject, "one") };
    let lead = async |scheduler: Scheduler| {
        let mut is_leading = false;
        scheduler.round(&mut is_leading).await.unwrap();
    };
    let declared = [Own { name: "kept", kind: &KEPT, every_s: 60 }];
    lead(with(&declared)).await;
    lead(with(&declared)).await;
    let all = async || subject.store.list(&subject.system(), Schedule::select()).await.unwrap();
    let [kept] = all().await.try_into().unwrap();
    let kept: Schedule = kept;
    assert_eq!((kept.organization_id, kept.is_own, kept.version), (0, true, 1));
    assert_eq!(jobs(&subject).await.len(), 1, "the first time at once");
    // Another version of Stoa may want it more rarely and by another kind; that it is paused stays.
    let paused = Schedule { paused_at: Some(Micros(1)), version: 2, ..kept.clone() };
    subject.store.commit(&subject.system(), Commit::new().update(&kept, &paused)).await.unwrap();
    lead(with(&[Own { name: "kept", kind: &PROBE, every_s: 120 }])).await;
    let [changed] = all().await.try_into().unwrap();
    let changed: Schedule = changed;
    assert_eq!(
        (changed.kind.as_str(), changed.queue.as_str(), changed.paused_at),
        ("probe", "default", Some(Micros(1)))
    );
    assert_eq!(changed.timing.0, Timing::Every { seconds: 120, from: Micros(0) });
    assert_eq!(clock(&subject, changed.id).await.next_at, NEVER);
}
