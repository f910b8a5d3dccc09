//! Which format a file is in, by its content; the name decides only between CSV and nothing.

use stoa_reconciliation::source::Format;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// A format that is read.
    Known(Format),
    /// A format that is known and not read: its name, and what to do.
    Unsupported(&'static str, &'static str),
    /// Binary data of no known format.
    Binary,
}

const MAGIC: [(&[u8], &str, &str); 10] = [
    (b"%PDF", "a PDF document", "export the statement as CSV, MT940, camt.053 or OFX"),
    (b"\x1F\x8B", "a gzip archive", "unpack it first (gunzip)"),
    (b"\xD0\xCF\x11\xE0", "an old Excel workbook (.xls)", "save it as .xlsx or CSV"),
    (b"\x89PNG", "an image", "export the data itself"),
    (b"\xFF\xD8\xFF", "an image", "export the data itself"),
    (b"PAR1", "a Parquet file", "export it as CSV or NDJSON"),
    (b"SQLite format 3", "an SQLite database", "export a table as CSV"),
    (b"7z\xBC\xAF", "a 7-zip archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\x28\xB5\x2F\xFD", "a Zstandard archive", "unpack it first"),
];

/// Decides by the first bytes and the same bytes as text.
#[must_use]
pub fn detect(bytes: &[u8], text: &str) -> Detected {
    if bytes.starts_with(b"PK\x03\x04") {
        let has = |part: &[u8]| memchr::memmem::find(bytes, part).is_some();
        return if has(b"xl/") || has(b"[Content_Types].xml") {
            Detected::Known(Format::Xlsx)
        } else {
            Detected::Unsupported("a zip archive", "unpack it first")
        };
    }
    if let Some(&(_, what, way_out)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Detected::Unsupported(what, way_out);
    }
    if is_binary(text) {
        return Detected::Binary;
    }
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let upper = start.get(..start.floor_char_boundary(4_096)).unwrap_or(start).to_ascii_uppercase();
    if upper.starts_with("OFXHEADER") || upper.contains("<OFX>") || upper.contains("<?OFX") {
        return Detected::Known(Format::Ofx);
    }
    if start.starts_with('<') {
        let camt = ["camt.05", "BkToCstmr", "bkToCstmr"].iter().any(|mark| text.contains(mark))
            || start.starts_with("<!DOCTYPE")
            || text.contains("<Document");
        return if camt || start.starts_with("<?xml") {
            Detected::Known(Format::Camt)
        } else {
            Detected::Unsupported("an XML or HTML file", "export the statement as camt.053, OFX or CSV")
        };
    }
    if start.starts_with('[') || start.starts_with('{') && !is_swift(start) {
        return Detected::Known(json_kind(start));
    }
    if upper.starts_with("!TYPE:")
        || upper.starts_with("!ACCOUNT")
        || upper.starts_with("!OPTION")
        || upper.starts_with("!CLEAR")
    {
        return Detected::Known(Format::Qif);
    }
    if is_bai2(start) {
        return Detected::Known(Format::Bai2);
    }
    if is_swift(start) {
        let interim = [":34F:", ":13D:", ":90D:", ":90C:"].iter().any(|tag| text.contains(tag))
            && !text.contains(":62F:");
        return Detected::Known(if interim { Format::Mt942 } else { Format::Mt940 });
    }
    Detected::Known(Format::Csv)
}

fn is_binary(text: &str) -> bool {
    let head = text.get(..text.floor_char_boundary(8_192)).unwrap_or(text);
    let control =
        head.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1a}')).count();
    let lost = head.chars().filter(|c| *c == '\u{fffd}').count();
    (control + lost) * 10 > head.chars().count().max(1)
}

fn is_swift(start: &str) -> bool {
    let mut lines = start.lines().take(60).map(str::trim);
    start.starts_with("{1:F") || lines.any(|line| crate::mt940::tag_of(line).is_some())
}

fn is_bai2(start: &str) -> bool {
    start.starts_with("01,")
        && start
            .lines()
            .nth(1)
            .is_some_and(|line| ["02,", "03,", "88,"].iter().any(|code| line.trim_start().starts_with(code)))
}

/// NDJSON has a whole object on its first line and more after it.
fn json_kind(start: &str) -> Format {
    let first = start.lines().next().unwrap_or("").trim();
    let whole = first.starts_with('{') && serde_json::from_str::<serde_json::Value>(first).is_ok();
    let more = start.lines().skip(1).any(|line| line.trim_start().starts_with('{'));
    let lone = start.lines().filter(|line| !line.trim().is_empty()).count() == 1 && !first.contains('[');
    if whole && (more || lone) { Format::Ndjson } else { Format::Json }
}
