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
    /// The page, in Markdown. A code without one does not compile.
    pub page: &'static str,
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

macro_rules! row {
    ($code:literal, $status:literal, $title:literal) => {
        Code {
            code: $code,
            status: $status,
            title: $title,
            page: include_str!(concat!("../../../docs/errors/", $code, ".md")),
        }
    };
}

/// Every code, in alphabetical order.
pub const TABLE: &[Code] = &[
    row!("amount_invalid", 422, "An amount cannot be read"),
    row!("authorization_pending", 400, "Nobody has let this program in yet"),
    row!("body_malformed", 400, "The body cannot be read"),
    row!("body_too_large", 413, "The body is too large"),
    row!("code_invalid", 422, "The code is not right"),
    row!("collector_unavailable", 503, "The collector does not take reports"),
    row!("column_missing", 422, "A column that is needed is not in the file"),
    row!("config_invalid", 400, "The configuration cannot be used"),
    row!("conflict", 409, "The resource was changed by somebody else"),
    row!("csrf_failed", 403, "The request did not come from our page"),
    row!("currency_unknown", 422, "A currency code is not in ISO 4217"),
    row!("data_folder_in_use", 409, "Another process is using the data folder"),
    row!("data_folder_unwritable", 400, "The data folder cannot be written to"),
    row!("database_damaged", 500, "The database file is damaged"),
    row!("database_role_too_strong", 400, "The database role is too strong"),
    row!("database_unavailable", 503, "The database cannot be reached"),
    row!("date_invalid", 422, "A date cannot be read"),
    row!("deadline_exceeded", 504, "The deadline passed"),
    row!("duplicate", 409, "Something else has this name already"),
    row!("factor_locked", 429, "Too many wrong codes"),
    row!("file_empty", 422, "The file has no content"),
    row!("file_malformed", 422, "The file is not well-formed"),
    row!("file_not_found", 404, "There is no such file"),
    row!("file_unreadable", 400, "The file cannot be read"),
    row!("forbidden", 403, "This is not allowed"),
    row!("format_unknown", 415, "The format of the file is not known"),
    row!("format_unsupported", 415, "The format of the file is known but not supported"),
    row!("idempotency_key_invalid", 400, "The idempotency key cannot be used"),
    row!("idempotency_key_reused", 422, "The idempotency key was used for another request"),
    row!("identity_violated", 500, "The sums of a report do not add up"),
    row!("internal", 500, "Something is wrong inside Stoa"),
    row!("invalid_credentials", 401, "The credentials are not right"),
    row!("invalid_id", 400, "An id is malformed or of another kind"),
    row!("invalid_parameter", 400, "A parameter cannot be taken"),
    row!("job_kind_unknown", 422, "Nobody may ask for jobs of this kind"),
    row!("job_not_found", 404, "There is no such job"),
    row!("last_owner", 409, "An organization always has an owner"),
    row!("last_sign_in_method", 409, "This is the last way to sign in"),
    row!("link_invalid", 410, "This is over or was used already"),
    row!("method_not_allowed", 405, "This address does not take this method"),
    row!("mfa_pending", 403, "A second factor is needed first"),
    row!("mfa_required", 403, "The organization asks for a second factor"),
    row!("not_authenticated", 401, "The request is not authenticated"),
    row!("not_found", 404, "There is nothing at this address"),
    row!("not_ready", 503, "The process does not take work"),
    row!("organization_not_found", 404, "There is no such organization"),
    row!("organization_required", 400, "The request names no organization"),
    row!("organization_suspended", 403, "The organization is suspended"),
    row!("organization_wrong_state", 409, "The organization is not in a state for that"),
    row!("output_unwritable", 400, "The results cannot be written"),
    row!("overloaded", 503, "Too many requests are under way"),
    row!("precondition_failed", 412, "The resource is at another version"),
    row!("provider_refused", 401, "The provider did not vouch for you"),
    row!("provider_unavailable", 503, "The provider does not answer"),
    row!("queue_not_found", 404, "There is no such queue"),
    row!("quota_exceeded", 403, "A limit of the plan is reached"),
    row!("rate_limited", 429, "Too many requests in too short a time"),
    row!("rates_invalid", 422, "The table of exchange rates cannot be read"),
    row!("reauthentication_required", 403, "Show again who you are"),
    row!("record_not_found", 404, "There is no such record"),
    row!("registration_closed", 403, "Registration is by invitation"),
    row!("request_in_progress", 409, "The same request is under way"),
    row!("rules_invalid", 422, "The rules cannot be used"),
    row!("run_not_found", 404, "There is no such run"),
    row!("schedule_not_found", 404, "There is no such schedule"),
    row!("schema_mismatch", 409, "The schema is not the one that this version needs"),
    row!("secret_missing", 400, "A secret is missing or cannot be read"),
    row!("slug_taken", 409, "The slug is taken"),
    row!("statement_refused", 422, "The sender of the file reports an error instead of data"),
    row!("storage_full", 507, "The disk is full"),
    row!("storage_read_only", 503, "The storage is open for reading alone"),
    row!("too_large", 413, "The input is larger than a limit"),
    row!("unknown_field", 422, "The body has fields that nobody knows"),
    row!("unsupported_media_type", 415, "The body is not JSON"),
    row!("usage", 400, "The command line cannot be understood"),
    row!("validation_failed", 422, "Fields cannot be taken"),
    row!("webhook_unverified", 403, "The webhook cannot be verified"),
    row!("workflow_unknown", 422, "Nobody may start runs of this workflow"),
    row!("wrong_state", 409, "It is not in a state for that"),
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
    fn every_page_starts_with_its_code_and_says_what_to_do() {
        for row in TABLE {
            assert!(row.page.starts_with(&format!("# {}\n", row.code)), "{}", row.code);
            assert!(row.page.contains("## What to do"), "{}", row.code);
        }
    }
}
