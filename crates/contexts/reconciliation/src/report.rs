//! What an execution has to show: the summary, the result files, the HTML page, the terminal.
//!
//! `links.csv`, `matches.csv` and `exceptions.csv` depend on the records and the rules alone: not on threads, partitions,
//! or the order of rows in the files. The others name the files and places that were read.

mod csv;
mod files;
mod html;
mod summary;
mod terminal;

pub use csv::{Results, write_exceptions, write_links, write_matches, write_rejected};
pub use files::SourceFile;
pub use html::write_html;
pub use summary::{Identity, IdentityError, PassSummary, SideSummary, Summary};
pub use terminal::{grouped, terminal};
