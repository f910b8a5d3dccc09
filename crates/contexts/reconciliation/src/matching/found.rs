//! What a pass found, collected block by block.

use super::outcome::Group;
use crate::side::RecordNo;
use crate::source::SideName;

/// Several solutions that are equally good, left undecided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) left: Vec<RecordNo>,
    pub(super) right: Vec<RecordNo>,
    pub(super) links: Vec<(RecordNo, RecordNo)>,
    pub(super) detail: String,
}

/// An open record that repeats a matched one of its own side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) side: SideName,
    pub(super) record: RecordNo,
    pub(super) of: RecordNo,
}

/// What a pass found; collected block by block.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pairs: Vec<(RecordNo, RecordNo)>,
    pub(super) groups: Vec<Group>,
    pub(super) ties: Vec<Tie>,
    pub(super) copies: Vec<Copy>,
    /// Records whose subset search met its bound.
    pub(super) exhausted: Vec<(SideName, RecordNo)>,
    /// Blocks that were too large to search: records on the left and on the right.
    pub(super) oversized: Vec<(usize, usize)>,
}

impl Found {
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.pairs.append(&mut other.pairs);
        self.groups.append(&mut other.groups);
        self.ties.append(&mut other.ties);
        self.copies.append(&mut other.copies);
        self.exhausted.append(&mut other.exhausted);
        self.oversized.append(&mut other.oversized);
    }
}
