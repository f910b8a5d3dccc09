//! `stoa privacy`: what is kept of whom.

use std::fmt::Write as _;

use stoa_kernel::store::registry::{Kept, kept};

use super::compose;
use crate::failure::{Exit, Failure};

/// Prints the data registry: for people, for programs, or as the committed page has it.
pub(crate) fn registry(as_json: bool) -> Result<Exit, Failure> {
    let kept = kept(compose::registry().iter());
    if as_json {
        let json = serde_json::to_string_pretty(&kept)
            .map_err(|error| Failure::new("internal", format!("the registry cannot be written: {error}")))?;
        return crate::print(&format!("{json}\n"));
    }
    crate::print(&page(&kept))
}

fn page(kept: &[Kept]) -> String {
    let mut text = String::from(
        "# Data registry\n\nWhat is kept of whom, why, and for how long. Made by `stoa privacy registry` from the descriptions that the \
         platform itself works by; a column that is personal data and is not explained does not compile.\n\n## Personal data\n\n\
         | column | whose | why | sealed | kept |\n|---|---|---|---|---|\n",
    );
    for row in kept.iter().filter(|row| row.personal) {
        let sealed = if row.encrypted { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "| `{}.{}` | {} | {} | {sealed} | {} |",
            row.table, row.column, row.subject, row.why, row.kept_for
        );
    }
    text.push_str("\n## Everything else\n\n| column | of | why | kept |\n|---|---|---|---|\n");
    for row in kept.iter().filter(|row| !row.personal) {
        let _ = writeln!(
            text,
            "| `{}.{}` | the {} | {} | {} |",
            row.table, row.column, row.scope, row.why, row.kept_for
        );
    }
    text
}
