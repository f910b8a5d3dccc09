//! What never reaches a log: a net under redaction by type, which catches what a message carries by accident.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        // Mail addresses.
        r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
        // Tokens in headers and addresses.
        r"|(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}",
        r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"|stoa_[A-Za-z0-9]{8,}[A-Za-z0-9_]*",
        r"|://[^/\s:@]+:[^@\s]+@",
        r"|(?i:password|secret|token|api[_-]?key)\s*[=:]\s*[^\s,;&]+",
        // Account and card numbers.
        r"|\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b",
        r"|\b(?:[0-9][ -]?){12,18}[0-9]\b",
    ))
    .ok()
});

/// The line without mail addresses, tokens, passwords, account and card numbers.
#[must_use]
pub fn scrub(line: &str) -> Cow<'_, str> {
    SECRETS.as_ref().map_or(Cow::Borrowed(line), |pattern| {
        pattern.replace_all(line, |found: &regex::Captures<'_>| {
            let text = found.get(0).map_or("", |whole| whole.as_str());
            // Long plain numbers that are no card numbers stay: ids, times and sizes are logged.
            if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ' || byte == b'-')
                && !is_card(text)
            {
                text.to_owned()
            } else {
                // A bare number of a JSON document becomes a text, so that it stays a document.
                let (start, end) = found.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()));
                let before = line.get(..start).unwrap_or("").trim_end().chars().next_back();
                let after = line.get(end..).unwrap_or("").chars().next();
                let is_bare =
                    matches!(before, Some(':')) && matches!(after, Some(',' | '}')) && line.starts_with('{');
                if is_bare { "\"[scrubbed]\"".to_owned() } else { "[scrubbed]".to_owned() }
            }
        })
    })
}

/// Whether the digits have the check digit of a card number (ISO/IEC 7812-1, Luhn).
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match place % 2 {
            0 => digit,
            _ if digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_personal_or_secret_is_scrubbed_and_the_rest_stays() {
        for (line, scrubbed) in [
            ("mail to ada@example.org failed", "mail to [scrubbed] failed"),
            ("authorization: Bearer abcdef123456", "authorization: [scrubbed]"),
            ("postgres://stoa:hunter2@db/x", "postgres[scrubbed]db/x"),
            ("password=hunter2, next", "[scrubbed], next"),
            ("pays DE89 3704 0044 0532 0130 00 now", "pays [scrubbed] now"),
            (r#"{"number":4111111111111111,"a":1}"#, r#"{"number":"[scrubbed]","a":1}"#),
            ("card 4111 1111 1111 1111 declined", "card [scrubbed] declined"),
            ("position 1763730000000000 of 12", "position 1763730000000000 of 12"),
            ("org_01j9x00000000 in 12 ms", "org_01j9x00000000 in 12 ms"),
        ] {
            assert_eq!(scrub(line), scrubbed);
        }
    }
}
