//! Opens a file for reconciliation: finds its encoding and its format, and settles how its rows are read.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;

use stoa_kernel::error::Coded;
use stoa_reconciliation::infer::{self, InferError};
use stoa_reconciliation::load::Facts;
use stoa_reconciliation::normalise::numbers::NumberFormat;
use stoa_reconciliation::profile::Profile;
use stoa_reconciliation::row::{Item, ReadError, Row, RowReader};
use stoa_reconciliation::source::{Format, SourceSpec};

use crate::detect::{Detected, detect};
use crate::input::{Input, InputError, Scan};
use crate::relocate::Relocated;
use crate::text::{self, Charset};
use crate::{bai2, camt, csv, json, mt940, ofx, qif, xlsx};

/// How many rows decide how a table is read.
const SAMPLE_ROWS: usize = 1_000;

/// A file that is ready to be loaded.
pub struct Opened {
    /// Its rows.
    pub reader: Box<dyn RowReader>,
    /// How they become records.
    pub profile: Profile,
    /// What is known of it.
    pub facts: Facts,
    /// The first rows, as they were looked at.
    pub sample: Vec<Row>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It is in a format that is known and not read.
    #[error("{name}: this is {what}")]
    Unsupported {
        /// The file.
        name: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        way_out: &'static str,
    },
    /// It is in no format that is known.
    #[error("{0}: this is binary data of no known format")]
    Unknown(String),
    /// A configured option cannot be used.
    #[error("{name}: {message}")]
    Option {
        /// The file.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// Its table cannot be understood.
    #[error("{name}: {source}")]
    Infer {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: InferError,
    },
    /// It has a header and nothing else, or is not a table at all.
    #[error(
        "{0}: the file is not a statement or table that Stoa reads: it has one column and no header that says what it is"
    )]
    NotATable(String),
    /// Reading failed.
    #[error("{name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: ReadError,
    },
}

impl Coded for OpenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Input(error) => error.code(),
            Self::Unsupported { .. } => "format_unsupported",
            Self::Unknown(_) | Self::NotATable(_) => "format_unknown",
            Self::Option { .. } => "usage",
            Self::Infer { source, .. } => source.code(),
            Self::Read { source: ReadError::Io(error), .. } if error.kind() == io::ErrorKind::StorageFull => {
                "storage_full"
            }
            Self::Read { source, .. } => source.code(),
        }
    }

    fn way_out(&self) -> Option<String> {
        match self {
            Self::Input(error) => error.way_out(),
            Self::Unsupported { way_out, .. } => Some((*way_out).to_owned()),
            Self::Unknown(_) | Self::NotATable(_) => {
                let formats = Format::ALL.map(Format::name).join(", ");
                Some(format!(
                    "Stoa reads {formats}; name the format with --left format=… if it is one of them"
                ))
            }
            Self::Infer { source, .. } => source.way_out(),
            Self::Option { .. } | Self::Read { .. } => None,
        }
    }
}

/// Opens a file. `scratch` is a folder for temporary copies.
///
/// # Errors
/// [`OpenError`].
pub fn open(path: &Path, spec: &SourceSpec, scratch: &Path) -> Result<Opened, OpenError> {
    open_input(&Input::open(path, scratch)?, spec, scratch)
}

/// Reads bytes that are in memory to their end: for tests and fuzzing. Returns the rows and everything else.
///
/// # Errors
/// [`OpenError`].
pub fn parse_bytes(bytes: &[u8], spec: &SourceSpec) -> Result<(Vec<Row>, Vec<Item>, Profile), OpenError> {
    let scratch = Input::default_scratch();
    let input = Input::spool("bytes".to_owned(), &mut &*bytes, &scratch)?;
    let mut opened = open_input(&input, spec, &scratch)?;
    let (mut rows, mut items, mut row) = (Vec::new(), Vec::new(), Row::default());
    let wrap = |source| OpenError::Read { name: "bytes".to_owned(), source };
    while let Some(item) = opened.reader.next(&mut row).map_err(wrap)? {
        match item {
            Item::Row => rows.push(row.clone()),
            other => items.push(other),
        }
    }
    Ok((rows, items, opened.profile))
}

fn open_input(input: &Input, spec: &SourceSpec, scratch: &Path) -> Result<Opened, OpenError> {
    let scan = input.scan()?;
    let name = || input.name.clone();
    let charset = text::charset(&scan, spec.encoding.as_deref())
        .map_err(|message| OpenError::Option { name: name(), message })?;
    let head = head_text(&scan, charset);
    let format = match (spec.format, detect(&scan.head, &head)) {
        (Some(format), _) | (None, Detected::Known(format)) => format,
        (None, Detected::Unsupported(what, way_out)) => {
            return Err(OpenError::Unsupported { name: name(), what, way_out });
        }
        (None, Detected::Binary) => return Err(OpenError::Unknown(name())),
    };
    let read = |source| OpenError::Read { name: name(), source };
    let file = Decoded::of(input, charset, scratch, format).map_err(|error| read(ReadError::Io(error)))?;
    let dialect = match format {
        Format::Csv => {
            let sniffed = csv::sniff(&head, &scan, spec)
                .map_err(|message| OpenError::Option { name: name(), message })?;
            if sniffed.width < 2 && spec.delimiter.is_none() {
                return Err(OpenError::NotATable(name()));
            }
            Some(sniffed)
        }
        _ => None,
    };
    let make = || -> Result<Box<dyn RowReader>, OpenError> {
        let (file, offset) = file.rewound().map_err(|error| read(ReadError::Io(error)))?;
        Ok(match format {
            Format::Csv => {
                Box::new(csv::Csv::new(file, dialect.unwrap_or_default(), &scan, offset).map_err(read)?)
            }
            Format::Xlsx => Box::new(xlsx::Sheet::open(file, spec).map_err(read)?),
            Format::Json => Box::new(json::Json::array(file, offset)),
            Format::Ndjson => Box::new(json::Json::lines(file, offset)),
            Format::Mt940 | Format::Mt942 => Box::new(mt940::Mt940::new(file, offset)),
            Format::Camt => {
                Box::new(camt::Camt::new(file, offset).map_err(|error| read(ReadError::Io(error)))?)
            }
            Format::Ofx => Box::new(ofx::Ofx::new(file, offset)),
            Format::Bai2 => Box::new(bai2::Bai2::new(file, offset)),
            Format::Qif => Box::new(qif::Qif::new(file, offset)),
        })
    };
    let mut reader = make()?;
    let (sample, columns) = sample(&mut *reader).map_err(read)?;
    let comma_hint = dialect.is_some_and(|dialect: csv::Dialect| dialect.delimiter == b';');
    let profile = match format {
        Format::Mt940 | Format::Mt942 => configured(mt940::profile(), &columns, spec),
        Format::Camt => configured(camt::profile(), &columns, spec),
        Format::Ofx => configured(ofx::profile(), &columns, spec),
        Format::Bai2 => configured(bai2::profile(), &columns, spec),
        _ => infer::profile(&columns, &sample, spec, comma_hint),
    }
    .map_err(|source| OpenError::Infer { name: name(), source })?;
    let mut reader = make()?;
    if let Some(copy) = file.copy().map_err(|error| read(ReadError::Io(error)))? {
        reader = Box::new(Relocated::new(reader, copy, charset.encoding, charset.mark_bytes));
    }
    let facts = Facts {
        name: name(),
        format,
        bytes: scan.bytes,
        hash: scan.hash,
        encoding: format!("{} ({})", charset.encoding.name(), charset.because),
        dialect: dialect.map(describe),
        mapping: describe_mapping(&profile),
        inferred: profile.stated.clone(),
    };
    Ok(Opened { reader, profile, facts, sample })
}

fn configured(mut profile: Profile, columns: &[String], spec: &SourceSpec) -> Result<Profile, InferError> {
    if columns.len() > profile.columns.len() {
        profile.columns = columns.to_vec();
        profile.numbers.resize(columns.len(), NumberFormat::Point);
        profile.dates.resize(columns.len(), Default::default());
    }
    let (numbers, dates) = (profile.numbers.clone(), profile.dates.clone());
    // The format says how its numbers and dates are written.
    profile.configure(spec).map_err(InferError::Configuration)?;
    (profile.numbers, profile.dates) = (numbers, dates);
    Ok(profile)
}

fn head_text(scan: &Scan, charset: Charset) -> String {
    let bytes = scan.head.get(charset.mark_bytes..).unwrap_or(&[]);
    let (text, _) = charset.encoding.decode_without_bom_handling(bytes);
    let mut text = text.into_owned();
    // The head may have been cut inside a character.
    if scan.bytes > scan.head.len() as u64 {
        while text.ends_with('\u{fffd}') {
            text.pop();
        }
    }
    text
}

fn sample(reader: &mut dyn RowReader) -> Result<(Vec<Row>, Vec<String>), ReadError> {
    let (mut sample, mut row) = (Vec::new(), Row::default());
    while sample.len() < SAMPLE_ROWS {
        match reader.next(&mut row)? {
            Some(Item::Row) => sample.push(row.clone()),
            Some(_) => {}
            None => break,
        }
    }
    Ok((sample, reader.columns().to_vec()))
}

/// The bytes that a parser reads: the file itself, or a decoded copy.
enum Decoded {
    Same { file: File, offset: u64 },
    Copy { file: File },
}

impl Decoded {
    fn of(input: &Input, charset: Charset, scratch: &Path, format: Format) -> io::Result<Self> {
        // A workbook is binary; its parts say their own encoding.
        if format == Format::Xlsx {
            return Ok(Self::Same { file: input.rewound()?, offset: 0 });
        }
        let mut file = text::decoded(input, charset, scratch)?;
        if charset.encoding == encoding_rs::UTF_8 {
            let offset = file.stream_position()?;
            return Ok(Self::Same { file, offset });
        }
        Ok(Self::Copy { file })
    }

    fn rewound(&self) -> io::Result<(File, u64)> {
        let (file, offset) = match self {
            Self::Same { file, offset } => (file, *offset),
            Self::Copy { file } => (file, 0),
        };
        let mut file = file.try_clone()?;
        file.seek(io::SeekFrom::Start(offset))?;
        Ok((file, offset))
    }

    fn copy(&self) -> io::Result<Option<File>> {
        match self {
            Self::Same { .. } => Ok(None),
            Self::Copy { file } => file.try_clone().map(Some),
        }
    }
}

fn describe(dialect: csv::Dialect) -> String {
    let delimiter = match dialect.delimiter {
        b'\t' => "tab".to_owned(),
        other => format!("\"{}\"", char::from(other)),
    };
    let header = if dialect.header { "header" } else { "no header" };
    let skipped =
        if dialect.skip_rows > 0 { format!(", {} rows before it", dialect.skip_rows) } else { String::new() };
    format!("delimiter {delimiter}, {header}{skipped}")
}

fn describe_mapping(profile: &Profile) -> Vec<String> {
    let name = |column: usize| profile.columns.get(column).map_or("?", String::as_str);
    profile
        .mapping
        .pairs()
        .iter()
        .map(|&(field, column)| format!("{} = {}", field.name(), name(column)))
        .collect()
}
