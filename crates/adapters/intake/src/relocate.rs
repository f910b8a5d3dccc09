//! Places in a file that had to be decoded: from offsets in the decoded text back to offsets in the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use stoa_reconciliation::row::{Item, Place, ReadError, Row, RowReader};

/// Wraps the parser of a decoded copy and corrects the byte offsets that it reports.
pub(crate) struct Relocated {
    inner: Box<dyn RowReader>,
    decoded: File,
    encoding: &'static Encoding,
    mark_bytes: u64,
    /// The last place that was worked out: offset in the copy, offset in the file.
    at: (u64, u64),
}

impl Relocated {
    pub(crate) fn new(
        inner: Box<dyn RowReader>,
        decoded: File,
        encoding: &'static Encoding,
        mark_bytes: usize,
    ) -> Self {
        let mark_bytes = mark_bytes as u64;
        Self { inner, decoded, encoding, mark_bytes, at: (0, mark_bytes) }
    }

    /// Parsers move forwards, so this reads every byte of the copy about once.
    fn place(&mut self, place: &mut Place) -> io::Result<()> {
        if place.byte < self.at.0 {
            self.at = (0, self.mark_bytes);
        }
        let mut buffer = vec![0; 64 << 10];
        while self.at.0 < place.byte {
            let wanted = usize::try_from(place.byte - self.at.0).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.decoded.read_at(buffer.get_mut(..wanted).unwrap_or(&mut []), self.at.0)?;
            let bytes = buffer.get(..read).unwrap_or(&[]);
            let text = match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => {
                    std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or(&[])).unwrap_or("")
                }
            };
            if text.is_empty() {
                break;
            }
            self.at = (self.at.0 + text.len() as u64, self.at.1 + self.source_bytes(text));
        }
        place.byte = self.at.1;
        Ok(())
    }

    fn source_bytes(&self, text: &str) -> u64 {
        if self.encoding == UTF_16LE || self.encoding == UTF_16BE {
            return text.encode_utf16().count() as u64 * 2;
        }
        if self.encoding.is_single_byte() {
            return text.chars().count() as u64;
        }
        self.encoding.encode(text).0.len() as u64
    }
}

impl RowReader for Relocated {
    fn columns(&self) -> &[String] {
        self.inner.columns()
    }

    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError> {
        let mut item = self.inner.next(row)?;
        match &mut item {
            Some(Item::Row) => self.place(&mut row.place)?,
            Some(Item::Balance(balance)) => self.place(&mut balance.place)?,
            Some(Item::ControlTotal(total)) => self.place(&mut total.place)?,
            Some(Item::Warning(warning)) => self.place(&mut warning.place)?,
            Some(Item::Rejected(rejection)) => self.place(&mut rejection.place)?,
            None => {}
        }
        Ok(item)
    }

    fn position(&self) -> u64 {
        self.inner.position()
    }
}
