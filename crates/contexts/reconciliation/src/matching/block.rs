//! One block: the records of both sides that share a key, and what becomes of them in one pass.

mod groups;

use std::io;

use rustc_hash::FxHashMap;
use stoa_kernel::currency::Currency;
use stoa_kernel::limits;
use stoa_kernel::money::Decimal;

use super::assignment::{self, Edge};
use super::classes::Classes;
use super::found::{Copy, Found, Tie};
use super::gates::{Eyes, Plan};
use super::nearby::Nearby;
use super::outcome::{Group, Kind};
use super::union::Union;
use crate::rules::{Ambiguity, AssignmentMode, Cardinality, GroupMembers};
use crate::side::{RecordNo, Side};
use crate::source::SideName;

/// The most candidate pairs that one tie lists.
const TIE_LINKS_MAX: usize = 1_000;

/// Pairs of records from which on a block is large: twins are put together, and candidates are looked up by amount.
const LARGE_BLOCK_PAIRS: usize = 1_024;

/// A pair that passed the gates: places in the block, and the cost.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    left: usize,
    right: usize,
    cost: u32,
}

/// Solves blocks of one pass, one after the other.
pub(super) struct Solver<'p, 'r, 's> {
    plan: &'p Plan<'r>,
    sides: [&'s Side; 2],
    names: [SideName; 2],
    eyes: Eyes<'s>,
    pub(super) found: Found,
    /// The only pairs of the block that may be compared, sorted, where not all may.
    pairs: Option<Vec<(RecordNo, RecordNo)>>,
    /// Groups with a residual are not looked for yet.
    exact_only: bool,
}

impl<'p, 'r, 's> Solver<'p, 'r, 's> {
    pub(super) fn new(plan: &'p Plan<'r>, sides: [&'s Side; 2]) -> Self {
        let [left, right] = sides;
        let (sides, names) = match plan.within {
            None => ([left, right], [SideName::Left, SideName::Right]),
            Some(SideName::Left) => ([left, left], [SideName::Left, SideName::Left]),
            Some(SideName::Right) => ([right, right], [SideName::Right, SideName::Right]),
        };
        let [first, second] = sides;
        Self {
            plan,
            sides,
            names,
            eyes: Eyes::on(first, second),
            found: Found::default(),
            pairs: None,
            exact_only: false,
        }
    }

    fn allows(&self, cardinality: Cardinality) -> bool {
        self.plan.pass.cardinality.contains(&cardinality)
    }

    /// Decides a block. `pairs`: the only pairs that may be compared, sorted, where not all may.
    pub(super) fn solve(
        &mut self,
        left: &[RecordNo],
        right: &[RecordNo],
        pairs: Option<&[(RecordNo, RecordNo)]>,
    ) -> io::Result<()> {
        if self.plan.within.is_some() {
            return self.one_to_one(left, right, pairs).map(|_| ());
        }
        if let (&[l], &[r]) = (left, right) {
            if self.allows(Cardinality::OneToOne)
                && self.plan.check(&mut self.eyes, self.sides, l, r)?.is_ok()
            {
                self.found.pairs.push((l, r));
            }
            return Ok(());
        }
        let mut open = Open { left: left.to_vec(), right: right.to_vec() };
        self.pairs = pairs.map(<[_]>::to_vec);
        self.exact_groups(&mut open)?;
        let mut matched = Open::default();
        if self.allows(Cardinality::OneToOne) {
            let (pairs, tied) = self.one_to_one(&open.left, &open.right, pairs)?;
            matched.left.extend(pairs.iter().map(|&(left, _)| left));
            matched.right.extend(pairs.iter().map(|&(_, right)| right));
            open.remove(&matched);
            open.remove(&tied);
        }
        let before = self.found.groups.len();
        if self.plan.pass.groups.members == GroupMembers::All {
            self.whole_groups(&mut open)?;
        } else {
            self.subsets(&mut open)?;
        }
        if self.allows(Cardinality::ManyToMany) {
            self.netting(&mut open)?;
        }
        for group in self.found.groups.iter().skip(before) {
            matched.left.extend(&group.left);
            matched.right.extend(&group.right);
        }
        self.copies(&open, &matched);
        Ok(())
    }

    fn side(&self, at: usize) -> &'s Side {
        let [first, second] = self.sides;
        if at == 0 { first } else { second }
    }

    fn name(&self, at: usize) -> SideName {
        let [first, second] = self.names;
        if at == 0 { first } else { second }
    }

    fn currency(&self, record: RecordNo, at: usize) -> Currency {
        self.side(at).currency(record)
    }

    fn amount(&mut self, record: RecordNo, at: usize) -> io::Result<Option<Decimal>> {
        let (name, side) = (self.name(at), self.side(at));
        let cursor = if at == 0 { &mut self.eyes.left } else { &mut self.eyes.right };
        self.plan.effective(name, cursor, side, record)
    }

    /// Those of `many` that may belong to `whole`: of its currency, in its window, alike in text, and allowed by the keys.
    fn in_window(
        &mut self,
        whole: RecordNo,
        many: &[RecordNo],
        whole_at: usize,
    ) -> io::Result<Vec<RecordNo>> {
        let (whole_name, part_name) = (self.name(whole_at), self.name(1 - whole_at));
        let (whole_side, part_side) = (self.side(whole_at), self.side(1 - whole_at));
        let day = self.plan.day(whole_name, whole_side, whole);
        let currency = whole_side.currency(whole);
        let mut fitting = Vec::new();
        for &part in many {
            let other = self.plan.day(part_name, part_side, part);
            let ((left_day, right_day), (left, right)) =
                if whole_at == 0 { ((day, other), (whole, part)) } else { ((other, day), (part, whole)) };
            let allowed = self.pairs.as_ref().is_none_or(|pairs| pairs.binary_search(&(left, right)).is_ok());
            if allowed
                && part_side.currency(part) == currency
                && self.plan.check_days(left_day, right_day).is_ok()
                && self.plan.check_member(&mut self.eyes, left, right)?
            {
                fitting.push(part);
            }
        }
        Ok(fitting)
    }

    fn sum(&mut self, records: &[RecordNo], at: usize) -> io::Result<Option<Decimal>> {
        let mut sum = Some(Decimal::ZERO);
        for &record in records {
            let amount = self.amount(record, at)?;
            sum = sum.zip(amount).and_then(|(sum, amount): (Decimal, Decimal)| sum.checked_add(amount));
        }
        Ok(sum)
    }

    /// Pairs of a block. Returns the pairs that were made and the records that stay undecided.
    fn one_to_one(
        &mut self,
        left: &[RecordNo],
        right: &[RecordNo],
        pairs: Option<&[(RecordNo, RecordNo)]>,
    ) -> io::Result<(Vec<(RecordNo, RecordNo)>, Open)> {
        let mut made = Vec::new();
        let mut tied = Open::default();
        // In a large block twins are compared once for all of them.
        let merge = pairs.is_none() && left.len().saturating_mul(right.len()) > LARGE_BLOCK_PAIRS;
        let alone = |records: &[RecordNo]| records.iter().map(|&record| vec![record]).collect::<Vec<_>>();
        let (lefts, rights) = if merge {
            (
                Classes::of(left.iter().copied(), |record| self.plan.twin_key(&mut self.eyes.left, record))?
                    .into_members(),
                Classes::of(right.iter().copied(), |record| {
                    self.plan.twin_key(&mut self.eyes.right, record)
                })?
                .into_members(),
            )
        } else {
            (alone(left), alone(right))
        };
        let lowest = |classes: &[Vec<RecordNo>]| {
            classes.iter().filter_map(|class| class.first().copied()).collect::<Vec<_>>()
        };
        let Some(candidates) = self.candidates(&lowest(&lefts), &lowest(&rights), pairs)? else {
            self.found.oversized.push((left.len(), right.len()));
            return Ok((made, tied));
        };
        let mut union = Union::new(lefts.len() + rights.len());
        for candidate in &candidates {
            union.join(candidate.left, lefts.len() + candidate.right);
        }
        let mut by_component: FxHashMap<usize, Vec<Candidate>> = FxHashMap::default();
        for candidate in candidates {
            by_component.entry(union.root(candidate.left)).or_default().push(candidate);
        }
        let mut components: Vec<Vec<Candidate>> = by_component.into_values().collect();
        components.sort_unstable_by_key(|component| component.first().map(|first| (first.left, first.right)));
        for component in components {
            let single = component.as_slice().first().filter(|_| component.len() == 1);
            let ends = single.and_then(|only| {
                Some((lefts.get(only.left)?.as_slice(), rights.get(only.right)?.as_slice()))
            });
            if let Some((&[l], &[r])) = ends {
                made.push((l, r));
            } else {
                self.component(&lefts, &rights, &component, &mut made, &mut tied)?;
            }
        }
        made.sort_unstable();
        match self.plan.within {
            None => self.found.pairs.extend_from_slice(&made),
            Some(side) => {
                for &(first, second) in &made {
                    let both = vec![first.min(second), first.max(second)];
                    let (kind, left, right) = match side {
                        SideName::Left => (Kind::ReversalLeft, both, Vec::new()),
                        SideName::Right => (Kind::ReversalRight, Vec::new(), both),
                    };
                    self.found.groups.push(Group { pass: self.plan.number, kind, left, right });
                }
            }
        }
        Ok((made, tied))
    }

    fn component(
        &mut self,
        left: &[Vec<RecordNo>],
        right: &[Vec<RecordNo>],
        component: &[Candidate],
        made: &mut Vec<(RecordNo, RecordNo)>,
        tied: &mut Open,
    ) -> io::Result<()> {
        let places = |place: fn(&Candidate) -> usize| {
            let mut places: Vec<usize> = component.iter().map(place).collect();
            places.sort_unstable();
            places.dedup();
            places
        };
        let members = |all: &[Vec<RecordNo>], places: Vec<usize>| {
            places.into_iter().filter_map(|place| all.get(place)).flatten().copied().collect::<Vec<_>>()
        };
        let left_members = members(left, places(|candidate| candidate.left));
        let right_members = members(right, places(|candidate| candidate.right));
        let mut lefts =
            Classes::of(left_members.into_iter(), |record| self.plan.twin_key(&mut self.eyes.left, record))?;
        let mut rights = Classes::of(right_members.into_iter(), |record| {
            self.plan.twin_key(&mut self.eyes.right, record)
        })?;
        let mut edges: FxHashMap<(usize, usize), u32> = FxHashMap::default();
        for candidate in component {
            let first = |all: &[Vec<RecordNo>], place: usize| {
                all.get(place).and_then(|members| members.first().copied())
            };
            let (Some(l), Some(r)) = (first(left, candidate.left), first(right, candidate.right)) else {
                continue;
            };
            let (Some(l), Some(r)) = (lefts.class_of(l), rights.class_of(r)) else { continue };
            let cost = edges.entry((l, r)).or_insert(u32::MAX);
            *cost = candidate.cost.min(*cost);
        }
        let mut edges: Vec<Edge> =
            edges.into_iter().map(|((left, right), cost)| Edge { left, right, cost }).collect();
        edges.sort_unstable_by_key(|edge| (edge.left, edge.right));
        let pass = self.plan.pass;
        let solution = assignment::solve(&lefts.supplies(), &rights.supplies(), &edges, pass.margin * 1_000);
        let first = pass.ambiguity == Ambiguity::DeterministicFirst;
        let unique_only = pass.assignment == AssignmentMode::Unique && edges.len() > 1;
        let is_tied = |flow: &assignment::Flow| (flow.rival_margin.is_some() && !first) || unique_only;
        let mut tied_lefts: Vec<usize> =
            solution.flows.iter().filter(|flow| is_tied(flow)).map(|flow| flow.left).collect();
        if !first {
            tied_lefts.extend(&solution.open_ties);
        }
        tied_lefts.sort_unstable();
        tied_lefts.dedup();
        for flow in solution.flows.iter().filter(|flow| !is_tied(flow)) {
            for _ in 0..flow.count {
                if let (Some(l), Some(r)) = (lefts.take(flow.left), rights.take(flow.right)) {
                    made.push((l, r));
                }
            }
        }
        if tied_lefts.is_empty() {
            return Ok(());
        }
        let mut tie = Tie {
            left: Vec::new(),
            right: Vec::new(),
            links: Vec::new(),
            detail: "several pairs are equally good".to_owned(),
        };
        let mut tied_rights = Vec::new();
        for &(l, r) in solution.tight.iter().filter(|(l, _)| tied_lefts.binary_search(l).is_ok()) {
            tied_rights.push(r);
            let links = lefts.rest(l).iter().flat_map(|&l| rights.rest(r).iter().map(move |&r| (l, r)));
            tie.links.extend(links.take(TIE_LINKS_MAX.saturating_sub(tie.links.len())));
        }
        tied_rights.sort_unstable();
        tied_rights.dedup();
        tie.left = tied_lefts.iter().flat_map(|&class| lefts.rest(class)).copied().collect();
        tie.right = tied_rights.iter().flat_map(|&class| rights.rest(class)).copied().collect();
        tie.left.sort_unstable();
        tie.right.sort_unstable();
        tied.left.extend(&tie.left);
        tied.right.extend(&tie.right);
        if self.plan.within.is_none() && !tie.links.is_empty() {
            self.found.ties.push(tie);
        }
        Ok(())
    }

    /// All pairs that pass the gates; `None` when there are too many to look at.
    fn candidates(
        &mut self,
        left: &[RecordNo],
        right: &[RecordNo],
        pairs: Option<&[(RecordNo, RecordNo)]>,
    ) -> io::Result<Option<Vec<Candidate>>> {
        let mut candidates = Vec::new();
        let (mut looked_at, mut passed_over) = (0usize, 0usize);
        let nearby = if pairs.is_none() && left.len().saturating_mul(right.len()) > LARGE_BLOCK_PAIRS {
            Nearby::index(self.plan, self.side(1), right)
        } else {
            None
        };
        for (l, &left_record) in left.iter().enumerate() {
            let reach: Box<dyn Iterator<Item = usize>> = match (pairs, &nearby) {
                (Some(pairs), _) => {
                    let from = pairs.partition_point(|&(first, _)| first < left_record);
                    Box::new(
                        pairs
                            .iter()
                            .skip(from)
                            .take_while(move |&&(first, _)| first == left_record)
                            .filter_map(|(_, second)| right.binary_search(second).ok()),
                    )
                }
                (None, Some(nearby)) => Box::new(nearby.of(self.plan, self.side(0), left_record)),
                (None, None) => Box::new(0..right.len()),
            };
            for r in reach {
                let Some(&right_record) = right.get(r) else { continue };
                // Days are compared first: they cost nothing, and one amount may be very common.
                let (left_day, right_day) = (
                    self.plan.day(self.name(0), self.side(0), left_record),
                    self.plan.day(self.name(1), self.side(1), right_record),
                );
                passed_over += 1;
                if passed_over > limits::BLOCK_PAIRS_MAX * 64 {
                    return Ok(None);
                }
                if self.plan.check_days(left_day, right_day).is_err() {
                    continue;
                }
                looked_at += 1;
                if looked_at > limits::BLOCK_PAIRS_MAX {
                    return Ok(None);
                }
                if let Ok(fit) = self.plan.check(&mut self.eyes, self.sides, left_record, right_record)? {
                    candidates.push(Candidate { left: l, right: r, cost: fit.cost });
                }
            }
        }
        Ok(Some(candidates))
    }

    /// Open records that repeat a matched one of their own side.
    fn copies(&mut self, open: &Open, matched: &Open) {
        if !self.plan.key(SideName::Left).identifies() {
            return;
        }
        for (at, open, matched) in [(0, &open.left, &matched.left), (1, &open.right, &matched.right)] {
            let side = self.side(at);
            let value = |record: RecordNo| {
                let amount = side.amount(record).trimmed(0);
                (side.currency(record), amount.units, amount.exponent)
            };
            let mut first: FxHashMap<_, RecordNo> = FxHashMap::default();
            for &record in matched {
                let of = first.entry(value(record)).or_insert(record);
                *of = record.min(*of);
            }
            for &record in open {
                if let Some(&of) = first.get(&value(record)) {
                    self.found.copies.push(Copy { side: self.name(at), record, of });
                }
            }
        }
    }
}

/// Records of a block that are still without a match, ascending.
#[derive(Debug, Default, Clone)]
struct Open {
    left: Vec<RecordNo>,
    right: Vec<RecordNo>,
}

impl Open {
    fn of(one_at: usize, one: Vec<RecordNo>, many: Vec<RecordNo>) -> Self {
        if one_at == 0 { Self { left: one, right: many } } else { Self { left: many, right: one } }
    }

    fn remove(&mut self, done: &Self) {
        for (open, done) in [(&mut self.left, &done.left), (&mut self.right, &done.right)] {
            let mut done = done.clone();
            done.sort_unstable();
            open.retain(|record| done.binary_search(record).is_err());
        }
    }
}
