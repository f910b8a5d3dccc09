//! Data keys: made when an organization first seals something, loaded when they are needed, changed without a pause. The steps are the
//! same on every engine; an engine only reads and executes.

use stoa_kernel::clock::Clock;
use stoa_kernel::store::{
    Condition, Kind, Order, Record as _, RecordMeta, Resealed, Select, StoreError, Test, Value,
};

use crate::Registry;
use crate::bookkeeping::OrganizationKey;
use crate::render::{Engine, identity};
use crate::seal::{Vault, Wrapped};

/// Rows that are read at once while values are sealed anew.
const PAGE: u32 = 500;

/// What an engine does for its keys, all of it in the scope of the installation.
pub trait KeyTable: Sync {
    /// Which engine it is.
    const ENGINE: Engine;

    /// What seals.
    fn vault(&self) -> &Vault;
    /// What dates.
    fn clock(&self) -> &dyn Clock;
    /// What is stored.
    fn registry(&self) -> &Registry;

    /// Rows as they are stored.
    fn sealed(&self, select: Select) -> impl Future<Output = Result<Vec<Vec<Value>>, StoreError>> + Send;

    /// One statement with values; how it ended is all that matters.
    fn execute(
        &self,
        sql: String,
        values: Vec<Value>,
        kinds: Vec<Kind>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

fn place(engine: Engine, number: usize) -> String {
    match engine {
        Engine::Sqlite => format!("?{number}"),
        Engine::Postgres => format!("${number}"),
    }
}

/// Makes sure that values of an organization can be sealed.
///
/// # Errors
/// Those of the store, or when a stored key does not open.
pub async fn ensure<T: KeyTable>(table: &T, organization: i64) -> Result<(), StoreError> {
    if table.vault().can_seal(organization, table.clock().steady()) {
        return Ok(());
    }
    if load(table, organization).await? == 0 {
        add(table, organization, 1).await?;
        // Another caller, or another process, may have been first; what is stored counts.
        load(table, organization).await?;
    }
    Ok(())
}

/// Takes the keys of an organization as they are stored, no more and no less; how many there are.
///
/// # Errors
/// As [`ensure`].
pub async fn load<T: KeyTable>(table: &T, organization: i64) -> Result<usize, StoreError> {
    let now = table.clock().steady();
    let select = OrganizationKey::select().eq(OrganizationKey::ORGANIZATION_ID, &organization).build();
    let mut keys = Vec::new();
    for row in table.sealed(select).await? {
        let key = OrganizationKey::from_values(row)?;
        keys.push((key.version, Wrapped { master: key.master, bytes: key.wrapped }));
    }
    table.vault().learn(organization, &keys, now)?;
    Ok(keys.len())
}

async fn add<T: KeyTable>(table: &T, organization: i64, version: i64) -> Result<(), StoreError> {
    let Wrapped { master, bytes } = table.vault().new_data_key(organization, version)?;
    let places: Vec<String> = (1..=5).map(|number| place(T::ENGINE, number)).collect();
    let sql = format!(
        "INSERT INTO organization_keys (organization_id, version, master, wrapped, created_at) VALUES ({}) ON CONFLICT DO NOTHING",
        places.join(", ")
    );
    let values = vec![
        Value::Integer(organization),
        Value::Integer(version),
        Value::Text(master),
        Value::Bytes(bytes),
        Value::Integer(table.clock().now().0),
    ];
    let kinds = vec![Kind::Integer, Kind::Integer, Kind::Text, Kind::Bytes, Kind::Integer];
    table.execute(sql, values, kinds).await
}

async fn all<T: KeyTable>(table: &T) -> Result<Vec<OrganizationKey>, StoreError> {
    let rows = table.sealed(OrganizationKey::select().build()).await?;
    Ok(rows.into_iter().map(OrganizationKey::from_values).collect::<Result<_, _>>()?)
}

/// Gives every organization that has a data key a new one; how many.
///
/// # Errors
/// As [`ensure`].
pub async fn rotate<T: KeyTable>(table: &T) -> Result<u32, StoreError> {
    let mut newest = std::collections::BTreeMap::new();
    for key in all(table).await? {
        let version = newest.entry(key.organization_id).or_insert(0);
        *version = key.version.max(*version);
    }
    let count = u32::try_from(newest.len()).unwrap_or(u32::MAX);
    for (organization, version) in newest {
        add(table, organization, version + 1).await?;
        load(table, organization).await?;
    }
    Ok(count)
}

/// Wraps up to `limit` data keys by the current master key, then seals up to `limit` values anew, of organizations that have had more
/// than one data key. What does not open stays as it is, and is counted.
///
/// # Errors
/// As [`ensure`].
pub async fn reseal<T: KeyTable>(table: &T, limit: u32) -> Result<Resealed, StoreError> {
    let mut done = Resealed::default();
    let keys = all(table).await?;
    let mut versions = std::collections::BTreeMap::new();
    for key in keys {
        *versions.entry(key.organization_id).or_insert(0) += 1;
        let stored = Wrapped { master: key.master, bytes: key.wrapped };
        match table.vault().rewrap(key.organization_id, key.version, &stored) {
            Ok(None) => {}
            Ok(Some(_)) if done.resealed >= limit => return Ok(Resealed { more: true, ..done }),
            Ok(Some(fresh)) => {
                rewrap(table, key.organization_id, key.version, &stored, fresh).await?;
                done.resealed += 1;
            }
            Err(error) => {
                tracing::error!(organization = key.organization_id, %error, "a data key was left as it is");
                done.unopened += 1;
            }
        }
    }
    for (organization, _) in versions.into_iter().filter(|(_, count)| *count > 1) {
        load(table, organization).await?;
        for meta in table.registry().iter().filter(|meta| meta.has_sealed()) {
            reseal_rows(table, meta, organization, limit, &mut done).await?;
            if done.more {
                return Ok(done);
            }
        }
    }
    Ok(done)
}

async fn rewrap<T: KeyTable>(
    table: &T,
    organization: i64,
    version: i64,
    stored: &Wrapped,
    fresh: Wrapped,
) -> Result<(), StoreError> {
    let at = |number| place(T::ENGINE, number);
    let sql = format!(
        "UPDATE organization_keys SET master = {}, wrapped = {} WHERE organization_id = {} AND version = {} AND master = {}",
        at(1),
        at(2),
        at(3),
        at(4),
        at(5)
    );
    let values = vec![
        Value::Text(fresh.master),
        Value::Bytes(fresh.bytes),
        Value::Integer(organization),
        Value::Integer(version),
        Value::Text(stored.master.clone()),
    ];
    let kinds = vec![Kind::Text, Kind::Bytes, Kind::Integer, Kind::Integer, Kind::Text];
    table.execute(sql, values, kinds).await
}

async fn reseal_rows<T: KeyTable>(
    table: &T,
    meta: &'static RecordMeta,
    organization: i64,
    limit: u32,
    done: &mut Resealed,
) -> Result<(), StoreError> {
    let conditions = match meta.tenant() {
        Some(column) => {
            vec![Condition { column, test: Test::Equal, values: vec![Value::Integer(organization)] }]
        }
        // What belongs to the installation is sealed by its key, which is that of organization 0.
        None if organization == 0 => Vec::new(),
        None => return Ok(()),
    };
    let order = meta.key.iter().map(|&column| Order { column, descending: false }).collect();
    let mut select = Select { meta, conditions, order, limit: Some(PAGE), after: None };
    loop {
        let rows = table.sealed(select.clone()).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        select.after = Some(select.place(last));
        for sealed in rows {
            if !table.vault().is_stale(meta, &sealed) {
                continue;
            }
            if done.resealed >= limit {
                done.more = true;
                return Ok(());
            }
            let mut fresh = sealed.clone();
            let opened = table.vault().open_row(meta, &mut fresh);
            if let Err(error) = opened {
                tracing::error!(table = meta.table, organization, %error, "a sealed value was left as it is");
                done.unopened += 1;
                continue;
            }
            table.vault().seal_row(meta, &mut fresh)?;
            swap(table, meta, &sealed, &fresh).await?;
            done.resealed += 1;
        }
    }
}

/// Puts the freshly sealed values in place, only if they are still those that were read: whoever changed them has sealed them by the
/// newest key.
async fn swap<T: KeyTable>(
    table: &T,
    meta: &'static RecordMeta,
    sealed: &[Value],
    fresh: &[Value],
) -> Result<(), StoreError> {
    let is_sealed = |index: &usize| meta.columns.get(*index).is_some_and(|column| column.encrypted);
    let columns: Vec<usize> = (0..meta.columns.len()).filter(is_sealed).collect();
    let same: Vec<usize> = identity(meta).chain(columns.iter().copied()).collect();
    let name = |index: usize| meta.columns.get(index).map_or("", |column| column.name);
    let set: Vec<String> = (1..)
        .zip(&columns)
        .map(|(number, &index)| format!("\"{}\" = {}", name(index), place(T::ENGINE, number)))
        .collect();
    let conditions: Vec<String> = (columns.len() + 1..)
        .zip(&same)
        .map(|(number, &index)| {
            format!("\"{}\" IS NOT DISTINCT FROM {}", name(index), place(T::ENGINE, number))
        })
        .collect();
    let sql = format!("UPDATE \"{}\" SET {} WHERE {}", meta.table, set.join(", "), conditions.join(" AND "));
    let pick = |row: &[Value], indexes: &[usize]| -> Vec<Value> {
        indexes.iter().map(|&index| row.get(index).cloned().unwrap_or(Value::Null)).collect()
    };
    let values = [pick(fresh, &columns), pick(sealed, &same)].concat();
    let kinds = columns
        .iter()
        .chain(&same)
        .map(|&index| meta.columns.get(index).map_or(Kind::Integer, |column| column.stored_kind()))
        .collect();
    table.execute(sql, values, kinds).await
}
