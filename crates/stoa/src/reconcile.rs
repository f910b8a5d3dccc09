//! `stoa reconcile`: two sides of files in, decisions and reports out.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use stoa_intake::{Input, Opened};
use stoa_kernel::error::Coded as _;
use stoa_kernel::limits;
use stoa_reconciliation::load;
use stoa_reconciliation::matching::outcome::Outcome;
use stoa_reconciliation::matching::rates::Rates;
use stoa_reconciliation::matching::{self, EngineError, RunOptions, explain};
use stoa_reconciliation::report::{self, Results, SourceFile, Summary};
use stoa_reconciliation::rules::{self, InferOptions, RuleSet};
use stoa_reconciliation::side::{Builder, Side};
use stoa_reconciliation::source::{SideName, SourceSpec};
use stoa_scratch::TempFile;

use crate::cli::{Reconcile, record_of};
use crate::failure::{Exit, Failure};
use crate::open;
use crate::output::Output;
use crate::progress::Progress;

pub(crate) fn run(arguments: &Reconcile) -> Result<Exit, Failure> {
    let files = [&arguments.left, &arguments.right]
        .into_iter()
        .chain(&arguments.add_left)
        .chain(&arguments.add_right);
    if files.filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::new("usage", "standard input can be one of the files, not several")
            .way_out("name the other files, or give them as <(command) where the shell can"));
    }
    let progress = Progress::new(arguments.json);
    let scratch = Input::default_scratch();
    let given = arguments.rules.as_deref().map(read_rules).transpose()?;
    let rates = arguments.rates.as_deref().map(read_rates).transpose()?.unwrap_or_default();
    let mut sources = given.as_ref().map(|rules| rules.sources.clone()).unwrap_or_default();
    open::apply(&mut sources.left, &arguments.sources.left_options, Some(SideName::Left))?;
    open::apply(&mut sources.right, &arguments.sources.right_options, Some(SideName::Right))?;
    let paths = |first: &PathBuf, more: &[PathBuf]| -> Vec<PathBuf> {
        std::iter::once(first).chain(more).cloned().collect()
    };
    let (mut left, mut right) = {
        let _step = progress.step("looking at the files");
        let (left, right) = in_parallel(
            || open::side(&paths(&arguments.left, &arguments.add_left), &sources.left, &scratch),
            || open::side(&paths(&arguments.right, &arguments.add_right), &sources.right, &scratch),
            arguments.threads != Some(1),
        );
        (left?, right?)
    };
    open::adopt_currency(&mut left, &mut right, &mut sources);
    open::adopt_fee_sign(&mut left, &mut sources.left);
    open::adopt_fee_sign(&mut right, &mut sources.right);
    let inferred = given.is_none();
    let mut rules = match given {
        Some(rules) => rules,
        None => {
            open::find_references(&mut left, &mut sources.left);
            open::find_references(&mut right, &mut sources.right);
            let seen = open::infer_options(&left, &right);
            rules::infer(InferOptions { tolerance: arguments.tolerance, days: arguments.days, ..seen })
        }
    };
    rules.sources = sources;
    // Before the work, so that a folder that cannot be written costs nothing.
    let inputs = [&arguments.left, &arguments.right]
        .into_iter()
        .chain(&arguments.add_left)
        .chain(&arguments.add_right);
    let output = arguments.output.as_deref().map(|place| Output::begin(place, inputs)).transpose()?;
    let loaded = load_both(left, right, &rules, arguments, &scratch, &progress)?;
    let [left, right] = [&loaded.left, &loaded.right];
    let threads = threads(arguments);
    let options = RunOptions { threads, partitions: arguments.partitions.map(usize::from) };
    let outcome = {
        let step = progress.step("matching");
        let stop = AtomicBool::new(false);
        matching::run([left, right], &rules, &rates, &[], options, &stop, |pass| {
            step.say(&format!("matching: {pass}"));
        })
        .map_err(|error| engine_failure(&error))?
    };
    let mut summary = Summary::of(&outcome, [left, right], &loaded.files, &rules)
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let yaml = rules::to_yaml(&rules);
    if let Some(output) = output {
        let _step = progress.step("writing the results");
        write_results(output, &mut summary, &outcome, [left, right], &loaded.files, &yaml, threads)?;
    }
    show(
        arguments,
        &summary,
        &outcome,
        [left, right],
        &rules,
        &rates,
        if inferred { Some(&yaml) } else { None },
    )?;
    Ok(if summary.clean { Exit::Clean } else { Exit::Exceptions })
}

fn threads(arguments: &Reconcile) -> usize {
    arguments.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        usize::from,
    )
}

fn engine_failure(error: &EngineError) -> Failure {
    match error {
        EngineError::Io(error) => Failure::io("file_unreadable", "temporary storage", error),
        EngineError::TooManyPasses => Failure::new("rules_invalid", error.to_string()),
        EngineError::Stopped => Failure::new("usage", error.to_string()),
    }
}

/// Reads a text file that may not be larger than `bytes_max`.
fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let name = path.display().to_string();
    let wrap = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new("file_not_found", format!("{name}: there is no such file")),
        io::ErrorKind::InvalidData => {
            Failure::new("file_malformed", format!("{name}: the file is not UTF-8"))
        }
        _ => Failure::new("file_unreadable", format!("{name}: {error}")),
    };
    let bytes = fs::metadata(path).map_err(wrap)?.len();
    if bytes > bytes_max {
        return Err(Failure::new(
            "too_large",
            format!("{name}: the file has {bytes} bytes, at most {bytes_max} are read"),
        ));
    }
    fs::read_to_string(path).map_err(wrap)
}

/// A file that says what is to be done: one that cannot be read is a command that cannot be used.
fn read_argument(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    read_text(path, bytes_max).map_err(|failure| Failure { exit: Exit::Usage, ..failure })
}

fn read_rules(path: &Path) -> Result<RuleSet, Failure> {
    let text = read_argument(path, limits::RULES_BYTES_MAX)?;
    rules::parse(&text).map_err(|error| {
        Failure::of(&error, &path.display().to_string())
            .way_out("`stoa schema` prints the schema of rules files; examples/rules has examples")
    })
}

fn read_rates(path: &Path) -> Result<Rates, Failure> {
    Rates::parse(&read_argument(path, limits::RATES_BYTES_MAX)?)
        .map_err(|error| Failure::of(&error, &path.display().to_string()))
}

fn in_parallel<A: Send, B: Send>(
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
    parallel: bool,
) -> (A, B) {
    if !parallel {
        return (a(), b());
    }
    std::thread::scope(|scope| {
        let second = scope.spawn(b);
        let first = a();
        (first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

struct Loaded {
    left: Side,
    right: Side,
    files: Vec<SourceFile>,
}

fn load_both(
    left: Vec<Opened>,
    right: Vec<Opened>,
    rules: &RuleSet,
    arguments: &Reconcile,
    scratch: &Path,
    progress: &Progress,
) -> Result<Loaded, Failure> {
    let bytes_each = (arguments.memory as usize) << 19;
    let load = |name: SideName, files: Vec<Opened>| {
        load_side(name, files, rules.sources.side(name), bytes_each, scratch, progress)
    };
    let (left, right) = in_parallel(
        || load(SideName::Left, left),
        || load(SideName::Right, right),
        arguments.threads != Some(1),
    );
    let ((left, mut files), (right, more)) = (left?, right?);
    files.extend(more);
    Ok(Loaded { left, right, files })
}

fn load_side(
    name: SideName,
    files: Vec<Opened>,
    spec: &SourceSpec,
    memory_bytes: usize,
    scratch: &Path,
    progress: &Progress,
) -> Result<(Side, Vec<SourceFile>), Failure> {
    let mut builder =
        Builder::new(memory_bytes, Some(Box::new(TempFile::in_folder(scratch.to_owned()))), files.len());
    let mut loaded = Vec::new();
    for mut file in files {
        let bar = progress.file(&file.facts.name, file.facts.bytes);
        let batch = load::load(&mut *file.reader, file.profile, spec.strict, &mut builder, |position| {
            bar.at(position);
            true
        })
        .map_err(|error| Failure::load(&error, &file.facts.name))?;
        loaded.push(SourceFile { side: name, facts: file.facts, batch });
    }
    let side =
        builder.finish().map_err(|error| Failure::io("file_unreadable", "temporary storage", &error))?;
    Ok((side, loaded))
}

/// A writer that hashes what passes through.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write_results(
    mut output: Output,
    summary: &mut Summary,
    outcome: &Outcome,
    sides: [&Side; 2],
    files: &[SourceFile],
    yaml: &str,
    threads: usize,
) -> Result<(), Failure> {
    let fail = |error: io::Error| Failure::io("output_unwritable", "writing the results", &error);
    let mut create = |name: &str| {
        output.create(name).map_err(fail).map(|file| Hashing { inner: file, hasher: blake3::Hasher::new() })
    };
    let (mut links, mut matches, mut exceptions) =
        (create("links.csv")?, create("matches.csv")?, create("exceptions.csv")?);
    let (mut rejected, mut rules_file, mut html, mut json) =
        (create("rejected.csv")?, create("rules.yaml")?, create("report.html")?, create("summary.json")?);
    let [left, right] = sides;
    let (left_ids, right_ids) = in_parallel(|| left.ids(), || right.ids(), threads > 1);
    let (left_ids, right_ids) = (left_ids.map_err(fail)?, right_ids.map_err(fail)?);
    let results = Results { outcome, sides, ids: [&left_ids, &right_ids], threads };
    report::write_links(&mut links, results).map_err(fail)?;
    report::write_matches(&mut matches, results).map_err(fail)?;
    report::write_exceptions(&mut exceptions, results).map_err(fail)?;
    let mut decisions = blake3::Hasher::new();
    for file in [&links, &matches, &exceptions] {
        decisions.update(file.hasher.finalize().as_bytes());
    }
    summary.decisions_hash = Some(decisions.finalize().to_hex().to_string());
    report::write_rejected(&mut rejected, files).map_err(fail)?;
    rules_file.write_all(yaml.as_bytes()).and_then(|()| rules_file.flush()).map_err(fail)?;
    report::write_html(&mut html, summary, outcome, sides, files, yaml).map_err(fail)?;
    let text = serde_json::to_string_pretty(summary).unwrap_or_default();
    json.write_all(text.as_bytes())
        .and_then(|()| json.write_all(b"\n"))
        .and_then(|()| json.flush())
        .map_err(fail)?;
    drop((links, matches, exceptions, rejected, rules_file, html, json));
    output.finish()
}

fn show(
    arguments: &Reconcile,
    summary: &Summary,
    outcome: &Outcome,
    sides: [&Side; 2],
    rules: &RuleSet,
    rates: &Rates,
    inferred: Option<&str>,
) -> Result<(), Failure> {
    let mut text = String::new();
    if arguments.json {
        let mut value = serde_json::to_value(summary).unwrap_or_default();
        if let (Some(object), Some(_)) = (value.as_object_mut(), inferred) {
            object.insert("inferred_rules".to_owned(), serde_json::to_value(rules).unwrap_or_default());
        }
        text = serde_json::to_string_pretty(&value).unwrap_or_default();
        text.push('\n');
    } else {
        if let Some(yaml) = inferred {
            text.push_str(
                "# Inferred rules: save them as rules.yaml, edit them, and pass --rules rules.yaml\n",
            );
            text.push_str(yaml);
            text.push('\n');
        }
        text.push_str(&report::terminal(summary));
        if let Some(output) = &arguments.output {
            text.push_str(&format!("Report: {}\n", output.join("report.html").display()));
        }
    }
    for wanted in &arguments.explain {
        let told = explained(wanted, outcome, sides, rules, rates)?;
        if arguments.json { eprint!("{told}") } else { text.push_str(&format!("\n{told}")) }
    }
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::io("output_unwritable", "standard output", &error)),
    }
}

fn explained(
    wanted: &str,
    outcome: &Outcome,
    sides: [&Side; 2],
    rules: &RuleSet,
    rates: &Rates,
) -> Result<String, Failure> {
    let storage = |error: io::Error| Failure::io("file_unreadable", "temporary storage", &error);
    let (side, id) = record_of(wanted);
    let found = explain::find(sides, id, side).map_err(storage)?;
    if found.is_empty() {
        let message = format!(
            "there is no record \"{id}\"{}",
            side.map(|side| format!(" on the {} side", side.name())).unwrap_or_default()
        );
        return Err(Failure::new("record_not_found", message)
            .way_out("give an external id, a fp_… id of the result files, or a line number"));
    }
    let mut text = String::new();
    for (name, record) in found {
        text.push_str(&explain::explain(outcome, sides, rules, rates, name, record).map_err(storage)?);
        text.push('\n');
    }
    Ok(text)
}
