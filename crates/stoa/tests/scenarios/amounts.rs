use crate::harness::Case;

fn matches(left: &str, right: &str, amount: &str) -> bool {
    let row = |id: &str, amount: &str| format!("{id},2025-01-01,INV-1,{amount},EUR,x");
    Case::new(&row("A", left), &row("B", right))
        .pass(&format!("key: [reference]\namount: {amount}"))
        .run()
        .exit
        == 0
}

#[test]
fn s05_the_tolerance_is_inclusive_to_the_minor_unit_and_percentages_are_exact() {
    assert!(matches("100.00", "100.02", "{tolerance: 0.02}"));
    assert!(!matches("100.00", "100.03", "{tolerance: 0.02}"));
    assert!(matches("1210.00", "1185.80", "{percent: 2, base: left}"));
    assert!(!matches("1210.00", "1185.79", "{percent: 2, base: left}"));
    assert!(!matches("1185.80", "1210.00", "{percent: 2, base: left}"), "2 % of the smaller one is less");
    assert!(matches("1185.80", "1210.00", "{percent: 2, base: max}"));
    assert!(matches("100.00", "100.50", "{tolerance: 0.02, percent: 1, combine: or}"));
    assert!(!matches("100.00", "100.50", "{tolerance: 0.02, percent: 1, combine: and}"));
}

#[test]
fn s06_cents_zero_and_signs() {
    assert!(matches("0.30", "0.29", "{tolerance: 0.01}"));
    assert!(matches("0", "0.00", "{}"));
    assert!(matches("-10.00", "-10.00", "{}"));
    assert!(!matches("-10.00", "10.00", "{}"));
    assert!(matches("-10.00", "10.00", "{sign: opposite}"));
    assert!(matches("-10.00", "10.00", "{sign: ignore}"));
    assert!(!matches("-10.00", "-10.00", "{sign: opposite}"));
    let run = Case::new("A,2025-01-01,INV-1,-10.00,EUR,x", "B,2025-01-01,INV-1,10.00,EUR,x")
        .pass("key: [reference]")
        .run();
    assert_eq!(run.reason("A"), "sign_mismatch");
}

#[test]
fn s08_conversion_takes_the_last_business_day_inverts_rounds_and_never_assumes_one() {
    let convert = |left: &str, right: &str| {
        let case = Case::new(&format!("A,{left},x"), &format!("B,{right},x"))
            .pass("key: [reference]\namount: {tolerance: 0.01, fx: {}}");
        let rates = case.write(
            "rates.csv",
            "date,from,to,rate\n2025-01-03,USD,EUR,0.97\n2025-01-03,EUR,JPY,163.5\n2025-01-03,EUR,KWD,0.3167\n2025-01-03,JPY,USD,0.0064\n",
        );
        case.run_with(&["--rates", &rates])
    };
    assert_eq!(convert("2025-01-03,I,100.00,USD", "2025-01-03,I,97.00,EUR").exit, 0);
    assert_eq!(
        convert("2025-01-05,I,100.00,USD", "2025-01-05,I,97.00,EUR").exit,
        0,
        "Sunday takes Friday's rate"
    );
    let missing = convert("2025-02-01,I,100.00,USD", "2025-02-01,I,97.00,EUR");
    assert_eq!(missing.reason("A"), "fx_rate_missing");
    assert_eq!(
        convert("2025-01-03,I,100.00,USD", "2025-01-03,I,100.00,GBP").reason("A"),
        "fx_rate_missing",
        "never 1.0"
    );
    assert_eq!(convert("2025-01-03,I,97.00,EUR", "2025-01-03,I,100.00,USD").exit, 0, "inverse");
    assert_eq!(convert("2025-01-03,I,10.00,EUR", "2025-01-03,I,1635,JPY").exit, 0);
    assert_eq!(convert("2025-01-03,I,10.00,EUR", "2025-01-03,I,3.167,KWD").exit, 0);
    assert_eq!(
        convert("2025-01-03,I,10.00,EUR", "2025-01-03,I,3.178,KWD").reason("A"),
        "amount_out_of_tolerance"
    );
    let nothing = convert("2025-01-03,I,0,JPY", "2025-01-03,I,0.00,USD");
    assert_eq!(nothing.exit, 0, "zero is zero");
    let vanishes = Case::new("A,2025-01-03,I,0.001,KWD,x", "B,2025-01-03,I,0,JPY,x")
        .pass("key: [reference]\namount: {tolerance: 1, fx: {}}");
    let rates = vanishes.write("rates.csv", "2025-01-03,KWD,JPY,480\n");
    assert_eq!(
        vanishes.run_with(&["--rates", &rates]).reason("A"),
        "amount_out_of_tolerance",
        "what converts to nothing is not nothing"
    );
}

#[test]
fn s09_gross_is_net_and_fee() {
    let fees = |gross: &str, net: &str, rule: &str| {
        let left = format!("id,date,ref,amount,currency\nA,2025-01-01,I,{gross},EUR\n");
        let right = format!("id,date,ref,amount,currency,fee,fee_currency\nB,2025-01-01,I,{net}\n");
        Case::files("left.csv", &left, "right.csv", &right)
            .pass(&format!("key: [reference]\namount: {{fee: {rule}}}"))
            .run()
    };
    assert_eq!(fees("100.00", "97.10,EUR,2.90,", "{net: right}").exit, 0);
    assert_eq!(fees("100.00", "97.10,EUR,2.80,", "{net: right}").reason("A"), "fee_variance");
    let missing = fees("100.00", "97.10,EUR,,", "{net: right}");
    assert_eq!(missing.reason("A"), "fee_variance");
    assert!(missing.exception("A").contains("states no fee"));
    let other = fees("100.00", "97.10,EUR,2.90,USD", "{net: right}");
    assert_eq!(other.reason("A"), "fee_variance");
    assert!(other.exception("A").contains("USD"));
    assert_eq!(fees("100.00", "97.10,EUR,-2.90,", "{net: right}").exit, 0, "what a fee changes");
    assert_eq!(fees("100.00", "97.10,EUR,-2.80,", "{net: right}").reason("A"), "fee_variance");
    assert_eq!(fees("-100.00", "-100.00,EUR,0.00,", "{net: right}").exit, 0, "a refund that keeps the fee");
    assert_eq!(fees("100.00", "96.80,EUR,,", "{net: right, schedule: {flat: 0.30, percent: 2.9}}").exit, 0);
    assert_eq!(fees("10.00", "9.50,EUR,,", "{net: right, schedule: {percent: 1, min: 0.50}}").exit, 0);
    assert_eq!(
        fees(
            "1000.00",
            "990.00,EUR,,",
            "{net: right, schedule: {percent: 2, tiers: [{from: 500, percent: 1}]}}"
        )
        .exit,
        0
    );
}

#[test]
fn amounts_larger_than_64_bits_are_exact() {
    let run = Case::new(
        "A,2025-01-01,I,99999999999999999999.01,EUR,x",
        "B,2025-01-01,I,99999999999999999999.02,EUR,x",
    )
    .pass("key: [reference]")
    .run();
    assert_eq!(run.reason("A"), "amount_out_of_tolerance");
    assert!(run.exception("A").contains("-0.01"));
    assert_eq!(run.summary()["left"]["sums"]["EUR"]["ingested"], "99999999999999999999.01");
}

#[test]
fn s35_the_money_identity_holds_in_every_currency() {
    let run = Case::new(
        "A1,2025-01-01,I,10.005,EUR,x
         A2,2025-01-01,J,7,JPY,x
         A3,2025-01-01,K,oops,EUR,x
         A4,yesterday,K,2.50,EUR,x",
        "B1,2025-01-01,I,10.005,EUR,x",
    )
    .pass("key: [reference]")
    .run();
    let sums = &run.summary()["left"]["sums"]["EUR"];
    assert_eq!(
        (sums["ingested"].as_str(), sums["matched"].as_str(), sums["rejected"].as_str()),
        (Some("12.505"), Some("10.005"), Some("2.50"))
    );
    assert_eq!(run.summary()["left"]["rejected_without_amount"], 1);
}
