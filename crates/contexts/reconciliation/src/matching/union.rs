//! Disjoint sets: which records are connected.

/// Union-find with path halving (Tarjan & van Leeuwen 1984); the root of a set is its lowest member.
pub(super) struct Union {
    parent: Vec<usize>,
}

impl Union {
    pub(super) fn new(count: usize) -> Self {
        Self { parent: (0..count).collect() }
    }

    pub(super) fn root(&mut self, mut node: usize) -> usize {
        loop {
            let parent = self.parent.get(node).copied().unwrap_or(node);
            if parent == node {
                return node;
            }
            let grandparent = self.parent.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.parent.get_mut(node) {
                *slot = grandparent;
            }
            node = grandparent;
        }
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.parent.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }

    /// The sets with more than one member, each ascending, by their lowest member.
    pub(super) fn components(&mut self) -> Vec<Vec<usize>> {
        let mut by_root: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
        for node in 0..self.parent.len() {
            let root = self.root(node);
            by_root.entry(root).or_default().push(node);
        }
        by_root.into_values().filter(|members| members.len() > 1).collect()
    }
}
