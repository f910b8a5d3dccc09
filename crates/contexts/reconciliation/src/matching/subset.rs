//! Bounded subset sum on integers: which few of many parts add up to a whole.
//!
//! Three methods, cheapest first, all within one budget of nodes: depth-first search with suffix bounds; meet in the
//! middle (Horowitz & Sahni 1974) up to 40 candidates; dynamic programming over sums when the whole is a small number.
//! A budget in nodes and not in time: the answer is the same on every machine.

use rustc_hash::FxHashMap;

/// A part that may belong to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its amount; parts are of the same sign as the whole.
    pub amount: i128,
    /// Parts of one class are interchangeable: exchanging them is not another solution.
    pub class: u32,
}

/// The bounds of a search.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most parts.
    pub parts_max: usize,
    /// The most nodes.
    pub nodes_max: u64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Exactly one subset fits, or exactly one fits without residual: the indices of its parts, ascending.
    One(Vec<usize>),
    /// Several subsets fit equally: two of them, to show.
    Several(Vec<usize>, Vec<usize>),
    /// None fits.
    Nothing,
    /// The budget ended before the search was complete.
    Exhausted,
}

/// The subset of two or more parts whose sum is within `tolerance` of `whole` and accepted.
///
/// `tolerance` bounds the search; `accepts` decides, and is given the sum with the sign of the whole.
///
/// A subset without residual beats those with one; two that are equal in that are [`Found::Several`].
#[must_use]
pub fn search(
    whole: i128,
    parts: &[Part],
    tolerance: i128,
    bounds: Bounds,
    accepts: &dyn Fn(i128) -> bool,
) -> Found {
    // Everything by magnitude: parts of the other sign cannot be part of it.
    let sign = whole.signum();
    let target = whole.abs();
    let mut order: Vec<(i128, u32, usize)> = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| {
            part.amount.signum() == sign && part.amount.abs() <= target.saturating_add(tolerance)
        })
        .map(|(index, part)| (part.amount.abs(), part.class, index))
        .collect();
    order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut hunt = Hunt {
        target,
        tolerance,
        bounds,
        order: &order,
        nodes: 0,
        exact: Solutions::default(),
        near: Solutions::default(),
        accepts: &|sum| accepts(sum * sign),
    };
    let mut complete = hunt.depth_first();
    if !complete && order.len() <= 40 {
        hunt = Hunt { nodes: 0, exact: Solutions::default(), near: Solutions::default(), ..hunt };
        complete = hunt.meet_in_the_middle();
    } else if !complete && tolerance == 0 && target <= 200_000 {
        hunt = Hunt { nodes: 0, exact: Solutions::default(), near: Solutions::default(), ..hunt };
        complete = hunt.dynamic();
    }
    let Hunt { exact, near, .. } = hunt;
    // Two exact ones are enough to know, even if the search did not end.
    match (exact.first, exact.second, complete) {
        (Some(first), Some(second), _) => Found::Several(first, second),
        (_, _, false) => Found::Exhausted,
        (Some(only), None, true) => Found::One(only),
        (None, _, true) => match (near.first, near.second) {
            (Some(first), Some(second)) => Found::Several(first, second),
            (Some(only), None) => Found::One(only),
            (None, _) => Found::Nothing,
        },
    }
}

#[derive(Debug, Clone, Default)]
struct Solutions {
    first: Option<Vec<usize>>,
    second: Option<Vec<usize>>,
}

struct Hunt<'p> {
    target: i128,
    tolerance: i128,
    bounds: Bounds,
    /// Magnitude (descending), class, index.
    order: &'p [(i128, u32, usize)],
    nodes: u64,
    exact: Solutions,
    near: Solutions,
    accepts: &'p dyn Fn(i128) -> bool,
}

impl Hunt<'_> {
    /// Notes a solution given by places in `order`; `false` when enough is known to stop.
    fn note(&mut self, places: &[usize], sum: i128) -> bool {
        if sum != self.target && !(self.accepts)(sum) {
            return true;
        }
        let classes = |indices: &[usize]| {
            let mut classes: Vec<u32> = self
                .order
                .iter()
                .filter(|(.., index)| indices.contains(index))
                .map(|&(_, class, _)| class)
                .collect();
            classes.sort_unstable();
            classes
        };
        let mut indices: Vec<usize> =
            places.iter().filter_map(|&place| self.order.get(place)).map(|&(.., index)| index).collect();
        indices.sort_unstable();
        let same = |known: &Option<Vec<usize>>| {
            known.as_ref().is_some_and(|known| classes(known) == classes(&indices))
        };
        let exact = sum == self.target;
        let seen = if exact { &self.exact } else { &self.near };
        if same(&seen.first) || same(&seen.second) {
            return true;
        }
        let seen = if exact { &mut self.exact } else { &mut self.near };
        if seen.first.is_none() {
            seen.first = Some(indices);
        } else if seen.second.is_none() {
            seen.second = Some(indices);
        }
        self.exact.second.is_none()
    }

    /// Depth-first, largest part first. A branch is cut when even the largest remaining parts cannot reach the target, or
    /// the smallest overshoots it. Returns whether it was complete.
    fn depth_first(&mut self) -> bool {
        let mut stack: Vec<usize> = Vec::with_capacity(self.bounds.parts_max);
        self.descend(0, 0, &mut stack).unwrap_or(true)
    }

    /// `Some(false)`: out of budget; `None`: stop, enough is known; `Some(true)`: go on.
    fn descend(&mut self, start: usize, sum: i128, stack: &mut Vec<usize>) -> Option<bool> {
        if stack.len() >= 2 && (sum - self.target).abs() <= self.tolerance && !self.note(stack, sum) {
            return None;
        }
        let room = self.bounds.parts_max - stack.len();
        if room == 0 {
            return Some(true);
        }
        let mut place = start;
        while let Some(&(amount, class, _)) = self.order.get(place) {
            self.nodes += 1;
            if self.nodes > self.bounds.nodes_max {
                return Some(false);
            }
            // The largest that the remaining room can add: the parts are in descending order.
            let reachable = amount.saturating_mul(i128::try_from(room).unwrap_or(i128::MAX));
            if sum.saturating_add(reachable) < self.target - self.tolerance {
                break;
            }
            if sum + amount <= self.target + self.tolerance {
                stack.push(place);
                let deeper = self.descend(place + 1, sum + amount, stack);
                stack.pop();
                if deeper != Some(true) {
                    return deeper;
                }
            }
            // A twin in the same place would give the same subsets again.
            place += 1;
            while self.order.get(place).is_some_and(|next| (next.0, next.1) == (amount, class)) {
                place += 1;
            }
        }
        Some(true)
    }

    /// Splits the parts into two halves, lists the sums of each, and pairs them. Returns whether it was complete.
    fn meet_in_the_middle(&mut self) -> bool {
        let (front, back) = self.order.split_at(self.order.len() / 2);
        let offset = front.len();
        let Some(left) = sums(front, 0, self.bounds.parts_max, self.target + self.tolerance) else {
            return false;
        };
        let Some(mut right) = sums(back, offset, self.bounds.parts_max, self.target + self.tolerance) else {
            return false;
        };
        right.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        for (sum, places) in &left {
            let low = self.target - self.tolerance - sum;
            let from = right.partition_point(|(other, _)| *other < low);
            for (other, more) in right.iter().skip(from) {
                if sum + other > self.target + self.tolerance {
                    break;
                }
                let count = places.len() + more.len();
                if (2..=self.bounds.parts_max).contains(&count) {
                    let all: Vec<usize> =
                        places.iter().chain(more).map(|&place| usize::from(place)).collect();
                    if !self.note(&all, sum + other) {
                        return true;
                    }
                }
            }
        }
        true
    }

    /// For each sum, the fewest ways (at most two) to reach it with each number of parts. Returns whether it was complete.
    fn dynamic(&mut self) -> bool {
        let mut reached: FxHashMap<(u32, i128), Vec<Vec<usize>>> = FxHashMap::default();
        reached.insert((0, 0), vec![Vec::new()]);
        for (place, &(amount, ..)) in self.order.iter().enumerate() {
            let mut next: Vec<((u32, i128), Vec<usize>)> = Vec::new();
            for (&(count, sum), ways) in &reached {
                let fits = (count as usize) < self.bounds.parts_max && sum + amount <= self.target;
                for way in ways.iter().filter(|_| fits) {
                    let mut longer = way.clone();
                    longer.push(place);
                    next.push(((count + 1, sum + amount), longer));
                }
            }
            next.sort_unstable();
            for (key, way) in next {
                self.nodes += 1;
                let classes = |way: &[usize]| {
                    let mut classes: Vec<u32> = way
                        .iter()
                        .filter_map(|&place| self.order.get(place))
                        .map(|&(_, class, _)| class)
                        .collect();
                    classes.sort_unstable();
                    classes
                };
                let ways = reached.entry(key).or_default();
                // Two that differ by more than twins are enough to know that it is not unique.
                if ways.len() < 2 && ways.iter().all(|known| classes(known) != classes(&way)) {
                    ways.push(way);
                }
            }
            if self.nodes > self.bounds.nodes_max.saturating_mul(10) {
                return false;
            }
        }
        let mut hits: Vec<Vec<usize>> = reached
            .into_iter()
            .filter(|&((count, sum), _)| count >= 2 && sum == self.target)
            .flat_map(|(_, ways)| ways)
            .collect();
        hits.sort_unstable();
        for hit in hits {
            self.note(&hit, self.target);
        }
        true
    }
}

/// All sums of at most `parts_max` of these parts, with their places; `None` when there are too many to list.
fn sums(
    parts: &[(i128, u32, usize)],
    offset: usize,
    parts_max: usize,
    most: i128,
) -> Option<Vec<(i128, Vec<u8>)>> {
    const LISTED_MAX: usize = 300_000;
    let mut listed: Vec<(i128, Vec<u8>)> = vec![(0, Vec::new())];
    for (place, &(amount, ..)) in parts.iter().enumerate() {
        let place = u8::try_from(place + offset).ok()?;
        for index in 0..listed.len() {
            let Some((sum, places)) = listed.get(index) else { break };
            if places.len() < parts_max && sum + amount <= most {
                let mut longer = places.clone();
                longer.push(place);
                let entry = (sum + amount, longer);
                listed.push(entry);
            }
        }
        if listed.len() > LISTED_MAX {
            return None;
        }
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { parts_max: 6, nodes_max: 200_000 };

    fn parts(amounts: &[i128]) -> Vec<Part> {
        (0..).zip(amounts).map(|(class, &amount)| Part { amount, class }).collect()
    }

    fn found(whole: i128, amounts: &[i128], tolerance: i128) -> Found {
        search(whole, &parts(amounts), tolerance, BOUNDS, &|_| true)
    }

    #[test]
    fn one_subset_is_found_whatever_the_order() {
        assert_eq!(found(100, &[50, 60, 40], 0), Found::One(vec![1, 2]));
        assert_eq!(found(-100, &[-50, -60, -40, 60], 0), Found::One(vec![1, 2]));
        assert_eq!(found(100, &[100, 3], 0), Found::Nothing, "one part is a pair, not a group");
    }

    #[test]
    fn two_subsets_are_several_unless_they_differ_by_twins_only() {
        assert_eq!(found(100, &[60, 40, 70, 30], 0), Found::Several(vec![2, 3], vec![0, 1]));
        let twins =
            [Part { amount: 60, class: 0 }, Part { amount: 40, class: 1 }, Part { amount: 40, class: 1 }];
        assert_eq!(search(100, &twins, 0, BOUNDS, &|_| true), Found::One(vec![0, 1]));
    }

    #[test]
    fn no_residual_beats_a_small_one() {
        assert_eq!(found(10_000, &[4_000, 5_999, 1], 2), Found::One(vec![0, 1, 2]));
    }

    #[test]
    fn a_spent_budget_is_said_not_hidden() {
        let many: Vec<i128> = (0..60).map(|index| 1_000_003 + index * 7_919).collect();
        let bounds = Bounds { parts_max: 6, nodes_max: 500 };
        assert_eq!(search(5_555_555, &parts(&many), 0, bounds, &|_| true), Found::Exhausted);
    }

    #[test]
    fn the_other_methods_agree_with_depth_first_search() {
        let amounts: Vec<i128> = (0..24).map(|index| 1_000 + (index * index * 37) % 911).collect();
        let all = parts(&amounts);
        for whole in (3_000..6_000).step_by(97) {
            let depth_first =
                search(whole, &all, 0, Bounds { parts_max: 4, nodes_max: 10_000_000 }, &|_| true);
            let order: Vec<(i128, u32, usize)> = {
                let mut order: Vec<_> =
                    all.iter().enumerate().map(|(index, part)| (part.amount, part.class, index)).collect();
                order.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
                order
            };
            for middle in [true, false] {
                let mut hunt = Hunt {
                    target: whole,
                    tolerance: 0,
                    bounds: Bounds { parts_max: 4, nodes_max: 10_000_000 },
                    order: &order,
                    nodes: 0,
                    exact: Solutions::default(),
                    near: Solutions::default(),
                    accepts: &|_| true,
                };
                assert!(if middle { hunt.meet_in_the_middle() } else { hunt.dynamic() });
                match &depth_first {
                    Found::One(only) => assert_eq!(
                        (hunt.exact.first.as_ref(), hunt.exact.second.as_ref()),
                        (Some(only), None)
                    ),
                    Found::Several(..) => assert!(hunt.exact.second.is_some()),
                    _ => assert_eq!(hunt.exact.first, None),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_found_fits_and_what_is_unique_is_unique(
            amounts in prop::collection::vec(1i128..60, 2..9), whole in 2i128..150, tolerance in 0i128..3
        ) {
            let mut exact = 0;
            let mut near = 0;
            for mask in 0u32..1 << amounts.len() {
                let chosen: Vec<i128> = (0..amounts.len()).filter(|bit| mask & (1 << bit) != 0).map(|bit| amounts[bit]).collect();
                let sum: i128 = chosen.iter().sum();
                if (2..=6).contains(&chosen.len()) && (sum - whole).abs() <= tolerance {
                    if sum == whole { exact += 1 } else { near += 1 }
                }
            }
            match found(whole, &amounts, tolerance) {
                Found::One(only) => {
                    let sum: i128 = only.iter().map(|&index| amounts[index]).sum();
                    prop_assert!((sum - whole).abs() <= tolerance);
                    prop_assert!(exact == 1 || (exact == 0 && near == 1));
                }
                Found::Several(..) => prop_assert!(exact > 1 || (exact == 0 && near > 1)),
                Found::Nothing => prop_assert_eq!(exact + near, 0),
                Found::Exhausted => prop_assert!(false, "eight parts are few"),
            }
        }
    }
}
