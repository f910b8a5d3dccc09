//! Temporary storage on disk: the [`Scratch`] port over an unnamed file, which is gone when the process is, however it
//! ends.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use stoa_reconciliation::side::Scratch;

/// A temporary file that is made when the first bytes come.
#[derive(Debug)]
pub struct TempFile {
    folder: PathBuf,
    file: Option<File>,
}

impl TempFile {
    /// Scratch in `folder`.
    #[must_use]
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self { folder, file: None }
    }
}

impl Scratch for TempFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        file.write_all(bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_back_from_anywhere() {
        let mut scratch = TempFile::in_folder(std::env::temp_dir());
        assert_eq!(scratch.read_at(0, &mut [0; 4]).unwrap(), 0);
        scratch.append(b"hello ").unwrap();
        scratch.append(b"world").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(scratch.read_at(4, &mut buffer).unwrap(), 7);
        assert_eq!(buffer.get(..7), Some(b"o world".as_slice()));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(TempFile::in_folder("/nonexistent".into()).append(b"x").is_err());
    }
}
