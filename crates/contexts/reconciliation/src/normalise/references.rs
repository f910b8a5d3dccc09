//! Step 7: references, found by ordered extractors in the cells of a row.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::Field;

/// Finds references in a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "an extractor")]
#[serde(deny_unknown_fields)]
pub struct ExtractorSpec {
    /// The field to look in; text by default.
    #[serde(default = "text_field")]
    pub field: Field,
    /// A regular expression with a group named `ref`, or one of the named patterns `reference`, `iso11649`, `uuid`, `digits`.
    pub pattern: String,
}

const fn text_field() -> Field {
    Field::Text
}

/// An extractor that is ready to run.
#[derive(Debug, Clone)]
pub struct Extractor {
    /// The field to look in.
    pub field: Field,
    regex: Regex,
    check: Check,
}

/// What a find must pass beyond the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    None,
    /// The check digits of ISO 11649.
    CreditorReference,
    /// Not part of an account number or a telephone number.
    NoNumberOfOtherKind,
}

/// What a reference looks like in free text: letters, a mark, and four digits or more.
const REFERENCE: &str =
    r"(?i)(?<ref>\b(?:[a-z]{1,6}[-/]?)?[0-9]{4,}(?:[-/]?[a-z0-9]+)*\b|\b[a-z]{2,6}-[a-z0-9]{4,}\b)";

/// Account numbers (ISO 13616) and telephone numbers: they name who, not what.
static OTHER_NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?\b",
        r"|\+[0-9][0-9 ()/.-]{6,}[0-9]",
        r"|\b(?:tel|telefon|phone|fon|mobile|mobil|fax)\b[.: ]*[0-9(][0-9 ()/.-]{4,}[0-9]",
    ))
    .ok()
});

impl Extractor {
    /// Compiles an extractor.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn compile(spec: &ExtractorSpec) -> Result<Self, String> {
        let (pattern, check) = match spec.pattern.as_str() {
            "reference" => (REFERENCE, Check::NoNumberOfOtherKind),
            "iso11649" => (r"(?i)\b(?<ref>RF[0-9]{2}(?: ?[0-9A-Z]{1,4}){1,6})", Check::CreditorReference),
            "uuid" => {
                (r"(?i)\b(?<ref>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b", Check::None)
            }
            "digits" => (r"(?<ref>[0-9]{4,})", Check::None),
            pattern => (pattern, Check::None),
        };
        let regex = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| format!("the pattern is not a regular expression: {error}"))?;
        if !regex.capture_names().flatten().any(|name| name == "ref") {
            return Err(
                "the pattern has no group named `ref`; write (?<ref>…) around the reference".to_owned()
            );
        }
        Ok(Self { field: spec.field, regex, check })
    }

    /// All references in a text, in order.
    pub fn find<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let others = if self.check == Check::NoNumberOfOtherKind { other_numbers(text) } else { Vec::new() };
        self.regex
            .captures_iter(text)
            .filter_map(|found| found.name("ref"))
            .filter(move |found| {
                others.iter().all(|other| found.end() <= other.start || found.start() >= other.end)
            })
            .map(|found| found.as_str().trim())
            .filter(|found| {
                !found.is_empty() && (self.check != Check::CreditorReference || is_iso11649(found))
            })
    }
}

/// Where a text has account and telephone numbers.
fn other_numbers(text: &str) -> Vec<Range<usize>> {
    let Some(pattern) = OTHER_NUMBERS.as_ref() else { return Vec::new() };
    pattern
        .find_iter(text)
        .filter(|found| {
            let starts_with_country = found.as_str().starts_with(|c: char| c.is_ascii_alphabetic());
            !starts_with_country
                || found.as_str().contains([':', '.', '(', '/'])
                || is_phone(found.as_str())
                || is_iban(found.as_str())
        })
        .map(|found| found.range())
        .collect()
}

fn is_phone(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphabetic()).next().is_some_and(|word| word.len() > 2)
}

/// Whether a text is an account number of ISO 13616: a country, two check digits, remainder 1 modulo 97.
#[must_use]
pub fn is_iban(text: &str) -> bool {
    let compact = compact(text);
    (15..=34).contains(&compact.len())
        && compact.iter().take(2).all(u8::is_ascii_alphabetic)
        && compact.iter().all(u8::is_ascii_alphanumeric)
        && remainder_97(&compact) == 1
}

fn compact(text: &str) -> Vec<u8> {
    text.bytes().filter(|byte| *byte != b' ').map(|byte| byte.to_ascii_uppercase()).collect()
}

/// The number that the text stands for, its first four characters last, modulo 97 (ISO 7064, MOD 97-10).
fn remainder_97(compact: &[u8]) -> u32 {
    let (head, tail) = compact.split_at(compact.len().min(4));
    tail.iter().chain(head).fold(0u32, |remainder, &byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
    })
}

/// Whether a text is a creditor reference of ISO 11649: `RF`, two check digits, up to 21 characters, remainder 1 modulo 97.
#[must_use]
pub fn is_iso11649(text: &str) -> bool {
    let compact = compact(text);
    if !(5..=25).contains(&compact.len())
        || !compact.starts_with(b"RF")
        || !compact.iter().all(u8::is_ascii_alphanumeric)
    {
        return false;
    }
    remainder_97(&compact) == 1
}

/// Values that banks write where there is no reference.
const BLANK_REFERENCES: [&str; 8] = ["nonref", "notprovided", "not provided", "none", "n/a", "na", "-", "0"];

/// Whether a reference cell in fact says that there is none.
#[must_use]
pub fn is_blank(reference: &str) -> bool {
    let reference = reference.trim();
    reference.is_empty() || BLANK_REFERENCES.iter().any(|blank| blank.eq_ignore_ascii_case(reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extractor(pattern: &str) -> Result<Extractor, String> {
        Extractor::compile(&ExtractorSpec { field: Field::Text, pattern: pattern.to_owned() })
    }

    #[test]
    fn a_named_group_is_found_every_time_it_occurs() {
        let invoices = extractor(r"INV-(?<ref>\d+)").unwrap();
        assert_eq!(invoices.find("pays INV-12 and INV-0034.").collect::<Vec<_>>(), ["12", "0034"]);
    }

    #[test]
    fn account_and_telephone_numbers_are_no_references() {
        let references = extractor("reference").unwrap();
        let found = |text| references.find(text).collect::<Vec<_>>();
        assert_eq!(found("INV-2041 from DE89 3704 0044 0532 0130 00"), ["INV-2041"]);
        assert_eq!(found("DE89370400440532013000 pays RE20419"), ["RE20419"]);
        assert_eq!(found("call +49 30 1234567 or Tel. 030 7654321 about 884422"), ["884422"]);
        assert_eq!(found("order AB12 3456 7890 1234"), ["3456", "7890", "1234"]);
    }

    #[test]
    fn iso_11649_references_must_have_the_right_check_digits() {
        assert!(is_iso11649("RF18 5390 0754 7034") && is_iso11649("rf18539007547034"));
        assert!(!is_iso11649("RF19 5390 0754 7034") && !is_iso11649("RF18"));
        let found = extractor("iso11649").unwrap();
        assert_eq!(found.find("Ref RF18 5390 0754 7034").collect::<Vec<_>>(), ["RF18 5390 0754 7034"]);
        assert_eq!(found.find("Ref RF19 5390 0754 7034").count(), 0);
    }

    #[test]
    fn a_pattern_that_cannot_work_is_explained() {
        assert!(extractor("[").unwrap_err().contains("not a regular expression"));
        assert!(extractor("INV").unwrap_err().contains("(?<ref>…)"));
    }

    #[test]
    fn what_banks_write_for_nothing_is_no_reference() {
        assert!(is_blank("NONREF") && is_blank(" ") && is_blank("NOTPROVIDED") && !is_blank("INV-1"));
    }
}
