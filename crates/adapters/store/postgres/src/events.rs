//! The event log: read by position, which the sequencer gives to what has been committed.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Scope;
use stoa_kernel::id::EventId;
use stoa_kernel::store::audit::{Chained, Hash};
use stoa_kernel::store::event::INSTALLATION_STREAM;
use stoa_kernel::store::{
    AuditTrail, BoxFuture, Envelope, EventFilter, EventLog, Kind, Lag, StoreError, Value,
};
use stoa_store::events::{after, envelope, one};

use tokio_postgres::Row;

use crate::committer::CHANNEL;
use crate::failure;
use crate::pipeline::{Lent, Pipeline, Sent};
use crate::store::PostgresStore;

/// The lock of the sequencer. Leadership by lease keeps others from trying; this keeps two from succeeding.
const LOCK: i64 = -1;

/// Numbers committed events. Those of a stream in the order of their offsets: whatever of a stream comes before a chosen event is
/// chosen, too, and an event is placed no earlier than those before it in its stream. Otherwise by id, which is nearly the order of time.
const NUMBER: &str = "WITH first AS (SELECT id, organization_id, stream, epoch, stream_offset FROM events WHERE position IS NULL \
         ORDER BY id LIMIT $1), \
     chosen AS (SELECT * FROM first UNION SELECT e.id, e.organization_id, e.stream, e.epoch, e.stream_offset FROM first f \
         JOIN events e ON e.organization_id = f.organization_id AND e.stream = f.stream AND e.epoch = f.epoch \
         AND e.stream_offset < f.stream_offset WHERE e.position IS NULL), \
     ranked AS (SELECT id, stream_offset, max(id) OVER (PARTITION BY organization_id, stream, epoch ORDER BY stream_offset) AS rank \
         FROM chosen), \
     numbered AS (SELECT id, row_number() OVER (ORDER BY rank, stream_offset, id) + (SELECT coalesce(max(position), 0) FROM events) \
         AS position FROM ranked) \
     UPDATE events SET position = numbered.position FROM numbered WHERE events.id = numbered.id RETURNING 1::bigint";

impl PostgresStore {
    async fn number(&self, limit: u32) -> Result<u32, StoreError> {
        let waiting = "SELECT count(*) FROM (SELECT FROM events WHERE position IS NULL LIMIT 1) AS one";
        let rows = self.within(Scope::System, None, Sent { sql: waiting, values: &[], kinds: &[] }).await?;
        if rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()).unwrap_or(0) == 0 {
            return Ok(0);
        }
        let values = [Value::Integer(i64::from(limit))];
        let numbered = Sent { sql: NUMBER, values: &values, kinds: &[Kind::Integer] };
        let answers = self.numbering("", &[numbered]).await?;
        Ok(answers.get(1).map_or(0, |rows| u32::try_from(rows.len()).unwrap_or(u32::MAX)))
    }

    /// Runs statements that give positions, under the lock that keeps two from doing so, in one transaction and one round trip.
    async fn numbering(&self, setting: &str, sent: &[Sent<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let unavailable = |error: deadpool_postgres::PoolError| {
            StoreError::new(stoa_kernel::store::StoreErrorKind::Unavailable, error.to_string())
        };
        let mut lent = Lent::new(self.pool().get().await.map_err(unavailable)?);
        let Some(connection) = lent.get() else { return Ok(Vec::new()) };
        let mut pipeline = Pipeline::new(connection, self.shared.prepared);
        pipeline.plain(format!(
            "BEGIN; SET LOCAL stoa.system = 'on'; {setting}; SELECT pg_advisory_xact_lock({LOCK})"
        ));
        for &statement in sent {
            pipeline.send(statement).await.map_err(|error| failure::of(&error))?;
        }
        // Whoever follows the log elsewhere learns that there is more.
        if self.shared.notifications {
            pipeline.plain(format!("NOTIFY {CHANNEL}"));
        }
        pipeline.plain("COMMIT".to_owned());
        let (answers, failed) = pipeline.run().await;
        if let Some(error) = failed {
            if connection.batch_execute("ROLLBACK").await.is_ok() {
                lent.done();
            }
            return Err(failure::of(&error));
        }
        lent.done();
        Ok(answers)
    }
}

impl PostgresStore {
    /// Tells the log that its database was restored: every stream has a new epoch and positions a new era, so that whoever followed
    /// knows that what it has seen may not be there, and misses nothing of what comes. Returns the first position of the era.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn restored(&self) -> Result<i64, StoreError> {
        const RENEW: &str = "UPDATE streams SET epoch = greatest(epoch + 1, $1) RETURNING 1::bigint";
        const MOVE: &str = "INSERT INTO streams AS s (organization_id, stream, epoch, head) VALUES (0, $1, $2, 1) \
             ON CONFLICT (organization_id, stream) DO UPDATE SET head = s.head + 1 RETURNING 1::bigint";
        const TELL: &str = "INSERT INTO events (id, position, organization_id, stream, epoch, stream_offset, time, kind, version, actor, \
                 aggregate_kind, aggregate_id, payload) \
             SELECT $2, $3, 0, stream, epoch, head, $4, $5, $6, $7, $8, $9, $10 FROM streams WHERE organization_id = 0 AND stream = $1 \
             RETURNING 1::bigint";
        let id = self.ids.next().map_err(|error| {
            StoreError::new(stoa_kernel::store::StoreErrorKind::Overloaded, error.to_string())
        })?;
        while self.number(1_000).await? > 0 {}
        let told = stoa_store::events::restored(self.head().await?, id, self.clock.now());
        let stream = Value::Text(INSTALLATION_STREAM.to_owned());
        let epoch = [Value::Integer(told.epoch)];
        let place = [stream.clone(), Value::Integer(told.epoch)];
        let values = [
            stream,
            Value::Integer(told.id),
            Value::Integer(told.position),
            Value::Integer(told.time),
            Value::Text(told.kind.to_owned()),
            Value::Integer(told.version),
            Value::Json(told.actor),
            Value::Text(told.aggregate_kind.to_owned()),
            Value::Text(told.aggregate_id.to_owned()),
            Value::Json(told.payload),
        ];
        let kinds = [
            Kind::Text,
            Kind::Integer,
            Kind::Integer,
            Kind::Integer,
            Kind::Text,
            Kind::Integer,
            Kind::Json,
            Kind::Text,
            Kind::Text,
            Kind::Json,
        ];
        let sent = [
            Sent { sql: RENEW, values: &epoch, kinds: &[Kind::Integer] },
            Sent { sql: MOVE, values: &place, kinds: &[Kind::Text, Kind::Integer] },
            Sent { sql: TELL, values: &values, kinds: &kinds },
        ];
        // However many streams there are.
        self.numbering("SET LOCAL statement_timeout = 0", &sent).await?;
        Ok(told.position)
    }
}

impl EventLog for PostgresStore {
    fn events_after<'a>(
        &'a self,
        scope: Scope,
        position: i64,
        limit: u32,
        filter: &'a EventFilter,
    ) -> BoxFuture<'a, Result<Vec<Envelope>, StoreError>> {
        Box::pin(async move {
            let select = after(position, limit, filter);
            self.sealed_rows(scope, None, &select).await?.into_iter().map(envelope).collect()
        })
    }

    fn position_of(&self, scope: Scope, event: EventId) -> BoxFuture<'_, Result<Option<i64>, StoreError>> {
        Box::pin(async move {
            let row = self.sealed_rows(scope, None, &one(event)).await?.into_iter().next();
            Ok(row.map(envelope).transpose()?.map(|event| event.position).filter(|&position| position > 0))
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async move {
            let sent = Sent { sql: "SELECT coalesce(max(position), 0) FROM events", values: &[], kinds: &[] };
            let rows = self.within(Scope::System, None, sent).await?;
            rows.first().map_or(Ok(0), |row| row.try_get(0).map_err(|error| failure::of(&error)))
        })
    }

    fn sequence(&self, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(self.number(limit))
    }

    fn lag(&self) -> BoxFuture<'_, Result<Lag, StoreError>> {
        const WAITING: &str = "SELECT count(*), min(time) FROM \
             (SELECT time FROM events WHERE position IS NULL ORDER BY id LIMIT 10000) AS waiting";
        Box::pin(async move {
            let rows =
                self.within(Scope::System, None, Sent { sql: WAITING, values: &[], kinds: &[] }).await?;
            let Some(row) = rows.first() else { return Ok(Lag::default()) };
            let waiting = row.try_get(0).map_err(|error| failure::of(&error))?;
            let oldest: Option<i64> = row.try_get(1).map_err(|error| failure::of(&error))?;
            Ok(Lag { waiting, oldest: oldest.map(Micros) })
        })
    }
}

impl AuditTrail for PostgresStore {
    fn entries_after(
        &self,
        organization: i64,
        sequence: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Chained>, StoreError>> {
        Box::pin(async move {
            let select = stoa_store::audit::entries_after(organization, sequence, limit);
            let rows = self.sealed_rows(Scope::System, None, &select).await?;
            rows.into_iter().map(stoa_store::audit::chained).collect()
        })
    }

    fn trails(&self) -> BoxFuture<'_, Result<Vec<(i64, i64, Hash)>, StoreError>> {
        Box::pin(async move {
            let rows = self.sealed_rows(Scope::System, None, &stoa_store::audit::heads()).await?;
            rows.into_iter().map(stoa_store::audit::head).collect()
        })
    }
}
