//! Replays the fuzz corpus and many deterministic mutations of it: no input may make a parser panic or run for ever, and
//! every place that it reports lies inside the file. `make fuzz` looks for new ones with coverage guidance.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up is to fail")]

use std::fs;
use std::path::Path;

use stoa_intake::parse_bytes;
use stoa_kernel::random::{Random, SplitMix64};
use stoa_reconciliation::row::{Item, Place};
use stoa_reconciliation::source::{Format, SourceSpec};

/// Mutations of each file of the corpus.
const MUTATIONS: usize = 2_000;

fn index(random: &mut SplitMix64, below: usize) -> usize {
    usize::try_from(random.below(below.max(1) as u64)).unwrap()
}

/// Changes, doubles, cuts or removes a few bytes.
fn mutated(bytes: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    const INTERESTING: &[u8] = b"\0\"'<>:/,;\n\r-+?0918{}[]&\xff\xfe";
    let mut bytes = bytes.to_vec();
    for _ in 0..=index(random, 5) {
        if bytes.is_empty() {
            break;
        }
        let at = index(random, bytes.len());
        match random.below(6) {
            0 => bytes[at] = INTERESTING[index(random, INTERESTING.len())],
            1 => bytes.insert(at, INTERESTING[index(random, INTERESTING.len())]),
            2 => bytes.truncate(at),
            3 => bytes[at] ^= 1 << random.below(8),
            4 => {
                let end = (at + 1 + index(random, 24)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + 1 + index(random, 40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = index(random, bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

fn read(format: Format, bytes: &[u8]) {
    let spec = SourceSpec { format: Some(format), ..SourceSpec::default() };
    let Ok((rows, items, profile)) = parse_bytes(bytes, &spec) else { return };
    let inside = |place: Place| {
        assert!(
            place.byte <= bytes.len() as u64,
            "{place} is outside {} bytes of {}",
            bytes.len(),
            format.name()
        );
    };
    for row in &rows {
        inside(row.place);
        let _ = profile.record(row);
    }
    for item in items {
        match item {
            Item::Warning(warning) => inside(warning.place),
            Item::Rejected(rejection) => inside(rejection.place),
            Item::Balance(balance) => inside(balance.place),
            Item::ControlTotal(total) => inside(total.place),
            Item::Row => {}
        }
    }
}

fn replay(format: Format) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus").join(format.name());
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for (seed, path) in (1..).zip(files) {
        let bytes = fs::read(&path).unwrap();
        let mut random = SplitMix64::seeded(seed);
        read(format, &bytes);
        for _ in 0..MUTATIONS {
            let bytes = mutated(&bytes, &mut random);
            // The file as what it is, and as whatever it looks like now.
            read(format, &bytes);
            let _ = parse_bytes(&bytes, &SourceSpec::default());
        }
    }
}

macro_rules! targets {
    ($($name:ident => $format:ident),* $(,)?) => {
        $(#[test] fn $name() { replay(Format::$format); })*
    };
}

targets! {
    csv_never_panics => Csv,
    xlsx_never_panics => Xlsx,
    json_never_panics => Json,
    ndjson_never_panics => Ndjson,
    mt940_never_panics => Mt940,
    mt942_never_panics => Mt942,
    camt_never_panics => Camt,
    ofx_never_panics => Ofx,
    bai2_never_panics => Bai2,
    qif_never_panics => Qif,
}
