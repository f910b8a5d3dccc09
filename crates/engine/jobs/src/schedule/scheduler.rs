//! The scheduler: one leader by lease fires what is due; the others stand by.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{Ids, JobId, OrganizationId, RequestId};
use stoa_kernel::store::queue::{JobHold, QueuedJob};
use stoa_kernel::store::{
    Commit, Job, Json, Leases, PageRequest, Priority, Record as _, Store, StoreError, StoreErrorKind,
};
use tokio::sync::watch;

use super::commands::{level, next};
use super::{Misfire, NEVER, Name, Overlap, Schedule, ScheduleClock, Timing, plan};
use crate::kind::Kind;

/// The lease of whoever fires.
pub const LEASE_NAME: &str = "scheduler";
/// How long leadership lasts without renewal, in microseconds: when a leader dies, another one fires after that at the latest.
pub const LEASE_US: i64 = 15_000_000;
/// Between two looks, at most.
const LOOK: Duration = Duration::from_secs(1);
/// The most schedules that are looked at in a step.
const STEP: u32 = 50;

/// A schedule of Stoa's own: what keeps the installation in order.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    /// What people see it called.
    pub name: &'static str,
    /// What it enqueues, without a payload.
    pub kind: &'static Kind,
    /// Every so many seconds.
    pub every_s: i64,
}

/// Fires schedules.
pub struct Scheduler {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Which process does so.
    pub leases: Arc<dyn Leases>,
    /// Numbers jobs.
    pub ids: Arc<dyn Ids>,
    /// This process.
    pub holder: String,
    /// Stoa's own, which there are from the first time that somebody leads.
    pub own: Vec<Own>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// The organization of a number, where it is one.
fn organization(number: i64) -> Option<OrganizationId> {
    u64::try_from(number).ok().filter(|id| *id > 0).and_then(OrganizationId::from_raw)
}

/// The job of an instant: its key names the schedule and the time.
pub(super) fn fire(schedule: &Schedule, instant: Micros, id: JobId) -> Job {
    let delay = i64::from(schedule.jitter_s).saturating_mul(1_000_000);
    let lot = blake3::hash(format!("{} {}", schedule.id, instant.0).as_bytes());
    let lot = lot.as_bytes().first_chunk::<8>().map_or(0, |bytes| i64::from_le_bytes(*bytes) & i64::MAX);
    Job {
        id: Some(id),
        organization: organization(schedule.organization_id),
        priority: Priority::of(schedule.priority),
        run_at: (delay > 0).then(|| instant.plus(lot % delay)),
        order_key: (schedule.overlap == Overlap::Queue).then(|| format!("schedule:{}", schedule.id)),
        dedupe_key: Some(format!("{}@{}", schedule.id, instant.0)),
        ..Job::new(schedule.queue.clone(), schedule.kind.clone(), schedule.payload.0.to_string())
    }
}

/// Whether what a schedule enqueued last has not ended.
pub(super) async fn is_busy(
    store: &dyn Store,
    cx: &Context,
    clock: &ScheduleClock,
) -> Result<bool, StoreError> {
    let Some(last) = clock.last_job_id else { return Ok(false) };
    let found = store.find(cx, QueuedJob::select().eq(QueuedJob::ID, &last)).await?;
    Ok(found.is_some_and(|job| !job.state.is_dead()))
}

impl Scheduler {
    /// Fires until `stop`, then gives leadership back.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut is_leading = false;
        while !*stop.borrow() {
            let rest = match self.round(&mut is_leading).await {
                Ok(rest) => rest,
                Err(error) => {
                    tracing::warn!(%error, "schedules could not be looked at; they are at the next round");
                    LOOK
                }
            };
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let _ = self.leases.release(LEASE_NAME, &self.holder).await;
    }

    /// One look: fires what is due; how long nothing is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn round(&self, is_leading: &mut bool) -> Result<Duration, StoreError> {
        let Some(lease) = self.leases.acquire(LEASE_NAME, &self.holder, LEASE_US).await? else {
            *is_leading = false;
            return Ok(LOOK);
        };
        // By the clock of the database, which all processes share: theirs may be wrong by minutes.
        let now = lease.expires.plus(-LEASE_US);
        let cx = self.context();
        if !*is_leading {
            tracing::info!("this process fires schedules");
            self.declare(&cx, now).await?;
            *is_leading = true;
        }
        let due = ScheduleClock::select().le(ScheduleClock::NEXT_AT, &now).ascending(ScheduleClock::NEXT_AT);
        let (mut after, mut is_any_done) = (None, false);
        loop {
            let page = self.store.page(&cx, due.clone(), PageRequest { limit: STEP, after }).await?;
            is_any_done |= self.fire_all(&cx, &page.items, now).await?;
            after = page.next;
            // Much may be due: leadership does not end over it.
            if after.is_none() || self.leases.acquire(LEASE_NAME, &self.holder, LEASE_US).await?.is_none() {
                break;
            }
        }
        if is_any_done {
            return Ok(Duration::ZERO);
        }
        // What is due still waits for its organization.
        let coming =
            ScheduleClock::select().gt(ScheduleClock::NEXT_AT, &now).lt(ScheduleClock::NEXT_AT, &NEVER);
        let first = self.store.find(&cx, coming.ascending(ScheduleClock::NEXT_AT)).await?;
        let wait = first.map_or(i64::MAX, |clock| clock.next_at.since(now));
        Ok(LOOK.min(Duration::from_micros(wait.max(1_000).unsigned_abs())))
    }

    /// Fires what is due of some schedules; whether any did.
    async fn fire_all(
        &self,
        cx: &Context,
        clocks: &[ScheduleClock],
        now: Micros,
    ) -> Result<bool, StoreError> {
        let held = self.held(cx, clocks).await?;
        let mut is_any_done = false;
        for clock in clocks.iter().filter(|clock| !held.contains(&clock.organization_id)) {
            match self.fire(cx, clock, now).await {
                Ok(()) => is_any_done = true,
                // Somebody else has fired it, changed it or removed it.
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                Err(error) => {
                    tracing::warn!(schedule = %clock.id, %error, "a schedule could not fire; it is tried again");
                }
            }
        }
        Ok(is_any_done)
    }

    fn context(&self) -> Context {
        Context {
            scope: Scope::System,
            actor: Actor::System,
            request: self.ids.next().unwrap_or(RequestId::NONE),
            trace: None,
            deadline: None,
        }
    }

    /// Organizations whose jobs wait: so do their schedules, and then do as they say of what was missed.
    async fn held(&self, cx: &Context, clocks: &[ScheduleClock]) -> Result<HashSet<i64>, StoreError> {
        let organizations: HashSet<i64> = clocks.iter().map(|clock| clock.organization_id).collect();
        let held = JobHold::select().is_in(JobHold::ORGANIZATION_ID, &organizations);
        Ok(self.store.list(cx, held).await?.into_iter().map(|hold| hold.organization_id).collect())
    }

    /// Fires what is due of a schedule, in one commit with its clock.
    async fn fire(&self, cx: &Context, clock: &ScheduleClock, now: Micros) -> Result<(), StoreError> {
        let schedule = self.store.find(cx, Schedule::select().eq(Schedule::ID, &clock.id)).await?;
        // It is being removed.
        let Some(schedule) = schedule else { return Ok(()) };
        let catch_up_max = usize::try_from(schedule.catch_up_max).unwrap_or(1);
        let mut planned = plan(&schedule.timing.0, schedule.misfire, catch_up_max, clock.next_at, now);
        if schedule.overlap == Overlap::Skip {
            let kept = usize::from(!is_busy(self.store.as_ref(), cx, clock).await?);
            let before = planned.fires.len();
            // Of several the newest.
            planned.fires.drain(..before.saturating_sub(kept));
            planned.skipped += i64::try_from(before - planned.fires.len()).unwrap_or(0);
        }
        let mut after = ScheduleClock {
            next_at: planned.next,
            fired: clock.fired + i64::try_from(planned.fires.len()).unwrap_or(0),
            skipped: clock.skipped + planned.skipped,
            version: clock.version + 1,
            ..clock.clone()
        };
        let mut commit = Commit::new();
        for instant in &planned.fires {
            let id = self
                .ids
                .next()
                .map_err(|error| StoreError::new(StoreErrorKind::Overloaded, error.to_string()))?;
            (after.last_at, after.last_job_id) = (Some(*instant), Some(id));
            commit = commit.job(fire(&schedule, *instant, id));
        }
        // Its jobs are asked for by whoever made it.
        let scope = organization(schedule.organization_id).map_or(Scope::System, Scope::Organization);
        let cx = Context { scope, actor: schedule.context.0.actor, ..cx.clone() };
        self.store.commit(&cx, commit.update(clock, &after)).await?;
        metrics::counter!("stoa_schedule_fires_total")
            .increment(u64::try_from(planned.fires.len()).unwrap_or(0));
        metrics::counter!("stoa_schedule_skips_total").increment(planned.skipped.unsigned_abs());
        if let Some(last) = planned.fires.last() {
            let late = Duration::from_micros(now.since(*last).unsigned_abs());
            metrics::histogram!("stoa_schedule_late_seconds").record(late.as_secs_f64());
        }
        Ok(())
    }

    /// Makes Stoa's own schedules, and brings them up to date; whether they are paused stays.
    async fn declare(&self, cx: &Context, now: Micros) -> Result<(), StoreError> {
        let found = Schedule::select().eq(Schedule::ORGANIZATION_ID, &0);
        let found = self.store.list(cx, found.ascending(Schedule::NAME)).await?;
        for own in &self.own {
            let Ok(name) = own.name.parse::<Name>() else { continue };
            let timing = Timing::Every { seconds: own.every_s, from: Micros(0) };
            let commit = match found.iter().find(|schedule| schedule.name == name) {
                Some(known) if known.timing.0 == timing && known.kind == own.kind.name && known.is_own => {
                    continue;
                }
                Some(known) => {
                    let Some(clock) =
                        self.store.find(cx, ScheduleClock::select().eq(ScheduleClock::ID, &known.id)).await?
                    else {
                        continue;
                    };
                    let after = Schedule {
                        timing: Json(timing),
                        kind: own.kind.name.to_owned(),
                        queue: own.kind.queue.to_owned(),
                        is_own: true,
                        version: known.version + 1,
                        updated_at: now,
                        ..known.clone()
                    };
                    let retimed = ScheduleClock {
                        next_at: next(&after, now),
                        version: clock.version + 1,
                        ..clock.clone()
                    };
                    Commit::new().update(known, &after).update(&clock, &retimed)
                }
                None => {
                    let id = self
                        .ids
                        .next()
                        .map_err(|error| StoreError::new(StoreErrorKind::Overloaded, error.to_string()))?;
                    let schedule = Schedule {
                        id,
                        organization_id: 0,
                        name,
                        kind: own.kind.name.to_owned(),
                        queue: own.kind.queue.to_owned(),
                        payload: Json(Value::Object(serde_json::Map::new())),
                        priority: level(own.kind.priority),
                        timing: Json(timing),
                        misfire: Misfire::RunOnce,
                        catch_up_max: 1,
                        overlap: Overlap::Skip,
                        jitter_s: 0,
                        paused_at: None,
                        context: Json(cx.clone()),
                        is_own: true,
                        version: 1,
                        created_at: now,
                        updated_at: now,
                    };
                    // The first time at once: what it keeps in order may have waited.
                    let clock = ScheduleClock {
                        id,
                        organization_id: 0,
                        next_at: now,
                        last_at: None,
                        last_job_id: None,
                        fired: 0,
                        skipped: 0,
                        version: 1,
                    };
                    Commit::new().insert(&schedule).insert(&clock)
                }
            };
            match self.store.commit(cx, commit).await {
                Err(error) if !matches!(error.kind, StoreErrorKind::Conflict | StoreErrorKind::Duplicate) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
