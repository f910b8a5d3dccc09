//! Business calendars: which days count when a window is given in business days.

use std::collections::BTreeSet;

use crate::date::Day;
use crate::limits;

/// Weekend days and holidays. Every other day is a business day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    weekend: [bool; 7],
    holidays: BTreeSet<Day>,
}

impl Default for Calendar {
    /// Saturday and Sunday, no holidays.
    fn default() -> Self {
        Self { weekend: [false, false, false, false, false, true, true], holidays: BTreeSet::new() }
    }
}

impl Calendar {
    /// A calendar with these weekend days (0 is Monday; others are ignored) and holidays.
    #[must_use]
    pub fn new(weekend: &[u8], holidays: impl IntoIterator<Item = Day>) -> Self {
        let mut days = [false; 7];
        for &day in weekend {
            if let Some(slot) = days.get_mut(usize::from(day)) {
                *slot = true;
            }
        }
        Self { weekend: days, holidays: holidays.into_iter().collect() }
    }

    /// Whether business is done on `day`.
    #[must_use]
    pub fn is_business_day(&self, day: Day) -> bool {
        !self.weekend.get(usize::from(day.weekday())).copied().unwrap_or(false)
            && !self.holidays.contains(&day)
    }

    /// The last business day on or before `day`; `None` when there is none within a year.
    #[must_use]
    pub fn on_or_before(&self, day: Day) -> Option<Day> {
        (0..366).map(|back| day.plus(-back)).find(|&candidate| self.is_business_day(candidate))
    }

    /// Business days from `from` to `to`: how many business days lie in `(from, to]`; negative when `to` is earlier.
    ///
    /// Saturates at [`limits::BUSINESS_DAYS_MAX`], which no window reaches.
    #[must_use]
    pub fn business_days_between(&self, from: Day, to: Day) -> i32 {
        if to < from {
            return -self.business_days_between(to, from);
        }
        let span = to.since(from);
        if span > limits::BUSINESS_DAYS_MAX {
            return limits::BUSINESS_DAYS_MAX;
        }
        (1..=span).map(|ahead| i32::from(self.is_business_day(from.plus(ahead)))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_holiday_and_a_weekend_do_not_count() {
        let calendar = Calendar::new(&[5, 6], [day("2025-04-18"), day("2025-04-21")]);
        // Thursday before Easter to Tuesday after it.
        assert_eq!(calendar.business_days_between(day("2025-04-17"), day("2025-04-22")), 1);
        assert_eq!(Calendar::default().business_days_between(day("2025-04-17"), day("2025-04-22")), 3);
        assert_eq!(calendar.on_or_before(day("2025-04-21")), Some(day("2025-04-17")));
    }

    #[test]
    fn a_calendar_without_business_days_has_none() {
        let never = Calendar::new(&[0, 1, 2, 3, 4, 5, 6], []);
        assert_eq!(never.on_or_before(day("2025-01-01")), None);
        assert_eq!(never.business_days_between(day("2025-01-01"), day("2025-02-01")), 0);
    }

    proptest! {
        #[test]
        fn distances_add_up_and_are_antisymmetric(a in 19_000i32..19_400, b in 0i32..60, c in 0i32..60) {
            let calendar = Calendar::new(&[5, 6], [Day::from_days(19_100), Day::from_days(19_200)]);
            let (a, b, c) = (Day::from_days(a), Day::from_days(a + b), Day::from_days(a + b + c));
            prop_assert_eq!(
                calendar.business_days_between(a, b) + calendar.business_days_between(b, c),
                calendar.business_days_between(a, c)
            );
            prop_assert_eq!(calendar.business_days_between(c, a), -calendar.business_days_between(a, c));
        }
    }
}
