//! When a schedule fires: a pure function from an instant to the next one.

use std::str::FromStr as _;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stoa_kernel::clock::Micros;

/// The longest interval, in seconds: a year.
pub const EVERY_S_MAX: i64 = 366 * 86_400;
/// The most characters of an expression.
const EXPRESSION_CHARS_MAX: usize = 200;
/// How often an expression is asked until an instant is found: within a repeated hour, every second of it.
const LOOKS_MAX: usize = 8_000;

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Timing {
    /// When the clocks of a place show what the expression says. A time that they skip fires once, when they go on; a time that they
    /// show twice fires the first time.
    Cron {
        /// Five fields (minute, hour, day, month, weekday), six with seconds before them, or `@daily` and the like.
        expression: String,
        /// An IANA time zone: `Europe/Berlin`.
        time_zone: String,
    },
    /// Every so many seconds, counted from an instant.
    Every {
        /// How many.
        seconds: i64,
        /// From when on.
        from: Micros,
    },
    /// Once.
    Once {
        /// When.
        at: Micros,
    },
}

fn civil(instant: Micros, zone: &TimeZone) -> Option<DateTime> {
    Timestamp::from_microsecond(instant.0).ok().map(|instant| zone.to_datetime(instant))
}

/// The instant at which the clocks of a zone show a time: the first of two; when they go on, where they skip it.
fn resolve(shown: DateTime, zone: &TimeZone) -> Option<Micros> {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    let found = match ambiguous.offset() {
        AmbiguousOffset::Gap { before, .. } => {
            // As the clocks before the gap would show it, it lies behind the change: that is the last one before it.
            let behind = before.to_timestamp(shown).ok()?;
            let change = zone.preceding(behind.checked_add(SignedDuration::from_nanos(1)).ok()?).next()?;
            change.timestamp()
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok()?,
    };
    Some(Micros(found.as_microsecond()))
}

impl Timing {
    /// By an expression, on the clocks of a place.
    ///
    /// # Errors
    /// What is wrong, and with which of the two: `/cron`, `/timeZone`.
    pub fn cron(expression: &str, time_zone: &str) -> Result<Self, (&'static str, String)> {
        if expression.chars().count() > EXPRESSION_CHARS_MAX {
            return Err(("/cron", format!("has at most {EXPRESSION_CHARS_MAX} characters")));
        }
        let zone = TimeZone::get(time_zone).map_err(|_| {
            ("/timeZone", format!("there is no time zone \"{time_zone}\"; write it as Europe/Berlin"))
        })?;
        let cron = parse(expression).map_err(|why| ("/cron", why))?;
        let start =
            DateTime::from_str("2024-01-01T00:00:00").map_err(|error| ("/cron", error.to_string()))?;
        if cron.find_next_occurrence(&start, true).is_err() {
            return Err(("/cron", "there is no such time: it would never fire".to_owned()));
        }
        let name = zone.iana_name().unwrap_or(time_zone).to_owned();
        Ok(Self::Cron { expression: expression.trim().to_owned(), time_zone: name })
    }

    /// Every so many seconds from an instant on.
    ///
    /// # Errors
    /// When they are none.
    pub fn every(seconds: i64, from: Micros) -> Result<Self, (&'static str, String)> {
        if (1..=EVERY_S_MAX).contains(&seconds) {
            Ok(Self::Every { seconds, from })
        } else {
            Err(("/everyS", format!("is a number of seconds from 1 to {EVERY_S_MAX}")))
        }
    }

    /// Reads it, once for many instants. `None` where it cannot be read any more.
    #[must_use]
    pub fn read(&self) -> Option<Read> {
        Some(match self {
            Self::Once { at } => Read::Once(*at),
            Self::Every { seconds, from } => {
                Read::Every { period_us: seconds.max(&1).saturating_mul(1_000_000), from: *from }
            }
            Self::Cron { expression, time_zone } => {
                Read::Cron { cron: Box::new(parse(expression).ok()?), zone: TimeZone::get(time_zone).ok()? }
            }
        })
    }

    /// The first instant after another at which it fires; `None` when it never does again.
    #[must_use]
    pub fn after(&self, instant: Micros) -> Option<Micros> {
        self.read()?.after(instant)
    }

    /// The instants after another at which it fires.
    pub fn following(&self, instant: Micros) -> impl Iterator<Item = Micros> {
        let read = self.read();
        let first = read.as_ref().and_then(|read| read.after(instant));
        std::iter::successors(first, move |last| read.as_ref()?.after(*last))
    }
}

/// A timing that was read.
#[derive(Debug, Clone)]
pub enum Read {
    /// By the clocks of a place.
    Cron {
        /// What they show.
        cron: Box<croner::Cron>,
        /// Where.
        zone: TimeZone,
    },
    /// In an interval.
    Every {
        /// How long, in microseconds.
        period_us: i64,
        /// From when on.
        from: Micros,
    },
    /// Once.
    Once(Micros),
}

impl Read {
    /// The first instant after another at which it fires; `None` when it never does again.
    #[must_use]
    pub fn after(&self, instant: Micros) -> Option<Micros> {
        match self {
            Self::Once(at) => (*at > instant).then_some(*at),
            Self::Every { period_us, from } => {
                let passed = instant.0.saturating_sub(from.0);
                let count = if passed < 0 { 0 } else { passed / period_us + 1 };
                Some(from.plus(period_us.checked_mul(count)?))
            }
            Self::Cron { cron, zone } => {
                let mut shown = civil(instant, zone)?;
                // In an hour that is shown for the second time, everything has fired already.
                for _ in 0..LOOKS_MAX {
                    shown = cron.find_next_occurrence(&shown, false).ok()?;
                    let found = resolve(shown, zone)?;
                    if found > instant {
                        return Some(found);
                    }
                }
                None
            }
        }
    }
}

fn parse(expression: &str) -> Result<croner::Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser
        .parse(expression)
        .map_err(|error| format!("is no cron expression such as \"0 9 * * MON-FRI\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Micros {
        Micros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    fn shown(instant: Micros) -> String {
        Timestamp::from_microsecond(instant.0).unwrap().to_string()
    }

    fn fires(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        Timing::cron(expression, zone).unwrap().following(at(after)).take(count).map(shown).collect()
    }

    #[test]
    fn five_and_six_fields_and_names_are_read() {
        assert_eq!(
            fires("*/20 8 * * *", "UTC", "2026-11-27T08:05:00Z", 3),
            ["2026-11-27T08:20:00Z", "2026-11-27T08:40:00Z", "2026-11-28T08:00:00Z"]
        );
        assert_eq!(fires("30 0 0 * * *", "UTC", "2026-11-27T00:00:00Z", 1), ["2026-11-27T00:00:30Z"]);
        assert_eq!(fires("@daily", "Asia/Tokyo", "2026-11-27T00:00:00Z", 1), ["2026-11-27T15:00:00Z"]);
        assert_eq!(
            fires("0 9 * * MON-FRI", "Europe/Berlin", "2026-11-27T09:00:00Z", 1),
            ["2026-11-30T08:00:00Z"]
        );
        assert_eq!(fires("0 0 L * *", "UTC", "2028-02-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
    }

    #[test]
    fn what_is_no_timing_says_why() {
        for (expression, zone, pointer) in [
            ("", "UTC", "/cron"),
            ("61 * * * *", "UTC", "/cron"),
            ("* * * *", "UTC", "/cron"),
            ("0 0 30 2 *", "UTC", "/cron"),
            ("@sometimes", "UTC", "/cron"),
            ("* * * * *", "Mars/Olympus", "/timeZone"),
        ] {
            assert_eq!(Timing::cron(expression, zone).unwrap_err().0, pointer, "{expression} {zone}");
        }
        assert_eq!(Timing::every(0, Micros(0)).unwrap_err().0, "/everyS");
    }

    #[test]
    fn a_time_that_the_clocks_skip_fires_once_when_they_go_on() {
        // In Berlin 02:00 to 03:00 is not there on 2026-03-29: the clocks go on at 01:00 UTC.
        assert_eq!(
            fires("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            fires("*/15 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 4),
            ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z", "2026-03-29T01:30:00Z"]
        );
        // Lord Howe skips half an hour.
        assert_eq!(
            fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 1),
            ["2026-10-03T15:30:00Z"]
        );
    }

    #[test]
    fn a_time_that_the_clocks_show_twice_fires_once() {
        // In Berlin 02:00 to 03:00 is there twice on 2026-10-25: from 00:00 and from 01:00 UTC.
        assert_eq!(
            fires("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // Also when it is asked in the second of the two hours.
        assert_eq!(fires("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
        assert_eq!(
            fires("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
            ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"]
        );
    }

    #[test]
    fn an_interval_keeps_its_beat_and_once_is_once() {
        let every = Timing::every(90, at("2026-11-27T00:00:30Z")).unwrap();
        let fires: Vec<String> = every.following(at("2026-11-27T00:02:00Z")).take(2).map(shown).collect();
        assert_eq!(fires, ["2026-11-27T00:03:30Z", "2026-11-27T00:05:00Z"]);
        assert_eq!(every.after(at("2020-01-01T00:00:00Z")), Some(at("2026-11-27T00:00:30Z")));
        let once = Timing::Once { at: at("2026-12-01T00:00:00Z") };
        assert_eq!(once.following(at("2026-11-27T00:00:00Z")).count(), 1);
        assert_eq!(once.after(at("2026-12-01T00:00:00Z")), None);
    }

    proptest! {
        #[test]
        fn fires_are_in_order_and_do_not_depend_on_when_one_asks(
            start in 1_704_067_200i64..1_924_992_000, minute in 0u32..60, hour in 0u32..24,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"]),
        ) {
            let timing = Timing::cron(&format!("{minute} {hour} * * *"), zone).unwrap();
            let start = Micros(start * 1_000_000);
            let fires: Vec<Micros> = timing.following(start).take(400).collect();
            prop_assert!(fires.windows(2).all(|pair| pair[0] < pair[1]));
            // Once a day, whatever the clocks do: apart by a day, give or take the hour that they skip or repeat.
            let day = |pair: &[Micros]| (23 * 3_600_000_000..=25 * 3_600_000_000).contains(&pair[1].since(pair[0]));
            prop_assert!(fires.windows(2).all(day));
            let middle = Micros(i64::midpoint(fires[10].0, fires[11].0));
            prop_assert_eq!(timing.after(middle), Some(fires[11]));
            prop_assert_eq!(timing.after(Micros(fires[11].0 - 1)), Some(fires[11]));
        }
    }
}
