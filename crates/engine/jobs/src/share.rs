//! Who comes next: a share of the work for every priority, a turn for every organization.
//!
//! Priorities share by strides (C. Waldspurger, W. Weihl: "Stride Scheduling", MIT 1995): whoever has had least, by weight, is next.
//! So what is urgent goes first, and nothing ever starves, however much of anything there is.

use std::collections::{HashMap, VecDeque};

use stoa_kernel::random::SplitMix64;

/// What one job costs the share of its priority: of 60 jobs, 32 critical, 16 high, 8 normal, 4 low where there is enough of each.
const STRIDES: [u64; 4] = [1, 2, 4, 8];

/// What each priority has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strides([u64; 4]);

/// A job that could be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: i64,
    /// The place of its queue in what the worker serves.
    pub queue: usize,
    /// 0 is critical, 3 is low.
    pub priority: usize,
    /// Whose it is.
    pub organization: i64,
    /// Its place among those of the same queue, priority and organization, from 0.
    pub turn: usize,
}

/// How many may be taken.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// In all.
    pub all: usize,
    /// Of normal and low priority.
    pub late: usize,
    /// Of queues that have a limit.
    pub queues: HashMap<usize, usize>,
    /// Of one organization; of those that have some already, what is left.
    pub tenant: usize,
    /// What is left of organizations that have some already.
    pub tenants: HashMap<i64, usize>,
    /// Draws who is first among equals: a fixed order would favour somebody each time.
    pub lot: u64,
}

/// Chooses, in the order in which they are to be begun.
#[must_use]
pub fn pick(mut candidates: Vec<Candidate>, strides: &mut Strides, mut room: Room) -> Vec<i64> {
    let lot = room.lot;
    let drawn = |one: &Candidate| {
        let place = u64::try_from(one.queue).unwrap_or(0).rotate_left(32) ^ one.organization.cast_unsigned();
        SplitMix64::mix(place ^ lot)
    };
    candidates.sort_by_key(|one| (one.turn, drawn(one)));
    let mut lanes: [VecDeque<Candidate>; 4] = Default::default();
    for candidate in candidates {
        if let Some(lane) = lanes.get_mut(candidate.priority.min(3)) {
            lane.push_back(candidate);
        }
    }
    let is_idle: [bool; 4] = std::array::from_fn(|level| lanes.get(level).is_none_or(VecDeque::is_empty));
    catch_up(is_idle, strides);
    let mut picked = Vec::with_capacity(room.all);
    while picked.len() < room.all {
        let next = (0..4).filter(|&level| {
            lanes.get(level).is_some_and(|lane| !lane.is_empty()) && (level < 2 || room.late > 0)
        });
        let Some(level) = next.min_by_key(|&level| (strides.0.get(level).copied(), level)) else { break };
        let Some(candidate) = lanes.get_mut(level).and_then(VecDeque::pop_front) else {
            break;
        };
        let of_queue = room.queues.entry(candidate.queue).or_insert(usize::MAX);
        let of_tenant = room.tenants.entry(candidate.organization).or_insert(room.tenant);
        if *of_queue == 0 || *of_tenant == 0 {
            continue;
        }
        (*of_queue, *of_tenant) = (*of_queue - 1, *of_tenant - 1);
        if let (Some(had), Some(stride)) = (strides.0.get_mut(level), STRIDES.get(level)) {
            *had = had.saturating_add(*stride);
        }
        if level >= 2 {
            room.late -= 1;
        }
        picked.push(candidate.id);
    }
    catch_up(is_idle, strides);
    picked
}

/// Nobody saves up while there is nothing to do.
fn catch_up(is_idle: [bool; 4], strides: &mut Strides) {
    let active = strides.0.iter().zip(is_idle).filter(|(_, is_idle)| !is_idle).map(|(had, _)| *had);
    let Some(floor) = active.min() else { return };
    for (had, is_idle) in strides.0.iter_mut().zip(is_idle) {
        if is_idle {
            *had = (*had).max(floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jobs(priority: usize, organization: i64, count: usize, first: i64) -> Vec<Candidate> {
        (0..count)
            .map(|turn| Candidate {
                id: first + i64::try_from(turn).unwrap(),
                queue: 0,
                priority,
                organization,
                turn,
            })
            .collect()
    }

    fn room(all: usize) -> Room {
        Room { all, late: all, tenant: usize::MAX, ..Room::default() }
    }

    #[test]
    fn what_is_urgent_goes_first_and_nothing_starves() {
        let all = [jobs(1, 1, 100, 1_000), jobs(2, 1, 100, 2_000), jobs(3, 1, 100, 3_000)].concat();
        let mut strides = Strides::default();
        let first = pick(all.clone(), &mut strides, room(1));
        assert_eq!(first, [1_000]);
        let picked = pick(all, &mut Strides::default(), room(70));
        let of = |first: i64| picked.iter().filter(|id| (first..first + 1_000).contains(*id)).count();
        assert_eq!((of(1_000), of(2_000), of(3_000)), (40, 20, 10));
    }

    #[test]
    fn even_one_place_at_a_time_is_shared() {
        let mut strides = Strides::default();
        let mut low = 0;
        for _ in 0..30 {
            let all = [jobs(0, 1, 50, 0), jobs(3, 1, 50, 3_000)].concat();
            low += usize::from(pick(all, &mut strides, room(1)) == [3_000]);
        }
        assert!((3..=4).contains(&low), "{low}");
    }

    #[test]
    fn whoever_was_away_has_not_saved_up() {
        let mut strides = Strides::default();
        for _ in 0..1_000 {
            let _ = pick(jobs(2, 1, 50, 0), &mut strides, room(50));
        }
        let all = [jobs(3, 1, 50, 3_000), jobs(2, 1, 50, 2_000)].concat();
        let picked = pick(all, &mut strides, room(12));
        assert_eq!(picked.iter().filter(|id| **id >= 3_000).count(), 4);
    }

    #[test]
    fn every_organization_has_its_turn() {
        let all = [jobs(2, 7, 100, 7_000), jobs(2, 8, 1, 8_000), jobs(2, 9, 2, 9_000)].concat();
        let picked = pick(all, &mut Strides::default(), room(5));
        let sorted = |ids: &[i64]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(&picked[..3]), [7_000, 8_000, 9_000]);
        assert_eq!(sorted(&picked[3..]), [7_001, 9_001]);
    }

    #[test]
    fn with_one_place_at_a_time_nobody_is_first_each_time() {
        let mut first = HashMap::new();
        for lot in 0..400 {
            let all = [jobs(2, 7, 100, 7_000), jobs(2, 8, 1, 8_000)].concat();
            let picked = pick(all, &mut Strides::default(), Room { lot: SplitMix64::mix(lot), ..room(1) });
            *first.entry(picked[0]).or_insert(0) += 1;
        }
        assert!((140..=260).contains(&first[&8_000]), "{first:?}");
    }

    #[test]
    fn no_organization_has_all_places() {
        let all = [jobs(0, 7, 100, 7_000), jobs(2, 8, 1, 8_000)].concat();
        let room = Room { tenant: 6, tenants: HashMap::from([(7, 2)]), ..room(8) };
        let picked = pick(all, &mut Strides::default(), room);
        assert_eq!(picked.len(), 3, "two that the flood still has, and the other one: {picked:?}");
    }

    proptest! {
        #[test]
        fn no_more_is_taken_than_there_is_room_for_and_nothing_twice(
            lanes in prop::collection::vec((0usize..4, 0i64..5, 0usize..30, 0usize..3), 0..12), all in 0usize..40, late in 0usize..40, limited in 0usize..10
        ) {
            let mut candidates = Vec::new();
            for (number, (priority, organization, count, queue)) in lanes.into_iter().enumerate() {
                let first = i64::try_from(number).unwrap() * 1_000;
                candidates.extend(jobs(priority, organization, count, first).into_iter().map(|one| Candidate { queue, ..one }));
            }
            let room = Room { late, queues: HashMap::from([(1, limited)]), ..room(all) };
            let picked = pick(candidates.clone(), &mut Strides::default(), room);
            let found: Vec<&Candidate> = picked.iter().map(|id| candidates.iter().find(|one| one.id == *id).unwrap()).collect();
            let mut unique = picked.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), picked.len());
            prop_assert!(picked.len() <= all && found.iter().filter(|one| one.priority >= 2).count() <= late);
            prop_assert!(found.iter().filter(|one| one.queue == 1).count() <= limited);
            // Whoever is left out, was left out for want of room.
            if picked.len() < all && picked.len() < candidates.len() {
                prop_assert!(candidates.iter().filter(|one| !picked.contains(&one.id)).all(|one| one.queue == 1 || one.priority >= 2));
            }
        }
    }
}
