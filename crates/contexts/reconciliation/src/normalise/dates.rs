//! Step 5: dates. A calendar date stays one and never passes through UTC; an instant is cut to a date in a zone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stoa_kernel::date::{Day, days_in_month};

/// In which order a numeric date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum DateFormat {
    /// `2025-01-31`, `20250131`, `2025/1/31`, with or without a time.
    #[default]
    YearMonthDay,
    /// `31.01.2025`, `31/1/25`.
    DayMonthYear,
    /// `01/31/2025`, `1/31/25`.
    MonthDayYear,
    /// `250131`, as in MT940 and BAI2.
    ShortYearMonthDay,
    /// `0131`: a day without a year, in the year nearest the value date, as the entry date of MT940.
    MonthDay,
    /// Seconds since 1970-01-01T00:00:00Z, as in the exports of card processors.
    UnixSeconds,
}

/// A date, and what had to be done to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadDay {
    /// The day.
    pub day: Day,
    /// The calendar has no such day (30 February): the last one of the month was taken.
    pub clamped: bool,
}

/// The cell is not a date in the format of its column. Code `date_invalid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the date cannot be read")]
pub struct DateError;

/// Reads a date, cutting an instant to the day in `zone` (the offset that is written, when `zone` is `None`).
///
/// A blank cell is absent.
///
/// # Errors
/// [`DateError`].
#[inline]
pub fn parse(
    cell: &str,
    format: DateFormat,
    zone: Option<&jiff::tz::TimeZone>,
) -> Result<Option<ReadDay>, DateError> {
    if format == DateFormat::YearMonthDay
        && let &[y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0] = cell.as_bytes()
    {
        return iso([y3, y2, y1, y0], [m1, m0], [d1, d0]).map(Some);
    }
    let text = cell.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if format == DateFormat::UnixSeconds {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if whole.len() < 8 || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(DateError);
        }
        let seconds = whole.parse().map_err(|_| DateError)?;
        let instant = jiff::Timestamp::from_second(seconds).map_err(|_| DateError)?;
        return cut(instant, zone.unwrap_or(&jiff::tz::TimeZone::UTC)).map(Some);
    }
    if let Some(zone) = zone
        && let Some(instant) = instant(text)
    {
        return cut(instant, zone).map(Some);
    }
    numeric(text, format).or_else(|error| with_month_name(text).ok_or(error)).map(Some)
}

#[inline]
fn iso(year: [u8; 4], month: [u8; 2], day: [u8; 2]) -> Result<ReadDay, DateError> {
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0u16, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u16::from(byte - b'0')))
            .ok_or(DateError)
    };
    civil(i32::from(number(&year)?), number(&month)?, number(&day)?)
}

/// Days up to 31 that a month lacks are clamped; other numbers are not a date.
fn civil(year: i32, month: u16, day: u16) -> Result<ReadDay, DateError> {
    let month = u8::try_from(month).map_err(|_| DateError)?;
    let day = u8::try_from(day).map_err(|_| DateError)?;
    let last = days_in_month(year, month);
    if last == 0 || day == 0 || day > 31 {
        return Err(DateError);
    }
    let clamped = day > last;
    let day = Day::from_civil(year, month, day.min(last)).ok_or(DateError)?;
    Ok(ReadDay { day, clamped })
}

fn cut(instant: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> Result<ReadDay, DateError> {
    let date = instant.to_zoned(zone.clone()).date();
    let month = u8::try_from(date.month()).map_err(|_| DateError)?;
    let day = u8::try_from(date.day()).map_err(|_| DateError)?;
    Day::from_civil(i32::from(date.year()), month, day)
        .map(|day| ReadDay { day, clamped: false })
        .ok_or(DateError)
}

/// An instant with an offset, RFC 3339 or with a blank in place of the `T`; `None` for a date or a local time.
fn instant(text: &str) -> Option<jiff::Timestamp> {
    text.contains(':').then(|| text.parse().ok()).flatten()
}

/// The instant of a cell, in microseconds since the Unix epoch, when it states one with its offset.
#[must_use]
pub fn instant_micros(cell: &str) -> Option<i64> {
    instant(cell.trim()).map(jiff::Timestamp::as_microsecond)
}

/// Two-digit years: 70 to 99 are 1970 to 1999, 00 to 69 are 2000 to 2069 (POSIX `%y`).
const fn full_year(short: u16) -> i32 {
    if short >= 70 { 1900 + short as i32 } else { 2000 + short as i32 }
}

fn numeric(text: &str, format: DateFormat) -> Result<ReadDay, DateError> {
    let date = text.split(['T', ' ', ',']).next().unwrap_or("");
    let run = date.bytes().take_while(u8::is_ascii_digit).count();
    if run >= 8 {
        return compact(date.get(..run).unwrap_or(""), format);
    }
    let parts: Vec<&str> = date.split(['-', '/', '.']).filter(|part| !part.is_empty()).collect();
    let number = |part: &str| {
        (part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u16>().ok())
            .flatten()
            .ok_or(DateError)
    };
    let year =
        |part: &str| number(part).map(|year| if part.len() <= 2 { full_year(year) } else { i32::from(year) });
    match (parts.as_slice(), format) {
        (&[a, b, c], _) if a.len() == 4 => civil(year(a)?, number(b)?, number(c)?),
        (&[a, b, c], DateFormat::DayMonthYear) => civil(year(c)?, number(b)?, number(a)?),
        (&[a, b, c], DateFormat::MonthDayYear) => civil(year(c)?, number(a)?, number(b)?),
        (&[digits], _) => compact(digits, format),
        _ => Err(DateError),
    }
}

fn compact(digits: &str, format: DateFormat) -> Result<ReadDay, DateError> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DateError);
    }
    let number = |range: std::ops::Range<usize>| {
        digits.get(range).and_then(|part| part.parse::<u16>().ok()).ok_or(DateError)
    };
    match (digits.len(), format) {
        (6, DateFormat::ShortYearMonthDay | DateFormat::YearMonthDay) => {
            civil(full_year(number(0..2)?), number(2..4)?, number(4..6)?)
        }
        (6, DateFormat::DayMonthYear) => civil(full_year(number(4..6)?), number(2..4)?, number(0..2)?),
        (6, DateFormat::MonthDayYear) => civil(full_year(number(4..6)?), number(0..2)?, number(2..4)?),
        (8, DateFormat::DayMonthYear) => civil(i32::from(number(4..8)?), number(2..4)?, number(0..2)?),
        (8, DateFormat::MonthDayYear) => civil(i32::from(number(4..8)?), number(0..2)?, number(2..4)?),
        // Eight digits or more: a date of OFX, with a time behind it.
        (8.., DateFormat::YearMonthDay | DateFormat::ShortYearMonthDay | DateFormat::UnixSeconds) => {
            civil(i32::from(number(0..4)?), number(4..6)?, number(6..8)?)
        }
        _ => Err(DateError),
    }
}

/// `31 Jan 2025`, `Jan 31, 2025`, `31-Jan-25`.
fn with_month_name(text: &str) -> Option<ReadDay> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(3).collect();
    let month_of = |word: &str| {
        let word = word.to_ascii_lowercase();
        (word.len() >= 3).then(|| MONTHS.iter().position(|month| word.starts_with(month))).flatten()
    };
    let (day, month, year) = match *words.as_slice() {
        [day, month, year] if month_of(month).is_some() => (day, month, year),
        [month, day, year] if month_of(month).is_some() => (day, month, year),
        _ => return None,
    };
    let month = u16::try_from(month_of(month)? + 1).ok()?;
    let year_number: u16 = year.parse().ok()?;
    let year = if year.len() <= 2 { full_year(year_number) } else { i32::from(year_number) };
    civil(year, month, day.parse().ok()?).ok()
}

/// The day of a month and day without a year: in the year that brings it nearest to `near` (MT940 entry dates).
///
/// # Errors
/// [`DateError`] unless the text is four digits `MMDD` of a date.
pub fn month_day_near(text: &str, near: Day) -> Result<ReadDay, DateError> {
    let number = |range: std::ops::Range<usize>| {
        text.get(range).and_then(|part| part.parse::<u16>().ok()).ok_or(DateError)
    };
    if text.len() != 4 {
        return Err(DateError);
    }
    let (month, day) = (number(0..2)?, number(2..4)?);
    let (year, ..) = near.civil();
    (year - 1..=year + 1)
        .filter_map(|year| civil(year, month, day).ok())
        .min_by_key(|read| read.day.since(near).abs())
        .ok_or(DateError)
}

/// What a sample of a column says about its date format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inferred {
    /// The format.
    pub format: DateFormat,
    /// Whether the sample proves it; otherwise it is an assumption that is to be stated.
    pub proven: bool,
}

/// Infers the format of a column: the one that reads the most cells. Among day-first and month-first, the one that gives
/// the shorter span of days; day-first when that is equal too. `None` when no format reads most of the sample.
#[must_use]
pub fn infer(cells: &[&str]) -> Option<Inferred> {
    let filled: Vec<&str> = cells.iter().copied().filter(|cell| !cell.trim().is_empty()).collect();
    if filled.is_empty() {
        return None;
    }
    let scored = |format: DateFormat| {
        let days: Vec<i32> = filled
            .iter()
            .filter(|cell| format != DateFormat::UnixSeconds || (9..=13).contains(&cell.trim().len()))
            .filter(|cell| format != DateFormat::ShortYearMonthDay || cell.trim().len() == 6)
            .filter_map(|cell| parse(cell, format, None).ok().flatten())
            .filter(|read| !read.clamped && (-40_000..70_000).contains(&read.day.days()))
            .map(|read| read.day.days())
            .collect();
        let span = days.iter().max().zip(days.iter().min()).map_or(0, |(max, min)| i64::from(max - min));
        (days.len(), -span)
    };
    let order = [
        DateFormat::YearMonthDay,
        DateFormat::DayMonthYear,
        DateFormat::MonthDayYear,
        DateFormat::ShortYearMonthDay,
        DateFormat::UnixSeconds,
    ];
    let scores = order.map(|format| (scored(format), format));
    let &(best, format) = scores.iter().rev().max_by_key(|(score, _)| *score)?;
    let rival = scores
        .iter()
        .filter(|(_, other)| {
            matches!(
                (format, *other),
                (DateFormat::DayMonthYear, DateFormat::MonthDayYear)
                    | (DateFormat::MonthDayYear, DateFormat::DayMonthYear)
            )
        })
        .any(|&((read, _), other)| read == best.0 && differs(&filled, format, other));
    (best.0 * 2 > filled.len()).then_some(Inferred { format, proven: !rival })
}

fn differs(cells: &[&str], a: DateFormat, b: DateFormat) -> bool {
    cells.iter().any(|cell| parse(cell, a, None) != parse(cell, b, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(cell: &str, format: DateFormat) -> String {
        match parse(cell, format, None) {
            Ok(Some(read)) => format!("{}{}", read.day, if read.clamped { " clamped" } else { "" }),
            Ok(None) => "absent".to_owned(),
            Err(_) => "refused".to_owned(),
        }
    }

    #[test]
    fn each_format_reads_what_it_says() {
        use DateFormat::{DayMonthYear, MonthDayYear, ShortYearMonthDay, UnixSeconds, YearMonthDay};
        for (cell, format, day) in [
            ("2025-01-31", YearMonthDay, "2025-01-31"),
            ("2025-01-31T23:59:59+05:00", YearMonthDay, "2025-01-31"),
            ("20250131122017.000[-5:EST]", YearMonthDay, "2025-01-31"),
            ("2025/1/3", YearMonthDay, "2025-01-03"),
            ("31.01.2025", DayMonthYear, "2025-01-31"),
            ("3/1/25 10:22", DayMonthYear, "2025-01-03"),
            ("1/31/2025", MonthDayYear, "2025-01-31"),
            ("31 January 2025", DayMonthYear, "2025-01-31"),
            ("Jan 31, 2025", MonthDayYear, "2025-01-31"),
            ("250131", ShortYearMonthDay, "2025-01-31"),
            ("990131", ShortYearMonthDay, "1999-01-31"),
            ("1738281600", UnixSeconds, "2025-01-31"),
            ("", YearMonthDay, "absent"),
            ("2025-02-30", YearMonthDay, "2025-02-28 clamped"),
            ("2024-02-30", YearMonthDay, "2024-02-29 clamped"),
            ("2024-02-29", YearMonthDay, "2024-02-29"),
            ("2025-13-01", YearMonthDay, "refused"),
            ("2025-01-32", YearMonthDay, "refused"),
            ("yesterday", YearMonthDay, "refused"),
        ] {
            assert_eq!(read(cell, format), day, "{cell}");
        }
    }

    #[test]
    fn an_instant_is_cut_in_the_zone_of_the_account_and_a_date_is_not() {
        let auckland = jiff::tz::TimeZone::get("Pacific/Auckland").unwrap();
        let in_zone = |cell: &str| {
            parse(cell, DateFormat::YearMonthDay, Some(&auckland)).unwrap().unwrap().day.to_string()
        };
        assert_eq!(in_zone("2025-03-30T13:30:00Z"), "2025-03-31");
        assert_eq!(in_zone("2025-03-30"), "2025-03-30");
        // The night in which Berlin loses an hour.
        let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let day = |cell: &str| {
            parse(cell, DateFormat::YearMonthDay, Some(&berlin)).unwrap().unwrap().day.to_string()
        };
        assert_eq!(
            (day("2025-03-29T22:59:59Z"), day("2025-03-29T23:00:00Z")),
            ("2025-03-29".into(), "2025-03-30".into())
        );
        assert_eq!(
            (day("2025-03-30T21:59:59Z"), day("2025-03-30T22:00:00Z")),
            ("2025-03-30".into(), "2025-03-31".into())
        );
    }

    #[test]
    fn an_entry_date_takes_the_year_nearest_the_value_date() {
        let near =
            |text: &str, value: &str| month_day_near(text, value.parse().unwrap()).unwrap().day.to_string();
        assert_eq!(near("1231", "2025-01-02"), "2024-12-31");
        assert_eq!(near("0102", "2024-12-31"), "2025-01-02");
        assert_eq!(near("0229", "2024-03-01"), "2024-02-29");
        assert!(month_day_near("1301", "2024-03-01".parse().unwrap()).is_err());
    }

    #[test]
    fn day_and_month_are_told_apart_by_the_sample() {
        let inferred = |cells: &[&str]| infer(cells).map(|inferred| (inferred.format, inferred.proven));
        assert_eq!(inferred(&["31/01/2025", "01/02/2025"]), Some((DateFormat::DayMonthYear, true)));
        assert_eq!(inferred(&["01/31/2025", "02/01/2025"]), Some((DateFormat::MonthDayYear, true)));
        assert_eq!(
            inferred(&["01/02/2025", "01/03/2025"]),
            Some((DateFormat::MonthDayYear, false)),
            "January is the shorter span"
        );
        assert_eq!(inferred(&["31.01.2025", "01.02.2025"]), Some((DateFormat::DayMonthYear, true)));
        assert_eq!(inferred(&["2025-01-01"]), Some((DateFormat::YearMonthDay, true)));
        assert_eq!(inferred(&["hello", "world"]), None);
    }

    proptest! {
        #[test]
        fn reading_any_text_never_panics(cell in "\\PC{0,30}") {
            for format in [DateFormat::YearMonthDay, DateFormat::DayMonthYear, DateFormat::MonthDayYear, DateFormat::ShortYearMonthDay, DateFormat::UnixSeconds] {
                let _ = parse(&cell, format, None);
            }
        }

        #[test]
        fn a_date_reads_back_in_any_zone(days in 0i32..40_000) {
            let day = Day::from_days(days);
            for zone in ["Pacific/Kiritimati", "America/Los_Angeles"] {
                let zone = jiff::tz::TimeZone::get(zone).unwrap();
                prop_assert_eq!(parse(&day.to_string(), DateFormat::YearMonthDay, Some(&zone)), Ok(Some(ReadDay { day, clamped: false })));
            }
        }
    }
}
