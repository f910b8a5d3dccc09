//! Records in order of currency and amount, for looking up what is near an amount.

use stoa_kernel::currency::Currency;
use stoa_kernel::money::Decimal;

use super::gates::Plan;
use crate::side::{RecordNo, Side};

/// Records of one side in order of currency and amount.
pub(super) struct Nearby {
    exponent: u8,
    sorted: Vec<(Currency, i128, usize)>,
}

impl Nearby {
    /// The index of these records; `None` where the amounts of a pass have no bound, so that it would not help.
    pub(super) fn index(plan: &Plan<'_>, side: &Side, records: &[RecordNo]) -> Option<Self> {
        let exponent = records.iter().map(|&record| side.amount(record).exponent).max().unwrap_or(0);
        plan.reach(Decimal::ZERO, Currency::NONE, exponent)?;
        let mut sorted = records
            .iter()
            .enumerate()
            .map(|(place, &record)| {
                let units = side.amount(record).units_at(exponent)?;
                let units = if plan.ignores_sign() { units.abs() } else { units };
                Some((side.currency(record), units, place))
            })
            .collect::<Option<Vec<_>>>()?;
        sorted.sort_unstable();
        Some(Self { exponent, sorted })
    }

    /// The places of the records whose amount may fit that of a record of the other side.
    pub(super) fn of<'n>(
        &'n self,
        plan: &Plan<'_>,
        side: &Side,
        record: RecordNo,
    ) -> impl Iterator<Item = usize> + use<'n> {
        let currency = side.currency(record);
        let amount = side.amount(record);
        let exponent = self.exponent.max(amount.exponent);
        let factor = stoa_kernel::money::pow10(exponent - self.exponent);
        let bounds =
            amount.units_at(exponent).zip(plan.reach(amount, currency, exponent)).map(|(units, reach)| {
                let sought = plan.sought(units);
                // Rounded outwards to the exponent of the index.
                ((sought - reach).div_euclid(factor), (sought + reach).div_euclid(factor) + 1)
            });
        let (low, high) = bounds.unwrap_or((i128::MIN, i128::MAX));
        let from = self.sorted.partition_point(|&(other, units, _)| (other, units) < (currency, low));
        self.sorted
            .iter()
            .skip(from)
            .take_while(move |&&(other, units, _)| other == currency && units <= high)
            .map(|&(.., place)| place)
    }
}
