//! What stands before a store that is somewhere else: a bound on calls under way, and a breaker that refuses at once while it is gone.

use std::sync::{Arc, Mutex, PoisonError};

use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::resilience::{Breaker, BreakerPolicy, BreakerState, Policy};
use stoa_kernel::store::{
    BoxFuture, Commit, Consistency, Receipt, Replayed, Select, Store, StoreError, StoreErrorKind, Value,
};
use tokio::sync::Semaphore;

/// A breaker that many callers share.
pub struct Gate {
    name: &'static str,
    breaker: Mutex<Breaker>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn new(name: &'static str, policy: BreakerPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { name, breaker: Mutex::new(Breaker::new(policy)), clock }
    }

    /// Lets a call through, unless what is behind does not answer.
    #[must_use]
    pub fn admit(&self) -> Option<Admission<'_>> {
        let generation = self.breaker().admit(self.clock.now()).ok()?;
        Some(Admission { gate: self, generation, settled: false })
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.breaker().state()
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through: it counts however it ends, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Admission<'g> {
    gate: &'g Gate,
    generation: u64,
    settled: bool,
}

impl Admission<'_> {
    /// The call ended.
    pub fn settle(mut self, ok: bool) {
        self.record(ok);
    }

    fn record(&mut self, ok: bool) {
        self.settled = true;
        let mut breaker = self.gate.breaker();
        let was = breaker.state();
        breaker.record(self.generation, ok, self.gate.clock.now());
        let is = breaker.state();
        match (was, is) {
            (BreakerState::Closed, BreakerState::Open { .. }) => {
                tracing::warn!(name = self.gate.name, "it does not answer; calls are refused until it does");
            }
            (BreakerState::HalfOpen { .. }, BreakerState::Closed) => {
                tracing::info!(name = self.gate.name, "it answers again");
            }
            _ => {}
        }
        let number = match is {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen { .. } => 1,
            BreakerState::Open { .. } => 2,
        };
        metrics::gauge!("stoa_breaker_state", "name" => self.gate.name).set(number);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        // A caller who went away says nothing about what is behind. Where the breaker waits for a probe, an unanswered one is a failure.
        if !self.settled && matches!(self.gate.state(), BreakerState::HalfOpen { .. }) {
            self.record(false);
        }
    }
}

/// A store behind its policy.
pub struct GuardedStore {
    inner: Arc<dyn Store>,
    gate: Gate,
    running: Semaphore,
}

impl std::fmt::Debug for GuardedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedStore").field("policy", &self.gate.name).finish_non_exhaustive()
    }
}

impl GuardedStore {
    /// Puts a policy before a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, policy: &Policy, clock: Arc<dyn Clock>) -> Self {
        let most = usize::try_from(policy.concurrency_max).unwrap_or(usize::MAX);
        Self {
            inner,
            gate: Gate::new(policy.name, policy.breaker, clock),
            // Commits are grouped and reads are short: waiting callers are many more than connections.
            running: Semaphore::new(most.saturating_mul(32)),
        }
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let refuse = |kind, why: &str| StoreError::new(kind, format!("the {} {why}", self.gate.name));
        let _running = self
            .running
            .try_acquire()
            .map_err(|_| refuse(StoreErrorKind::Overloaded, "has too many calls under way"))?;
        let admitted = self.gate.admit().ok_or_else(|| {
            refuse(StoreErrorKind::Unavailable, "is not answering; it is tried again shortly")
        })?;
        let outcome = work.await;
        admitted.settle(!outcome.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Unavailable));
        outcome
    }
}

impl Store for GuardedStore {
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        Box::pin(self.call(self.inner.commit(cx, commit)))
    }

    fn rows<'a>(
        &'a self,
        cx: &'a Context,
        select: Select,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<Vec<Vec<Value>>, StoreError>> {
        Box::pin(self.call(self.inner.rows(cx, select, consistency)))
    }

    fn count_rows<'a>(&'a self, cx: &'a Context, select: Select) -> BoxFuture<'a, Result<i64, StoreError>> {
        Box::pin(self.call(self.inner.count_rows(cx, select)))
    }

    fn replayed<'a>(
        &'a self,
        cx: &'a Context,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Replayed>, StoreError>> {
        Box::pin(self.call(self.inner.replayed(cx, key)))
    }

    /// Asks until the breaker knows: a store that is ready refuses nobody for being probed.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.call(self.inner.ping()).await?;
            while matches!(self.gate.state(), BreakerState::HalfOpen { .. }) {
                self.call(self.inner.ping()).await?;
            }
            Ok(())
        })
    }
}
