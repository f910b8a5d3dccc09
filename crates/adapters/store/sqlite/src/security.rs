//! Row-level security on SQLite, which has none of its own.
//!
//! - Tenant tables are read through temporary views `scoped_…`, which filter by two functions of the connection that carry the scope.
//! - The **authorizer** refuses every statement of a reader that touches a base table otherwise. It runs when a statement is prepared,
//!   so it costs nothing when it runs.
//! - On the writer, temporary triggers refuse rows of another organization, whatever the statement says.
//!
//! Views and triggers are made from the descriptions of records when a connection is opened, so a new table cannot be forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};
use stoa_kernel::context::Scope;
use stoa_kernel::store::{RecordMeta, Tenancy};
use stoa_store::Registry;
use stoa_store::render::VIEW_PREFIX;

const NOBODY: i64 = -1;
const SYSTEM: i64 = -2;

/// The scope of a connection.
#[derive(Debug, Clone)]
pub(crate) struct ScopeCell(Arc<AtomicI64>);

impl ScopeCell {
    pub(crate) fn set(&self, scope: Scope) {
        let number = match scope {
            Scope::Organization(id) => id.to_i64(),
            Scope::System => SYSTEM,
        };
        self.0.store(number, Ordering::Relaxed);
    }

    /// Nobody's: nothing can be seen until the next scope is set.
    pub(crate) fn clear(&self) {
        self.0.store(NOBODY, Ordering::Relaxed);
    }
}

/// Gives a connection the functions that its views and triggers ask.
pub(crate) fn install_scope(connection: &Connection) -> Result<ScopeCell> {
    let cell = ScopeCell(Arc::new(AtomicI64::new(NOBODY)));
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let shared = Arc::clone(&cell.0);
    connection
        .create_scalar_function("stoa_organization", 0, flags, move |_| Ok(shared.load(Ordering::Relaxed)))?;
    let shared = Arc::clone(&cell.0);
    connection.create_scalar_function("stoa_system", 0, flags, move |_| {
        Ok(shared.load(Ordering::Relaxed) == SYSTEM)
    })?;
    Ok(cell)
}

fn tenant_column(meta: &RecordMeta) -> Option<&'static str> {
    meta.tenant().and_then(|index| meta.columns.get(index)).map(|column| column.name)
}

/// Makes the view of every record: of all rows of the scope for tenant tables, of the system's alone for the others.
pub(crate) fn install_views(connection: &Connection, registry: &Registry) -> Result<()> {
    for meta in registry.iter() {
        let table = meta.table;
        let condition = match meta.tenancy {
            Tenancy::Organization(_) => format!(
                "stoa_system() OR \"{}\" = stoa_organization()",
                tenant_column(meta).unwrap_or_default()
            ),
            Tenancy::System => "stoa_system()".to_owned(),
        };
        let columns: Vec<String> = meta.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        connection.execute_batch(&format!(
            "CREATE TEMP VIEW {VIEW_PREFIX}{table} AS SELECT {} FROM main.\"{table}\" WHERE {condition}",
            columns.join(", ")
        ))?;
    }
    Ok(())
}

/// Makes the triggers that refuse to write another organization's rows.
pub(crate) fn install_triggers(connection: &Connection, registry: &Registry) -> Result<()> {
    for meta in registry.iter() {
        let table = meta.table;
        let outside = |row: &str| {
            tenant_column(meta).map_or_else(
                || "NOT stoa_system()".to_owned(),
                |column| format!("NOT (stoa_system() OR {row}.\"{column}\" = stoa_organization())"),
            )
        };
        for (operation, condition) in [
            ("INSERT", outside("NEW")),
            ("UPDATE", format!("{} OR {}", outside("OLD"), outside("NEW"))),
            ("DELETE", outside("OLD")),
        ] {
            connection.execute_batch(&format!(
                "CREATE TEMP TRIGGER scope_{operation}_{table} BEFORE {operation} ON main.\"{table}\" WHEN {condition} \
                 BEGIN SELECT RAISE(FAIL, 'outside the scope'); END"
            ))?;
        }
    }
    Ok(())
}

/// Refuses everything but reading through the views.
pub(crate) fn authorize_reader(connection: &mut Connection) -> Result<()> {
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        AuthAction::Read { table_name, .. } => {
            let through = context.accessor.unwrap_or(table_name);
            if through.starts_with(VIEW_PREFIX) { Authorization::Allow } else { Authorization::Deny }
        }
        // Readers see one state of the database in several statements.
        AuthAction::Transaction { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }))
}

/// Lets the writer write rows, and nothing else: no schema, no pragma, no other file.
pub(crate) fn authorize_writer(connection: &mut Connection) -> Result<()> {
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select
        | AuthAction::Recursive
        | AuthAction::Read { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        AuthAction::Pragma { pragma_name: "wal_checkpoint", .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }))
}
