//! Data keys: made when an organization first seals something, loaded when they are needed, changed without a pause. The steps are the
//! same on every engine; an engine only reads and executes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use stoa_kernel::clock::Clock;
use stoa_kernel::store::{
    Condition, Kind, Order, Query, Record as _, RecordMeta, Resealed, Select, StoreError, Test, Value,
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

/// One data key for each master key that wraps any: what [`check`] is given.
pub const ONE_OF_EACH: &str = "SELECT k.organization_id, k.version, k.master, k.wrapped FROM organization_keys k JOIN \
     (SELECT master, min(organization_id) AS organization_id FROM organization_keys GROUP BY master) first \
     ON first.master = k.master AND first.organization_id = k.organization_id";

/// A key of an organization that was never made, or is no more, is kept for a day, in microseconds: its commit may be under way.
pub const ORPHAN_US: i64 = 86_400_000_000;

/// Removes keys of organizations that there are not, made before the first value, and those of organizations that were purged; at most
/// as many as the second.
pub const END_ORPHANS: &str = "DELETE FROM organization_keys WHERE (organization_id, version) IN \
     (SELECT k.organization_id, k.version FROM organization_keys k WHERE k.organization_id <> 0 AND \
      (k.created_at <= $1 AND NOT EXISTS (SELECT 1 FROM organizations o WHERE o.id = k.organization_id) \
       OR EXISTS (SELECT 1 FROM organizations o WHERE o.id = k.organization_id AND o.state = 'purged')) LIMIT $2)";

/// Tries whether data keys open.
///
/// # Errors
/// When one does not: its master key is not configured, or is another one.
pub fn check(vault: &Vault, keys: &[(i64, i64, Wrapped)]) -> Result<(), StoreError> {
    keys.iter().try_for_each(|(organization, version, wrapped)| vault.opens(*organization, *version, wrapped))
}

async fn keys<T: KeyTable>(
    table: &T,
    query: Query<OrganizationKey>,
) -> Result<Vec<OrganizationKey>, StoreError> {
    let rows = table.sealed(query.build()).await?;
    Ok(rows.into_iter().map(OrganizationKey::from_values).collect::<Result<_, _>>()?)
}

/// Gives every organization that has a data key a new one; how many.
///
/// # Errors
/// As [`ensure`].
pub async fn rotate<T: KeyTable>(table: &T) -> Result<u32, StoreError> {
    let mut newest = BTreeMap::new();
    for key in keys(table, OrganizationKey::select()).await? {
        let version = newest.entry(key.organization_id).or_insert(0);
        *version = key.version.max(*version);
    }
    let count = u32::try_from(newest.len()).unwrap_or(u32::MAX);
    for (organization, version) in newest {
        add(table, organization, version + 1).await?;
        if let Err(error) = load(table, organization).await {
            tracing::error!(%error, "an older data key does not open; the new one is stored");
        }
    }
    Ok(count)
}

/// How far sealing anew has come. It is kept in memory: whoever begins again looks at everything once.
#[derive(Debug, Default)]
pub struct Progress {
    /// Every data key is wrapped by the current master key.
    is_rewrapped: bool,
    /// For an organization and a table: the key that all of it is sealed by, or how far it is.
    tables: HashMap<(i64, &'static str), (i64, Place)>,
}

#[derive(Debug, Clone)]
enum Place {
    After(Option<Vec<Value>>),
    End,
}

/// A process may seal by the key before for this long after a rotation; a table that was gone through earlier is gone through again.
const SETTLED_US: i64 = 2 * crate::seal::FRESH_US;

/// Wraps data keys by the current master key, then seals values anew, of organizations that have had more than one data key: up to
/// `limit` of both. What does not open stays as it is, and is counted.
///
/// # Errors
/// As [`ensure`].
pub async fn reseal<T: KeyTable>(
    table: &T,
    progress: &Mutex<Progress>,
    limit: u32,
) -> Result<Resealed, StoreError> {
    let mut done = Resealed::default();
    let known = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    let is_rewrapped = known().is_rewrapped;
    if !is_rewrapped {
        rewrap_all(table, limit, &mut done).await?;
        if done.more {
            return Ok(done);
        }
        known().is_rewrapped = true;
    }
    let mut newest = BTreeMap::new();
    for key in keys(table, OrganizationKey::select().gt(OrganizationKey::VERSION, &1)).await? {
        let entry = newest.entry(key.organization_id).or_insert((key.version, key.created_at));
        *entry = (*entry).max((key.version, key.created_at));
    }
    for (organization, (version, made)) in newest {
        let mut is_loaded = false;
        let is_settled = table.clock().now().since(made) >= SETTLED_US;
        for meta in table.registry().iter().filter(|meta| meta.has_sealed()) {
            let at = (organization, meta.table);
            let place =
                known().tables.get(&at).filter(|(of, _)| *of == version).map(|(_, place)| place.clone());
            let after = match place {
                Some(Place::End) => continue,
                Some(Place::After(after)) => after,
                None => None,
            };
            if !is_loaded && let Err(error) = load(table, organization).await {
                tracing::error!(%error, "its sealed values were left as they are");
                done.unopened += 1;
                break;
            }
            is_loaded = true;
            let after = reseal_rows(table, meta, organization, after, limit, &mut done).await?;
            let place = match after {
                Some(after) => Place::After(Some(after)),
                None if is_settled => Place::End,
                None => Place::After(None),
            };
            known().tables.insert(at, (version, place));
            if done.more {
                return Ok(done);
            }
        }
    }
    Ok(done)
}

async fn rewrap_all<T: KeyTable>(table: &T, limit: u32, done: &mut Resealed) -> Result<(), StoreError> {
    for key in keys(table, OrganizationKey::select()).await? {
        let stored = Wrapped { master: key.master, bytes: key.wrapped };
        match table.vault().rewrap(key.organization_id, key.version, &stored) {
            Ok(None) => {}
            Ok(Some(_)) if done.resealed >= limit => {
                done.more = true;
                return Ok(());
            }
            Ok(Some(fresh)) => {
                rewrap(table, key.organization_id, key.version, &stored, fresh).await?;
                done.resealed += 1;
            }
            Err(error) => {
                tracing::error!(%error, "a data key was left as it is");
                done.unopened += 1;
            }
        }
    }
    Ok(())
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

/// Seals the rows of an organization anew, from a place on; where to go on when there are more than `limit`.
async fn reseal_rows<T: KeyTable>(
    table: &T,
    meta: &'static RecordMeta,
    organization: i64,
    after: Option<Vec<Value>>,
    limit: u32,
    done: &mut Resealed,
) -> Result<Option<Vec<Value>>, StoreError> {
    let conditions = match meta.tenant() {
        Some(column) => {
            vec![Condition { column, test: Test::Equal, values: vec![Value::Integer(organization)] }]
        }
        // What belongs to the installation is sealed by its key, which is that of organization 0.
        None if organization == 0 => Vec::new(),
        None => return Ok(None),
    };
    let order = meta.key.iter().map(|&column| Order { column, descending: false }).collect();
    let mut select = Select { meta, conditions, order, limit: Some(PAGE), after };
    loop {
        let rows = table.sealed(select.clone()).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        for sealed in rows {
            let place = select.place(&sealed);
            if table.vault().is_stale(meta, &sealed) {
                if done.resealed >= limit {
                    done.more = true;
                    return Ok(select.after);
                }
                let mut fresh = sealed.clone();
                match table.vault().open_row(meta, &mut fresh) {
                    Ok(()) => {
                        table.vault().seal_row(meta, &mut fresh)?;
                        swap(table, meta, &sealed, &fresh).await?;
                        done.resealed += 1;
                    }
                    Err(error) => {
                        tracing::error!(table = meta.table, %error, "a sealed value was left as it is");
                        done.unopened += 1;
                    }
                }
            }
            select.after = Some(place);
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
    // What identifies the row is never null, and found by its index.
    let test = |index: usize| if is_sealed(&index) { "IS NOT DISTINCT FROM" } else { "=" };
    let condition = |(number, &index): (usize, &usize)| {
        format!("\"{}\" {} {}", name(index), test(index), place(T::ENGINE, number))
    };
    let conditions: Vec<String> = (columns.len() + 1..).zip(&same).map(condition).collect();
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
