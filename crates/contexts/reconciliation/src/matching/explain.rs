//! Why this match, why not the runner-up, and why an open record has no partner.

use std::fmt::Write as _;
use std::io;

use stoa_kernel::limits::CANDIDATES_SHOWN;
use stoa_kernel::money::Decimal;

use super::gates::{Eyes, Plan, shown};
use super::miss::Miss;
use super::outcome::{Outcome, Standing};
use super::rates::Rates;
use crate::rules::RuleSet;
use crate::side::{RecordNo, Side};
use crate::source::SideName;

/// How many records of the other side are compared when the nearest ones are looked for.
const COMPARED_MAX: usize = 2_000_000;

/// Finds records by external id, by fingerprint, or by line; at most ten on each side.
///
/// # Errors
/// Of the scratch storage.
pub fn find(
    sides: [&Side; 2],
    wanted: &str,
    only: Option<SideName>,
) -> io::Result<Vec<(SideName, RecordNo)>> {
    let line = wanted
        .strip_prefix("line ")
        .or_else(|| wanted.strip_prefix('#'))
        .unwrap_or(wanted)
        .trim()
        .parse::<u64>()
        .ok();
    let (mut by_id, mut by_line) = (Vec::new(), Vec::new());
    for (name, side) in [SideName::Left, SideName::Right].into_iter().zip(sides) {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let mut cursor = side.cursor();
        let mut id = String::new();
        for record in 0..u32::try_from(side.len()).unwrap_or(u32::MAX) {
            id.clear();
            cursor.id_into(record, &mut id)?;
            if id == wanted && by_id.len() < 10 {
                by_id.push((name, record));
            }
            if line.is_some() && by_line.len() < 10 && Some(cursor.place(record)?.line) == line {
                by_line.push((name, record));
            }
        }
    }
    Ok(if by_id.is_empty() { by_line } else { by_id })
}

/// Explains one record, as text.
///
/// # Errors
/// Of the scratch storage.
pub fn explain(
    outcome: &Outcome,
    sides: [&Side; 2],
    rules: &RuleSet,
    rates: &Rates,
    name: SideName,
    record: RecordNo,
) -> io::Result<String> {
    let plans: Vec<Plan<'_>> =
        (0u8..).zip(&rules.passes).map(|(number, pass)| Plan::compile(number, pass, rules, rates)).collect();
    let mut text = String::new();
    let teller = Teller { outcome, sides, plans: &plans };
    teller.record(&mut text, name, record)?;
    match outcome.standing(name, record) {
        Standing::Pair(partner, pass) => teller.pair(&mut text, name, record, partner, pass)?,
        Standing::Group(number) => teller.group(&mut text, number)?,
        Standing::Open => teller.open(&mut text, name, record)?,
    }
    Ok(text)
}

struct Teller<'a> {
    outcome: &'a Outcome,
    sides: [&'a Side; 2],
    plans: &'a [Plan<'a>],
}

fn oriented(name: SideName, record: RecordNo, other: RecordNo) -> (RecordNo, RecordNo) {
    if name == SideName::Left { (record, other) } else { (other, record) }
}

impl<'a> Teller<'a> {
    fn side(&self, name: SideName) -> &'a Side {
        let [left, right] = self.sides;
        if name == SideName::Left { left } else { right }
    }

    fn record(&self, text: &mut String, name: SideName, record: RecordNo) -> io::Result<()> {
        let side = self.side(name);
        let mut cursor = side.cursor();
        let id = cursor.id(record)?;
        let whole = cursor.record(record)?;
        let _ = writeln!(text, "{} {id}  {}", name.name(), whole.place);
        let _ = writeln!(text, "  {} on {}", shown(whole.amount, whole.currency), whole.booked);
        if !whole.references.is_empty() {
            let _ = writeln!(text, "  references: {}", whole.references.join(", "));
        }
        for (label, value) in [("counterparty", &whole.counterparty), ("text", &whole.text)] {
            if let Some(value) = value {
                let _ = writeln!(text, "  {label}: {value}");
            }
        }
        for flag in &whole.flags {
            let _ = writeln!(
                text,
                "  note: {}",
                match flag {
                    crate::record::Flag::MoreDecimalsThanCurrency =>
                        "the amount has more decimals than its currency; they are kept",
                    crate::record::Flag::DateClamped =>
                        "the calendar has no such day; the last day of the month was taken",
                }
            );
        }
        Ok(())
    }

    fn pass_name(&self, pass: u8) -> &str {
        self.outcome.passes.get(usize::from(pass)).map_or("", |(name, _)| name)
    }

    fn pair(
        &self,
        text: &mut String,
        name: SideName,
        record: RecordNo,
        partner: RecordNo,
        pass: u8,
    ) -> io::Result<()> {
        let state = if self.outcome.is_confirmed(pass) { "matched" } else { "suggested" };
        let _ = writeln!(text, "\n{state} one to one in pass \"{}\" with", self.pass_name(pass));
        self.record(text, name.other(), partner)?;
        let Some(plan) = self.plans.get(usize::from(pass)) else {
            let _ = writeln!(text, "  it was confirmed before this run");
            return Ok(());
        };
        let (left, right) = oriented(name, record, partner);
        self.evidence(text, plan, left, right)?;
        let (runner_up, compared) = self.nearest(plan, name, record, Some(partner))?;
        match runner_up.first() {
            Some((rival, Ok(cost))) => {
                let own = self.cost(plan, left, right)?;
                let _ = writeln!(
                    text,
                    "  runner-up: {} (score {}), margin {}",
                    self.side(name.other()).cursor().id(*rival)?,
                    1000 - cost / 1000,
                    cost.saturating_sub(own) / 1000
                );
                if *cost == own {
                    let _ = writeln!(
                        text,
                        "  tie-break: twins, equal in everything but their id; the lowest ids are paired"
                    );
                }
            }
            Some((rival, Err(miss))) => {
                let _ = writeln!(
                    text,
                    "  nearest other: {}, which fails: {miss}",
                    self.side(name.other()).cursor().id(*rival)?
                );
            }
            None => {
                let _ = writeln!(text, "  no other record comes near ({compared} compared)");
            }
        }
        Ok(())
    }

    fn cost(&self, plan: &Plan<'_>, left: RecordNo, right: RecordNo) -> io::Result<u32> {
        let [l, r] = self.sides;
        Ok(plan
            .check(&mut Eyes::on(l, r), self.sides, left, right)?
            .map_or(super::gates::COST_MAX, |fit| fit.cost))
    }

    fn evidence(
        &self,
        text: &mut String,
        plan: &Plan<'_>,
        left: RecordNo,
        right: RecordNo,
    ) -> io::Result<()> {
        let [l, r] = self.sides;
        let keys = [
            plan.shown_key(SideName::Left, &mut l.cursor(), left)?,
            plan.shown_key(SideName::Right, &mut r.cursor(), right)?,
        ];
        let [left_key, right_key] = &keys;
        for (part, (a, b)) in plan.pass.key.iter().zip(left_key.iter().zip(right_key)) {
            let field = if part.left == part.right {
                part.left.clone()
            } else {
                format!("{} / {}", part.left, part.right)
            };
            let _ = writeln!(text, "  key {field}: \"{a}\" / \"{b}\"");
        }
        match plan.check(&mut Eyes::on(l, r), self.sides, left, right)? {
            Err(miss) => {
                let _ = writeln!(text, "  alone the pair would fail: {miss}");
            }
            Ok(fit) => {
                let _ = writeln!(
                    text,
                    "  amount: {} / {}, difference {}",
                    shown(l.amount(left), l.currency(left)),
                    shown(r.amount(right), r.currency(right)),
                    fit.delta
                );
                if let Some(fee) = fit.fee {
                    let _ = writeln!(text, "  fee: {fee}");
                }
                if let Some(rate) = fit.rate {
                    let _ = writeln!(
                        text,
                        "  rate: {} of {}{}, rounded half to even",
                        rate.rate,
                        rate.day,
                        if rate.inverse { " (inverse)" } else { "" }
                    );
                }
                if let (Some(days), Some((from, to))) = (fit.days, plan.window()) {
                    let _ = writeln!(
                        text,
                        "  date: {} / {}, {days} days, allowed {from} to {to}",
                        plan.day(SideName::Left, l, left),
                        plan.day(SideName::Right, r, right)
                    );
                }
                for (rule, likeness) in plan.pass.text.iter().zip(&fit.likeness) {
                    let _ = writeln!(
                        text,
                        "  text {} / {}: {likeness} of 1000, at least {}",
                        rule.left, rule.right, rule.at_least
                    );
                }
                let _ = writeln!(text, "  score: {} of 1000", fit.score());
            }
        }
        Ok(())
    }

    fn group(&self, text: &mut String, number: u32) -> io::Result<()> {
        let Some(group) = self.outcome.groups.get(number as usize) else { return Ok(()) };
        let state = if self.outcome.is_confirmed(group.pass) { "matched" } else { "suggested" };
        let _ = writeln!(
            text,
            "\n{state} as a group ({}) in pass \"{}\"",
            group.kind.name().replace('_', " "),
            self.pass_name(group.pass)
        );
        let mut sums = Vec::new();
        for (name, records) in [(SideName::Left, &group.left), (SideName::Right, &group.right)] {
            let side = self.side(name);
            let mut sum = Decimal::ZERO;
            for &record in records {
                sum = sum.checked_add(side.amount(record)).unwrap_or(sum);
                let _ = writeln!(
                    text,
                    "  {} {}  {} on {}",
                    name.name(),
                    side.cursor().id(record)?,
                    shown(side.amount(record), side.currency(record)),
                    side.booked(record)
                );
            }
            sums.push(sum);
        }
        if let [left, right] = sums.as_slice() {
            let residual = left.checked_sub(*right).unwrap_or(*left);
            let _ = writeln!(text, "  sums {left} / {right}, residual {residual}");
        }
        let _ = writeln!(text, "  no other subset fits as well: a second one would have made it ambiguous");
        Ok(())
    }

    fn open(&self, text: &mut String, name: SideName, record: RecordNo) -> io::Result<()> {
        let _ = writeln!(text, "\nopen: {}", self.outcome.reason(name, record).name());
        let diagnosis = self.outcome.diagnoses.get(&(name, record));
        if let Some(diagnosis) = diagnosis {
            if let Some(pass) = diagnosis.pass {
                let _ = writeln!(text, "  in pass \"{}\": {}", self.pass_name(pass), diagnosis.detail);
            }
            for &candidate in diagnosis.candidates.iter().take(CANDIDATES_SHOWN) {
                self.record(text, name.other(), candidate)?;
            }
        }
        for plan in self.plans {
            let _ = writeln!(text, "\nnearest in pass \"{}\"", plan.pass.name);
            let (nearest, compared) = self.nearest(plan, name, record, None)?;
            if nearest.is_empty() {
                let _ = writeln!(text, "  nothing shares its key ({compared} compared)");
            }
            for (candidate, result) in nearest {
                let id = self.side(name.other()).cursor().id(candidate)?;
                let taken = match self.outcome.standing(name.other(), candidate) {
                    Standing::Open => String::new(),
                    Standing::Pair(partner, pass) => {
                        let partner = self.side(name).cursor().id(partner)?;
                        format!("; it is matched to {partner} in pass \"{}\"", self.pass_name(pass))
                    }
                    Standing::Group(_) => "; it is matched in a group".to_owned(),
                };
                let _ = match result {
                    Ok(cost) => {
                        writeln!(text, "  {id}: passes all gates, score {}{taken}", 1000 - cost / 1000)
                    }
                    Err(miss) => writeln!(text, "  {id}: first predicate that fails: {miss}{taken}"),
                };
            }
        }
        Ok(())
    }

    /// The records of the other side that come nearest in a pass: those of the same key by what they fail, then by amount
    /// and date. Also how many were compared.
    fn nearest(
        &self,
        plan: &Plan<'_>,
        name: SideName,
        record: RecordNo,
        except: Option<RecordNo>,
    ) -> io::Result<(Vec<Near>, usize)> {
        let (own, other) = (self.side(name), self.side(name.other()));
        let mut keys = Vec::new();
        let mut folded = String::new();
        let mut cursor = own.cursor();
        let (row, profile) = cursor.row(record)?;
        plan.key(name).hashes(row, profile, &mut folded, |hash| keys.push(hash));
        let mut near: Vec<((usize, Decimal, u32), RecordNo)> = Vec::new();
        let mut candidates = other.cursor();
        let compared = other.len().min(COMPARED_MAX);
        for candidate in 0..u32::try_from(compared).unwrap_or(u32::MAX) {
            if Some(candidate) == except {
                continue;
            }
            let (row, profile) = candidates.row(candidate)?;
            let mut shares = false;
            plan.key(name.other()).hashes(row, profile, &mut folded, |hash| shares |= keys.contains(&hash));
            if !shares {
                continue;
            }
            let delta = own
                .amount(record)
                .checked_sub(other.amount(candidate))
                .map_or(Decimal::new(i128::MAX, 0), Decimal::abs);
            let days = own.booked(record).since(other.booked(candidate)).unsigned_abs();
            near.push(((0, delta, days), candidate));
            if near.len() > 4_096 {
                near.sort_unstable();
                near.truncate(64);
            }
        }
        near.sort_unstable();
        near.truncate(64);
        let [l, r] = self.sides;
        let mut eyes = Eyes::on(l, r);
        let mut judged = Vec::new();
        for (rank, candidate) in near {
            let (left, right) = oriented(name, record, candidate);
            let result = plan.check(&mut eyes, self.sides, left, right)?.map(|fit| fit.cost);
            judged.push((result.is_err(), *result.as_ref().unwrap_or(&0), rank, candidate, result));
        }
        judged.sort_by(|a, b| (a.0, a.1, &a.2, a.3).cmp(&(b.0, b.1, &b.2, b.3)));
        let nearest = judged
            .into_iter()
            .take(CANDIDATES_SHOWN)
            .map(|(.., candidate, result)| (candidate, result))
            .collect();
        Ok((nearest, compared))
    }
}

/// A candidate, and its cost or the first gate that it fails.
type Near = (RecordNo, Result<u32, Miss>);
