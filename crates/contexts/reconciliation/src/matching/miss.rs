//! Why a pair was not let through: the first gate that it failed, with the numbers behind it.

use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::Decimal;

use super::outcome::Reason;

/// The first gate that a pair did not pass, with the numbers behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// Signs that the rule does not allow.
    #[error("{left} and {right} have signs that the rule does not pair")]
    Sign {
        /// Left amount.
        left: Decimal,
        /// Right amount.
        right: Decimal,
    },
    /// Two currencies, and no conversion in the rule.
    #[error("{left} is not {right}")]
    Currency {
        /// Left currency.
        left: Currency,
        /// Right currency.
        right: Currency,
    },
    /// Too far apart.
    #[error("{left} and {right} differ by {delta}, allowed {allowed}")]
    Amount {
        /// Left amount, converted where the rule converts.
        left: Decimal,
        /// Right amount, with its fee where the rule adds it.
        right: Decimal,
        /// Left minus right.
        delta: Decimal,
        /// The bound, as a text.
        allowed: String,
    },
    /// Too early or too late.
    #[error("the right date is {days} days from the left one, allowed {from} to {to}")]
    Date {
        /// Right minus left, in the unit of the rule.
        days: i32,
        /// Lower bound.
        from: i32,
        /// Upper bound.
        to: i32,
    },
    /// The net side states no fee, and the rule has no schedule.
    #[error("the net record states no fee")]
    FeeMissing,
    /// The fee is in a currency of its own.
    #[error("the fee is in {0}, not in the currency of the amount")]
    FeeCurrency(Currency),
    /// Net plus fee is not gross.
    #[error("gross {gross} is not net {net} + fee {fee} (off by {delta})")]
    Fee {
        /// Gross amount.
        gross: Decimal,
        /// Net amount.
        net: Decimal,
        /// The fee, stated or by the schedule.
        fee: Decimal,
        /// How far off.
        delta: Decimal,
    },
    /// No rate for that day.
    #[error("there is no rate from {from} to {to} on {day} or up to {age_days_max} days before")]
    FxRate {
        /// From.
        from: Currency,
        /// To.
        to: Currency,
        /// For the day.
        day: Day,
        /// Oldest that would do.
        age_days_max: u32,
    },
    /// Texts that are not alike enough.
    #[error("{left} and {right} are alike by {likeness}, at least {at_least} is needed")]
    Text {
        /// Selector on the left.
        left: String,
        /// Selector on the right.
        right: String,
        /// How alike, in thousandths.
        likeness: u32,
        /// How alike they must be.
        at_least: u32,
    },
    /// Too few fields are filled and agree.
    #[error("{found} fields agree, at least {needed} are needed")]
    Evidence {
        /// How many agree.
        found: u32,
        /// How many must.
        needed: u32,
    },
}

impl Miss {
    /// The reason that it gives an open record.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Sign { .. } => Reason::SignMismatch,
            Self::Currency { .. } => Reason::CurrencyMismatch,
            Self::Amount { .. } => Reason::AmountOutOfTolerance,
            Self::Date { .. } => Reason::DateOutOfWindow,
            Self::FeeMissing | Self::FeeCurrency(_) | Self::Fee { .. } => Reason::FeeVariance,
            Self::FxRate { .. } => Reason::FxRateMissing,
            Self::Text { .. } | Self::Evidence { .. } => Reason::NoCandidate,
        }
    }
}
