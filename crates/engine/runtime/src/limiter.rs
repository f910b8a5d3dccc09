//! Rate limits: the port, and what stands before an implementation that is somewhere else.

use std::sync::Arc;

use stoa_kernel::clock::Clock;
use stoa_kernel::resilience::BreakerState;
use stoa_kernel::resilience::policies::CACHE;
use stoa_kernel::store::BoxFuture;

use crate::guard::Gate;

/// How much is let through: a burst, then a steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// So many each second, on average.
    pub per_second: u32,
}

/// A limit of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A token bucket: for ordinary requests.
    Bucket(Rate),
    /// At most `most` within any `seconds`: for what is abused, such as signing in.
    Window {
        /// So many.
        most: u32,
        /// Within so many seconds.
        seconds: u32,
    },
}

impl Limit {
    /// The most that is let through at once.
    #[must_use]
    pub const fn most(self) -> u32 {
        match self {
            Self::Bucket(rate) => rate.burst,
            Self::Window { most, .. } => most,
        }
    }
}

/// Who asks: a keyed hash, never a name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller(pub [u8; 16]);

/// One limit of one caller. A request asks several: of its address, its credential, its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Who.
    pub caller: Caller,
    /// How much they may.
    pub limit: Limit,
}

/// What became of a request: that of the strictest limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// The most at once.
    pub limit: u32,
    /// How many more would be let through at once.
    pub remaining: u32,
    /// When all of it is free again, in whole seconds; when refused, when it is worth asking again, at least 1.
    pub reset_s: u32,
}

impl Verdict {
    /// The stricter of two: one that refuses before one that allows, then the one that leaves less.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let strictness = |verdict: &Self| (verdict.allowed, verdict.remaining);
        if strictness(&other) < strictness(&self) { other } else { self }
    }
}

/// The limiter cannot say: it is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable(pub String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts what callers ask. All limits of a request are asked together: when one refuses, none is charged.
pub trait RateLimiter: Send + Sync {
    /// Charges one request to each of the limits, or to none. Without any limit, everything is allowed.
    ///
    /// # Errors
    /// [`Unreachable`].
    fn take<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Result<Verdict, Unreachable>>;

    /// Whether it can be reached.
    ///
    /// # Errors
    /// [`Unreachable`].
    fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>>;
}

/// What happens to a request when the shared limiter is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// This process counts by itself: for ordinary requests.
    CountHere,
    /// It is refused: for what is abused.
    Refuse,
}

/// The limits of a process: counted in the shared limiter when there is one, by the process itself while that is away.
pub struct Limits {
    shared: Option<(Arc<dyn RateLimiter>, Gate)>,
    own: Arc<dyn RateLimiter>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("shared", &self.shared.is_some()).finish_non_exhaustive()
    }
}

impl Limits {
    /// Limits that this process counts alone.
    #[must_use]
    pub fn own(own: Arc<dyn RateLimiter>) -> Self {
        Self { shared: None, own }
    }

    /// Limits that all processes count together.
    #[must_use]
    pub fn shared(shared: Arc<dyn RateLimiter>, own: Arc<dyn RateLimiter>, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Some((shared, Gate::new(CACHE.name, CACHE.breaker, clock))), own }
    }

    /// Charges one request. With [`Outage::Refuse`], `None` while nobody can count.
    pub async fn take(&self, asks: &[Ask], outage: Outage) -> Option<Verdict> {
        if let Some((shared, gate)) = &self.shared {
            if let Some(admitted) = gate.admit() {
                let timeout = std::time::Duration::from_micros(CACHE.timeout_us.into());
                let asked = tokio::time::timeout(timeout, shared.take(asks)).await;
                let verdict = asked.ok().and_then(Result::ok);
                admitted.settle(verdict.is_some());
                if verdict.is_some() {
                    return verdict;
                }
            }
            metrics::counter!("stoa_rate_limiter_outages_total").increment(1);
            if outage == Outage::Refuse {
                return None;
            }
        }
        self.own.take(asks).await.ok()
    }

    /// Whether the shared limiter is known to be away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.shared.as_ref().is_some_and(|(_, gate)| gate.state() != BreakerState::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use stoa_kernel::clock::{Manual, Micros};

    /// Allows everything while it is there, and counts how often it was asked.
    #[derive(Default)]
    struct Switch {
        away: AtomicBool,
        asked: AtomicU32,
    }

    impl RateLimiter for Switch {
        fn take<'a>(&'a self, _: &'a [Ask]) -> BoxFuture<'a, Result<Verdict, Unreachable>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let found = if self.away.load(Ordering::SeqCst) {
                Err(Unreachable("away".to_owned()))
            } else {
                Ok(Verdict { allowed: true, limit: 1, remaining: 1, reset_s: 0 })
            };
            Box::pin(std::future::ready(found))
        }
        fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test]
    async fn while_the_shared_one_is_away_the_process_counts_or_refuses_and_soon_does_not_ask() {
        let clock = Arc::new(Manual::at(Micros(0)));
        let (shared, own) = (Arc::new(Switch::default()), Arc::new(Switch::default()));
        let limits = Limits::shared(shared.clone(), own.clone(), clock.clone());
        assert!(limits.take(&[], Outage::Refuse).await.is_some());
        assert_eq!(own.asked.load(Ordering::SeqCst), 0, "the shared one counts for all");
        shared.away.store(true, Ordering::SeqCst);
        for _ in 0..50 {
            assert_eq!(limits.take(&[], Outage::Refuse).await, None);
            assert!(limits.take(&[], Outage::CountHere).await.is_some());
        }
        assert!(limits.is_away());
        assert!(shared.asked.load(Ordering::SeqCst) < 30, "an open breaker does not ask");
        assert_eq!(own.asked.load(Ordering::SeqCst), 50);
        shared.away.store(false, Ordering::SeqCst);
        clock.advance(i64::from(CACHE.breaker.open_us) + 1);
        for _ in 0..5 {
            assert!(limits.take(&[], Outage::Refuse).await.is_some(), "it recovers by itself");
        }
        assert!(!limits.is_away());
    }

    /// Never answers.
    struct Stalled;

    impl RateLimiter for Stalled {
        fn take<'a>(&'a self, _: &'a [Ask]) -> BoxFuture<'a, Result<Verdict, Unreachable>> {
            Box::pin(std::future::pending())
        }
        fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_who_go_away_while_it_is_tried_again_do_not_keep_it_from_being_tried() {
        let clock = Arc::new(Manual::at(Micros(0)));
        let own = Arc::new(Switch::default());
        let limits = Limits::shared(Arc::new(Stalled), own, clock.clone());
        for _ in 0..50 {
            assert!(limits.take(&[], Outage::CountHere).await.is_some());
        }
        assert!(limits.is_away());
        let wait = i64::from(CACHE.breaker.open_us) + 1;
        for _ in 0..20 {
            clock.advance(wait);
            // A client that goes away at once: its probe is dropped.
            let gone = tokio::time::timeout(
                std::time::Duration::from_millis(1),
                limits.take(&[], Outage::CountHere),
            );
            assert!(gone.await.is_err(), "it was tried");
        }
    }
}
