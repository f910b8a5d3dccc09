//! Progress for people: a bar on a terminal, nothing elsewhere.

use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The bars of one command.
#[derive(Debug)]
pub(crate) struct Progress {
    all: Option<MultiProgress>,
}

impl Progress {
    /// Bars on standard error when it is a terminal and `quiet` is not wished.
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { all: shown.then(MultiProgress::new) }
    }

    /// A bar for a file of this many bytes.
    pub(crate) fn file(&self, name: &str, bytes: u64) -> Bar {
        let Some(all) = &self.all else { return Bar(None) };
        let style = ProgressStyle::with_template(
            "{msg:30!} {bar:40} {binary_bytes:>10} of {binary_total_bytes} {eta:>6}",
        );
        let bar = all.add(ProgressBar::new(bytes));
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        Bar(Some(bar))
    }

    /// A line that says what is being done.
    pub(crate) fn step(&self, what: &str) -> Bar {
        let Some(all) = &self.all else { return Bar(None) };
        let bar = all.add(ProgressBar::new_spinner());
        bar.set_message(what.to_owned());
        bar.tick();
        Bar(Some(bar))
    }
}

/// One bar; it is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(crate) fn at(&self, position: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(position);
        }
    }

    pub(crate) fn say(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
            bar.tick();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
