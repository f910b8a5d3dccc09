//! Step 7: references, found by ordered extractors in the cells of a row.

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
    /// A regular expression with a group named `ref`, or one of the named patterns `iso11649`, `uuid`, `digits`.
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
    checked: bool,
}

impl Extractor {
    /// Compiles an extractor.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn compile(spec: &ExtractorSpec) -> Result<Self, String> {
        let (pattern, checked) = match spec.pattern.as_str() {
            "iso11649" => (r"(?i)\b(?<ref>RF[0-9]{2}(?: ?[0-9A-Z]{1,4}){1,6})", true),
            "uuid" => {
                (r"(?i)\b(?<ref>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b", false)
            }
            "digits" => (r"(?<ref>[0-9]{4,})", false),
            pattern => (pattern, false),
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
        Ok(Self { field: spec.field, regex, checked })
    }

    /// All references in a text, in order.
    pub fn find<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.regex
            .captures_iter(text)
            .filter_map(|found| found.name("ref"))
            .map(|found| found.as_str().trim())
            .filter(|found| !found.is_empty() && (!self.checked || is_iso11649(found)))
    }
}

/// Whether a text is a creditor reference of ISO 11649: `RF`, two check digits, up to 21 characters, remainder 1 modulo 97.
#[must_use]
pub fn is_iso11649(text: &str) -> bool {
    let compact: Vec<u8> =
        text.bytes().filter(|byte| *byte != b' ').map(|byte| byte.to_ascii_uppercase()).collect();
    if !(5..=25).contains(&compact.len())
        || !compact.starts_with(b"RF")
        || !compact.iter().all(u8::is_ascii_alphanumeric)
    {
        return false;
    }
    let (head, tail) = compact.split_at(4);
    let remainder = tail.iter().chain(head).fold(0u32, |remainder, &byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A' + 10)) % 97,
    });
    remainder == 1
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
