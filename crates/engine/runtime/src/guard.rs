//! What stands before a store that is somewhere else: a bound on calls under way, and a breaker that refuses at once while it is gone.

use std::sync::{Arc, Mutex, PoisonError};

use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::resilience::{Breaker, BreakerState, Policy};
use stoa_kernel::store::{
    BoxFuture, Commit, Consistency, Receipt, Replayed, Select, Store, StoreError, StoreErrorKind, Value,
};
use tokio::sync::Semaphore;

/// Shows the state of a breaker: 0 closed, 1 half open, 2 open.
pub fn report_breaker(name: &'static str, state: BreakerState) {
    let number = match state {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen { .. } => 1,
        BreakerState::Open { .. } => 2,
    };
    metrics::gauge!("stoa_breaker_state", "name" => name).set(number);
}

/// A store behind its policy.
pub struct GuardedStore {
    inner: Arc<dyn Store>,
    breaker: Mutex<Breaker>,
    running: Semaphore,
    clock: Arc<dyn Clock>,
    name: &'static str,
}

impl std::fmt::Debug for GuardedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedStore").field("policy", &self.name).finish_non_exhaustive()
    }
}

impl GuardedStore {
    /// Puts a policy before a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, policy: &Policy, clock: Arc<dyn Clock>) -> Self {
        let most = usize::try_from(policy.concurrency_max).unwrap_or(usize::MAX);
        Self {
            inner,
            breaker: Mutex::new(Breaker::new(policy.breaker)),
            // Commits are grouped and reads are short: waiting callers are many more than connections.
            running: Semaphore::new(most.saturating_mul(32)),
            clock,
            name: policy.name,
        }
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let refuse =
            |why: &str| StoreError::new(StoreErrorKind::Unavailable, format!("the {} {why}", self.name));
        let _running = self.running.try_acquire().map_err(|_| {
            StoreError::new(
                StoreErrorKind::Overloaded,
                format!("the {} has too many calls under way", self.name),
            )
        })?;
        let mut admitted = Admission { guard: self, settled: false };
        if self.breaker().admit(self.clock.now()).is_err() {
            admitted.settled = true;
            return Err(refuse("is not answering; it is tried again shortly"));
        }
        let outcome = work.await;
        let failed = outcome.as_ref().is_err_and(|error| error.kind == StoreErrorKind::Unavailable);
        admitted.settle(!failed);
        outcome
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through: it counts however it ends, also when nobody waits for it any more.
struct Admission<'g> {
    guard: &'g GuardedStore,
    settled: bool,
}

impl Admission<'_> {
    fn settle(&mut self, ok: bool) {
        self.settled = true;
        let mut breaker = self.guard.breaker();
        breaker.record(ok, self.guard.clock.now());
        report_breaker(self.guard.name, breaker.state());
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        // A caller who went away says nothing about the database. Where the breaker waits for a probe, an unanswered one is a failure.
        if !self.settled {
            let is_probe = matches!(self.guard.breaker().state(), BreakerState::HalfOpen { .. });
            if is_probe {
                self.settle(false);
            }
        }
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

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.call(self.inner.ping()))
    }
}
