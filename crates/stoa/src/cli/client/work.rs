//! Jobs, schedules and runs.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List the newest
    List {
        /// Only these, separated by commas: queued, running, completed, failed, cancelled
        #[arg(long)]
        state: Option<String>,
        /// Only of this kind
        #[arg(long)]
        kind: Option<String>,
        /// Only of this batch
        #[arg(long)]
        batch: Option<String>,
    },
    /// List the kinds
    Kinds,
    /// Show one
    Show {
        /// Its id
        job: String,
    },
    /// Ask for one
    Submit {
        /// Its kind
        kind: String,
        /// What it needs to know, as JSON
        #[arg(long, default_value = "{}")]
        payload: String,
        /// critical, high, normal or low
        #[arg(long)]
        priority: Option<String>,
        /// Not before, such as 2026-11-21T12:00:00Z
        #[arg(long)]
        run_at: Option<String>,
        /// Its mailbox: jobs with the same key run one at a time, in order
        #[arg(long)]
        order_key: Option<String>,
        /// At most one live job has it
        #[arg(long)]
        dedupe_key: Option<String>,
        /// Jobs with the same one are counted together
        #[arg(long)]
        batch_key: Option<String>,
    },
    /// Stop one
    Cancel {
        /// Its id
        job: String,
    },
    /// Count a batch
    Batch {
        /// Its key
        batch: String,
        /// How many seconds to wait for its end, at most 25
        #[arg(long, default_value_t = 0)]
        wait_s: u32,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Letters {
    /// Of this kind
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Of this queue
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// With this reason
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List the newest
    List {
        #[command(flatten)]
        which: Letters,
    },
    /// Show one
    Show {
        /// Its id
        job: String,
    },
    /// Try one again, or the oldest 200 that are named
    Replay {
        /// Its id; without it, those that are named
        job: Option<String>,
        /// Another payload, as JSON
        #[arg(long, requires = "job")]
        payload: Option<String>,
        #[command(flatten)]
        which: Letters,
    },
    /// Discard one, or the oldest 200 that are named
    Discard {
        /// Its id; without it, those that are named
        job: Option<String>,
        #[command(flatten)]
        which: Letters,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List them, and how they do
    List,
    /// Begin nothing of one
    Pause {
        /// Its name
        queue: String,
    },
    /// Let one go on
    Resume {
        /// Its name
        queue: String,
    },
    /// Run so many of its jobs at once, in all processes together
    Limit {
        /// Its name
        queue: String,
        /// How many; without it, as many as there is room for
        most: Option<u32>,
    },
    /// Cancel the newest 200 that wait in one
    Drain {
        /// Its name
        queue: String,
    },
}

/// When something fires.
#[derive(Debug, Clone, Args)]
pub(crate) struct Times {
    /// A cron expression: minute, hour, day of the month, month, day of the week
    #[arg(long, conflicts_with_all = ["every_s", "at"])]
    pub(crate) cron: Option<String>,
    /// On whose clocks, such as Europe/Berlin [default: UTC]
    #[arg(long)]
    pub(crate) time_zone: Option<String>,
    /// Every so many seconds
    #[arg(long, conflicts_with = "at")]
    pub(crate) every_s: Option<i64>,
    /// Once, such as 2026-12-01T12:00:00Z
    #[arg(long)]
    pub(crate) at: Option<String>,
}

/// How a schedule fires.
#[derive(Debug, Clone, Args)]
pub(crate) struct Firing {
    #[command(flatten)]
    pub(crate) times: Times,
    /// What its jobs need to know, as JSON
    #[arg(long)]
    pub(crate) payload: Option<String>,
    /// critical, high, normal or low
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// What becomes of instants that were missed: run_once, skip or catch_up
    #[arg(long)]
    pub(crate) misfire: Option<String>,
    /// How many of them are caught up with
    #[arg(long)]
    pub(crate) catch_up_max: Option<u32>,
    /// While the job before has not ended: allow, skip or queue
    #[arg(long)]
    pub(crate) overlap: Option<String>,
    /// How many seconds a job is delayed at most, by chance
    #[arg(long)]
    pub(crate) jitter_s: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List them
    List,
    /// Show one
    Show {
        /// Its id
        schedule: String,
    },
    /// Make one
    Create {
        /// What people call it
        name: String,
        /// The kind of its jobs
        kind: String,
        #[command(flatten)]
        firing: Firing,
    },
    /// Change one
    Set {
        /// Its id
        schedule: String,
        #[command(flatten)]
        firing: Firing,
    },
    /// Let one fire no more for now
    Pause {
        /// Its id
        schedule: String,
    },
    /// Let one fire again
    Resume {
        /// Its id
        schedule: String,
    },
    /// Fire one now
    Run {
        /// Its id
        schedule: String,
    },
    /// Remove one
    Remove {
        /// Its id
        schedule: String,
    },
    /// Show when one fires next, or would
    Preview {
        /// Its id; without it, the times that are given
        schedule: Option<String>,
        #[command(flatten)]
        times: Times,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List the newest
    List {
        /// Only of this workflow
        #[arg(long)]
        workflow: Option<String>,
        /// Only these, separated by commas: running, compensating, completed, failed, cancelled, stopped
        #[arg(long)]
        state: Option<String>,
    },
    /// List the workflows
    Workflows,
    /// Show one with its journal
    Show {
        /// Its id
        run: String,
    },
    /// Start one
    Start {
        /// The workflow
        workflow: String,
        /// What it is given, as JSON
        #[arg(long, default_value = "{}")]
        input: String,
        /// At most one live run of the workflow has it
        #[arg(long)]
        key: Option<String>,
    },
    /// Tell one something
    Signal {
        /// Its id
        run: String,
        /// What the signal is called
        name: String,
        /// What it says, as JSON
        #[arg(long, default_value = "null")]
        payload: String,
    },
    /// Stop one; it undoes what it did
    Cancel {
        /// Its id
        run: String,
    },
    /// Try one again from the step that failed
    Retry {
        /// Its id
        run: String,
    },
    /// Begin another one with what this one had completed before a step
    Fork {
        /// Its id
        run: String,
        /// The step that is done anew
        step: String,
    },
}
