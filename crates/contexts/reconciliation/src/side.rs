//! One side of a reconciliation in memory: fixed columns for what every pass reads, and the rows themselves in a store
//! that moves to disk when it outgrows its budget.
//!
//! Invariant: after [`Builder::finish`], records are in canonical order (external id, then content), whatever order the
//! files had. A record is its number in that order, so every result is independent of file order.

mod canonical;
mod store;

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

use canonical::canonical_order;
use store::{Store, decode, take_varint};

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

    /// All ids, for results that name many records in no particular order.
    ///
    /// # Errors
    /// Of the scratch storage.
    pub fn ids(&self) -> io::Result<Ids> {
        let mut ids = Ids { text: String::new(), ends: Vec::with_capacity(self.len()) };
        let mut cursor = self.cursor();
        for record in 0..RecordNo::try_from(self.len()).unwrap_or(RecordNo::MAX) {
            cursor.id_into(record, &mut ids.text)?;
            ids.ends.push(ids.text.len() as u64);
        }
        Ok(ids)
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

/// The ids of a side, side by side in memory.
#[derive(Debug)]
pub struct Ids {
    text: String,
    ends: Vec<u64>,
}

impl Ids {
    /// The id of a record.
    #[must_use]
    #[inline]
    pub fn of(&self, record: RecordNo) -> &str {
        let index = record as usize;
        let end = |at: usize| self.ends.get(at).and_then(|&end| usize::try_from(end).ok());
        let start = index.checked_sub(1).map_or(Some(0), end);
        start.zip(end(index)).and_then(|(start, end)| self.text.get(start..end)).unwrap_or("")
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
            for (number, name) in columns.iter().enumerate().skip(profile.columns.len()) {
                if let Some(field) = Field::of_header(name)
                    && (field.is_many() || profile.mapping.column(field).is_none())
                {
                    profile.mapping.set(field, number);
                }
            }
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
