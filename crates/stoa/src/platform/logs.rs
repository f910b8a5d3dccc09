//! Logs: for people on a terminal, JSON otherwise; scrubbed either way.

use std::io::{self, IsTerminal as _, Write};

use stoa_runtime::scrub::scrub;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::config::Log;
use crate::failure::Failure;

/// Scrubs what is written, line by line, on its way to the standard error.
struct Scrubbed;

impl Write for Scrubbed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().lock().write_all(scrub(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Scrubbed {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        Self
    }
}

/// Begins to log.
pub(crate) fn start(log: &Log) -> Result<(), Failure> {
    // What the driver of the bus says of every attempt is said once by its adapter.
    let level = if log.level.contains("async_nats") {
        log.level.clone()
    } else {
        format!("async_nats=warn,{}", log.level)
    };
    let filter = EnvFilter::try_new(&level)
        .map_err(|error| Failure::new("config_invalid", format!("log.level: {error}")))?;
    let human = log.format == "human" || (log.format == "auto" && io::stderr().is_terminal());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Scrubbed).with_target(false);
    let started = if human {
        builder.with_ansi(io::stderr().is_terminal()).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_span_list(false).try_init()
    };
    started.map_err(|error| Failure::new("config_invalid", format!("logging cannot start: {error}")))
}
