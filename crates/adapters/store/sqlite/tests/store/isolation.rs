//! Whoever writes SQL by hand sees and changes nothing of another organization; and the catalog is what the records say.

use rusqlite::Connection;
use stoa_conformance::{Specimen, everything};
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{OrganizationId, RequestId};
use stoa_kernel::store::{Commit, Json, Kind, Record as _, Store as _, StoreErrorKind, Value};
use stoa_store::Registry;
use stoa_store_sqlite::SqliteStore;

fn context(organization: u64) -> Context {
    Context {
        scope: Scope::Organization(OrganizationId::from_raw(organization).unwrap()),
        actor: Actor::System,
        request: RequestId::from_raw(1).unwrap(),
        trace: None,
        deadline: None,
    }
}

async fn two_organizations() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(crate::setup::options(folder.path())).unwrap();
    for organization in [7, 8] {
        let specimen = Specimen {
            id: stoa_kernel::id::Id::from_raw(organization * 100).unwrap(),
            organization_id: organization.cast_signed(),
            code: "a".to_owned(),
            number: 1,
            flag: true,
            note: None,
            bytes: None,
            document: Json(serde_json::json!({})),
            seen: None,
            person: None,
            secret: None,
            version: 1,
        };
        store.commit(&context(organization), Commit::new().insert(&specimen)).await.unwrap();
    }
    (store, folder)
}

#[tokio::test]
async fn a_raw_probe_sees_its_own_rows_alone() {
    let (store, _folder) = two_organizations().await;
    let count = |scope, sql: &str| store.probe(scope, sql).map(|rows| rows[0][0].clone());
    for meta in Registry::with(&[Specimen::META]).iter().filter(|meta| meta.tenant().is_some()) {
        let column = meta.columns[meta.tenant().unwrap()].name;
        let last = meta.columns[meta.columns.len() - 1].name;
        let foreign =
            format!("SELECT count(*) FROM scoped_{} WHERE {column} <> 7 AND {last} IS NOT NULL", meta.table);
        assert_eq!(count(context(7).scope, &foreign), Ok(Value::Integer(0)), "{}", meta.table);
    }
    let all = "SELECT count(code) FROM scoped_specimens";
    assert_eq!(count(context(7).scope, all), Ok(Value::Integer(1)));
    assert_eq!(count(Scope::System, all), Ok(Value::Integer(2)));
    assert_eq!(count(context(9).scope, all), Ok(Value::Integer(0)));
    assert_eq!(count(context(7).scope, "SELECT count(name) FROM scoped_leases"), Ok(Value::Integer(0)));
}

#[tokio::test]
async fn a_reader_cannot_touch_a_base_table_the_schema_or_another_file() {
    let (store, _folder) = two_organizations().await;
    for sql in [
        "SELECT count(*) FROM specimens",
        "SELECT number FROM main.specimens",
        "SELECT 1 FROM specimens",
        "SELECT (SELECT count(*) FROM specimens) FROM scoped_specimens",
        "SELECT s.number FROM scoped_specimens s JOIN specimens b ON 1",
        "WITH x AS (SELECT * FROM specimens) SELECT number FROM x",
        "WITH scoped_z AS (SELECT number FROM main.specimens) SELECT number FROM scoped_z",
        "SELECT number FROM (WITH scoped_z AS (SELECT number FROM main.specimens) SELECT number FROM scoped_z)",
        "SELECT sql FROM sqlite_master",
        "SELECT sql FROM temp.sqlite_master",
        "INSERT INTO specimens SELECT * FROM scoped_specimens",
        "UPDATE specimens SET number = 2",
        "DELETE FROM specimens",
        "CREATE TEMP VIEW v AS SELECT * FROM main.specimens",
        "DROP VIEW scoped_specimens",
        "PRAGMA query_only = OFF",
        "PRAGMA table_info(specimens)",
        "ATTACH 'other.db' AS other",
        "SELECT load_extension('x')",
    ] {
        let refused = store.probe(context(7).scope, sql).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Invalid, "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_writer_cannot_touch_the_rows_of_another_organization() {
    let (store, _folder) = two_organizations().await;
    for sql in [
        "UPDATE specimens SET number = 2",
        "UPDATE specimens SET number = 2 WHERE organization_id = 8",
        "UPDATE specimens SET organization_id = 8 WHERE organization_id = 7",
        "DELETE FROM specimens",
        "DELETE FROM audit_entries WHERE organization_id = 8",
        "INSERT INTO streams VALUES (8, 's', 1, 1)",
        "INSERT INTO leases VALUES ('l', 'h', 1, 1)",
        "CREATE TABLE t (a)",
        "DROP TRIGGER scope_UPDATE_specimens",
        "PRAGMA foreign_keys = OFF",
    ] {
        let refused = store.probe_write(context(7).scope, sql).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Invalid, "{sql}: {refused}");
    }
    assert_eq!(
        store
            .probe_write(context(7).scope, "UPDATE specimens SET number = 2 WHERE organization_id = 7")
            .await,
        Ok(1)
    );
    let untouched =
        store.probe(Scope::System, "SELECT number FROM scoped_specimens WHERE organization_id = 8").unwrap();
    assert_eq!(untouched, [[Value::Integer(1)]]);
}

#[tokio::test]
async fn the_catalog_is_what_the_records_say() {
    let (store, folder) = two_organizations().await;
    drop(store);
    let connection = Connection::open(folder.path().join("stoa.db")).unwrap();
    let mut tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let records = everything();
    let registry = Registry::with(&records);
    let mut described: Vec<String> = registry.iter().map(|meta| meta.table.to_owned()).collect();
    described.sort();
    tables.sort();
    assert_eq!(tables, described);
    for meta in registry.iter() {
        let found: Vec<(String, String, bool, i64)> = connection
            .prepare(&format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{}')", meta.table))
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let expected: Vec<(String, String, bool, i64)> = meta
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let kind = match column.stored_kind() {
                    Kind::Integer | Kind::Boolean => "INTEGER",
                    Kind::Text | Kind::Json => "TEXT",
                    Kind::Bytes => "BLOB",
                };
                let place = meta.key.iter().position(|&key| key == index).map_or(0, |place| place + 1);
                (column.name.to_owned(), kind.to_owned(), !column.nullable, i64::try_from(place).unwrap())
            })
            .collect();
        assert_eq!(found, expected, "{}", meta.table);
    }
}
