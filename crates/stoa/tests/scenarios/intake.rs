use std::fs;

use tempfile::TempDir;

use crate::harness::{Case, HEADER, Run, shared, stoa};

fn inspect(name: &str, bytes: &[u8], options: &[&str]) -> Run {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let output = stoa().arg("inspect").arg(&path).args(options).output().unwrap();
    Run::of(&output, folder.path().to_owned())
}

fn inspected(name: &str, bytes: &[u8]) -> serde_json::Value {
    let run = inspect(name, bytes, &["--json"]);
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr))
}

#[test]
fn s20_what_is_no_table_is_refused_with_the_reason_and_a_way_out() {
    for (bytes, code) in [
        (&b""[..], "file_empty"),
        (b"\x00\x01\x02\x03\xff\xfe\x00\x07\x08\x00\x00\x01", "format_unknown"),
        (b"%PDF-1.7\n", "format_unsupported"),
        (b"\x1f\x8b\x08\x00", "format_unsupported"),
        (b"just\nsome\nwords\n", "format_unknown"),
        (b"who,what\nme,that\n", "column_missing"),
        (b"<html><body>404</body></html>", "format_unsupported"),
    ] {
        let run = inspect("file", bytes, &[]);
        assert_eq!(run.exit, 1, "{}", run.stderr);
        assert!(
            run.stderr.starts_with(&format!("error[{code}]")) && run.stderr.contains("help: "),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn s20_a_header_alone_is_an_empty_table() {
    let report = inspected("left.csv", HEADER.as_bytes());
    assert_eq!((report["loaded"].as_u64(), report["rejected"].as_u64()), (Some(0), Some(0)));
    let run = Case::new("", "B,2025-01-01,I,1.00,EUR,x").pass("key: [reference]").run();
    assert_eq!((run.exit, run.reason("B")), (3, "no_candidate".to_owned()));
}

#[test]
fn s20_every_separator_and_line_end_is_read() {
    for delimiter in [",", ";", "\t", "|"] {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["id,date,amount,text", "1,2025-01-31,10.50,a", "2,2025-02-01,-3.25,b", ""]
                .join(end)
                .replace(',', delimiter);
            let report = inspected("t.csv", text.as_bytes());
            assert_eq!(report["sums"]["XXX"], "7.25", "{delimiter:?} {end:?}");
            assert_eq!(report["records"][1]["place"]["line"], 3, "{delimiter:?} {end:?}");
        }
    }
}

#[test]
fn s20_every_encoding_is_read_and_places_are_those_of_the_file() {
    let text = "id;date;amount;text\n1;2025-01-31;10,50;Zürich\n2;2025-02-01;x;Genève\n";
    let wide = |little: bool| -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    };
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let start = text.find("2;2025").unwrap();
    for (bytes, byte) in [
        (text.as_bytes().to_vec(), start),
        ([b"\xEF\xBB\xBF", text.as_bytes()].concat(), start + 3),
        (latin, start - 1),
        (wide(true), (start - 1) * 2),
        (wide(false), (start - 1) * 2),
        ([&b"\xFF\xFE"[..], &wide(true)].concat(), (start - 1) * 2 + 2),
    ] {
        let report = inspected("t.csv", &bytes);
        assert_eq!(report["records"][0]["text"], "Zürich");
        assert_eq!(report["rejections"][0]["place"]["line"], 3);
        assert_eq!(report["rejections"][0]["place"]["byte"], byte, "{}", report["file"]["encoding"]);
    }
}

#[test]
fn s20_ragged_rows_nul_bytes_and_quoted_newlines() {
    let text = "id,date,amount,text\n1,2025-01-01,1.00,\"two\nlines, \"\"quoted\"\"\"\n2,2025-01-01,1.00\n3,2025-01-01,1.00,a,b\n4,2025-01-01,1.00,n\0l\n5,2025-01-01,1.00,a,,\n";
    let report = inspected("t.csv", text.as_bytes());
    assert_eq!((report["loaded"].as_u64(), report["rejected"].as_u64()), (Some(3), Some(2)));
    assert_eq!(report["records"][0]["text"], "two\nlines, \"quoted\"");
    let reasons = report["rejections"].to_string();
    assert!(reasons.contains("the row has 5 cells, the table 4") && reasons.contains("NUL"));
    assert_eq!(report["rejections"][0]["place"]["line"], 5, "the quoted newline is counted");
}

#[test]
fn s20_a_row_of_50_mb_is_rejected_and_the_rest_is_read() {
    let mut text = b"id,date,amount,text\n1,2025-01-01,1.00,".to_vec();
    text.resize(text.len() + (50 << 20), b'x');
    text.extend_from_slice(b"\n2,2025-01-01,2.00,short\n");
    let report = inspected("t.csv", &text);
    assert_eq!((report["loaded"].as_u64(), report["sums"]["XXX"].as_str()), (Some(1), Some("2.00")));
    assert!(report["rejections"][0]["reason"].as_str().unwrap().contains("longer than 16 MiB"));
}

#[test]
fn s21_a_date_stays_a_date_in_any_zone_and_days_that_the_calendar_lacks_are_clamped_with_a_flag() {
    for zone in ["Pacific/Auckland", "America/Los_Angeles", "Europe/Berlin"] {
        let run = inspect(
            "t.csv",
            b"id,date,amount\n1,2025-03-30,1.00\n2,2024-02-29,1.00\n3,2025-02-30,1.00\n",
            &["--json", "--set", &format!("zone={zone}")],
        );
        let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let days: Vec<&str> = (0..3).map(|row| report["records"][row]["booked"].as_str().unwrap()).collect();
        assert_eq!(days, ["2025-03-30", "2024-02-29", "2025-02-28"]);
        assert_eq!(report["records"][2]["flags"][0], "date_clamped");
    }
    let instants = "id,date,amount\n1,2025-03-30T00:30:00Z,1.00\n2,2025-03-29T23:30:00Z,1.00\n";
    let run = inspect("t.csv", instants.as_bytes(), &["--json", "--set", "zone=Europe/Berlin"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (report["records"][0]["booked"].as_str(), report["records"][1]["booked"].as_str()),
        (Some("2025-03-30"), Some("2025-03-30"))
    );
}

fn camt(entries: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.02\"><BkToCstmrStmt><GrpHdr/><Stmt><Acct><Id><IBAN>DE1</IBAN></Id></Acct>{entries}</Stmt></BkToCstmrStmt></Document>"
    )
}

fn detail(amount: &str) -> String {
    format!("<TxDtls><Refs><EndToEndId>E{amount}</EndToEndId></Refs><Amt Ccy=\"EUR\">{amount}</Amt></TxDtls>")
}

#[test]
fn s22_a_batch_entry_becomes_its_details_when_they_add_up_and_is_an_exception_when_not() {
    let entry = |amount: &str| {
        format!(
            "<Ntry><Amt Ccy=\"EUR\">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><BookgDt><Dt>2025-01-01</Dt></BookgDt><NtryDtls>{}{}</NtryDtls></Ntry>",
            detail("60.00"),
            detail("40.00")
        )
    };
    let good = inspected("s.xml", camt(&entry("100.00")).as_bytes());
    assert_eq!((good["loaded"].as_u64(), good["sums"]["EUR"].as_str()), (Some(2), Some("100.00")));
    assert_eq!(good["records"][0]["references"][0], "E60.00");
    let bad = inspected("s.xml", camt(&entry("100.01")).as_bytes());
    assert_eq!((bad["loaded"].as_u64(), bad["sums"]["EUR"].as_str()), (Some(1), Some("100.01")));
    assert_eq!(bad["control_totals"][0]["found"], "100.00 EUR");
}

#[test]
fn s22_several_statements_are_read_and_a_dtd_is_refused() {
    let attack = "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><Document><BkToCstmrStmt/></Document>";
    let run = inspect("s.xml", attack.as_bytes(), &[]);
    assert_eq!(run.exit, 1);
    assert!(run.stderr.contains("error[file_malformed]") && run.stderr.contains("DTD"), "{}", run.stderr);
    let cut = camt("<Ntry><Amt Ccy=\"EUR\">1.00</Amt>");
    let run = inspect("s.xml", cut.get(..cut.len() - 40).unwrap().as_bytes(), &[]);
    assert!(run.stderr.contains("error[file_malformed]"), "{}", run.stderr);
    if let Some(path) = shared("data/bank/camt/camt053.v2.multi.statement.xml") {
        let report = inspected("s.xml", &fs::read(path).unwrap());
        assert_eq!(report["loaded"], 2);
    }
}

#[test]
fn s23_repeated_fitids_are_two_records_and_closing_tags_are_not_needed() {
    let ofx = "OFXHEADER:100\nDATA:OFXSGML\n\n<OFX><BANKMSGSRSV1><STMTTRNRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>7</BANKACCTFROM>\
        <BANKTRANLIST><STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20250131120000[-5:EST]<TRNAMT>-5.50<FITID>X1<NAME>A &amp; B<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20250131<TRNAMT>-6,50<FITID>X1\
        </BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>";
    let report = inspected("s.ofx", ofx.as_bytes());
    assert_eq!((report["loaded"].as_u64(), report["sums"]["EUR"].as_str()), (Some(2), Some("-12.00")));
    assert!(report["records"].to_string().contains("A & B"));
    let run = Case::files(
        "s.ofx",
        ofx,
        "r.csv",
        "id,date,amount,currency\nB1,2025-01-31,-5.50,EUR\nB2,2025-01-31,-6.50,EUR\n",
    )
    .pass("key: [currency]")
    .run();
    assert_eq!(run.confirmed(), ["X1 B1", "X1 B2"]);
    assert!(run.stdout.contains("share their id"));
}

#[test]
fn s24_bai2_continuations_and_mt940_wrapped_narratives_and_missing_balances() {
    let bai = "01,A,B,250131,0829,001,80,1,2/\n02,B,A,1,250131,,EUR,/\n03,1020,EUR,010,10000,,,015,12500,,/\n16,115,2500,V,250201,,BANKREF,CUSTREF,FIRST\n88,SECOND/\n49,25000,4/\n98,25000,1,6/\n99,25000,1,8/\n";
    let report = inspected("s.bai", bai.as_bytes());
    assert_eq!(
        (report["loaded"].as_u64(), report["control_totals"].to_string()),
        (Some(1), "[]".to_owned()),
        "{report:#}"
    );
    assert_eq!(report["records"][0]["text"], "FIRST SECOND");
    assert_eq!(report["records"][0]["amount"], "25.00");
    assert_eq!(report["balance_gaps"].to_string(), "[]");
    let mt = ":20:S\n:25:1\n:28C:1\n:60F:C250101EUR10,00\n:61:2501020102C5,00NTRFREF1//BANK1\n:86:166?00GUT?20SVWZ+Rech\nnung 7?32ACME\n";
    let report = inspected("s.sta", mt.as_bytes());
    assert_eq!(report["records"][0]["text"], "SVWZ+Rechnung 7");
    assert!(report["warnings"].to_string().contains(":62F:"));
}

#[test]
fn s25_an_opening_balance_that_is_not_the_closing_before_it_is_a_gap() {
    let statement = |number: u32, opening: &str, closing: &str| {
        format!(
            ":20:S{number}\n:25:1\n:28C:{number}\n:60F:C250101EUR{opening}\n:61:2501020102C5,00NTRFREF{number}\n:62F:C250102EUR{closing}\n-\n"
        )
    };
    let good =
        inspected("s.sta", (statement(1, "10,00", "15,00") + &statement(2, "15,00", "20,00")).as_bytes());
    assert_eq!(good["balance_gaps"].to_string(), "[]");
    let bad =
        inspected("s.sta", (statement(1, "10,00", "15,00") + &statement(2, "16,00", "21,00")).as_bytes());
    assert_eq!(bad["balance_gaps"].as_array().unwrap().len(), 1);
    assert!(bad["balance_gaps"][0]["message"].as_str().unwrap().contains("opens with 16.00"));
}

#[test]
fn s26_nine_rows_load_and_the_malformed_one_stays_visible_and_strict_mode_loads_none() {
    let rows: String = (1..=10)
        .map(|row| {
            format!(
                "{row},2025-01-01,I{row},{},EUR,x\n",
                if row == 7 { "1o.00".to_owned() } else { format!("{row}.00") }
            )
        })
        .collect();
    let run = Case::new(&rows, "B,2025-01-01,I1,1.00,EUR,x").pass("key: [reference]").run();
    assert_eq!(
        (run.summary()["left"]["records"].as_u64(), run.summary()["exceptions"]["parse_error"].as_u64()),
        (Some(9), Some(1))
    );
    let rejected = run.file("rejected.csv");
    assert!(rejected.contains(",8,") && rejected.contains("1o.00"), "{rejected}");
    let strict = Case::new(&rows, "B,2025-01-01,I1,1.00,EUR,x")
        .pass("key: [reference]")
        .with(&["--left", "strict=true"])
        .run();
    assert_eq!(strict.exit, 1);
    assert!(strict.stderr.contains("line 8") && !strict.folder.join("summary.json").exists());
}

#[test]
fn s27_a_second_delivery_brings_nothing_new_and_twins_survive_an_overlap() {
    let header = "date,ref,amount,currency\n";
    let january = "2025-01-30,A,1.00,EUR\n2025-01-31,B,2.00,EUR\n2025-01-31,B,2.00,EUR\n";
    let case = |more: &str| {
        let case = Case::files(
            "1.csv",
            &format!("{header}{january}"),
            "r.csv",
            "date,ref,amount,currency\n2025-01-30,A,1.00,EUR\n",
        )
        .pass("key: [reference]");
        let second = case.write("2.csv", &format!("{header}{more}"));
        case.run_with(&["--add-left", &second]).summary()
    };
    let again = case(january);
    assert_eq!((again["left"]["records"].as_u64(), again["files"][1]["known"].as_u64()), (Some(3), Some(3)));
    let overlap = case("2025-01-31,B,2.00,EUR\n2025-01-31,B,2.00,EUR\n2025-02-01,C,3.00,EUR\n");
    assert_eq!(
        (overlap["left"]["records"].as_u64(), overlap["files"][1]["known"].as_u64()),
        (Some(4), Some(2))
    );
}

#[test]
fn workbooks_json_and_qif_are_read_like_tables() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("book.xlsx");
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (column, name) in ["Booking date", "Reference", "Amount", "Currency"].iter().enumerate() {
        sheet.write(0, u16::try_from(column).unwrap(), *name).unwrap();
    }
    let date = rust_xlsxwriter::ExcelDateTime::from_ymd(2025, 1, 31).unwrap();
    let format = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
    sheet.write_datetime_with_format(1, 0, date, &format).unwrap();
    sheet.write(1, 1, "INV-1").unwrap();
    sheet.write(1, 2, 0.1 + 0.2).unwrap();
    sheet.write(1, 3, "EUR").unwrap();
    book.save(&path).unwrap();
    let report = inspected("book.xlsx", &fs::read(&path).unwrap());
    assert_eq!(
        (report["sums"]["EUR"].as_str(), report["records"][0]["booked"].as_str()),
        (Some("0.30"), Some("2025-01-31"))
    );

    let objects = "{\"id\":\"1\",\"date\":\"2025-01-31\",\"amount\":12345678901234567.89,\"currency\":\"EUR\",\"party\":{\"name\":\"A\"}}";
    for text in [
        format!("{objects}\n{objects}\n"),
        format!("{{\"data\":[{objects},\n{objects}]}}"),
        format!("[{objects},{objects}]"),
    ] {
        let report = inspected("t.json", text.as_bytes());
        assert_eq!(report["sums"]["EUR"], "24691357802469135.78", "no float on the way: {text}");
    }
    let broken = inspected("t.json", format!("[{objects},{{\"id\":oops}},{objects}]").as_bytes());
    assert_eq!((broken["loaded"].as_u64(), broken["rejected"].as_u64()), (Some(2), Some(1)));

    let qif = "!Type:Bank\nD1/31'25\nT-1,234.50\nPShop\nN77\nMthing\n^\nD2/ 1'25\nT10.00\n^\n";
    let report = inspected("t.qif", qif.as_bytes());
    assert_eq!(
        (report["sums"]["XXX"].as_str(), report["records"][0]["booked"].as_str()),
        (Some("-1224.50"), Some("2025-01-31"))
    );
}

#[test]
fn mt942_is_read_and_its_totals_are_checked() {
    let mt = ":20:I\n:25:1\n:28C:1\n:34F:EUR0,\n:13D:2501311200+0100\n:61:2501310131D0,42NTRFNONREF\n:86:FEE\n:90D:1EUR0,42\n:90C:0EUR0,00\n";
    let report = inspected("s.mt942", mt.as_bytes());
    assert_eq!((report["file"]["format"].as_str(), report["loaded"].as_u64()), (Some("mt942"), Some(1)));
    assert_eq!(report["control_totals"].to_string(), "[]");
}

#[test]
fn the_public_bank_files_are_read_and_those_that_must_fail_do() {
    let Some(folder) = shared("data/bank") else { return };
    let fails = [
        "self-provided_invalid_statement.sta",
        "camt053.v2.wrong.xml",
        "error_message.ofx",
        "signon_fail.ofx",
    ];
    let mut read = 0;
    for kind in ["mt940", "camt", "ofx", "bai2"] {
        for entry in fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("LICENSE") {
                continue;
            }
            let output = stoa().arg("inspect").arg(&path).arg("--json").output().unwrap();
            let must_fail = fails.contains(&name.as_str());
            assert_eq!(
                output.status.code() == Some(1),
                must_fail,
                "{name}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            if must_fail {
                assert!(!output.stderr.is_empty());
            } else {
                let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(report["rejected"], 0, "{name}");
                read += 1;
            }
        }
    }
    assert_eq!(read, 37);
}

#[test]
fn a_sheet_that_spans_more_than_it_holds_is_read_by_its_cells() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wide.xlsx");
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write(0, 0, "Account holder").unwrap();
    sheet.write(0, 1, "Max").unwrap();
    for (column, name) in ["date", "amount"].iter().enumerate() {
        sheet.write(2, u16::try_from(column).unwrap(), *name).unwrap();
    }
    sheet.write(3, 0, "2025-01-31").unwrap();
    sheet.write(3, 1, 5).unwrap();
    sheet.write(1_048_575, 1, "end").unwrap();
    book.save(&path).unwrap();
    let report = inspected("wide.xlsx", &fs::read(&path).unwrap());
    assert_eq!((report["loaded"].as_u64(), report["rejected"].as_u64()), (Some(1), Some(1)), "{report:#}");
    assert_eq!(report["rejections"][0]["place"]["line"], 1_048_576);
    let mut book = rust_xlsxwriter::Workbook::new();
    book.add_worksheet().write(1_048_575, 16_383, "far").unwrap();
    book.save(&path).unwrap();
    let run = inspect("far.xlsx", &fs::read(&path).unwrap(), &[]);
    assert!(run.stderr.contains("error[file_malformed]"), "{}", run.stderr);
}

#[test]
fn years_of_two_digits_minor_units_and_empty_arrays_are_read_as_they_are_meant() {
    let report = inspected("t.csv", b"id,date,amount\n1,05/03/25,1.00\n");
    assert!(report["records"][0]["booked"].as_str().unwrap().starts_with("2025-"));
    assert!(report["file"]["inferred"].to_string().contains("does not prove it"));
    let run = inspect(
        "t.csv",
        b"id,date,debit,credit,currency\n1,2025-01-01,12345,,EUR\n",
        &["--json", "--set", "numbers=minor_units"],
    );
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["records"][0]["amount"], "-123.45");
    let api = br#"{"object":"list","data":[{"id":"txn_1","object":"balance_transaction","amount":1234,"fee":66,"currency":"eur","created":1735689600},{"id":"txn_2","object":"balance_transaction","amount":500,"fee":0,"currency":"jpy","created":1735689600}]}"#;
    let report = inspected("t.json", api);
    assert_eq!(report["records"][0]["amount"], "12.34", "{report}");
    assert_eq!(report["records"][1]["amount"], "500", "yen have no smaller unit");
    assert!(report["file"]["inferred"].to_string().contains("as in the API of Stripe"));
    let report = inspected("t.json", b"{\"errors\":[],\"data\":[{\"date\":\"2025-01-01\",\"amount\":1}]}");
    assert_eq!(report["loaded"], 1);
    let run = inspect(
        "t.csv",
        b"Bank X\n\nAccount 1\nid,date,amount\n1,2025-01-01,2.00\n",
        &["--json", "--set", "skip_lines=3"],
    );
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (report["records"][0]["amount"].as_str(), report["records"][0]["place"]["line"].as_u64()),
        (Some("2.00"), Some(5))
    );
}

#[test]
fn a_statement_that_is_delivered_twice_is_proven_twice() {
    let mt =
        ":20:S\n:25:1\n:28C:1\n:60F:C250101EUR10,00\n:61:2501020102C5,00NTRFREF1\n:62F:C250102EUR15,00\n-\n";
    let case = Case::files("s.sta", mt, "r.csv", "id,date,ref,amount,currency\nB,2025-01-02,REF1,5.00,EUR\n")
        .pass("key: [reference]");
    let again = case.write("again.sta", mt);
    let run = case.run_with(&["--add-left", &again]);
    assert_eq!(run.exit, 0, "{}", run.stdout);
}

#[test]
fn a_quote_in_the_wrong_place_swallows_nothing_silently() {
    for (rows, line) in [
        ("1,2025-01-01,x,1.00,EUR,\"never closed\n2,2025-01-02,y,2.00,EUR,b\n", 2),
        ("1,2025-01-01,x,1.00,EUR,\"Rod 5\"\" long\n2,2025-01-02,\"y\",2.00,EUR,b\n", 2),
        (
            "1,2025-01-01,x,1.00,EUR,\"5\"\" a\n2,2025-01-02,y,2.00,EUR,\"6\"\" b\n3,2025-01-03,z,3.00,EUR,c\n",
            2,
        ),
        ("1,2025-01-01,x,1.00,EUR,a\n2,2025-01-02,y,2.00,EUR,\"b", 3),
    ] {
        let good = "7,2025-01-01,q,1.00,EUR,a\n8,2025-01-01,r,1.00,EUR,a\n";
        let report = inspected("t.csv", format!("{HEADER}{good}{rows}").as_bytes());
        assert!(report["rejected"].as_u64().unwrap() >= 1, "{rows}");
        let shown = report["rejections"][0].to_string();
        assert!(shown.contains("quote") && shown.contains(&format!("\"line\":{}", line + 2)), "{shown}");
    }
    let fine = format!(
        "{HEADER}1,2025-01-01,x,1.00,EUR,\"two\n\"\"quoted\"\"\nlines\"\n2,2025-01-02,y,2.00,EUR,5\" pipe"
    );
    let report = inspected("t.csv", fine.as_bytes());
    assert_eq!((report["loaded"].as_u64(), report["rejected"].as_u64()), (Some(2), Some(0)));
}

#[test]
fn a_header_without_the_last_delimiter_of_its_rows_is_still_the_header() {
    let report = inspected("t.csv", b"id,date,amount\n1,2025-01-01,1.50,\n2,2025-01-02,2.50,\n");
    assert_eq!((report["loaded"].as_u64(), report["sums"]["XXX"].as_str()), (Some(2), Some("4.00")));
}

#[test]
fn a_currency_beside_the_amount_is_its_currency() {
    let report = inspected(
        "t.csv",
        "id,date,amount\n1,2025-01-01,USD 7.00\n2,2025-01-02,€7.00\n3,2025-01-03,7.00\n".as_bytes(),
    );
    assert_eq!(report["sums"]["USD"], "7.00");
    assert_eq!(
        (report["sums"]["EUR"].as_str(), report["sums"]["XXX"].as_str()),
        (Some("7.00"), Some("7.00"))
    );
}

#[test]
fn a_qif_amount_that_is_stated_twice_counts_once_in_either_order() {
    let report =
        inspected("t.qif", b"!Type:Bank\nD01/02/2025\nU-20.00\nT-20.00\nPa\n^\nD01/03/2025\nU-5.00\nPb\n^\n");
    assert_eq!(report["sums"]["XXX"], "-25.00", "{report}");
}
