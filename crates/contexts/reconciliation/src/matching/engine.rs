//! The engine: runs the passes in order and puts together what they decided.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::diagnose;
use super::found::{Found, Tie};
use super::gates::Plan;
use super::outcome::{Bounded, Diagnosis, Link, LinkStatus, Outcome, Reason, Standing};
use super::pass::{self, Division};
use super::rates::Rates;
use crate::rules::{Ambiguity, Cardinality, PassOutcome, RuleSet, SignRule};
use crate::side::{RecordNo, Side};
use crate::source::SideName;

/// How an execution runs. Nothing here changes its result.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Threads to use, at least 1.
    pub threads: usize,
    /// Partitions to divide blocks into; by default as many as keep each in the processor's cache.
    pub partitions: Option<usize>,
}

/// Why an execution could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Temporary storage failed.
    #[error("temporary storage failed")]
    Io(#[from] io::Error),
    /// Too many passes to number.
    #[error("a rule set has at most 100 passes")]
    TooManyPasses,
    /// Somebody asked to stop.
    #[error("the execution was stopped")]
    Stopped,
}

/// Runs rules over two sides.
///
/// `matched`: pairs that were confirmed before; they stay as they are and take no part.
/// `progress` is told the pass that begins; `stop` is looked at between passes.
///
/// # Errors
/// [`EngineError`].
pub fn run(
    sides: [&Side; 2],
    rules: &RuleSet,
    rates: &Rates,
    matched: &[(RecordNo, RecordNo)],
    options: RunOptions,
    stop: &AtomicBool,
    mut progress: impl FnMut(&str),
) -> Result<Outcome, EngineError> {
    let [left, right] = sides;
    let mut outcome = Outcome {
        left: vec![Standing::Open; left.len()],
        right: vec![Standing::Open; right.len()],
        ..Outcome::default()
    };
    let mut taken = [vec![false; left.len()], vec![false; right.len()]];
    let plans = plans(rules, rates)?;
    for pass in &rules.passes {
        outcome.passes.push((pass.name.clone(), pass.outcome == PassOutcome::Confirmed));
    }
    outcome.fee_passes =
        plans.iter().filter(|plan| plan.pass.amount.fee.is_some()).map(|plan| plan.number).collect();
    let opposite = |plan: &&Plan<'_>| plan.pass.amount.sign == SignRule::Opposite;
    outcome.opposite_passes = plans.iter().filter(opposite).map(|plan| plan.number).collect();
    if !matched.is_empty() {
        let number = u8::try_from(outcome.passes.len()).map_err(|_| EngineError::TooManyPasses)?;
        outcome.passes.push(("confirmed before".to_owned(), true));
        let found = Found { pairs: matched.to_vec(), ..Found::default() };
        apply(&mut outcome, &mut taken, number, None, found);
    }
    for plan in &plans {
        if stop.load(Ordering::Relaxed) {
            return Err(EngineError::Stopped);
        }
        progress(&plan.pass.name);
        let [left_taken, right_taken] = &taken;
        let open = left_taken.len() + right_taken.len();
        // Results do not depend on it; about 16 thousand records a side fit the second-level cache.
        let partitions =
            options.partitions.unwrap_or_else(|| (open / 32_768 + 1).next_power_of_two().min(1_024)).max(1);
        let division = Division { threads: options.threads.max(1), partitions };
        let found = pass::run(plan, sides, [left_taken, right_taken], division)?;
        apply(&mut outcome, &mut taken, plan.number, Some(plan), found);
    }
    drop(taken);
    progress("reasons");
    settle(&mut outcome);
    diagnose::run(&mut outcome, &plans, sides)?;
    Ok(outcome)
}

/// One plan for each pass, and one more for each kind of reversal in it, which goes first.
fn plans<'r>(rules: &'r RuleSet, rates: &'r Rates) -> Result<Vec<Plan<'r>>, EngineError> {
    let mut plans = Vec::new();
    for (number, pass) in rules.passes.iter().enumerate() {
        let number =
            u8::try_from(number).ok().filter(|&number| number < 100).ok_or(EngineError::TooManyPasses)?;
        let reversals =
            [(Cardinality::ReversalLeft, SideName::Left), (Cardinality::ReversalRight, SideName::Right)];
        for (cardinality, side) in reversals {
            if pass.cardinality.contains(&cardinality) {
                plans.push(Plan::compile(number, pass, rules, rates).reversals(side));
            }
        }
        if pass
            .cardinality
            .iter()
            .any(|cardinality| reversals.iter().all(|(reversal, _)| reversal != cardinality))
        {
            plans.push(Plan::compile(number, pass, rules, rates));
        }
    }
    Ok(plans)
}

fn set<T: Copy>(list: &mut [T], record: RecordNo, value: T) {
    if let Some(slot) = list.get_mut(record as usize) {
        *slot = value;
    }
}

/// Writes what a pass found into the outcome and marks its records as taken.
fn apply(
    outcome: &mut Outcome,
    taken: &mut [Vec<bool>; 2],
    number: u8,
    plan: Option<&Plan<'_>>,
    mut found: Found,
) {
    let [left_taken, right_taken] = taken;
    for (left, right) in found.pairs {
        set(&mut outcome.left, left, Standing::Pair(right, number));
        set(&mut outcome.right, right, Standing::Pair(left, number));
        set(left_taken, left, true);
        set(right_taken, right, true);
    }
    found.groups.sort_unstable_by(|a, b| (&a.left, &a.right).cmp(&(&b.left, &b.right)));
    for group in found.groups {
        let index = u32::try_from(outcome.groups.len()).unwrap_or(u32::MAX);
        for &record in &group.left {
            set(&mut outcome.left, record, Standing::Group(index));
            set(left_taken, record, true);
        }
        for &record in &group.right {
            set(&mut outcome.right, record, Standing::Group(index));
            set(right_taken, record, true);
        }
        outcome.groups.push(group);
    }
    let Some(plan) = plan else { return };
    let suggest_all = plan.pass.ambiguity == Ambiguity::SuggestAll;
    found.ties.sort_unstable_by(|a, b| (&a.left, &a.right).cmp(&(&b.left, &b.right)));
    for tie in found.ties {
        note_tie(outcome, number, &tie, suggest_all);
        if suggest_all {
            tie.left.iter().for_each(|&record| set(left_taken, record, true));
            tie.right.iter().for_each(|&record| set(right_taken, record, true));
        }
    }
    found.copies.sort_unstable_by_key(|copy| (copy.side, copy.record));
    for copy in found.copies {
        let candidates = partners(outcome, copy.side, copy.of);
        let detail = "equal in key, currency and amount to a record that is matched".to_owned();
        let diagnosis = Diagnosis { reason: Reason::Duplicate, pass: Some(number), candidates, detail };
        outcome.diagnoses.entry((copy.side, copy.record)).or_insert(diagnosis);
    }
    found.exhausted.sort_unstable();
    for (side, record) in found.exhausted {
        let rule = &plan.pass.groups;
        let detail = format!(
            "budget: the search for parts ended at {} candidates or {} nodes; it may have a solution",
            rule.candidates_max, rule.nodes_max
        );
        let diagnosis =
            Diagnosis { reason: Reason::SplitIncomplete, pass: Some(number), candidates: Vec::new(), detail };
        outcome.diagnoses.entry((side, record)).or_insert(diagnosis);
    }
    found.oversized.sort_unstable();
    for (left, right) in found.oversized {
        let message = format!(
            "a block of {left} × {right} records was not searched: it has more than {} candidate pairs; add a field to the key",
            stoa_kernel::limits::BLOCK_PAIRS_MAX
        );
        outcome.bounded.push(Bounded { pass: plan.pass.name.clone(), message });
    }
}

/// The records of the other side that a matched record is matched to.
fn partners(outcome: &Outcome, side: SideName, record: RecordNo) -> Vec<RecordNo> {
    match outcome.standing(side, record) {
        Standing::Open => Vec::new(),
        Standing::Pair(partner, _) => vec![partner],
        Standing::Group(group) => {
            outcome.groups.get(group as usize).map_or_else(Vec::new, |group| match side {
                SideName::Left => group.right.clone(),
                SideName::Right => group.left.clone(),
            })
        }
    }
}

fn note_tie(outcome: &mut Outcome, number: u8, tie: &Tie, suggest_all: bool) {
    let status = if suggest_all { LinkStatus::Suggested } else { LinkStatus::Ambiguous };
    let shown = stoa_kernel::limits::CANDIDATES_SHOWN;
    for &(left, right) in &tie.links {
        outcome.links.push(Link { left, right, status });
    }
    for (side, records) in [(SideName::Left, &tie.left), (SideName::Right, &tie.right)] {
        for &record in records {
            let candidates = tie
                .links
                .iter()
                .filter(
                    |&&(left, right)| if side == SideName::Left { left == record } else { right == record },
                )
                .map(|&(left, right)| if side == SideName::Left { right } else { left })
                .take(shown)
                .collect();
            let diagnosis = Diagnosis {
                reason: Reason::Ambiguous,
                pass: Some(number),
                candidates,
                detail: tie.detail.clone(),
            };
            outcome.diagnoses.entry((side, record)).or_insert(diagnosis);
        }
    }
}

/// A later pass may have matched what an earlier one left undecided: only what is open in the end keeps its diagnosis.
fn settle(outcome: &mut Outcome) {
    let Outcome { left, right, diagnoses, links, .. } = outcome;
    let is_open = |side: SideName, record: RecordNo| {
        let standings = if side == SideName::Left { &*left } else { &*right };
        standings.get(record as usize).copied().unwrap_or_default() == Standing::Open
    };
    diagnoses.retain(|&(side, record), _| is_open(side, record));
    links.retain(|link| is_open(SideName::Left, link.left) && is_open(SideName::Right, link.right));
    let copies: Vec<Link> = diagnoses
        .iter()
        .filter(|(_, diagnosis)| diagnosis.reason == Reason::Duplicate)
        .flat_map(|(&(side, record), diagnosis)| {
            diagnosis.candidates.iter().map(move |&candidate| {
                let (left, right) =
                    if side == SideName::Left { (record, candidate) } else { (candidate, record) };
                Link { left, right, status: LinkStatus::Duplicate }
            })
        })
        .collect();
    links.extend(copies);
}
