//! What people ask of schedules.

use std::sync::Arc;

use serde_json::Value;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Context;
use stoa_kernel::id::{Ids, JobId, ScheduleId};
use stoa_kernel::store::{Commit, Job, Json, Priority, Record as _, Store};

use super::scheduler::{fire, is_busy};
use super::{
    CATCH_UP_MAX, JITTER_S_MAX, Misfire, NEVER, Name, Overlap, Schedule, ScheduleClock, ScheduleCreated,
    ScheduleRemoved, ScheduleUpdated, Timing,
};
use crate::desk::{self, Desk, Error};

/// The most schedules of an organization.
pub const SCHEDULES_MAX: i64 = 500;
/// How many fires a preview shows.
pub const PREVIEWED: usize = 10;

/// A schedule that is to be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What people call it.
    pub name: Name,
    /// The kind of its jobs.
    pub kind: String,
    /// When it fires.
    pub timing: Timing,
    /// Everything else.
    pub change: Change,
}

/// What is to be different; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What its jobs need to know.
    pub payload: Option<Value>,
    /// How soon they are wanted.
    pub priority: Option<Priority>,
    /// When it fires.
    pub timing: Option<Timing>,
    /// What becomes of instants that were missed.
    pub misfire: Option<Misfire>,
    /// How many of them are caught up with.
    pub catch_up_max: Option<u32>,
    /// What becomes of a fire while the job of the one before has not ended.
    pub overlap: Option<Overlap>,
    /// How many seconds a job is delayed at most.
    pub jitter_s: Option<u32>,
    /// Whether it does not fire.
    pub is_paused: Option<bool>,
}

impl Change {
    /// Whether it does more than to pause.
    fn is_more_than_a_pause(&self) -> bool {
        let Self { payload, priority, timing, misfire, catch_up_max, overlap, jitter_s, is_paused: _ } = self;
        payload.is_some()
            || priority.is_some()
            || timing.is_some()
            || misfire.is_some()
            || catch_up_max.is_some()
            || overlap.is_some()
            || jitter_s.is_some()
    }
}

/// Where people ask for schedules.
pub struct Schedules {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
    /// Knows the kinds.
    pub desk: Arc<Desk>,
}

impl std::fmt::Debug for Schedules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schedules")
    }
}

impl Schedules {
    /// A schedule and its clock.
    ///
    /// # Errors
    /// [`Error::NoSchedule`].
    pub async fn find(&self, cx: &Context, id: ScheduleId) -> Result<(Schedule, ScheduleClock), Error> {
        let store = self.store.as_ref();
        let found = store.find(cx, Schedule::select().eq(Schedule::ID, &id)).await?;
        let clock = store.find(cx, ScheduleClock::select().eq(ScheduleClock::ID, &id)).await?;
        found.zip(clock).ok_or(Error::NoSchedule)
    }

    /// The clocks of schedules, in their order.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn clocks(&self, cx: &Context, of: &[Schedule]) -> Result<Vec<Option<ScheduleClock>>, Error> {
        let ids: Vec<ScheduleId> = of.iter().map(|schedule| schedule.id).collect();
        let found = self.store.list(cx, ScheduleClock::select().is_in(ScheduleClock::ID, &ids)).await?;
        Ok(ids.iter().map(|id| found.iter().find(|clock| clock.id == *id).cloned()).collect())
    }

    /// Decides that a schedule is made. Refused by `schedules_name_key` when another one has its name, by `schedules_quota` when there are
    /// too many.
    ///
    /// # Errors
    /// [`Error::KindUnknown`], [`Error::Invalid`].
    pub fn create(&self, cx: &Context, draft: Draft) -> Result<(Schedule, ScheduleClock, Commit), Error> {
        let now = self.clock.now();
        let kind = self.desk.kind(&draft.kind).filter(|kind| kind.form.is_some());
        let kind = kind.ok_or_else(|| Error::KindUnknown(draft.kind.clone()))?;
        let blank = Schedule {
            id: self.ids.next().map_err(desk::unissued)?,
            organization_id: cx.scope.number(),
            name: draft.name,
            kind: draft.kind,
            queue: kind.queue.to_owned(),
            payload: Json(Value::Object(serde_json::Map::new())),
            priority: level(kind.priority),
            timing: Json(draft.timing),
            misfire: Misfire::default(),
            catch_up_max: 10,
            overlap: Overlap::default(),
            jitter_s: 0,
            paused_at: None,
            context: Json(Context { deadline: None, trace: None, ..cx.clone() }),
            is_own: false,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let schedule = self.changed(blank, draft.change, now)?;
        let clock = ScheduleClock {
            id: schedule.id,
            organization_id: schedule.organization_id,
            next_at: next(&schedule, now),
            last_at: None,
            last_job_id: None,
            fired: 0,
            skipped: 0,
            version: 1,
        };
        let own = Schedule::select().eq(Schedule::ORGANIZATION_ID, &schedule.organization_id);
        let commit = Commit::new()
            .insert(&schedule)
            .insert(&clock)
            .count("schedules_quota", own, 0, SCHEDULES_MAX)
            .event(&ScheduleCreated::of(&schedule));
        Ok((schedule, clock, commit))
    }

    /// Decides that a schedule is changed; it goes on from now. One of Stoa's own is paused and let go on, no more.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Protected`].
    pub fn change(
        &self,
        (before, clock): (&Schedule, &ScheduleClock),
        change: Change,
    ) -> Result<(Schedule, ScheduleClock, Commit), Error> {
        if before.is_own && change.is_more_than_a_pause() {
            return Err(Error::Protected(before.kind.clone()));
        }
        let now = self.clock.now();
        let is_other = change.timing.as_ref().is_some_and(|timing| *timing != before.timing.0);
        let is_turned = change.is_paused.is_some_and(|is| is != before.paused_at.is_some());
        let is_retimed = is_other || is_turned;
        let draft = Schedule { version: before.version + 1, updated_at: now, ..before.clone() };
        let after = self.changed(draft, change, now)?;
        let mut commit = Commit::new().update(before, &after).event(&ScheduleUpdated::of(&after));
        let mut retimed = clock.clone();
        if is_retimed {
            // The clock of this process may be behind that of the database: what has fired, has.
            retimed.next_at = next(&after, now.max(clock.last_at.unwrap_or(now)));
            retimed.version += 1;
            commit = commit.update(clock, &retimed);
        }
        Ok((after, retimed, commit))
    }

    /// Decides that a schedule goes; what it has enqueued is done all the same.
    ///
    /// # Errors
    /// [`Error::Protected`].
    pub fn remove(&self, (schedule, clock): (&Schedule, &ScheduleClock)) -> Result<Commit, Error> {
        if schedule.is_own {
            return Err(Error::Protected(schedule.kind.clone()));
        }
        Ok(Commit::new().delete(schedule).delete(clock).event(&ScheduleRemoved::of(schedule)))
    }

    /// Decides that a schedule fires now, beside its instants, paused or not. An overlap counts as it does for those.
    ///
    /// # Errors
    /// [`Error::Busy`] when the job of the fire before has not ended, and the schedule passes over what overlaps.
    pub async fn run(
        &self,
        cx: &Context,
        (schedule, clock): (&Schedule, &ScheduleClock),
    ) -> Result<(JobId, Commit), Error> {
        if schedule.overlap == Overlap::Skip && is_busy(self.store.as_ref(), cx, clock).await? {
            return Err(Error::Busy);
        }
        let now = self.clock.now();
        let id: JobId = self.ids.next().map_err(desk::unissued)?;
        let job = Job { run_at: None, dedupe_key: None, ..fire(schedule, now, id) };
        let after = ScheduleClock {
            last_job_id: Some(id),
            fired: clock.fired + 1,
            version: clock.version + 1,
            ..clock.clone()
        };
        let commit =
            Commit::new().job(job).update(clock, &after).note("schedule.fired", "schedule", &schedule.id);
        Ok((id, commit))
    }

    /// When a timing fires next: at most [`PREVIEWED`] instants.
    #[must_use]
    pub fn preview(&self, timing: &Timing) -> Vec<Micros> {
        timing.following(self.clock.now()).take(PREVIEWED).collect()
    }

    fn changed(&self, draft: Schedule, change: Change, now: Micros) -> Result<Schedule, Error> {
        let mut wrong = Vec::new();
        // What is asked for now; one that has fired keeps its time.
        let is_new = change.timing.is_some() || draft.created_at == now;
        let Schedule { payload, priority, timing, misfire, catch_up_max, overlap, jitter_s, .. } =
            draft.clone();
        let after = Schedule {
            payload: change.payload.map_or(payload, Json),
            priority: change.priority.map_or(priority, level),
            timing: change.timing.map_or(timing, Json),
            misfire: change.misfire.unwrap_or(misfire),
            catch_up_max: change.catch_up_max.unwrap_or(catch_up_max),
            overlap: change.overlap.unwrap_or(overlap),
            jitter_s: change.jitter_s.unwrap_or(jitter_s),
            paused_at: match change.is_paused {
                Some(true) => draft.paused_at.or(Some(now)),
                Some(false) => None,
                None => draft.paused_at,
            },
            ..draft
        };
        if is_new && matches!(after.timing.0, Timing::Once { at } if at <= now) {
            wrong.push(("/at", "is over: it would never fire".to_owned()));
        }
        if !(1..=CATCH_UP_MAX).contains(&after.catch_up_max) {
            wrong.push(("/catchUpMax", format!("is a number from 1 to {CATCH_UP_MAX}")));
        }
        if after.jitter_s > JITTER_S_MAX {
            wrong.push(("/jitterS", format!("is a number of seconds from 0 to {JITTER_S_MAX}")));
        }
        if !after.is_own {
            // What a job of the kind could not be asked for with, a schedule cannot either.
            let job = desk::Draft {
                kind: after.kind.clone(),
                payload: after.payload.0.clone(),
                ..desk::Draft::default()
            };
            match self.desk.submit(job) {
                Err(Error::Invalid(more)) => wrong.extend(more),
                other => drop(other?),
            }
        }
        if wrong.is_empty() { Ok(after) } else { Err(Error::Invalid(wrong)) }
    }
}

/// The number of a priority.
pub(super) fn level(priority: Priority) -> i64 {
    Priority::ALL.iter().zip(0..).find(|(own, _)| **own == priority).map_or(3, |(_, level)| level)
}

/// When a schedule fires next after an instant.
pub(super) fn next(schedule: &Schedule, after: Micros) -> Micros {
    if schedule.paused_at.is_some() { NEVER } else { schedule.timing.0.after(after).unwrap_or(NEVER) }
}
