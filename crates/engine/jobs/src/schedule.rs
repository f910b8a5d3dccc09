//! Schedules: what enqueues jobs by the clock.
//!
//! ```text
//! Scheduler (one leader by lease) ── due clocks ──► plan (pure) ──► one commit: jobs + the clock set to its next instant
//! ```
//!
//! A fire and the jobs that it enqueues are one commit, which is refused unless the clock still stands at the instant that fires: whoever
//! else takes itself for the leader, a schedule fires once for an instant. It is the clock of the database that counts.

mod commands;
mod plan;
mod scheduler;
mod timing;
mod told;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::{JobId, ScheduleId};
use stoa_kernel::store::{Json, Record};

pub use commands::{Change, Draft, PREVIEWED, SCHEDULES_MAX, Schedules};
pub use plan::{MISSED_US, Plan, plan};
pub use scheduler::{LEASE_NAME, LEASE_US, Own, Scheduler};
pub use timing::{EVERY_S_MAX, Timing};
pub use told::{EVENT_TYPES, ScheduleCreated, ScheduleRemoved, ScheduleUpdated};

/// When a clock fires that does not.
pub const NEVER: Micros = Micros(i64::MAX);
/// The most fires that were missed and are caught up with.
pub const CATCH_UP_MAX: u32 = 100;
/// The most that a fire is delayed by chance, in seconds: a day.
pub const JITTER_S_MAX: u32 = 86_400;

stoa_kernel::choice! {
    /// What becomes of instants at which nobody was there to fire.
    #[derive(Default)]
    Misfire, "a misfire" {
        /// They fire once for all.
        #[default]
        RunOnce = "run_once",
        /// They are passed over.
        Skip = "skip",
        /// The newest of them fire, each by itself.
        CatchUp = "catch_up",
    }
}

stoa_kernel::choice! {
    /// What becomes of a fire while the job of the one before has not ended.
    #[derive(Default)]
    Overlap, "an overlap" {
        /// It fires all the same.
        #[default]
        Allow = "allow",
        /// It is passed over.
        Skip = "skip",
        /// Its job waits for the one before.
        Queue = "queue",
    }
}

/// What people call a schedule: lower-case words, joined by `-`, `_` or `.`; 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = (1..=64).contains(&text.len())
            && text.starts_with(|char: char| char.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
        if is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err("a schedule is called by 1 to 64 lower-case letters, digits, -, _ and ., a letter first"
                .to_owned())
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

stoa_kernel::text_field!(Name);

/// A schedule: what it enqueues, and when.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "schedules", entity = "schedule", tenant = organization_id, version = version,
         unique(schedules_name_key = (organization_id, name)))]
pub struct Schedule {
    /// Its id.
    #[record(key)]
    pub id: ScheduleId,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// What people call it.
    pub name: Name,
    /// The kind of its jobs.
    #[record(plain, about = "a registered name")]
    pub kind: String,
    /// Their queue.
    #[record(plain, about = "a registered name")]
    pub queue: String,
    /// What they need to know.
    #[record(encrypted, plain, about = "what the work needs, which may be an address or a link")]
    pub payload: Json<Value>,
    /// How soon they are wanted: 0 is critical, 3 is low.
    pub priority: i64,
    /// When it fires.
    #[record(plain, about = "a cron expression, an interval or a time")]
    pub timing: Json<Timing>,
    /// What becomes of instants that were missed.
    pub misfire: Misfire,
    /// How many of them are caught up with.
    pub catch_up_max: u32,
    /// What becomes of a fire while the job of the one before has not ended.
    pub overlap: Overlap,
    /// How many seconds a job is delayed at most, by chance that is the same for the same instant.
    pub jitter_s: u32,
    /// Since when it does not fire.
    pub paused_at: Option<Micros>,
    /// Who made it: its jobs are asked for by the same.
    #[record(plain, about = "ids")]
    pub context: Json<Context>,
    /// Whether it is Stoa's own, which is paused but not changed.
    pub is_own: bool,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// Where a schedule stands. Beside it, since a fire is no change of the schedule.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "schedule_clocks", entity = "schedule_clock", tenant = organization_id, version = version, unaudited)]
pub struct ScheduleClock {
    /// The schedule.
    #[record(key)]
    pub id: ScheduleId,
    /// For whom; 0 for the installation.
    pub organization_id: i64,
    /// When it fires next; [`NEVER`].
    pub next_at: Micros,
    /// The instant that fired last.
    pub last_at: Option<Micros>,
    /// What that enqueued.
    pub last_job_id: Option<JobId>,
    /// How many instants fired.
    pub fired: i64,
    /// How many were passed over.
    pub skipped: i64,
    /// Counts its changes: what makes an instant fire once.
    pub version: i64,
}
