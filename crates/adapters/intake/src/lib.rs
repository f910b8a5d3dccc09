//! File formats: pull parsers that turn a file into rows. They stream, never panic, and report every oddity with its
//! place.
//!
//! ```text
//! path ─► input (spool, scan) ─► text (UTF-8) ─► detect ─► parser of the format ─► RowReader
//! ```
//!
//! It knows bytes and formats, and nothing of matching. Start at [`open`].
#![deny(missing_docs)]

mod bai2;
mod camt;
mod csv;
mod detect;
mod input;
mod json;
mod lines;
mod mt940;
mod narrative;
mod ofx;
mod open;
mod qif;
mod relocate;
mod table;
mod text;
mod xlsx;
mod xml;

pub use detect::detect;
pub use input::{Input, InputError, Scan};
pub use open::{OpenError, Opened, open, parse_bytes};
