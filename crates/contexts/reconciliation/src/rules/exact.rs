use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stoa_kernel::money::Decimal;

/// An exact decimal in a rules file: `0.02` or `"0.02"`; never a float inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact(pub Decimal);

impl Exact {
    /// Zero.
    pub const ZERO: Self = Self(Decimal::ZERO);
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The scalar is taken as it is written: YAML and JSON numbers included.
        let text = String::deserialize(deserializer)?;
        let decimal: Decimal = text.parse().map_err(|_| {
            serde::de::Error::custom(format!("\"{text}\" is not a decimal number such as 0.02"))
        })?;
        if decimal.units < 0 {
            return Err(serde::de::Error::custom(format!("\"{text}\" must not be negative")));
        }
        Ok(Self(decimal))
    }
}

impl JsonSchema for Exact {
    fn schema_name() -> Cow<'static, str> {
        "Exact".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An exact decimal, not negative, as a number or as a text.",
            "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$" }
            ]
        })
    }
}
