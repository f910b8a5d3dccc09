//! Values on their way into statements, and back.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use stoa_kernel::store::{Kind, Value};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value as a parameter.
#[derive(Debug)]
pub(crate) struct Bind<'v>(pub(crate) &'v Value);

impl ToSql for Bind<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(value) => out.put_i64(*value),
            Value::Boolean(value) => out.put_u8(u8::from(*value)),
            Value::Bytes(bytes) => out.put_slice(bytes),
            Value::Text(text) | Value::Json(text) => {
                if *kind == Type::JSONB {
                    out.put_u8(1);
                }
                out.put_slice(text.as_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The type of a parameter, for statements that are not prepared.
pub(crate) const fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Integer => Type::INT8,
        Kind::Boolean => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
        Kind::Json => Type::JSON,
    }
}

/// A value of a row.
pub(crate) struct Read(pub(crate) Value);

impl<'a> FromSql<'a> for Read {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let text = || std::str::from_utf8(raw).map(str::to_owned);
        Ok(Self(match *kind {
            Type::INT8 => Value::Integer(i64::from_be_bytes(raw.try_into()?)),
            Type::BOOL => Value::Boolean(raw.first() == Some(&1)),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::JSON => Value::Json(text()?),
            _ => Value::Text(text()?),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::BOOL | Type::BYTEA | Type::JSON | Type::TEXT)
    }
}
