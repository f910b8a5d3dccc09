//! Programs whose clocks are wrong.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

static LIBRARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();

/// What in the environment of a program sets its clock ahead by so many seconds, or behind where there are less than none. It is compiled
/// by the C compiler that every build of Rust needs.
#[must_use]
pub fn skewed_by(seconds: i64) -> [(String, String); 2] {
    let (_, library) = LIBRARY.get_or_init(|| {
        let folder = tempfile::TempDir::new().expect("there is a place for temporary files");
        let (source, library) = (folder.path().join("skew.c"), folder.path().join("skew.so"));
        std::fs::write(&source, include_str!("skew.c")).expect("it can be written to");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let compiled = compiler.status().expect("there is a C compiler");
        assert!(compiled.success(), "skew.c compiles");
        (folder, library)
    });
    [
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("STOA_SKEW_S".to_owned(), seconds.to_string()),
    ]
}
