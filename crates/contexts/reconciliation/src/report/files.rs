use crate::load::{Batch, Facts};
use crate::source::SideName;

/// A file that was loaded into a side.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The side.
    pub side: SideName,
    /// What was known before its first row.
    pub facts: Facts,
    /// What it has brought.
    pub batch: Batch,
}
