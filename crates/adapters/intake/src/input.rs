//! A file as bytes: opened, spooled where it cannot be read twice, and scanned once for what decides how it is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use stoa_kernel::error::Coded;

/// A file that can be read more than once.
#[derive(Debug)]
pub struct Input {
    /// The name for people: the path, or `standard input`.
    pub name: String,
    file: File,
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// There is none.
    #[error("{0}: there is no such file")]
    NotFound(String),
    /// It is a folder.
    #[error("{0}: this is a folder, not a file")]
    Folder(String),
    /// It has no content.
    #[error("{0}: the file is empty")]
    Empty(String),
    /// The operating system refuses.
    #[error("{name}: cannot be read")]
    Io {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no room to spool it.
    #[error("{name}: there is no room for a temporary copy")]
    Spool {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Coded for InputError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "file_not_found",
            Self::Empty(_) => "file_empty",
            Self::Folder(_) | Self::Io { .. } => "file_unreadable",
            Self::Spool { source, .. } if source.kind() == io::ErrorKind::StorageFull => "storage_full",
            Self::Spool { .. } => "file_unreadable",
        }
    }

    fn way_out(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("check the path; use - for standard input".to_owned()),
            Self::Folder(_) => Some("name a file inside it".to_owned()),
            Self::Empty(_) => Some("export it again; half-written files are often empty".to_owned()),
            Self::Io { .. } => Some("check its permissions".to_owned()),
            Self::Spool { .. } => {
                Some("free some disk space, or set TMPDIR to a folder with room".to_owned())
            }
        }
    }
}

/// What one look over all bytes tells.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of the content, in hexadecimal.
    pub hash: String,
    /// Whether all of it is UTF-8.
    pub is_utf8: bool,
    /// NUL bytes at even and at odd offsets.
    pub nuls: [u64; 2],
    /// Whether a line feed occurs.
    pub has_line_feed: bool,
    /// Whether a double quote occurs.
    pub has_quote: bool,
    /// The first bytes, at most [`Scan::HEAD_BYTES`].
    pub head: Vec<u8>,
}

impl Scan {
    /// How many bytes decide about format and dialect.
    pub const HEAD_BYTES: usize = 256 << 10;
}

impl Input {
    /// Opens a file; `-` is standard input. What cannot be read twice (a pipe) is copied to a temporary file.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, InputError> {
        if path == Path::new("-") {
            return Self::spool("standard input".to_owned(), &mut io::stdin().lock(), scratch);
        }
        let name = path.display().to_string();
        let wrap = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => InputError::NotFound(name.clone()),
            io::ErrorKind::IsADirectory => InputError::Folder(name.clone()),
            _ => InputError::Io { name: name.clone(), source },
        };
        let mut file = File::open(path).map_err(wrap)?;
        let metadata = file.metadata().map_err(wrap)?;
        if metadata.is_dir() {
            return Err(InputError::Folder(name));
        }
        if !metadata.is_file() {
            return Self::spool(name, &mut file, scratch);
        }
        Ok(Self { name, file })
    }

    /// Copies bytes that can be read once to a temporary file in `scratch`.
    ///
    /// # Errors
    /// [`InputError::Io`] for the reader, [`InputError::Spool`] for the copy.
    pub fn spool(name: String, reader: &mut dyn Read, scratch: &Path) -> Result<Self, InputError> {
        let mut file = tempfile::tempfile_in(scratch)
            .map_err(|source| InputError::Spool { name: name.clone(), source })?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read =
                reader.read(&mut buffer).map_err(|source| InputError::Io { name: name.clone(), source })?;
            let Some(filled) = buffer.get(..read).filter(|filled| !filled.is_empty()) else { break };
            file.write_all(filled).map_err(|source| InputError::Spool { name: name.clone(), source })?;
        }
        Ok(Self { name, file })
    }

    /// Reads from the start.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn rewound(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }

    /// Looks over all bytes once.
    ///
    /// # Errors
    /// [`InputError::Empty`], [`InputError::Io`].
    pub fn scan(&self) -> Result<Scan, InputError> {
        let wrap = |source| InputError::Io { name: self.name.clone(), source };
        let mut file = self.rewound().map_err(wrap)?;
        let mut hasher = blake3::Hasher::new();
        let mut scan = Scan {
            bytes: 0,
            hash: String::new(),
            is_utf8: true,
            nuls: [0, 0],
            has_line_feed: false,
            has_quote: false,
            head: Vec::new(),
        };
        let mut buffer = vec![0; 1 << 20];
        // The bytes of a character that a chunk has cut in two stay at the front of the buffer.
        let mut kept = 0;
        while let Some(free) = buffer.get_mut(kept..) {
            let read = file.read(free).map_err(wrap)?;
            if read == 0 {
                scan.is_utf8 &= kept == 0;
                break;
            }
            let fresh = buffer.get(kept..kept + read).unwrap_or(&[]);
            hasher.update(fresh);
            scan.look(fresh);
            scan.bytes += read as u64;
            let all = buffer.get(..kept + read).unwrap_or(&[]);
            let valid = match std::str::from_utf8(all) {
                Ok(_) => all.len(),
                Err(error) => {
                    scan.is_utf8 &= error.error_len().is_none();
                    if scan.is_utf8 { error.valid_up_to() } else { all.len() }
                }
            };
            kept = all.len() - valid;
            buffer.copy_within(valid..valid + kept, 0);
        }
        if scan.bytes == 0 {
            return Err(InputError::Empty(self.name.clone()));
        }
        scan.hash = hasher.finalize().to_hex().to_string();
        Ok(scan)
    }

    /// The folder for temporary files: `TMPDIR`, else `/tmp`, as the operating system has it.
    #[must_use]
    pub fn default_scratch() -> PathBuf {
        std::env::temp_dir()
    }
}

impl Scan {
    fn look(&mut self, fresh: &[u8]) {
        if self.head.len() < Self::HEAD_BYTES {
            let room = Self::HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(fresh.get(..room.min(fresh.len())).unwrap_or(fresh));
        }
        for at in memchr::memchr_iter(0, fresh) {
            let odd = (self.bytes + at as u64) % 2 == 1;
            let [even_count, odd_count] = &mut self.nuls;
            *(if odd { odd_count } else { even_count }) += 1;
        }
        self.has_line_feed = self.has_line_feed || memchr::memchr(b'\n', fresh).is_some();
        self.has_quote = self.has_quote || memchr::memchr(b'"', fresh).is_some();
    }
}
