//! Groups of a block: exact ones first, then everything in the window, subsets by their sum, and netting.

use std::io;

use rustc_hash::FxHashMap;
use stoa_kernel::currency::Currency;
use stoa_kernel::limits;
use stoa_kernel::money::Decimal;

use super::super::found::Tie;
use super::super::outcome::{Group, Kind};
use super::super::subset::{self, Found as Subset, Part};
use super::super::union::Union;
use super::{Open, Solver};
use crate::normalise::fingerprint::Content;
use crate::rules::{Ambiguity, Cardinality, GroupMembers};
use crate::side::RecordNo;

impl Solver<'_, '_, '_> {
    /// Exact groups go before pairs with a residual, or a big part of a split would be stolen by its whole. Records that
    /// have an equal partner of their own take no part.
    pub(super) fn exact_groups(&mut self, open: &mut Open) -> io::Result<()> {
        let grouping =
            [Cardinality::OneToMany, Cardinality::ManyToOne].into_iter().any(|kind| self.allows(kind));
        if !grouping || open.left.len().saturating_mul(open.right.len()) > limits::BLOCK_PAIRS_MAX {
            return Ok(());
        }
        let mut rest = open.clone();
        let mut equal = Open::default();
        if self.allows(Cardinality::OneToOne) {
            for &left in &open.left {
                let Some(amount) = self.amount(left, 0)? else { continue };
                for right in self.in_window(left, &open.right, 0)? {
                    let Some(other) = self.amount(right, 1)? else { continue };
                    if self.is_exact(amount, other, self.currency(left, 0)) {
                        equal.left.push(left);
                        equal.right.push(right);
                    }
                }
            }
            rest.remove(&equal);
        }
        let before = self.found.groups.len();
        self.exact_only = true;
        if self.plan.pass.groups.members == GroupMembers::All {
            self.whole_groups(&mut rest)?;
        } else {
            self.subsets(&mut rest)?;
        }
        self.exact_only = false;
        let mut done = Open::default();
        for group in self.found.groups.iter().skip(before) {
            done.left.extend(&group.left);
            done.right.extend(&group.right);
        }
        open.remove(&done);
        Ok(())
    }

    fn is_exact(&self, left: Decimal, right: Decimal, currency: Currency) -> bool {
        self.plan.check_amounts(left, right, currency).is_ok_and(|delta| delta.units == 0)
    }

    fn push_group(&mut self, cardinality: Cardinality, one: Vec<RecordNo>, mut many: Vec<RecordNo>) {
        many.sort_unstable();
        let (kind, left, right) = match cardinality {
            Cardinality::ManyToOne => (Kind::ManyToOne, many, one),
            _ => (Kind::OneToMany, one, many),
        };
        self.found.groups.push(Group { pass: self.plan.number, kind, left, right });
    }

    /// Groups of everything that is open in the window, where one record is open on the other side.
    pub(super) fn whole_groups(&mut self, open: &mut Open) -> io::Result<()> {
        for (cardinality, one_at) in [(Cardinality::OneToMany, 0), (Cardinality::ManyToOne, 1)] {
            let (one, many) = if one_at == 0 { (&open.left, &open.right) } else { (&open.right, &open.left) };
            let &[whole] = one.as_slice() else { continue };
            if many.len() < 2 || !self.allows(cardinality) {
                continue;
            }
            let parts = self.in_window(whole, &many.clone(), one_at)?;
            if parts.len() < 2 || !self.sums_agree(whole, &parts, one_at)? {
                continue;
            }
            let done = Open::of(one_at, vec![whole], parts.clone());
            self.push_group(cardinality, vec![whole], parts);
            open.remove(&done);
        }
        Ok(())
    }

    fn sums_agree(&mut self, whole: RecordNo, parts: &[RecordNo], one_at: usize) -> io::Result<bool> {
        let Some(sum) = self.sum(parts, 1 - one_at)? else { return Ok(false) };
        let Some(amount) = self.amount(whole, one_at)? else { return Ok(false) };
        let (left, right) = if one_at == 0 { (amount, sum) } else { (sum, amount) };
        let currency = self.currency(whole, one_at);
        if self.exact_only {
            return Ok(self.is_exact(left, right, currency));
        }
        Ok(self.plan.check_amounts(left, right, currency).is_ok())
    }

    /// Groups by subset sum. In rounds: every whole is searched against the same open parts; wholes that want the same
    /// part are ambiguous; what was found is taken out, and the next round begins. So file order plays no role.
    pub(super) fn subsets(&mut self, open: &mut Open) -> io::Result<()> {
        for (cardinality, one_at) in [(Cardinality::OneToMany, 0), (Cardinality::ManyToOne, 1)] {
            if !self.allows(cardinality) {
                continue;
            }
            loop {
                let round = self.subset_round(open, one_at)?;
                if round.is_empty() {
                    break;
                }
                for (whole, parts) in round {
                    let done = Open::of(one_at, vec![whole], parts.clone());
                    self.push_group(cardinality, vec![whole], parts);
                    open.remove(&done);
                }
            }
        }
        Ok(())
    }

    fn subset_round(&mut self, open: &mut Open, one_at: usize) -> io::Result<Vec<(RecordNo, Vec<RecordNo>)>> {
        let (ones, manys) = if one_at == 0 {
            (open.left.clone(), open.right.clone())
        } else {
            (open.right.clone(), open.left.clone())
        };
        let mut unique: Vec<(RecordNo, Vec<RecordNo>)> = Vec::new();
        if ones.len().saturating_mul(manys.len()) > limits::BLOCK_PAIRS_MAX {
            if !self.exact_only {
                self.found.oversized.push((open.left.len(), open.right.len()));
            }
            return Ok(unique);
        }
        for &whole in &ones {
            let parts = self.in_window(whole, &manys, one_at)?;
            if parts.len() < 2 {
                continue;
            }
            match self.search_subset(whole, &parts, one_at)? {
                Subset::One(indices) => {
                    unique.push((
                        whole,
                        indices.iter().filter_map(|&index| parts.get(index).copied()).collect(),
                    ));
                }
                Subset::Several(first, second) => {
                    let mut members: Vec<RecordNo> =
                        first.iter().chain(&second).filter_map(|&index| parts.get(index).copied()).collect();
                    members.sort_unstable();
                    members.dedup();
                    if self.plan.pass.ambiguity == Ambiguity::DeterministicFirst {
                        let chosen = first.min(second);
                        unique.push((
                            whole,
                            chosen.iter().filter_map(|&index| parts.get(index).copied()).collect(),
                        ));
                    } else {
                        self.tie(one_at, whole, &members, "two subsets fit equally");
                    }
                }
                Subset::Exhausted if !self.exact_only => {
                    self.found.exhausted.push((self.name(one_at), whole));
                }
                Subset::Exhausted => {}
                Subset::Nothing => {}
            }
        }
        // A part that two wholes want belongs to neither.
        let mut wanted: FxHashMap<RecordNo, u32> = FxHashMap::default();
        for part in unique.iter().flat_map(|(_, parts)| parts) {
            *wanted.entry(*part).or_insert(0) += 1;
        }
        let (sure, contested): (Vec<_>, Vec<_>) =
            unique.into_iter().partition(|(_, parts)| parts.iter().all(|part| wanted.get(part) == Some(&1)));
        if sure.is_empty() {
            if self.plan.pass.ambiguity == Ambiguity::DeterministicFirst {
                return Ok(contested.into_iter().take(1).collect());
            }
            for (whole, parts) in &contested {
                self.tie(one_at, *whole, parts, "another record needs the same parts");
            }
        }
        Ok(sure)
    }

    fn tie(&mut self, one_at: usize, whole: RecordNo, parts: &[RecordNo], detail: &str) {
        let link = |&part: &RecordNo| if one_at == 0 { (whole, part) } else { (part, whole) };
        let tie = Open::of(one_at, vec![whole], parts.to_vec());
        let tie = Tie {
            links: parts.iter().map(link).collect(),
            left: tie.left,
            right: tie.right,
            detail: detail.to_owned(),
        };
        if !self.found.ties.contains(&tie) {
            self.found.ties.push(tie);
        }
    }

    fn search_subset(&mut self, whole: RecordNo, parts: &[RecordNo], one_at: usize) -> io::Result<Subset> {
        let rule = &self.plan.pass.groups;
        let currency = self.currency(whole, one_at);
        let Some(amount) = self.amount(whole, one_at)? else { return Ok(Subset::Nothing) };
        let mut exponent = amount.exponent;
        let mut amounts = Vec::with_capacity(parts.len());
        for &part in parts {
            let amount = self.amount(part, 1 - one_at)?;
            exponent = exponent.max(amount.map_or(0, |amount| amount.exponent));
            amounts.push(amount);
        }
        let (Some(target), Some(tolerance)) =
            (amount.units_at(exponent), self.plan.bound(amount, currency, exponent))
        else {
            return Ok(Subset::Exhausted);
        };
        let tolerance = if self.exact_only { 0 } else { tolerance };
        let mut classes: FxHashMap<Content, u32> = FxHashMap::default();
        let mut fitting = Vec::new();
        let mut origin = Vec::new();
        for (index, (&part, amount)) in parts.iter().zip(amounts).enumerate() {
            let units = amount.and_then(|amount| amount.units_at(exponent));
            let Some(units) = units.map(|units| self.plan.sought(units)) else {
                continue;
            };
            if units.abs() > target.abs().saturating_add(tolerance) {
                continue;
            }
            if fitting.len() >= rule.candidates_max as usize {
                return Ok(Subset::Exhausted);
            }
            let cursor = if one_at == 0 { &mut self.eyes.right } else { &mut self.eyes.left };
            let next = u32::try_from(classes.len()).unwrap_or(u32::MAX);
            let class = *classes.entry(cursor.content(part)?).or_insert(next);
            fitting.push(Part { amount: units, class });
            origin.push(index);
        }
        let target = if self.plan.ignores_sign() { target.abs() } else { target };
        let bounds = subset::Bounds { parts_max: rule.parts_max as usize, nodes_max: rule.nodes_max };
        let back = |indices: Vec<usize>| -> Vec<usize> {
            indices.into_iter().filter_map(|index| origin.get(index).copied()).collect()
        };
        let plan = self.plan;
        let whole = Decimal::new(target, exponent);
        // The sum is already turned to the sign of the whole.
        let accepts = |sum: i128| plan.accepts_sum(whole, Decimal::new(sum, exponent), currency, one_at == 0);
        Ok(match subset::search(target, &fitting, tolerance, bounds, &accepts) {
            Subset::One(indices) => Subset::One(back(indices)),
            Subset::Several(first, second) => Subset::Several(back(first), back(second)),
            other => other,
        })
    }

    /// Everything that is connected by the window and adds up to the same on both sides.
    pub(super) fn netting(&mut self, open: &mut Open) -> io::Result<()> {
        if open.left.is_empty() || open.right.is_empty() || open.left.len() + open.right.len() < 3 {
            return Ok(());
        }
        if open.left.len().saturating_mul(open.right.len()) > limits::BLOCK_PAIRS_MAX {
            self.found.oversized.push((open.left.len(), open.right.len()));
            return Ok(());
        }
        let lefts = open.left.len();
        let mut union = Union::new(lefts + open.right.len());
        for (l, &left) in open.left.iter().enumerate() {
            let window = self.in_window(left, &open.right, 0)?;
            for (r, right) in open.right.iter().enumerate() {
                if window.binary_search(right).is_ok() {
                    union.join(l, lefts + r);
                }
            }
        }
        let all: Vec<RecordNo> = open.left.iter().chain(&open.right).copied().collect();
        for members in union.components() {
            let of = |at: usize| -> Vec<RecordNo> {
                members
                    .iter()
                    .filter(|&&member| (member >= lefts) == (at == 1))
                    .filter_map(|&member| all.get(member).copied())
                    .collect()
            };
            let (left, right) = (of(0), of(1));
            if left.is_empty() || right.is_empty() || left.len() + right.len() < 3 {
                continue;
            }
            let (Some(left_sum), Some(right_sum)) = (self.sum(&left, 0)?, self.sum(&right, 1)?) else {
                continue;
            };
            let currency = left.first().map_or(Currency::NONE, |&record| self.currency(record, 0));
            if self.plan.check_amounts(left_sum, right_sum, currency).is_ok() {
                open.remove(&Open { left: left.clone(), right: right.clone() });
                self.found.groups.push(Group { pass: self.plan.number, kind: Kind::ManyToMany, left, right });
            }
        }
        Ok(())
    }
}
