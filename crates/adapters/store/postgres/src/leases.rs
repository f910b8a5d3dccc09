//! Leases in the database: what one process at a time holds. They end by the clock of the database, which all processes share.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Scope;
use stoa_kernel::store::{BoxFuture, Kind, Lease, Leases, StoreError, Value};

use crate::failure;
use crate::pipeline::Sent;
use crate::store::PostgresStore;

/// A new holder gets a higher token; who holds it already keeps the one that it has.
const TAKE: &str = "INSERT INTO leases AS l (name, holder, token, expires_at) \
     VALUES ($1, $2, 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3) \
     ON CONFLICT (name) DO UPDATE SET \
         token = l.token + (l.holder <> excluded.holder OR l.expires_at <= excluded.expires_at - $3)::int, \
         holder = excluded.holder, expires_at = excluded.expires_at \
     WHERE l.holder = excluded.holder OR l.expires_at <= excluded.expires_at - $3 \
     RETURNING token, expires_at";

impl Leases for PostgresStore {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl_us: i64,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        Box::pin(async move {
            let values =
                [Value::Text(name.to_owned()), Value::Text(holder.to_owned()), Value::Integer(ttl_us)];
            let sent = Sent { sql: TAKE, values: &values, kinds: &[Kind::Text, Kind::Text, Kind::Integer] };
            let rows = self.within(Scope::System, None, sent).await?;
            let Some(row) = rows.first() else { return Ok(None) };
            let read = |index| row.try_get::<_, i64>(index).map_err(|error| failure::of(&error));
            Ok(Some(Lease { name: name.to_owned(), token: read(0)?, expires: Micros(read(1)?) }))
        })
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let values = [Value::Text(name.to_owned()), Value::Text(holder.to_owned())];
            // The row stays, so that the next holder's token is higher.
            let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2";
            self.within(Scope::System, None, Sent { sql, values: &values, kinds: &[Kind::Text, Kind::Text] })
                .await?;
            Ok(())
        })
    }

    fn holder<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        const HOLDER: &str = "SELECT holder FROM leases WHERE name = $1 \
             AND expires_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        Box::pin(async move {
            let values = [Value::Text(name.to_owned())];
            let sent = Sent { sql: HOLDER, values: &values, kinds: &[Kind::Text] };
            let rows = self.within(Scope::System, None, sent).await?;
            rows.first().map(|row| row.try_get(0).map_err(|error| failure::of(&error))).transpose()
        })
    }
}
