//! Step 8: the fingerprint, by which a line is known again when it is delivered twice.

use std::fmt;

use rustc_hash::FxHashMap;
use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::Decimal;

/// What two lines must share to be the same line but for their ids: the content of a record, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content(pub u128);

/// A content and its ordinal among identical lines of its batch: true twins have 0, 1, 2…
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// The content.
    pub content: Content,
    /// Which of the identical lines, from 0.
    pub ordinal: u32,
}

impl fmt::Display for Fingerprint {
    /// `fp_`, 26 Crockford digits of the content, and the ordinal where it is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let halves = [self.content.0 >> 64, self.content.0 & u128::from(u64::MAX)]
            .map(|half| u64::try_from(half).unwrap_or(u64::MAX));
        f.write_str("fp_")?;
        for half in halves {
            f.write_str(&stoa_kernel::id::crockford(half))?;
        }
        if self.ordinal > 0 {
            write!(f, "-{}", self.ordinal)?;
        }
        Ok(())
    }
}

/// Collects the parts of a content hash (BLAKE3, first 128 bits). The external id is left out on purpose: FITIDs are
/// repeated by some banks and renewed by others.
#[derive(Debug)]
pub struct Hasher(blake3::Hasher);

impl Default for Hasher {
    fn default() -> Self {
        Self(blake3::Hasher::new())
    }
}

impl Hasher {
    /// Adds a text, with its length, so that parts cannot run into each other.
    pub fn text(&mut self, part: &str) -> &mut Self {
        self.0.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        self
    }

    /// Adds a day, or its absence.
    pub fn day(&mut self, day: Option<Day>) -> &mut Self {
        self.0.update(&day.map_or(i32::MIN, Day::days).to_le_bytes());
        self
    }

    /// Adds an amount by value: 1.5 and 1.50 are the same.
    pub fn amount(&mut self, amount: Decimal, currency: Currency) -> &mut Self {
        let amount = amount.trimmed(0);
        self.0
            .update(&amount.units.to_le_bytes())
            .update(&[amount.exponent])
            .update(&currency.packed().to_le_bytes());
        self
    }

    /// The content.
    #[must_use]
    pub fn finish(&self) -> Content {
        let mut bytes = [0u8; 16];
        self.0.finalize_xof().fill(&mut bytes);
        Content(u128::from_le_bytes(bytes))
    }
}

/// Counts identical lines, one batch after the other, and knows lines that an earlier batch has brought.
#[derive(Debug, Default)]
pub struct Known {
    /// How many of each content the earlier batches have brought (the most that any one of them had).
    earlier: FxHashMap<Content, u32>,
    current: FxHashMap<Content, u32>,
}

impl Known {
    /// Starts the next batch.
    pub fn next_batch(&mut self) {
        for (content, count) in self.current.drain() {
            let most = self.earlier.entry(content).or_insert(0);
            *most = count.max(*most);
        }
    }

    /// Counts a line of the current batch: its fingerprint, and whether an earlier batch has brought it already.
    pub fn see(&mut self, content: Content) -> (Fingerprint, bool) {
        let count = self.current.entry(content).or_insert(0);
        let ordinal = *count;
        *count += 1;
        let known = self.earlier.get(&content).is_some_and(|&most| ordinal < most);
        (Fingerprint { content, ordinal }, known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_lines(batches: &[&[u128]]) -> Vec<usize> {
        let mut known = Known::default();
        batches
            .iter()
            .map(|batch| {
                let new = batch.iter().filter(|&&line| !known.see(Content(line)).1).count();
                known.next_batch();
                new
            })
            .collect()
    }

    #[test]
    fn a_second_delivery_brings_nothing_and_an_overlap_only_what_is_new() {
        assert_eq!(new_lines(&[&[1, 2, 3], &[1, 2, 3]]), [3, 0]);
        assert_eq!(new_lines(&[&[1, 2, 3], &[2, 3, 4]]), [3, 1]);
    }

    #[test]
    fn twins_survive_and_a_third_one_is_new() {
        assert_eq!(new_lines(&[&[7, 7], &[7, 7], &[7, 7, 7]]), [2, 0, 1]);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let of = |parts: [&str; 2]| Hasher::default().text(parts[0]).text(parts[1]).finish();
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        let amount = |text: &str| Hasher::default().amount(text.parse().unwrap(), Currency::NONE).finish();
        assert_eq!(amount("1.5"), amount("1.50"));
    }
}
