//! Whoever writes SQL by hand sees and changes nothing of another organization; and the catalog is what the records say.

use std::fmt::Write as _;

use stoa_conformance::everything;
use stoa_kernel::store::Kind;
use stoa_store::Registry;

fn registry() -> Registry {
    Registry::with(&everything())
}

/// Runs SQL as the role that runs the platform.
fn as_runtime(database: &stoa_harness::Database, sql: &str) -> Result<String, String> {
    database.try_sql_as("stoa", sql)
}

#[test]
fn a_raw_probe_sees_and_changes_its_own_rows_alone() {
    let database = crate::setup::database();
    let row = |organization: i64| {
        format!(
            "INSERT INTO specimens VALUES ({organization}00, {organization}, 'a', 1, true, NULL, NULL, '{{}}', NULL, NULL, NULL, 1);"
        )
    };
    database.sql(&format!("{}{}", row(7), row(8)));
    let within = |scope: &str, sql: &str| as_runtime(&database, &format!("BEGIN; {scope} {sql}; COMMIT"));
    let (none, seven, system) = ("", "SET LOCAL stoa.organization = '7';", "SET LOCAL stoa.system = 'on';");
    let count = "SELECT count(*) FROM specimens";
    for (scope, expected) in
        [(none, "0"), (seven, "1"), (system, "2"), ("SET LOCAL stoa.organization = '';", "0")]
    {
        assert_eq!(within(scope, count).as_deref(), Ok(expected), "{scope}");
    }
    for meta in registry().iter().filter(|meta| meta.tenant().is_some()) {
        assert_eq!(
            within(none, &format!("SELECT count(*) FROM {}", meta.table)).as_deref(),
            Ok("0"),
            "{}",
            meta.table
        );
    }
    within(seven, "UPDATE specimens SET number = 2; DELETE FROM specimens WHERE organization_id = 8")
        .unwrap();
    assert_eq!(
        within(system, "SELECT string_agg(number::text, ',' ORDER BY id) FROM specimens").as_deref(),
        Ok("2,1")
    );
    for sql in [row(9), "UPDATE specimens SET organization_id = 8".to_owned()] {
        let refused = within(seven, sql.trim_end_matches(';')).unwrap_err();
        assert!(refused.contains("row-level security"), "{refused}");
    }
    for sql in [
        "ALTER TABLE specimens DISABLE ROW LEVEL SECURITY",
        "DROP POLICY scope ON specimens",
        "DROP TABLE specimens",
        "CREATE TABLE t (a int)",
        "UPDATE schema_migrations SET checksum = ''",
        "SET ROLE stoa_owner",
        "TRUNCATE specimens",
    ] {
        assert!(within(system, sql).is_err(), "{sql}");
    }
}

#[test]
fn every_tenant_table_is_protected_and_the_catalog_is_what_the_records_say() {
    let database = crate::setup::database();
    let tables = database.sql(
        "SELECT string_agg(relname, ',' ORDER BY relname COLLATE \"C\") FROM pg_class WHERE relkind IN ('r', 'p') \
         AND relnamespace = 'public'::regnamespace AND relname <> 'schema_migrations'",
    );
    let mut described: Vec<&str> = registry().iter().map(|meta| meta.table).collect();
    described.sort_unstable();
    assert_eq!(tables, described.join(","));
    for meta in registry().iter() {
        let protection = database.sql(&format!(
            "SELECT relrowsecurity, relforcerowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid AND polqual IS NOT NULL \
             AND polwithcheck IS NOT NULL) FROM pg_class c WHERE relname = '{}'",
            meta.table
        ));
        assert_eq!(protection, if meta.tenant().is_some() { "t|t|1" } else { "f|f|0" }, "{}", meta.table);
        let found = database.sql(&format!(
            "SELECT string_agg(column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(collation_name, ''), ',' ORDER BY ordinal_position) \
             FROM information_schema.columns WHERE table_name = '{}'",
            meta.table
        ));
        let mut expected = String::new();
        for column in meta.columns {
            let (kind, collation) = match column.stored_kind() {
                Kind::Integer => ("bigint", ""),
                Kind::Boolean => ("boolean", ""),
                Kind::Text => ("text", "C"),
                Kind::Bytes => ("bytea", ""),
                Kind::Json => ("json", ""),
            };
            let nullable = if column.nullable { "YES" } else { "NO" };
            let comma = if expected.is_empty() { "" } else { "," };
            let _ = write!(expected, "{comma}{} {kind} {nullable} {collation}", column.name);
        }
        assert_eq!(found, expected.trim_end(), "{}", meta.table);
        let keys = database.sql(&format!(
            "SELECT string_agg(a.attname, ',' ORDER BY k.place) FROM pg_constraint c, unnest(c.conkey) WITH ORDINALITY AS k(number, place), \
             pg_attribute a WHERE c.conrelid = '{0}'::regclass AND c.contype = 'p' AND a.attrelid = c.conrelid AND a.attnum = k.number",
            meta.table
        ));
        let expected: Vec<&str> =
            meta.key.iter().filter_map(|&index| meta.columns.get(index)).map(|column| column.name).collect();
        assert_eq!(keys, expected.join(","), "{}", meta.table);
        for unique in meta.unique {
            let there = database.sql(&format!(
                "SELECT count(*) FROM pg_index WHERE indexrelid = '{}'::regclass AND indisunique",
                unique.name
            ));
            assert_eq!(there, "1", "{}", unique.name);
        }
    }
}
