use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stoa_kernel::date::Day;

use super::AmountRule;
use crate::source::{SideName, SourceSpec};

/// A set of rules for one pair of sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "the rules")]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// The version of this format: 1.
    pub version: u32,
    /// A name for people.
    pub name: String,
    /// What the rules are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How the two sources are to be read.
    #[serde(default, skip_serializing_if = "Sources::is_empty")]
    pub sources: Sources,
    /// Business calendars by name. `default` is used where a rule names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calendars: BTreeMap<String, CalendarSpec>,
    /// The passes, in order. A record that an earlier pass has used is not offered to a later one.
    pub passes: Vec<Pass>,
}

/// How the two sources are to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "sources")]
#[serde(deny_unknown_fields, default)]
pub struct Sources {
    /// The left source.
    pub left: SourceSpec,
    /// The right source.
    pub right: SourceSpec,
}

impl Sources {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The specification of a side.
    #[must_use]
    pub const fn side(&self, side: SideName) -> &SourceSpec {
        match side {
            SideName::Left => &self.left,
            SideName::Right => &self.right,
        }
    }

    /// The specification of a side, to change it.
    pub const fn side_mut(&mut self, side: SideName) -> &mut SourceSpec {
        match side {
            SideName::Left => &mut self.left,
            SideName::Right => &mut self.right,
        }
    }
}

/// A business calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a calendar")]
#[serde(deny_unknown_fields)]
pub struct CalendarSpec {
    /// Weekend days; Saturday and Sunday by default.
    #[serde(default = "saturday_and_sunday")]
    pub weekend: Vec<Weekday>,
    /// Days on which no business is done, as `YYYY-MM-DD`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub holidays: Vec<Day>,
}

fn saturday_and_sunday() -> Vec<Weekday> {
    vec![Weekday::Saturday, Weekday::Sunday]
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// One pass: block key + predicates + cardinality + outcome + ambiguity policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a pass")]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// A name for people; unique.
    pub name: String,
    /// What both sides must share to be compared at all. Every part must be filled. Empty: everything is compared
    /// inside the amount window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<KeyPart>,
    /// How far amounts may differ; not at all by default.
    #[serde(default)]
    pub amount: AmountRule,
    /// How far dates may lie apart; as far as they like by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<DateRule>,
    /// Texts that must be alike. All of them must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<TextRule>,
    /// How many records may stand on each side of a match.
    #[serde(default = "one_to_one", skip_serializing_if = "is_one_to_one")]
    pub cardinality: Vec<Cardinality>,
    /// How groups are found.
    #[serde(default, skip_serializing_if = "is_default")]
    pub groups: GroupRule,
    /// Which records take part.
    #[serde(default, rename = "where", skip_serializing_if = "is_default")]
    pub conditions: Conditions,
    /// Which records do not take part: those for which all conditions of their side hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exclude: Conditions,
    /// At least so many key parts and texts must be filled and agree. Lets key parts be blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_evidence: Option<u32>,
    /// What a match of this pass is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outcome: PassOutcome,
    /// What to do when several matches are equally good.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ambiguity: Ambiguity,
    /// A match counts as ambiguous when the next best is worse by at most this much (0 to 1000, see `score`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub margin: u32,
    /// How one-to-one pairs are chosen where there is a choice.
    #[serde(default, skip_serializing_if = "is_default")]
    pub assignment: AssignmentMode,
}

fn one_to_one() -> Vec<Cardinality> {
    vec![Cardinality::OneToOne]
}

fn is_one_to_one(cardinality: &[Cardinality]) -> bool {
    matches!(cardinality, [Cardinality::OneToOne])
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One part of a block key: the name of a field for both sides, or a mapping.
///
/// Fields: `reference` (the first one), `references` (any one in common), `external_id`, `account`, `counterparty`,
/// `text`, `type`, `statement`, `currency`, `booked_date`, `value_date`, or `attributes.<column>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// The field on the left.
    pub left: String,
    /// The field on the right.
    pub right: String,
    /// What is done to the text before it is compared, in order.
    pub transform: Vec<Transform>,
}

impl Serialize for KeyPart {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.left == self.right && self.transform.is_empty() {
            return serializer.serialize_str(&self.left);
        }
        let (left, right) = (Some(self.left.clone()), Some(self.right.clone()));
        KeyPartMap { field: None, left, right, transform: self.transform.clone() }.serialize(serializer)
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a key part")]
#[serde(deny_unknown_fields)]
struct KeyPartMap {
    /// The field on both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The field on the left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<String>,
    /// The field on the right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    right: Option<String>,
    /// What is done to the text before it is compared, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    transform: Vec<Transform>,
}

impl<'de> Deserialize<'de> for KeyPart {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = KeyPart;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a field, or a mapping with field, or left and right, and transform")
            }
            fn visit_str<E>(self, field: &str) -> Result<KeyPart, E> {
                Ok(KeyPart { left: field.to_owned(), right: field.to_owned(), transform: Vec::new() })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<KeyPart, A::Error> {
                let map = KeyPartMap::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                match (map.field, map.left, map.right) {
                    (Some(field), None, None) => {
                        Ok(KeyPart { left: field.clone(), right: field, transform: map.transform })
                    }
                    (None, Some(left), Some(right)) => Ok(KeyPart { left, right, transform: map.transform }),
                    _ => Err(serde::de::Error::custom("a key part has either field, or left and right")),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for KeyPart {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyPart".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let map = generator.subschema_for::<KeyPartMap>();
        schemars::json_schema!({
            "description": "The name of a field on both sides, or a mapping.",
            "anyOf": [{ "type": "string" }, map]
        })
    }
}

/// A change of a text before it is compared. Case, accents of width and blanks are folded already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a transform")]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Keeps the digits.
    Digits,
    /// Keeps letters and digits.
    Alphanumeric,
    /// Removes zeros at the front.
    StripLeadingZeros,
    /// Removes this at the front, if it is there.
    StripPrefix(String),
    /// Removes this at the end, if it is there.
    StripSuffix(String),
    /// Keeps the last characters.
    Last(u32),
    /// Keeps the first characters.
    First(u32),
    /// Sorts the words, so that their order does not matter.
    SortWords,
}

/// How far the right date may lie from the left one: `from <= right - left <= to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "date")]
#[serde(deny_unknown_fields)]
pub struct DateRule {
    /// The earliest, in days; negative when the right side may come first.
    pub from: i32,
    /// The latest, in days.
    pub to: i32,
    /// What a day is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: DayUnit,
    /// The calendar for business days: one of `calendars`. By default the one of the left source, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// The date on the left.
    #[serde(default, skip_serializing_if = "is_default")]
    pub left: DateField,
    /// The date on the right.
    #[serde(default, skip_serializing_if = "is_default")]
    pub right: DateField,
}

/// What a day of a window is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayUnit {
    /// Every day.
    #[default]
    CalendarDays,
    /// Days on which business is done.
    BusinessDays,
}

/// Which date of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateField {
    /// The day on which it was booked.
    #[default]
    BookedDate,
    /// The day from which it counts; the booked one where it has none.
    ValueDate,
}

/// Two texts that must be alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "text")]
#[serde(deny_unknown_fields)]
pub struct TextRule {
    /// The field on the left, as in a key part.
    pub left: String,
    /// The field on the right.
    pub right: String,
    /// How likeness is measured.
    #[serde(default)]
    pub measure: TextMeasure,
    /// The least likeness, 0 to 1000 (thousandths).
    pub at_least: u32,
}

/// How the likeness of two texts is measured, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextMeasure {
    /// Words in common, whatever their order: for names and free text.
    #[default]
    TokenSet,
    /// Jaro-Winkler: for short names with slips of the pen.
    JaroWinkler,
    /// Damerau-Levenshtein (optimal string alignment), 1000 × (1 − edits ÷ longer length): for references.
    Damerau,
    /// The shorter text occurs in the longer one as whole words.
    Contains,
}

/// How many records stand on each side of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cardinality {
    /// One and one, chosen so that the whole is best.
    OneToOne,
    /// One on the left is the sum of several on the right.
    OneToMany,
    /// Several on the left add up to one on the right.
    ManyToOne,
    /// Several on both sides with equal sums.
    ManyToMany,
    /// Two on the left that cancel each other.
    ReversalLeft,
    /// Two on the right that cancel each other.
    ReversalRight,
}

/// How groups are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "groups")]
#[serde(deny_unknown_fields, default)]
pub struct GroupRule {
    /// Which records of the block belong to the group.
    pub members: GroupMembers,
    /// The most parts of a subset.
    pub parts_max: u32,
    /// The most candidates that are searched for a subset.
    pub candidates_max: u32,
    /// The most nodes that one search may visit. A count, not a time: the result is the same on every machine.
    pub nodes_max: u64,
}

impl Default for GroupRule {
    fn default() -> Self {
        Self {
            members: GroupMembers::All,
            parts_max: 6,
            candidates_max: 64,
            nodes_max: stoa_kernel::limits::SUBSET_NODES_MAX,
        }
    }
}

/// Which records of a block belong to a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupMembers {
    /// All that are open inside the window: for keys that name the group.
    #[default]
    All,
    /// The one subset whose sum fits: for parts that have lost their reference.
    Subset,
}

/// Conditions for each side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "where")]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// For records of the left side; all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Condition>,
    /// For records of the right side; all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub right: Vec<Condition>,
}

/// A condition on one field. Texts are compared folded; every test that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a condition")]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// The field, as in a key part, or `amount`.
    pub field: String,
    /// It is one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// It contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// It begins with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// It matches this regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// It is filled, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filled: Option<bool>,
    /// The amount is at least this (with its sign).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
    /// The amount is at most this (with its sign).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

/// What a match of a pass is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PassOutcome {
    /// A match.
    #[default]
    Confirmed,
    /// A proposal for a person.
    Suggested,
}

/// What to do when several matches are equally good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguity {
    /// Leaves the records open, with all candidates.
    #[default]
    Reject,
    /// Suggests every candidate; the records are not offered to later passes.
    SuggestAll,
    /// Takes the one with the lowest ids.
    DeterministicFirst,
}

/// How one-to-one pairs are chosen where there is a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentMode {
    /// The most pairs, and among those the best in sum.
    #[default]
    Optimal,
    /// Only pairs in which neither side has another candidate.
    Unique,
}
