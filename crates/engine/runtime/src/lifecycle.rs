//! Starting in order, stopping in reverse. A start that fails stops what had started.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

type Stop = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// How long one component may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Whether the process takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not everything has started.
    Starting,
    /// Everything runs.
    Running,
    /// It was asked to end: no new work, what there is is finished.
    Draining,
}

/// What has started, in order.
pub struct Lifecycle {
    started: Vec<(&'static str, Stop)>,
    phase: watch::Sender<Phase>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { started: Vec::new(), phase: watch::Sender::new(Phase::Starting) }
    }
}

impl std::fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.started.iter().map(|(name, _)| name)).finish()
    }
}

impl Lifecycle {
    /// The phase, and every change of it.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Remembers how a component that has just started is stopped. Components stop in the reverse order.
    pub fn started<F>(&mut self, name: &'static str, stop: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.started.push((name, Box::new(|| Box::pin(stop()))));
    }

    /// Everything has started.
    pub fn running(&self) {
        self.phase.send_replace(Phase::Running);
    }

    /// Readiness goes false at once.
    pub fn draining(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Stops everything, the last started first. One that does not stop within 30 s is left behind.
    pub async fn stop(mut self) {
        self.draining();
        while let Some((name, stop)) = self.started.pop() {
            tracing::debug!(component = name, "stopping");
            if tokio::time::timeout(STOP_WITHIN, stop()).await.is_err() {
                tracing::warn!(component = name, "did not stop within 30 s");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test(start_paused = true)]
    async fn what_started_last_stops_first_and_one_that_hangs_is_left_behind() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut lifecycle = Lifecycle::default();
        for name in ["a", "b", "c"] {
            let order = Arc::clone(&order);
            lifecycle.started(name, move || async move {
                order.lock().unwrap().push(name);
                if name == "b" {
                    std::future::pending::<()>().await;
                }
            });
        }
        let phase = lifecycle.phase();
        assert_eq!(*phase.borrow(), Phase::Starting);
        lifecycle.running();
        assert_eq!(*phase.borrow(), Phase::Running);
        lifecycle.stop().await;
        assert_eq!(*order.lock().unwrap(), ["c", "b", "a"]);
        assert_eq!(*phase.borrow(), Phase::Draining);
    }
}
