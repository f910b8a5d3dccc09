//! One pass over what is still open: keys, partitions, blocks.

use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::block::Solver;
use super::found::Found;
use super::gates::Plan;
use super::key::Key;
use super::union::Union;
use crate::side::{RecordNo, Side};
use crate::source::SideName;

/// A record under one of its keys. 16 bytes: at 10 million records a side this is what fills memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    high: u64,
    low: u32,
    record: RecordNo,
}

impl Entry {
    const fn key(self) -> (u64, u32) {
        (self.high, self.low)
    }
}

/// How the work of a pass is divided. Neither number changes the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    pub(super) threads: usize,
    pub(super) partitions: usize,
}

type Partitions = Vec<Vec<Entry>>;
/// The records of a block on the left and on the right, ascending.
type Block = (Vec<RecordNo>, Vec<RecordNo>);

/// Runs a pass over the records that are not taken.
pub(super) fn run(
    plan: &Plan<'_>,
    sides: [&Side; 2],
    taken: [&[bool]; 2],
    division: Division,
) -> io::Result<Found> {
    let [left, right] = sides;
    let [left_taken, right_taken] = taken;
    let filter = |side: SideName| {
        (side, if side == SideName::Left { (left, left_taken) } else { (right, right_taken) })
    };
    let entries = |(side, (records, taken)): (SideName, (&Side, &[bool]))| {
        let key = plan.key(side);
        keyed(records, key, division, |record, cursor, folded| {
            if taken.get(record as usize).copied().unwrap_or(false) {
                return Ok(false);
            }
            if plan.takes_all(side) {
                return Ok(true);
            }
            let (row, profile) = cursor.row(record)?;
            Ok(plan.takes(side, row, profile, records.amount(record), folded))
        })
    };
    let several = |side: &Side, key: &Key| {
        key.is_many() && side.profiles().iter().any(crate::profile::Profile::may_have_several_references)
    };
    if let Some(side) = plan.within {
        let (_, (records, _)) = filter(side);
        let all = entries(filter(side))?;
        // Credits on one side, debits on the other.
        let split = |positive: bool| -> Partitions {
            all.iter()
                .map(|partition| {
                    partition
                        .iter()
                        .copied()
                        .filter(|entry| (records.amount(entry.record).units > 0) == positive)
                        .collect()
                })
                .collect()
        };
        let (credits, debits) = (split(true), split(false));
        if several(records, plan.key(side)) {
            return solve_connected(plan, [records, records], credits, debits);
        }
        return solve(plan, sides, credits, debits, division);
    }
    let (left_entries, right_entries) = (entries(filter(SideName::Left))?, entries(filter(SideName::Right))?);
    if several(left, plan.key(SideName::Left)) || several(right, plan.key(SideName::Right)) {
        return solve_connected(plan, sides, left_entries, right_entries);
    }
    solve(plan, sides, left_entries, right_entries, division)
}

/// The keys of all records that `take` accepts, by partition.
fn keyed(
    side: &Side,
    key: &Key,
    division: Division,
    take: impl Fn(RecordNo, &mut crate::side::Cursor<'_>, &mut String) -> io::Result<bool> + Sync,
) -> io::Result<Partitions> {
    let chunk = |range: Range<usize>| -> io::Result<Partitions> {
        let mut partitions = vec![Vec::new(); division.partitions];
        let mut cursor = side.cursor();
        let mut folded = String::new();
        for record in range {
            let record = RecordNo::try_from(record).unwrap_or(RecordNo::MAX);
            if !take(record, &mut cursor, &mut folded)? {
                continue;
            }
            let (row, profile) = cursor.row(record)?;
            key.hashes(row, profile, &mut folded, |hash| {
                let entry = Entry { high: (hash >> 64) as u64, low: (hash & 0xFFFF_FFFF) as u32, record };
                let partition = usize::try_from(entry.high % division.partitions as u64).unwrap_or(0);
                if let Some(partition) = partitions.get_mut(partition) {
                    partition.push(entry);
                }
            });
        }
        Ok(partitions)
    };
    let threads = division.threads.max(1).min(side.len() / 4_096 + 1);
    let size = side.len().div_ceil(threads).max(1);
    let mut chunks = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn({
                    let chunk = &chunk;
                    move || chunk(worker * size..((worker + 1) * size).min(side.len()))
                })
            })
            .collect();
        workers.into_iter().map(join).collect::<io::Result<Vec<Partitions>>>()
    })?;
    // Appended in the order of the records, one partition at a time, so that memory is given back as it goes.
    let mut joined = if chunks.is_empty() { Vec::new() } else { chunks.remove(0) };
    for chunk in chunks {
        for (to, mut from) in joined.iter_mut().zip(chunk) {
            to.append(&mut from);
        }
    }
    Ok(joined)
}

fn join<T>(worker: std::thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Solves the partitions, which share no key, as independent units.
fn solve(
    plan: &Plan<'_>,
    sides: [&Side; 2],
    left: Partitions,
    right: Partitions,
    division: Division,
) -> io::Result<Found> {
    let units: Vec<Mutex<(Vec<Entry>, Vec<Entry>)>> = left.into_iter().zip(right).map(Mutex::new).collect();
    let results: Vec<Mutex<Found>> = units.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> io::Result<()> {
            loop {
                let unit = next.fetch_add(1, Ordering::Relaxed);
                let (Some(entries), Some(result)) = (units.get(unit), results.get(unit)) else {
                    return Ok(());
                };
                let (left, right) = std::mem::take(&mut *lock(entries));
                *lock(result) = solve_unit(plan, sides, left, right)?;
            }
        };
        let workers: Vec<_> = (0..division.threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(join)
    })?;
    let mut found = Found::default();
    for result in results {
        found.absorb(result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
    Ok(found)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn solve_unit(
    plan: &Plan<'_>,
    sides: [&Side; 2],
    mut left: Vec<Entry>,
    mut right: Vec<Entry>,
) -> io::Result<Found> {
    let mut solver = Solver::new(plan, sides);
    let (mut l, mut r) = (Vec::new(), Vec::new());
    each_block(&mut left, &mut right, |lefts, rights| {
        l.clear();
        l.extend(lefts.iter().map(|entry| entry.record));
        r.clear();
        r.extend(rights.iter().map(|entry| entry.record));
        solver.solve(&l, &r, None)
    })?;
    Ok(solver.found)
}

/// Sorts both lists and visits every key that occurs in both.
fn each_block(
    left: &mut [Entry],
    right: &mut [Entry],
    mut visit: impl FnMut(&[Entry], &[Entry]) -> io::Result<()>,
) -> io::Result<()> {
    left.sort_unstable();
    right.sort_unstable();
    let (mut left, mut right) = (&*left, &*right);
    while let (Some(&l), Some(&r)) = (left.first(), right.first()) {
        let run =
            |list: &[Entry], key: (u64, u32)| list.iter().take_while(|entry| entry.key() == key).count();
        match l.key().cmp(&r.key()) {
            std::cmp::Ordering::Less => left = left.get(run(left, l.key())..).unwrap_or(&[]),
            std::cmp::Ordering::Greater => right = right.get(run(right, r.key())..).unwrap_or(&[]),
            std::cmp::Ordering::Equal => {
                let (lefts, left_rest) = left.split_at(run(left, l.key()));
                let (rights, right_rest) = right.split_at(run(right, r.key()));
                visit(lefts, rights)?;
                (left, right) = (left_rest, right_rest);
            }
        }
    }
    Ok(())
}

/// Solves a pass in which a record may have several keys: blocks that share a record are one component.
fn solve_connected(
    plan: &Plan<'_>,
    sides: [&Side; 2],
    left: Partitions,
    right: Partitions,
) -> io::Result<Found> {
    let mut solver = Solver::new(plan, sides);
    let mut blocks: Vec<Block> = Vec::new();
    for (mut left, mut right) in left.into_iter().zip(right) {
        each_block(&mut left, &mut right, |lefts, rights| {
            if lefts.len().saturating_mul(rights.len()) > stoa_kernel::limits::BLOCK_PAIRS_MAX {
                solver.found.oversized.push((lefts.len(), rights.len()));
            } else {
                let records = |entries: &[Entry]| entries.iter().map(|entry| entry.record).collect();
                blocks.push((records(lefts), records(rights)));
            }
            Ok(())
        })?;
    }
    // In the order of their records, so that the number of partitions plays no role.
    blocks.sort_unstable();
    let [left_side, right_side] = sides;
    let mut union = Union::new(left_side.len() + right_side.len());
    for (lefts, rights) in &blocks {
        let nodes =
            lefts.iter().map(|&l| l as usize).chain(rights.iter().map(|&r| left_side.len() + r as usize));
        let mut first = None;
        for node in nodes {
            union.join(*first.get_or_insert(node), node);
        }
    }
    let mut by_component: std::collections::BTreeMap<usize, Vec<Block>> = std::collections::BTreeMap::new();
    for block in blocks {
        let node = block.0.first().map_or(0, |&l| l as usize);
        by_component.entry(union.root(node)).or_default().push(block);
    }
    for blocks in by_component.into_values() {
        if let [(lefts, rights)] = blocks.as_slice() {
            solver.solve(lefts, rights, None)?;
            continue;
        }
        let distinct = |mut records: Vec<RecordNo>| {
            records.sort_unstable();
            records.dedup();
            records
        };
        let lefts = distinct(blocks.iter().flat_map(|(lefts, _)| lefts).copied().collect());
        let rights = distinct(blocks.iter().flat_map(|(_, rights)| rights).copied().collect());
        let mut pairs: Vec<(RecordNo, RecordNo)> = blocks
            .iter()
            .flat_map(|(lefts, rights)| lefts.iter().flat_map(|&l| rights.iter().map(move |&r| (l, r))))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        solver.solve(&lefts, &rights, Some(&pairs))?;
    }
    Ok(solver.found)
}

/// Visits the blocks of open records under a key, ascending by their records: for diagnosis.
pub(super) fn open_blocks(
    sides: [&Side; 2],
    keys: [&Key; 2],
    open: [&[RecordNo]; 2],
) -> io::Result<Vec<Block>> {
    let [left, right] = sides;
    let [left_key, right_key] = keys;
    let [left_open, right_open] = open;
    let entries = |side: &Side, key: &Key, open: &[RecordNo]| -> io::Result<Vec<Entry>> {
        let mut cursor = side.cursor();
        let mut folded = String::new();
        let mut entries = Vec::new();
        for &record in open {
            let (row, profile) = cursor.row(record)?;
            key.hashes(row, profile, &mut folded, |hash| {
                entries.push(Entry { high: (hash >> 64) as u64, low: (hash & 0xFFFF_FFFF) as u32, record });
            });
        }
        Ok(entries)
    };
    let mut blocks = Vec::new();
    let (mut lefts, mut rights) =
        (entries(left, left_key, left_open)?, entries(right, right_key, right_open)?);
    each_block(&mut lefts, &mut rights, |lefts, rights| {
        let records = |entries: &[Entry]| entries.iter().map(|entry| entry.record).collect();
        blocks.push((records(lefts), records(rights)));
        Ok(())
    })?;
    blocks.sort_unstable();
    Ok(blocks)
}
