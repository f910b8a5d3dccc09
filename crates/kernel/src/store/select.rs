//! Lookups and lists: equality, ranges, sets, prefixes, an order, and pages that continue after a key.
//!
//! What needs more (claiming, search, statistics, bulk loads) is a port of the context that needs it.

use std::marker::PhantomData;

use super::field::Field;
use super::record::{Column, Record, RecordMeta};
use super::value::Value;
use crate::context::Scope;

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Test {
    /// Equal to the value.
    Equal,
    /// Equal to one of the values.
    In,
    /// Less than the value.
    Less,
    /// At most the value.
    AtMost,
    /// More than the value.
    Greater,
    /// At least the value.
    AtLeast,
    /// A text that begins with the value, byte by byte.
    Prefix,
    /// Null.
    Null,
    /// Not null.
    NotNull,
}

/// One condition of a query; all must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column, by index.
    pub column: usize,
    /// How it is compared.
    pub test: Test,
    /// With what: one value, none, or any number for [`Test::In`].
    pub values: Vec<Value>,
}

/// One column of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// The column, by index; never a nullable one.
    pub column: usize,
    /// From high to low.
    pub descending: bool,
}

/// A query without its type, as stores see it.
#[derive(Debug, Clone)]
pub struct Select {
    /// What is asked for.
    pub meta: &'static RecordMeta,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Always ends with the primary key, so that it is total.
    pub order: Vec<Order>,
    /// The most rows, if there is a bound.
    pub limit: Option<u32>,
    /// Only what comes after these values of the columns of the order.
    pub after: Option<Vec<Value>>,
}

impl Select {
    /// A number that two queries share only when they ask the same: what a cursor is bound to.
    #[must_use]
    pub fn fingerprint(&self, scope: Scope) -> u64 {
        let shape = format!("{}|{:?}|{:?}|{scope:?}", self.meta.table, self.conditions, self.order);
        let hash = blake3::hash(shape.as_bytes());
        let bytes = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    }

    /// The values of the order of a row: where the next page continues.
    #[must_use]
    pub fn place(&self, row: &[Value]) -> Vec<Value> {
        self.order.iter().map(|order| row.get(order.column).cloned().unwrap_or(Value::Null)).collect()
    }
}

/// A typed query.
#[derive(Debug)]
pub struct Query<R> {
    select: Select,
    record: PhantomData<fn() -> R>,
}

impl<R> Clone for Query<R> {
    fn clone(&self) -> Self {
        Self { select: self.select.clone(), record: PhantomData }
    }
}

impl<R: Record> Query<R> {
    pub(super) fn new() -> Self {
        let select =
            Select { meta: R::META, conditions: Vec::new(), order: Vec::new(), limit: None, after: None };
        Self { select, record: PhantomData }
    }

    fn condition(mut self, column: usize, test: Test, values: Vec<Value>) -> Self {
        self.select.conditions.push(Condition { column, test, values });
        self
    }

    /// Only records whose column equals `value`; null equals null.
    #[must_use]
    pub fn eq<T: Field>(self, column: Column<R, T>, value: &T) -> Self {
        match value.to_value() {
            Value::Null => self.condition(column.index, Test::Null, Vec::new()),
            value => self.condition(column.index, Test::Equal, vec![value]),
        }
    }

    /// Only records whose column equals one of `values`; none when there are none.
    #[must_use]
    pub fn is_in<'v, T: Field + 'v>(
        self,
        column: Column<R, T>,
        values: impl IntoIterator<Item = &'v T>,
    ) -> Self {
        let values = values.into_iter().map(Field::to_value).collect();
        self.condition(column.index, Test::In, values)
    }

    /// Only records whose column is less than `value`.
    #[must_use]
    pub fn lt<T: Field>(self, column: Column<R, T>, value: &T) -> Self {
        self.condition(column.index, Test::Less, vec![value.to_value()])
    }

    /// Only records whose column is at most `value`.
    #[must_use]
    pub fn le<T: Field>(self, column: Column<R, T>, value: &T) -> Self {
        self.condition(column.index, Test::AtMost, vec![value.to_value()])
    }

    /// Only records whose column is more than `value`.
    #[must_use]
    pub fn gt<T: Field>(self, column: Column<R, T>, value: &T) -> Self {
        self.condition(column.index, Test::Greater, vec![value.to_value()])
    }

    /// Only records whose column is at least `value`.
    #[must_use]
    pub fn ge<T: Field>(self, column: Column<R, T>, value: &T) -> Self {
        self.condition(column.index, Test::AtLeast, vec![value.to_value()])
    }

    /// Only records whose text begins with `prefix`, byte by byte.
    #[must_use]
    pub fn prefix<T: Field>(self, column: Column<R, T>, prefix: &str) -> Self {
        self.condition(column.index, Test::Prefix, vec![Value::Text(prefix.to_owned())])
    }

    /// Only records whose column is not null.
    #[must_use]
    pub fn not_null<T: Field>(self, column: Column<R, Option<T>>) -> Self {
        self.condition(column.index, Test::NotNull, Vec::new())
    }

    /// From low to high by `column`, which cannot be null.
    #[must_use]
    pub fn ascending<T: Field>(mut self, column: Column<R, T>) -> Self {
        const { assert!(!T::NULLABLE, "an order by a column that may be null is not total") };
        self.select.order.push(Order { column: column.index, descending: false });
        self
    }

    /// From high to low by `column`, which cannot be null.
    #[must_use]
    pub fn descending<T: Field>(mut self, column: Column<R, T>) -> Self {
        const { assert!(!T::NULLABLE, "an order by a column that may be null is not total") };
        self.select.order.push(Order { column: column.index, descending: true });
        self
    }

    /// At most so many records.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.select.limit = Some(limit);
        self
    }

    /// The query as stores see it, its order made total by the primary key.
    #[must_use]
    pub fn build(mut self) -> Select {
        let descending = self.select.order.last().is_some_and(|last| last.descending);
        for &column in R::META.key {
            if !self.select.order.iter().any(|order| order.column == column) {
                self.select.order.push(Order { column, descending });
            }
        }
        self.select
    }
}

/// Which page is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The most records of a page.
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<Vec<Value>>,
}

/// Some records of a list, and where the next ones begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    /// The records.
    pub items: Vec<R>,
    /// Where the next page continues; `None` on the last.
    pub next: Option<Vec<Value>>,
}
