//! Lines of a text with their places: for the formats that are made of lines.

use std::fs::File;
use std::io::{BufRead, BufReader};

use stoa_kernel::limits;
use stoa_reconciliation::row::{Place, ReadError};

/// Reads lines that end with LF, CR LF or CR.
pub(crate) struct Lines {
    file: BufReader<File>,
    at: Place,
    line: Vec<u8>,
    /// The last line ended with CR: a LF right after it belongs to it.
    after_cr: bool,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) place: Place,
    /// It was longer than a row may be, and was cut.
    pub(crate) cut: bool,
}

impl Lines {
    pub(crate) fn new(file: File, offset: u64) -> Self {
        Self {
            file: BufReader::with_capacity(64 << 10, file),
            at: Place { line: 1, byte: offset },
            line: Vec::new(),
            after_cr: false,
        }
    }

    pub(crate) const fn position(&self) -> u64 {
        self.at.byte
    }

    /// The next line without its end; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Line>, ReadError> {
        self.line.clear();
        let (mut place, mut cut, mut any) = (self.at, false, false);
        loop {
            let buffer = match self.file.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_cr) && buffer.first() == Some(&b'\n') {
                self.file.consume(1);
                self.at.byte += 1;
                place.byte += if any { 0 } else { 1 };
                continue;
            }
            any = true;
            let end = memchr::memchr2(b'\n', b'\r', buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(&[]);
            let room = limits::ROW_BYTES_MAX - self.line.len();
            cut |= part.len() > room;
            self.line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or(&[]));
            self.after_cr = end.and_then(|end| buffer.get(end)) == Some(&b'\r');
            let used = part.len() + usize::from(end.is_some());
            self.file.consume(used);
            self.at.byte += used as u64;
            if end.is_some() {
                self.at.line += 1;
                return Ok(Some(Line { text: String::from_utf8_lossy(&self.line).into_owned(), place, cut }));
            }
        }
        Ok(any.then(|| Line { text: String::from_utf8_lossy(&self.line).into_owned(), place, cut }))
    }
}
