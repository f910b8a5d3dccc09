//! Bodies: JSON objects whose every field is known, read once, and told about when it is wrong — all of them at once.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use crate::problem::{FieldProblem, Problem};

/// The most nesting of a body.
const DEPTH_MAX: usize = 32;

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// `body_too_large`, `body_malformed` when it breaks off.
pub async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new("body_too_large", format!("A body has at most {bytes_max} bytes here.")))
        }
        Err(_) => Err(Problem::new("body_malformed", "The body broke off.")),
    }
}

/// The fields of a body.
#[derive(Debug)]
pub struct Fields {
    members: Map<String, Value>,
    wrong: Vec<FieldProblem>,
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The members of a JSON body.
///
/// # Errors
/// `unsupported_media_type`, `body_malformed`.
pub fn object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if !matches!(essence.as_str(), "application/json" | "application/merge-patch+json") {
        return Err(Problem::new("unsupported_media_type", "A body is application/json here."));
    }
    if depth(body) > DEPTH_MAX {
        return Err(Problem::new("body_malformed", format!("A body is nested at most {DEPTH_MAX} deep.")));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::new("body_malformed", "The body is not a JSON object.")),
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Err(Problem::new("body_malformed", format!("The body is not JSON: {place}.")))
        }
    }
}

impl Fields {
    /// The fields of a JSON body; none where there is no body.
    ///
    /// # Errors
    /// `unsupported_media_type`, `body_malformed`.
    pub fn of(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let is_none = body.is_empty() && !headers.contains_key(header::CONTENT_TYPE);
        let members = if is_none { Map::new() } else { object(headers, body)? };
        Ok(Self { members, wrong: Vec::new() })
    }

    fn refuse(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.wrong.push(FieldProblem { pointer, code, message: message.into() });
    }

    /// A text that is read as its type. `Some(None)` is null, `None` is absent or wrong.
    pub fn nullable<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<Option<T>> {
        match self.members.shift_remove(name)? {
            Value::Null => Some(None),
            Value::String(text) => match text.parse() {
                Ok(value) => Some(Some(value)),
                Err(error) => {
                    self.refuse(name, "invalid_value", error.to_string());
                    None
                }
            },
            _ => {
                self.refuse(name, "invalid_type", "expected a text or null");
                None
            }
        }
    }

    /// A text that is read as its type and cannot be null.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        match self.nullable(name)? {
            Some(value) => Some(value),
            None => {
                self.refuse(name, "invalid_type", "cannot be null");
                None
            }
        }
    }

    /// A text that must be there.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        if !self.members.contains_key(name) {
            self.refuse(name, "required", "is required");
            return None;
        }
        self.optional(name)
    }

    /// Anything that serde reads: numbers, booleans, lists. `None` is absent or wrong; null is wrong.
    pub fn value<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.members.shift_remove(name)?;
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, "invalid_type", error.to_string());
                None
            }
        }
    }

    /// A number within a range.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let number: i64 = self.value(name)?;
        match u32::try_from(number).ok().filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                self.refuse(
                    name,
                    "invalid_value",
                    format!("is a number from {} to {}", range.start(), range.end()),
                );
                None
            }
        }
    }

    /// A list of texts, each read as its type.
    pub fn list<T: FromStr<Err: Display>>(&mut self, name: &str, most: usize) -> Option<Vec<T>> {
        let texts: Vec<String> = self.value(name)?;
        if texts.len() > most {
            self.refuse(name, "invalid_value", format!("has at most {most} entries"));
            return None;
        }
        let mut read = Vec::with_capacity(texts.len());
        for text in texts {
            match text.parse::<T>() {
                Ok(value) => read.push(value),
                Err(error) => {
                    self.refuse(name, "invalid_value", error.to_string());
                    return None;
                }
            }
        }
        Some(read)
    }

    /// Anything at all, which must be there and is looked at by somebody else.
    pub fn any(&mut self, name: &str) -> Option<Value> {
        let value = self.members.shift_remove(name);
        if value.is_none() {
            self.refuse(name, "required", "is required");
        }
        value
    }

    /// A table of texts.
    pub fn texts(&mut self, name: &str) -> Option<Vec<(String, Value)>> {
        match self.members.shift_remove(name)? {
            Value::Object(members) => {
                let bad = members.iter().any(|(_, value)| !(value.is_string() || value.is_null()));
                if bad {
                    self.refuse(name, "invalid_type", "expected an object of texts");
                    return None;
                }
                Some(members.into_iter().collect())
            }
            _ => {
                self.refuse(name, "invalid_type", "expected an object of texts");
                None
            }
        }
    }

    /// Adds what somebody else found wrong: the pointer, and what it takes.
    pub fn also(&mut self, wrong: Vec<(&'static str, String)>) {
        self.wrong.extend(wrong.into_iter().map(|(pointer, message)| FieldProblem {
            pointer: pointer.to_owned(),
            code: "invalid_value",
            message,
        }));
    }

    /// Whether everything was right, and nothing is left.
    ///
    /// # Errors
    /// `validation_failed`, with everything that is wrong.
    pub fn finish(&mut self) -> Result<(), Problem> {
        let unknown: Vec<String> = self.members.iter().map(|(name, _)| name.clone()).collect();
        for name in unknown {
            self.refuse(&name, "unknown_field", "there is no field of this name");
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(invalid(std::mem::take(&mut self.wrong))) }
    }
}

/// The problem of a body whose fields are wrong. One whose only mistake is fields that nobody knows says that.
#[must_use]
pub fn invalid(wrong: Vec<FieldProblem>) -> Problem {
    let code = if wrong.iter().all(|one| one.code == "unknown_field") {
        "unknown_field"
    } else {
        "validation_failed"
    };
    Problem::new(code, "Fields of the body cannot be taken.").with(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<Fields, Problem> {
        let headers = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            "application/json; charset=utf-8".parse().unwrap(),
        )]);
        Fields::of(&headers, text.as_bytes())
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut body = fields(r#"{"a": 5, "b": "x", "c": null, "more": 1}"#).unwrap();
        assert_eq!(body.required::<String>("a"), None);
        assert_eq!(body.required::<u32>("b"), None);
        assert_eq!(body.optional::<String>("c"), None);
        assert_eq!(body.required::<String>("d"), None);
        body.finish().unwrap_err();
        let mut body = fields(r#"{"a": "1", "c": null}"#).unwrap();
        assert_eq!(
            (body.required::<u32>("a"), body.nullable::<String>("c"), body.nullable::<String>("d")),
            (Some(1), Some(None), None)
        );
        assert_eq!(body.finish(), Ok(()));
        assert_eq!(fields(r#"{"x": 1}"#).unwrap().finish().unwrap_err().code(), "unknown_field");
    }

    #[test]
    fn what_is_no_object_or_too_deep_is_refused() {
        for text in ["", "[]", "{", "null", &format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40))] {
            assert_eq!(fields(text).unwrap_err().code(), "body_malformed", "{text}");
        }
        assert!(
            fields(r#"{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}"#).is_ok(),
            "brackets in a text are no nesting"
        );
        assert_eq!(Fields::of(&HeaderMap::new(), b"{}").unwrap_err().code(), "unsupported_media_type");
    }
}
