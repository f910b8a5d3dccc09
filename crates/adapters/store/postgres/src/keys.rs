//! Data keys: made when an organization first seals something, loaded when they are needed, and changed without a pause.

use stoa_kernel::context::Scope;
use stoa_kernel::store::{BoxFuture, Keyring, Kind, Record as _, RecordMeta, Select, StoreError, Value};
use stoa_store::bookkeeping::OrganizationKey;
use stoa_store::render::identity;
use stoa_store::seal::Wrapped;

use crate::pipeline::Sent;
use crate::store::PostgresStore;

impl PostgresStore {
    /// Makes sure that values of the organization can be sealed.
    pub(crate) async fn ensure_data_key(&self, organization: i64) -> Result<(), StoreError> {
        if self.vault.can_seal(organization) {
            return Ok(());
        }
        self.load_data_keys(organization).await?;
        if !self.vault.can_seal(organization) {
            self.add_data_key(organization, 1).await?;
            // Another process may have been first; what is stored counts.
            self.load_data_keys(organization).await?;
        }
        Ok(())
    }

    async fn add_data_key(&self, organization: i64, version: i64) -> Result<(), StoreError> {
        let Wrapped { master, bytes } = self.vault.new_data_key(organization, version)?;
        let values = [
            Value::Integer(organization),
            Value::Integer(version),
            Value::Text(master),
            Value::Bytes(bytes),
            Value::Integer(self.clock.now().0),
        ];
        let sql = "INSERT INTO organization_keys (organization_id, version, master, wrapped, created_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let kinds = [Kind::Integer, Kind::Integer, Kind::Text, Kind::Bytes, Kind::Integer];
        self.within(Scope::System, None, Sent { sql, values: &values, kinds: &kinds }).await.map(|_| ())
    }

    pub(crate) async fn load_data_keys(&self, organization: i64) -> Result<(), StoreError> {
        let select = OrganizationKey::select().eq(OrganizationKey::ORGANIZATION_ID, &organization).build();
        for row in self.sealed_rows(Scope::System, None, &select).await? {
            let key = OrganizationKey::from_values(row)?;
            self.vault.learn(
                organization,
                key.version,
                &Wrapped { master: key.master, bytes: key.wrapped },
            )?;
        }
        Ok(())
    }

    async fn all_keys(&self) -> Result<Vec<OrganizationKey>, StoreError> {
        let rows = self.sealed_rows(Scope::System, None, &OrganizationKey::select().build()).await?;
        Ok(rows.into_iter().map(OrganizationKey::from_values).collect::<Result<_, _>>()?)
    }

    /// Wraps data keys by the current master key.
    async fn rewrap(&self, limit: u32) -> Result<u32, StoreError> {
        let mut done = 0;
        for key in self.all_keys().await? {
            let stored = Wrapped { master: key.master, bytes: key.wrapped };
            let Some(wrapped) = self.vault.rewrap(key.organization_id, key.version, &stored)? else {
                continue;
            };
            let values = [
                Value::Text(wrapped.master),
                Value::Bytes(wrapped.bytes),
                Value::Integer(key.organization_id),
                Value::Integer(key.version),
                Value::Text(stored.master),
            ];
            let sql = "UPDATE organization_keys SET master = $1, wrapped = $2 \
                       WHERE organization_id = $3 AND version = $4 AND master = $5";
            let kinds = [Kind::Text, Kind::Bytes, Kind::Integer, Kind::Integer, Kind::Text];
            self.within(Scope::System, None, Sent { sql, values: &values, kinds: &kinds }).await?;
            done += 1;
            if done >= limit {
                break;
            }
        }
        Ok(done)
    }

    /// Seals the rows of a record anew that are sealed by an older data key.
    async fn reseal_record(&self, meta: &'static RecordMeta, limit: u32) -> Result<u32, StoreError> {
        let select = Select { meta, conditions: Vec::new(), order: Vec::new(), limit: None, after: None };
        let mut done = 0;
        for sealed in self.sealed_rows(Scope::System, None, &select).await? {
            if done >= limit {
                break;
            }
            if let Some(organization) = self.vault.missing_key(meta, &sealed) {
                self.load_data_keys(organization).await?;
            }
            if !self.vault.is_stale(meta, &sealed) {
                continue;
            }
            let mut fresh = sealed.clone();
            self.vault.open_row(meta, &mut fresh)?;
            self.vault.seal_row(meta, &mut fresh)?;
            let columns: Vec<usize> = (0..meta.columns.len())
                .filter(|&index| meta.columns.get(index).is_some_and(|column| column.encrypted))
                .collect();
            // Only if it is still the value that was read; whoever changed it has sealed it by the newest key.
            let same: Vec<usize> = identity(meta).chain(columns.iter().copied()).collect();
            let column = |index: usize| meta.columns.get(index).map_or("", |column| column.name);
            let set: Vec<String> = (1..)
                .zip(&columns)
                .map(|(place, &index)| format!("\"{}\" = ${place}", column(index)))
                .collect();
            let conditions: Vec<String> = (columns.len() + 1..)
                .zip(&same)
                .map(|(place, &index)| format!("\"{}\" IS NOT DISTINCT FROM ${place}", column(index)))
                .collect();
            let sql =
                format!("UPDATE {} SET {} WHERE {}", meta.table, set.join(", "), conditions.join(" AND "));
            let pick = |row: &[Value], indexes: &[usize]| -> Vec<Value> {
                indexes.iter().map(|&index| row.get(index).cloned().unwrap_or(Value::Null)).collect()
            };
            let values = [pick(&fresh, &columns), pick(&sealed, &same)].concat();
            let kinds: Vec<Kind> = columns
                .iter()
                .chain(&same)
                .map(|&index| meta.columns.get(index).map_or(Kind::Integer, |column| column.stored_kind()))
                .collect();
            self.within(Scope::System, None, Sent { sql: &sql, values: &values, kinds: &kinds }).await?;
            done += 1;
        }
        Ok(done)
    }
}

impl Keyring for PostgresStore {
    fn reseal(&self, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(async move {
            let mut done = self.rewrap(limit).await?;
            for meta in self.registry.iter().filter(|meta| meta.has_sealed()) {
                done += self.reseal_record(meta, limit.saturating_sub(done)).await?;
            }
            Ok(done)
        })
    }

    fn rotate(&self) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(async move {
            let mut newest = std::collections::BTreeMap::new();
            for key in self.all_keys().await? {
                let version = newest.entry(key.organization_id).or_insert(0);
                *version = key.version.max(*version);
            }
            let count = u32::try_from(newest.len()).unwrap_or(u32::MAX);
            for (organization, version) in newest {
                self.add_data_key(organization, version + 1).await?;
                self.load_data_keys(organization).await?;
            }
            Ok(count)
        })
    }
}
