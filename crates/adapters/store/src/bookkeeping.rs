//! The tables that belong to the store itself. They are records like all others, so that the catalog test, row-level security and the
//! data registry see them; commits write them with SQL of their own.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::EventId;
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::trail::AuditEntry;
use stoa_kernel::store::{Json, Record, RecordMeta, Replayed, Reply, Select, StoreError, StoreErrorKind};

/// A data key of an organization, wrapped by a master key.
#[derive(Debug, Clone, Record)]
#[record(table = "organization_keys", entity = "organization_key", tenant = organization_id, unaudited)]
pub struct OrganizationKey {
    /// Whose it is.
    #[record(key)]
    pub organization_id: i64,
    /// From 1; the highest seals.
    #[record(key)]
    pub version: i64,
    /// The id of the master key that wraps it.
    #[record(plain, about = "which master key opens it")]
    pub master: String,
    /// The sealed key.
    #[record(plain, about = "seals the organization's secrets; destroying it erases them")]
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Micros,
}

/// Where a stream stands.
#[derive(Debug, Clone, Record)]
#[record(table = "streams", entity = "stream", tenant = organization_id, unaudited, retention = event)]
pub struct Stream {
    /// Whose it is; 0 for the installation.
    #[record(key)]
    pub organization_id: i64,
    /// Its name.
    #[record(key, plain, about = "names an aggregate by its id")]
    pub stream: String,
    /// Changes when the stream is rebuilt or restored.
    pub epoch: i64,
    /// The last offset.
    pub head: i64,
}

/// An event of the log.
#[derive(Debug, Clone, Record)]
#[record(table = "events", entity = "event", tenant = organization_id, unaudited, retention = event,
         unique(events_position_key = position, events_stream_key = (organization_id, stream, epoch, stream_offset)))]
pub struct StoredEvent {
    /// Its id.
    #[record(key)]
    pub id: EventId,
    /// Its place in the total order; null until it has one.
    pub position: Option<i64>,
    /// Whose it is; 0 for the installation.
    pub organization_id: i64,
    /// Its stream.
    #[record(plain, about = "names an aggregate by its id")]
    pub stream: String,
    /// The epoch of the stream.
    pub epoch: i64,
    /// Its place in the stream.
    pub stream_offset: i64,
    /// When it was committed.
    pub time: Micros,
    /// The name of its type.
    #[record(plain, about = "a name of the catalogue")]
    pub kind: String,
    /// The version of the type.
    pub version: i64,
    /// Who did it, by id.
    #[record(plain, about = "an id, no name")]
    pub actor: Json<stoa_kernel::context::Actor>,
    /// What it happened to.
    #[record(plain, about = "an entity's name")]
    pub aggregate_kind: String,
    /// Its id.
    #[record(plain, about = "an id")]
    pub aggregate_id: String,
    /// Its version.
    pub aggregate_version: Option<i64>,
    /// What the client called the change.
    #[record(plain, about = "chosen by the client's program")]
    pub client_mutation_id: Option<String>,
    /// The trace.
    #[record(plain, about = "a random id")]
    pub traceparent: Option<String>,
    /// What the type says.
    #[record(plain, about = "by the schema of its type, which holds no plain personal data")]
    pub payload: Json<serde_json::Value>,
}

/// Where the audit trail of an organization stands.
#[derive(Debug, Clone, Record)]
#[record(table = "audit_heads", entity = "audit_head", tenant = organization_id, unaudited, retention = audit)]
pub struct AuditHead {
    /// Whose it is; 0 for the installation.
    #[record(key)]
    pub organization_id: i64,
    /// The last entry.
    pub sequence: i64,
    /// The hash after it.
    #[record(plain, about = "a hash")]
    pub hash: Vec<u8>,
}

/// The first answer to an operation with an idempotency key.
#[derive(Debug, Clone, Record)]
#[record(table = "idempotency_keys", entity = "idempotency_key", tenant = organization_id, unaudited, expires = expires_at, retention = short)]
pub struct IdempotencyKey {
    /// For whom it was done; 0 for the installation.
    #[record(key)]
    pub organization_id: i64,
    /// By whom.
    #[record(key, plain, about = "an id, no name")]
    pub actor: String,
    /// The key that the client chose.
    #[record(key, plain, about = "chosen by the client's program")]
    pub key: String,
    /// The hash of the request.
    #[record(plain, about = "a hash")]
    pub fingerprint: Vec<u8>,
    /// The status of the answer.
    pub status: i64,
    /// The headers of the answer.
    #[record(plain, about = "entity tag and location")]
    pub headers: Json<Vec<(String, String)>>,
    /// The body of the answer.
    #[record(encrypted, plain, about = "what was answered, which may hold anything; kept for a day")]
    pub body: String,
    /// When it may be used anew.
    pub expires_at: Micros,
}

/// The query for the first answer to an operation with a key, by the actor and scope of the context.
#[must_use]
pub fn replay(cx: &Context, key: &str, now: Micros) -> Select {
    IdempotencyKey::select()
        .eq(IdempotencyKey::ORGANIZATION_ID, &cx.scope.number())
        .eq(IdempotencyKey::ACTOR, &cx.actor.label())
        .eq(IdempotencyKey::KEY, &key.to_owned())
        .gt(IdempotencyKey::EXPIRES_AT, &now)
        .build()
}

impl IdempotencyKey {
    /// What the port says about it.
    ///
    /// # Errors
    /// When the record is corrupt.
    pub fn replayed(self) -> Result<Replayed, StoreError> {
        let corrupt = |what: &str| {
            StoreError::new(StoreErrorKind::Corrupt, format!("an idempotency record has no {what}"))
        };
        let Json(headers) = self.headers;
        Ok(Replayed {
            fingerprint: self.fingerprint.try_into().map_err(|_| corrupt("fingerprint"))?,
            reply: Reply {
                status: u16::try_from(self.status).map_err(|_| corrupt("status"))?,
                headers,
                body: self.body,
            },
        })
    }
}

/// A claim that one process holds.
#[derive(Debug, Clone, Record)]
#[record(table = "leases", entity = "lease", system, unaudited, retention = short)]
pub struct HeldLease {
    /// What is claimed.
    #[record(key, plain, about = "a registered name")]
    pub name: String,
    /// The process.
    #[record(plain, about = "a random id")]
    pub holder: String,
    /// Grows with every new holder.
    pub token: i64,
    /// When it ends.
    pub expires_at: Micros,
}

/// The query for a lease that has not ended.
#[must_use]
pub fn held(name: &str, now: Micros) -> Select {
    HeldLease::select().eq(HeldLease::NAME, &name.to_owned()).gt(HeldLease::EXPIRES_AT, &now).limit(1).build()
}

/// All of them.
pub const ALL: &[&RecordMeta] = &[
    OrganizationKey::META,
    Stream::META,
    StoredEvent::META,
    AuditHead::META,
    AuditEntry::META,
    IdempotencyKey::META,
    QueuedJob::META,
    HeldLease::META,
];
