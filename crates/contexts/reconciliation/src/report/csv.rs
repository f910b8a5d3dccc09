//! The result files as CSV (RFC 4180, LF). Cells that a spreadsheet would run as a formula are defused.

use std::io::{self, Write};

use stoa_kernel::money::Decimal;

use super::SourceFile;
use crate::field::Field;
use crate::matching::outcome::{Group, Kind, Link, LinkStatus, Outcome, Standing};
use crate::side::{Cursor, RecordNo, Side};
use crate::source::SideName;

/// Builds one line after the other in one buffer.
struct Lines<'w> {
    out: &'w mut dyn Write,
    buffer: Vec<u8>,
    first: bool,
}

impl<'w> Lines<'w> {
    fn new(out: &'w mut dyn Write, header: &str) -> io::Result<Self> {
        out.write_all(header.as_bytes())?;
        out.write_all(b"\n")?;
        Ok(Self { out, buffer: Vec::with_capacity(1 << 16), first: true })
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
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

    fn end(&mut self) -> io::Result<()> {
        self.buffer.push(b'\n');
        self.first = true;
        if self.buffer.len() > 60_000 {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.out.flush()
    }
}

/// Writes `links.csv`: one line for each pair of records that a decision connects, sorted by the left record.
///
/// # Errors
/// Of the writer or the scratch storage.
pub fn write_links(out: &mut dyn Write, outcome: &Outcome, sides: [&Side; 2]) -> io::Result<()> {
    let [left, right] = sides;
    let mut lines = Lines::new(out, "left_id,right_id,status")?;
    let (mut left_cursor, mut right_cursor) = (left.cursor(), right.cursor());
    let (mut left_id, mut right_id) = (String::new(), String::new());
    let mut others = outcome.links.iter().peekable();
    for (record, &standing) in (0..).zip(&outcome.left) {
        left_id.clear();
        let mut line = |lines: &mut Lines<'_>, link: Link, left_id: &mut String| -> io::Result<()> {
            if left_id.is_empty() {
                left_cursor.id_into(link.left, left_id)?;
            }
            right_id.clear();
            right_cursor.id_into(link.right, &mut right_id)?;
            lines.text(left_id);
            lines.text(&right_id);
            lines.plain(link.status.name());
            lines.end()
        };
        match standing {
            Standing::Pair(partner, pass) => {
                let status =
                    if outcome.is_confirmed(pass) { LinkStatus::Matched } else { LinkStatus::Suggested };
                line(&mut lines, Link { left: record, right: partner, status }, &mut left_id)?;
            }
            Standing::Group(number) => {
                if let Some(group) = outcome.groups.get(number as usize) {
                    let status = if outcome.is_confirmed(group.pass) {
                        LinkStatus::Group
                    } else {
                        LinkStatus::Suggested
                    };
                    for &partner in &group.right {
                        line(&mut lines, Link { left: record, right: partner, status }, &mut left_id)?;
                    }
                }
            }
            Standing::Open => {}
        }
        while let Some(link) = others.next_if(|link| link.left == record) {
            line(&mut lines, *link, &mut left_id)?;
        }
    }
    lines.finish()
}

/// Writes `matches.csv`: one line for each match, confirmed or suggested.
///
/// # Errors
/// Of the writer or the scratch storage.
pub fn write_matches(out: &mut dyn Write, outcome: &Outcome, sides: [&Side; 2]) -> io::Result<()> {
    let [left, right] = sides;
    let header = "match,pass,kind,outcome,left_ids,right_ids,left_amount,right_amount,currency,residual,treatment,days";
    let mut lines = Lines::new(out, header)?;
    let mut writer =
        Matches { outcome, sides, left: left.cursor(), right: right.cursor(), ids: String::new(), number: 0 };
    for (record, &standing) in (0..).zip(&outcome.left) {
        match standing {
            Standing::Pair(partner, pass) => {
                writer.line(&mut lines, pass, Kind::OneToOne, &[record], &[partner])?;
            }
            Standing::Group(number) => {
                if let Some(group) =
                    outcome.groups.get(number as usize).filter(|group| group.left.first() == Some(&record))
                {
                    writer.group(&mut lines, group)?;
                }
            }
            Standing::Open => {}
        }
    }
    for group in outcome.groups.iter().filter(|group| group.left.is_empty()) {
        writer.group(&mut lines, group)?;
    }
    lines.finish()
}

struct Matches<'s> {
    outcome: &'s Outcome,
    sides: [&'s Side; 2],
    left: Cursor<'s>,
    right: Cursor<'s>,
    ids: String,
    number: u64,
}

impl Matches<'_> {
    fn group(&mut self, lines: &mut Lines<'_>, group: &Group) -> io::Result<()> {
        self.line(lines, group.pass, group.kind, &group.left, &group.right)
    }

    fn line(
        &mut self,
        lines: &mut Lines<'_>,
        pass: u8,
        kind: Kind,
        left: &[RecordNo],
        right: &[RecordNo],
    ) -> io::Result<()> {
        let [l, r] = self.sides;
        self.number += 1;
        let name = self.outcome.passes.get(usize::from(pass)).map_or("", |(name, _)| name.as_str());
        lines.plain(&self.number.to_string());
        lines.text(name);
        lines.plain(kind.name());
        lines.plain(if self.outcome.is_confirmed(pass) { "confirmed" } else { "suggested" });
        for (cursor, records) in [(&mut self.left, left), (&mut self.right, right)] {
            self.ids.clear();
            for (index, &record) in records.iter().enumerate() {
                if index > 0 {
                    self.ids.push_str(" + ");
                }
                cursor.id_into(record, &mut self.ids)?;
            }
            lines.text(&self.ids);
        }
        let sum = |side: &Side, records: &[RecordNo]| {
            records.iter().fold(None, |sum: Option<Decimal>, &record| {
                let amount = side.amount(record);
                Some(sum.map_or(amount, |sum| sum.checked_add(amount).unwrap_or(sum)))
            })
        };
        let (left_sum, right_sum) = (sum(l, left), sum(r, right));
        for sum in [left_sum, right_sum] {
            match sum {
                Some(sum) => lines.amount(sum),
                None => lines.plain(""),
            }
        }
        let currency =
            |side: &Side, records: &[RecordNo]| records.first().map(|&record| side.currency(record));
        let (lc, rc) = (currency(l, left), currency(r, right));
        let converted = matches!((lc, rc), (Some(a), Some(b)) if a != b);
        let letters = lc.or(rc).map_or([b'X'; 3], stoa_kernel::currency::Currency::letters);
        lines.plain(std::str::from_utf8(&letters).unwrap_or(""));
        let residual = left_sum.zip(right_sum).filter(|_| !converted).and_then(|(a, b)| a.checked_sub(b));
        match residual {
            Some(residual) => lines.amount(residual),
            None => lines.plain(""),
        }
        lines.plain(match (converted, residual) {
            (true, _) => "fx",
            (false, Some(residual)) if residual.units != 0 => {
                let has_fee = |profiles: &[crate::profile::Profile]| {
                    profiles.iter().any(|profile| profile.mapping.column(Field::Fee).is_some())
                };
                if residual.abs() > Decimal::new(1, 0) && (has_fee(l.profiles()) || has_fee(r.profiles())) {
                    "fee"
                } else {
                    "tolerance"
                }
            }
            _ => "none",
        });
        match (left.first(), right.first()) {
            (Some(&a), Some(&b)) => lines.plain(&r.booked(b).since(l.booked(a)).to_string()),
            _ => lines.plain(""),
        }
        lines.end()
    }
}

/// Writes `exceptions.csv`: one line for each open record, with its reason and what came nearest.
///
/// # Errors
/// Of the writer or the scratch storage.
pub fn write_exceptions(out: &mut dyn Write, outcome: &Outcome, sides: [&Side; 2]) -> io::Result<()> {
    let [left, right] = sides;
    let mut lines = Lines::new(
        out,
        "side,id,reason,date,amount,currency,references,counterparty,text,pass,candidates,detail",
    )?;
    for (name, own, other, standings) in
        [(SideName::Left, left, right, &outcome.left), (SideName::Right, right, left, &outcome.right)]
    {
        let (mut cursor, mut candidates) = (own.cursor(), other.cursor());
        let mut id = String::new();
        for (record, _) in (0..).zip(standings).filter(|(_, standing)| **standing == Standing::Open) {
            let diagnosis = outcome.diagnoses.get(&(name, record));
            id.clear();
            cursor.id_into(record, &mut id)?;
            let (row, profile) = cursor.row(record)?;
            let mut references = Vec::new();
            profile.references(row, |reference| references.push(reference.to_owned()));
            lines.plain(name.name());
            lines.text(&id);
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
                candidates.id_into(candidate, &mut ids)?;
            }
            lines.text(&ids);
            lines.text(diagnosis.map_or("", |diagnosis| &diagnosis.detail));
            lines.end()?;
        }
    }
    lines.finish()
}

/// Writes `rejected.csv`: one line for each row that was not read.
///
/// # Errors
/// Of the writer.
pub fn write_rejected(out: &mut dyn Write, files: &[SourceFile]) -> io::Result<()> {
    let mut lines = Lines::new(out, "side,file,line,byte,reason,row")?;
    for file in files {
        for rejection in &file.batch.rejections {
            lines.plain(file.side.name());
            lines.text(&file.facts.name);
            lines.plain(&rejection.place.line.to_string());
            lines.plain(&rejection.place.byte.to_string());
            lines.text(&rejection.reason);
            lines.text(&rejection.raw);
            lines.end()?;
        }
    }
    lines.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl Fn(&mut Lines<'_>)) -> String {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, "h").unwrap();
        write(&mut lines);
        lines.end().unwrap();
        lines.finish().unwrap();
        String::from_utf8(out).unwrap().strip_prefix("h\n").unwrap().to_owned()
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
