//! Why a record is open: after all passes, every open record gets a reason from the closed list, and what came nearest.

use std::collections::BTreeMap;
use std::io;

use stoa_kernel::limits;
use stoa_kernel::money::Decimal;

use super::gates::{Eyes, Plan, shown};
use super::key::{Key, Selector};
use super::miss::Miss;
use super::outcome::{Diagnosis, Link, LinkStatus, Outcome, Reason, Standing};
use super::pass::open_blocks;
use crate::field::Field;
use crate::rules::Cardinality;
use crate::side::{RecordNo, Side};
use crate::source::SideName;

/// The most lines that one block adds as conflicts: each left record with all, then only with the nearest.
const CONFLICT_LINKS_MAX: usize = 400;

/// Fills in what is not yet known of open records.
pub(super) fn run(outcome: &mut Outcome, plans: &[Plan<'_>], sides: [&Side; 2]) -> io::Result<()> {
    for plan in plans.iter().filter(|plan| plan.within.is_none() && plan.key(SideName::Left).identifies()) {
        let open = taking_part(open_records(outcome, true), plan, sides)?;
        for (lefts, rights) in
            open_blocks(sides, [plan.key(SideName::Left), plan.key(SideName::Right)], [&open.0, &open.1])?
        {
            conflicts(outcome, plan, sides, &lefts, &rights)?;
        }
    }
    for plan in plans.iter().filter(|plan| plan.within.is_none() && plan.key(SideName::Left).identifies()) {
        let without_currency = |side| {
            Key::of(&plan.pass.key, side, false, |selector: &Selector| {
                *selector != Selector::Field(Field::Currency)
            })
        };
        let open = taking_part(open_records(outcome, true), plan, sides)?;
        let keys = [without_currency(SideName::Left), without_currency(SideName::Right)];
        let [left_key, right_key] = &keys;
        for (lefts, rights) in open_blocks(sides, [left_key, right_key], [&open.0, &open.1])? {
            currency_mismatches(outcome, plan, sides, &lefts, &rights);
        }
    }
    same_amounts(outcome, plans, sides)?;
    outcome.links.sort_unstable();
    outcome.links.dedup();
    Ok(())
}

/// Open records of both sides; `unexplained`: only those without a diagnosis.
fn open_records(outcome: &Outcome, unexplained: bool) -> (Vec<RecordNo>, Vec<RecordNo>) {
    let of = |side: SideName, standings: &[Standing]| {
        (0..)
            .zip(standings)
            .filter(|&(record, standing)| {
                *standing == Standing::Open
                    && !(unexplained && outcome.diagnoses.contains_key(&(side, record)))
            })
            .map(|(record, _)| record)
            .collect()
    };
    (of(SideName::Left, &outcome.left), of(SideName::Right, &outcome.right))
}

/// Of open records those that a pass looks at: what its conditions leave out is no candidate for it.
fn taking_part(
    open: (Vec<RecordNo>, Vec<RecordNo>),
    plan: &Plan<'_>,
    [left, right]: [&Side; 2],
) -> io::Result<(Vec<RecordNo>, Vec<RecordNo>)> {
    let keep = |name: SideName, side: &Side, records: Vec<RecordNo>| -> io::Result<Vec<RecordNo>> {
        if plan.takes_all(name) {
            return Ok(records);
        }
        let (mut cursor, mut folded) = (side.cursor(), String::new());
        let mut kept = Vec::new();
        for record in records {
            let (row, profile) = cursor.row(record)?;
            if plan.takes(name, row, profile, side.amount(record), &mut folded) {
                kept.push(record);
            }
        }
        Ok(kept)
    };
    Ok((keep(SideName::Left, left, open.0)?, keep(SideName::Right, right, open.1)?))
}

fn distance(sides: [&Side; 2], left: RecordNo, right: RecordNo) -> (Decimal, u32) {
    let [l, r] = sides;
    let delta = l.amount(left).checked_sub(r.amount(right)).map_or(Decimal::new(i128::MAX, 0), Decimal::abs);
    (delta, r.booked(right).since(l.booked(left)).unsigned_abs())
}

/// Records on both sides that share the key of a pass and are open all the same.
fn conflicts(
    outcome: &mut Outcome,
    plan: &Plan<'_>,
    sides: [&Side; 2],
    lefts: &[RecordNo],
    rights: &[RecordNo],
) -> io::Result<()> {
    let [l, r] = sides;
    let mut eyes = Eyes::on(l, r);
    let all = lefts.len().saturating_mul(rights.len()) <= CONFLICT_LINKS_MAX;
    let gap = split_gap(plan, sides, lefts, rights);
    let mut nearest_of_right: BTreeMap<RecordNo, Vec<RecordNo>> = BTreeMap::new();
    for &left in lefts {
        let mut near: Vec<RecordNo> =
            if all { rights.to_vec() } else { rights.iter().copied().take(CONFLICT_LINKS_MAX).collect() };
        near.sort_by_key(|&right| (distance(sides, left, right), right));
        near.truncate(if all { usize::MAX } else { limits::CANDIDATES_SHOWN });
        for &right in &near {
            outcome.links.push(Link { left, right, status: LinkStatus::Conflict });
            nearest_of_right.entry(right).or_default().push(left);
        }
        near.truncate(limits::CANDIDATES_SHOWN);
        let Some(&nearest) = near.first() else { continue };
        let miss = plan.check(&mut eyes, sides, left, nearest)?;
        explain(outcome, SideName::Left, left, near, miss.err().as_ref(), plan, gap.as_ref());
    }
    for &right in rights {
        let mut near = nearest_of_right.remove(&right).unwrap_or_default();
        near.sort_by_key(|&left| (distance(sides, left, right), left));
        near.truncate(limits::CANDIDATES_SHOWN);
        let Some(&nearest) = near.first().or_else(|| lefts.first()) else { continue };
        let miss = plan.check(&mut eyes, sides, nearest, right)?;
        explain(outcome, SideName::Right, right, near, miss.err().as_ref(), plan, gap.as_ref());
    }
    Ok(())
}

/// The gap of a split whose parts do not reach the whole: part payments, or a part that was withdrawn.
fn split_gap(plan: &Plan<'_>, sides: [&Side; 2], lefts: &[RecordNo], rights: &[RecordNo]) -> Option<String> {
    let [l, r] = sides;
    let (cardinality, whole, whole_side, parts, part_side) = match (lefts, rights) {
        (&[left], parts) if parts.len() > 1 => (Cardinality::OneToMany, left, l, parts, r),
        (parts, &[right]) if parts.len() > 1 => (Cardinality::ManyToOne, right, r, parts, l),
        _ => return None,
    };
    if !plan.pass.cardinality.contains(&cardinality) {
        return None;
    }
    let currency = whole_side.currency(whole);
    let sum = parts.iter().try_fold(Decimal::ZERO, |sum, &part| sum.checked_add(part_side.amount(part)))?;
    let whole = whole_side.amount(whole);
    let gap = whole.checked_sub(sum)?;
    // Less than the whole and of its sign: something is still to come.
    let incomplete = gap.units != 0 && sum.units.signum() == whole.units.signum() && sum.abs() < whole.abs();
    incomplete.then(|| {
        format!(
            "{} parts add up to {}, {} are missing of {}",
            parts.len(),
            shown(sum, currency),
            shown(gap, currency),
            shown(whole, currency)
        )
    })
}

fn explain(
    outcome: &mut Outcome,
    side: SideName,
    record: RecordNo,
    candidates: Vec<RecordNo>,
    miss: Option<&Miss>,
    plan: &Plan<'_>,
    gap: Option<&String>,
) {
    let (reason, detail) = match (gap, miss) {
        (Some(gap), _) => (Reason::SplitIncomplete, gap.clone()),
        (None, Some(miss)) => (miss.reason(), miss.to_string()),
        (None, None) => (Reason::Ambiguous, "it fits, and so do others".to_owned()),
    };
    outcome.diagnoses.entry((side, record)).or_insert(Diagnosis {
        reason,
        pass: Some(plan.number),
        candidates,
        detail,
    });
}

fn currency_mismatches(
    outcome: &mut Outcome,
    plan: &Plan<'_>,
    sides: [&Side; 2],
    lefts: &[RecordNo],
    rights: &[RecordNo],
) {
    let [l, r] = sides;
    let mut note = |side: SideName, record: RecordNo, candidate: RecordNo| {
        let (left, right) = if side == SideName::Left { (record, candidate) } else { (candidate, record) };
        let detail = format!("{} is not {}", l.currency(left), r.currency(right));
        let diagnosis = Diagnosis {
            reason: Reason::CurrencyMismatch,
            pass: Some(plan.number),
            candidates: vec![candidate],
            detail,
        };
        outcome.diagnoses.entry((side, record)).or_insert(diagnosis);
    };
    for &left in lefts {
        if let Some(&right) =
            rights.iter().take(CONFLICT_LINKS_MAX).find(|&&right| r.currency(right) != l.currency(left))
        {
            note(SideName::Left, left, right);
        }
    }
    for &right in rights {
        if let Some(&left) =
            lefts.iter().take(CONFLICT_LINKS_MAX).find(|&&left| r.currency(right) != l.currency(left))
        {
            note(SideName::Right, right, left);
        }
    }
}

/// For rules that go by amount and date: the same amount on another day, with the other sign, or in another currency.
fn same_amounts(outcome: &mut Outcome, plans: &[Plan<'_>], sides: [&Side; 2]) -> io::Result<()> {
    let Some(plan) = plans.iter().find(|plan| {
        plan.within.is_none() && plan.window().is_some() && !plan.key(SideName::Left).identifies()
    }) else {
        return Ok(());
    };
    let open = taking_part(open_records(outcome, true), plan, sides)?;
    let [l, r] = sides;
    let magnitude = |side: &Side, record: RecordNo| {
        let amount = side.amount(record).abs().trimmed(0);
        (amount.units, amount.exponent)
    };
    let index = |side: &Side, records: &[RecordNo]| {
        let mut by_amount: BTreeMap<(i128, u8), Vec<RecordNo>> = BTreeMap::new();
        for &record in records {
            by_amount.entry(magnitude(side, record)).or_default().push(record);
        }
        by_amount
    };
    for (side, own, own_records, other, other_records) in
        [(SideName::Left, l, &open.0, r, &open.1), (SideName::Right, r, &open.1, l, &open.0)]
    {
        let by_amount = index(other, other_records);
        for &record in own_records {
            let Some(same) = by_amount.get(&magnitude(own, record)).filter(|_| own.amount(record).units != 0)
            else {
                continue;
            };
            let mut near: Vec<RecordNo> = same.iter().copied().take(CONFLICT_LINKS_MAX).collect();
            near.sort_by_key(|&candidate| {
                (other.booked(candidate).since(own.booked(record)).unsigned_abs(), candidate)
            });
            near.truncate(limits::CANDIDATES_SHOWN);
            let Some(&nearest) = near.first() else { continue };
            let (left, right) = if side == SideName::Left { (record, nearest) } else { (nearest, record) };
            let days =
                plan.check_days(plan.day(SideName::Left, l, left), plan.day(SideName::Right, r, right));
            let (lc, rc) = (l.currency(left), r.currency(right));
            let miss = if lc != rc {
                Miss::Currency { left: lc, right: rc }
            } else if l.amount(left) != r.amount(right) {
                Miss::Sign { left: l.amount(left), right: r.amount(right) }
            } else if let Err(miss) = days {
                miss
            } else {
                continue;
            };
            // Another currency or sign says something only when the day fits.
            if !matches!(miss, Miss::Date { .. })
                && plan
                    .check_days(plan.day(SideName::Left, l, left), plan.day(SideName::Right, r, right))
                    .is_err()
            {
                continue;
            }
            let diagnosis = Diagnosis {
                reason: miss.reason(),
                pass: Some(plan.number),
                candidates: near,
                detail: miss.to_string(),
            };
            outcome.diagnoses.entry((side, record)).or_insert(diagnosis);
        }
    }
    Ok(())
}
