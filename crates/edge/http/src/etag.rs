//! Versions as entity tags, and preconditions (RFC 9110, sections 8.8.3 and 13).

use std::fmt::Display;

use axum::http::{HeaderMap, HeaderName, header};

use crate::problem::Problem;

/// The entity tag of a version of a resource: its id is part of it, since a name may come to mean another resource.
#[must_use]
pub fn of(id: &dyn Display, version: i64) -> String {
    format!("\"{id}-{version}\"")
}

/// Everything that a header lists, over all its lines.
fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
}

/// Refuses a change of another version than the one that `If-Match` names.
///
/// # Errors
/// `precondition_failed`.
pub fn require(headers: &HeaderMap, id: &dyn Display, version: i64) -> Result<(), Problem> {
    let tag = of(id, version);
    // Weak tags never match here (section 13.1.1).
    if !headers.contains_key(header::IF_MATCH)
        || listed(headers, &header::IF_MATCH).any(|one| one == "*" || one == tag)
    {
        return Ok(());
    }
    let detail = format!("The resource is at version {version}, with the entity tag {tag}.");
    Err(Problem::new("precondition_failed", detail).header(header::ETAG, tag))
}

/// Whether the caller has this version already, by `If-None-Match`.
#[must_use]
pub fn is_known(headers: &HeaderMap, id: &dyn Display, version: i64) -> bool {
    let tag = of(id, version);
    listed(headers, &header::IF_NONE_MATCH).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn preconditions_are_held_to() {
        assert!(require(&HeaderMap::new(), &"a", 3).is_ok());
        for (given, holds) in [
            ("\"a-3\"", true),
            ("*", true),
            ("\"a-1\", \"a-3\"", true),
            ("\"b-3\"", false),
            ("W/\"a-3\"", false),
            ("3", false),
        ] {
            assert_eq!(require(&with(header::IF_MATCH, given), &"a", 3).is_ok(), holds, "{given}");
        }
        for (given, known) in [("\"a-3\"", true), ("W/\"a-3\"", true), ("*", true), ("\"a-4\"", false)] {
            assert_eq!(is_known(&with(header::IF_NONE_MATCH, given), &"a", 3), known, "{given}");
        }
        assert!(!is_known(&HeaderMap::new(), &"a", 3));
    }
}
