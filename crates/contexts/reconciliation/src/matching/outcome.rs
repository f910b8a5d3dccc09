//! What an execution decided.

use std::collections::BTreeMap;

use serde::Serialize;
use stoa_kernel::currency::Currency;

use crate::side::RecordNo;
use crate::source::SideName;

/// Why a record is open: the closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing on the other side comes near.
    NoCandidate,
    /// A partner, but for the amount.
    AmountOutOfTolerance,
    /// A partner, but for the date.
    DateOutOfWindow,
    /// Several partners that are equally good.
    Ambiguous,
    /// A second copy of a record that is matched.
    Duplicate,
    /// Parts that do not add up to the whole, or a search that ended at its bound.
    SplitIncomplete,
    /// No rate in the table.
    FxRateMissing,
    /// A partner, but the fee is missing or not as it should be.
    FeeVariance,
    /// A partner, but in another currency.
    CurrencyMismatch,
    /// A partner, but with the opposite sign.
    SignMismatch,
    /// The balances of a statement do not agree with its lines.
    BalanceGap,
    /// It came after the period was closed.
    LateArrival,
    /// The row could not be read.
    ParseError,
}

impl Reason {
    /// Every reason, in the order of the list.
    pub const ALL: [Self; 13] = [
        Self::NoCandidate,
        Self::AmountOutOfTolerance,
        Self::DateOutOfWindow,
        Self::Ambiguous,
        Self::Duplicate,
        Self::SplitIncomplete,
        Self::FxRateMissing,
        Self::FeeVariance,
        Self::CurrencyMismatch,
        Self::SignMismatch,
        Self::BalanceGap,
        Self::LateArrival,
        Self::ParseError,
    ];

    /// The name, as in files and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCandidate => "no_candidate",
            Self::AmountOutOfTolerance => "amount_out_of_tolerance",
            Self::DateOutOfWindow => "date_out_of_window",
            Self::Ambiguous => "ambiguous",
            Self::Duplicate => "duplicate",
            Self::SplitIncomplete => "split_incomplete",
            Self::FxRateMissing => "fx_rate_missing",
            Self::FeeVariance => "fee_variance",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::SignMismatch => "sign_mismatch",
            Self::BalanceGap => "balance_gap",
            Self::LateArrival => "late_arrival",
            Self::ParseError => "parse_error",
        }
    }
}

/// What kind of match a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One and one.
    OneToOne,
    /// One on the left, several on the right.
    OneToMany,
    /// Several on the left, one on the right.
    ManyToOne,
    /// Several on both.
    ManyToMany,
    /// Two on the left that cancel each other.
    ReversalLeft,
    /// Two on the right that cancel each other.
    ReversalRight,
}

impl Kind {
    /// The name, as in files and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneToOne => "one_to_one",
            Self::OneToMany => "one_to_many",
            Self::ManyToOne => "many_to_one",
            Self::ManyToMany => "many_to_many",
            Self::ReversalLeft => "reversal_left",
            Self::ReversalRight => "reversal_right",
        }
    }
}

/// Where a record has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Without a match.
    #[default]
    Open,
    /// In the pair with this record of the other side, by this pass.
    Pair(RecordNo, u8),
    /// In the group with this number.
    Group(u32),
}

/// A match of more than two records, or within one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The pass that found it.
    pub pass: u8,
    /// Its kind.
    pub kind: Kind,
    /// Records of the left side, ascending.
    pub left: Vec<RecordNo>,
    /// Records of the right side, ascending.
    pub right: Vec<RecordNo>,
}

/// What is known of an open record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Why it is open.
    pub reason: Reason,
    /// The pass whose predicate failed, where one did.
    pub pass: Option<u8>,
    /// The records of the other side that come nearest, best first.
    pub candidates: Vec<RecordNo>,
    /// The numbers behind the reason, as a sentence.
    pub detail: String,
}

/// A line between two records that is not a confirmed match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Of the left side.
    pub left: RecordNo,
    /// Of the right side.
    pub right: RecordNo,
    /// What the line says.
    pub status: LinkStatus,
}

/// What a line between two records says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkStatus {
    /// A confirmed pair.
    Matched,
    /// Both belong to one confirmed group.
    Group,
    /// They share a key and do not match.
    Conflict,
    /// The right record (or the left) is a second copy of the one that is matched here.
    Duplicate,
    /// One of several candidates that are equally good.
    Ambiguous,
    /// A proposal.
    Suggested,
}

impl LinkStatus {
    /// The name, as in `links.csv`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Group => "group",
            Self::Conflict => "conflict",
            Self::Duplicate => "duplicate",
            Self::Ambiguous => "ambiguous",
            Self::Suggested => "suggested",
        }
    }
}

/// Work that met a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bounded {
    /// The pass.
    pub pass: String,
    /// What was bounded, as a sentence.
    pub message: String,
}

/// Everything that an execution decided.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Where each record of the left side has ended.
    pub left: Vec<Standing>,
    /// Where each record of the right side has ended.
    pub right: Vec<Standing>,
    /// Matches of more than two records.
    pub groups: Vec<Group>,
    /// What is known of open records; one that is missing has no candidate.
    pub diagnoses: BTreeMap<(SideName, RecordNo), Diagnosis>,
    /// Lines that are not matches, sorted.
    pub links: Vec<Link>,
    /// Passes, by number: the name and whether its matches are confirmed.
    pub passes: Vec<(String, bool)>,
    /// Work that met a bound.
    pub bounded: Vec<Bounded>,
    /// Passes that compare gross with net and fee.
    pub fee_passes: Vec<u8>,
    /// Passes that pair opposite signs.
    pub opposite_passes: Vec<u8>,
}

impl Outcome {
    /// Where a record has ended.
    #[must_use]
    pub fn standing(&self, side: SideName, record: RecordNo) -> Standing {
        let standings = match side {
            SideName::Left => &self.left,
            SideName::Right => &self.right,
        };
        standings.get(record as usize).copied().unwrap_or_default()
    }

    /// The pass that matched a record, if one did.
    #[must_use]
    pub fn pass_of(&self, standing: Standing) -> Option<u8> {
        match standing {
            Standing::Open => None,
            Standing::Pair(_, pass) => Some(pass),
            Standing::Group(group) => self.groups.get(group as usize).map(|group| group.pass),
        }
    }

    /// Whether matches of a pass are confirmed (and not suggested).
    #[must_use]
    pub fn is_confirmed(&self, pass: u8) -> bool {
        self.passes.get(usize::from(pass)).is_some_and(|(_, confirmed)| *confirmed)
    }

    /// The reason for which a record is open.
    #[must_use]
    pub fn reason(&self, side: SideName, record: RecordNo) -> Reason {
        self.diagnoses.get(&(side, record)).map_or(Reason::NoCandidate, |diagnosis| diagnosis.reason)
    }
}

/// Amounts by currency, exactly.
pub type Sums = BTreeMap<Currency, stoa_kernel::money::Decimal>;
