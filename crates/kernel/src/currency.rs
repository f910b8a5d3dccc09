//! Currencies: ISO 4217 alphabetic codes and their minor-unit exponents.
//!
//! Source: ISO 4217 list one (amendment 177) and, for statements of earlier years, the withdrawn codes that bank files
//! still carry (list three).

use std::fmt;
use std::str::FromStr;

/// An ISO 4217 alphabetic code, packed into two bytes.
///
/// Invariant: the code is in [`TABLE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u16);

/// The text is not a currency of ISO 4217. Code `currency_unknown`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an ISO 4217 currency code")]
pub struct UnknownCurrency(pub String);

/// Code and exponent (digits after the decimal point), in alphabetical order.
pub const TABLE: &[(&str, u8)] = &[
    ("AED", 2),
    ("AFN", 2),
    ("ALL", 2),
    ("AMD", 2),
    ("ANG", 2),
    ("AOA", 2),
    ("ARS", 2),
    ("ATS", 2),
    ("AUD", 2),
    ("AWG", 2),
    ("AZN", 2),
    ("BAM", 2),
    ("BBD", 2),
    ("BDT", 2),
    ("BEF", 2),
    ("BGN", 2),
    ("BHD", 3),
    ("BIF", 0),
    ("BMD", 2),
    ("BND", 2),
    ("BOB", 2),
    ("BOV", 2),
    ("BRL", 2),
    ("BSD", 2),
    ("BTN", 2),
    ("BWP", 2),
    ("BYN", 2),
    ("BYR", 0),
    ("BZD", 2),
    ("CAD", 2),
    ("CDF", 2),
    ("CHE", 2),
    ("CHF", 2),
    ("CHW", 2),
    ("CLF", 4),
    ("CLP", 0),
    ("CNY", 2),
    ("COP", 2),
    ("COU", 2),
    ("CRC", 2),
    ("CUC", 2),
    ("CUP", 2),
    ("CVE", 2),
    ("CYP", 2),
    ("CZK", 2),
    ("DEM", 2),
    ("DJF", 0),
    ("DKK", 2),
    ("DOP", 2),
    ("DZD", 2),
    ("EEK", 2),
    ("EGP", 2),
    ("ERN", 2),
    ("ESP", 0),
    ("ETB", 2),
    ("EUR", 2),
    ("FIM", 2),
    ("FJD", 2),
    ("FKP", 2),
    ("FRF", 2),
    ("GBP", 2),
    ("GEL", 2),
    ("GHS", 2),
    ("GIP", 2),
    ("GMD", 2),
    ("GNF", 0),
    ("GRD", 2),
    ("GTQ", 2),
    ("GYD", 2),
    ("HKD", 2),
    ("HNL", 2),
    ("HRK", 2),
    ("HTG", 2),
    ("HUF", 2),
    ("IDR", 2),
    ("IEP", 2),
    ("ILS", 2),
    ("INR", 2),
    ("IQD", 3),
    ("IRR", 2),
    ("ISK", 0),
    ("ITL", 0),
    ("JMD", 2),
    ("JOD", 3),
    ("JPY", 0),
    ("KES", 2),
    ("KGS", 2),
    ("KHR", 2),
    ("KMF", 0),
    ("KPW", 2),
    ("KRW", 0),
    ("KWD", 3),
    ("KYD", 2),
    ("KZT", 2),
    ("LAK", 2),
    ("LBP", 2),
    ("LKR", 2),
    ("LRD", 2),
    ("LSL", 2),
    ("LTL", 2),
    ("LUF", 0),
    ("LVL", 2),
    ("LYD", 3),
    ("MAD", 2),
    ("MDL", 2),
    ("MGA", 2),
    ("MKD", 2),
    ("MMK", 2),
    ("MNT", 2),
    ("MOP", 2),
    ("MRO", 2),
    ("MRU", 2),
    ("MTL", 2),
    ("MUR", 2),
    ("MVR", 2),
    ("MWK", 2),
    ("MXN", 2),
    ("MXV", 2),
    ("MYR", 2),
    ("MZN", 2),
    ("NAD", 2),
    ("NGN", 2),
    ("NIO", 2),
    ("NLG", 2),
    ("NOK", 2),
    ("NPR", 2),
    ("NZD", 2),
    ("OMR", 3),
    ("PAB", 2),
    ("PEN", 2),
    ("PGK", 2),
    ("PHP", 2),
    ("PKR", 2),
    ("PLN", 2),
    ("PTE", 0),
    ("PYG", 0),
    ("QAR", 2),
    ("ROL", 2),
    ("RON", 2),
    ("RSD", 2),
    ("RUB", 2),
    ("RWF", 0),
    ("SAR", 2),
    ("SBD", 2),
    ("SCR", 2),
    ("SDG", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("SHP", 2),
    ("SIT", 2),
    ("SKK", 2),
    ("SLE", 2),
    ("SLL", 2),
    ("SOS", 2),
    ("SRD", 2),
    ("SSP", 2),
    ("STD", 2),
    ("STN", 2),
    ("SVC", 2),
    ("SYP", 2),
    ("SZL", 2),
    ("THB", 2),
    ("TJS", 2),
    ("TMT", 2),
    ("TND", 3),
    ("TOP", 2),
    ("TRL", 0),
    ("TRY", 2),
    ("TTD", 2),
    ("TWD", 2),
    ("TZS", 2),
    ("UAH", 2),
    ("UGX", 0),
    ("USD", 2),
    ("USN", 2),
    ("UYI", 0),
    ("UYU", 2),
    ("UYW", 4),
    ("UZS", 2),
    ("VED", 2),
    ("VEF", 2),
    ("VES", 2),
    ("VND", 0),
    ("VUV", 0),
    ("WST", 2),
    ("XAF", 0),
    ("XAG", 0),
    ("XAU", 0),
    ("XCD", 2),
    ("XCG", 2),
    ("XDR", 0),
    ("XOF", 0),
    ("XPD", 0),
    ("XPF", 0),
    ("XPT", 0),
    ("XTS", 2),
    ("XXX", 2),
    ("YER", 2),
    ("ZAR", 2),
    ("ZMK", 2),
    ("ZMW", 2),
    ("ZWG", 2),
    ("ZWL", 2),
];

const fn pack(bytes: [u8; 3]) -> u16 {
    let [a, b, c] = bytes;
    ((a - b'A') as u16 * 26 + (b - b'A') as u16) * 26 + (c - b'A') as u16
}

const UNKNOWN: u8 = u8::MAX;

/// Exponent by packed code: one load where the hot path needs it.
static EXPONENTS: [u8; 26 * 26 * 26] = exponents();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, where an overrun is a build error")]
const fn exponents() -> [u8; 26 * 26 * 26] {
    let mut table = [UNKNOWN; 26 * 26 * 26];
    let mut row = 0;
    while row < TABLE.len() {
        let (code, exponent) = TABLE[row];
        let bytes = code.as_bytes();
        table[pack([bytes[0], bytes[1], bytes[2]]) as usize] = exponent;
        row += 1;
    }
    table
}

impl Currency {
    /// "No currency" of ISO 4217: amounts whose file names none. Counted with two decimals.
    pub const NONE: Self = Self(pack(*b"XXX"));

    /// The currency with this code, in any case; `None` when ISO 4217 does not list it.
    #[must_use]
    pub fn from_bytes(code: &[u8]) -> Option<Self> {
        let &[a, b, c] = code else { return None };
        let upper = [a.to_ascii_uppercase(), b.to_ascii_uppercase(), c.to_ascii_uppercase()];
        if !upper.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        let packed = pack(upper);
        (EXPONENTS.get(usize::from(packed)).copied()? != UNKNOWN).then_some(Self(packed))
    }

    /// Digits after the decimal point: JPY 0, EUR 2, KWD 3, CLF 4.
    #[must_use]
    pub fn exponent(self) -> u8 {
        EXPONENTS.get(usize::from(self.0)).copied().unwrap_or(2)
    }

    /// The code as a number below 17,576: a small key for tables and hashes.
    #[must_use]
    pub const fn packed(self) -> u16 {
        self.0
    }

    /// The three letters.
    #[must_use]
    pub fn letters(self) -> [u8; 3] {
        let letter = |value: u16| b'A' + u8::try_from(value % 26).unwrap_or(0);
        [letter(self.0 / 676), letter(self.0 / 26), letter(self.0)]
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.letters().map(char::from);
        f.pad(&String::from_iter([a, b, c]))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(code.as_bytes()).ok_or_else(|| UnknownCurrency(code.to_owned()))
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_reads_back_with_its_exponent() {
        for &(code, exponent) in TABLE {
            let currency: Currency = code.parse().unwrap();
            assert_eq!((currency.to_string().as_str(), currency.exponent()), (code, exponent));
            assert_eq!(code.to_lowercase().parse(), Ok(currency));
        }
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0), "the table is in alphabetical order");
    }

    #[test]
    fn what_iso_4217_does_not_list_is_refused() {
        for code in ["", "EU", "EUX", "EURO", "E1R", "€"] {
            assert_eq!(code.parse::<Currency>(), Err(UnknownCurrency(code.to_owned())));
        }
    }
}
