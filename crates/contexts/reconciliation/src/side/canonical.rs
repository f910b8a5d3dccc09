//! Canonical order: by external id, then by content, whatever order the files had.

use std::io;

use super::{Cursor, NO_DAY, RecordNo, Side};
use crate::field::Field;

/// A record's place in canonical order: by the first bytes of its id, or after all ids by its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey {
    pub(super) without_id: bool,
    pub(super) prefix: u128,
    /// A hash of the whole row: rows that differ only in what no rule looks at are in one order all the same.
    pub(super) rest: u64,
    pub(super) record: RecordNo,
}

pub(super) fn canonical_order(side: &mut Side) -> io::Result<Vec<SortKey>> {
    let mut keys = Vec::with_capacity(side.len());
    let mut any_without_id = false;
    {
        let mut cursor = side.cursor();
        for record in 0..u32::try_from(side.len()).unwrap_or(u32::MAX) {
            let (row, profile) = cursor.row(record)?;
            let id = profile.cell(row, Field::ExternalId).trim();
            let without_id = id.is_empty();
            any_without_id |= without_id;
            let prefix = if without_id {
                profile.core(row).map_or(0, |core| profile.content(row, &core).0)
            } else {
                let mut first = [0u8; 16];
                for (to, &from) in first.iter_mut().zip(id.as_bytes()) {
                    *to = from;
                }
                u128::from_be_bytes(first)
            };
            let (text, _) = row.parts();
            let rest = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
            keys.push(SortKey { without_id, prefix, rest, record });
        }
        keys.sort_unstable();
        // Ids that share their first bytes are compared whole, and equal ids by their content.
        let (mut first, mut second) = (side.cursor(), side.cursor());
        let mut shared = 0;
        let mut start = 0;
        while start < keys.len() {
            let head = keys.get(start).copied();
            let same = |key: &SortKey| {
                head.is_some_and(|head| (head.without_id, head.prefix) == (key.without_id, key.prefix))
            };
            let length = keys.iter().skip(start).take_while(|key| same(key)).count();
            if let Some(run) = keys.get_mut(start..start + length)
                && length > 1
                && head.is_some_and(|head| !head.without_id)
            {
                shared += sort_by_whole_id(run, &mut first, &mut second)?;
            }
            start += length.max(1);
        }
        side.shared_ids = shared;
    }
    if any_without_id {
        let mut cursor = side.cursor();
        side.contents = keys
            .iter()
            .map(|key| {
                if key.without_id {
                    Ok(key.prefix)
                } else {
                    cursor.content(key.record).map(|content| content.0)
                }
            })
            .collect::<io::Result<_>>()?;
        let mut last = None;
        side.ordinals = side
            .contents
            .iter()
            .map(|&content| {
                let ordinal =
                    last.filter(|&(before, _)| before == content).map_or(0, |(_, ordinal)| ordinal + 1);
                last = Some((content, ordinal));
                ordinal
            })
            .collect();
    }
    Ok(keys)
}

/// Sorts a run of records whose ids begin alike; returns how many of them share their whole id with another.
pub(super) fn sort_by_whole_id(
    run: &mut [SortKey],
    ids: &mut Cursor<'_>,
    contents: &mut Cursor<'_>,
) -> io::Result<u64> {
    let mut named = run
        .iter()
        .map(|&key| Ok((ids.id(key.record)?, contents.content(key.record)?, key)))
        .collect::<io::Result<Vec<_>>>()?;
    named.sort_unstable();
    let shared = named.windows(2).filter(|pair| matches!(pair, [(a, ..), (b, ..)] if a == b)).count();
    for (slot, (.., key)) in run.iter_mut().zip(named) {
        *slot = key;
    }
    Ok(shared as u64)
}

impl Side {
    pub(super) fn permute(&mut self, order: &[SortKey]) {
        fn pick<T: Copy>(column: &[T], order: &[SortKey]) -> Vec<T> {
            order.iter().filter_map(|key| column.get(key.record as usize).copied()).collect()
        }
        self.amounts = pick(&self.amounts, order);
        self.exponents = pick(&self.exponents, order);
        self.currencies = pick(&self.currencies, order);
        self.booked = pick(&self.booked, order);
        self.offsets = pick(&self.offsets, order);
        if !self.value.is_empty() {
            self.value.resize(order.len(), NO_DAY);
            self.value = pick(&self.value, order);
        }
        if !self.wide.is_empty() {
            let wide = std::mem::take(&mut self.wide);
            for (number, key) in (0..).zip(order) {
                if let Some(&units) = wide.get(&key.record) {
                    self.wide.insert(number, units);
                }
            }
        }
    }
}
