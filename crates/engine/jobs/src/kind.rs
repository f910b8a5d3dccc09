//! Kinds: what is known of a job before it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use stoa_kernel::resilience::{Backoff, RetryPolicy};
use stoa_kernel::store::{Job, Priority};

use crate::handler::Handler;

/// Tries five times: again after at most 0.1 s, 0.2 s, 0.4 s, 0.8 s.
pub const RETRY: RetryPolicy = RetryPolicy {
    backoff: Backoff::Exponential,
    base_us: 100_000,
    wait_us_max: 3_600_000_000,
    attempts_max: 5,
    elapsed_us_max: i64::MAX,
    jitter: true,
};

/// A day, in microseconds.
pub const DAY_US: i64 = 86_400_000_000;

/// How often a kind may begin, in all processes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At once.
    pub burst: u32,
    /// From then on, for every second.
    pub per_second: u32,
}

/// What a payload must look like that anybody may give.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Its JSON Schema.
    pub schema: fn() -> Value,
    /// Reads it; says what is wrong.
    pub check: fn(&Value) -> Result<(), String>,
}

impl Form {
    /// Reads what somebody typed; says what is wrong with it.
    ///
    /// # Errors
    /// What it takes.
    pub fn read(&self, payload: &Value) -> Result<(), String> {
        // A list would be read by position, and mean something else as soon as a field is added.
        if payload.is_object() { (self.check)(payload) } else { Err("expected a JSON object".to_owned()) }
    }
}

/// A kind of job.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name: `mail.send`.
    pub name: &'static str,
    /// The queue of its jobs.
    pub queue: &'static str,
    /// What it does.
    pub about: &'static str,
    /// How soon, unless a job says otherwise.
    pub priority: Priority,
    /// How often it is tried, and how long is waited in between.
    pub retry: RetryPolicy,
    /// The most that one attempt may take.
    pub timeout: Duration,
    /// Whether the mailbox of a dead letter waits for it.
    pub holds: bool,
    /// For how long the end of a job is kept, in microseconds; 0 is not at all.
    pub keep_us: i64,
    /// How often dead letters are taken back without anybody asking.
    pub replays_max: i64,
    /// How often it may begin.
    pub pace: Option<Pace>,
    /// Whether people may cancel or discard its jobs: something else may rely on them.
    pub is_dispensable: bool,
    /// Whether its jobs are done for the installation, whoever asked for them.
    pub is_installation: bool,
    /// What its payload must look like, where anybody may ask for it; what only Stoa asks for has none, and is shown to nobody.
    pub form: Option<Form>,
}

impl Kind {
    /// A kind with the usual policy, for which only Stoa asks.
    #[must_use]
    pub const fn new(name: &'static str, queue: &'static str, about: &'static str) -> Self {
        Self {
            name,
            queue,
            about,
            priority: Priority::Normal,
            retry: RETRY,
            timeout: Duration::from_secs(30),
            holds: false,
            keep_us: 7 * DAY_US,
            replays_max: 3,
            pace: None,
            is_dispensable: true,
            is_installation: false,
            form: None,
        }
    }

    /// A job of this kind.
    #[must_use]
    pub fn job(&self, payload: &impl Serialize) -> Job {
        let payload = serde_json::to_string(payload).unwrap_or_else(|_| "null".to_owned());
        Job { priority: self.priority, ..Job::new(self.queue, self.name, payload) }
    }
}

/// Who does what.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Handler>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.0.keys()).finish()
    }
}

impl Registry {
    /// Of these handlers; of two for one kind the last counts.
    #[must_use]
    pub fn of(handlers: impl IntoIterator<Item = Arc<dyn Handler>>) -> Self {
        Self(handlers.into_iter().map(|handler| (handler.kind().name, handler)).collect())
    }

    /// Who does jobs of a kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Handler>> {
        self.0.get(kind)
    }

    /// The queues that are served.
    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        let mut queues: Vec<String> =
            self.0.values().map(|handler| handler.kind().queue.to_owned()).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }
}
