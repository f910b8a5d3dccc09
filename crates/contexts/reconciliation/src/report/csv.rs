//! The result files as CSV (RFC 4180, LF). Cells that a spreadsheet would run as a formula are defused.

use std::io::{self, Write};

use stoa_kernel::money::Decimal;

use super::SourceFile;
use crate::field::Field;
use crate::matching::outcome::{Group, Kind, Link, LinkStatus, Outcome, Standing};
use crate::side::{Ids, RecordNo, Side};
use crate::source::SideName;

/// Records whose lines are formatted in one go.
const CHUNK_RECORDS: usize = 1 << 15;

/// What the result files are written from.
#[derive(Debug, Clone, Copy)]
pub struct Results<'a> {
    /// The decisions.
    pub outcome: &'a Outcome,
    /// The records.
    pub sides: [&'a Side; 2],
    /// Their ids.
    pub ids: [&'a Ids; 2],
    /// Threads to format lines with.
    pub threads: usize,
}

/// Builds one line after the other in one buffer.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    started: bool,
}

/// Formats chunks of the left records on several threads and writes them in order.
fn write_chunks(
    out: &mut dyn Write,
    header: &str,
    records: usize,
    threads: usize,
    format: impl Fn(std::ops::Range<usize>, &mut Lines) + Sync,
) -> io::Result<()> {
    out.write_all(header.as_bytes())?;
    out.write_all(b"\n")?;
    let chunks: Vec<_> = (0..records)
        .step_by(CHUNK_RECORDS)
        .map(|start| start..(start + CHUNK_RECORDS).min(records))
        .collect();
    for wave in chunks.chunks(threads.max(1)) {
        let format = |chunk: &std::ops::Range<usize>| {
            let mut lines = Lines::default();
            format(chunk.clone(), &mut lines);
            lines.buffer
        };
        if let [only] = wave {
            out.write_all(&format(only))?;
            continue;
        }
        let buffers = std::thread::scope(|scope| {
            let workers: Vec<_> = wave.iter().map(|chunk| scope.spawn(|| format(chunk))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Vec<_>>()
        });
        for buffer in buffers {
            out.write_all(&buffer)?;
        }
    }
    Ok(())
}

impl Lines {
    fn separate(&mut self) {
        if std::mem::replace(&mut self.started, true) {
            self.buffer.push(b',');
        }
    }

    /// A cell of any text.
    fn text(&mut self, cell: &str) {
        self.separate();
        let bytes = cell.as_bytes();
        let defuse = matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
            && cell.parse::<Decimal>().is_err();
        let quote = defuse || bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
        if !quote {
            self.buffer.extend_from_slice(bytes);
            return;
        }
        self.buffer.push(b'"');
        if defuse {
            self.buffer.push(b'\'');
        }
        for &byte in bytes {
            if byte == b'"' {
                self.buffer.push(b'"');
            }
            self.buffer.push(byte);
        }
        self.buffer.push(b'"');
    }

    /// A cell that is known to need no quotes.
    fn plain(&mut self, cell: &str) {
        self.separate();
        self.buffer.extend_from_slice(cell.as_bytes());
    }

    fn amount(&mut self, amount: Decimal) {
        self.separate();
        let Ok(units) = u64::try_from(amount.units.unsigned_abs()) else {
            self.buffer.extend_from_slice(amount.to_string().as_bytes());
            return;
        };
        if amount.units < 0 {
            self.buffer.push(b'-');
        }
        let mut digits = [b'0'; 40];
        let (mut rest, mut at, mut written) = (units, digits.len(), 0);
        while rest > 0 || written <= amount.exponent {
            if written == amount.exponent && amount.exponent > 0 {
                at -= 1;
                if let Some(slot) = digits.get_mut(at) {
                    *slot = b'.';
                }
            }
            at -= 1;
            if let Some(slot) = digits.get_mut(at) {
                *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            }
            rest /= 10;
            written += 1;
        }
        self.buffer.extend_from_slice(digits.get(at..).unwrap_or(&[]));
    }

    fn maybe_amount(&mut self, amount: Option<Decimal>) {
        match amount {
            Some(amount) => self.amount(amount),
            None => self.plain(""),
        }
    }

    fn integer(&mut self, number: i64) {
        self.amount(Decimal::new(i128::from(number), 0));
    }

    fn end(&mut self) {
        self.buffer.push(b'\n');
        self.started = false;
    }
}

/// The left records of a chunk with where they have ended.
fn standings(outcome: &Outcome, chunk: std::ops::Range<usize>) -> impl Iterator<Item = (RecordNo, Standing)> {
    let first = RecordNo::try_from(chunk.start).unwrap_or(RecordNo::MAX);
    (first..).zip(outcome.left.get(chunk).unwrap_or(&[]).iter().copied())
}

/// Writes `links.csv`: one line for each pair of records that a decision connects, sorted by the left record.
///
/// # Errors
/// Of the writer.
pub fn write_links(out: &mut dyn Write, results: Results<'_>) -> io::Result<()> {
    let Results { outcome, ids: [left_ids, right_ids], .. } = results;
    write_chunks(out, "left_id,right_id,status", outcome.left.len(), results.threads, |chunk, lines| {
        let first = RecordNo::try_from(chunk.start).unwrap_or(RecordNo::MAX);
        let from = outcome.links.partition_point(|link| link.left < first);
        let mut others = outcome.links.iter().skip(from).peekable();
        let line = |lines: &mut Lines, link: Link| {
            lines.text(left_ids.of(link.left));
            lines.text(right_ids.of(link.right));
            lines.plain(link.status.name());
            lines.end();
        };
        for (left, standing) in standings(outcome, chunk) {
            match standing {
                Standing::Pair(right, pass) => {
                    let status =
                        if outcome.is_confirmed(pass) { LinkStatus::Matched } else { LinkStatus::Suggested };
                    line(lines, Link { left, right, status });
                }
                Standing::Group(number) => {
                    if let Some(group) = outcome.groups.get(number as usize) {
                        let status = if outcome.is_confirmed(group.pass) {
                            LinkStatus::Group
                        } else {
                            LinkStatus::Suggested
                        };
                        group.right.iter().for_each(|&right| line(lines, Link { left, right, status }));
                    }
                }
                Standing::Open => {}
            }
            while let Some(link) = others.next_if(|link| link.left == left) {
                line(lines, *link);
            }
        }
    })?;
    out.flush()
}

/// Writes `matches.csv`: one line for each match, confirmed or suggested.
///
/// # Errors
/// Of the writer.
pub fn write_matches(out: &mut dyn Write, results: Results<'_>) -> io::Result<()> {
    let outcome = results.outcome;
    let header = "match,pass,kind,outcome,left_ids,right_ids,left_amount,right_amount,currency,residual,treatment,days";
    let begins = |record: RecordNo, standing: Standing| match standing {
        Standing::Pair(..) => true,
        Standing::Group(number) => {
            outcome.groups.get(number as usize).is_some_and(|group| group.left.first() == Some(&record))
        }
        Standing::Open => false,
    };
    // Matches before each chunk, so that each knows its first number.
    let mut before = Vec::new();
    let mut count = 0u64;
    for start in (0..outcome.left.len()).step_by(CHUNK_RECORDS) {
        before.push(count);
        let chunk = start..(start + CHUNK_RECORDS).min(outcome.left.len());
        count +=
            standings(outcome, chunk).filter(|&(record, standing)| begins(record, standing)).count() as u64;
    }
    let formatter = Matches::of(results);
    write_chunks(out, header, outcome.left.len(), results.threads, |chunk, lines| {
        let mut number = before.get(chunk.start / CHUNK_RECORDS).copied().unwrap_or(0);
        for (record, standing) in
            standings(outcome, chunk).filter(|&(record, standing)| begins(record, standing))
        {
            number += 1;
            match standing {
                Standing::Pair(partner, pass) => {
                    formatter.line(lines, number, pass, Kind::OneToOne, &[record], &[partner]);
                }
                Standing::Group(group) => formatter.group(lines, number, outcome.groups.get(group as usize)),
                Standing::Open => {}
            }
        }
    })?;
    let mut lines = Lines::default();
    for group in outcome.groups.iter().filter(|group| group.left.is_empty()) {
        count += 1;
        formatter.group(&mut lines, count, Some(group));
    }
    out.write_all(&lines.buffer)?;
    out.flush()
}

struct Matches<'a> {
    results: Results<'a>,
    has_fees: bool,
}

impl<'a> Matches<'a> {
    fn of(results: Results<'a>) -> Self {
        let mut profiles = results.sides.iter().flat_map(|side| side.profiles());
        let has_fees = profiles.any(|profile| profile.mapping.column(Field::Fee).is_some());
        Self { results, has_fees }
    }

    fn group(&self, lines: &mut Lines, number: u64, group: Option<&Group>) {
        if let Some(group) = group {
            self.line(lines, number, group.pass, group.kind, &group.left, &group.right);
        }
    }

    fn line(
        &self,
        lines: &mut Lines,
        number: u64,
        pass: u8,
        kind: Kind,
        left: &[RecordNo],
        right: &[RecordNo],
    ) {
        let Results { outcome, sides: [l, r], ids: [left_ids, right_ids], .. } = self.results;
        lines.integer(i64::try_from(number).unwrap_or(i64::MAX));
        lines.text(outcome.passes.get(usize::from(pass)).map_or("", |(name, _)| name));
        lines.plain(kind.name());
        lines.plain(if outcome.is_confirmed(pass) { "confirmed" } else { "suggested" });
        for (ids, records) in [(left_ids, left), (right_ids, right)] {
            match records {
                &[only] => lines.text(ids.of(only)),
                several => {
                    lines.text(&several.iter().map(|&record| ids.of(record)).collect::<Vec<_>>().join(" + "));
                }
            }
        }
        let sum = |side: &Side, records: &[RecordNo]| {
            records.iter().fold(None, |sum: Option<Decimal>, &record| {
                let amount = side.amount(record);
                Some(sum.map_or(amount, |sum| sum.checked_add(amount).unwrap_or(sum)))
            })
        };
        let (left_sum, right_sum) = (sum(l, left), sum(r, right));
        for sum in [left_sum, right_sum] {
            lines.maybe_amount(sum);
        }
        let currency =
            |side: &Side, records: &[RecordNo]| records.first().map(|&record| side.currency(record));
        let (lc, rc) = (currency(l, left), currency(r, right));
        let converted = matches!((lc, rc), (Some(a), Some(b)) if a != b);
        let letters = lc.or(rc).map_or([b'X'; 3], stoa_kernel::currency::Currency::letters);
        lines.plain(std::str::from_utf8(&letters).unwrap_or(""));
        let is_opposite = outcome.opposite_passes.contains(&pass);
        let residual = left_sum
            .zip(right_sum)
            .filter(|_| !converted)
            .and_then(|(a, b)| if is_opposite { a.checked_add(b) } else { a.checked_sub(b) });
        lines.maybe_amount(residual);
        lines.plain(self.treatment(pass, converted, residual));
        match (left.first(), right.first()) {
            (Some(&a), Some(&b)) => lines.integer(i64::from(r.booked(b).since(l.booked(a)))),
            _ => lines.plain(""),
        }
        lines.end();
    }

    fn treatment(&self, pass: u8, converted: bool, residual: Option<Decimal>) -> &'static str {
        match residual.filter(|residual| residual.units != 0) {
            _ if converted => "fx",
            None => "none",
            Some(_) if self.has_fees && self.results.outcome.fee_passes.contains(&pass) => "fee",
            Some(_) => "tolerance",
        }
    }
}

/// Writes `exceptions.csv`: one line for each open record, with its reason and what came nearest.
///
/// # Errors
/// Of the writer or the scratch storage.
pub fn write_exceptions(out: &mut dyn Write, results: Results<'_>) -> io::Result<()> {
    let Results { outcome, sides: [left, right], ids: [left_ids, right_ids], .. } = results;
    out.write_all(
        b"side,id,reason,date,amount,currency,references,counterparty,text,pass,candidates,detail",
    )?;
    out.write_all(b"\n")?;
    let mut lines = Lines::default();
    for (name, own, own_ids, other_ids, standings) in [
        (SideName::Left, left, left_ids, right_ids, &outcome.left),
        (SideName::Right, right, right_ids, left_ids, &outcome.right),
    ] {
        let mut cursor = own.cursor();
        for (record, _) in (0..).zip(standings).filter(|(_, standing)| **standing == Standing::Open) {
            let diagnosis = outcome.diagnoses.get(&(name, record));
            let (row, profile) = cursor.row(record)?;
            let mut references = Vec::new();
            profile.references(row, |reference| references.push(reference.to_owned()));
            lines.plain(name.name());
            lines.text(own_ids.of(record));
            lines.plain(outcome.reason(name, record).name());
            lines.plain(&own.booked(record).to_string());
            lines.amount(own.amount(record));
            lines.plain(&own.currency(record).to_string());
            lines.text(&references.join(" "));
            lines.text(profile.cell(row, Field::Counterparty).trim());
            lines.text(&profile.joined(row, Field::Text));
            let pass = diagnosis
                .and_then(|diagnosis| diagnosis.pass)
                .and_then(|pass| outcome.passes.get(usize::from(pass)));
            lines.text(pass.map_or("", |(name, _)| name));
            let mut ids = String::new();
            for &candidate in diagnosis
                .map_or(&[][..], |diagnosis| &diagnosis.candidates)
                .iter()
                .take(stoa_kernel::limits::CANDIDATES_SHOWN)
            {
                if !ids.is_empty() {
                    ids.push_str(" | ");
                }
                ids.push_str(other_ids.of(candidate));
            }
            lines.text(&ids);
            lines.text(diagnosis.map_or("", |diagnosis| &diagnosis.detail));
            lines.end();
            if lines.buffer.len() > 1 << 16 {
                out.write_all(&lines.buffer)?;
                lines.buffer.clear();
            }
        }
    }
    out.write_all(&lines.buffer)?;
    out.flush()
}

/// Writes `rejected.csv`: one line for each row that was not read.
///
/// # Errors
/// Of the writer.
pub fn write_rejected(out: &mut dyn Write, files: &[SourceFile]) -> io::Result<()> {
    out.write_all(b"side,file,line,byte,reason,row\n")?;
    let mut lines = Lines::default();
    for file in files {
        for rejection in &file.batch.rejections {
            lines.plain(file.side.name());
            lines.text(&file.facts.name);
            lines.plain(&rejection.place.line.to_string());
            lines.plain(&rejection.place.byte.to_string());
            lines.text(&rejection.reason);
            lines.text(&rejection.raw);
            lines.end();
        }
    }
    out.write_all(&lines.buffer)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl Fn(&mut Lines)) -> String {
        let mut lines = Lines::default();
        write(&mut lines);
        lines.end();
        String::from_utf8(lines.buffer).unwrap()
    }

    #[test]
    fn a_cell_that_would_run_as_a_formula_is_defused() {
        assert_eq!(line(|lines| lines.text("=1+1")), "\"'=1+1\"\n");
        assert_eq!(line(|lines| lines.text("@SUM(A1)")), "\"'@SUM(A1)\"\n");
        assert_eq!(line(|lines| lines.text("-12.50")), "-12.50\n", "a number is not a formula");
        assert_eq!(line(|lines| lines.text("a,\"b\"")), "\"a,\"\"b\"\"\"\n");
    }

    #[test]
    fn amounts_are_written_as_they_are_displayed() {
        for (units, exponent) in
            [(0, 0), (0, 2), (5, 2), (-5, 3), (123_456, 2), (-100, 0), (10i128.pow(24), 2)]
        {
            let amount = Decimal::new(units, exponent);
            assert_eq!(line(|lines| lines.amount(amount)), format!("{amount}\n"));
        }
    }
}
