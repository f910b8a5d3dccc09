//! What every fuzz target does: read any bytes as one format to the end. It must neither panic nor run for ever.

use stoa_intake::parse_bytes;
use stoa_reconciliation::source::{Format, SourceSpec};

/// Reads bytes as `format`, and every row that comes of them as a record.
pub fn read(format: Format, bytes: &[u8]) {
    let spec = SourceSpec { format: Some(format), ..SourceSpec::default() };
    if let Ok((rows, _, profile)) = parse_bytes(bytes, &spec) {
        for row in &rows {
            let _ = profile.record(row);
        }
    }
}
