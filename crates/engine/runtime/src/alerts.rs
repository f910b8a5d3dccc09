//! Alerts: rules that are evaluated again and again, and what fires for how long.
//!
//! ```text
//! ok ──bad once──► pending ──bad `times` in a row──► firing ──good `times` in a row──► ok
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::store::BoxFuture;
use tokio::sync::watch;

/// Between two evaluations.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// So many changes are kept to be told later.
const UNTOLD_MAX: usize = 1_000;

/// What a rule finds: whether it is bad, and in words how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whether it is past the threshold.
    pub bad: bool,
    /// How it stands. Never a secret, nothing personal.
    pub detail: String,
}

type Probe = Box<dyn Fn() -> BoxFuture<'static, Result<Reading, String>> + Send + Sync>;

/// A rule.
pub struct Rule {
    /// Its name, stable.
    pub name: &'static str,
    /// What it means when it fires.
    pub about: &'static str,
    /// So many readings in a row make it change: one bad moment is no alert.
    pub times: u32,
    probe: Probe,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Rule {
    /// A rule that reads with `probe`. One that cannot be read says nothing: health does.
    pub fn new(
        name: &'static str,
        about: &'static str,
        times: u32,
        probe: impl Fn() -> BoxFuture<'static, Result<Reading, String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, about, times, probe: Box::new(probe) }
    }
}

/// How a rule stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The rule.
    pub name: &'static str,
    /// What it means when it fires.
    pub about: &'static str,
    /// Whether it fires.
    pub firing: bool,
    /// Since when, where it fires.
    #[serde(skip)]
    pub since: Option<Micros>,
    /// The last reading.
    pub detail: String,
    #[serde(skip)]
    streak: u32,
}

/// All rules of a process, and how they stand.
pub struct Alerts {
    rules: Vec<Rule>,
    states: Mutex<Vec<Alert>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

impl Alerts {
    /// Rules that have not been evaluated.
    #[must_use]
    pub fn new(rules: Vec<Rule>, clock: Arc<dyn Clock>) -> Self {
        let state = |rule: &Rule| Alert {
            name: rule.name,
            about: rule.about,
            firing: false,
            since: None,
            detail: String::new(),
            streak: 0,
        };
        let states = Mutex::new(rules.iter().map(state).collect());
        Self { rules, states, clock }
    }

    /// How every rule stands.
    #[must_use]
    pub fn states(&self) -> Vec<Alert> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Evaluates every rule once; those that begin or cease to fire.
    pub async fn evaluate(&self) -> Vec<Alert> {
        let mut changed = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let Ok(Ok(reading)) = tokio::time::timeout(INTERVAL, (rule.probe)()).await else { continue };
            let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(state) = states.get_mut(index) else { continue };
            state.detail = reading.detail;
            state.streak = if reading.bad == state.firing { 0 } else { state.streak + 1 };
            if state.streak >= rule.times {
                (state.firing, state.streak) = (reading.bad, 0);
                state.since = reading.bad.then(|| self.clock.now());
                metrics::gauge!("stoa_alert_firing", "rule" => rule.name).set(u8::from(reading.bad));
                changed.push(state.clone());
            }
        }
        changed
    }

    /// Evaluates again and again until `stop`, and tells what changes, in order. What could not be told (`false`) is told later.
    pub async fn poll(
        &self,
        tell: impl Fn(Alert) -> BoxFuture<'static, bool>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut untold = VecDeque::new();
        loop {
            let changed = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = self.evaluate() => changed,
            };
            for alert in changed {
                if alert.firing {
                    tracing::warn!(rule = alert.name, detail = alert.detail, "an alert fires");
                } else {
                    tracing::info!(rule = alert.name, detail = alert.detail, "an alert is over");
                }
                untold.push_back(alert);
            }
            while let Some(alert) = untold.front() {
                if !tell(alert.clone()).await {
                    break;
                }
                untold.pop_front();
            }
            untold.truncate(UNTOLD_MAX);
            let _ = tokio::time::timeout(INTERVAL, stop.wait_for(|stop| *stop)).await;
        }
    }
}

/// Requests of a process: how many, and how many failed.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    failed: AtomicU64,
    seen: Mutex<(u64, u64)>,
}

/// From so many requests between two readings on, a share says something.
const REQUESTS_MIN: u64 = 20;
/// The share that is too much, in percent.
const FAILED_PERCENT: u64 = 5;

impl Traffic {
    /// Counts a request.
    pub fn count(&self, failed: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The share of requests that failed since the last reading.
    pub fn read(&self) -> Reading {
        let now = (self.requests.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let before = std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), now);
        let (requests, failed) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
        let bad = requests >= REQUESTS_MIN && failed * 100 > requests * FAILED_PERCENT;
        Reading { bad, detail: format!("{failed} of the last {requests} requests failed") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_kernel::clock::Manual;

    #[tokio::test]
    async fn a_rule_fires_after_so_many_bad_readings_and_is_over_after_so_many_good_ones() {
        let level = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&level);
        let rule = Rule::new("level", "The level is too high.", 2, move || {
            let level = read.load(Ordering::SeqCst);
            Box::pin(std::future::ready(Ok(Reading { bad: level > 5, detail: format!("{level}") })))
        });
        let broken = Rule::new("broken", "Never read.", 1, || Box::pin(async { Err("away".to_owned()) }));
        let alerts = Alerts::new(vec![rule, broken], Arc::new(Manual::at(Micros(7))));
        let mut fired = Vec::new();
        for value in [9, 0, 9, 9, 9, 0, 9, 0, 0] {
            level.store(value, Ordering::SeqCst);
            fired.push(alerts.evaluate().await.into_iter().map(|alert| alert.firing).collect::<Vec<_>>());
        }
        let none = Vec::new;
        assert_eq!(fired, [none(), none(), none(), vec![true], none(), none(), none(), none(), vec![false]]);
        assert_eq!(alerts.states()[0].detail, "0");
    }

    #[test]
    fn a_share_of_failures_counts_from_enough_requests_on() {
        let traffic = Traffic::default();
        (0..19).for_each(|_| traffic.count(true));
        assert!(!traffic.read().bad, "too few to say");
        (0..20).for_each(|number| traffic.count(number < 2));
        assert!(traffic.read().bad);
        (0..20).for_each(|number| traffic.count(number < 1));
        let reading = traffic.read();
        assert_eq!((reading.bad, reading.detail.as_str()), (false, "1 of the last 20 requests failed"));
    }
}
