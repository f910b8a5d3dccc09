//! How Rust types become stored values and come back.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::event::rfc3339;
use super::value::{Kind, Value};
use crate::clock::Micros;
use crate::id::{Id, Kind as IdKind};

/// A type that a column can hold.
pub trait Field: Sized {
    /// The kind of the column.
    const KIND: Kind;
    /// Whether it may be null.
    const NULLABLE: bool = false;
    /// Whether the type marks it as personal data.
    const PERSONAL: bool = false;
    /// Whether it can say anything at all, so that a record must state whether that is personal.
    const FREE: bool = false;
    /// How the audit trail shows a stored value: as the API says it.
    const SHOWN: fn(&Value) -> serde_json::Value = Value::to_json;

    /// The value to store.
    fn to_value(&self) -> Value;

    /// The value that was stored.
    ///
    /// # Errors
    /// What is wrong with it: the row is corrupt.
    fn from_value(value: Value) -> Result<Self, String>;
}

fn unexpected<T>(wanted: &str, found: &Value) -> Result<T, String> {
    Err(format!("expected {wanted}, found {:?}", found.kind()))
}

impl Field for i64 {
    const KIND: Kind = Kind::Integer;
    fn to_value(&self) -> Value {
        Value::Integer(*self)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        value.integer().map_or_else(|| unexpected("an integer", &value), Ok)
    }
}

macro_rules! narrow_integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const KIND: Kind = Kind::Integer;
            fn to_value(&self) -> Value {
                Value::Integer(i64::from(*self))
            }
            fn from_value(value: Value) -> Result<Self, String> {
                let wide = i64::from_value(value)?;
                Self::try_from(wide).map_err(|_| format!("{wide} is out of range"))
            }
        }
    )*};
}
narrow_integers!(u8, u16, u32, i32);

impl Field for bool {
    const KIND: Kind = Kind::Boolean;
    fn to_value(&self) -> Value {
        Value::Boolean(*self)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(value),
            other => unexpected("a boolean", &other),
        }
    }
}

impl Field for String {
    const KIND: Kind = Kind::Text;
    const FREE: bool = true;
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(value) => Ok(value),
            other => unexpected("a text", &other),
        }
    }
}

impl Field for Vec<u8> {
    const KIND: Kind = Kind::Bytes;
    const FREE: bool = true;
    fn to_value(&self) -> Value {
        Value::Bytes(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Bytes(value) => Ok(value),
            other => unexpected("bytes", &other),
        }
    }
}

impl Field for Micros {
    const KIND: Kind = Kind::Integer;
    const SHOWN: fn(&Value) -> serde_json::Value = |value| match value {
        Value::Integer(time) => rfc3339::text(Self(*time)).into(),
        other => other.to_json(),
    };
    fn to_value(&self) -> Value {
        Value::Integer(self.0)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        i64::from_value(value).map(Self)
    }
}

impl<K: IdKind> Field for Id<K> {
    const KIND: Kind = Kind::Integer;
    const SHOWN: fn(&Value) -> serde_json::Value =
        |value| Self::from_value(value.clone()).map_or_else(|_| value.to_json(), |id| id.to_string().into());
    fn to_value(&self) -> Value {
        Value::Integer(self.to_i64())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        let raw = i64::from_value(value)?;
        u64::try_from(raw).ok().and_then(Self::from_raw).ok_or_else(|| format!("{raw} is no id"))
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    const PERSONAL: bool = T::PERSONAL;
    const FREE: bool = T::FREE;
    const SHOWN: fn(&Value) -> serde_json::Value = T::SHOWN;
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        if value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

/// A document in a column: any type that serde can write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json<T>(pub T);

impl<T: Serialize + for<'de> Deserialize<'de>> Field for Json<T> {
    const KIND: Kind = Kind::Json;
    const FREE: bool = true;
    fn to_value(&self) -> Value {
        serde_json::to_string(&self.0).map_or(Value::Null, Value::Json)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Json(text) => {
                serde_json::from_str(&text).map(Self).map_err(|error| format!("the document: {error}"))
            }
            other => unexpected("a JSON document", &other),
        }
    }
}

/// Personal data: never shown by `Debug`, redacted in the audit trail, found by exports and erasure.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(pub T);

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

impl<T> Deref for Personal<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Field> Field for Personal<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = T::NULLABLE;
    const PERSONAL: bool = true;
    fn to_value(&self) -> Value {
        self.0.to_value()
    }
    fn from_value(value: Value) -> Result<Self, String> {
        T::from_value(value).map(Self)
    }
}

/// Lets a column hold a type as the text that it displays and parses.
#[macro_export]
macro_rules! text_field {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::store::Field for $type {
            const KIND: $crate::store::Kind = $crate::store::Kind::Text;
            fn to_value(&self) -> $crate::store::Value {
                $crate::store::Value::Text(self.to_string())
            }
            fn from_value(value: $crate::store::Value) -> Result<Self, String> {
                <String as $crate::store::Field>::from_value(value)?.parse().map_err(|error| format!("{error}"))
            }
        }
    )*};
}

/// A choice that has a name, which is what a column holds and a caller reads and says.
#[macro_export]
macro_rules! choice {
    ($(#[$of_type:meta])* $type:ident, $what:literal { $($(#[$of_choice:meta])* $choice:ident = $name:literal,)* }) => {
        $(#[$of_type])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$of_choice])* $choice,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$choice),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$choice => $name,)* }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|choice| choice.name() == text)
                    .ok_or_else(|| format!(concat!($what, " is one of {}"), [$($name),*].join(", ")))
            }
        }

        $crate::text_field!($type);
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;
    use proptest::prelude::*;

    fn survives<T: Field + PartialEq + Clone + fmt::Debug>(value: &T) {
        assert_eq!(T::from_value(value.to_value()).as_ref(), Ok(value));
        let some = Some(value.clone());
        assert_eq!(Option::<T>::from_value(some.to_value()), Ok(some));
    }

    proptest! {
        #[test]
        fn every_field_type_reads_back(integer: i64, small: u32, flag: bool, text in ".*", bytes: Vec<u8>, raw in 0u64..1 << 63) {
            survives(&integer);
            survives(&small);
            survives(&flag);
            survives(&text);
            survives(&bytes);
            survives(&Micros(integer));
            survives(&UserId::from_raw(raw).unwrap());
            survives(&Json(vec![text.clone()]));
            survives(&Personal(text));
        }
    }

    #[test]
    fn a_value_of_another_kind_is_corrupt_and_empty_is_not_null() {
        assert!(String::from_value(Value::Integer(1)).is_err());
        assert!(u8::from_value(Value::Integer(256)).is_err());
        assert!(UserId::from_value(Value::Integer(-1)).is_err());
        assert_eq!(Option::<String>::from_value(Value::Text(String::new())), Ok(Some(String::new())));
        assert_eq!(Option::<String>::from_value(Value::Null), Ok(None));
    }

    #[test]
    fn personal_data_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Personal("ada@example.org".to_owned()))), "Some([personal])");
        const { assert!(Option::<Personal<String>>::PERSONAL && !Personal::<String>::FREE && String::FREE) };
    }
}
