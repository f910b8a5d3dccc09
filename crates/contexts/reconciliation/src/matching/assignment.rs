//! Optimal one-to-one assignment with an explicit cost of leaving open, on classes of interchangeable records.
//!
//! Records that are twins (equal in everything but their id) form one class with a capacity, so the problem is a
//! transportation problem. It is solved by successive shortest paths with potentials (Edmonds & Karp 1972; Tomizawa 1971;
//! the sparse form of Jonker & Volgenant 1987). The potentials then tell, for each decision, how much worse the best
//! alternative is: zero means that the optimum is not unique, and the decision is ambiguous.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A possible pair of two classes and its cost, 0 to [`super::gates::COST_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Class on the left.
    pub left: usize,
    /// Class on the right.
    pub right: usize,
    /// How much worse than perfect.
    pub cost: u32,
}

/// How many members of two classes are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Class on the left.
    pub left: usize,
    /// Class on the right.
    pub right: usize,
    /// Pairs.
    pub count: u32,
    /// How much worse the best solution without one of these pairs is, when that is within the margin asked for:
    /// `Some(0)` is a tie.
    pub rival_margin: Option<u32>,
}

/// The best assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solution {
    /// Pairs of classes, sorted.
    pub flows: Vec<Flow>,
    /// Left classes with members that stay open although an equally good solution pairs them.
    pub open_ties: Vec<usize>,
    /// Edges that are part of some solution within the margin.
    pub tight: Vec<(usize, usize)>,
}

/// The most work that looking for rivals of decisions may take: a unit for each node of a search, four for each arc.
const RIVAL_WORK_MAX: u64 = 1_500_000_000;

/// The cost of leaving a left record open: more than any pair costs.
pub const OPEN_COST: u32 = 1_000_000_000;

struct Network<'e> {
    left_supply: &'e [u32],
    right_supply: &'e [u32],
    edges: Vec<ScaledEdge>,
    by_left: Vec<Vec<u32>>,
    by_right: Vec<Vec<u32>>,
    flow: Vec<u32>,
    /// For each right class the edges that carry flow: few, where the edges are many.
    carrying: Vec<Vec<u32>>,
    left_open: Vec<u32>,
    right_left_over: Vec<u32>,
    /// Potentials: left classes, right classes, sink.
    potential: Vec<i64>,
    open_cost: i64,
    /// What the searches have cost so far; see [`RIVAL_WORK_MAX`].
    work: Cell<u64>,
}

#[derive(Clone, Copy)]
struct ScaledEdge {
    left: usize,
    right: usize,
    cost: i64,
}

/// Solves the problem for classes with these numbers of members. Ties go to the lowest classes.
///
/// `margin`: alternatives that are worse by at most this much are reported (see [`Flow::rival_margin`]).
#[must_use]
pub fn solve(left_supply: &[u32], right_supply: &[u32], edges: &[Edge], margin: u32) -> Solution {
    // Exact tie-break: costs are scaled so that the sum of all rank differences stays below one unit of cost.
    let nodes = i64::try_from(left_supply.len() + right_supply.len()).unwrap_or(i64::MAX);
    let total: i64 = left_supply.iter().map(|&count| i64::from(count)).sum();
    let scale = if nodes <= 4_000 && total <= 60_000 { 4 * (total + nodes) * nodes + 1 } else { 1 };
    let mut network = Network::new(left_supply, right_supply, edges, scale);
    for left in 0..left_supply.len() {
        while network.augment(left) {}
    }
    let limit = i64::from(margin) * scale + scale / 2;
    network.solution(limit, scale)
}

impl<'e> Network<'e> {
    fn new(left_supply: &'e [u32], right_supply: &'e [u32], edges: &[Edge], scale: i64) -> Self {
        let mut by_left = vec![Vec::new(); left_supply.len()];
        let mut by_right = vec![Vec::new(); right_supply.len()];
        let mut scaled = Vec::with_capacity(edges.len());
        for (index, edge) in (0u32..).zip(edges) {
            let rank =
                if scale == 1 { 0 } else { i64::try_from(edge.left.abs_diff(edge.right)).unwrap_or(0) };
            scaled.push(ScaledEdge {
                left: edge.left,
                right: edge.right,
                cost: i64::from(edge.cost) * scale + rank,
            });
            if let Some(list) = by_left.get_mut(edge.left) {
                list.push(index);
            }
            if let Some(list) = by_right.get_mut(edge.right) {
                list.push(index);
            }
        }
        Self {
            left_supply,
            right_supply,
            flow: vec![0; scaled.len()],
            carrying: vec![Vec::new(); right_supply.len()],
            edges: scaled,
            by_left,
            by_right,
            left_open: vec![0; left_supply.len()],
            right_left_over: right_supply.to_vec(),
            potential: vec![0; left_supply.len() + right_supply.len() + 1],
            open_cost: i64::from(OPEN_COST) * scale,
            work: Cell::new(0),
        }
    }

    const fn right_node(&self, right: usize) -> usize {
        self.left_supply.len() + right
    }

    const fn sink(&self) -> usize {
        self.left_supply.len() + self.right_supply.len()
    }

    fn pot(&self, node: usize) -> i64 {
        self.potential.get(node).copied().unwrap_or(0)
    }

    fn placed(&self, left: usize) -> u32 {
        let paired: u32 = self.edges_of(&self.by_left, left).map(|(index, _)| self.flow_on(index)).sum();
        paired + self.left_open.get(left).copied().unwrap_or(0)
    }

    fn flow_on(&self, edge: u32) -> u32 {
        self.flow.get(edge as usize).copied().unwrap_or(0)
    }

    fn edges_of<'a>(
        &'a self,
        lists: &'a [Vec<u32>],
        node: usize,
    ) -> impl Iterator<Item = (u32, ScaledEdge)> + 'a {
        lists
            .get(node)
            .into_iter()
            .flatten()
            .filter_map(|&index| self.edges.get(index as usize).map(|&edge| (index, edge)))
    }

    /// Visits the residual arcs out of a node with their reduced costs (never negative).
    fn arcs(&self, node: usize, through_sink: bool, mut visit: impl FnMut(usize, i64)) {
        let lefts = self.left_supply.len();
        let here = self.pot(node);
        if node < lefts {
            for (_, edge) in self.edges_of(&self.by_left, node) {
                let to = self.right_node(edge.right);
                visit(to, edge.cost + here - self.pot(to));
            }
            visit(self.sink(), self.open_cost + here - self.pot(self.sink()));
        } else if node < self.sink() {
            let right = node - lefts;
            for (_, edge) in self.edges_of(&self.carrying, right) {
                visit(edge.left, here - self.pot(edge.left) - edge.cost);
            }
            if self.right_left_over.get(right).is_some_and(|&left_over| left_over > 0) {
                visit(self.sink(), here - self.pot(self.sink()));
            }
        } else if through_sink {
            for (right, (&supply, &left_over)) in
                self.right_supply.iter().zip(&self.right_left_over).enumerate()
            {
                if left_over < supply {
                    let to = self.right_node(right);
                    visit(to, here - self.pot(to));
                }
            }
            for (left, &open) in self.left_open.iter().enumerate() {
                if open > 0 {
                    visit(left, here - self.pot(left) - self.open_cost);
                }
            }
        }
    }

    /// Shortest path by reduced costs. Stops at `to` or past `limit`. `skip`: an arc that may not be used.
    fn shortest(
        &self,
        from: usize,
        to: usize,
        skip: Option<(usize, usize)>,
        limit: i64,
        through_sink: bool,
    ) -> Search {
        let mut search = Search {
            distance: vec![i64::MAX; self.sink() + 1],
            parent: vec![usize::MAX; self.sink() + 1],
            reached: None,
        };
        let mut work = self.sink() as u64;
        let mut heap = BinaryHeap::new();
        if let Some(start) = search.distance.get_mut(from) {
            *start = 0;
        }
        heap.push(Reverse((0i64, from)));
        while let Some(Reverse((distance, node))) = heap.pop() {
            if search.distance.get(node).is_none_or(|&best| distance > best) {
                continue;
            }
            if node == to {
                search.reached = Some(distance);
                break;
            }
            let Search { distance: best, parent, .. } = &mut search;
            self.arcs(node, through_sink, |next, cost| {
                work += 4;
                let reach = distance + cost.max(0);
                if reach > limit || skip == Some((node, next)) {
                    return;
                }
                if let (Some(known), Some(via)) = (best.get_mut(next), parent.get_mut(next))
                    && reach < *known
                {
                    (*known, *via) = (reach, node);
                    heap.push(Reverse((reach, next)));
                }
            });
        }
        self.work.set(self.work.get().saturating_add(work));
        search
    }

    /// Places one more member of a left class, or leaves it open; `false` when all are placed.
    fn augment(&mut self, left: usize) -> bool {
        if self.left_supply.get(left).is_none_or(|&supply| self.placed(left) >= supply) {
            return false;
        }
        let sink = self.sink();
        let search = self.shortest(left, sink, None, i64::MAX - 1, false);
        let Some(length) = search.reached else { return false };
        for (potential, &distance) in self.potential.iter_mut().zip(&search.distance) {
            *potential += distance.min(length);
        }
        let mut node = sink;
        while node != left {
            let before = search.parent.get(node).copied().unwrap_or(left);
            self.push(before, node);
            node = before;
        }
        true
    }

    /// Sends one unit along a residual arc.
    fn push(&mut self, from: usize, to: usize) {
        let lefts = self.left_supply.len();
        let sink = self.sink();
        let change = |slot: Option<&mut u32>, up: bool| {
            if let Some(slot) = slot {
                *slot = if up { *slot + 1 } else { slot.saturating_sub(1) };
            }
        };
        match (from < lefts, to == sink) {
            (true, true) => change(self.left_open.get_mut(from), true),
            (false, true) => change(self.right_left_over.get_mut(from - lefts), false),
            (true, false) => self.change_flow(from, to - lefts, true),
            (false, false) => self.change_flow(to, from - lefts, false),
        }
    }

    fn change_flow(&mut self, left: usize, right: usize, up: bool) {
        let Some(index) = self.find(left, right) else { return };
        let (Some(flow), Some(carrying)) = (self.flow.get_mut(index as usize), self.carrying.get_mut(right))
        else {
            return;
        };
        *flow = if up { *flow + 1 } else { flow.saturating_sub(1) };
        match (up, *flow) {
            (true, 1) => carrying.push(index),
            (false, 0) => carrying.retain(|&other| other != index),
            _ => {}
        }
    }

    fn find(&self, left: usize, right: usize) -> Option<u32> {
        self.edges_of(&self.by_left, left).find(|(_, edge)| edge.right == right).map(|(index, _)| index)
    }

    /// Whether both ends of a pair have another arc within the limit, without which no cycle can go through it.
    fn may_have_rival(&self, left: usize, right_node: usize, limit: i64) -> bool {
        let within = |node: usize, except: usize| {
            let mut any = false;
            self.arcs(node, false, |next, cost| any |= next != except && cost <= limit);
            any
        };
        let right = right_node - self.left_supply.len();
        let from_sink = self.pot(self.sink()) - self.pot(right_node) <= limit;
        let from_left = || {
            self.edges_of(&self.by_right, right).any(|(_, edge)| {
                edge.left != left && edge.cost + self.pot(edge.left) - self.pot(right_node) <= limit
            })
        };
        within(left, right_node) && (from_sink || from_left())
    }

    fn solution(&self, limit: i64, scale: i64) -> Solution {
        let mut solution = Solution::default();
        // Past the budget a decision counts as tied: never a coin toss.
        self.work.set(0);
        let spent = || self.work.get() > RIVAL_WORK_MAX;
        for (index, edge) in (0u32..).zip(&self.edges) {
            let right = self.right_node(edge.right);
            let reduced = edge.cost + self.pot(edge.left) - self.pot(right);
            let count = self.flow_on(index);
            if count > 0 || reduced <= limit {
                solution.tight.push((edge.left, edge.right));
            }
            if count > 0 {
                let may_have_rival = self.may_have_rival(edge.left, right, limit);
                let rival = if !may_have_rival {
                    None
                } else if spent() {
                    Some(0)
                } else {
                    self.shortest(edge.left, right, Some((edge.left, right)), limit, true).reached
                };
                let rival_margin =
                    rival.map(|cost| u32::try_from((cost + scale / 2) / scale).unwrap_or(u32::MAX));
                solution.flows.push(Flow { left: edge.left, right: edge.right, count, rival_margin });
            }
        }
        for (left, &open) in self.left_open.iter().enumerate() {
            if open > 0 {
                let skip = Some((left, self.sink()));
                if spent() || self.shortest(left, self.sink(), skip, limit, true).reached.is_some() {
                    solution.open_ties.push(left);
                }
            }
        }
        solution.flows.sort_unstable_by_key(|flow| (flow.left, flow.right));
        solution
    }
}

struct Search {
    distance: Vec<i64>,
    parent: Vec<usize>,
    reached: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edge(left: usize, right: usize, cost: u32) -> Edge {
        Edge { left, right, cost }
    }

    fn pairs(solution: &Solution) -> Vec<(usize, usize)> {
        solution.flows.iter().map(|flow| (flow.left, flow.right)).collect()
    }

    #[test]
    fn the_greedy_trap_is_avoided() {
        // Likeness: A-1 95, A-2 94, B-1 93, B-2 1. Greedy takes A-1 and is left with B-2.
        let solution =
            solve(&[1, 1], &[1, 1], &[edge(0, 0, 5), edge(0, 1, 6), edge(1, 0, 7), edge(1, 1, 99)], 0);
        assert_eq!(pairs(&solution), [(0, 1), (1, 0)]);
        assert!(solution.flows.iter().all(|flow| flow.rival_margin.is_none()));
    }

    #[test]
    fn a_tie_is_seen_and_goes_to_the_lowest() {
        let solution = solve(&[1], &[1, 1], &[edge(0, 0, 3), edge(0, 1, 3)], 0);
        assert_eq!(solution.flows, [Flow { left: 0, right: 0, count: 1, rival_margin: Some(0) }]);
        assert_eq!(solution.tight, [(0, 0), (0, 1)]);
        let other = solve(&[1, 1], &[1], &[edge(0, 0, 3), edge(1, 0, 3)], 0);
        assert_eq!((pairs(&other), other.open_ties.clone()), (vec![(0, 0)], vec![1]));
        assert_eq!(other.flows[0].rival_margin, Some(0));
    }

    #[test]
    fn twins_are_no_tie() {
        let solution = solve(&[2], &[1, 1], &[edge(0, 0, 3), edge(0, 1, 3)], 0);
        assert_eq!(pairs(&solution), [(0, 0), (0, 1)]);
        assert!(solution.flows.iter().all(|flow| flow.rival_margin.is_none()));
        let short = solve(&[1], &[2], &[edge(0, 0, 3)], 0);
        assert_eq!((short.flows[0].count, short.flows[0].rival_margin), (1, None));
    }

    #[test]
    fn a_margin_widens_what_counts_as_a_tie() {
        let edges = [edge(0, 0, 10), edge(0, 1, 14)];
        assert_eq!(solve(&[1], &[1, 1], &edges, 3).flows[0].rival_margin, None);
        assert_eq!(solve(&[1], &[1, 1], &edges, 4).flows[0].rival_margin, Some(4));
    }

    /// The best number of pairs, their least cost, and how many ways there are to reach both.
    fn brute_force(lefts: usize, rights: usize, edges: &[Edge]) -> (usize, u32, usize) {
        fn go(
            left: usize,
            lefts: usize,
            used: u32,
            edges: &[Edge],
            pairs: usize,
            cost: u32,
            best: &mut (usize, u32, usize),
        ) {
            if left == lefts {
                match (best.0.cmp(&pairs), best.1.cmp(&cost)) {
                    (std::cmp::Ordering::Less, _)
                    | (std::cmp::Ordering::Equal, std::cmp::Ordering::Greater) => *best = (pairs, cost, 1),
                    (std::cmp::Ordering::Equal, std::cmp::Ordering::Equal) => best.2 += 1,
                    _ => {}
                }
                return;
            }
            go(left + 1, lefts, used, edges, pairs, cost, best);
            for edge in edges.iter().filter(|edge| edge.left == left && used & (1 << edge.right) == 0) {
                go(left + 1, lefts, used | (1 << edge.right), edges, pairs + 1, cost + edge.cost, best);
            }
        }
        let _ = rights;
        let mut best = (0, 0, 0);
        go(0, lefts, 0, edges, 0, 0, &mut best);
        best
    }

    proptest! {
        #[test]
        fn it_is_as_good_as_trying_everything_and_knows_when_it_is_unique(
            lefts in 1usize..6, rights in 1usize..6, costs in prop::collection::vec(prop::option::weighted(0.7, 0u32..4), 36)
        ) {
            let edges: Vec<Edge> = (0..lefts)
                .flat_map(|left| (0..rights).map(move |right| (left, right)))
                .filter_map(|(left, right)| costs[left * 6 + right].map(|cost| edge(left, right, cost)))
                .collect();
            let solution = solve(&vec![1; lefts], &vec![1; rights], &edges, 0);
            let cost: u32 = pairs(&solution)
                .iter()
                .map(|&(left, right)| edges.iter().find(|edge| (edge.left, edge.right) == (left, right)).unwrap().cost)
                .sum();
            let (best_pairs, best_cost, ways) = brute_force(lefts, rights, &edges);
            prop_assert_eq!((solution.flows.len(), cost), (best_pairs, best_cost));
            let unique = solution.flows.iter().all(|flow| flow.rival_margin.is_none());
            prop_assert_eq!(unique, ways == 1);
        }
    }
}
