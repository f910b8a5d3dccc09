//! Whether the process works: a registry of checks, each with a bound in time and remembered for a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::store::BoxFuture;
use tokio::sync::watch;

use crate::alerts::{Alert, Alerts};
use crate::lifecycle::Phase;

const TIMEOUT: Duration = Duration::from_secs(1);
const REMEMBERED_US: i64 = 1_000_000;

type Probe = Box<dyn Fn() -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

struct Check {
    name: &'static str,
    required: bool,
    probe: Probe,
    last: Mutex<Option<(Micros, Finding)>>,
}

/// How the whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything works.
    Healthy,
    /// Something that can be done without does not work.
    Degraded,
    /// Something that is needed does not work.
    Unhealthy,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What was checked.
    pub name: &'static str,
    /// Whether it is needed.
    pub required: bool,
    /// Whether it works.
    pub ok: bool,
    /// How long the answer took, in microseconds.
    pub latency_us: i64,
    /// What is to be known: how it stands, or what went wrong. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The whole picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How the whole stands.
    pub status: Status,
    /// The version of the program.
    pub version: &'static str,
    /// Each check, by name.
    pub checks: Vec<Finding>,
    /// Each rule of alerts.
    pub alerts: Vec<Alert>,
}

/// All checks of a process.
pub struct Health {
    checks: Vec<Check>,
    clock: Arc<dyn Clock>,
    phase: watch::Receiver<Phase>,
    version: &'static str,
    alerts: Arc<Alerts>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|check| check.name)).finish()
    }
}

impl Health {
    /// No checks yet.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        phase: watch::Receiver<Phase>,
        version: &'static str,
        alerts: Arc<Alerts>,
    ) -> Self {
        Self { checks: Vec::new(), clock, phase, version, alerts }
    }

    /// Adds a check: what it finds is shown, what goes wrong, too.
    pub fn check(
        &mut self,
        name: &'static str,
        required: bool,
        probe: impl Fn() -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync + 'static,
    ) {
        self.checks.push(Check { name, required, probe: Box::new(probe), last: Mutex::new(None) });
    }

    /// Whether work should be sent here: everything has started, nothing that is needed fails, and it is not about to end.
    pub async fn is_ready(&self) -> bool {
        *self.phase.borrow() == Phase::Running && self.report().await.status != Status::Unhealthy
    }

    /// The phase, and every change of it.
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// The phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Runs the checks that are older than a second.
    pub async fn report(&self) -> Report {
        // Together: one that hangs must not make the others late.
        let running = self.checks.iter().map(|check| self.run(check));
        let mut checks = futures_util::future::join_all(running).await;
        checks.sort_by_key(|finding| finding.name);
        let fails = |required: bool| checks.iter().any(|finding| !finding.ok && finding.required == required);
        let status = if fails(true) {
            Status::Unhealthy
        } else if fails(false) {
            Status::Degraded
        } else {
            Status::Healthy
        };
        Report { status, version: self.version, checks, alerts: self.alerts.states() }
    }

    async fn run(&self, check: &Check) -> Finding {
        let start = self.clock.now();
        if let Some((at, finding)) = check.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && start.since(*at) < REMEMBERED_US
        {
            return finding.clone();
        }
        let found = match tokio::time::timeout(TIMEOUT, (check.probe)()).await {
            Ok(found) => found,
            Err(_) => Err("no answer within a second".to_owned()),
        };
        let now = self.clock.now();
        let (ok, detail) = match found {
            Ok(detail) => (true, detail),
            Err(reason) => (false, Some(reason)),
        };
        let finding =
            Finding { name: check.name, required: check.required, ok, latency_us: now.since(start), detail };
        *check.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, finding.clone()));
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use stoa_kernel::clock::Manual;

    #[tokio::test(start_paused = true)]
    async fn what_is_needed_decides_and_answers_are_remembered_for_a_second() {
        let clock = Arc::new(Manual::at(Micros(0)));
        let (phase, seen) = watch::channel(Phase::Running);
        let alerts = Arc::new(Alerts::new(Vec::new(), clock.clone()));
        let mut health = Health::new(clock.clone(), seen, "1", alerts);
        let asked = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&asked);
        health.check("needed", true, move || {
            counting.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(None) })
        });
        assert_eq!(health.report().await.status, Status::Healthy);
        health.check("nice", false, || Box::pin(async { Err("away".to_owned()) }));
        assert_eq!(health.report().await.status, Status::Degraded);
        assert!(health.is_ready().await);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        clock.advance(1_000_000);
        health.check("hangs", true, || Box::pin(std::future::pending()));
        let report = health.report().await;
        assert_eq!((report.status, asked.load(Ordering::SeqCst)), (Status::Unhealthy, 2));
        assert_eq!(report.checks[0].detail.as_deref(), Some("no answer within a second"));
        phase.send_replace(Phase::Draining);
        assert!(!health.is_ready().await);
    }
}
