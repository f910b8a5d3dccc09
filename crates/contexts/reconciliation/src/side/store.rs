//! The rows of a side as bytes: in memory up to a budget, in scratch storage past it.

use std::io;

use super::{Scratch, WRITE_BUFFER_BYTES};
use crate::row::{Place, Row};

/// The rows of a side, each as a run of bytes.
pub(super) struct Store {
    pub(super) memory: Vec<u8>,
    pub(super) budget: usize,
    pub(super) scratch: Option<Box<dyn Scratch>>,
    pub(super) spilled: u64,
}

impl Store {
    pub(super) fn append(&mut self, row: &Row, batch: u32) -> io::Result<u64> {
        let offset = self.spilled + self.memory.len() as u64;
        let (text, ends) = row.parts();
        let out = &mut self.memory;
        put_varint(out, row.place.line);
        put_varint(out, row.place.byte);
        put_varint(out, u64::from(batch));
        put_varint(out, ends.len() as u64);
        let mut start = 0;
        for &end in ends {
            put_varint(out, u64::from(end - start));
            start = end;
        }
        out.extend_from_slice(text.as_bytes());
        let limit = if self.spilled > 0 { WRITE_BUFFER_BYTES } else { self.budget };
        if self.memory.len() > limit && self.scratch.is_some() {
            self.flush()?;
        }
        Ok(offset)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(scratch) = &mut self.scratch {
            scratch.append(&self.memory)?;
            self.spilled += self.memory.len() as u64;
            self.memory.clear();
            self.memory.shrink_to(WRITE_BUFFER_BYTES);
        }
        Ok(())
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// Reads a varint from the front of `bytes`; `None` when it is cut off.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Fills `row` from stored bytes; returns how many were used and the batch. `None` when they are cut off.
#[inline]
pub(super) fn decode(bytes: &[u8], row: &mut Row) -> Option<(usize, u32)> {
    let mut rest = bytes;
    let line = take_varint(&mut rest)?;
    let byte = take_varint(&mut rest)?;
    let batch = u32::try_from(take_varint(&mut rest)?).ok()?;
    let cells = usize::try_from(take_varint(&mut rest)?).ok()?;
    let lengths = rest;
    let mut total = 0usize;
    for _ in 0..cells {
        total += usize::try_from(take_varint(&mut rest)?).ok()?;
    }
    let text = rest.get(..total)?;
    let used = bytes.len() - rest.len() + total;
    let text = std::str::from_utf8(text).ok()?;
    let mut lengths = lengths;
    let mut end = 0u32;
    let ends = (0..cells).map_while(|_| {
        end += u32::try_from(take_varint(&mut lengths)?).ok()?;
        Some(end)
    });
    row.refill(text, ends, Place { line, byte });
    Some((used, batch))
}
