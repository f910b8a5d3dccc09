use crate::harness::{Case, decisions};

const KEYED: &str = "key: [reference, currency]\ndate: {from: 0, to: 3}";

#[test]
fn s01_two_identical_payments_and_two_identical_ledger_rows_are_two_matches_in_order_of_their_ids() {
    let twins = |prefix: &str| {
        format!("{prefix}1,2025-01-01,INV-1,10.00,EUR,same\n{prefix}2,2025-01-01,INV-1,10.00,EUR,same")
    };
    let run = Case::new(&twins("A"), &twins("B")).pass(KEYED).run();
    assert_eq!((run.confirmed(), run.exit), (vec!["A1 B1".to_owned(), "A2 B2".to_owned()], 0));
    let one = Case::new(&twins("A"), "B1,2025-01-01,INV-1,10.00,EUR,same").pass(KEYED).run();
    assert_eq!(
        (one.confirmed(), one.reason("A2"), one.exit),
        (vec!["A1 B1".to_owned()], "duplicate".to_owned(), 3)
    );
}

#[test]
fn s02_two_charges_and_one_settlement_of_equal_amount_consume_exactly_one() {
    let run = Case::new(
        "ch_1,2025-01-01,,25.00,USD,card
         ch_2,2025-01-01,,25.00,USD,card",
        "st_1,2025-01-01,,25.00,USD,settlement",
    )
    .pass("key: [currency]\ndate: {from: 0, to: 0}")
    .run();
    assert_eq!(run.confirmed(), ["ch_1 st_1"]);
    assert_eq!(run.reasons().len(), 1);
}

#[test]
fn s03_a_tie_on_everything_is_ambiguous_with_both_candidates_whatever_the_order_of_the_rows() {
    let left = "A1,2025-01-01,,50.00,EUR,payment";
    let rights = [
        "B1,2025-01-01,,50.00,EUR,first shop",
        "B2,2025-01-01,,50.00,EUR,second shop",
        "B3,2025-01-02,,77.00,EUR,other",
    ];
    let run = Case::new(left, &rights.join("\n")).pass("key: [currency]\ndate: {from: -1, to: 1}").run();
    assert_eq!(run.reason("A1"), "ambiguous");
    assert!(run.exception("A1").contains("B1 | B2"), "{}", run.exception("A1"));
    assert!(run.links().contains("A1 B1 ambiguous") && run.links().contains("A1 B2 ambiguous"));
    let first = Case::new(left, &rights.join("\n"))
        .pass("key: [currency]\ndate: {from: -1, to: 1}\nambiguity: deterministic_first")
        .run();
    assert_eq!(first.confirmed(), ["A1 B1"], "the lowest id");
    let all = Case::new(left, &rights.join("\n"))
        .pass("key: [currency]\ndate: {from: -1, to: 1}\nambiguity: suggest_all")
        .run();
    assert!(all.links().contains("A1 B1 suggested") && all.links().contains("A1 B2 suggested"));
}

#[test]
fn s03_a_hundred_shuffles_give_the_same_bytes() {
    use stoa_kernel::random::{Random as _, SplitMix64};
    let mut rows: Vec<(String, String)> = (0..60)
        .map(|row| {
            let (group, amount) = (row % 7, 10 + row % 5);
            (
                format!("A{row:02},2025-01-{:02},R-{group},{amount}.00,EUR,text {}", 1 + row % 9, row % 3),
                format!(
                    "B{row:02},2025-01-{:02},R-{group},{amount}.0{},EUR,text {}",
                    1 + row % 11,
                    row % 2,
                    row % 4
                ),
            )
        })
        .collect();
    let pass = "key: [reference, currency]\namount: {tolerance: 0.01}\ndate: {from: -3, to: 3}\ncardinality: [one_to_one, one_to_many, many_to_one]";
    let mut random = SplitMix64::seeded(3);
    let mut expected = None;
    for _ in 0..100 {
        for last in (1..rows.len()).rev() {
            let other = usize::try_from(random.below(last as u64 + 1)).unwrap();
            rows.swap(last, other);
        }
        let (lefts, mut rights): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
        rights.reverse();
        let run = Case::new(&lefts.join("\n"), &rights.join("\n")).pass(pass).run();
        let found = decisions(&run);
        assert!(found[0].contains("matched"));
        assert_eq!(*expected.get_or_insert(found.clone()), found);
    }
}

#[test]
fn s04_the_greedy_trap_is_avoided() {
    // A is most like 1, but B is like nothing else: the whole is best with A-2 and B-1.
    let run = Case::new(
        "A,2025-01-02,,100.00,EUR,x
         B,2025-01-01,,100.01,EUR,x",
        "1,2025-01-02,,100.00,EUR,x
         2,2025-01-03,,100.00,EUR,x",
    )
    .pass("key: [currency]\namount: {tolerance: 0.01}\ndate: {from: 0, to: 1}")
    .run();
    assert_eq!(run.confirmed(), ["A 2", "B 1"]);
}

#[test]
fn s07_the_same_amount_in_another_currency_is_a_currency_mismatch() {
    let run = Case::new("A,2025-01-01,INV-1,10.00,EUR,x", "B,2025-01-01,INV-1,10.00,USD,x").pass(KEYED).run();
    assert_eq!((run.reason("A"), run.reason("B")), ("currency_mismatch".into(), "currency_mismatch".into()));
    let unkeyed = Case::new("A,2025-01-01,,10.00,EUR,x", "B,2025-01-01,,10.00,USD,x")
        .pass("key: [currency]\ndate: {from: 0, to: 0}")
        .run();
    assert_eq!(unkeyed.reason("A"), "currency_mismatch");
}

#[test]
fn s15_windows_are_inclusive_and_directed_and_count_business_days_across_a_holiday() {
    for (day, reason) in [
        ("2024-12-31", "date_out_of_window"),
        ("2025-01-01", ""),
        ("2025-01-04", ""),
        ("2025-01-05", "date_out_of_window"),
    ] {
        let run = Case::new("A,2025-01-01,INV-1,10.00,EUR,x", &format!("B,{day},INV-1,10.00,EUR,x"))
            .pass(KEYED)
            .run();
        assert_eq!(run.reasons().get("A").map_or("", String::as_str), reason, "{day}");
    }
    // Thursday before Easter to the Tuesday after: one business day with the holidays, three without.
    let easter = |calendars: &str| {
        let rules = format!(
            "{calendars}passes:\n  - name: only\n    key: [reference]\n    date: {{from: 0, to: 1, unit: business_days}}"
        );
        Case::new("A,2025-04-17,INV-1,10.00,EUR,x", "B,2025-04-22,INV-1,10.00,EUR,x").rules(&rules).run().exit
    };
    assert_eq!(easter("calendars:\n  default: {holidays: [2025-04-18, 2025-04-21]}\n"), 0);
    assert_eq!(easter(""), 3);
}

#[test]
fn s16_references_are_found_in_all_their_forms_and_a_slip_of_the_pen_is_only_suggested() {
    let rules = r"
sources:
  right: {references: [{field: text, pattern: '(?i)\bORD-?(?<ref>[0-9]+)'}, {field: text, pattern: '\b(?<ref>0[0-9]{6})\b'}]}
passes:
  - name: order
    key: [{left: references, right: references, transform: [{strip_prefix: 'ord-'}, strip_leading_zeros]}, currency]
  - name: nearly
    key: [currency]
    text: [{left: references, right: references, measure: damerau, at_least: 600}]
    outcome: suggested
";
    let right = |text: &str| format!("B,2025-01-01,,10.00,EUR,{text}");
    for text in ["ORD-123", "0000123", "thanks for ord123 and bye"] {
        let run = Case::new("A,2025-01-01,ORD-123,10.00,EUR,x", &right(text)).rules(rules).run();
        assert_eq!(run.confirmed(), ["A B"], "{text}");
    }
    let slip = Case::new("A,2025-01-01,ORD-123,10.00,EUR,x", &right("ORD-132"))
        .rules(
            &rules.replace("transform: [{strip_prefix: 'ord-'}, strip_leading_zeros]", "transform: [digits]"),
        )
        .run();
    assert_eq!(slip.confirmed(), Vec::<String>::new());
    let suggested = Case::new("A,2025-01-01,AB-12345,10.00,EUR,x", "B,2025-01-01,AB-12354,10.00,EUR,x")
        .rules("passes:\n  - name: exact\n    key: [reference]\n  - name: nearly\n    key: [currency]\n    text: [{left: reference, right: reference, measure: damerau, at_least: 800}]\n    outcome: suggested")
        .run();
    assert_eq!(suggested.links().into_iter().collect::<Vec<_>>(), ["A B suggested"]);
    assert_eq!(suggested.exit, 3, "a suggestion is for a person to decide");
}

#[test]
fn s17_a_token_that_everything_shares_is_bounded_and_reported() {
    let rows = |prefix: &str, cents: u32| -> String {
        (0..2_600)
            .map(|row| format!("{prefix}{row},2025-01-01,PAYMENT,{}.{cents:02},EUR,x{row}\n", 100 + row % 50))
            .collect()
    };
    let run = Case::new(&rows("A", 0), &rows("B", 1)).pass("key: [reference]\namount: {tolerance: 60}").run();
    assert_eq!(run.exit, 3);
    assert!(run.stdout.contains("was not searched"), "{}", run.stdout);
    let amounts =
        Case::new(&rows("A", 0), &rows("B", 0)).pass("key: [reference]\namount: {tolerance: 0}").run();
    assert!(!amounts.stdout.contains("was not searched"), "the amount keeps it small");
}

#[test]
fn s18_what_an_earlier_pass_confirmed_is_not_disturbed_by_a_better_candidate_of_a_later_one() {
    let run = Case::new(
        "A,2025-01-01,INV-1,10.00,EUR,exact words",
        "B1,2025-01-03,INV-1,10.02,EUR,other words
         B2,2025-01-01,,10.00,EUR,exact words",
    )
    .rules("passes:\n  - name: reference\n    key: [reference]\n    amount: {tolerance: 0.02}\n  - name: amount\n    key: [currency]")
    .run();
    assert_eq!(run.confirmed(), ["A B1"]);
}

#[test]
fn one_reference_on_one_side_meets_several_on_the_other() {
    let run = Case::new("A,2025-01-01,INV-1,10.00,EUR,x", "B,2025-01-01,,10.00,EUR,pays INV-0 and INV-1")
        .rules("sources: {right: {references: [{field: text, pattern: '(?<ref>INV-[0-9]+)'}]}}\npasses: [{name: p, key: [{left: reference, right: references}]}]")
        .run();
    assert_eq!(run.confirmed(), ["A B"]);
}

#[test]
fn an_amount_that_is_very_common_does_not_stand_in_the_way_of_the_others() {
    let rows = |prefix: &str| -> String {
        (0..2_010)
            .map(|row| {
                format!(
                    "{prefix}{row:04},20{:02}-{:02}-01,,9.99,EUR,{prefix} {row}\n",
                    10 + row % 15,
                    1 + row % 12
                )
            })
            .collect()
    };
    let left = rows("A") + "A9999,2025-03-01,,500.00,EUR,rent\n";
    let right = rows("B") + "B9999,2025-03-02,,500.00,EUR,rent\n";
    let run = Case::new(&left, &right).pass("key: [currency]\ndate: {from: -1, to: 3}").run();
    assert_eq!(run.confirmed(), ["A9999 B9999"]);
}

#[test]
fn small_differences_still_tell_candidates_apart_under_a_wide_tolerance() {
    let run = Case::new(
        "A,2025-01-01,I,100.00,EUR,x",
        "B1,2025-01-01,I,100.02,EUR,x\nB2,2025-01-01,I,100.01,EUR,y",
    )
    .pass("key: [reference]\namount: {tolerance: 10}")
    .run();
    assert_eq!(run.confirmed(), ["A B2"]);
}

#[test]
fn what_a_condition_leaves_out_is_no_candidate() {
    let run = Case::new("A,2025-01-01,I-1,1.00,EUR,skip me", "B,2025-01-01,I-1,1.00,EUR,skip me")
        .pass("key: [reference]\nexclude:\n|  left: [{ field: text, contains: skip }]")
        .run();
    assert_eq!((run.reason("A"), run.reason("B")), ("no_candidate".to_owned(), "no_candidate".to_owned()));
}

#[test]
fn account_numbers_in_texts_match_nothing() {
    let run = Case::new(
        "A,2025-01-01,,1.00,EUR,rent DE89 3704 0044 0532 0130 00",
        "B,2025-03-01,,9.00,EUR,salary DE89 3704 0044 0532 0130 00",
    )
    .run();
    assert!(run.links().is_empty(), "{:?}", run.links());
}
