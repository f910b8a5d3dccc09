//! Exact decimal amounts: an integer and the number of its decimals. No float anywhere.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::currency::Currency;

/// The most digits that an amount may have, sign and point aside.
///
/// Leaves room for cross-multiplying with a percentage inside `i128`.
pub const DIGITS_MAX: u32 = 27;
/// The most decimals that an amount may have.
pub const DECIMALS_MAX: u8 = 12;

/// An exact decimal number: `units × 10^-exponent`.
///
/// Equality and order are by value: 1.5 equals 1.50.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    /// The number without its point.
    pub units: i128,
    /// How many of the digits stand after the point.
    pub exponent: u8,
}

/// Why a text is not an amount. Code `amount_invalid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDecimalError {
    /// There is nothing to read.
    #[error("the amount is empty")]
    Empty,
    /// A character that is neither digit, sign nor point. Exponents and NaN are refused too.
    #[error("the amount has a character that is not a digit, a sign or one decimal point")]
    Malformed,
    /// More digits than [`DIGITS_MAX`] or more decimals than [`DECIMALS_MAX`].
    #[error("the amount has more than {DIGITS_MAX} digits or {DECIMALS_MAX} decimals")]
    TooLong,
}

/// Ten to the power of `exponent`; saturates far above any amount.
#[must_use]
pub const fn pow10(exponent: u8) -> i128 {
    match 10i128.checked_pow(exponent as u32) {
        Some(power) => power,
        None => i128::MAX,
    }
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { units: 0, exponent: 0 };

    /// `units × 10^-exponent`.
    #[must_use]
    pub const fn new(units: i128, exponent: u8) -> Self {
        Self { units, exponent }
    }

    /// The units that the same number has with `exponent` decimals; `None` when digits would be lost or overflow.
    #[must_use]
    pub fn units_at(self, exponent: u8) -> Option<i128> {
        if exponent >= self.exponent {
            self.units.checked_mul(pow10(exponent - self.exponent))
        } else {
            let power = pow10(self.exponent - exponent);
            (self.units % power == 0).then(|| self.units / power)
        }
    }

    /// The number rounded to `exponent` decimals, half to even (IEEE 754 `roundTiesToEven`).
    #[must_use]
    pub fn rounded(self, exponent: u8) -> Self {
        if exponent >= self.exponent {
            return self.units_at(exponent).map_or(self, |units| Self { units, exponent });
        }
        let power = pow10(self.exponent - exponent);
        let (quotient, remainder) = (self.units.div_euclid(power), self.units.rem_euclid(power));
        let up = match remainder.cmp(&(power - remainder)) {
            Ordering::Less => 0,
            Ordering::Greater => 1,
            Ordering::Equal => quotient.rem_euclid(2),
        };
        Self { units: quotient + up, exponent }
    }

    /// The units at `exponent`, rounded away from zero where digits would be lost; saturates.
    #[must_use]
    pub fn rounded_up(self, exponent: u8) -> i128 {
        if exponent >= self.exponent {
            return self.units_at(exponent).unwrap_or(i128::MAX);
        }
        let power = pow10(self.exponent - exponent);
        let up = if self.units % power == 0 { 0 } else { self.units.signum() };
        self.units / power + up
    }

    /// Sum, at the finer of the two exponents; `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.max(other.exponent);
        let units = self.units_at(exponent)?.checked_add(other.units_at(exponent)?)?;
        Some(Self { units, exponent })
    }

    /// Difference, at the finer of the two exponents; `None` on overflow.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self { units: other.units.checked_neg()?, exponent: other.exponent })
    }

    /// Without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self { units: self.units.saturating_abs(), exponent: self.exponent }
    }

    /// The same number with the fewest decimals, but no fewer than `exponent_min`.
    #[must_use]
    pub fn trimmed(self, exponent_min: u8) -> Self {
        let mut trimmed = self;
        while trimmed.exponent > exponent_min && trimmed.units % 10 == 0 {
            trimmed = Self { units: trimmed.units / 10, exponent: trimmed.exponent - 1 };
        }
        trimmed
    }

    /// The number with at least the decimals of `currency`: 5 EUR is 5.00; 5.001 EUR stays what it is.
    #[must_use]
    pub fn in_currency(self, currency: Currency) -> Self {
        let least = currency.exponent();
        let trimmed = self.trimmed(least);
        trimmed
            .units_at(trimmed.exponent.max(least))
            .map_or(trimmed, |units| Self { units, exponent: trimmed.exponent.max(least) })
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Decimal {}
impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let exponent = self.exponent.max(other.exponent);
        match (self.units_at(exponent), other.units_at(exponent)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // Only a number too large to rescale gets here: it is the larger one by magnitude.
            (None, _) => self.units.cmp(&0),
            (_, None) => 0.cmp(&other.units),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.units.unsigned_abs();
        let sign = if self.units < 0 { "-" } else { "" };
        if self.exponent == 0 {
            return write!(f, "{sign}{magnitude}");
        }
        let power = pow10(self.exponent).unsigned_abs();
        let width = usize::from(self.exponent);
        write!(f, "{sign}{}.{:0width$}", magnitude / power, magnitude % power)
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    /// Reads `[+-]digits[.digits]`: the neutral form. Localised forms are the business of normalisation.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if digits.is_empty() {
            return Err(ParseDecimalError::Empty);
        }
        let mut builder = DecimalBuilder::default();
        for &byte in digits {
            match byte {
                b'0'..=b'9' => builder.digit(byte - b'0')?,
                b'.' => builder.point()?,
                _ => return Err(ParseDecimalError::Malformed),
            }
        }
        builder.finish(negative)
    }
}

/// Collects the digits of an amount one by one: the one place where text becomes units.
#[derive(Debug, Default, Clone, Copy)]
pub struct DecimalBuilder {
    units: i128,
    digits: u32,
    seen: u32,
    decimals: Option<u8>,
}

impl DecimalBuilder {
    /// Appends a digit, 0 to 9.
    ///
    /// # Errors
    /// [`ParseDecimalError::TooLong`] past [`DIGITS_MAX`] digits or [`DECIMALS_MAX`] decimals.
    #[inline]
    pub fn digit(&mut self, digit: u8) -> Result<(), ParseDecimalError> {
        self.seen += 1;
        if self.units != 0 || digit != 0 {
            self.digits += 1;
        }
        if let Some(decimals) = &mut self.decimals {
            *decimals += 1;
            if *decimals > DECIMALS_MAX {
                return Err(ParseDecimalError::TooLong);
            }
        }
        if self.digits > DIGITS_MAX {
            return Err(ParseDecimalError::TooLong);
        }
        self.units = self.units * 10 + i128::from(digit);
        Ok(())
    }

    /// Marks the place of the decimal point.
    ///
    /// # Errors
    /// [`ParseDecimalError::Malformed`] when there is one already.
    #[inline]
    pub const fn point(&mut self) -> Result<(), ParseDecimalError> {
        if self.decimals.is_some() {
            return Err(ParseDecimalError::Malformed);
        }
        self.decimals = Some(0);
        Ok(())
    }

    /// The number.
    ///
    /// # Errors
    /// [`ParseDecimalError::Malformed`] when no digit was seen.
    #[inline]
    pub fn finish(self, negative: bool) -> Result<Decimal, ParseDecimalError> {
        if self.seen == 0 {
            return Err(ParseDecimalError::Malformed);
        }
        let units = if negative { -self.units } else { self.units };
        Ok(Decimal { units, exponent: self.decimals.unwrap_or(0) })
    }
}

impl serde::Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An amount of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Money {
    /// How much; credit to the account is positive.
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount.in_currency(self.currency), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_decimal_reads_back_from_its_text(units in -(10i128.pow(26))..10i128.pow(26), exponent in 0u8..=12) {
            let decimal = Decimal { units, exponent };
            let back: Decimal = decimal.to_string().parse().unwrap();
            prop_assert_eq!((back.units, back.exponent), (units, exponent));
        }

        #[test]
        fn adding_then_subtracting_gives_the_same_number(a in any::<i64>(), b in any::<i64>(), x in 0u8..5, y in 0u8..5) {
            let (a, b) = (Decimal::new(a.into(), x), Decimal::new(b.into(), y));
            prop_assert_eq!(a.checked_add(b).and_then(|sum| sum.checked_sub(b)), Some(a));
        }

        #[test]
        fn rounding_moves_a_number_by_at_most_half_a_unit(units in any::<i64>(), from in 0u8..9, to in 0u8..9) {
            let exact = Decimal::new(units.into(), from);
            let moved = exact.checked_sub(exact.rounded(to)).unwrap().abs();
            prop_assert!(moved <= Decimal::new(5, to + 1));
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Decimal>();
        }
    }

    #[test]
    fn order_is_by_value_not_by_spelling() {
        assert_eq!(decimal("1.5"), decimal("1.50"));
        assert!(decimal("-0.01") < Decimal::ZERO);
        assert!(decimal("2") > decimal("1.999999"));
    }

    #[test]
    fn exponents_nan_and_second_points_are_refused() {
        for text in ["1e3", "NaN", "1.2.3", "--1", "1,5", ".", "-", "0x1"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert_eq!("".parse::<Decimal>(), Err(ParseDecimalError::Empty));
        assert_eq!("1".repeat(28).parse::<Decimal>(), Err(ParseDecimalError::TooLong));
        assert_eq!(decimal(&"0".repeat(40)), Decimal::ZERO);
    }

    #[test]
    fn halves_round_to_even() {
        for (text, rounded) in
            [("0.5", "0"), ("1.5", "2"), ("2.5", "2"), ("-0.5", "0"), ("-1.5", "-2"), ("2.51", "3")]
        {
            assert_eq!(decimal(text).rounded(0), decimal(rounded), "{text}");
        }
    }

    #[test]
    fn money_shows_at_least_the_decimals_of_its_currency() {
        let show = |text: &str, code: &str| {
            Money { amount: decimal(text), currency: code.parse().unwrap() }.to_string()
        };
        assert_eq!(show("5", "EUR"), "5.00 EUR");
        assert_eq!(show("5.0010", "EUR"), "5.001 EUR");
        assert_eq!(show("5.000", "JPY"), "5 JPY");
        assert_eq!(show("-0.5", "KWD"), "-0.500 KWD");
    }
}
