use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use stoa_workload::{Settings, generate, score};
use tempfile::TempDir;

use crate::harness::{Case, Run, decisions, stoa};

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/rules").join(name).to_str().unwrap().to_owned()
}

fn reconcile(folder: &Path, rules: &str, more: &[&str]) -> Run {
    let results = TempDir::new().unwrap().keep();
    let output = stoa()
        .arg("reconcile")
        .args([folder.join("left.csv"), folder.join("right.csv")])
        .args(["--rules", &example(rules), "--output", results.to_str().unwrap()])
        .args(more)
        .output()
        .unwrap();
    let run = Run::of(&output, results);
    assert_eq!(run.exit, 3, "{}", run.stderr);
    run
}

fn workload(events: u32, unkeyed_splits: bool) -> TempDir {
    let folder = TempDir::new().unwrap();
    generate(&Settings { events, seed: 7, unkeyed_splits }, folder.path()).unwrap();
    folder
}

#[test]
fn keyed_rules_find_everything_and_nothing_else() {
    let folder = workload(30_000, false);
    let run = reconcile(folder.path(), "keyed-v1.yaml", &[]);
    let score = score(folder.path(), &run.folder.join("links.csv")).unwrap();
    fs::remove_dir_all(&run.folder).unwrap();
    assert_eq!(score.false_links, 0);
    for class in ["one_to_one", "one_to_many"] {
        let (true_links, found) = score.classes[class];
        assert!(true_links > 100 && true_links == found, "{class}: {found} of {true_links}");
    }
    assert_eq!(score.duplicates.0, score.duplicates.1);
    assert_eq!(score.conflicts.0, score.conflicts.1);
}

#[test]
fn a_fuzzy_pass_suggests_mistyped_references_and_confirms_none_that_is_false() {
    let folder = workload(30_000, false);
    let run = reconcile(folder.path(), "keyed-fuzzy.yaml", &[]);
    let score = score(folder.path(), &run.folder.join("links.csv")).unwrap();
    fs::remove_dir_all(&run.folder).unwrap();
    assert_eq!((score.false_links, score.false_suggestions), (0, 0));
    assert!(
        score.typos_suggested.0 > 50 && score.typos_suggested.0 == score.typos_suggested.1,
        "{:?}",
        score.typos_suggested
    );
}

#[test]
fn splits_without_a_reference_are_found_by_their_sum() {
    let folder = workload(30_000, true);
    let run = reconcile(folder.path(), "unkeyed-splits.yaml", &[]);
    let score = score(folder.path(), &run.folder.join("links.csv")).unwrap();
    fs::remove_dir_all(&run.folder).unwrap();
    let (true_links, found) = score.classes["one_to_many"];
    assert_eq!(score.false_links, 0);
    assert!(true_links > 500 && found * 1_000 >= true_links * 997, "{found} of {true_links}");
}

#[test]
fn threads_partitions_memory_and_the_order_of_rows_change_no_byte() {
    let folder = workload(6_000, false);
    let mut expected = None;
    for threads in ["1", "2", "16"] {
        for partitions in ["1", "7", "64"] {
            let run = reconcile(
                folder.path(),
                "keyed-fuzzy.yaml",
                &["--threads", threads, "--partitions", partitions],
            );
            let all =
                ["summary.json", "report.html", "rejected.csv", "rules.yaml"].map(|name| run.file(name));
            let found = (decisions(&run), all);
            fs::remove_dir_all(&run.folder).unwrap();
            assert_eq!(
                *expected.get_or_insert(found.clone()),
                found,
                "{threads} threads, {partitions} partitions"
            );
        }
    }
    let (expected, _) = expected.unwrap();
    // One MiB for the rows: nearly all of them are on disk.
    let spilled = reconcile(folder.path(), "keyed-fuzzy.yaml", &["--memory", "1"]);
    assert_eq!(decisions(&spilled), expected);
    for name in ["left.csv", "right.csv"] {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        let mut rows: Vec<&str> = text.lines().collect();
        rows[1..].reverse();
        rows[1..].sort_by_key(|row| row.as_bytes()[12]);
        fs::write(folder.path().join(name), rows.join("\n")).unwrap();
    }
    for more in [&[][..], &["--memory", "1"]] {
        let shuffled = reconcile(folder.path(), "keyed-fuzzy.yaml", more);
        assert_eq!(decisions(&shuffled), expected);
        fs::remove_dir_all(&shuffled.folder).unwrap();
    }
    fs::remove_dir_all(&spilled.folder).unwrap();
}

#[test]
fn s19_the_same_rules_give_the_same_hash_after_other_rules_were_run() {
    let case = Case::new("A,2025-01-01,I,10.00,EUR,x", "B,2025-01-02,I,10.01,EUR,x");
    let strict = case.write("strict.yaml", "version: 1\nname: s\npasses: [{name: p, key: [reference]}]\n");
    let loose = case.write(
        "loose.yaml",
        "version: 1\nname: l\npasses: [{name: p, key: [reference], amount: {tolerance: 1}}]\n",
    );
    let hash = |rules: &str| {
        case.run_with(&["--rules", rules]).summary()["decisions_hash"].as_str().unwrap().to_owned()
    };
    let first = hash(&strict);
    assert_ne!(first, hash(&loose));
    assert_eq!(first, hash(&strict));
}

#[test]
fn rules_are_inferred_printed_and_can_be_used_again() {
    let case = Case::files(
        "bank.csv",
        "Datum;Betrag;Währung;Verwendungszweck\n31.01.2025;1.234,56;EUR;Rechnung INV-2025-77 danke\n01.02.2025;-10,00;EUR;Gebühr\n",
        "ledger.csv",
        "id,date,reference,amount\nL1,2025-01-28,INV-2025-77,1234.56\nL2,2025-02-01,FEE,-10.00\n",
    );
    let run = case.run();
    assert_eq!((run.exit, run.confirmed().len()), (0, 2), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("# Inferred rules") && run.stdout.contains("EUR as on the other side"));
    let saved = case.write("saved.yaml", &run.file("rules.yaml"));
    let again = case.run_with(&["--rules", &saved]);
    assert_eq!(
        again.summary()["decisions_hash"],
        run.summary()["decisions_hash"],
        "saved rules decide the same"
    );
    let json = case.run_with(&["--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(value["inferred_rules"]["passes"].is_array());
}

#[test]
fn a_record_explains_itself_by_id_and_by_line() {
    let case = Case::new(
        "A1,2025-01-01,I,10.00,EUR,x
         A2,2025-01-01,J,20.00,EUR,y
         A3,2024-12-01,I,10.00,EUR,x",
        "B1,2025-01-02,I,10.01,EUR,x
         B2,2025-01-09,J,20.00,EUR,y",
    )
    .pass("key: [reference]\namount: {tolerance: 0.01}\ndate: {from: 0, to: 3}");
    let late = case.run_with(&["--explain", "A3"]).stdout;
    assert!(
        late.contains("B1: first predicate that fails") && late.contains("it is matched to A1 in pass"),
        "{late}"
    );
    let told = case.run_with(&["--explain", "A1"]).stdout;
    assert!(
        told.contains("matched one to one in pass \"only\"")
            && told.contains("difference -0.01")
            && told.contains("1 days, allowed 0 to 3"),
        "{told}"
    );
    let open = case.run_with(&["--explain", "left:3"]).stdout;
    assert!(
        open.contains("open: date_out_of_window")
            && open.contains("B2: first predicate that fails: the right date is 8 days"),
        "{open}"
    );
    let nobody = case.run_with(&["--explain", "Z9"]);
    assert_eq!(nobody.exit, 2);
    assert!(nobody.stderr.contains("error[record_not_found]"));
}

#[test]
fn what_people_get_wrong_is_answered_and_leaves_no_result() {
    let case = Case::new("A,2025-01-01,I,10.00,EUR,x", "B,2025-01-01,I,10.00,EUR,x");
    let misspelt =
        case.write("bad.yaml", "version: 1\nname: x\npasses:\n  - name: p\n    amount: {tolerence: 1}\n");
    for (arguments, exit, code, says) in [
        (vec!["--rules", "/nonexistent.yaml"], 2, "file_not_found", "no such file"),
        (vec!["--left", "zone=Mars/Base"], 2, "usage", "not an IANA time zone, such as Europe/Berlin"),
        (vec!["--add-left", "-", "--add-right", "-"], 2, "usage", "standard input can be one of the files"),
        (
            vec!["--rules", &misspelt],
            2,
            "rules_invalid",
            "line 5: \"tolerence\" is not a field of amount; did you mean \"tolerance\"?",
        ),
        (vec!["--left", "colour=red"], 2, "usage", "neither an option"),
        (vec!["--left", "amount=Nope"], 1, "column_missing", "there is no column \"Nope\""),
        (vec!["--add-left", "/nonexistent.csv"], 1, "file_not_found", "no such file"),
        (vec!["--add-left", "/"], 1, "file_unreadable", "folder"),
        (vec!["--rates", &misspelt], 2, "rates_invalid", "line 1"),
    ] {
        let run = case.run_with(&arguments);
        assert_eq!(run.exit, exit, "{arguments:?}: {}", run.stderr);
        assert!(
            run.stderr.starts_with(&format!("error[{code}]")) && run.stderr.contains(says),
            "{arguments:?}: {}",
            run.stderr
        );
        assert!(!run.folder.join("summary.json").exists(), "{arguments:?} left a result");
    }
    let usage = stoa().args(["reconcile", "only-one.csv"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    let file = case.write("file", "");
    let taken = stoa().args(["reconcile", &file, &file, "--output", &file]).output().unwrap();
    assert_eq!(taken.status.code(), Some(1));
}

#[test]
fn an_output_that_cannot_be_written_fails_before_the_work_and_a_full_disk_leaves_nothing() {
    let case = Case::new("A,2025-01-01,I,10.00,EUR,x", "B,2025-01-01,I,10.00,EUR,x").pass("key: [reference]");
    let file = case.write("taken", "");
    let run = case.run_with(&["--explain", "A"]);
    assert_eq!(run.exit, 0);
    let output = stoa().args(["reconcile", &file, &file, "-o", &format!("{file}/inside")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // A file size limit stands in for a full disk: writing fails in the middle.
    let folder = workload(4_000, false);
    let results = folder.path().join("results");
    let script = format!(
        "trap '' XFSZ; ulimit -f 100; exec {} reconcile {l} {r} --rules {} --output {}",
        env!("CARGO_BIN_EXE_stoa"),
        example("keyed-v1.yaml"),
        results.display(),
        l = folder.path().join("left.csv").display(),
        r = folder.path().join("right.csv").display(),
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error["));
    assert_eq!(fs::read_dir(&results).unwrap().count(), 0, "no part of a result is left");
}

#[test]
fn standard_input_is_read_like_a_file() {
    let folder = TempDir::new().unwrap();
    let right = folder.path().join("right.csv");
    fs::write(&right, "id,date,ref,amount,currency\nB,2025-01-01,I,10.00,EUR\n").unwrap();
    let mut child = stoa()
        .args(["reconcile", "-", right.to_str().unwrap(), "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"id,date,ref,amount,currency\nA,2025-01-01,I,10.00,EUR\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["files"][0]["name"], "standard input");
}

#[test]
fn a_process_that_is_killed_leaves_no_result() {
    let folder = workload(60_000, false);
    let results = folder.path().join("results");
    let mut child = stoa()
        .arg("reconcile")
        .args([folder.path().join("left.csv"), folder.path().join("right.csv")])
        .args(["--rules", &example("keyed-v1.yaml"), "--output", results.to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // As soon as the draft is there the work is under way.
    while !results.exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    let killed = child.wait().unwrap().code().is_none();
    assert!(!killed || !results.join("summary.json").exists());
    let again = stoa()
        .arg("reconcile")
        .args([folder.path().join("left.csv"), folder.path().join("right.csv")])
        .args(["--rules", &example("keyed-v1.yaml"), "--output", results.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(3), "a new run is not in the way of the old one");
    assert!(results.join("summary.json").exists());
}

#[test]
fn hostile_cells_are_harmless_in_every_report() {
    let run = Case::new(
        "=HYPERLINK(1),2025-01-01,<script>alert(1)</script>,10.00,EUR,\"<img src=x onerror=y>\"",
        "B,2025-01-01,,11.00,EUR,x",
    )
    .pass("key: [reference]")
    .run();
    let html = run.file("report.html");
    assert!(!html.contains("<script") && !html.contains("<img"), "escaped");
    assert!(html.contains("&lt;script&gt;") && html.contains("Content-Security-Policy"));
    assert!(run.file("exceptions.csv").contains("\"'=HYPERLINK(1)\""));
}

#[test]
fn results_never_replace_an_input() {
    let folder = TempDir::new().unwrap();
    let links = folder.path().join("links.csv");
    let text = "id,date,amount\n1,2025-01-01,1.00\n";
    fs::write(&links, text).unwrap();
    let output =
        stoa().arg("reconcile").args([&links, &links]).arg("--output").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error[output_unwritable]") && said.contains("replace this input"), "{said}");
    assert_eq!(fs::read_to_string(&links).unwrap(), text);
}
