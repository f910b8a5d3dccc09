//! A source as it is configured: where its columns are and how its cells are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stoa_kernel::currency::Currency;

use crate::field::Field;
use crate::normalise::dates::DateFormat;
use crate::normalise::numbers::NumberFormat;
use crate::normalise::references::ExtractorSpec;

/// Which of the two sides of a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SideName {
    /// The first source, by convention the one that is to be explained: the bank statement.
    Left,
    /// The second source, by convention the one that explains: the ledger.
    Right,
}

impl SideName {
    /// `left` or `right`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// A file format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Delimiter-separated text: commas, semicolons, tabs, pipes (RFC 4180 and what is found in practice).
    Csv,
    /// Office Open XML spreadsheet.
    Xlsx,
    /// A JSON array of objects, or an object that holds one (RFC 8259).
    Json,
    /// One JSON object on each line.
    Ndjson,
    /// SWIFT customer statement.
    Mt940,
    /// SWIFT interim transaction report.
    Mt942,
    /// ISO 20022 camt.052, camt.053 or camt.054, any version.
    Camt,
    /// Open Financial Exchange 1.x (SGML) or 2.x (XML), QFX included.
    Ofx,
    /// BAI version 2.
    Bai2,
    /// Quicken Interchange Format.
    Qif,
}

impl Format {
    /// The name, as in rules files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Mt940 => "mt940",
            Self::Mt942 => "mt942",
            Self::Camt => "camt",
            Self::Ofx => "ofx",
            Self::Bai2 => "bai2",
            Self::Qif => "qif",
        }
    }

    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Csv,
        Self::Xlsx,
        Self::Json,
        Self::Ndjson,
        Self::Mt940,
        Self::Mt942,
        Self::Camt,
        Self::Ofx,
        Self::Bai2,
        Self::Qif,
    ];
}

/// One column, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ColumnNames {
    /// The name of one column.
    One(String),
    /// The names of several columns, for fields that take many.
    Many(Vec<String>),
}

impl ColumnNames {
    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

impl<'de> Deserialize<'de> for ColumnNames {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ColumnNames;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a column, or a list of names")
            }
            fn visit_str<E>(self, name: &str) -> Result<ColumnNames, E> {
                Ok(ColumnNames::One(name.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<ColumnNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(ColumnNames::Many(names))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How a source is to be read. Everything that is left out is inferred, and what was inferred is stated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a source")]
#[serde(deny_unknown_fields, default)]
pub struct SourceSpec {
    /// The file format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The character encoding, by its WHATWG label: `utf-8`, `windows-1252`, `utf-16le`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The delimiter of a CSV file: one ASCII character, or `tab`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Whether the first row of a table names the columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Lines before the table that are to be skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_lines: Option<u32>,
    /// The sheet of a workbook, by name; the first one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// Which column is which field. A column without a header is `column 1`, `column 2`, …
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<Field, ColumnNames>,
    /// How numbers are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberFormat>,
    /// How dates are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dates: Option<DateFormat>,
    /// The zone in which instants are cut to days, by its IANA name; by default the offset that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The currency of rows that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub currency: Option<Currency>,
    /// The account of rows that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The calendar for windows in business days; one of `calendars`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// Turns every sign: for a source in which money that enters the account is negative.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub flip_sign: bool,
    /// Turns the sign of fees: for a source that states what a fee changes (-0.59) instead of what it costs (0.59).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip_fees: Option<bool>,
    /// Where references are found besides the columns that are mapped to `reference`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<ExtractorSpec>,
    /// Words that do not count when texts are compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<String>,
    /// Refuses the whole file when one row is rejected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl SourceSpec {
    /// Sets one option from `name=value`, as given on the command line: an option of this type, or a field of a record
    /// with the name of its column (`amount=Betrag`, `text=Memo+Purpose`).
    ///
    /// # Errors
    /// A sentence that says what is wrong, with the names that are possible.
    pub fn set(&mut self, assignment: &str) -> Result<(), String> {
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| format!("\"{assignment}\" is not of the form name=value"))?;
        let choose = |kind: &str| format!("\"{value}\" is not {kind}");
        match name {
            "format" => {
                self.format = Some(parse_name(value).ok_or_else(|| choose("a format that Stoa reads"))?);
            }
            "encoding" => self.encoding = Some(value.to_owned()),
            "delimiter" => self.delimiter = Some(value.to_owned()),
            "header" => self.header = Some(value.parse().map_err(|_| choose("true or false"))?),
            "skip_lines" => self.skip_lines = Some(value.parse().map_err(|_| choose("a number of lines"))?),
            "sheet" => self.sheet = Some(value.to_owned()),
            "numbers" => {
                self.numbers = Some(parse_name(value).ok_or_else(|| choose("point, comma or minor_units"))?);
            }
            "dates" => {
                self.dates = Some(parse_name(value).ok_or_else(|| {
                    choose("year_month_day, day_month_year, month_day_year, short_year_month_day or unix_seconds")
                })?);
            }
            "zone" => {
                jiff::tz::TimeZone::get(value)
                    .map_err(|_| choose("an IANA time zone, such as Europe/Berlin"))?;
                self.zone = Some(value.to_owned());
            }
            // A currency code sets the default; anything else names the column.
            "currency" if value.parse::<Currency>().is_ok() => self.currency = value.parse().ok(),
            "calendar" => self.calendar = Some(value.to_owned()),
            "flip_sign" => self.flip_sign = value.parse().map_err(|_| choose("true or false"))?,
            "flip_fees" => self.flip_fees = Some(value.parse().map_err(|_| choose("true or false"))?),
            "strict" => self.strict = value.parse().map_err(|_| choose("true or false"))?,
            field => {
                let field: Field = parse_name(field).ok_or_else(|| {
                    let fields = Field::ALL.map(Field::name).join(", ");
                    format!(
                        "\"{field}\" is neither an option (format, encoding, delimiter, header, skip_lines, sheet, numbers, dates, \
                         zone, currency, calendar, flip_sign, flip_fees, strict) nor a field ({fields})"
                    )
                })?;
                let names: Vec<String> = value.split('+').map(str::to_owned).collect();
                self.columns.insert(field, ColumnNames::Many(names));
            }
        }
        Ok(())
    }
}

/// Reads a unit variant by its name in rules files.
fn parse_name<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_columns_are_set_by_name() {
        let mut spec = SourceSpec::default();
        for assignment in [
            "format=csv",
            "numbers=comma",
            "amount=Betrag",
            "text=Memo+Zweck",
            "currency=eur",
            "flip_sign=true",
        ] {
            spec.set(assignment).unwrap();
        }
        assert_eq!(
            (spec.format, spec.numbers, spec.flip_sign),
            (Some(Format::Csv), Some(NumberFormat::Comma), true)
        );
        assert_eq!(spec.currency, "EUR".parse().ok());
        assert_eq!(spec.columns.get(&Field::Text).map(|names| names.names().len()), Some(2));
        spec.set("currency=Währung").unwrap();
        assert!(spec.columns.contains_key(&Field::Currency));
    }

    #[test]
    fn a_wrong_option_lists_the_right_ones() {
        let mut spec = SourceSpec::default();
        assert!(spec.set("colour=red").unwrap_err().contains("booked_date"));
        assert!(spec.set("format=docx").unwrap_err().contains("not a format"));
        assert!(spec.set("amount").unwrap_err().contains("name=value"));
    }
}
