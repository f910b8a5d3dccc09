//! Delimiter-separated text: RFC 4180 and what is found in practice. The dialect is inferred from the head of the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use memchr::{memchr, memchr_iter};
use stoa_kernel::limits;
use stoa_reconciliation::field::Field;
use stoa_reconciliation::normalise::{dates, numbers};
use stoa_reconciliation::row::{Item, Place, ReadError, Rejection, Row, RowReader, Warning};
use stoa_reconciliation::source::SourceSpec;

use crate::input::Scan;

/// How a file separates rows and cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    /// Rows end with a carriage return alone.
    pub(crate) cr_only: bool,
    /// Lines before the table that were named.
    pub(crate) skip_lines: u32,
    /// Rows before the table that were found.
    pub(crate) skip_rows: u64,
    pub(crate) header: bool,
    /// The usual number of cells.
    pub(crate) width: usize,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', cr_only: false, skip_lines: 0, skip_rows: 0, header: true, width: 0 }
    }
}

impl Dialect {
    fn reader(self) -> Reader {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.delimiter);
        if self.cr_only {
            builder.terminator(Terminator::Any(b'\r'));
        }
        builder.build()
    }
}

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const SAMPLED_ROWS: usize = 100;

/// Infers the dialect of a text from its head.
pub(crate) fn sniff(head: &str, scan: &Scan, spec: &SourceSpec) -> Result<Dialect, String> {
    let cr_only = !scan.has_line_feed && head.contains('\r');
    let fixed = match spec.delimiter.as_deref() {
        None => None,
        Some("tab" | "\t" | "\\t") => Some(b'\t'),
        Some(text) => match text.as_bytes() {
            &[byte] if byte.is_ascii() => Some(byte),
            _ => {
                return Err(format!(
                    "the delimiter \"{text}\" is not one ASCII character; write tab for a tab"
                ));
            }
        },
    };
    let mut head = head;
    for _ in 0..spec.skip_lines.unwrap_or(0) {
        head = head.split_once(if cr_only { '\r' } else { '\n' }).map_or("", |(_, rest)| rest);
    }
    let candidates: Vec<u8> = fixed.map_or_else(|| DELIMITERS.to_vec(), |byte| vec![byte]);
    let mut best: Option<((usize, usize), Dialect)> = None;
    for delimiter in candidates {
        let mut dialect = Dialect { delimiter, cr_only, skip_lines: 0, skip_rows: 0, header: true, width: 0 };
        let mut rows = sample(head, dialect);
        drop_trailing_blank(&mut rows);
        let width = usual_width(&rows);
        dialect.width = width;
        let steady = rows.iter().filter(|row| row.len() == width).count();
        let skip = rows.iter().take_while(|row| row.len() != width).count();
        dialect.skip_lines = spec.skip_lines.unwrap_or(0);
        dialect.skip_rows = if spec.skip_lines.is_some() { 0 } else { skip as u64 };
        let from = usize::try_from(dialect.skip_rows).unwrap_or(0);
        dialect.header = spec.header.unwrap_or_else(|| is_header(rows.get(from), rows.get(from + 1)));
        let score = if width > 1 { (steady * 100 / rows.len().max(1) / 20, width) } else { (0, 1) };
        if best.as_ref().is_none_or(|(known, _)| score > *known) {
            best = Some((score, dialect));
        }
    }
    best.map(|(_, dialect)| dialect).ok_or_else(|| "there is no row".to_owned())
}

/// Rows that end with a delimiter under a header that does not are as wide as the header.
fn drop_trailing_blank(rows: &mut [Vec<String>]) {
    let width = usual_width(rows);
    let is_longer = |row: &Vec<String>| row.len() == width;
    if width > 2
        && rows.iter().filter(|row| is_longer(row)).all(|row| row.last().is_some_and(String::is_empty))
        && rows.iter().find(|row| row.len() + 1 >= width).is_some_and(|first| first.len() + 1 == width)
    {
        for row in rows.iter_mut().filter(|row| row.len() == width) {
            row.pop();
        }
    }
}

/// The most usual number of cells, the larger one where two are equally usual.
fn usual_width(rows: &[Vec<String>]) -> usize {
    let count = |width: usize| rows.iter().filter(|row| row.len() == width).count();
    rows.iter()
        .map(Vec::len)
        .max_by_key(|&width| (if width > 1 { count(width) } else { 0 }, width))
        .unwrap_or(0)
}

fn sample(head: &str, dialect: Dialect) -> Vec<Vec<String>> {
    let mut reader = dialect.reader();
    let mut rest = head.as_bytes();
    let (mut out, mut ends) = (vec![0; head.len() + 16], vec![0; limits::COLUMNS_MAX]);
    let mut rows = Vec::new();
    while rows.len() < SAMPLED_ROWS && !rest.is_empty() {
        let (result, read, _, cells) = reader.read_record(rest, &mut out, &mut ends);
        rest = rest.get(read..).unwrap_or(&[]);
        match result {
            ReadRecordResult::Record => rows.push(cut(&out, ends.get(..cells).unwrap_or(&[]))),
            // The head may end inside a row; what is whole is enough, unless it is all there is.
            ReadRecordResult::InputEmpty => {
                let (result, _, _, more) = reader.read_record(&[], &mut out, &mut ends);
                if rows.is_empty() && matches!(result, ReadRecordResult::Record) {
                    rows.push(cut(&out, ends.get(..cells + more).unwrap_or(&[])));
                }
                break;
            }
            _ => break,
        }
    }
    rows
}

fn cut(out: &[u8], ends: &[usize]) -> Vec<String> {
    let mut start = 0;
    ends.iter()
        .map(|&end| {
            let cell = out.get(start..end).unwrap_or(&[]);
            start = end;
            String::from_utf8_lossy(cell).trim().to_owned()
        })
        .collect()
}

/// A header names things: no cell of it is a number or a date, and it is known, or the next row has numbers or dates.
fn is_header(first: Option<&Vec<String>>, second: Option<&Vec<String>>) -> bool {
    let is_value = |cell: &String| {
        cell.bytes().any(|byte| byte.is_ascii_digit())
            && (numbers::parse(cell, numbers::NumberFormat::Point).is_ok()
                || numbers::parse(cell, numbers::NumberFormat::Comma).is_ok()
                || dates::infer(&[cell]).is_some())
    };
    let Some(first) = first else { return true };
    if first.iter().any(is_value) {
        return false;
    }
    first.iter().any(|cell| Field::of_header(cell).is_some())
        || second.is_some_and(|second| second.iter().any(is_value))
}

/// Reads a delimited text.
pub(crate) struct Csv {
    file: File,
    core: Reader,
    dialect: Dialect,
    columns: Vec<String>,
    may_have_nul: bool,
    buffer: Vec<u8>,
    /// Unread part of `buffer`.
    start: usize,
    end: usize,
    /// Offset of `start` in the file, and its line.
    at: Place,
    at_end: bool,
    out: Vec<u8>,
    ends: Vec<usize>,
    pending: VecDeque<Item>,
    short_rows_told: bool,
    /// The part of the current row that an earlier fill of the buffer held.
    carried: Vec<u8>,
}

impl Csv {
    /// A reader of `file`, which is UTF-8, from where it stands; `offset` is that place.
    pub(crate) fn new(file: File, dialect: Dialect, scan: &Scan, offset: u64) -> Result<Self, ReadError> {
        let mut csv = Self {
            file,
            core: dialect.reader(),
            dialect,
            columns: Vec::new(),
            may_have_nul: scan.nuls != [0, 0],
            buffer: vec![0; 256 << 10],
            start: 0,
            end: 0,
            at: Place { line: 1, byte: offset },
            at_end: false,
            out: vec![0; 64 << 10],
            ends: vec![0; 256],
            pending: VecDeque::new(),
            short_rows_told: false,
            carried: Vec::new(),
        };
        csv.skip_lines(dialect.skip_lines)?;
        for _ in 0..dialect.skip_rows {
            csv.record()?;
        }
        csv.name_columns()?;
        Ok(csv)
    }

    /// Passes over lines as an editor counts them, whatever is in them.
    fn skip_lines(&mut self, count: u32) -> Result<(), ReadError> {
        let terminator = if self.dialect.cr_only { b'\r' } else { b'\n' };
        let mut left = count;
        while left > 0 && self.fill()? {
            let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let end = memchr(terminator, rest);
            left -= u32::from(end.is_some());
            let used = end.map_or(rest.len(), |end| end + 1);
            self.consume(used);
        }
        Ok(())
    }

    fn name_columns(&mut self) -> Result<(), ReadError> {
        if self.dialect.header {
            if let Read::Row { cells, .. } = self.record()? {
                self.columns = cut(&self.out, self.ends.get(..cells).unwrap_or(&[]));
            }
            // Trailing delimiters make columns without a name; blank names are numbered.
            for (number, name) in (1..).zip(&mut self.columns) {
                if name.is_empty() {
                    *name = format!("column {number}");
                }
            }
            let mut seen = std::collections::BTreeMap::new();
            for name in &mut self.columns {
                let count = seen.entry(name.clone()).or_insert(0);
                *count += 1;
                if *count > 1 {
                    *name = format!("{name} {count}");
                }
            }
            return Ok(());
        }
        self.columns = (1..=self.dialect.width).map(|number| format!("column {number}")).collect();
        Ok(())
    }

    fn fill(&mut self) -> Result<bool, ReadError> {
        if self.start < self.end {
            return Ok(true);
        }
        if self.at_end {
            return Ok(false);
        }
        let read = loop {
            match self.file.read(&mut self.buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        (self.start, self.end, self.at_end) = (0, read, read == 0);
        Ok(read > 0)
    }

    fn consume(&mut self, count: usize) {
        let used = self.buffer.get(self.start..self.start + count).unwrap_or(&[]);
        let terminator = if self.dialect.cr_only { b'\r' } else { b'\n' };
        self.at.line += memchr_iter(terminator, used).count() as u64;
        self.at.byte += count as u64;
        self.start += count;
    }

    /// Passes over ends of lines, so that the place of a row is where it begins.
    fn skip_line_ends(&mut self) -> Result<bool, ReadError> {
        while self.fill()? {
            let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let blanks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let all = blanks == rest.len();
            self.consume(blanks);
            if !all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn record(&mut self) -> Result<Read, ReadError> {
        if !self.skip_line_ends()? {
            return Ok(Read::End);
        }
        let place = self.at;
        let (mut bytes, mut cells, mut too_long) = (0, 0, false);
        self.carried.clear();
        loop {
            let more = self.fill()?;
            let from = self.start;
            let input = if more { self.buffer.get(self.start..self.end).unwrap_or(&[]) } else { &[] };
            let (out, ends) =
                (self.out.get_mut(bytes..).unwrap_or(&mut []), self.ends.get_mut(cells..).unwrap_or(&mut []));
            let (result, read, written, ended) = self.core.read_record(input, out, ends);
            self.consume(read);
            (bytes, cells) = (bytes + written, cells + ended);
            match result {
                ReadRecordResult::InputEmpty => {
                    let part = self.buffer.get(from..self.start).unwrap_or(&[]);
                    if !too_long {
                        self.carried.extend_from_slice(part);
                    }
                }
                ReadRecordResult::OutputFull if self.out.len() < limits::ROW_BYTES_MAX => {
                    self.out.resize(self.out.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < limits::COLUMNS_MAX * 4 => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                // Past the limit the rest of the row is read and thrown away.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (bytes, cells, too_long) = (0, 0, true);
                }
                ReadRecordResult::Record => {
                    if too_long {
                        return Ok(Read::TooLong(place));
                    }
                    // A quote in the wrong place can only swallow lines in a row of several, or in the last one.
                    let lines = self.at.line - place.line;
                    let unclosed = (lines > 1 || !more) && !self.is_well_quoted(from);
                    return Ok(if unclosed {
                        Read::Unclosed { place, bytes, lines: lines.max(1) }
                    } else {
                        Read::Row { place, bytes, cells }
                    });
                }
                ReadRecordResult::End => return Ok(Read::End),
            }
        }
    }

    /// Whether every quote of the row that has just been read, the end of which begins at `from`, opens a cell, closes one or
    /// is doubled (RFC 4180, section 2).
    fn is_well_quoted(&self, from: usize) -> bool {
        let tail = self.buffer.get(from..self.start).unwrap_or(&[]);
        let ends_cell = |byte: u8| byte == self.dialect.delimiter || matches!(byte, b'\r' | b'\n');
        let (mut at_start, mut quoted) = (true, false);
        let mut bytes = self.carried.iter().chain(tail).copied().peekable();
        while let Some(byte) = bytes.next() {
            match (quoted, byte) {
                (true, b'"') if bytes.peek() == Some(&b'"') => {
                    bytes.next();
                }
                (true, b'"') => {
                    quoted = false;
                    if bytes.peek().is_some_and(|&next| !ends_cell(next)) {
                        return false;
                    }
                }
                (true, _) => {}
                (false, b'"') if at_start => quoted = true,
                (false, _) => at_start = ends_cell(byte),
            }
            at_start &= !quoted;
        }
        !quoted
    }

    /// The cells of a row as they lay in the file, nearly: quotes are gone.
    fn shown(&self, bytes: usize, cells: usize) -> String {
        let mut start = 0;
        let cells = self.ends.get(..cells).unwrap_or(&[]).iter().map(|&end| {
            let cell = self.out.get(start..end.min(bytes)).unwrap_or(&[]);
            start = end;
            String::from_utf8_lossy(cell)
        });
        cells.collect::<Vec<_>>().join(&char::from(self.dialect.delimiter).to_string())
    }

    fn row(&mut self, row: &mut Row, place: Place, bytes: usize, cells: usize) -> Option<Item> {
        let width = self.columns.len();
        let all = self.out.get(..bytes).unwrap_or(&[]);
        let reject =
            |reason: String| Some(Item::Rejected(Rejection::new(place, reason, &self.shown(bytes, cells))));
        if self.may_have_nul && memchr(0, all).is_some() {
            return reject("the row contains NUL bytes".to_owned());
        }
        let Ok(text) = std::str::from_utf8(all) else {
            return reject("the row is not valid UTF-8".to_owned());
        };
        if text.bytes().all(|byte| byte == b' ') {
            return None;
        }
        let ends = self.ends.get(..cells).unwrap_or(&[]);
        if cells > width {
            let known = width.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
            if !text.get(known..).unwrap_or("").trim().is_empty() {
                return reject(format!(
                    "the row has {cells} cells, the table {width}; a delimiter or an unclosed quote may be in a text"
                ));
            }
        }
        if cells < width && !self.short_rows_told {
            self.short_rows_told = true;
            let message =
                format!("a row has {cells} cells, the table {width}; the missing ones are blank (told once)");
            self.pending.push_back(Item::Warning(Warning { place, message }));
        }
        let ends = ends.iter().take(width).map(|&end| u32::try_from(end).unwrap_or(u32::MAX));
        row.refill(text, ends, place);
        Some(Item::Row)
    }
}

enum Read {
    Row {
        place: Place,
        bytes: usize,
        cells: usize,
    },
    /// A quote is in the wrong place, and `lines` lines became one row.
    Unclosed {
        place: Place,
        bytes: usize,
        lines: u64,
    },
    TooLong(Place),
    End,
}

impl RowReader for Csv {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        if let Some(item) = self.pending.pop_front() {
            return Ok(Some(item));
        }
        loop {
            match self.record()? {
                Read::End => return Ok(None),
                Read::TooLong(place) => {
                    let reason = format!(
                        "the row is longer than {} MiB or has more than {} cells",
                        limits::ROW_BYTES_MAX >> 20,
                        limits::COLUMNS_MAX * 4
                    );
                    return Ok(Some(Item::Rejected(Rejection::new(place, reason, ""))));
                }
                Read::Unclosed { place, bytes, lines } => {
                    let shown = String::from_utf8_lossy(self.out.get(..bytes).unwrap_or(&[]));
                    let reason = format!(
                        "a quote is not closed, or text follows a closing quote; {lines} {} from here could not be told apart",
                        if lines == 1 { "line" } else { "lines" }
                    );
                    return Ok(Some(Item::Rejected(Rejection::new(place, reason, &shown))));
                }
                Read::Row { place, bytes, cells } => {
                    if let Some(item) = self.row(row, place, bytes, cells) {
                        return Ok(Some(item));
                    }
                }
            }
        }
    }

    fn position(&self) -> u64 {
        self.at.byte
    }
}
