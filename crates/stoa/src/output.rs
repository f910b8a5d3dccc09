//! The folder of results: written beside its place, and moved there only when it is whole.
//!
//! `summary.json` is taken away first and put back last, so a folder without it is not a result.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The last file to appear, which makes the others a result.
const SEAL: &str = "summary.json";

/// The files of a result.
const RESULTS: [&str; 7] =
    ["links.csv", "matches.csv", "exceptions.csv", "rejected.csv", "rules.yaml", "report.html", SEAL];

/// A folder that is being written.
#[derive(Debug)]
pub(crate) struct Output {
    place: PathBuf,
    draft: PathBuf,
    files: Vec<String>,
}

impl Output {
    /// Begins a result at `place`, which must not hold one of `inputs` under the name of a result.
    pub(crate) fn begin<'p>(
        place: &Path,
        inputs: impl Iterator<Item = &'p PathBuf>,
    ) -> Result<Self, Failure> {
        let fail = |error: &io::Error| unwritable(place, error);
        if place.exists() && !place.is_dir() {
            let message = format!("{}: this is a file; the results need a folder", place.display());
            return Err(Failure::new("output_unwritable", message)
                .way_out("name a folder that does not exist yet, or one for results"));
        }
        fs::create_dir_all(place).map_err(|error| fail(&error))?;
        if let Some(input) = inputs.into_iter().find(|input| would_replace(place, input)) {
            let message = format!("{}: the results would replace this input", input.display());
            return Err(
                Failure::new("output_unwritable", message).way_out("name another folder with --output")
            );
        }
        let draft = place.join(format!(".draft-{}", std::process::id()));
        // One that a killed process with this number has left is in the way of nobody.
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir(&draft).map_err(|error| fail(&error))?;
        Ok(Self { place: place.to_owned(), draft, files: Vec::new() })
    }

    /// A file of the result.
    pub(crate) fn create(&mut self, name: &str) -> io::Result<BufWriter<File>> {
        self.files.push(name.to_owned());
        Ok(BufWriter::with_capacity(256 << 10, File::create(self.draft.join(name))?))
    }

    /// Moves everything to its place.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let moved = (|| {
            match fs::remove_file(self.place.join(SEAL)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.files.sort_unstable_by_key(|name| name == SEAL);
            // On disk before it is in place, so that the seal never outlives what it seals.
            for name in &self.files {
                File::open(self.draft.join(name))?.sync_all()?;
            }
            for name in &self.files {
                fs::rename(self.draft.join(name), self.place.join(name))?;
            }
            Ok(())
        })();
        moved.map_err(|error| unwritable(&self.place, &error))
    }
}

/// Whether `input` is a file of the folder `place` that a result is called, too.
fn would_replace(place: &Path, input: &Path) -> bool {
    let (Ok(place), Ok(input)) = (place.canonicalize(), input.canonicalize()) else { return false };
    let name = input.file_name().and_then(OsStr::to_str);
    input.parent() == Some(&place) && name.is_some_and(|name| RESULTS.contains(&name))
}

fn unwritable(place: &Path, error: &io::Error) -> Failure {
    Failure::io("output_unwritable", &place.display().to_string(), error)
}

impl Drop for Output {
    fn drop(&mut self) {
        // Whatever was not moved is no result.
        let _ = fs::remove_dir_all(&self.draft);
    }
}
