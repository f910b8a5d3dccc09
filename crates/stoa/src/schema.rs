//! `stoa schema`: the JSON Schema of rules files.

use std::io::Write as _;

use crate::failure::{Exit, Failure};

pub(crate) fn run() -> Result<Exit, Failure> {
    let schema = stoa_reconciliation::rules::json_schema();
    std::io::stdout()
        .write_all(schema.as_bytes())
        .map_err(|error| Failure::io("output_unwritable", "standard output", &error))?;
    Ok(Exit::Clean)
}
