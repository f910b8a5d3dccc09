//! What a schedule does now: a pure function of when it was to fire and of what time it is.

use std::collections::VecDeque;

use stoa_kernel::clock::Micros;

use super::{Misfire, NEVER, Timing};

/// What fires so much later than it was to, was missed; in microseconds.
pub const MISSED_US: i64 = 60_000_000;
/// How many instants that were missed are looked at.
const LOOKS_MAX: usize = 5_000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The instants that fire now, in order.
    pub fires: Vec<Micros>,
    /// How many instants are passed over.
    pub skipped: i64,
    /// When it fires next; [`NEVER`].
    pub next: Micros,
}

/// What a schedule that was to fire at `next` does at `now`. What is at most [`MISSED_US`] late fires, each instant by itself; what is later
/// than that, as `misfire` says.
#[must_use]
pub fn plan(timing: &Timing, misfire: Misfire, catch_up_max: usize, next: Micros, now: Micros) -> Plan {
    if next > now {
        return Plan { next, ..Plan::default() };
    }
    let Some(timing) = timing.read() else { return Plan { next: NEVER, ..Plan::default() } };
    let limit = now.plus(-MISSED_US);
    let mut missed = VecDeque::new();
    let (mut skipped, mut looks, mut instant) = (0, 0, Some(next));
    let kept = match misfire {
        Misfire::Skip => 0,
        Misfire::RunOnce => 1,
        Misfire::CatchUp => catch_up_max,
    };
    while let Some(late) = instant.filter(|instant| *instant < limit && looks < LOOKS_MAX) {
        missed.push_back(late);
        // The newest are kept.
        if missed.len() > kept {
            missed.pop_front();
            skipped += 1;
        }
        looks += 1;
        instant = timing.after(late);
    }
    // Where there were too many to look at, it goes on with what is not late.
    let instant = instant
        .and_then(|instant| if instant < limit { timing.after(limit.plus(-1)) } else { Some(instant) });
    let on_time: Vec<Micros> = std::iter::successors(instant, |last| timing.after(*last))
        .take_while(|instant| *instant <= now)
        .collect();
    if misfire == Misfire::RunOnce && !on_time.is_empty() {
        // What fires now stands for what was missed.
        skipped += i64::try_from(missed.len()).unwrap_or(i64::MAX);
        missed.clear();
    }
    let fires: Vec<Micros> = missed.into_iter().chain(on_time).collect();
    Plan { fires, skipped, next: timing.after(now).unwrap_or(NEVER) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000;

    fn minutes(count: i64) -> Timing {
        Timing::every(count * 60, Micros(0)).unwrap()
    }

    fn fires(misfire: Misfire, next: i64, now: i64) -> (Vec<i64>, i64, i64) {
        let plan = plan(&minutes(10), misfire, 3, Micros(next * MINUTE), Micros(now * MINUTE));
        (plan.fires.iter().map(|fire| fire.0 / MINUTE).collect(), plan.skipped, plan.next.0 / MINUTE)
    }

    #[test]
    fn what_is_on_time_fires_and_what_is_not_yet_does_not() {
        for misfire in [Misfire::Skip, Misfire::RunOnce, Misfire::CatchUp] {
            assert_eq!(fires(misfire, 10, 9), (vec![], 0, 10));
            assert_eq!(fires(misfire, 10, 10), (vec![10], 0, 20));
            assert_eq!(fires(misfire, 10, 11), (vec![10], 0, 20));
        }
    }

    #[test]
    fn what_was_missed_fires_as_it_is_wanted() {
        assert_eq!(fires(Misfire::Skip, 10, 65), (vec![], 6, 70));
        assert_eq!(fires(Misfire::RunOnce, 10, 65), (vec![60], 5, 70));
        assert_eq!(fires(Misfire::CatchUp, 10, 65), (vec![40, 50, 60], 3, 70));
        assert_eq!(fires(Misfire::Skip, 10, 60), (vec![60], 5, 70));
        assert_eq!(
            fires(Misfire::RunOnce, 10, 60),
            (vec![60], 5, 70),
            "what fires now stands for what was missed"
        );
        assert_eq!(fires(Misfire::CatchUp, 10, 60), (vec![30, 40, 50, 60], 2, 70));
    }

    #[test]
    fn what_fires_once_is_not_lost_by_being_late() {
        let once = Timing::Once { at: Micros(MINUTE) };
        let late = plan(&once, Misfire::RunOnce, 1, Micros(MINUTE), Micros(100 * MINUTE));
        assert_eq!((late.fires, late.next), (vec![Micros(MINUTE)], NEVER));
        let late = plan(&once, Misfire::Skip, 1, Micros(MINUTE), Micros(100 * MINUTE));
        assert_eq!((late.fires, late.skipped, late.next), (vec![], 1, NEVER));
    }

    #[test]
    fn a_year_of_seconds_is_planned_in_bounded_time() {
        let timing = Timing::every(1, Micros(0)).unwrap();
        let plan = plan(&timing, Misfire::CatchUp, 5, Micros(0), Micros(366 * 86_400_000_000));
        assert_eq!((plan.fires.len(), plan.next), (5 + 61, Micros(366 * 86_400_000_000 + 1_000_000)));
    }

    proptest! {
        #[test]
        fn an_instant_fires_once_whenever_somebody_looks(steps in prop::collection::vec(0i64..90 * MINUTE, 1..60), period in 1i64..30) {
            for misfire in [Misfire::Skip, Misfire::RunOnce, Misfire::CatchUp] {
                let (timing, mut now, mut fired, mut skipped) = (minutes(period), Micros(0), Vec::new(), 0);
                let mut next = timing.after(now).unwrap();
                let first = next;
                for step in &steps {
                    now = now.plus(*step);
                    let plan = plan(&timing, misfire, 4, next, now);
                    fired.extend(plan.fires);
                    skipped += plan.skipped;
                    next = plan.next;
                }
                prop_assert!(fired.windows(2).all(|pair| pair[0] < pair[1]), "{fired:?}");
                let all = i64::try_from(timing.following(Micros(first.0 - 1)).take_while(|fire| *fire <= now).count()).unwrap();
                prop_assert_eq!(i64::try_from(fired.len()).unwrap() + skipped, all);
            }
        }
    }
}
