use std::collections::BTreeMap;

use serde::Serialize;
use stoa_kernel::currency::Currency;
use stoa_kernel::money::Decimal;

use super::SourceFile;
use crate::load::{BalanceGap, Facts, add_to};
use crate::matching::outcome::{Bounded, LinkStatus, Outcome, Reason, Standing, Sums};
use crate::row::ControlTotal;
use crate::side::Side;
use crate::source::SideName;

/// The numbers of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The version of this format: 1.
    pub version: u32,
    /// The name of the rules.
    pub rules: String,
    /// BLAKE3 hash of the rules, in hexadecimal.
    pub rules_hash: String,
    /// BLAKE3 hash of links, matches and exceptions, in hexadecimal; equal for equal decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions_hash: Option<String>,
    /// The files that were read.
    pub files: Vec<FileSummary>,
    /// The left side.
    pub left: SideSummary,
    /// The right side.
    pub right: SideSummary,
    /// Passes, in order.
    pub passes: Vec<PassSummary>,
    /// Open records and rejected rows by reason.
    pub exceptions: BTreeMap<&'static str, u64>,
    /// Lines in `links.csv` by status.
    pub links: BTreeMap<&'static str, u64>,
    /// Work that met a bound.
    pub bounded: Vec<Bounded>,
    /// Whether everything is matched, read and proven.
    pub clean: bool,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// The side that it belongs to.
    pub side: SideName,
    /// What was known before its first row.
    #[serde(flatten)]
    pub facts: Facts,
    /// Rows that became records.
    pub loaded: u64,
    /// Rows that an earlier file of the side had brought.
    pub known: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Oddities.
    pub warnings: u64,
    /// Control totals that do not agree.
    pub control_totals: Vec<ControlTotal>,
    /// Balances that do not agree.
    pub balance_gaps: Vec<BalanceGap>,
}

/// One side in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SideSummary {
    /// Records.
    pub records: u64,
    /// Records in confirmed matches.
    pub matched: u64,
    /// Records in suggested matches, which count as open.
    pub suggested: u64,
    /// Records without a confirmed match.
    pub open: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Rejected rows whose amount could not be read, so that they count in no sum.
    pub rejected_without_amount: u64,
    /// External ids that more than one record has.
    pub shared_ids: u64,
    /// Matched records in hundredths of a percent of records.
    pub matched_basis_points: u64,
    /// Sums by currency.
    pub sums: BTreeMap<String, Identity>,
}

/// The money identity of one side and currency: ingested = matched + open + rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What the files brought, summed as the rows were read.
    pub ingested: Decimal,
    /// Records in confirmed matches.
    pub matched: Decimal,
    /// Records without one, suggestions included.
    pub open: Decimal,
    /// Rejected rows whose amount could be read.
    pub rejected: Decimal,
    /// Matched in hundredths of a percent of what came in, both by magnitude.
    pub matched_value_basis_points: u64,
}

/// One pass in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassSummary {
    /// Its name.
    pub name: String,
    /// Whether its matches are confirmed, or suggested.
    pub confirmed: bool,
    /// Matches.
    pub matches: u64,
    /// Of those, with more than two records.
    pub groups: u64,
    /// Records on the left.
    pub left: u64,
    /// Records on the right.
    pub right: u64,
}

/// The sums do not add up: a bug, which must never pass for a result. Code `identity_violated`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {currency}: ingested {} is not matched {} + open {} + rejected {}", side.name(), identity.ingested, identity.matched, identity.open, identity.rejected)]
pub struct IdentityError {
    /// The side.
    pub side: SideName,
    /// The currency.
    pub currency: String,
    /// The sums.
    pub identity: Identity,
}

impl stoa_kernel::error::Coded for IdentityError {
    fn code(&self) -> &'static str {
        "identity_violated"
    }
}

impl Summary {
    /// Counts an outcome and asserts the money identity.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn of(
        outcome: &Outcome,
        sides: [&Side; 2],
        files: &[SourceFile],
        rules: &crate::rules::RuleSet,
    ) -> Result<Self, IdentityError> {
        let [left, right] = sides;
        let mut exceptions: BTreeMap<&'static str, u64> = BTreeMap::new();
        let left_summary = side_summary(outcome, SideName::Left, left, files, &mut exceptions)?;
        let right_summary = side_summary(outcome, SideName::Right, right, files, &mut exceptions)?;
        for file in files {
            if file.batch.rejected > 0 {
                *exceptions.entry(Reason::ParseError.name()).or_insert(0) += file.batch.rejected;
            }
            let gaps = file.batch.gaps.len() + file.batch.control_totals.len();
            if gaps > 0 {
                *exceptions.entry(Reason::BalanceGap.name()).or_insert(0) += gaps as u64;
            }
        }
        let clean = exceptions.is_empty()
            && left_summary.open == 0
            && right_summary.open == 0
            && outcome.bounded.is_empty();
        Ok(Self {
            version: 1,
            rules: rules.name.clone(),
            rules_hash: blake3::hash(serde_json::to_string(rules).unwrap_or_default().as_bytes())
                .to_hex()
                .to_string(),
            decisions_hash: None,
            files: files.iter().map(file_summary).collect(),
            left: left_summary,
            right: right_summary,
            passes: passes(outcome),
            exceptions,
            links: links(outcome),
            bounded: outcome.bounded.clone(),
            clean,
        })
    }
}

fn file_summary(file: &SourceFile) -> FileSummary {
    let batch = &file.batch;
    FileSummary {
        side: file.side,
        facts: file.facts.clone(),
        loaded: batch.loaded,
        known: batch.known,
        rejected: batch.rejected,
        warnings: batch.warnings.len() as u64,
        control_totals: batch.control_totals.clone(),
        balance_gaps: batch.gaps.clone(),
    }
}

fn basis_points(part: u128, whole: u128) -> u64 {
    part.saturating_mul(10_000)
        .checked_div(whole)
        .and_then(|share| u64::try_from(share).ok())
        .unwrap_or(10_000)
}

fn side_summary(
    outcome: &Outcome,
    name: SideName,
    side: &Side,
    files: &[SourceFile],
    exceptions: &mut BTreeMap<&'static str, u64>,
) -> Result<SideSummary, IdentityError> {
    let mut summary =
        SideSummary { records: side.len() as u64, shared_ids: side.shared_ids, ..SideSummary::default() };
    let (mut matched, mut open, mut matched_size, mut size) =
        (Sums::new(), Sums::new(), Sums::new(), Sums::new());
    let standings = if name == SideName::Left { &outcome.left } else { &outcome.right };
    let mut totals = Totals::default();
    for (record, &standing) in (0..).zip(standings) {
        let confirmed = outcome.pass_of(standing).map(|pass| outcome.is_confirmed(pass));
        match confirmed {
            Some(true) => summary.matched += 1,
            Some(false) => summary.suggested += 1,
            None => *exceptions.entry(outcome.reason(name, record).name()).or_insert(0) += 1,
        }
        totals.add(side.currency(record), side.amount(record), confirmed == Some(true));
    }
    totals.into_sums(&mut matched, &mut open, &mut matched_size, &mut size);
    summary.open = summary.records - summary.matched;
    summary.matched_basis_points = basis_points(summary.matched.into(), summary.records.into());
    let (mut ingested, mut rejected) = (Sums::new(), Sums::new());
    for file in files.iter().filter(|file| file.side == name) {
        summary.rejected += file.batch.rejected;
        summary.rejected_without_amount += file.batch.rejected_without_amount;
        for (&currency, &amount) in &file.batch.sums {
            add_to(&mut ingested, currency, amount);
        }
        for (&currency, &amount) in &file.batch.rejected_sums {
            add_to(&mut ingested, currency, amount);
            add_to(&mut rejected, currency, amount);
        }
    }
    let of = |sums: &Sums, currency: Currency| {
        sums.get(&currency).copied().unwrap_or(Decimal::new(0, currency.exponent()))
    };
    for &currency in ingested.keys().chain(matched.keys()).chain(open.keys()) {
        let (part, whole) = (of(&matched_size, currency), of(&size, currency));
        let exponent = part.exponent.max(whole.exponent);
        let units = |amount: Decimal| amount.units_at(exponent).unwrap_or(0).unsigned_abs();
        let identity = Identity {
            ingested: of(&ingested, currency),
            matched: of(&matched, currency),
            open: of(&open, currency),
            rejected: of(&rejected, currency),
            matched_value_basis_points: basis_points(units(part), units(whole)),
        };
        let sum =
            identity.matched.checked_add(identity.open).and_then(|sum| sum.checked_add(identity.rejected));
        if sum != Some(identity.ingested) {
            return Err(IdentityError { side: name, currency: currency.to_string(), identity });
        }
        summary.sums.insert(currency.to_string(), identity);
    }
    Ok(summary)
}

/// Running sums by currency and exponent: matched, open, and both by magnitude.
#[derive(Default)]
struct Totals {
    rows: Vec<((Currency, u8), [i128; 4])>,
}

impl Totals {
    #[inline]
    fn add(&mut self, currency: Currency, amount: Decimal, is_matched: bool) {
        let key = (currency, amount.exponent);
        let at = self.rows.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.rows.push((key, [0; 4]));
            self.rows.len() - 1
        });
        if let Some((_, [matched, open, matched_size, size])) = self.rows.get_mut(at) {
            *(if is_matched { &mut *matched } else { open }) += amount.units;
            *size += amount.units.abs();
            *matched_size += if is_matched { amount.units.abs() } else { 0 };
        }
    }

    fn into_sums(self, matched: &mut Sums, open: &mut Sums, matched_size: &mut Sums, size: &mut Sums) {
        for ((currency, exponent), [a, b, c, d]) in self.rows {
            for (sums, units) in
                [(&mut *matched, a), (&mut *open, b), (&mut *matched_size, c), (&mut *size, d)]
            {
                add_to(sums, currency, Decimal::new(units, exponent));
            }
        }
    }
}

fn passes(outcome: &Outcome) -> Vec<PassSummary> {
    let mut passes: Vec<PassSummary> = outcome
        .passes
        .iter()
        .map(|(name, confirmed)| PassSummary {
            name: name.clone(),
            confirmed: *confirmed,
            matches: 0,
            groups: 0,
            left: 0,
            right: 0,
        })
        .collect();
    for standing in &outcome.left {
        if let Standing::Pair(_, pass) = standing
            && let Some(pass) = passes.get_mut(usize::from(*pass))
        {
            pass.matches += 1;
            pass.left += 1;
            pass.right += 1;
        }
    }
    for group in &outcome.groups {
        if let Some(pass) = passes.get_mut(usize::from(group.pass)) {
            pass.matches += 1;
            pass.groups += 1;
            pass.left += group.left.len() as u64;
            pass.right += group.right.len() as u64;
        }
    }
    passes
}

fn links(outcome: &Outcome) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut count = |status: LinkStatus, by: u64| *counts.entry(status.name()).or_insert(0) += by;
    for standing in &outcome.left {
        if let Standing::Pair(_, pass) = standing {
            count(if outcome.is_confirmed(*pass) { LinkStatus::Matched } else { LinkStatus::Suggested }, 1);
        }
    }
    for group in &outcome.groups {
        let lines = (group.left.len() * group.right.len()) as u64;
        if lines > 0 {
            count(
                if outcome.is_confirmed(group.pass) { LinkStatus::Group } else { LinkStatus::Suggested },
                lines,
            );
        }
    }
    for link in &outcome.links {
        count(link.status, 1);
    }
    counts
}
