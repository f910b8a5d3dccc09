//! Twins: records of one side that are equal in everything but their id.

use std::io;

use rustc_hash::FxHashMap;

use crate::side::RecordNo;

/// Records of one side of a component, twins together.
pub(super) struct Classes {
    members: Vec<Vec<RecordNo>>,
    class: FxHashMap<RecordNo, usize>,
    taken: Vec<usize>,
}

impl Classes {
    /// Classes of records with the same key.
    pub(super) fn of(
        records: impl Iterator<Item = RecordNo>,
        mut key: impl FnMut(RecordNo) -> io::Result<u128>,
    ) -> io::Result<Self> {
        let mut records: Vec<RecordNo> = records.collect();
        records.sort_unstable();
        records.dedup();
        let mut by_content: FxHashMap<u128, usize> = FxHashMap::default();
        let mut members: Vec<Vec<RecordNo>> = Vec::new();
        let mut class = FxHashMap::default();
        for record in records {
            let next = members.len();
            let number = *by_content.entry(key(record)?).or_insert(next);
            if number == next {
                members.push(Vec::new());
            }
            if let Some(list) = members.get_mut(number) {
                list.push(record);
            }
            class.insert(record, number);
        }
        Ok(Self { taken: vec![0; members.len()], members, class })
    }

    pub(super) fn class_of(&self, record: RecordNo) -> Option<usize> {
        self.class.get(&record).copied()
    }

    /// The members of each class, ascending; classes by their lowest member.
    pub(super) fn into_members(self) -> Vec<Vec<RecordNo>> {
        self.members
    }

    pub(super) fn supplies(&self) -> Vec<u32> {
        self.members.iter().map(|members| u32::try_from(members.len()).unwrap_or(u32::MAX)).collect()
    }

    /// The lowest member that is not taken.
    pub(super) fn take(&mut self, class: usize) -> Option<RecordNo> {
        let taken = self.taken.get_mut(class)?;
        let record = self.members.get(class)?.get(*taken).copied();
        *taken += 1;
        record
    }

    pub(super) fn rest(&self, class: usize) -> &[RecordNo] {
        let taken = self.taken.get(class).copied().unwrap_or(0);
        self.members.get(class).and_then(|members| members.get(taken..)).unwrap_or(&[])
    }
}
