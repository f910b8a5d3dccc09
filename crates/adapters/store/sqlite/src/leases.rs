//! Leases in the database: what one process at a time holds.

use rusqlite::{Connection, OptionalExtension as _};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Scope;
use stoa_kernel::store::{BoxFuture, Lease, Leases, Record as _, StoreError};
use stoa_store::bookkeeping::HeldLease;

use crate::store::SqliteStore;

/// Ends what a process held that died: nobody else has the folder now, so nobody leads anything. Numbers of nodes stay taken for their time,
/// so that no id is issued twice.
pub(crate) fn release(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute("UPDATE main.leases SET expires_at = 0 WHERE name NOT LIKE 'node/%'", [])
}

impl Leases for SqliteStore {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl_us: i64,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        // A new holder gets a higher token; who holds it already keeps the one that it has.
        const TAKE: &str = "INSERT INTO main.leases (name, holder, token, expires_at) VALUES (?1, ?2, 1, ?4) \
             ON CONFLICT (name) DO UPDATE SET \
                 token = token + (holder <> excluded.holder OR expires_at <= ?3), \
                 holder = excluded.holder, expires_at = excluded.expires_at \
             WHERE holder = excluded.holder OR expires_at <= ?3 \
             RETURNING token";
        let now = self.clock.now();
        let expires = now.plus(ttl_us);
        let (name, holder) = (name.to_owned(), holder.to_owned());
        Box::pin(self.writer.task(move |connection| {
            let token: Option<i64> = connection
                .prepare_cached(TAKE)?
                .query_row((&name, &holder, now.0, expires.0), |row| row.get(0))
                .optional()?;
            Ok(token.map(|token| Lease { name, token, expires: Micros(expires.0) }))
        }))
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        Box::pin(self.writer.task(move |connection| {
            // The row stays, so that the next holder's token is higher.
            connection
                .prepare_cached("UPDATE main.leases SET expires_at = 0 WHERE name = ?1 AND holder = ?2")?
                .execute((&name, &holder))
                .map(|_| ())
        }))
    }

    fn holder<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        let select = stoa_store::bookkeeping::held(name, self.clock.now());
        let read = || {
            let row = self.sealed_rows(Scope::System, &select)?.into_iter().next();
            Ok(row.map(HeldLease::from_values).transpose()?.map(|lease| lease.holder))
        };
        Box::pin(std::future::ready(read()))
    }
}
