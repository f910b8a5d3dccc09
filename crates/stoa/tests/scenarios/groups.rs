use crate::harness::Case;

const SPLIT: &str = "key: [reference, currency]\namount: {tolerance: 0.02}\ncardinality: [one_to_one, one_to_many, many_to_one]";

#[test]
fn s10_a_split_is_found_with_its_reference_and_without_it() {
    let parts = |reference: &str| {
        format!(
            "B1,2025-01-01,{reference},50.00,EUR,x\nB2,2025-01-02,{reference},30.00,EUR,y\nB3,2025-01-02,{reference},20.00,EUR,z"
        )
    };
    let keyed = Case::new("A,2025-01-01,INV-1,100.00,EUR,x", &parts("INV-1")).pass(SPLIT).run();
    assert_eq!(keyed.confirmed(), ["A B1", "A B2", "A B3"]);
    let subset = "key: [currency]\ncardinality: [one_to_many]\ngroups: {members: subset}";
    let unkeyed =
        Case::new("A,2025-01-01,INV-1,100.00,EUR,x", &format!("{}\nB4,2025-01-02,,70.01,EUR,q", parts("")))
            .pass(subset)
            .run();
    assert_eq!(unkeyed.confirmed(), ["A B1", "A B2", "A B3"]);
    let two = Case::new(
        "A,2025-01-01,INV-1,100.00,EUR,x",
        &format!("{}\nB4,2025-01-02,,40.00,EUR,q\nB5,2025-01-02,,60.00,EUR,r", parts("")),
    )
    .pass(subset)
    .run();
    assert_eq!((two.confirmed(), two.reason("A")), (vec![], "ambiguous".to_owned()));
}

#[test]
fn s10_a_part_that_is_withdrawn_leaves_the_split_open_with_its_gap() {
    let run = Case::new(
        "A,2025-01-01,INV-1,100.00,EUR,x",
        "B1,2025-01-01,INV-1,50.00,EUR,x\nB2,2025-01-02,INV-1,30.00,EUR,y",
    )
    .pass(SPLIT)
    .run();
    assert_eq!((run.confirmed(), run.reason("A")), (vec![], "split_incomplete".to_owned()));
    assert!(run.exception("A").contains("20.00 EUR are missing of 100.00 EUR"), "{}", run.exception("A"));
}

#[test]
fn s10_an_exact_group_goes_before_a_pair_with_a_residual() {
    let run = Case::new(
        "A,2025-01-01,INV-1,100.00,EUR,x",
        "B1,2025-01-01,INV-1,99.99,EUR,x\nB2,2025-01-02,INV-1,0.01,EUR,y",
    )
    .pass(SPLIT)
    .run();
    assert_eq!(run.confirmed(), ["A B1", "A B2"]);
}

#[test]
fn s11_the_order_of_the_parts_is_no_trap() {
    for parts in [["50", "60", "40"], ["40", "50", "60"], ["60", "40", "50"]] {
        let left: String =
            parts.iter().map(|part| format!("A{part},2025-01-01,,{part}.00,EUR,{part}\n")).collect();
        let run = Case::new(&left, "B,2025-01-01,,100.00,EUR,x")
            .pass("key: [currency]\ncardinality: [many_to_one]\ngroups: {members: subset}")
            .run();
        assert_eq!(run.confirmed(), ["A40 B", "A60 B"]);
    }
}

#[test]
fn s12_netting_takes_all_or_nothing_and_its_tolerance_is_of_the_sum() {
    let net =
        "key: [currency]\namount: {tolerance: 0.05}\ndate: {from: -1, to: 1}\ncardinality: [many_to_many]";
    let left = "A1,2025-01-01,,60.00,EUR,x\nA2,2025-01-01,,-10.00,EUR,x";
    let exact = Case::new(left, "B1,2025-01-01,,30.00,EUR,x\nB2,2025-01-02,,20.00,EUR,x").pass(net).run();
    assert_eq!((exact.confirmed().len(), exact.exit), (4, 0));
    let at_bound = Case::new(left, "B1,2025-01-01,,30.00,EUR,x\nB2,2025-01-02,,20.05,EUR,x").pass(net).run();
    assert_eq!(at_bound.exit, 0);
    let past_bound =
        Case::new(left, "B1,2025-01-01,,30.00,EUR,x\nB2,2025-01-02,,20.06,EUR,x").pass(net).run();
    assert_eq!(past_bound.confirmed(), Vec::<String>::new());
    let one_more =
        Case::new(left, "B1,2025-01-01,,30.00,EUR,x\nB2,2025-01-02,,20.00,EUR,x\nB3,2025-01-01,,5.00,EUR,x")
            .pass(net)
            .run();
    assert_eq!(one_more.confirmed(), Vec::<String>::new());
}

#[test]
fn s13_what_is_carried_over_closes_with_the_last_payment() {
    let invoice = "A,2025-01-01,INV-1,1000.00,EUR,x";
    let january = "B1,2025-01-10,INV-1,400.00,EUR,x\nB2,2025-01-20,INV-1,350.00,EUR,x";
    let first = Case::new(invoice, january).pass(SPLIT).run();
    assert_eq!(first.reason("A"), "split_incomplete");
    assert!(first.exception("A").contains("250.00 EUR are missing"));
    let second =
        Case::new(invoice, &format!("{january}\nB3,2025-02-03,INV-1,250.00,EUR,x")).pass(SPLIT).run();
    assert_eq!((second.confirmed().len(), second.exit), (3, 0));
}

#[test]
fn s14_a_reversal_nets_out_before_anything_is_matched() {
    let run = Case::new(
        "A1,2025-01-01,INV-1,10.00,EUR,booked
         A2,2025-01-02,INV-1,-10.00,EUR,reversed
         A3,2025-01-03,INV-1,10.00,EUR,booked again",
        "B,2025-01-03,INV-1,10.00,EUR,x",
    )
    .rules("passes:\n  - name: reversals\n    key: [reference, currency]\n    date: {from: 0, to: 1}\n    cardinality: [reversal_left]\n  - name: reference\n    key: [reference]\n    date: {from: 0, to: 3}")
    .run();
    // A2 could cancel A1 or A3, which differ: one day each, so it is a tie and stays open.
    assert_eq!(run.reason("A2"), "no_candidate");
    let clear = Case::new(
        "A1,2025-01-01,INV-1,10.00,EUR,booked
         A2,2025-01-01,INV-1,-10.00,EUR,reversed
         A3,2025-01-03,INV-1,10.00,EUR,booked again",
        "B,2025-01-03,INV-1,10.00,EUR,x",
    )
    .rules("passes:\n  - name: reversals\n    key: [reference, currency]\n    date: {from: 0, to: 1}\n    cardinality: [reversal_left]\n  - name: reference\n    key: [reference]\n    date: {from: 0, to: 3}")
    .run();
    assert_eq!((clear.confirmed(), clear.exit), (vec!["A3 B".to_owned()], 0));
    assert!(clear.file("matches.csv").contains("reversal_left,confirmed,A1 + A2"));
}

#[test]
fn a_search_that_ends_at_its_budget_says_so() {
    let parts: String = (0..60)
        .map(|row| format!("B{row:02},2025-01-01,,{}.{:02},EUR,p{row}\n", 100 + row * 7, (row * 13) % 100))
        .collect();
    let run = Case::new("A,2025-01-01,,1234.57,EUR,x", &parts)
        .pass("key: [currency]\ncardinality: [one_to_many]\ngroups: {members: subset, nodes_max: 300}")
        .run();
    assert_eq!(run.reason("A"), "split_incomplete");
    assert!(run.exception("A").contains("budget"));
}

#[test]
fn a_group_takes_only_parts_that_share_a_reference_with_the_whole() {
    let rules = r"
sources:
  left: {references: [{field: text, pattern: '#(?<ref>[a-z]+)'}]}
  right: {references: [{field: text, pattern: '#(?<ref>[a-z]+)'}]}
passes:
  - {name: any, key: [references], cardinality: [one_to_one, one_to_many]}
";
    let run = Case::new(
        "L1,2025-01-01,,100.00,EUR,#aa\nL2,2025-01-01,,50.00,EUR,#bb",
        "R1,2025-01-01,,100.00,EUR,#aa #bb\nR3,2025-01-01,,20.00,EUR,#aa\nR4,2025-01-01,,30.00,EUR,#aa",
    )
    .rules(rules)
    .run();
    assert_eq!(run.confirmed(), ["L1 R1"]);
}

#[test]
fn the_sum_of_a_subset_is_held_to_the_same_bounds_as_a_pair() {
    let split = |amount: &str| {
        Case::new("A,2025-01-01,,1000.00,EUR,x", "B1,2025-01-01,,600.00,EUR,x\nB2,2025-01-01,,365.00,EUR,y")
            .pass(&format!(
                "key: [currency]\namount: {amount}\ncardinality: [one_to_many]\ngroups: {{members: subset}}"
            ))
            .run()
            .exit
    };
    assert_eq!((split("{percent: 2}"), split("{percent: 3.5}")), (3, 0));
    assert_eq!(split("{percent: 5, tolerance: 1, combine: and}"), 3);
}

#[test]
fn an_exact_group_goes_before_a_tolerant_pair_by_subset_and_beside_other_records_too() {
    let subset = "key: [reference]\namount: {tolerance: 0.02}\ncardinality: [one_to_one, one_to_many]\ngroups: {members: subset}";
    let parts = "B1,2025-01-01,I,99.99,EUR,x\nB2,2025-01-01,I,0.01,EUR,y";
    let run = Case::new("A,2025-01-01,I,100.00,EUR,x", &format!("{parts}\nB3,2025-01-01,I,7.00,EUR,z"))
        .pass(subset)
        .run();
    assert_eq!(run.confirmed(), ["A B1", "A B2"]);
    let run = Case::new(
        "A1,2025-01-01,I,100.00,EUR,x\nA2,2025-01-01,I,50.00,EUR,y",
        &format!("{parts}\nB3,2025-01-01,I,50.00,EUR,z"),
    )
    .pass(SPLIT)
    .run();
    assert_eq!(run.confirmed(), ["A1 B1", "A1 B2", "A2 B3"]);
}

#[test]
fn a_record_is_in_one_reversal_at_most_whatever_references_it_has() {
    let rules = "
sources: {left: {references: [{field: text, pattern: '#(?<ref>[a-z]+)'}]}}
passes: [{name: net, key: [references], cardinality: [reversal_left]}]
";
    let run = Case::new(
        "A1,2025-01-01,,100.00,EUR,#aa #bb\nA2,2025-01-01,,-100.00,EUR,#aa #bb\nA3,2025-01-01,,-100.00,EUR,#cc",
        "B,2025-01-01,,1.00,EUR,x",
    )
    .rules(rules)
    .run();
    assert_eq!(run.file("matches.csv").lines().count(), 2, "{}", run.file("matches.csv"));
    assert_eq!(run.reason("A3"), "no_candidate");
}

#[test]
fn the_parts_of_a_group_pass_the_text_gate_too() {
    let run = Case::new(
        "A,2025-01-01,,100.00,EUR,acme rent",
        "B1,2025-01-01,,60.00,EUR,zebra\nB2,2025-01-01,,40.00,EUR,quux",
    )
    .pass("key: [currency]\ntext: [{left: text, right: text, at_least: 900}]\ncardinality: [one_to_many]")
    .run();
    assert_eq!(run.confirmed(), Vec::<String>::new());
}
