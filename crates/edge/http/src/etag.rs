//! Versions as entity tags, and preconditions (RFC 9110, sections 8.8.3 and 13).

use axum::http::{HeaderMap, header};

use crate::problem::Problem;

/// The entity tag of a version.
#[must_use]
pub fn of(version: i64) -> String {
    format!("\"{version}\"")
}

fn names(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// Refuses a change of another version than the one that `If-Match` names.
///
/// # Errors
/// `precondition_failed`.
pub fn require(headers: &HeaderMap, version: i64) -> Result<(), Problem> {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let tag = of(version);
    // Weak tags never match here (section 13.1.1).
    let matches =
        wanted.to_str().is_ok_and(|list| list.split(',').map(str::trim).any(|one| one == "*" || one == tag));
    if matches {
        return Ok(());
    }
    let detail = format!("The resource is at version {version}, with the entity tag {tag}.");
    Err(Problem::new("precondition_failed", detail).header(header::ETAG, tag))
}

/// Whether the caller has this version already, by `If-None-Match`.
#[must_use]
pub fn is_known(headers: &HeaderMap, version: i64) -> bool {
    let wanted = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    wanted.is_some_and(|list| names(list, &of(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn preconditions_are_held_to() {
        assert!(require(&HeaderMap::new(), 3).is_ok());
        for (given, holds) in [
            ("\"3\"", true),
            ("*", true),
            ("\"1\", \"3\"", true),
            ("\"2\"", false),
            ("W/\"3\"", false),
            ("3", false),
        ] {
            assert_eq!(require(&with(header::IF_MATCH, given), 3).is_ok(), holds, "{given}");
        }
        for (given, known) in [("\"3\"", true), ("W/\"3\"", true), ("*", true), ("\"4\"", false)] {
            assert_eq!(is_known(&with(header::IF_NONE_MATCH, given), 3), known, "{given}");
        }
        assert!(!is_known(&HeaderMap::new(), 3));
    }
}
