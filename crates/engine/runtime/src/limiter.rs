//! Rate limits in the process: a token bucket for each caller.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use stoa_kernel::clock::Clock;
use stoa_kernel::resilience::TokenBucket;

/// How much a class of requests is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// So many each second, on average.
    pub per_second: u32,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// The burst.
    pub limit: u32,
    /// How many more would be let through at once.
    pub remaining: u32,
    /// When all of the burst is free again, in whole seconds, at least 1 when refused.
    pub reset_s: u32,
}

/// Buckets by caller; full ones are forgotten.
pub struct Limiter<K> {
    rate: Rate,
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<K, TokenBucket>>,
}

/// From so many buckets on, full ones are swept.
const SWEEP_AT: usize = 10_000;

impl<K: Hash + Eq> Limiter<K> {
    /// A limiter for one class.
    #[must_use]
    pub fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self { rate, clock, buckets: Mutex::default() }
    }

    /// Takes one token of a caller.
    pub fn take(&self, caller: K) -> Verdict {
        let now = self.clock.now();
        let Rate { burst, per_second } = self.rate;
        let interval_us = 1_000_000 / per_second.max(1);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SWEEP_AT {
            buckets.retain(|_, bucket| bucket.available(now) < burst);
        }
        let bucket = buckets.entry(caller).or_insert_with(|| TokenBucket::new(burst, interval_us));
        let allowed = bucket.take(1, now).is_ok();
        let remaining = bucket.available(now);
        let missing_us = u64::from(burst - remaining.min(burst)) * u64::from(interval_us);
        let reset_s = u32::try_from(missing_us.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        Verdict { allowed, limit: burst, remaining, reset_s: reset_s.max(u32::from(!allowed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_kernel::clock::{Manual, Micros};

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let clock = Arc::new(Manual::at(Micros(0)));
        let limiter = Limiter::new(Rate { burst: 5, per_second: 2 }, clock.clone());
        assert!((0..5).all(|_| limiter.take("a").allowed));
        let refused = limiter.take("a");
        assert_eq!((refused.allowed, refused.remaining, refused.reset_s), (false, 0, 3));
        assert!(limiter.take("b").allowed, "every caller has a bucket of its own");
        clock.advance(1_000_000);
        assert!(limiter.take("a").allowed && limiter.take("a").allowed && !limiter.take("a").allowed);
    }
}
