use std::collections::VecDeque;

use crate::clock::Micros;

/// Counts what happened in the last `window` microseconds, in slots of a fixed width.
///
/// A slot leaves as a whole: the count covers at least the window and at most one slot more.
#[derive(Debug, Clone)]
pub struct SlidingWindow {
    slot: i64,
    window: i64,
    slots: VecDeque<(i64, u64)>,
    total: u64,
}

impl SlidingWindow {
    /// A window of `window_us` microseconds in `slots` slots (at least one each).
    #[must_use]
    pub fn new(window_us: u32, slots: u32) -> Self {
        let window = i64::from(window_us.max(1));
        let slot = (window / i64::from(slots.max(1))).max(1);
        Self { slot, window, slots: VecDeque::new(), total: 0 }
    }

    /// Adds `count` at `now`. A time before the newest slot counts into the newest slot.
    pub fn add(&mut self, count: u64, now: Micros) {
        self.expire(now);
        let index = now.0.div_euclid(self.slot);
        match self.slots.back_mut() {
            Some((newest, slot)) if *newest >= index => *slot += count,
            _ => self.slots.push_back((index, count)),
        }
        self.total += count;
    }

    /// How much was added in the window that ends at `now`.
    pub fn count(&mut self, now: Micros) -> u64 {
        self.expire(now);
        self.total
    }

    /// Adds one if that keeps the window at or below `limit`; otherwise says how many microseconds to wait.
    ///
    /// # Errors
    /// The wait until the oldest slot has left.
    pub fn admit(&mut self, limit: u64, now: Micros) -> Result<(), i64> {
        if self.count(now) < limit {
            self.add(1, now);
            return Ok(());
        }
        let oldest = self.slots.front().map_or(now.0, |&(index, _)| index * self.slot);
        Err((oldest + self.slot + self.window - now.0).max(1))
    }

    fn expire(&mut self, now: Micros) {
        while let Some(&(index, count)) = self.slots.front() {
            if (index + 1) * self.slot + self.window > now.0 {
                break;
            }
            self.slots.pop_front();
            self.total -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_all_of_the_window_and_at_most_one_slot_more(steps in prop::collection::vec(0i64..400, 1..200)) {
            let mut window = SlidingWindow::new(1_000, 10);
            let mut times = Vec::new();
            let mut now = Micros(10_000);
            for step in steps {
                now = now.plus(step);
                window.add(1, now);
                times.push(now.0);
                let within = |span: i64| times.iter().filter(|&&time| time > now.0 - span).count() as u64;
                let counted = window.count(now);
                prop_assert!(counted >= within(1_000) && counted <= within(1_101), "{counted}");
            }
        }

        #[test]
        fn after_the_wait_that_it_asks_for_one_more_is_admitted(limit in 1u64..8) {
            let mut window = SlidingWindow::new(1_000, 4);
            let now = Micros(123_456);
            for _ in 0..limit {
                prop_assert!(window.admit(limit, now).is_ok());
            }
            let wait = window.admit(limit, now).unwrap_err();
            prop_assert!(window.admit(limit, now.plus(wait)).is_ok());
        }
    }
}
