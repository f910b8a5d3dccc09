//! One side of a reconciliation in memory: fixed columns for what every pass reads, and the rows themselves in a store
//! that moves to disk when it outgrows its budget.
//!
//! Invariant: after [`Builder::finish`], records are in canonical order (external id, then content), whatever order the
//! files had. A record is its number in that order, so every result is independent of file order.

use std::io;

use rustc_hash::FxHashMap;
use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::limits;
use stoa_kernel::money::Decimal;

use crate::field::Field;
use crate::normalise::fingerprint::{Content, Fingerprint, Known};
use crate::profile::{Core, Profile, RowError};
use crate::record::Record;
use crate::row::{Place, Row};

/// Temporary storage outside memory: the port that spilling goes through.
pub trait Scratch: Send + Sync {
    /// Appends bytes.
    ///
    /// # Errors
    /// Of the operating system: a full disk, above all.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Fills `buffer` from `offset` as far as there are bytes; returns how many.
    ///
    /// # Errors
    /// Of the operating system.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// The number of a record of a side, in canonical order.
pub type RecordNo = u32;

const NO_DAY: i32 = i32::MIN;
const WIDE: i64 = i64::MIN;
/// What is kept in memory between two writes to scratch.
const WRITE_BUFFER_BYTES: usize = 4 << 20;
const SEQUENTIAL_READ_BYTES: usize = 256 << 10;
const RANDOM_READ_BYTES: usize = 1 << 10;

/// The rows of a side, each as a run of bytes.
struct Store {
    memory: Vec<u8>,
    budget: usize,
    scratch: Option<Box<dyn Scratch>>,
    spilled: u64,
}

impl Store {
    fn append(&mut self, row: &Row, batch: u32) -> io::Result<u64> {
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

    fn flush(&mut self) -> io::Result<()> {
        if let Some(scratch) = &mut self.scratch {
            scratch.append(&self.memory)?;
            self.spilled += self.memory.len() as u64;
            self.memory.clear();
            self.memory.shrink_to(WRITE_BUFFER_BYTES);
        }
        Ok(())
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// Reads a varint from the front of `bytes`; `None` when it is cut off.
#[inline]
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
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

/// A side that is complete.
pub struct Side {
    profiles: Vec<Profile>,
    amounts: Vec<i64>,
    wide: FxHashMap<RecordNo, i128>,
    exponents: Vec<u8>,
    currencies: Vec<Currency>,
    booked: Vec<i32>,
    value: Vec<i32>,
    offsets: Vec<u64>,
    /// Content hashes in canonical order; only where some record has no external id.
    contents: Vec<u128>,
    /// Which of several equal contents a record is, from 0; as long as `contents`.
    ordinals: Vec<u32>,
    store: Store,
    /// External ids that occur more than once: how many records share an id with another.
    pub shared_ids: u64,
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side")
            .field("records", &self.len())
            .field("spilled_bytes", &self.store.spilled)
            .finish_non_exhaustive()
    }
}

impl Side {
    /// The number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.amounts.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.amounts.is_empty()
    }

    /// The amount of a record.
    #[must_use]
    #[inline]
    pub fn amount(&self, record: RecordNo) -> Decimal {
        let index = record as usize;
        let narrow = self.amounts.get(index).copied().unwrap_or(0);
        let units =
            if narrow == WIDE { self.wide.get(&record).copied().unwrap_or(0) } else { i128::from(narrow) };
        Decimal::new(units, self.exponents.get(index).copied().unwrap_or(0))
    }

    /// The currency of a record.
    #[must_use]
    #[inline]
    pub fn currency(&self, record: RecordNo) -> Currency {
        self.currencies.get(record as usize).copied().unwrap_or(Currency::NONE)
    }

    /// The day on which a record was booked.
    #[must_use]
    #[inline]
    pub fn booked(&self, record: RecordNo) -> Day {
        Day::from_days(self.booked.get(record as usize).copied().unwrap_or(0))
    }

    /// The value date of a record; the booked one where it has none.
    #[must_use]
    #[inline]
    pub fn value(&self, record: RecordNo) -> Day {
        match self.value.get(record as usize).copied() {
            None | Some(NO_DAY) => self.booked(record),
            Some(days) => Day::from_days(days),
        }
    }

    /// The profiles of the files, by batch.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Bytes that were moved to scratch.
    #[must_use]
    pub const fn spilled_bytes(&self) -> u64 {
        self.store.spilled
    }

    /// A reader of whole rows. One for each thread.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { side: self, window: Vec::new(), window_start: 0, next: 0, row: Row::default(), batch: 0 }
    }

    /// The fingerprint of a record without an external id: its content and its ordinal among equal ones.
    fn fingerprint(&self, record: RecordNo) -> Option<Fingerprint> {
        let index = record as usize;
        let &content = self.contents.get(index)?;
        Some(Fingerprint {
            content: Content(content),
            ordinal: self.ordinals.get(index).copied().unwrap_or(0),
        })
    }
}

/// Reads whole rows of a side.
pub struct Cursor<'s> {
    side: &'s Side,
    window: Vec<u8>,
    window_start: u64,
    next: u64,
    row: Row,
    batch: u32,
}

impl std::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<'s> Cursor<'s> {
    /// The row of a record, and how to read it.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn row(&mut self, record: RecordNo) -> io::Result<(&Row, &'s Profile)> {
        let lost = || io::Error::new(io::ErrorKind::UnexpectedEof, "a stored row is cut off");
        let side: &'s Side = self.side;
        let &offset = side.offsets.get(record as usize).ok_or_else(lost)?;
        let (consumed, batch) = if offset >= side.store.spilled {
            let at = usize::try_from(offset - side.store.spilled).map_err(|_| lost())?;
            let bytes = side.store.memory.get(at..).ok_or_else(lost)?;
            decode(bytes, &mut self.row).ok_or_else(lost)?
        } else {
            self.spilled_row(offset)?
        };
        self.next = offset + consumed as u64;
        self.batch = batch;
        let profile = side.profiles.get(batch as usize).ok_or_else(lost)?;
        Ok((&self.row, profile))
    }

    fn spilled_row(&mut self, offset: u64) -> io::Result<(usize, u32)> {
        let mut wanted =
            if offset.wrapping_sub(self.next) < 4_096 { SEQUENTIAL_READ_BYTES } else { RANDOM_READ_BYTES };
        loop {
            if let Some(at) = offset.checked_sub(self.window_start).and_then(|at| usize::try_from(at).ok())
                && let Some(bytes) = self.window.get(at..)
                && let Some(done) = decode(bytes, &mut self.row)
            {
                return Ok(done);
            }
            if wanted > limits::ROW_BYTES_MAX * 4 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a stored row is cut off"));
            }
            self.window.resize(wanted, 0);
            let read = match &self.side.store.scratch {
                Some(scratch) => scratch.read_at(offset, &mut self.window)?,
                None => 0,
            };
            self.window.truncate(read);
            self.window_start = offset;
            wanted *= 8;
        }
    }

    /// The external id of a record whose row is in memory, without decoding the rest of the row.
    #[inline]
    fn stored_id(&self, record: RecordNo) -> Option<&'s str> {
        let store = &self.side.store;
        let at = usize::try_from(self.side.offsets.get(record as usize)?.checked_sub(store.spilled)?).ok()?;
        let mut rest = store.memory.get(at..)?;
        take_varint(&mut rest)?;
        take_varint(&mut rest)?;
        let batch = take_varint(&mut rest)?;
        let cells = take_varint(&mut rest)?;
        let column =
            self.side.profiles.get(usize::try_from(batch).ok()?)?.mapping.column(Field::ExternalId)? as u64;
        let (mut start, mut total, mut length) = (0usize, 0usize, 0usize);
        for cell in 0..cells {
            let bytes = usize::try_from(take_varint(&mut rest)?).ok()?;
            if cell == column {
                (start, length) = (total, bytes);
            }
            total += bytes;
        }
        std::str::from_utf8(rest.get(start..start + length)?).ok()
    }

    /// Writes the id of a record to `out`: its external id, else its fingerprint.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn id_into(&mut self, record: RecordNo, out: &mut String) -> io::Result<()> {
        if let Some(id) = self.stored_id(record).map(str::trim).filter(|id| !id.is_empty()) {
            out.push_str(id);
            return Ok(());
        }
        let side = self.side;
        let (row, profile) = self.row(record)?;
        let id = profile.cell(row, Field::ExternalId).trim();
        if !id.is_empty() {
            out.push_str(id);
            return Ok(());
        }
        let fingerprint = match side.fingerprint(record) {
            Some(known) => known,
            None => {
                let content = profile.core(row).map_or(Content(0), |core| profile.content(row, &core));
                Fingerprint { content, ordinal: 0 }
            }
        };
        out.push_str(&fingerprint.to_string());
        Ok(())
    }

    /// The id of a record.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn id(&mut self, record: RecordNo) -> io::Result<String> {
        let mut id = String::new();
        self.id_into(record, &mut id)?;
        Ok(id)
    }

    /// The content of a record: what it must share with another to be its twin.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn content(&mut self, record: RecordNo) -> io::Result<Content> {
        let (row, profile) = self.row(record)?;
        Ok(profile.core(row).map_or(Content(0), |core| profile.content(row, &core)))
    }

    /// The whole record.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn record(&mut self, record: RecordNo) -> io::Result<Record> {
        let (row, profile) = self.row(record)?;
        profile.record(row).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Where a record stands in its file.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn place(&mut self, record: RecordNo) -> io::Result<Place> {
        Ok(self.row(record)?.0.place)
    }
}

/// Fills `row` from stored bytes; returns how many were used and the batch. `None` when they are cut off.
#[inline]
fn decode(bytes: &[u8], row: &mut Row) -> Option<(usize, u32)> {
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

/// What became of a row.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// It is a new record.
    New,
    /// An earlier file of the side has brought it already.
    Known,
}

/// Why a row was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It does not become a record.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Scratch storage failed.
    #[error("writing temporary data failed")]
    Io(#[from] io::Error),
    /// There is no number left for another record.
    #[error("one side of an execution takes at most {} records", limits::RECORDS_MAX)]
    TooMany,
}

/// Collects the records of a side.
pub struct Builder {
    side: Side,
    known: Option<Known>,
    last_id: String,
    in_order: bool,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.side.fmt(f)
    }
}

impl Builder {
    /// An empty side that keeps at most `memory_bytes` of rows in memory and moves to `scratch` past that.
    ///
    /// `files`: how many files will be added; with more than one, lines that an earlier one has brought are recognised.
    #[must_use]
    pub fn new(memory_bytes: usize, scratch: Option<Box<dyn Scratch>>, files: usize) -> Self {
        let store = Store { memory: Vec::new(), budget: memory_bytes, scratch, spilled: 0 };
        let side = Side {
            profiles: Vec::new(),
            amounts: Vec::new(),
            wide: FxHashMap::default(),
            exponents: Vec::new(),
            currencies: Vec::new(),
            booked: Vec::new(),
            value: Vec::new(),
            offsets: Vec::new(),
            contents: Vec::new(),
            ordinals: Vec::new(),
            store,
            shared_ids: 0,
        };
        Self { side, known: (files > 1).then(Known::default), last_id: String::new(), in_order: true }
    }

    /// Starts the next file.
    pub fn next_file(&mut self, profile: Profile) {
        if let Some(known) = &mut self.known {
            known.next_batch();
        }
        self.side.profiles.push(profile);
    }

    /// The profile of the file that is being added.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.side.profiles.last()
    }

    /// Changes the columns of the current file, which only ever grow.
    pub fn extend_columns(&mut self, columns: &[String]) {
        if let Some(profile) = self.side.profiles.last_mut()
            && profile.columns.len() < columns.len()
        {
            profile.columns = columns.to_vec();
        }
    }

    /// Adds a row of the current file.
    ///
    /// # Errors
    /// [`AddError`]; after [`AddError::Row`] the next row can be added.
    #[inline]
    pub fn add(&mut self, row: &Row) -> Result<Added, AddError> {
        let batch = self.side.profiles.len().saturating_sub(1);
        let profile = self.side.profiles.get(batch).ok_or(RowError::AmountMissing)?;
        let core = profile.core(row)?;
        if let Some(known) = &mut self.known
            && known.see(profile.content(row, &core)).1
        {
            return Ok(Added::Known);
        }
        let id = profile.cell(row, Field::ExternalId).trim();
        if self.in_order {
            if id > self.last_id.as_str() {
                self.last_id.clear();
                self.last_id.push_str(id);
            } else {
                self.in_order = false;
            }
        }
        let batch = u32::try_from(batch).unwrap_or(u32::MAX);
        self.push(row, batch, &core)?;
        Ok(Added::New)
    }

    fn push(&mut self, row: &Row, batch: u32, core: &Core) -> Result<(), AddError> {
        let side = &mut self.side;
        if side.amounts.len() >= limits::RECORDS_MAX {
            return Err(AddError::TooMany);
        }
        let number = u32::try_from(side.amounts.len()).map_err(|_| AddError::TooMany)?;
        let offset = side.store.append(row, batch)?;
        let narrow = i64::try_from(core.amount.units).ok().filter(|&units| units != WIDE);
        if narrow.is_none() {
            side.wide.insert(number, core.amount.units);
        }
        side.amounts.push(narrow.unwrap_or(WIDE));
        side.exponents.push(core.amount.exponent);
        side.currencies.push(core.currency);
        side.booked.push(core.booked.days());
        // The column of value dates begins with the first one; most CSV files have none.
        if let Some(value) = core.value.filter(|&value| value != core.booked) {
            side.value.resize(number as usize, NO_DAY);
            side.value.push(value.days());
        }
        side.offsets.push(offset);
        Ok(())
    }

    /// The amount and the currency of the record that was added last.
    #[must_use]
    #[inline]
    pub fn last_amount(&self) -> (Decimal, Currency) {
        let last = RecordNo::try_from(self.side.len().saturating_sub(1)).unwrap_or(RecordNo::MAX);
        (self.side.amount(last), self.side.currency(last))
    }

    /// The number of records so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.side.len()
    }

    /// Whether there is no record so far.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.side.is_empty()
    }

    /// Puts the records into canonical order.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn finish(mut self) -> io::Result<Side> {
        if !self.in_order {
            let order = canonical_order(&mut self.side)?;
            self.side.permute(&order);
        }
        Ok(self.side)
    }
}

/// A record's place in canonical order: by the first bytes of its id, or after all ids by its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    without_id: bool,
    prefix: u128,
    record: RecordNo,
}

fn canonical_order(side: &mut Side) -> io::Result<Vec<SortKey>> {
    let mut keys = Vec::with_capacity(side.len());
    let mut any_without_id = false;
    {
        let mut cursor = side.cursor();
        for record in 0..u32::try_from(side.len()).unwrap_or(u32::MAX) {
            let (row, profile) = cursor.row(record)?;
            let id = profile.cell(row, Field::ExternalId).trim();
            let without_id = id.is_empty();
            any_without_id |= without_id;
            let prefix = if without_id {
                profile.core(row).map_or(0, |core| profile.content(row, &core).0)
            } else {
                let mut first = [0u8; 16];
                for (to, &from) in first.iter_mut().zip(id.as_bytes()) {
                    *to = from;
                }
                u128::from_be_bytes(first)
            };
            keys.push(SortKey { without_id, prefix, record });
        }
        keys.sort_unstable();
        // Ids that share their first bytes are compared whole, and equal ids by their content.
        let (mut first, mut second) = (side.cursor(), side.cursor());
        let mut shared = 0;
        let mut start = 0;
        while start < keys.len() {
            let head = keys.get(start).copied();
            let same = |key: &SortKey| {
                head.is_some_and(|head| (head.without_id, head.prefix) == (key.without_id, key.prefix))
            };
            let length = keys.iter().skip(start).take_while(|key| same(key)).count();
            if let Some(run) = keys.get_mut(start..start + length)
                && length > 1
                && head.is_some_and(|head| !head.without_id)
            {
                shared += sort_by_whole_id(run, &mut first, &mut second)?;
            }
            start += length.max(1);
        }
        side.shared_ids = shared;
    }
    if any_without_id {
        let mut cursor = side.cursor();
        side.contents = keys
            .iter()
            .map(|key| {
                if key.without_id {
                    Ok(key.prefix)
                } else {
                    cursor.content(key.record).map(|content| content.0)
                }
            })
            .collect::<io::Result<_>>()?;
        let mut last = None;
        side.ordinals = side
            .contents
            .iter()
            .map(|&content| {
                let ordinal =
                    last.filter(|&(before, _)| before == content).map_or(0, |(_, ordinal)| ordinal + 1);
                last = Some((content, ordinal));
                ordinal
            })
            .collect();
    }
    Ok(keys)
}

/// Sorts a run of records whose ids begin alike; returns how many of them share their whole id with another.
fn sort_by_whole_id(run: &mut [SortKey], ids: &mut Cursor<'_>, contents: &mut Cursor<'_>) -> io::Result<u64> {
    let mut named = run
        .iter()
        .map(|&key| Ok((ids.id(key.record)?, contents.content(key.record)?, key)))
        .collect::<io::Result<Vec<_>>>()?;
    named.sort_unstable();
    let shared = named.windows(2).filter(|pair| matches!(pair, [(a, ..), (b, ..)] if a == b)).count();
    for (slot, (.., key)) in run.iter_mut().zip(named) {
        *slot = key;
    }
    Ok(shared as u64)
}

impl Side {
    fn permute(&mut self, order: &[SortKey]) {
        fn pick<T: Copy>(column: &[T], order: &[SortKey]) -> Vec<T> {
            order.iter().filter_map(|key| column.get(key.record as usize).copied()).collect()
        }
        self.amounts = pick(&self.amounts, order);
        self.exponents = pick(&self.exponents, order);
        self.currencies = pick(&self.currencies, order);
        self.booked = pick(&self.booked, order);
        self.offsets = pick(&self.offsets, order);
        if !self.value.is_empty() {
            self.value.resize(order.len(), NO_DAY);
            self.value = pick(&self.value, order);
        }
        if !self.wide.is_empty() {
            let wide = std::mem::take(&mut self.wide);
            for (number, key) in (0..).zip(order) {
                if let Some(&units) = wide.get(&key.record) {
                    self.wide.insert(number, units);
                }
            }
        }
    }
}
