use crate::clock::Micros;

/// A token bucket: bursts up to a capacity, a steady rate after that.
///
/// Kept as one instant, the "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371), so there is no
/// rounding to accumulate.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    interval: i64,
    burst: i64,
    arrival: Option<Micros>,
}

impl TokenBucket {
    /// A bucket that holds `capacity` tokens and gains one every `interval_us` microseconds (at least 1). Starts full.
    #[must_use]
    pub const fn new(capacity: u32, interval_us: u32) -> Self {
        let interval = if interval_us == 0 { 1 } else { interval_us as i64 };
        Self { interval, burst: interval.saturating_mul(capacity as i64), arrival: None }
    }

    /// Takes `tokens` at `now`.
    ///
    /// # Errors
    /// How many microseconds to wait until they would be there; `i64::MAX` when they never will, because the capacity
    /// is smaller.
    pub fn take(&mut self, tokens: u32, now: Micros) -> Result<(), i64> {
        let cost = self.interval.saturating_mul(i64::from(tokens));
        if cost > self.burst {
            return Err(i64::MAX);
        }
        let start = self.arrival.map_or(now, |arrival| arrival.max(now));
        let finish = start.plus(cost);
        let excess = finish.0.saturating_sub(now.0).saturating_sub(self.burst);
        if excess > 0 {
            return Err(excess);
        }
        self.arrival = Some(finish);
        Ok(())
    }

    /// Whole tokens that are there at `now`.
    #[must_use]
    pub fn available(&self, now: Micros) -> u32 {
        let used = self.arrival.map_or(0, |arrival| arrival.since(now));
        u32::try_from((self.burst - used).max(0) / self.interval).unwrap_or(u32::MAX)
    }

    /// Whether nothing is taken, as in a new one.
    #[must_use]
    pub fn is_full(&self, now: Micros) -> bool {
        self.arrival.is_none_or(|arrival| arrival <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_more_than_the_burst_plus_the_rate(
            capacity in 1u32..20, interval in 1u32..1_000, steps in prop::collection::vec((0i64..2_000, 1u32..4), 1..200)
        ) {
            let mut bucket = TokenBucket::new(capacity, interval);
            let (mut now, mut taken) = (Micros(1_000_000), 0i64);
            let start = now;
            for (step, tokens) in steps {
                now = now.plus(step);
                if bucket.take(tokens, now).is_ok() {
                    taken += i64::from(tokens);
                }
                prop_assert!(taken <= i64::from(capacity) + now.since(start) / i64::from(interval));
            }
        }

        #[test]
        fn after_the_wait_that_it_asks_for_the_tokens_are_there(capacity in 1u32..9, interval in 1u32..999, taken in 0u32..9) {
            let mut bucket = TokenBucket::new(capacity, interval);
            let now = Micros(5);
            for _ in 0..taken {
                let _ = bucket.take(1, now);
            }
            if let Err(wait) = bucket.take(1, now) {
                prop_assert!(bucket.take(1, now.plus(wait - 1)).is_err());
                prop_assert!(bucket.take(1, now.plus(wait)).is_ok());
            }
        }
    }

    #[test]
    fn more_than_the_capacity_never_fits() {
        assert_eq!(TokenBucket::new(3, 10).take(4, Micros(0)), Err(i64::MAX));
        assert_eq!(TokenBucket::new(3, 10).available(Micros(0)), 3);
    }
}
