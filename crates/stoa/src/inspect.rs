//! `stoa inspect`: what is read from a file, before anything is matched.

use std::fmt::Write as _;
use std::io::Write as _;

use stoa_intake::Input;
use stoa_reconciliation::load::{self, Batch};
use stoa_reconciliation::record::Record;
use stoa_reconciliation::report::grouped;
use stoa_reconciliation::row::Row;
use stoa_reconciliation::side::{Builder, Side};
use stoa_reconciliation::source::SourceSpec;
use stoa_scratch::TempFile;

use crate::cli::Inspect;
use crate::failure::{Exit, Failure};
use crate::open;
use crate::progress::Progress;

/// How many of each kind are listed; `--json` has all.
const LISTED: usize = 20;

pub(crate) fn run(arguments: &Inspect) -> Result<Exit, Failure> {
    let scratch = Input::default_scratch();
    let mut spec = SourceSpec::default();
    open::apply(&mut spec, &arguments.options, None)?;
    let mut file =
        stoa_intake::open(&arguments.file, &spec, &scratch).map_err(|error| Failure::of(&error, ""))?;
    let mut builder = Builder::new(192 << 20, Some(Box::new(TempFile::in_folder(scratch))), 1);
    let progress = Progress::new(arguments.json);
    let bar = progress.file(&file.facts.name, file.facts.bytes);
    let batch = load::load(&mut *file.reader, file.profile, spec.strict, &mut builder, |position| {
        bar.at(position);
        true
    })
    .map_err(|error| Failure::load(&error, &file.facts.name))?;
    drop(bar);
    let storage = |error| Failure::io("file_unreadable", "temporary storage", &error);
    let side = builder.finish().map_err(storage)?;
    let text = match arguments.line {
        Some(line) => steps(&side, line)?,
        None if arguments.json => as_json(&file.facts, &batch, &side)?,
        None => as_text(&file.facts, &batch, &side)?,
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        other => other.map_err(|error| Failure::io("output_unwritable", "standard output", &error))?,
    }
    let clean = batch.rejected == 0 && batch.gaps.is_empty() && batch.control_totals.is_empty();
    Ok(if clean { Exit::Clean } else { Exit::Exceptions })
}

fn records(side: &Side, most: usize) -> Result<Vec<Record>, Failure> {
    let mut cursor = side.cursor();
    let count = u32::try_from(side.len().min(most)).unwrap_or(u32::MAX);
    (0..count)
        .map(|record| cursor.record(record))
        .collect::<std::io::Result<_>>()
        .map_err(|error| Failure::io("file_unreadable", "temporary storage", &error))
}

fn as_json(facts: &load::Facts, batch: &Batch, side: &Side) -> Result<String, Failure> {
    let value = serde_json::json!({
        "file": facts,
        "loaded": batch.loaded,
        "rejected": batch.rejected,
        "sums": batch.sums.iter().map(|(currency, sum)| (currency.to_string(), sum.to_string())).collect::<std::collections::BTreeMap<_, _>>(),
        "balances": batch.balances,
        "balance_gaps": batch.gaps,
        "control_totals": batch.control_totals,
        "warnings": batch.warnings,
        "rejections": batch.rejections,
        "records": records(side, 100_000)?,
    });
    Ok(serde_json::to_string_pretty(&value).unwrap_or_default() + "\n")
}

fn as_text(facts: &load::Facts, batch: &Batch, side: &Side) -> Result<String, Failure> {
    let mut text = String::new();
    let records = records(side, LISTED)?;
    let _ = write_text(&mut text, facts, batch, side, &records);
    Ok(text)
}

fn write_text(
    out: &mut String,
    facts: &load::Facts,
    batch: &Batch,
    side: &Side,
    records: &[Record],
) -> std::fmt::Result {
    writeln!(out, "{}: {}, {} bytes", facts.name, facts.format.name(), grouped(&facts.bytes.to_string()))?;
    writeln!(out, "  encoding   {}", facts.encoding)?;
    if let Some(dialect) = &facts.dialect {
        writeln!(out, "  dialect    {dialect}")?;
    }
    writeln!(out, "  BLAKE3     {}", facts.hash)?;
    writeln!(
        out,
        "  rows       {} read, {} rejected",
        grouped(&batch.loaded.to_string()),
        grouped(&batch.rejected.to_string())
    )?;
    for (currency, sum) in &batch.sums {
        writeln!(out, "  sum        {} {currency}", grouped(&sum.to_string()))?;
    }
    writeln!(out, "\nMapping (field = column)")?;
    for pair in &facts.mapping {
        writeln!(out, "  {pair}")?;
    }
    for sentence in &facts.inferred {
        writeln!(out, "  inferred: {sentence}")?;
    }
    let more = |out: &mut String, all: usize| {
        if all > LISTED { writeln!(out, "  … and {} more (--json has all)", all - LISTED) } else { Ok(()) }
    };
    if !batch.balances.is_empty() {
        writeln!(out, "\nBalances")?;
        for balance in batch.balances.iter().take(LISTED) {
            let kind = format!("{:?}", balance.kind).to_lowercase();
            let date = balance.date.map(|date| date.to_string()).unwrap_or_default();
            writeln!(
                out,
                "  statement {} {:<24} {kind:<8} {:>18} {} {date}",
                balance.statement,
                balance.account,
                grouped(&balance.amount.to_string()),
                balance.currency
            )?;
        }
        more(out, batch.balances.len())?;
    }
    for gap in &batch.gaps {
        writeln!(out, "  balance gap, statement {} at {}: {}", gap.statement, gap.place, gap.message)?;
    }
    for total in &batch.control_totals {
        writeln!(
            out,
            "  control total at {}: {} is stated as {}, found {}",
            total.place, total.of, total.stated, total.found
        )?;
    }
    if !batch.warnings.is_empty() {
        writeln!(out, "\nWarnings")?;
        for warning in batch.warnings.iter().take(LISTED) {
            writeln!(out, "  {}: {}", warning.place, warning.message)?;
        }
        more(out, batch.warnings.len())?;
    }
    if !batch.rejections.is_empty() {
        writeln!(out, "\nRejected rows")?;
        for rejection in batch.rejections.iter().take(LISTED) {
            writeln!(
                out,
                "  {}: {}\n    {}",
                rejection.place,
                rejection.reason,
                rejection.raw.replace(['\n', '\r'], " ")
            )?;
        }
        more(out, batch.rejections.len())?;
    }
    writeln!(out, "\nFirst records")?;
    for record in records {
        let what = record.text.as_deref().or(record.counterparty.as_deref()).unwrap_or("");
        let id = record.external_id.as_deref().unwrap_or("");
        let short: String = what.chars().take(48).collect();
        writeln!(
            out,
            "  {:>6} {} {:>16} {} {id} {} {short}",
            record.place.line,
            record.booked,
            grouped(&record.amount.to_string()),
            record.currency,
            record.references.join(" ")
        )?;
    }
    more(out, side.len())
}

/// One record with its cells before, and its fields after normalisation.
fn steps(side: &Side, line: u64) -> Result<String, Failure> {
    let storage = |error| Failure::io("file_unreadable", "temporary storage", &error);
    let mut cursor = side.cursor();
    for record in 0..u32::try_from(side.len()).unwrap_or(u32::MAX) {
        if cursor.place(record).map_err(storage)?.line != line {
            continue;
        }
        let (row, profile) = cursor.row(record).map_err(storage)?;
        let mut text = format!("{}\n\nCells\n", row.place);
        for (name, cell) in profile.columns.iter().zip(row.cells()).filter(|(_, cell)| !cell.is_empty()) {
            let _ = writeln!(text, "  {name}: {cell}");
        }
        text.push_str("\nSteps\n");
        for step in profile.steps(&Row::clone(row)) {
            let _ = writeln!(text, "  {:<12} {}", step.name, step.result);
        }
        return Ok(text);
    }
    Err(Failure::new("record_not_found", format!("no record begins on line {line}"))
        .way_out("`stoa inspect FILE` lists the first records with their lines"))
}
