//! SQL from the description of a record, once for each shape of statement.
//!
//! A statement is rendered with `sea-query` the first time that its shape is seen; afterwards the text is found by the shape. Values
//! are always bound, never written into the text.

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use sea_query::{
    Alias, Condition as Where, Expr, ExprTrait as _, Func, LockType, Order as Direction,
    PostgresQueryBuilder, Query, SelectStatement, SqliteQueryBuilder,
};
use stoa_kernel::context::Scope;
use stoa_kernel::store::Record as _;
use stoa_kernel::store::{Kind, RecordMeta, Select, StoreError, StoreErrorKind, Test, Value};

use crate::bookkeeping::IdempotencyKey;

/// The engine that SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// SQLite: reads go to the views that carry row-level security.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The prefix of the views through which SQLite is read.
pub const VIEW_PREFIX: &str = "scoped_";

/// A text with places for values, and what each place takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The SQL.
    pub sql: String,
    /// The kind of each value, in order.
    pub kinds: Vec<Kind>,
    /// The same query as one statement that sets its own scope, for PostgreSQL: two more values, the name of the setting that carries
    /// the scope, and its value. Empty for what is no query.
    pub scoped: String,
}

/// A statement that is ready to run.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The text, shared by all statements of the shape.
    pub text: Arc<Rendered>,
    /// Its values.
    pub values: Vec<Value>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Shape {
    Insert(&'static str),
    Update(&'static str),
    Delete(&'static str),
    Unchanged(&'static str),
    EndExpired,
    Select { table: &'static str, parts: Vec<u32>, tenant: bool, limit: bool, after: bool, count: bool },
}

/// Renders for one engine, and remembers.
#[derive(Debug)]
pub struct Renderer {
    engine: Engine,
    known: RwLock<FxHashMap<Shape, Arc<Rendered>>>,
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

/// A place for a value; the value itself is bound when the statement runs.
fn place() -> Expr {
    Expr::val(0i64)
}

fn column(meta: &RecordMeta, index: usize) -> Alias {
    Alias::new(meta.columns.get(index).map_or("", |column| column.name))
}

impl Renderer {
    /// A renderer for an engine.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, known: RwLock::default() }
    }

    fn text(&self, shape: Shape, render: impl FnOnce() -> Rendered) -> Arc<Rendered> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&shape) {
            return Arc::clone(known);
        }
        let rendered = Arc::new(render());
        Arc::clone(
            self.known.write().unwrap_or_else(PoisonError::into_inner).entry(shape).or_insert(rendered),
        )
    }

    /// Adds a record.
    #[must_use]
    pub fn insert(&self, meta: &'static RecordMeta) -> Arc<Rendered> {
        self.text(Shape::Insert(meta.table), || {
            let mut query = Query::insert();
            query
                .into_table(Alias::new(meta.table))
                .columns((0..meta.columns.len()).map(|index| column(meta, index)))
                .values_panic(meta.columns.iter().map(|_| place()));
            Rendered {
                sql: match self.engine {
                    Engine::Sqlite => or_fail(&query.to_owned().build(SqliteQueryBuilder).0),
                    Engine::Postgres => query.to_owned().build(PostgresQueryBuilder).0,
                },
                kinds: meta.columns.iter().map(|column| column.stored_kind()).collect(),
                scoped: String::new(),
            }
        })
    }

    /// Changes every column of the record with a key, and a version if it has one: values are those of all columns, then the key.
    #[must_use]
    pub fn update(&self, meta: &'static RecordMeta) -> Arc<Rendered> {
        self.text(Shape::Update(meta.table), || {
            let mut query = Query::update();
            query
                .table(Alias::new(meta.table))
                .values((0..meta.columns.len()).map(|index| (column(meta, index), place())));
            for index in identity(meta) {
                query.and_where(Expr::col(column(meta, index)).eq(place()));
            }
            let kinds = (0..meta.columns.len()).chain(identity(meta));
            self.write(
                meta,
                or_fail(&query.to_owned().build(SqliteQueryBuilder).0),
                || query.to_owned().build(PostgresQueryBuilder).0,
                kinds,
            )
        })
    }

    /// Removes the record with a key, and a version if it has one.
    #[must_use]
    pub fn delete(&self, meta: &'static RecordMeta) -> Arc<Rendered> {
        self.text(Shape::Delete(meta.table), || {
            let mut query = Query::delete();
            query.from_table(Alias::new(meta.table));
            for index in identity(meta) {
                query.and_where(Expr::col(column(meta, index)).eq(place()));
            }
            self.write(
                meta,
                query.to_owned().build(SqliteQueryBuilder).0,
                || query.to_owned().build(PostgresQueryBuilder).0,
                identity(meta),
            )
        })
    }

    /// Removes an idempotency record whose time is over: values are its organization, actor and key, and the time.
    #[must_use]
    pub fn end_expired(&self) -> Arc<Rendered> {
        let meta = IdempotencyKey::META;
        self.text(Shape::EndExpired, || {
            let mut query = Query::delete();
            query.from_table(Alias::new(meta.table));
            for &index in meta.key {
                query.and_where(Expr::col(column(meta, index)).eq(place()));
            }
            query.and_where(Expr::col(column(meta, IdempotencyKey::EXPIRES_AT.index)).lte(place()));
            Rendered {
                sql: match self.engine {
                    Engine::Sqlite => query.build(SqliteQueryBuilder).0,
                    Engine::Postgres => query.build(PostgresQueryBuilder).0,
                },
                kinds: kinds(meta, meta.key.iter().copied().chain([IdempotencyKey::EXPIRES_AT.index])),
                scoped: String::new(),
            }
        })
    }

    /// On PostgreSQL a write checks its own number of rows, so that nobody has to wait for it before sending the next.
    fn write(
        &self,
        meta: &RecordMeta,
        sqlite: String,
        postgres: impl FnOnce() -> String,
        columns: impl Iterator<Item = usize>,
    ) -> Rendered {
        let sql = match self.engine {
            Engine::Sqlite => sqlite,
            Engine::Postgres => format!(
                "WITH changed AS ({} RETURNING 1) SELECT stoa_expect((SELECT count(*) FROM changed), 1, 1, '{}')",
                postgres(),
                version_guard(meta)
            ),
        };
        Rendered { sql, kinds: kinds(meta, columns), scoped: String::new() }
    }

    /// Whether the record with a key still has its version. On PostgreSQL it is locked, and its absence is an error; on SQLite, where
    /// nobody else writes, the number of rows is the answer.
    #[must_use]
    pub fn unchanged(&self, meta: &'static RecordMeta) -> Arc<Rendered> {
        self.text(Shape::Unchanged(meta.table), || {
            let mut query = Query::select();
            query.expr(Expr::cust("1"));
            for index in identity(meta) {
                query.and_where(Expr::col(column(meta, index)).eq(place()));
            }
            let sql = match self.engine {
                Engine::Sqlite => {
                    query.from(Alias::new(format!("{VIEW_PREFIX}{}", meta.table)));
                    query.build(SqliteQueryBuilder).0
                }
                Engine::Postgres => {
                    query.from(Alias::new(meta.table)).lock(LockType::Share);
                    format!(
                        "SELECT stoa_expect((SELECT count(*) FROM ({}) AS found), 1, 1, '{}')",
                        query.build(PostgresQueryBuilder).0,
                        version_guard(meta)
                    )
                }
            };
            Rendered { sql, kinds: kinds(meta, identity(meta)), scoped: String::new() }
        })
    }

    /// The rows of a query, or their number.
    ///
    /// # Errors
    /// When the query is wrong in itself: the scope of an organization for records of the installation, a condition on a sealed
    /// column, more values than an `in` takes.
    pub fn select(&self, scope: Scope, select: &Select, count: bool) -> Result<Bound, StoreError> {
        let meta = select.meta;
        let tenant = match (scope, meta.tenant()) {
            (Scope::Organization(id), Some(_)) => Some(id),
            (Scope::Organization(_), None) => {
                return Err(invalid(format!(
                    "{} belongs to the installation; an organization cannot read it",
                    meta.table
                )));
            }
            (Scope::System, _) => None,
        };
        let mut values = Vec::with_capacity(select.conditions.len() + 3);
        let mut parts = Vec::with_capacity(select.conditions.len() * 2 + select.order.len() + 1);
        if let Some(id) = tenant {
            values.push(Value::Integer(id.to_i64()));
        }
        for condition in &select.conditions {
            if meta.columns.get(condition.column).is_none_or(|column| column.encrypted) {
                return Err(invalid(format!("{}: a sealed column cannot be searched", meta.table)));
            }
            let bound = bind(condition.test, &condition.values)?;
            let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            parts.extend([narrow(condition.column) << 4 | code(condition.test), narrow(bound.len())]);
            values.extend(bound);
        }
        if !count {
            parts.extend(select.order.iter().map(|order| {
                1 << 31 | u32::try_from(order.column).unwrap_or(0) << 1 | u32::from(order.descending)
            }));
            if let Some(after) = &select.after {
                values.extend(keyset_values(select, after));
            }
            if let Some(limit) = select.limit {
                values.push(Value::Integer(i64::from(limit)));
            }
        }
        let shape = Shape::Select {
            table: meta.table,
            parts,
            tenant: tenant.is_some(),
            limit: select.limit.is_some(),
            after: select.after.is_some(),
            count,
        };
        let text = self.text(shape, || self.render_select(select, tenant.is_some(), count));
        Ok(Bound { text, values })
    }

    fn render_select(&self, select: &Select, tenant: bool, count: bool) -> Rendered {
        let meta = select.meta;
        let mut query = Query::select();
        let mut used: Vec<Kind> = Vec::new();
        let kind =
            |index: usize| meta.columns.get(index).map_or(Kind::Integer, |column| column.stored_kind());
        match self.engine {
            Engine::Sqlite => query.from(Alias::new(format!("{VIEW_PREFIX}{}", meta.table))),
            Engine::Postgres => query.from(Alias::new(meta.table)),
        };
        if let (true, Some(index)) = (tenant, meta.tenant()) {
            query.and_where(Expr::col(column(meta, index)).eq(place()));
            used.push(Kind::Integer);
        }
        for condition in &select.conditions {
            let count = bind(condition.test, &condition.values).map_or(0, |bound| bound.len());
            used.extend(std::iter::repeat_n(kind(condition.column), count));
            query.and_where(render_test(meta, condition.column, condition.test, count));
        }
        if count {
            query.expr(Func::count(Expr::col(column(meta, counted(meta)))));
        } else {
            query.columns((0..meta.columns.len()).map(|index| column(meta, index)));
            if select.after.is_some() {
                query.cond_where(keyset(select));
                used.extend(keyset_columns(select).into_iter().map(kind));
            }
            for order in &select.order {
                query.order_by(
                    column(meta, order.column),
                    if order.descending { Direction::Desc } else { Direction::Asc },
                );
            }
            if select.limit.is_some() {
                query.limit(1);
                used.push(Kind::Integer);
            }
        }
        let sql = self.finish(&query);
        let scoped = match self.engine {
            Engine::Sqlite => String::new(),
            Engine::Postgres => scoped(&sql, used.len()),
        };
        Rendered { sql, kinds: used, scoped }
    }

    fn finish(&self, query: &SelectStatement) -> String {
        match self.engine {
            Engine::Sqlite => query.build(SqliteQueryBuilder).0,
            Engine::Postgres => query.build(PostgresQueryBuilder).0,
        }
    }
}

/// The column that rows are counted by. It is never null, and not the key: of a row whose key alone is read, SQLite's authorizer is
/// not told through which view.
fn counted(meta: &RecordMeta) -> usize {
    let is_fit = |index: &usize| {
        meta.columns.get(*index).is_some_and(|column| !column.nullable) && !meta.key.contains(index)
    };
    (0..meta.columns.len()).find(is_fit).unwrap_or(0)
}

/// The columns that say which row, and which state of it.
pub fn identity(meta: &RecordMeta) -> impl Iterator<Item = usize> {
    let tenant = meta.tenant().filter(|tenant| !meta.key.contains(tenant));
    tenant.into_iter().chain(meta.key.iter().copied()).chain(meta.version)
}

/// A write that leaves undoing to whoever asked for it, as every commit does when one of its writes is refused. Otherwise SQLite, for
/// the triggers that guard the scope, keeps a copy of every page that the statement touches, to undo that one statement.
fn or_fail(sql: &str) -> String {
    match sql.split_once(' ') {
        Some((verb @ ("INSERT" | "UPDATE"), rest)) => format!("{verb} OR FAIL {rest}"),
        _ => sql.to_owned(),
    }
}

/// A query that sets its own scope, before it reads anything: the filter has no column in it, so that it is evaluated once, above
/// everything else (PostgreSQL calls it a one-time filter). Were it evaluated later, nothing would be seen: the scope is empty until then.
fn scoped(sql: &str, values: usize) -> String {
    let (name, value) = (values + 1, values + 2);
    format!(
        "SELECT found.* FROM ({sql}) AS found WHERE (SELECT set_config(${name}, ${value}, true)) IS NOT NULL"
    )
}

/// The name under which a write refuses when its record is not as it was read.
#[must_use]
pub fn version_guard(meta: &RecordMeta) -> String {
    format!("{}_version", meta.table)
}

fn kinds(meta: &RecordMeta, columns: impl Iterator<Item = usize>) -> Vec<Kind> {
    columns
        .map(|index| meta.columns.get(index).map_or(Kind::Integer, |column| column.stored_kind()))
        .collect()
}

const fn code(test: Test) -> u32 {
    match test {
        Test::Equal => 0,
        Test::In => 1,
        Test::Less => 2,
        Test::AtMost => 3,
        Test::Greater => 4,
        Test::AtLeast => 5,
        Test::Prefix => 6,
        Test::Null => 7,
        Test::NotNull => 8,
    }
}

/// The most values of an `in`.
const IN_MAX: usize = 1_024;

/// The values that a test binds.
fn bind(test: Test, values: &[Value]) -> Result<Vec<Value>, StoreError> {
    match test {
        Test::In if values.len() > IN_MAX => Err(invalid(format!("`in` takes at most {IN_MAX} values"))),
        // A few lengths only, so that there are few shapes; repeating a value changes nothing.
        Test::In => {
            let filled = if values.is_empty() { 0 } else { values.len().next_power_of_two() };
            let last = values.last().cloned().unwrap_or(Value::Null);
            let mut bound = values.to_vec();
            bound.resize(filled, last);
            Ok(bound)
        }
        Test::Prefix => {
            let prefix = values.first().and_then(Value::text).unwrap_or("");
            let end = after_prefix(prefix).map(Value::Text);
            Ok([Value::Text(prefix.to_owned())].into_iter().chain(end).collect())
        }
        _ => Ok(values.to_vec()),
    }
}

/// The first text, by bytes, after all that begin with `prefix`; `None` when there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match u32::from(last) {
            0xD7FF => Some('\u{E000}'),
            code => char::from_u32(code + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn render_test(meta: &RecordMeta, index: usize, test: Test, count: usize) -> Expr {
    let column = Expr::col(column(meta, index));
    match test {
        Test::Equal => column.eq(place()),
        Test::In if count == 0 => Expr::cust("1 = 0"),
        Test::In => column.is_in(std::iter::repeat_n(0i64, count)),
        Test::Less => column.lt(place()),
        Test::AtMost => column.lte(place()),
        Test::Greater => column.gt(place()),
        Test::AtLeast => column.gte(place()),
        Test::Prefix if count == 1 => column.gte(place()),
        Test::Prefix => column.clone().gte(place()).and(column.lt(place())),
        Test::Null => column.is_null(),
        Test::NotNull => column.is_not_null(),
    }
}

/// `(a, b) > (?, ?)`, written out, since directions may differ: `a > ? OR (a = ? AND b > ?)`.
fn keyset(select: &Select) -> Where {
    let meta = select.meta;
    let mut any = Where::any();
    for (depth, order) in select.order.iter().enumerate() {
        let mut all = Where::all();
        for equal in select.order.iter().take(depth) {
            all = all.add(Expr::col(column(meta, equal.column)).eq(place()));
        }
        let own = Expr::col(column(meta, order.column));
        all = all.add(if order.descending { own.lt(place()) } else { own.gt(place()) });
        any = any.add(all);
    }
    any
}

fn keyset_values(select: &Select, after: &[Value]) -> Vec<Value> {
    (0..select.order.len()).flat_map(|depth| after.iter().take(depth + 1).cloned()).collect()
}

fn keyset_columns(select: &Select) -> Vec<usize> {
    (0..select.order.len())
        .flat_map(|depth| select.order.iter().take(depth + 1).map(|order| order.column))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bookkeeping::{HeldLease, StoredEvent};
    use stoa_kernel::clock::Micros;
    use stoa_kernel::id::OrganizationId;

    #[test]
    fn texts_after_a_prefix_begin_where_its_own_end() {
        for (prefix, end) in [
            ("a", Some("b")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{D7FF}", Some("\u{E000}")),
            ("\u{10FFFF}", None),
            ("", None),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    #[test]
    fn a_select_has_as_many_places_as_values_on_both_engines() {
        let select = StoredEvent::select()
            .eq(StoredEvent::KIND, &"a".to_owned())
            .prefix(StoredEvent::STREAM, "b")
            .is_in(StoredEvent::EPOCH, &[1, 2, 3])
            .ge(StoredEvent::TIME, &Micros(5))
            .descending(StoredEvent::TIME)
            .limit(3);
        let mut select = select.build();
        select.after = Some(vec![Value::Integer(1), Value::Integer(2)]);
        let scope = Scope::Organization(OrganizationId::from_raw(7).unwrap());
        for engine in [Engine::Sqlite, Engine::Postgres] {
            let bound = Renderer::new(engine).select(scope, &select, false).unwrap();
            let places = bound.text.sql.matches(if engine == Engine::Sqlite { '?' } else { '$' }).count();
            assert_eq!(
                (places, bound.text.kinds.len()),
                (bound.values.len(), bound.values.len()),
                "{}",
                bound.text.sql
            );
        }
    }

    #[test]
    fn an_organization_cannot_ask_for_what_belongs_to_the_installation() {
        let scope = Scope::Organization(OrganizationId::from_raw(7).unwrap());
        let refused = Renderer::new(Engine::Sqlite).select(scope, &HeldLease::select().build(), false);
        assert_eq!(refused.unwrap_err().kind, StoreErrorKind::Invalid);
    }
}
