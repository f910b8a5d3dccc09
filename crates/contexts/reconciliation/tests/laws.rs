//! Laws of the engine on random records and rules: no record twice, no pair past its gates, no dependence on how the work is
//! divided, and what was confirmed before stays.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up is to fail")]

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use stoa_reconciliation::field::{Field, Mapping};
use stoa_reconciliation::matching::outcome::{Outcome, Standing};
use stoa_reconciliation::matching::rates::Rates;
use stoa_reconciliation::matching::{RunOptions, run};
use stoa_reconciliation::profile::Profile;
use stoa_reconciliation::row::{Place, Row};
use stoa_reconciliation::rules::{self, RuleSet};
use stoa_reconciliation::side::{Builder, Side};

/// Id, day of January 2025, reference, cents, text.
type Line = (u8, u8, i64, u8);

fn side(lines: &[Line]) -> Side {
    let fields = [Field::ExternalId, Field::BookedDate, Field::Reference, Field::Amount, Field::Text];
    let mut mapping = Mapping::default();
    for (column, field) in fields.into_iter().enumerate() {
        mapping.set(field, column);
    }
    let columns = fields.map(|field| field.name().to_owned()).to_vec();
    let mut builder = Builder::new(usize::MAX, None, 1);
    builder.next_file(Profile { columns, mapping, ..Profile::default() });
    let mut row = Row::default();
    for (number, (day, reference, cents, text)) in lines.iter().enumerate() {
        row.restart(Place { line: number as u64 + 2, byte: 0 });
        let amount =
            format!("{}{}.{:02}", if *cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        let reference = if *reference == 0 { String::new() } else { format!("R{reference}") };
        for cell in
            [&format!("{number:03}"), &format!("2025-01-{day:02}"), &reference, &amount, &format!("t{text}")]
        {
            row.push(cell);
        }
        builder.add(&row).unwrap();
    }
    builder.finish().unwrap()
}

fn rules() -> RuleSet {
    rules::parse(
        "version: 1\nname: laws\npasses:\n\
         \x20 - {name: keyed, key: [reference], amount: {tolerance: 0.02}, date: {from: -1, to: 3}, cardinality: [one_to_one, one_to_many, many_to_one]}\n\
         \x20 - {name: sums, key: [currency], date: {from: 0, to: 3}, cardinality: [one_to_many, many_to_one], groups: {members: subset, parts_max: 3}}\n\
         \x20 - {name: amounts, key: [currency], amount: {tolerance: 0.01}, date: {from: -2, to: 2}, outcome: suggested}\n\
         \x20 - {name: net, key: [text], date: {from: -2, to: 2}, cardinality: [many_to_many]}\n",
    )
    .unwrap()
}

fn decide(sides: [&Side; 2], matched: &[(u32, u32)], threads: usize, partitions: usize) -> Outcome {
    let options = RunOptions { threads, partitions: Some(partitions) };
    run(sides, &rules(), &Rates::default(), matched, options, &AtomicBool::new(false), |_| {}).unwrap()
}

/// Every decision as text.
fn told(outcome: &Outcome) -> String {
    format!(
        "{:?}{:?}{:?}{:?}{:?}",
        outcome.left, outcome.right, outcome.groups, outcome.links, outcome.diagnoses
    )
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec((1u8..8, 0u8..4, -300i64..300, 0u8..3), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_record_is_used_twice_and_every_confirmed_pair_is_within_its_bounds(left in lines(), right in lines()) {
        let (l, r) = (side(&left), side(&right));
        let outcome = decide([&l, &r], &[], 1, 1);
        for (record, standing) in (0u32..).zip(&outcome.left) {
            match *standing {
                Standing::Pair(partner, pass) => {
                    prop_assert_eq!(outcome.right[partner as usize], Standing::Pair(record, pass), "both sides say the same");
                    let delta = l.amount(record).checked_sub(r.amount(partner)).unwrap().abs();
                    prop_assert!(delta <= "0.02".parse().unwrap());
                    prop_assert!((-2..=3).contains(&r.booked(partner).since(l.booked(record))));
                }
                Standing::Group(group) => prop_assert!(outcome.groups[group as usize].left.contains(&record)),
                Standing::Open => {}
            }
        }
        let mut seen: (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for group in &outcome.groups {
            let sum = |side: &Side, records: &[u32]| records.iter().fold("0".parse().unwrap(), |sum: stoa_kernel::money::Decimal, &record| sum.checked_add(side.amount(record)).unwrap());
            let residual = sum(&l, &group.left).checked_sub(sum(&r, &group.right)).unwrap().abs();
            prop_assert!(residual <= "0.02".parse().unwrap(), "a group adds up");
            seen.0.extend(&group.left);
            seen.1.extend(&group.right);
        }
        for records in [&mut seen.0, &mut seen.1] {
            let all = records.len();
            records.sort_unstable();
            records.dedup();
            prop_assert_eq!(records.len(), all, "in one group at most");
        }
    }

    #[test]
    fn threads_and_partitions_change_nothing(left in lines(), right in lines(), threads in 1usize..5, partitions in 1usize..9) {
        let (l, r) = (side(&left), side(&right));
        prop_assert_eq!(told(&decide([&l, &r], &[], 1, 1)), told(&decide([&l, &r], &[], threads, partitions)));
    }

    #[test]
    fn what_was_confirmed_before_stays_as_it_is(left in lines(), right in lines(), pick in any::<prop::sample::Index>()) {
        prop_assume!(!left.is_empty() && !right.is_empty());
        let (l, r) = (side(&left), side(&right));
        let pair = (u32::try_from(pick.index(left.len())).unwrap(), u32::try_from(pick.index(right.len())).unwrap());
        let outcome = decide([&l, &r], &[pair], 2, 3);
        let pass = u8::try_from(outcome.passes.len() - 1).unwrap();
        prop_assert_eq!(outcome.left[pair.0 as usize], Standing::Pair(pair.1, pass));
        prop_assert!(outcome.is_confirmed(pass));
    }
}
