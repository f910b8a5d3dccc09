//! What ends a command early: a code, a sentence, a way out.

use std::error::Error;
use std::io;

use stoa_kernel::error::Coded;
use stoa_reconciliation::load::LoadError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done, and clean.
    Clean,
    /// It failed.
    Failed,
    /// It could not be understood.
    Usage,
    /// It is done, and there are exceptions.
    Exceptions,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Exceptions => 3,
        })
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) way_out: Option<String>,
    pub(crate) exit: Exit,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let exit = if matches!(
            code,
            "usage" | "config_invalid" | "rules_invalid" | "rates_invalid" | "record_not_found"
        ) {
            Exit::Usage
        } else {
            Exit::Failed
        };
        Self { code, message: message.into(), way_out: None, exit }
    }

    pub(crate) fn way_out(mut self, way_out: impl Into<String>) -> Self {
        self.way_out = Some(way_out.into());
        self
    }

    /// The failure of an error with a code; `about` is put before its message, unless it is empty.
    pub(crate) fn of(error: &dyn Coded, about: &str) -> Self {
        let mut message = chain(error);
        if !about.is_empty() {
            message = format!("{about}: {message}");
        }
        Self { way_out: error.way_out(), ..Self::new(error.code(), message) }
    }

    /// A failure to write, or of temporary storage.
    pub(crate) fn io(code: &'static str, about: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::new("storage_full", format!("{about}: the disk is full"))
                .way_out("free some space and run it again; nothing of this run was kept");
        }
        Self::new(code, format!("{about}: {error}"))
    }

    /// A file that could not be loaded.
    pub(crate) fn load(error: &LoadError, name: &str) -> Self {
        match error {
            LoadError::Scratch(cause) => Self::io("file_unreadable", "temporary storage", cause),
            _ => Self::of(error, name),
        }
    }

    pub(crate) fn report(&self) {
        eprintln!("error[{}]: {}", self.code, self.message);
        if let Some(way_out) = &self.way_out {
            eprintln!("  help: {way_out}");
        }
    }
}

/// The message of an error and of its sources, each once.
fn chain(error: &dyn Coded) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = Error::source(cause);
    }
    message
}
