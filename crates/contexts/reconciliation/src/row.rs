//! The port between a file and reconciliation: a pull parser yields rows of text cells, each with its place.
//!
//! Every format is a table here. A CSV file brings its own columns; a bank format brings canonical ones (named as in
//! [`crate::field::Field`]) and keeps what it does not know in further columns. Meaning comes later, in normalisation.

use std::fmt;

use stoa_kernel::currency::Currency;
use stoa_kernel::date::Day;
use stoa_kernel::money::Decimal;

/// Where in a file something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
pub struct Place {
    /// Line, from 1. In XLSX the row of the sheet.
    pub line: u64,
    /// Byte offset from the start of the file, from 0. In XLSX zero.
    pub byte: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (byte {})", self.line, self.byte)
    }
}

/// One row: cells of UTF-8 text in one buffer. Reused from row to row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    text: String,
    ends: Vec<u32>,
    /// Where the row starts.
    pub place: Place,
}

impl Row {
    /// Empties the row and moves it to `place`.
    pub fn restart(&mut self, place: Place) {
        self.text.clear();
        self.ends.clear();
        self.place = place;
    }

    /// Appends a cell.
    pub fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.close();
    }

    /// Appends text to the cell that is being built; [`Self::close`] ends it.
    pub fn extend(&mut self, part: &str) {
        self.text.push_str(part);
    }

    /// Ends the cell that was built with [`Self::extend`].
    pub fn close(&mut self) {
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Sets the cell at `column`, adding blank cells before it where needed. For formats that fill cells out of order.
    pub fn assign(cells: &mut Vec<String>, column: usize, value: &str) {
        if cells.len() <= column {
            cells.resize(column + 1, String::new());
        }
        if let Some(cell) = cells.get_mut(column) {
            cell.push_str(value);
        }
    }

    /// The number of cells.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no cell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cell at `column`; blank where the row has none.
    #[must_use]
    #[inline]
    pub fn cell(&self, column: usize) -> &str {
        let Some(&end) = self.ends.get(column) else { return "" };
        let start = if column == 0 { 0 } else { self.ends.get(column - 1).copied().unwrap_or(0) };
        self.text.get(start as usize..end as usize).unwrap_or("")
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|column| self.cell(column))
    }

    /// The whole text and the ends of the cells in it, for storing.
    #[must_use]
    pub fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Fills the row from what [`Self::parts`] gave.
    pub fn refill(&mut self, text: &str, ends: impl Iterator<Item = u32>, place: Place) {
        self.restart(place);
        self.text.push_str(text);
        self.ends.extend(ends);
    }
}

/// Something odd that was read all the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What, as a sentence.
    pub message: String,
}

/// A row that was not read. It stays visible in every report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// Where the row starts.
    pub place: Place,
    /// Why, as a sentence.
    pub reason: String,
    /// The row, as far as it can be shown (at most [`Rejection::SHOWN_CHARS_MAX`] characters).
    pub raw: String,
    /// Its amount, when that could be read: it counts in the money identity.
    pub amount: Option<(Decimal, Currency)>,
}

impl Rejection {
    /// How much of a rejected row is kept.
    pub const SHOWN_CHARS_MAX: usize = 300;

    /// A rejection whose amount is not known.
    #[must_use]
    pub fn new(place: Place, reason: impl Into<String>, raw: &str) -> Self {
        let raw = raw.chars().take(Self::SHOWN_CHARS_MAX).collect();
        Self { place, reason: reason.into(), raw, amount: None }
    }
}

/// Which balance a statement states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceKind {
    /// Booked balance before the first line.
    Opening,
    /// Booked balance after the last line.
    Closing,
    /// Anything else: available, forward, interim. Kept and shown, not used in the proof.
    Other,
}

/// A balance, or the borders of a statement, as the file states it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Balance {
    /// Where.
    pub place: Place,
    /// Which.
    pub kind: BalanceKind,
    /// The statement that it belongs to: a number that grows by one for each statement of the file.
    pub statement: u32,
    /// The account, as written.
    pub account: String,
    /// The currency.
    pub currency: Currency,
    /// How much; credit is positive.
    pub amount: Decimal,
    /// Of which day.
    pub date: Option<Day>,
}

/// A total that the file states about itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ControlTotal {
    /// Where.
    pub place: Place,
    /// What it counts, as a sentence.
    pub of: String,
    /// What the file states.
    pub stated: String,
    /// What was found.
    pub found: String,
}

/// What a pull parser yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A row; its cells are in the [`Row`] that was passed in.
    Row,
    /// A balance of a statement.
    Balance(Balance),
    /// A control total that does not agree with what was found.
    ControlTotal(ControlTotal),
    /// Something odd.
    Warning(Warning),
    /// A row that was not read.
    Rejected(Rejection),
}

/// Why reading a file stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system failed.
    #[error("reading failed")]
    Io(#[from] std::io::Error),
    /// The file is not well-formed, so that nothing after this place can be trusted.
    #[error("{place}: {message}")]
    Malformed {
        /// Where it breaks.
        place: Place,
        /// What is wrong, as a sentence.
        message: String,
    },
    /// The sender of the file reports an error instead of data.
    #[error("{place}: {message}")]
    Refused {
        /// Where it says so.
        place: Place,
        /// What it says.
        message: String,
    },
}

impl stoa_kernel::error::Coded for ReadError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "file_unreadable",
            Self::Malformed { .. } => "file_malformed",
            Self::Refused { .. } => "statement_refused",
        }
    }
}

/// A pull parser of one file.
pub trait RowReader: Send {
    /// The names of the columns that are known so far. They only ever grow.
    fn columns(&self) -> &[String];

    /// Reads on: fills `row` when it returns [`Item::Row`]; `None` at the end of the file.
    ///
    /// # Errors
    /// [`ReadError`]; after one, nothing more is to be read.
    fn next(&mut self, row: &mut Row) -> Result<Option<Item>, ReadError>;

    /// Bytes consumed so far, for progress.
    fn position(&self) -> u64;
}
