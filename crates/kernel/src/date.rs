//! Civil days: a calendar date as a number of days, without a zone, so that it can never drift through UTC.

use std::fmt;
use std::str::FromStr;

/// A day of the proleptic Gregorian calendar, as days since 1970-01-01. Years −9999 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// The text is not a date `YYYY-MM-DD` of the calendar. Code `date_invalid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a date of the calendar as YYYY-MM-DD")]
pub struct ParseDayError;

/// The last day of a month, 28 to 31; 0 when `month` is not 1 to 12.
#[must_use]
pub const fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

impl Day {
    /// The day of this year, month (1–12) and day of the month (1–31); `None` when the calendar has no such day.
    #[must_use]
    #[inline]
    pub const fn from_civil(year: i32, month: u8, day: u8) -> Option<Self> {
        if year < -9999 || year > 9999 || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        // Days from civil, H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y - era * 400;
        let shifted_month = (month as i32 + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Self(era * 146_097 + day_of_era - 719_468))
    }

    /// The day that is `days` after 1970-01-01.
    #[must_use]
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// Year, month (1–12) and day of the month (1–31).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the results are 1–12 and 1–31"
    )]
    pub const fn civil(self) -> (i32, u8, u8) {
        // Civil from days, the inverse of the above.
        let z = self.0 + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z - era * 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month as u8, day as u8)
    }

    /// The day `days` later; earlier when negative.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Days from `earlier` to `self`; negative when `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Day of the week: 0 is Monday, 6 is Sunday.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the result is 0–6")]
    pub const fn weekday(self) -> u8 {
        (self.0 + 3).rem_euclid(7) as u8
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '-');
        let mut part = |width: usize| {
            parts
                .next()
                .filter(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|part| part.parse::<u16>().ok())
                .ok_or(ParseDayError)
        };
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        let narrow = |value: u16| u8::try_from(value).map_err(|_| ParseDayError);
        Self::from_civil(i32::from(year), narrow(month)?, narrow(day)?).ok_or(ParseDayError)
    }
}

impl serde::Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn days_and_civil_dates_convert_both_ways_as_jiff_does(days in -700_000i32..2_900_000) {
            let day = Day::from_days(days);
            let (year, month, date) = day.civil();
            prop_assert_eq!(Day::from_civil(year, month, date), Some(day));
            let peer = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
            prop_assert_eq!((i32::from(peer.year()), peer.month(), peer.day()),
                (year, i8::try_from(month).unwrap(), i8::try_from(date).unwrap()));
            prop_assert_eq!(peer.weekday().to_monday_zero_offset(), i8::try_from(day.weekday()).unwrap());
        }

        #[test]
        fn a_day_reads_back_from_its_text(days in 0i32..2_900_000) {
            let day = Day::from_days(days);
            prop_assert_eq!(day.to_string().parse(), Ok(day));
        }
    }

    #[test]
    fn days_that_the_calendar_lacks_are_refused() {
        for text in
            ["2023-02-29", "2024-02-30", "2024-13-01", "2024-00-10", "2024-1-1", "24-01-01", "2024-01-01x"]
        {
            assert_eq!(text.parse::<Day>(), Err(ParseDayError), "{text}");
        }
        assert!("2024-02-29".parse::<Day>().is_ok());
    }
}
