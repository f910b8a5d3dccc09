//! Exchange rates from an uploaded table: `date,from,to,rate`, one unit of `from` is `rate` units of `to`.

use std::collections::BTreeMap;

use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::{Decimal, pow10};

/// A table of rates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    by_pair: BTreeMap<(Currency, Currency), BTreeMap<Day, Decimal>>,
}

/// The rate that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Rate {
    /// The number in the table.
    pub rate: Decimal,
    /// The day that it is of.
    pub day: Day,
    /// Whether it is of the opposite direction, so that amounts are divided by it.
    pub inverse: bool,
}

/// A row of a table of rates that cannot be read. Code `rates_invalid`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct RatesError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

impl stoa_kernel::error::Coded for RatesError {
    fn code(&self) -> &'static str {
        "rates_invalid"
    }

    fn way_out(&self) -> Option<String> {
        Some("write one rate on each line: 2025-01-31,USD,EUR,0.9612".to_owned())
    }
}

impl Rates {
    /// Reads a table. The header `date,from,to,rate` may be missing; blank lines and lines with `#` are passed over.
    ///
    /// # Errors
    /// [`RatesError`] for the first line that cannot be read; a rate of zero or below is one.
    pub fn parse(text: &str) -> Result<Self, RatesError> {
        let mut rates = Self::default();
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let line = line.trim();
            if line.is_empty()
                || line.starts_with('#')
                || (number == 1 && line.to_lowercase().starts_with("date"))
            {
                continue;
            }
            let fail = |message: &str| RatesError { line: number, message: message.to_owned() };
            let cells: Vec<&str> =
                line.split([',', ';', '\t']).map(|cell| cell.trim().trim_matches('"')).collect();
            let &[day, from, to, rate] = cells.as_slice() else {
                return Err(fail("expected four columns: date, from, to, rate"));
            };
            let day: Day = day.parse().map_err(|_| fail(&format!("\"{day}\" is not a date YYYY-MM-DD")))?;
            let currency = |code: &str| code.parse::<Currency>().map_err(|error| fail(&error.to_string()));
            let (from, to) = (currency(from)?, currency(to)?);
            let rate: Decimal =
                rate.parse().map_err(|_| fail(&format!("\"{rate}\" is not a decimal number")))?;
            if rate.units <= 0 {
                return Err(fail("a rate must be above zero"));
            }
            rates.by_pair.entry((from, to)).or_default().insert(day, rate);
        }
        Ok(rates)
    }

    /// The newest rate of a pair on or before `day`, not older than `age_days_max` days.
    #[must_use]
    pub fn find(
        &self,
        from: Currency,
        to: Currency,
        day: Day,
        age_days_max: u32,
        inverse: bool,
    ) -> Option<Rate> {
        let age = i32::try_from(age_days_max).unwrap_or(i32::MAX);
        let newest = |from, to, inverse| {
            let (&day, &rate) = self.by_pair.get(&(from, to))?.range(day.plus(-age)..=day).next_back()?;
            Some(Rate { rate, day, inverse })
        };
        let direct = newest(from, to, false);
        let turned = if inverse { newest(to, from, true) } else { None };
        match (direct, turned) {
            (Some(direct), Some(turned)) if turned.day > direct.day => Some(turned),
            (direct, turned) => direct.or(turned),
        }
    }
}

impl Rate {
    /// Converts an amount, rounding half to even to `exponent` decimals; `None` on overflow.
    #[must_use]
    pub fn convert(self, amount: Decimal, exponent: u8) -> Option<Decimal> {
        let (numerator, denominator) = if self.inverse {
            // amount ÷ rate
            let numerator =
                amount.units.checked_mul(pow10(self.rate.exponent))?.checked_mul(pow10(exponent))?;
            (numerator, self.rate.units.checked_mul(pow10(amount.exponent))?)
        } else {
            let numerator = amount.units.checked_mul(self.rate.units)?.checked_mul(pow10(exponent))?;
            (numerator, pow10(amount.exponent).checked_mul(pow10(self.rate.exponent))?)
        };
        let (quotient, remainder) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
        let up = match remainder.cmp(&(denominator - remainder)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => quotient.rem_euclid(2),
        };
        Some(Decimal::new(quotient + up, exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Rates {
        Rates::parse(
            "date,from,to,rate\n2025-01-03,USD,EUR,0.97\n2025-01-06,USD,EUR,0.96\n2025-01-03,EUR,JPY,163.5\n",
        )
        .unwrap()
    }

    fn find(from: &str, to: &str, day: &str) -> Option<Rate> {
        table().find(from.parse().unwrap(), to.parse().unwrap(), day.parse().unwrap(), 3, true)
    }

    #[test]
    fn a_weekend_takes_the_rate_of_the_friday_before_it() {
        assert_eq!(find("USD", "EUR", "2025-01-05").unwrap().day.to_string(), "2025-01-03");
        assert_eq!(find("USD", "EUR", "2025-01-06").unwrap().rate.to_string(), "0.96");
        assert_eq!(find("USD", "EUR", "2025-01-02"), None);
        assert_eq!(find("USD", "EUR", "2025-01-10"), None, "four days old");
        assert_eq!(find("USD", "GBP", "2025-01-06"), None);
    }

    #[test]
    fn the_opposite_direction_divides() {
        let rate = find("JPY", "EUR", "2025-01-03").unwrap();
        assert!(rate.inverse);
        assert_eq!(rate.convert("16350".parse().unwrap(), 2).unwrap().to_string(), "100.00");
        let direct = find("EUR", "JPY", "2025-01-03").unwrap();
        assert_eq!(
            direct.convert("1.00".parse().unwrap(), 0).unwrap().to_string(),
            "164",
            "163.5 rounds half to even"
        );
        assert_eq!(direct.convert("0.001".parse().unwrap(), 0).unwrap().to_string(), "0");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let error = |text: &str| Rates::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("date,from,to,rate\n2025-01-03,USD,EUR\n"),
            "line 2: expected four columns: date, from, to, rate"
        );
        assert!(error("2025-01-03,USD,EUR,0").contains("above zero"));
        assert!(error("2025-01-03,USX,EUR,1").contains("ISO 4217"));
    }
}
