//! Rate limits in the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::resilience::{SlidingWindow, TokenBucket};
use stoa_kernel::store::BoxFuture;
use stoa_runtime::limiter::{Ask, Caller, Limit, Rate, RateLimiter, Unreachable, Verdict};

/// From so many counts on, those that hold nothing any more are swept.
const SWEEP_AT: usize = 10_000;
const SWEEP_INTERVAL_US: i64 = 1_000_000;
/// So many counts at most. Who comes then, and is not among them, shares one count with all others who do: an attacker with ever new
/// addresses limits themselves, and memory stays bounded (some 20 MB).
const COUNTS_MAX: usize = 200_000;
const EVERYBODY_ELSE: Caller = Caller([0xFF; 16]);
/// A sliding window moves in so many steps.
const SLOTS: u32 = 16;

/// Counts of callers; those that hold nothing any more are forgotten.
pub struct LocalLimiter {
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

impl std::fmt::Debug for LocalLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalLimiter")
    }
}

struct Counts {
    by_caller: HashMap<(Caller, bool), Count>,
    /// The size at which is swept next, so that sweeping costs each caller a constant on average.
    sweep_at: usize,
    /// When that was last done: where nothing can be swept, trying at every request would cost all of them dearly.
    swept: Micros,
}

enum Count {
    Bucket(TokenBucket),
    Window(SlidingWindow),
}

fn interval_us(rate: Rate) -> u32 {
    1_000_000 / rate.per_second.max(1)
}

fn whole_seconds(us: i64) -> u32 {
    u32::try_from(us.max(0).cast_unsigned().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl Count {
    fn new(limit: Limit) -> Self {
        match limit {
            Limit::Bucket(rate) => Self::Bucket(TokenBucket::new(rate.burst, interval_us(rate))),
            Limit::Window { seconds, .. } => {
                Self::Window(SlidingWindow::new(seconds.saturating_mul(1_000_000), SLOTS))
            }
        }
    }

    /// What would become of one more, and what then remains.
    fn look(&mut self, limit: Limit, now: Micros) -> Verdict {
        let most = limit.most();
        let (left, reset_us) = match (self, limit) {
            (Self::Bucket(bucket), Limit::Bucket(rate)) => {
                let left = bucket.available(now);
                let missing = i64::from(most.saturating_sub(left)) * i64::from(interval_us(rate));
                let until_one = bucket.clone().take(1, now).err().unwrap_or(missing);
                (left, if left == 0 { until_one } else { missing })
            }
            (Self::Window(window), Limit::Window { seconds, .. }) => {
                let used = u32::try_from(window.count(now)).unwrap_or(u32::MAX);
                (most.saturating_sub(used), i64::from(seconds) * 1_000_000)
            }
            // One caller has counts of each kind under another key.
            _ => (0, 1_000_000),
        };
        let allowed = left > 0;
        let reset_s = whole_seconds(reset_us).max(u32::from(!allowed));
        Verdict { allowed, limit: most, remaining: left.saturating_sub(1), reset_s }
    }

    fn charge(&mut self, now: Micros) {
        match self {
            Self::Bucket(bucket) => drop(bucket.take(1, now)),
            Self::Window(window) => window.add(1, now),
        }
    }

    fn is_idle(&mut self, now: Micros) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.is_full(now),
            Self::Window(window) => window.count(now) == 0,
        }
    }
}

impl LocalLimiter {
    /// A limiter that has counted nothing.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let counts = Counts { by_caller: HashMap::new(), sweep_at: SWEEP_AT, swept: Micros(0) };
        Self { clock, counts: Mutex::new(counts) }
    }

    fn decide(&self, asks: &[Ask]) -> Verdict {
        let now = self.clock.now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.by_caller.len() >= counts.sweep_at && now.since(counts.swept) >= SWEEP_INTERVAL_US {
            counts.swept = now;
            counts.by_caller.retain(|_, count| !count.is_idle(now));
            counts.sweep_at = (counts.by_caller.len() * 2).clamp(SWEEP_AT, COUNTS_MAX);
        }
        let is_full = counts.by_caller.len() >= COUNTS_MAX;
        let mut verdict = Verdict { allowed: true, limit: u32::MAX, remaining: u32::MAX, reset_s: 0 };
        let keys: Vec<((Caller, bool), Limit)> = asks
            .iter()
            .map(|ask| {
                let is_window = matches!(ask.limit, Limit::Window { .. });
                let own = (ask.caller, is_window);
                let is_known = !is_full || counts.by_caller.contains_key(&own);
                (if is_known { own } else { (EVERYBODY_ELSE, is_window) }, ask.limit)
            })
            .collect();
        for &(key, limit) in &keys {
            let count = counts.by_caller.entry(key).or_insert_with(|| Count::new(limit));
            verdict = verdict.stricter(count.look(limit, now));
        }
        if verdict.allowed {
            for (key, _) in &keys {
                if let Some(count) = counts.by_caller.get_mut(key) {
                    count.charge(now);
                }
            }
        }
        verdict
    }
}

impl RateLimiter for LocalLimiter {
    fn take<'a>(&'a self, asks: &'a [Ask]) -> BoxFuture<'a, Result<Verdict, Unreachable>> {
        Box::pin(std::future::ready(Ok(self.decide(asks))))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_kernel::clock::Manual;

    fn ask(number: u64, limit: Limit) -> Ask {
        let mut caller = [0; 16];
        caller[..8].copy_from_slice(&number.to_le_bytes());
        Ask { caller: Caller(caller), limit }
    }

    #[test]
    fn ever_new_callers_take_no_more_than_bounded_memory_and_known_ones_keep_their_count() {
        let clock = Arc::new(Manual::at(Micros(5_000_000)));
        let limiter = LocalLimiter::new(clock.clone());
        let limit = Limit::Bucket(Rate { burst: 5, per_second: 1 });
        assert!(limiter.decide(&[ask(0, limit)]).allowed);
        let count = u64::try_from(COUNTS_MAX).unwrap() + 50_000;
        let allowed = (1..count).filter(|&number| limiter.decide(&[ask(number, limit)]).allowed).count();
        let held = limiter.counts.lock().unwrap().by_caller.len();
        assert!(held <= COUNTS_MAX + 1, "{held}");
        assert!(allowed <= COUNTS_MAX + 10, "who comes too late shares one count: {allowed}");
        assert_eq!(limiter.decide(&[ask(0, limit)]).remaining, 3);
        clock.advance(10_000_000);
        assert!(limiter.decide(&[ask(count, limit)]).allowed);
        assert!(limiter.counts.lock().unwrap().by_caller.len() < 10, "what holds nothing is swept");
    }
}
