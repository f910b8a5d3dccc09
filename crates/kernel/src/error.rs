//! The table of error codes: one row for each, with its HTTP status and its page in `docs/errors/`.

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Stable, `snake_case`; also the name of the page `docs/errors/<code>.md`.
    pub code: &'static str,
    /// The status with which the API answers (RFC 9110).
    pub status: u16,
    /// A short title for people, as in the `title` of a problem document (RFC 9457).
    pub title: &'static str,
}

/// What has a code: every error that leaves a crate.
pub trait Coded: std::error::Error {
    /// The code, which must be in [`TABLE`].
    fn code(&self) -> &'static str;

    /// What the person can do about it, if there is something.
    fn way_out(&self) -> Option<String> {
        None
    }
}

const fn row(code: &'static str, status: u16, title: &'static str) -> Code {
    Code { code, status, title }
}

/// Every code, in alphabetical order.
pub const TABLE: &[Code] = &[
    row("amount_invalid", 422, "An amount cannot be read"),
    row("column_missing", 422, "A column that is needed is not in the file"),
    row("conflict", 409, "The resource was changed by somebody else"),
    row("currency_unknown", 422, "A currency code is not in ISO 4217"),
    row("database_unavailable", 503, "The database cannot be reached"),
    row("date_invalid", 422, "A date cannot be read"),
    row("deadline_exceeded", 504, "The deadline passed"),
    row("duplicate", 409, "Something else has this name already"),
    row("file_empty", 422, "The file has no content"),
    row("file_malformed", 422, "The file is not well-formed"),
    row("file_not_found", 404, "There is no such file"),
    row("file_unreadable", 400, "The file cannot be read"),
    row("format_unknown", 415, "The format of the file is not known"),
    row("format_unsupported", 415, "The format of the file is known but not supported"),
    row("idempotency_key_reused", 422, "The idempotency key was used for another request"),
    row("identity_violated", 500, "The sums of a report do not add up"),
    row("internal", 500, "Something is wrong inside Stoa"),
    row("invalid_id", 400, "An id is malformed or of another kind"),
    row("output_unwritable", 400, "The results cannot be written"),
    row("rates_invalid", 422, "The table of exchange rates cannot be read"),
    row("record_not_found", 404, "There is no such record"),
    row("rules_invalid", 422, "The rules cannot be used"),
    row("statement_refused", 422, "The sender of the file reports an error instead of data"),
    row("storage_full", 507, "The disk is full"),
    row("storage_read_only", 503, "The storage is open for reading alone"),
    row("too_large", 413, "The input is larger than a limit"),
    row("usage", 400, "The command line cannot be understood"),
];

/// The row of `code`, if the table has it.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    TABLE.iter().find(|row| row.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(find("storage_full").map(|row| row.status), Some(507));
    }

    #[test]
    fn every_code_has_its_page() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        for row in TABLE {
            let page = std::fs::read_to_string(folder.join(format!("{}.md", row.code)))
                .unwrap_or_else(|_| panic!("docs/errors/{}.md is missing", row.code));
            assert!(page.starts_with(&format!("# {}\n", row.code)), "{}.md starts with its code", row.code);
            assert!(page.contains("## What to do"), "{}.md says what to do", row.code);
        }
    }
}
