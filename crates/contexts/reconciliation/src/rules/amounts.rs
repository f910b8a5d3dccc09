use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Exact;
use super::model::is_default;
use crate::source::SideName;

/// How far the amounts of the two sides may differ. A group is compared by its sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "amount")]
#[serde(deny_unknown_fields, default)]
pub struct AmountRule {
    /// The largest difference, inclusive, in units of the currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Exact>,
    /// The largest difference for single currencies, in place of `tolerance`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub currencies: BTreeMap<String, Exact>,
    /// The largest difference in percent of the base, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Exact>,
    /// What the percentage is of.
    #[serde(skip_serializing_if = "is_default")]
    pub base: PercentBase,
    /// Whether tolerance and percentage must both hold or one of them, where both are given.
    #[serde(skip_serializing_if = "is_default")]
    pub combine: Combine,
    /// How the signs of the two sides are related.
    #[serde(skip_serializing_if = "is_default")]
    pub sign: SignRule,
    /// Compares gross with net plus fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<FeeRule>,
    /// Compares across currencies at the rate of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fx: Option<FxRule>,
}

/// What a percentage is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PercentBase {
    /// The amount on the left.
    #[default]
    Left,
    /// The amount on the right.
    Right,
    /// The smaller one by magnitude.
    Min,
    /// The larger one by magnitude.
    Max,
}

/// How two bounds go together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// One of them must hold.
    #[default]
    Or,
    /// Both must hold.
    And,
}

/// How the signs of the two sides are related.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignRule {
    /// Both credit or both debit.
    #[default]
    Same,
    /// One credit, one debit of the same magnitude.
    Opposite,
    /// Only the magnitude counts.
    Ignore,
}

/// Gross on one side, net and fee on the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "fee")]
#[serde(deny_unknown_fields)]
pub struct FeeRule {
    /// The side that is net of the fee.
    pub net: SideName,
    /// What the fee may be where the record does not state it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<FeeSchedule>,
}

/// A schedule of fees: flat + percent of gross, in tiers, within bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "schedule")]
#[serde(deny_unknown_fields, default)]
pub struct FeeSchedule {
    /// A fixed part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat: Option<Exact>,
    /// A part in percent of gross.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Exact>,
    /// Other prices from a gross amount on; the last tier that applies counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<FeeTier>,
    /// The least fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Exact>,
    /// The largest fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Exact>,
}

/// A tier of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "a tier")]
#[serde(deny_unknown_fields)]
pub struct FeeTier {
    /// The gross amount from which it applies.
    pub from: Exact,
    /// A fixed part.
    #[serde(default = "zero")]
    pub flat: Exact,
    /// A part in percent of gross.
    #[serde(default = "zero")]
    pub percent: Exact,
}

const fn zero() -> Exact {
    Exact::ZERO
}

/// Conversion by a table of rates. The left amount is converted into the currency of the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "fx")]
#[serde(deny_unknown_fields)]
pub struct FxRule {
    /// Whose date chooses the rate.
    #[serde(default = "left_side")]
    pub date: SideName,
    /// How many days the rate may be older than that date: for weekends and holidays.
    #[serde(default = "three_days")]
    pub age_days_max: u32,
    /// Whether the rate of the opposite direction may be used, turned over.
    #[serde(default = "yes")]
    pub inverse: bool,
}

const fn left_side() -> SideName {
    SideName::Left
}

const fn three_days() -> u32 {
    3
}

const fn yes() -> bool {
    true
}
