//! Block keys: what two records must share to be compared, as a 128-bit hash of the folded texts.
//!
//! XXH3-128 (Y. Collet), of which blocks keep 96 bits: at 20 million keys the chance that any two differing ones collide
//! is below 10⁻¹⁴.

use xxhash_rust::xxh3::Xxh3;

use crate::field::Field;
use crate::normalise::text;
use crate::profile::Profile;
use crate::row::Row;
use crate::rules::{KeyPart, Transform};
use crate::source::SideName;

/// What a rule takes from a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One cell.
    Field(Field),
    /// All cells of a field that takes many, joined.
    Joined(Field),
    /// The first reference.
    FirstReference,
    /// Every reference.
    References,
    /// A column by its name.
    Column(String),
}

const NAMES: [&str; 13] = [
    "reference",
    "references",
    "external_id",
    "account",
    "counterparty",
    "text",
    "type",
    "statement",
    "currency",
    "booked_date",
    "value_date",
    "direction",
    "amount",
];

impl Selector {
    /// Reads a selector as it is written in rules.
    ///
    /// # Errors
    /// A sentence with the name that was probably meant.
    pub fn parse(name: &str) -> Result<Self, String> {
        if let Some(column) = name.strip_prefix("attributes.") {
            return Ok(Self::Column(column.to_owned()));
        }
        Ok(match name {
            "reference" => Self::FirstReference,
            "references" => Self::References,
            "external_id" => Self::Field(Field::ExternalId),
            "account" => Self::Field(Field::Account),
            "counterparty" => Self::Field(Field::Counterparty),
            "text" => Self::Joined(Field::Text),
            "type" => Self::Field(Field::Type),
            "statement" => Self::Field(Field::Statement),
            "currency" => Self::Field(Field::Currency),
            "booked_date" => Self::Field(Field::BookedDate),
            "value_date" => Self::Field(Field::ValueDate),
            "direction" => Self::Field(Field::Direction),
            "amount" => Self::Field(Field::Amount),
            _ => {
                return Err(match crate::rules::nearest_name(name, &NAMES) {
                    Some(meant) => {
                        format!("\"{name}\" is not a field of a record; did you mean \"{meant}\"?")
                    }
                    None => format!(
                        "\"{name}\" is not a field of a record; there are {} and attributes.<column>",
                        NAMES.join(", ")
                    ),
                });
            }
        })
    }

    /// Gives every value of the selector for a row, folded for comparison; nothing where it is blank.
    pub fn values(&self, row: &Row, profile: &Profile, folded: &mut String, mut take: impl FnMut(&str)) {
        let mut give = |raw: &str, folded: &mut String| {
            folded.clear();
            text::fold_into(raw, folded);
            if !folded.is_empty() {
                take(folded);
            }
        };
        match self {
            Self::Field(Field::Currency) => {
                let letters = profile.currency_of(row).letters();
                give(std::str::from_utf8(&letters).unwrap_or(""), folded);
            }
            Self::Field(field @ (Field::BookedDate | Field::ValueDate | Field::Amount)) => {
                if let Ok(core) = profile.core(row) {
                    let canonical = match field {
                        Field::BookedDate => core.booked.to_string(),
                        Field::ValueDate => core.value.unwrap_or(core.booked).to_string(),
                        _ => core.amount.to_string(),
                    };
                    give(&canonical, folded);
                }
            }
            Self::Field(Field::Account) => give(profile.account(row), folded),
            Self::Field(field) => give(profile.cell(row, *field), folded),
            Self::Joined(field) => give(&profile.joined(row, *field), folded),
            Self::FirstReference => {
                // The usual case: one mapped column, no extractor needed.
                let mut first = true;
                profile.references(row, |reference| {
                    if std::mem::take(&mut first) {
                        give(reference, folded);
                    }
                });
            }
            Self::References => profile.references(row, |reference| give(reference, folded)),
            Self::Column(name) => {
                if let Some(column) = profile.columns.iter().position(|column| column == name) {
                    give(row.cell(column), folded);
                }
            }
        }
    }
}

/// Applies transforms to a folded text.
#[must_use]
pub fn transform(folded: &str, transforms: &[Transform]) -> String {
    transforms.iter().fold(folded.to_owned(), |value, transform| match transform {
        Transform::Digits => value.chars().filter(char::is_ascii_digit).collect(),
        Transform::Alphanumeric => value.chars().filter(|c| c.is_alphanumeric()).collect(),
        Transform::StripLeadingZeros => value.trim_start_matches('0').to_owned(),
        Transform::StripPrefix(prefix) => {
            value.strip_prefix(&text::fold(prefix)).unwrap_or(&value).to_owned()
        }
        Transform::StripSuffix(suffix) => {
            value.strip_suffix(&text::fold(suffix)).unwrap_or(&value).to_owned()
        }
        Transform::Last(count) => {
            let skip = value.chars().count().saturating_sub(*count as usize);
            value.chars().skip(skip).collect()
        }
        Transform::First(count) => value.chars().take(*count as usize).collect(),
        Transform::SortWords => {
            let mut words: Vec<&str> = text::tokens(&value, &[]).collect();
            words.sort_unstable();
            words.join(" ")
        }
    })
}

/// One part of a key on one side.
#[derive(Debug, Clone)]
struct Part {
    selector: Selector,
    transforms: Vec<Transform>,
    /// One of the two sides has several values for it, so each value is a key of its own.
    is_many: bool,
}

/// The key of a pass for one side.
#[derive(Debug, Clone)]
pub struct Key {
    parts: Vec<Part>,
    blanks_allowed: bool,
}

/// The hash of a key without parts: everything is in one block.
pub const NO_KEY: u128 = 0;

impl Key {
    /// The key of a side, without the parts that `keep` refuses.
    #[must_use]
    pub fn of(
        parts: &[KeyPart],
        side: SideName,
        blanks_allowed: bool,
        keep: impl Fn(&Selector) -> bool,
    ) -> Self {
        let parts = parts
            .iter()
            .filter_map(|part| {
                let both = [Selector::parse(&part.left).ok()?, Selector::parse(&part.right).ok()?];
                let is_many = both.contains(&Selector::References);
                let [left, right] = both;
                let selector = if side == SideName::Left { left } else { right };
                Some(Part { selector, transforms: part.transform.clone(), is_many })
            })
            .filter(|part| keep(&part.selector))
            .collect();
        Self { parts, blanks_allowed }
    }

    /// Whether a record may have several keys.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.parts.iter().any(|part| part.is_many)
    }

    /// Whether the key says more than the currency, the account or the date, of which there are few.
    #[must_use]
    pub fn identifies(&self) -> bool {
        self.parts.iter().any(|part| {
            !matches!(
                part.selector,
                Selector::Field(
                    Field::Currency
                        | Field::Account
                        | Field::BookedDate
                        | Field::ValueDate
                        | Field::Type
                        | Field::Statement
                        | Field::Direction
                )
            )
        })
    }

    /// Gives every key of a row; none when a part is blank that must be filled.
    pub fn hashes(&self, row: &Row, profile: &Profile, folded: &mut String, mut take: impl FnMut(u128)) {
        if self.parts.is_empty() {
            take(NO_KEY);
            return;
        }
        // One hasher state for each combination of values; with single-valued parts there is exactly one.
        let mut single = Xxh3::new();
        let mut many: Vec<u128> = Vec::new();
        let mut has_many = false;
        for Part { selector, transforms, is_many } in &self.parts {
            let mut filled = false;
            if *is_many {
                has_many = true;
                selector.values(row, profile, folded, |value| {
                    let value =
                        if transforms.is_empty() { value.to_owned() } else { transform(value, transforms) };
                    if !value.is_empty() {
                        many.push(xxhash_rust::xxh3::xxh3_128(value.as_bytes()));
                        filled = true;
                    }
                });
            } else {
                selector.values(row, profile, folded, |value| {
                    let owned;
                    let value = if transforms.is_empty() {
                        value
                    } else {
                        owned = transform(value, transforms);
                        &owned
                    };
                    if !value.is_empty() && !filled {
                        single.update(value.as_bytes());
                        filled = true;
                    }
                });
            }
            single.update(&[0x1F, u8::from(filled)]);
            if !filled && !self.blanks_allowed {
                return;
            }
        }
        let base = single.digest128();
        if has_many && !many.is_empty() {
            many.sort_unstable();
            many.dedup();
            for value in many {
                let mut both = [0u8; 32];
                let (first, second) = both.split_at_mut(16);
                first.copy_from_slice(&base.to_le_bytes());
                second.copy_from_slice(&value.to_le_bytes());
                take(xxhash_rust::xxh3::xxh3_128(&both));
            }
        } else {
            take(base);
        }
    }

    /// The key as people read it: the folded values, joined.
    #[must_use]
    pub fn shown(&self, row: &Row, profile: &Profile) -> Vec<String> {
        let mut folded = String::new();
        self.parts
            .iter()
            .map(|Part { selector, transforms, .. }| {
                let mut values = Vec::new();
                selector.values(row, profile, &mut folded, |value| values.push(transform(value, transforms)));
                values.join(", ")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_apply_in_order() {
        let transforms = [Transform::StripPrefix("ORD-".to_owned()), Transform::StripLeadingZeros];
        assert_eq!(transform("ord-000123", &transforms), "123");
        assert_eq!(transform("re 2025/0042", &[Transform::Digits, Transform::Last(4)]), "0042");
        assert_eq!(transform("smith john", &[Transform::SortWords]), "john smith");
    }

    #[test]
    fn an_unknown_field_is_answered_with_the_one_that_was_meant() {
        assert_eq!(
            Selector::parse("referense").unwrap_err(),
            "\"referense\" is not a field of a record; did you mean \"reference\"?"
        );
        assert_eq!(Selector::parse("attributes.Shop"), Ok(Selector::Column("Shop".to_owned())));
    }
}
