use crate::clock::Micros;
use crate::random::Random;

/// How the wait grows from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// Always the base.
    Fixed,
    /// The base times the number of attempts so far.
    Linear,
    /// The base doubled for each attempt so far.
    Exponential,
}

/// How often something is tried again, and how long is waited in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How the wait grows.
    pub backoff: Backoff,
    /// The first wait, in microseconds.
    pub base_us: u32,
    /// The longest wait, in microseconds.
    pub wait_us_max: u32,
    /// Attempts in all, the first one included; 1 means no retry.
    pub attempts_max: u32,
    /// No attempt starts later than this after the first one, in microseconds.
    pub elapsed_us_max: i64,
    /// Draws each wait from `0..=wait` ("full jitter": M. Brooker, AWS Architecture Blog, 2015).
    pub jitter: bool,
}

impl RetryPolicy {
    /// How long is waited after this attempt, the first being 1, in microseconds.
    #[must_use]
    pub fn wait(&self, attempt: u32, random: &mut dyn Random) -> i64 {
        let base = i64::from(self.base_us);
        let grown = match self.backoff {
            Backoff::Fixed => base,
            Backoff::Linear => base.saturating_mul(i64::from(attempt)),
            Backoff::Exponential => {
                let doublings = attempt.saturating_sub(1);
                base.saturating_mul(1i64.checked_shl(doublings).map_or(i64::MAX, |power| power.max(1)))
            }
        };
        let cap = grown.clamp(0, i64::from(self.wait_us_max));
        if !self.jitter {
            return cap;
        }
        i64::try_from(random.below(cap.unsigned_abs() + 1)).unwrap_or(cap)
    }
}

/// The retries of one call.
#[derive(Debug, Clone)]
pub struct Retry {
    policy: RetryPolicy,
    started: Micros,
    attempts: u32,
}

impl Retry {
    /// A call whose first attempt starts at `now`.
    #[must_use]
    pub const fn starting(policy: RetryPolicy, now: Micros) -> Self {
        Self { policy, started: now, attempts: 1 }
    }

    /// After a failed attempt: microseconds to wait before the next one, or `None` to give up.
    pub fn next_wait(&mut self, now: Micros, random: &mut dyn Random) -> Option<i64> {
        if self.attempts >= self.policy.attempts_max {
            return None;
        }
        let wait = self.policy.wait(self.attempts, random);
        if now.plus(wait).since(self.started) > self.policy.elapsed_us_max {
            return None;
        }
        self.attempts += 1;
        Some(wait)
    }
}

/// Keeps retries a bounded share of calls, so that an outage is not multiplied.
///
/// Every call earns a fraction of a retry; every retry spends a whole one (Google SRE book, "Handling Overload").
#[derive(Debug, Clone)]
pub struct RetryBudget {
    percent: u32,
    reserve: u64,
    balance: u64,
}

impl RetryBudget {
    /// `percent` retries for 100 calls, and at most `reserve` saved up. Starts with the reserve full.
    #[must_use]
    pub const fn new(percent: u32, reserve: u32) -> Self {
        let reserve = reserve as u64 * 100;
        Self { percent, reserve, balance: reserve }
    }

    /// A first attempt was made.
    pub fn earn(&mut self) {
        self.balance = (self.balance + u64::from(self.percent)).min(self.reserve);
    }

    /// Whether one retry may be made; spends it.
    pub const fn spend(&mut self) -> bool {
        if self.balance < 100 {
            return false;
        }
        self.balance -= 100;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use proptest::prelude::*;

    fn policy(backoff: Backoff, jitter: bool) -> RetryPolicy {
        RetryPolicy {
            backoff,
            base_us: 100,
            wait_us_max: 1_000,
            attempts_max: 6,
            elapsed_us_max: 1_000_000,
            jitter,
        }
    }

    fn waits(policy: RetryPolicy) -> Vec<i64> {
        let mut retry = Retry::starting(policy, Micros(0));
        let mut random = SplitMix64::seeded(1);
        std::iter::from_fn(|| retry.next_wait(Micros(0), &mut random)).collect()
    }

    #[test]
    fn each_backoff_grows_as_it_says_up_to_the_longest_wait() {
        assert_eq!(waits(policy(Backoff::Fixed, false)), [100, 100, 100, 100, 100]);
        assert_eq!(waits(policy(Backoff::Linear, false)), [100, 200, 300, 400, 500]);
        assert_eq!(waits(policy(Backoff::Exponential, false)), [100, 200, 400, 800, 1_000]);
    }

    proptest! {
        #[test]
        fn waits_stay_within_the_policy(seed in any::<u64>(), base in 0u32.., attempts in 0u32..200, elapsed in 0i64..1 << 40) {
            let policy = RetryPolicy {
                backoff: Backoff::Exponential, base_us: base, wait_us_max: 5_000_000, attempts_max: attempts,
                elapsed_us_max: elapsed, jitter: true,
            };
            let (mut retry, mut random, mut now) = (Retry::starting(policy, Micros(0)), SplitMix64::seeded(seed), Micros(0));
            let mut made = 1;
            while let Some(wait) = retry.next_wait(now, &mut random) {
                prop_assert!((0..=5_000_000).contains(&wait));
                now = now.plus(wait);
                made += 1;
                prop_assert!(now.0 <= elapsed);
            }
            prop_assert!(made <= attempts.max(1));
        }

        #[test]
        fn retries_stay_a_share_of_calls(calls in 1u32..2_000, percent in 0u32..100) {
            let mut budget = RetryBudget::new(percent, 10);
            let mut retries = 0u32;
            for _ in 0..calls {
                budget.earn();
                while budget.spend() { retries += 1; }
            }
            prop_assert!(retries <= 10 + calls * percent / 100);
        }
    }
}
