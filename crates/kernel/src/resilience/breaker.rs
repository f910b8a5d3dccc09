use super::SlidingWindow;
use crate::clock::Micros;

/// When a circuit opens, for how long, and how it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Opens at this share of failures, in percent, 1 to 100.
    pub failure_percent: u8,
    /// Calls that the window must have seen before it may open.
    pub calls_min: u32,
    /// Width of the window, in microseconds.
    pub window_us: u32,
    /// How long it stays open before probes are let through, in microseconds.
    pub open_us: u32,
    /// How many probes run at once when half open, and how many must succeed in a row to close it.
    pub probes: u32,
}

impl Default for BreakerPolicy {
    /// 50 % of at least 10 calls in 10 s; open for 30 s; 3 probes.
    fn default() -> Self {
        Self { failure_percent: 50, calls_min: 10, window_us: 10_000_000, open_us: 30_000_000, probes: 3 }
    }
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets calls through and counts them.
    Closed,
    /// Refuses calls until this instant.
    Open {
        /// When probes are let through.
        until: Micros,
    },
    /// Lets a bounded number of probes through.
    HalfOpen {
        /// Probes under way.
        running: u32,
        /// Probes that succeeded so far.
        succeeded: u32,
    },
}

/// A circuit breaker (M. Nygard, "Release It!", 2007).
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    /// Counts the changes of state, so that a call is judged in the state that let it through.
    generation: u64,
    calls: SlidingWindow,
    failures: SlidingWindow,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        let window = || SlidingWindow::new(policy.window_us, 10);
        Self { policy, state: BreakerState::Closed, generation: 0, calls: window(), failures: window() }
    }

    /// The state after the last call.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Asks to make a call at `now`. Each call that is let through must be followed by one [`Self::record`] with the generation
    /// that it got here.
    ///
    /// # Errors
    /// How many microseconds until it is worth asking again; zero while all probes are under way.
    pub fn admit(&mut self, now: Micros) -> Result<u64, i64> {
        if let BreakerState::Open { until } = self.state {
            if now < until {
                return Err(until.since(now));
            }
            self.enter(BreakerState::HalfOpen { running: 0, succeeded: 0 });
        }
        match &mut self.state {
            BreakerState::HalfOpen { running, succeeded } => {
                if *running + *succeeded >= self.policy.probes.max(1) {
                    return Err(0);
                }
                *running += 1;
            }
            BreakerState::Closed | BreakerState::Open { .. } => {}
        }
        Ok(self.generation)
    }

    /// Reports how a call that was let through ended. One that began in another generation says how things were then: it is no probe
    /// of how they are.
    pub fn record(&mut self, generation: u64, success: bool, now: Micros) {
        if generation != self.generation {
            return;
        }
        match self.state {
            BreakerState::Closed => {
                self.calls.add(1, now);
                if !success {
                    self.failures.add(1, now);
                }
                let (calls, failures) = (self.calls.count(now), self.failures.count(now));
                if calls >= u64::from(self.policy.calls_min)
                    && failures * 100 >= calls * u64::from(self.policy.failure_percent)
                    && failures > 0
                {
                    self.open(now);
                }
            }
            BreakerState::HalfOpen { .. } if !success => self.open(now),
            BreakerState::HalfOpen { running, succeeded } => {
                let succeeded = succeeded + 1;
                if succeeded >= self.policy.probes.max(1) {
                    *self = Self { generation: self.generation + 1, ..Self::new(self.policy) };
                } else {
                    self.state = BreakerState::HalfOpen { running: running.saturating_sub(1), succeeded };
                }
            }
            BreakerState::Open { .. } => {}
        }
    }

    fn open(&mut self, now: Micros) {
        self.enter(BreakerState::Open { until: now.plus(i64::from(self.policy.open_us)) });
    }

    fn enter(&mut self, state: BreakerState) {
        self.state = state;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: BreakerPolicy =
        BreakerPolicy { failure_percent: 50, calls_min: 4, window_us: 1_000, open_us: 500, probes: 2 };

    #[test]
    fn half_of_enough_calls_opens_it_and_good_probes_close_it() {
        let mut breaker = Breaker::new(POLICY);
        let now = Micros(10_000);
        for success in [true, false, true] {
            let call = breaker.admit(now).unwrap();
            breaker.record(call, success, now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "three calls are too few to judge");
        breaker.record(0, false, now);
        assert_eq!(breaker.admit(now.plus(100)), Err(400));
        let later = now.plus(500);
        assert_eq!(
            (breaker.admit(later), breaker.admit(later), breaker.admit(later)),
            (Ok(2), Ok(2), Err(0))
        );
        breaker.record(2, true, later);
        assert_eq!(breaker.admit(later), Err(0), "one probe runs, one succeeded: that is all of them");
        breaker.record(2, true, later);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_again() {
        let mut breaker = Breaker::new(POLICY);
        for _ in 0..4 {
            breaker.record(0, false, Micros(0));
        }
        let probe = breaker.admit(Micros(500)).unwrap();
        breaker.record(probe, false, Micros(600));
        assert_eq!(breaker.state(), BreakerState::Open { until: Micros(1_100) });
    }

    #[test]
    fn a_call_from_before_the_circuit_opened_is_no_probe() {
        let mut breaker = Breaker::new(POLICY);
        let old = breaker.admit(Micros(0)).unwrap();
        for _ in 0..4 {
            breaker.record(0, false, Micros(0));
        }
        let probe = breaker.admit(Micros(500)).unwrap();
        breaker.record(old, false, Micros(500));
        breaker.record(old, true, Micros(500));
        assert_eq!(breaker.state(), BreakerState::HalfOpen { running: 1, succeeded: 0 });
        breaker.record(probe, true, Micros(500));
        assert_eq!(breaker.state(), BreakerState::HalfOpen { running: 0, succeeded: 1 });
    }

    proptest! {
        #[test]
        fn it_never_opens_without_a_failure_and_never_lets_more_probes_run_than_allowed(
            steps in prop::collection::vec((0i64..300, any::<bool>(), any::<bool>()), 1..300)
        ) {
            let mut breaker = Breaker::new(POLICY);
            let (mut now, mut failed, mut under_way) = (Micros(0), false, Vec::new());
            for (step, start, success) in steps {
                now = now.plus(step);
                if start {
                    under_way.extend(breaker.admit(now));
                } else if let Some(call) = under_way.pop() {
                    failed |= !success;
                    breaker.record(call, success, now);
                }
                prop_assert!(failed || breaker.state() == BreakerState::Closed);
                if let BreakerState::HalfOpen { running, succeeded } = breaker.state() {
                    prop_assert!(running + succeeded <= POLICY.probes);
                }
            }
        }
    }
}
