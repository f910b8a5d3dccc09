//! The event log: read by position. The writer gives positions as it commits, so there is nothing to sequence.

use stoa_kernel::context::Scope;
use stoa_kernel::id::EventId;
use stoa_kernel::store::audit::{Chained, Hash};
use stoa_kernel::store::{AuditTrail, BoxFuture, Envelope, EventFilter, EventLog, Lag, StoreError, Value};
use stoa_store::events::{after, envelope, one};

use crate::store::SqliteStore;

impl EventLog for SqliteStore {
    fn events_after<'a>(
        &'a self,
        scope: Scope,
        position: i64,
        limit: u32,
        filter: &'a EventFilter,
    ) -> BoxFuture<'a, Result<Vec<Envelope>, StoreError>> {
        let read =
            || self.sealed_rows(scope, &after(position, limit, filter))?.into_iter().map(envelope).collect();
        Box::pin(std::future::ready(read()))
    }

    fn position_of(&self, scope: Scope, event: EventId) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        let read = || {
            let row = self.sealed_rows(scope, &one(event))?.into_iter().next();
            Ok(row.map(envelope).transpose()?.map(|event| event.position).filter(|&position| position > 0))
        };
        Box::pin(std::future::ready(read()))
    }

    fn head(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        let read = || {
            let reader = self.readers.within(Scope::System)?;
            let rows = reader.rows_by_hand("SELECT coalesce(max(position), 0) FROM scoped_events")?;
            Ok(rows.first().and_then(|row| row.first()).and_then(Value::integer).unwrap_or(0))
        };
        Box::pin(std::future::ready(read()))
    }

    fn sequence(&self, _: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, StoreError>> {
        Box::pin(std::future::ready(Ok(Lag::default())))
    }
}

impl AuditTrail for SqliteStore {
    fn entries_after(
        &self,
        organization: i64,
        sequence: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Chained>, StoreError>> {
        let select = stoa_store::audit::entries_after(organization, sequence, limit);
        let read = || {
            self.sealed_rows(Scope::System, &select)?.into_iter().map(stoa_store::audit::chained).collect()
        };
        Box::pin(std::future::ready(read()))
    }

    fn trails(&self) -> BoxFuture<'_, Result<Vec<(i64, i64, Hash)>, StoreError>> {
        let select = stoa_store::audit::heads();
        let read =
            || self.sealed_rows(Scope::System, &select)?.into_iter().map(stoa_store::audit::head).collect();
        Box::pin(std::future::ready(read()))
    }
}
