//! Bounds of amounts, compared as integers: no division, no float.

use stoa_kernel::currency::Currency;
use stoa_kernel::money::{Decimal, pow10};

use crate::rules::{AmountRule, Combine, Exact, FeeSchedule, PercentBase};

/// The absolute tolerance for a currency.
pub(super) fn tolerance(rule: &AmountRule, currency: Currency) -> Exact {
    if rule.currencies.is_empty() {
        return rule.tolerance.unwrap_or(Exact::ZERO);
    }
    rule.currencies.get(&currency.to_string()).copied().or(rule.tolerance).unwrap_or(Exact::ZERO)
}

/// Inclusive bounds, by comparison of integers: no division, no float.
pub(super) fn within(
    rule: &AmountRule,
    left: Decimal,
    right: Decimal,
    delta: Decimal,
    currency: Currency,
) -> bool {
    let absolute = || delta.abs() <= tolerance(rule, currency).0;
    let Some(percent) = rule.percent else { return absolute() };
    let relative = || {
        let (l, r) = (left.abs(), right.abs());
        let base = match rule.base {
            PercentBase::Left => l,
            PercentBase::Right => r,
            PercentBase::Min => l.min(r),
            PercentBase::Max => l.max(r),
        };
        // |delta| × 100 × 10^decimals(p) <= p × base
        let side = || -> Option<bool> {
            let exponent = delta.exponent.max(base.exponent);
            let distance =
                delta.abs().units_at(exponent)?.checked_mul(100)?.checked_mul(pow10(percent.0.exponent))?;
            Some(distance <= base.units_at(exponent)?.checked_mul(percent.0.units)?)
        };
        side().unwrap_or(false)
    };
    let has_absolute = rule.tolerance.is_some() || !rule.currencies.is_empty();
    match (has_absolute, rule.combine) {
        (false, _) => relative(),
        (true, Combine::Or) => absolute() || relative(),
        (true, Combine::And) => absolute() && relative(),
    }
}

/// The bound of an amount rule, as people read it.
pub(super) fn allowed(rule: &AmountRule, currency: Currency) -> String {
    let absolute = tolerance(rule, currency).0;
    match (rule.percent, rule.tolerance.is_some() || !rule.currencies.is_empty()) {
        (None, _) => absolute.to_string(),
        (Some(percent), false) => format!("{percent} %"),
        (Some(percent), true) => {
            format!("{absolute} {} {percent} %", if rule.combine == Combine::Or { "or" } else { "and" })
        }
    }
}

/// The fee of a schedule for a gross amount, rounded half to even, with the sign of the gross amount.
#[must_use]
pub(super) fn scheduled_fee(schedule: &FeeSchedule, gross: Decimal, currency: Currency) -> Decimal {
    let magnitude = gross.abs();
    let tier = schedule.tiers.iter().filter(|tier| tier.from.0 <= magnitude).max_by_key(|tier| tier.from);
    let (flat, percent) = tier.map_or_else(
        || (schedule.flat.unwrap_or(Exact::ZERO).0, schedule.percent.unwrap_or(Exact::ZERO).0),
        |tier| (tier.flat.0, tier.percent.0),
    );
    let share = magnitude
        .units
        .checked_mul(percent.units)
        .map_or(Decimal::ZERO, |units| Decimal::new(units, magnitude.exponent + percent.exponent + 2));
    let mut fee = flat.checked_add(share).unwrap_or(flat).rounded(currency.exponent());
    if let Some(min) = schedule.min {
        fee = fee.max(min.0);
    }
    if let Some(max) = schedule.max {
        fee = fee.min(max.0);
    }
    if gross.units < 0 { Decimal::new(-fee.units, fee.exponent) } else { fee }
}
