//! A reconciliation workload with ground truth, made from a seed, and its scorer.
//!
//! Classes of events: one to one (a tenth with drift inside the tolerance, a hundredth sharing a reference with another
//! event), one to many (two to five parts), left only, right only, amount conflict, date conflict, typo in the reference,
//! duplicate on the right. 8 % are negative; six currencies with 0, 2 and 3 decimals. One trap is deliberate: a split whose
//! big part is within the tolerance of the whole.
//!
//! The bytes depend only on the [`Settings`].

mod generate;
mod score;

pub use generate::{Settings, generate};
pub use score::{Score, score};
