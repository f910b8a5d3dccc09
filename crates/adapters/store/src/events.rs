//! Events as they are read back from the log.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Actor;
use stoa_kernel::id::{EventId, OrganizationId};
use stoa_kernel::store::event::{RESTORED, next_epoch, next_era};
use stoa_kernel::store::{
    Aggregate, Envelope, EventFilter, Order, Record as _, Select, StoreError, StoreErrorKind, Value,
};

use crate::bookkeeping::StoredEvent;

/// The query for events after a position, in the order of positions.
#[must_use]
pub fn after(position: i64, limit: u32, filter: &EventFilter) -> Select {
    let mut query = StoredEvent::select().gt(StoredEvent::POSITION, &Some(position));
    if !filter.kinds.is_empty() {
        query = query.is_in(StoredEvent::KIND, &filter.kinds);
    }
    if let Some(stream) = &filter.stream {
        query = query.eq(StoredEvent::STREAM, stream);
    }
    if let Some(since) = &filter.since {
        query = query.ge(StoredEvent::TIME, since);
    }
    let mut select = query.limit(limit).build();
    // Never null here: only events with a position come after one.
    select.order = vec![Order { column: StoredEvent::POSITION.index, descending: false }];
    select
}

/// The query for one event.
#[must_use]
pub fn one(event: EventId) -> Select {
    StoredEvent::select().eq(StoredEvent::ID, &event).build()
}

/// The envelope of a row.
///
/// # Errors
/// When the row is corrupt.
pub fn envelope(row: Vec<Value>) -> Result<Envelope, StoreError> {
    let event = StoredEvent::from_values(row)?;
    let corrupt =
        |what: &str| StoreError::new(StoreErrorKind::Corrupt, format!("the event {}: {what}", event.id));
    let organization = u64::try_from(event.organization_id).ok().and_then(OrganizationId::from_raw);
    let traceparent =
        event.traceparent.as_deref().map(str::parse).transpose().map_err(|_| corrupt("its trace"))?;
    Ok(Envelope {
        event_id: event.id,
        position: event.position.unwrap_or(0),
        epoch: event.epoch,
        offset: event.stream_offset,
        timestamp: event.time,
        version: u16::try_from(event.version).map_err(|_| corrupt("its version"))?,
        organization_id: organization.filter(|id| id.raw() != 0),
        actor: event.actor.0,
        aggregate: Aggregate {
            kind: event.aggregate_kind,
            id: event.aggregate_id,
            version: event.aggregate_version,
        },
        stream: event.stream,
        kind: event.kind,
        client_mutation_id: event.client_mutation_id,
        traceparent,
        payload: event.payload.0,
    })
}

/// What the log is told when its database was restored, as its columns hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its id.
    pub id: i64,
    /// The first position of a new era.
    pub position: i64,
    /// The epoch of every stream from now on, unless it is there already.
    pub epoch: i64,
    /// When.
    pub time: i64,
    /// The name of its type.
    pub kind: &'static str,
    /// The version of its type.
    pub version: i64,
    /// Who.
    pub actor: String,
    /// What it happened to.
    pub aggregate_kind: &'static str,
    /// Its id.
    pub aggregate_id: &'static str,
    /// What the type says.
    pub payload: String,
}

/// The event of a restoration, after which the log went up to `last`.
#[must_use]
pub fn restored(last: i64, id: EventId, now: Micros) -> Restored {
    Restored {
        id: id.to_i64(),
        position: next_era(last, now),
        epoch: next_epoch(now),
        time: now.0,
        kind: RESTORED.name,
        version: i64::from(RESTORED.version),
        actor: serde_json::to_string(&Actor::System).unwrap_or_default(),
        aggregate_kind: "installation",
        aggregate_id: "0",
        payload: serde_json::json!({ "lastPosition": last }).to_string(),
    }
}
