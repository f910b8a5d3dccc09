//! Data keys: made when an organization first seals something, loaded when they are needed, and changed without a pause.

use stoa_kernel::context::Scope;
use stoa_kernel::store::{BoxFuture, Keyring, Record as _, RecordMeta, StoreError};
use stoa_store::bookkeeping::OrganizationKey;
use stoa_store::render::identity;
use stoa_store::seal::Wrapped;

use crate::reader::Bind;
use crate::store::SqliteStore;

impl SqliteStore {
    /// Makes sure that values of the organization can be sealed.
    pub(crate) async fn ensure_data_key(&self, organization: i64) -> Result<(), StoreError> {
        if self.vault.can_seal(organization) {
            return Ok(());
        }
        self.load_data_keys(organization)?;
        if !self.vault.can_seal(organization) {
            self.add_data_key(organization, 1).await?;
            // Another caller may have been first; what is stored counts.
            self.load_data_keys(organization)?;
        }
        Ok(())
    }

    async fn add_data_key(&self, organization: i64, version: i64) -> Result<(), StoreError> {
        let Wrapped { master, bytes } = self.vault.new_data_key(organization, version)?;
        let now = self.clock.now().0;
        self.writer
            .task(move |connection| {
                connection
                    .prepare_cached(
                        "INSERT OR IGNORE INTO main.organization_keys (organization_id, version, master, wrapped, created_at) \
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute((organization, version, master, bytes, now))
                    .map(|_| ())
            })
            .await
    }

    pub(crate) fn load_data_keys(&self, organization: i64) -> Result<(), StoreError> {
        let select = OrganizationKey::select().eq(OrganizationKey::ORGANIZATION_ID, &organization).build();
        for row in self.sealed_rows(Scope::System, &select)? {
            let key = OrganizationKey::from_values(row)?;
            self.vault.learn(
                organization,
                key.version,
                &Wrapped { master: key.master, bytes: key.wrapped },
            )?;
        }
        Ok(())
    }

    /// Wraps data keys by the current master key.
    async fn rewrap(&self, limit: u32) -> Result<u32, StoreError> {
        let mut done = 0;
        for row in self.sealed_rows(Scope::System, &OrganizationKey::select().build())? {
            let key = OrganizationKey::from_values(row)?;
            let stored = Wrapped { master: key.master, bytes: key.wrapped };
            let Some(wrapped) = self.vault.rewrap(key.organization_id, key.version, &stored)? else {
                continue;
            };
            self.writer
                .task(move |connection| {
                    connection
                        .prepare_cached(
                            "UPDATE main.organization_keys SET master = ?1, wrapped = ?2 \
                             WHERE organization_id = ?3 AND version = ?4 AND master = ?5",
                        )?
                        .execute((
                            wrapped.master,
                            wrapped.bytes,
                            key.organization_id,
                            key.version,
                            stored.master,
                        ))
                })
                .await?;
            done += 1;
            if done >= limit {
                break;
            }
        }
        Ok(done)
    }

    /// Seals the rows of a record anew that are sealed by an older data key.
    async fn reseal_record(&self, meta: &'static RecordMeta, limit: u32) -> Result<u32, StoreError> {
        let select = stoa_kernel::store::Select {
            meta,
            conditions: Vec::new(),
            order: Vec::new(),
            limit: None,
            after: None,
        };
        let mut done = 0;
        for sealed in self.sealed_rows(Scope::System, &select)? {
            if let Some(organization) = self.vault.missing_key(meta, &sealed) {
                self.load_data_keys(organization)?;
            }
            if !self.vault.is_stale(meta, &sealed) {
                continue;
            }
            let mut fresh = sealed.clone();
            self.vault.open_row(meta, &mut fresh)?;
            self.vault.seal_row(meta, &mut fresh)?;
            // Only if it is still the value that was read; whoever changed it has sealed it by the newest key.
            let columns: Vec<usize> = (0..meta.columns.len())
                .filter(|&index| meta.columns.get(index).is_some_and(|column| column.encrypted))
                .collect();
            let name = |index: &usize| meta.columns.get(*index).map_or("", |column| column.name);
            let set: Vec<String> = columns.iter().map(|index| format!("\"{}\" = ?", name(index))).collect();
            let identity: Vec<usize> = identity(meta).chain(columns.iter().copied()).collect();
            let same: Vec<String> =
                identity.iter().map(|index| format!("\"{}\" IS ?", name(index))).collect();
            let sql =
                format!("UPDATE main.\"{}\" SET {} WHERE {}", meta.table, set.join(", "), same.join(" AND "));
            let values: Vec<_> = columns
                .iter()
                .filter_map(|&index| fresh.get(index))
                .chain(identity.iter().filter_map(|&index| sealed.get(index)))
                .cloned()
                .collect();
            self.writer
                .task(move |connection| {
                    let mut statement = connection.prepare_cached(&sql)?;
                    for (index, value) in (1..).zip(&values) {
                        statement.raw_bind_parameter(index, Bind(value))?;
                    }
                    statement.raw_execute()
                })
                .await?;
            done += 1;
            if done >= limit {
                break;
            }
        }
        Ok(done)
    }

    async fn rotate_data_keys(&self) -> Result<u32, StoreError> {
        let mut newest = std::collections::BTreeMap::new();
        for row in self.sealed_rows(Scope::System, &OrganizationKey::select().build())? {
            let key = OrganizationKey::from_values(row)?;
            let version = newest.entry(key.organization_id).or_insert(0);
            *version = key.version.max(*version);
        }
        let mut done = 0;
        for (organization, version) in newest {
            self.add_data_key(organization, version + 1).await?;
            self.load_data_keys(organization)?;
            done += 1;
        }
        Ok(done)
    }
}

impl Keyring for SqliteStore {
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
        Box::pin(self.rotate_data_keys())
    }
}
