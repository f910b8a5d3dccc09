//! Steps 2 and 4: numbers and their sign.
//!
//! Separators are configured or inferred once for a column; never guessed row by row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stoa_kernel::currency::Currency;
use stoa_kernel::money::{Decimal, DecimalBuilder, ParseDecimalError};

/// How the numbers of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// `1,234.56`: point before the decimals; comma, blank or apostrophe between groups.
    #[default]
    Point,
    /// `1.234,56`: comma before the decimals; point, blank or apostrophe between groups.
    Comma,
    /// `123456`: an integer of minor units, as in BAI2.
    MinorUnits,
}

/// What a direction mark says about the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Money enters the account.
    Credit,
    /// Money leaves the account.
    Debit,
    /// A credit is taken back: money leaves the account.
    ReversedCredit,
    /// A debit is taken back: money enters the account.
    ReversedDebit,
}

impl Direction {
    /// Whether money leaves the account.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        matches!(self, Self::Debit | Self::ReversedCredit)
    }

    /// Reads a mark: `D`, `C`, `RD`, `RC`, `DR`, `CR`, `DBIT`, `CRDT`, `debit`, `credit`, `S`/`H` (Soll/Haben), `af`/`bij`, `-`/`+`.
    #[must_use]
    pub fn parse(mark: &str) -> Option<Self> {
        let mark = mark.trim();
        let known: [(&[&str], Self); 4] = [
            (&["C", "CR", "CRDT", "CREDIT", "H", "HABEN", "BIJ", "+", "K", "IN"], Self::Credit),
            (&["D", "DR", "DBIT", "DEBIT", "S", "SOLL", "AF", "DEBET", "-", "OUT"], Self::Debit),
            (&["RC", "CREDIT REVERSAL"], Self::ReversedCredit),
            (&["RD", "DEBIT REVERSAL"], Self::ReversedDebit),
        ];
        known
            .into_iter()
            .find(|(names, _)| names.iter().any(|name| name.eq_ignore_ascii_case(mark)))
            .map(|(_, found)| found)
    }
}

/// Reads a number in `format`. A blank cell is absent (`Ok(None)`), not zero.
///
/// Understands `-1`, `+1`, `1-`, `(1)`, `1 CR`, `1 DR`, and a currency sign before or after.
///
/// # Errors
/// [`ParseDecimalError`]: `1e3`, `NaN`, two decimal points and anything else that is not a number.
#[inline]
pub fn parse(cell: &str, format: NumberFormat) -> Result<Option<Decimal>, ParseDecimalError> {
    if format == NumberFormat::Point
        && let Some(plain) = parse_plain(cell.as_bytes())
    {
        return Ok(Some(plain));
    }
    parse_decorated(cell, format)
}

/// The usual case, `-1234.56` with at most 18 digits, without any decoration.
#[inline]
fn parse_plain(bytes: &[u8]) -> Option<Decimal> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (mut units, mut decimals, mut seen_point) = (0i64, 0u8, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                units = units * 10 + i64::from(byte - b'0');
                decimals += u8::from(seen_point);
            }
            b'.' if !seen_point => seen_point = true,
            _ => return None,
        }
    }
    let has_digit = digits.len() > usize::from(seen_point);
    (has_digit && decimals <= stoa_kernel::money::DECIMALS_MAX)
        .then(|| Decimal::new(i128::from(if negative { -units } else { units }), decimals))
}

fn parse_decorated(cell: &str, format: NumberFormat) -> Result<Option<Decimal>, ParseDecimalError> {
    let mut text = cell.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return Ok(None);
    }
    let mut negative = false;
    let mut flip = |times: bool| negative ^= times;
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        (text, _) = (inner.trim(), flip(true));
    }
    for (mark, is_negative) in [("CR", false), ("DR", true), ("C", false), ("D", true)] {
        let tail = text.len().checked_sub(mark.len()).and_then(|at| text.get(at..));
        if tail.is_some_and(|tail| tail.eq_ignore_ascii_case(mark)) {
            let rest = text.get(..text.len() - mark.len()).unwrap_or("").trim_end();
            if rest.ends_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',') {
                (text, _) = (rest, flip(is_negative));
                break;
            }
        }
    }
    text = trim_currency(text);
    for minus in ['-', '\u{2212}', '\u{2013}'] {
        if let Some(rest) = text.strip_prefix(minus).or_else(|| text.strip_suffix(minus)) {
            (text, _) = (rest.trim(), flip(true));
            break;
        }
    }
    text = trim_currency(text.strip_prefix('+').or_else(|| text.strip_suffix('+')).unwrap_or(text).trim());
    digits(text, format)?.finish(negative).map(Some)
}

/// The currency that stands before or after a number: an ISO 4217 code, or a sign that only one currency has.
#[must_use]
#[inline]
pub fn currency_beside(cell: &str) -> Option<Currency> {
    let is_plain = |byte: Option<&u8>| byte.is_none_or(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.'));
    let bytes = cell.as_bytes();
    if is_plain(bytes.first()) && is_plain(bytes.last()) { None } else { named_currency(cell) }
}

fn named_currency(cell: &str) -> Option<Currency> {
    const SIGNS: [(char, &str); 5] = [('€', "EUR"), ('£', "GBP"), ('₹', "INR"), ('₩', "KRW"), ('₺', "TRY")];
    let sign = SIGNS.iter().find(|&&(sign, _)| cell.contains(sign)).map(|&(_, code)| code);
    let codes = cell.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() == 3);
    sign.into_iter().chain(codes).find_map(|code| Currency::from_bytes(code.as_bytes()))
}

/// Removes a currency sign or a code of three letters at either end.
fn trim_currency(text: &str) -> &str {
    let sign =
        |c: char| matches!(c, '$' | '€' | '£' | '¥' | '₹' | '₣' | '₩' | '₽' | '₺') || c.is_whitespace();
    let text = text.trim_matches(sign);
    let code = |part: Option<&str>| part.is_some_and(|part| Currency::from_bytes(part.as_bytes()).is_some());
    if code(text.get(..3)) {
        return text.get(3..).unwrap_or("").trim_matches(sign);
    }
    match text.len().checked_sub(3) {
        Some(at) if code(text.get(at..)) => text.get(..at).unwrap_or("").trim_matches(sign),
        _ => text,
    }
}

fn digits(text: &str, format: NumberFormat) -> Result<DecimalBuilder, ParseDecimalError> {
    let (point, group) = match format {
        NumberFormat::Point => ('.', ','),
        NumberFormat::Comma => (',', '.'),
        NumberFormat::MinorUnits => ('\0', '\0'),
    };
    let mut builder = DecimalBuilder::default();
    // Digits since the last group separator, once one was seen: groups are of three (two or more in the Indian system).
    let (mut since_group, mut after_point) = (None::<u32>, false);
    for c in text.chars() {
        match c {
            '0'..='9' => {
                builder.digit(u8::try_from(c).unwrap_or(b'0') - b'0')?;
                since_group = since_group.map(|count| count + 1);
            }
            _ if c == point => {
                if since_group.is_some_and(|count| count != 3) {
                    return Err(ParseDecimalError::Malformed);
                }
                (since_group, after_point) = (None, true);
                builder.point()?;
            }
            _ if !after_point
                && (c == group || matches!(c, ' ' | '\'' | '’' | '\u{a0}' | '\u{202f}' | '_')) =>
            {
                if since_group.is_some_and(|count| !(2..=3).contains(&count)) {
                    return Err(ParseDecimalError::Malformed);
                }
                since_group = Some(0);
            }
            _ => return Err(ParseDecimalError::Malformed),
        }
    }
    if since_group.is_some_and(|count| count != 3) {
        return Err(ParseDecimalError::Malformed);
    }
    Ok(builder)
}

/// What a sample of a column says about its number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inferred {
    /// The format.
    pub format: NumberFormat,
    /// Whether the sample proves it; otherwise it is an assumption that is to be stated.
    pub proven: bool,
}

/// Infers the format of a column from a sample of its cells. `comma_hint`: the file looks like one with decimal commas.
pub fn infer<'a>(cells: impl Iterator<Item = &'a str>, comma_hint: bool) -> Inferred {
    let (mut point, mut comma, mut open) = (0usize, 0usize, false);
    for cell in cells {
        let last = cell.rfind(['.', ',']);
        let Some(at) = last else { continue };
        let is_comma = cell.get(at..=at) == Some(",");
        let other = if is_comma { '.' } else { ',' };
        let same = if is_comma { ',' } else { '.' };
        let digits_after = cell.get(at + 1..).unwrap_or("").bytes().take_while(u8::is_ascii_digit).count();
        let repeated = cell.matches(same).count() > 1;
        let before = cell.get(..at).unwrap_or("").bytes().filter(u8::is_ascii_digit).count();
        let decimal_is_last = match (repeated, cell.contains(other)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) if digits_after != 3 || before > 3 || before == 0 => Some(true),
            (false, false) => None,
        };
        match decimal_is_last {
            Some(decimal) if decimal == is_comma => comma += 1,
            Some(_) => point += 1,
            None => open = true,
        }
    }
    let format = match point.cmp(&comma) {
        std::cmp::Ordering::Greater => NumberFormat::Point,
        std::cmp::Ordering::Less => NumberFormat::Comma,
        std::cmp::Ordering::Equal if comma_hint => NumberFormat::Comma,
        std::cmp::Ordering::Equal => NumberFormat::Point,
    };
    Inferred { format, proven: point != comma || (!open && point == 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(cell: &str) -> Result<Option<Decimal>, ParseDecimalError> {
        parse(cell, NumberFormat::Point)
    }

    #[test]
    fn every_way_to_write_a_sign_is_read() {
        for cell in [
            "-1.00",
            "(1.00)",
            "1.00-",
            "1.00 DR",
            "1.00D",
            "−1.00",
            "-$1.00",
            "$-1.00",
            "-1.00 EUR",
            "EUR -1.00",
            "($1.00)",
        ] {
            assert_eq!(point(cell), Ok(Some(Decimal::new(-100, 2))), "{cell}");
        }
        for cell in ["1.00", "+1.00", "1.00 CR", "1.00C", " 1.00 ", "€1.00", "1.00+", "(-1.00)"] {
            assert_eq!(point(cell), Ok(Some(Decimal::new(100, 2))), "{cell}");
        }
    }

    #[test]
    fn separators_follow_the_format_and_are_never_guessed() {
        assert_eq!(point("1,234,567.89"), Ok(Some(Decimal::new(123_456_789, 2))));
        assert_eq!(point("1 234.5"), Ok(Some(Decimal::new(12_345, 1))));
        assert_eq!(point("12,34,567.00"), Ok(Some(Decimal::new(123_456_700, 2))), "Indian groups");
        assert_eq!(parse("1.234,56", NumberFormat::Comma), Ok(Some(Decimal::new(123_456, 2))));
        assert_eq!(parse("1'234,", NumberFormat::Comma), Ok(Some(Decimal::new(1_234, 0))));
        assert!(point("1.234,56").is_err());
        assert!(point("1,23").is_err(), "a decimal comma in a column of points");
        assert!(parse("1.23", NumberFormat::Comma).is_err());
    }

    #[test]
    fn blank_is_absent_and_nonsense_is_refused() {
        assert_eq!(point("  "), Ok(None));
        for cell in ["1e3", "NaN", "inf", "1.2.3", "abc", "-", "()", "1..2", ".", "0x10", "1,,000"] {
            assert!(point(cell).is_err(), "{cell}");
        }
    }

    #[test]
    fn a_sample_tells_the_format_or_says_that_it_does_not() {
        let infer_of = |cells: &[&str]| infer(cells.iter().copied(), false);
        assert_eq!(infer_of(&["1.234,56", "7"]), Inferred { format: NumberFormat::Comma, proven: true });
        assert_eq!(infer_of(&["12,5"]), Inferred { format: NumberFormat::Comma, proven: true });
        assert_eq!(infer_of(&["1.5", "1,000"]), Inferred { format: NumberFormat::Point, proven: true });
        assert_eq!(infer_of(&["1.234"]), Inferred { format: NumberFormat::Point, proven: false });
        assert_eq!(infer_of(&["10", "20"]), Inferred { format: NumberFormat::Point, proven: true });
    }

    proptest! {
        #[test]
        fn the_fast_path_and_the_full_path_agree(cell in "-?[0-9]{0,16}\\.?[0-9]{0,4}") {
            if let Some(fast) = parse_plain(cell.as_bytes()) {
                prop_assert_eq!(parse_decorated(&cell, NumberFormat::Point), Ok(Some(fast)));
            }
        }

        #[test]
        fn reading_any_text_never_panics(cell in "\\PC{0,30}") {
            for format in [NumberFormat::Point, NumberFormat::Comma, NumberFormat::MinorUnits] {
                let _ = parse(&cell, format);
            }
        }

        #[test]
        fn grouped_numbers_read_back(units in 0i64..10i64.pow(14)) {
            let (whole, cents) = (units / 100, units % 100);
            let mut grouped = whole.to_string();
            let mut at = grouped.len();
            while at > 3 { at -= 3; grouped.insert(at, ','); }
            prop_assert_eq!(point(&format!("{grouped}.{cents:02}")), Ok(Some(Decimal::new(units.into(), 2))));
        }
    }
}
