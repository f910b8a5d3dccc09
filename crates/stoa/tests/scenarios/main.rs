//! The scenarios of the reconciliation page that concern intake and matching, through the command line, each with its
//! fixture beside it. Numbers in the names are those of the specification.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up is to fail"
)]

mod amounts;
mod groups;
mod harness;
mod intake;
mod pairs;
mod runs;
