//! Reconciliation: two sources of records, ordered rules, one decision for each record, and the reason for it.
//!
//! Pure over its ports: files come in through [`row::RowReader`], temporary storage is [`side::Scratch`], results go to
//! any [`std::io::Write`]. It knows no database, no framework and no file format.
//!
//! ```text
//! RowReader ─► profile (7 steps) ─► side (columns + rows) ─► matching (passes) ─► outcome ─► report
//!    rows        cells → record        canonical order          rules               decisions   files
//! ```
//!
//! Start at [`matching::run`] for the decisions, at [`profile::Profile`] for normalisation, at [`rules::RuleSet`] for
//! what a person can configure.
#![deny(missing_docs)]

pub mod field;
pub mod infer;
pub mod load;
pub mod matching;
pub mod normalise;
pub mod profile;
pub mod record;
pub mod report;
pub mod row;
pub mod rules;
pub mod side;
pub mod source;
