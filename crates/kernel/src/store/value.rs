//! The values that every engine stores alike.

/// What a column holds, in terms that every engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A signed 64-bit integer: ids, counters, minor units of money, microseconds since 1970.
    Integer,
    /// True or false.
    Boolean,
    /// UTF-8 without NUL, ordered by bytes.
    Text,
    /// Any bytes.
    Bytes,
    /// A JSON document, kept as it was written.
    Json,
}

/// One stored value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Value {
    /// Nothing; not the same as an empty text.
    Null,
    /// See [`Kind::Integer`].
    Integer(i64),
    /// See [`Kind::Boolean`].
    Boolean(bool),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Bytes`].
    Bytes(Vec<u8>),
    /// See [`Kind::Json`]: the text of the document.
    Json(String),
}

impl Value {
    /// The kind, unless it is null.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Null => None,
            Self::Integer(_) => Some(Kind::Integer),
            Self::Boolean(_) => Some(Kind::Boolean),
            Self::Text(_) => Some(Kind::Text),
            Self::Bytes(_) => Some(Kind::Bytes),
            Self::Json(_) => Some(Kind::Json),
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The value as JSON, as audit diffs show it. Bytes are shown by their number alone.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Integer(value) => (*value).into(),
            Self::Boolean(value) => (*value).into(),
            Self::Text(value) => value.clone().into(),
            Self::Bytes(value) => format!("{} bytes", value.len()).into(),
            Self::Json(value) => serde_json::from_str(value).unwrap_or(serde_json::Value::Null),
        }
    }
}
