//! Committers: each takes what waits for its share of the organizations, and commits it together.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Scope;
use stoa_kernel::random::{Random as _, SplitMix64};
use stoa_kernel::resilience::policies::DATABASE;
use stoa_kernel::store::{Kind, Receipt, StoreError, StoreErrorKind, Value};
use stoa_store::prepare::{Prepared, PreparedEntry, PreparedEvent};
use tokio::sync::{mpsc, oneshot};

use crate::failure;
use crate::jobs::{self, EndValues};
use crate::pipeline::{Pipeline, Sent};

/// The most commits of one transaction.
const BATCH_MAX: usize = 64;
/// The most commits that wait for a committer; beyond it callers are told to come again.
const WAITING_MAX: usize = 1_024;

/// The channel on which events are announced.
pub(crate) const CHANNEL: &str = "stoa_events";

type Answer = oneshot::Sender<Result<Receipt, StoreError>>;

struct Request {
    prepared: Prepared,
    deadline: Option<Micros>,
    answer: Answer,
}

/// What committers share.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) prepared: bool,
    pub(crate) notifications: bool,
    pub(crate) statement_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) committed: Arc<dyn Fn() + Send + Sync>,
}

/// The door to all committers.
pub(crate) struct Committers(Vec<mpsc::Sender<Request>>);

impl Committers {
    pub(crate) fn start(shared: &Arc<Shared>, count: usize) -> Self {
        let start = |number: usize| {
            let (queue, requests) = mpsc::channel(WAITING_MAX);
            let seed = u64::try_from(number).unwrap_or(0);
            tokio::spawn(run(Arc::clone(shared), requests, SplitMix64::seeded(seed)));
            queue
        };
        Self((0..count.max(1)).map(start).collect())
    }

    pub(crate) async fn commit(
        &self,
        prepared: Prepared,
        deadline: Option<Micros>,
    ) -> Result<Receipt, StoreError> {
        let (answer, answered) = oneshot::channel();
        let share = SplitMix64::mix(prepared.scope.number().cast_unsigned());
        let count = u64::try_from(self.0.len()).unwrap_or(1).max(1);
        let queue =
            usize::try_from(share % count).ok().and_then(|share| self.0.get(share)).ok_or_else(closed)?;
        queue.try_send(Request { prepared, deadline, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                StoreError::new(StoreErrorKind::Overloaded, "too many changes are waiting")
            }
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answered.await.map_err(|_| closed())?
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store is closed")
}

async fn run(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>, mut random: SplitMix64) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while requests.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let now = shared.clock.now();
        let (mut units, mut answers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        // In the order of organizations, which is the order of their locks; in an organization the order of asking stays.
        batch.sort_by_key(|request| request.prepared.scope.number());
        for request in batch.drain(..) {
            if request.deadline.is_some_and(|deadline| deadline < now) {
                let late = StoreError::new(StoreErrorKind::Deadline, "the change waited past its deadline");
                let _ = request.answer.send(Err(late));
            } else {
                units.push((request.prepared, request.deadline));
                answers.push(request.answer);
            }
        }
        metrics::histogram!("stoa_store_batch_size").record(u32::try_from(units.len()).unwrap_or(u32::MAX));
        // What serves the installation may touch any organization, so its locks would be out of order among others.
        let is_grouped = units.len() > 1 && units.iter().all(|(unit, _)| unit.scope != Scope::System);
        let grouped = if is_grouped { Some(together(&shared, &units).await) } else { None };
        match grouped {
            Some(Ok(receipts)) => {
                answers
                    .into_iter()
                    .zip(receipts)
                    .for_each(|(answer, receipt)| drop(answer.send(Ok(receipt))));
                continue;
            }
            // Nobody knows whether it happened, or nothing can: trying each alone could do it twice, or take for ever.
            Some(Err(Failed::Lost(error))) => {
                answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
                continue;
            }
            Some(Err(Failed::Transient(_) | Failed::Refused(_))) | None => {}
        }
        for (unit, answer) in units.into_iter().zip(answers) {
            let _ = answer.send(alone(&shared, unit, &mut random).await);
        }
    }
}

/// Why a transaction did not happen.
enum Failed {
    /// Nothing of it did; it may be tried again as it is.
    Transient(StoreError),
    /// The database refused, and nothing of it happened.
    Refused(StoreError),
    /// The connection was lost, or there was none: it is not known what happened.
    Lost(StoreError),
}

impl Failed {
    fn into_error(self) -> StoreError {
        match self {
            Self::Transient(error) | Self::Refused(error) | Self::Lost(error) => error,
        }
    }
}

async fn alone(
    shared: &Shared,
    unit: (Prepared, Option<Micros>),
    random: &mut SplitMix64,
) -> Result<Receipt, StoreError> {
    if unit.1.is_some_and(|deadline| deadline < shared.clock.now()) {
        return Err(StoreError::new(StoreErrorKind::Deadline, "the change waited past its deadline"));
    }
    let unit = [unit];
    for attempt in 1..=DATABASE.retry.attempts_max {
        match together(shared, &unit).await {
            Ok(mut receipts) => return Ok(receipts.pop().unwrap_or_default()),
            Err(Failed::Transient(_)) if attempt < DATABASE.retry.attempts_max => {
                let ceiling = u64::from(DATABASE.retry.base_us) << attempt;
                let wait = random.below(ceiling.min(u64::from(DATABASE.retry.wait_us_max)));
                tokio::time::sleep(Duration::from_micros(wait)).await;
            }
            Err(failed) => return Err(failed.into_error()),
        }
    }
    Err(StoreError::new(StoreErrorKind::Unavailable, "the database refused too often"))
}

/// Applies commits in one transaction, all of them or none, in one round trip.
async fn together(shared: &Shared, units: &[(Prepared, Option<Micros>)]) -> Result<Vec<Receipt>, Failed> {
    let connection = shared.pool.get().await.map_err(|error| {
        Failed::Lost(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("no connection to the database: {error}"),
        ))
    })?;
    let values: Vec<UnitValues> = units.iter().map(|(unit, _)| UnitValues::of(unit)).collect();
    let mut pipeline = Pipeline::new(&connection, shared.prepared);
    let whole = units.iter().any(|(unit, _)| unit.scope == Scope::System && !unit.counts.is_empty());
    let timeout = timeout_ms(shared, units);
    // Everybody shares the installation's lock but who counts across organizations.
    let lock = if whole { "pg_advisory_xact_lock" } else { "pg_advisory_xact_lock_shared" };
    pipeline.plain(format!("BEGIN; SET LOCAL statement_timeout = {timeout}; SELECT {lock}(0)"));
    let mut places = Vec::with_capacity(units.len());
    let mut next = 1;
    let send = async {
        for ((unit, _), values) in units.iter().zip(&values) {
            next += unit_statements(&mut pipeline, unit, values).await?;
            places.push(next);
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    if let Err(error) = send.await {
        return Err(failed_by(&error));
    }
    let told = units.iter().any(|(unit, _)| !unit.events.is_empty() || !unit.jobs.is_empty());
    if told && shared.notifications {
        pipeline.plain(format!("NOTIFY {CHANNEL}"));
    }
    pipeline.plain("COMMIT".to_owned());
    let (answers, failed) = pipeline.run().await;
    if let Some(error) = failed {
        let _ = connection.batch_execute("ROLLBACK").await;
        return Err(failed_by(&error));
    }
    if told {
        (shared.committed)();
    }
    let receipts = units.iter().zip(&places).map(|((unit, _), &end)| {
        // The answers of a commit end with those of its events.
        let start = end.saturating_sub(unit.events.len());
        let offsets = answers.get(start..end).unwrap_or(&[]).iter();
        let offset = |rows: &Vec<tokio_postgres::Row>| {
            rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()).unwrap_or(0)
        };
        Receipt { events: unit.events.iter().map(|event| event.id).zip(offsets.map(offset)).collect() }
    });
    Ok(receipts.collect())
}

/// What an error says about the transaction that it ended.
fn failed_by(error: &tokio_postgres::Error) -> Failed {
    let mapped = failure::of(error);
    if failure::is_transient(error) {
        Failed::Transient(mapped)
    } else if error.as_db_error().is_none() || mapped.kind == StoreErrorKind::Unavailable {
        Failed::Lost(mapped)
    } else {
        Failed::Refused(mapped)
    }
}

fn timeout_ms(shared: &Shared, units: &[(Prepared, Option<Micros>)]) -> u128 {
    let most = shared.statement_timeout.as_millis();
    match units {
        [(_, Some(deadline))] => {
            let left = u128::try_from(deadline.since(shared.clock.now()) / 1_000).unwrap_or(0);
            most.min(left).max(1)
        }
        _ => most,
    }
}

/// The values of the statements that are not rendered from records.
struct UnitValues {
    counts: Vec<Vec<Value>>,
    audit: Vec<Vec<Value>>,
    events: Vec<Vec<Value>>,
    ends: Vec<EndValues>,
}

impl UnitValues {
    fn of(unit: &Prepared) -> Self {
        let count = |count: &stoa_store::prepare::Count| {
            let bounds = [count.least, count.most].map(Value::Integer);
            count
                .bound
                .values
                .iter()
                .cloned()
                .chain(bounds)
                .chain([Value::Text(count.name.to_owned())])
                .collect()
        };
        Self {
            counts: unit.counts.iter().map(count).collect(),
            audit: unit.audit.iter().map(entry_values).collect(),
            events: unit.events.iter().map(event_values).collect(),
            ends: unit.ends.iter().map(EndValues::of).collect(),
        }
    }
}

fn entry_values(prepared: &PreparedEntry) -> Vec<Value> {
    let entry = &prepared.entry;
    vec![
        Value::Integer(entry.organization),
        Value::Bytes(stoa_kernel::store::audit::GENESIS.to_vec()),
        Value::Bytes(prepared.digest.to_vec()),
        Value::Integer(entry.id.to_i64()),
        Value::Integer(entry.time.0),
        Value::Text(entry.actor.clone()),
        Value::Text(entry.action.clone()),
        Value::Text(entry.target_kind.clone()),
        Value::Text(entry.target.clone()),
        Value::Text(entry.request.clone()),
        Value::Json(entry.diff.clone()),
    ]
}

/// Moves the head of the trail, and enters what it then says: the chain is computed where its head is locked.
const ENTER: &str = "WITH head AS (INSERT INTO audit_heads AS h (organization_id, sequence, hash) VALUES ($1, 1, sha256($2::bytea || $3::bytea)) \
     ON CONFLICT (organization_id) DO UPDATE SET sequence = h.sequence + 1, hash = sha256(h.hash || $3::bytea) RETURNING sequence, hash) \
     INSERT INTO audit_entries (organization_id, sequence, id, time, actor, action, target_kind, target, request, diff, hash) \
     SELECT $1, sequence, $4, $5, $6, $7, $8, $9, $10, $11, hash FROM head";
const ENTER_KINDS: [Kind; 11] = [
    Kind::Integer,
    Kind::Bytes,
    Kind::Bytes,
    Kind::Integer,
    Kind::Integer,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Json,
];

fn event_values(event: &PreparedEvent) -> Vec<Value> {
    let place = [
        Value::Integer(event.id.to_i64()),
        Value::Integer(event.organization),
        Value::Text(event.stream.clone()),
    ];
    place.into_iter().chain(event.rest.iter().cloned()).collect()
}

const APPEND: &str = "WITH head AS (INSERT INTO streams AS s (organization_id, stream, epoch, head) VALUES ($2, $3, 1, 1) \
     ON CONFLICT (organization_id, stream) DO UPDATE SET head = s.head + 1 RETURNING epoch, head) \
     INSERT INTO events (id, organization_id, stream, epoch, stream_offset, time, kind, version, actor, aggregate_kind, aggregate_id, \
     aggregate_version, client_mutation_id, traceparent, payload) \
     SELECT $1, $2, $3, epoch, head, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM head RETURNING stream_offset";
const APPEND_KINDS: [Kind; 13] = [
    Kind::Integer,
    Kind::Integer,
    Kind::Text,
    Kind::Integer,
    Kind::Text,
    Kind::Integer,
    Kind::Json,
    Kind::Text,
    Kind::Text,
    Kind::Integer,
    Kind::Text,
    Kind::Text,
    Kind::Json,
];

/// Sends the statements of a commit; how many answers they have.
async fn unit_statements<'p>(
    pipeline: &mut Pipeline<'p>,
    unit: &'p Prepared,
    values: &'p UnitValues,
) -> Result<usize, tokio_postgres::Error> {
    pipeline.plain(scope_and_locks(unit));
    let mut sent = 1;
    for statement in unit.idempotency.iter().chain(&unit.unchanged).chain(&unit.writes) {
        pipeline.send(Sent::of(&statement.bound.text, &statement.bound.values)).await?;
        sent += 1;
    }
    for end in &values.ends {
        sent += end.send(pipeline).await?;
    }
    sent += jobs::enqueue(pipeline, &unit.jobs).await?;
    for (guard, values) in unit.counts.iter().zip(&values.counts) {
        count(pipeline, guard, values);
        sent += 1;
    }
    for values in &values.audit {
        pipeline.send(Sent { sql: ENTER, values, kinds: &ENTER_KINDS }).await?;
        sent += 1;
    }
    for values in &values.events {
        pipeline.send(Sent { sql: APPEND, values, kinds: &APPEND_KINDS }).await?;
        sent += 1;
    }
    Ok(sent)
}

/// Sets the scope, then takes the locks of every organization that the commit touches, in their order.
fn scope_and_locks(unit: &Prepared) -> String {
    let mut sql = scope(unit.scope);
    let mut organizations: Vec<i64> = unit
        .audit
        .iter()
        .map(|entry| entry.entry.organization)
        .chain(unit.events.iter().map(|event| event.organization))
        .chain(unit.touched.iter().copied())
        .chain(unit.scope.organization().map(|id| id.to_i64()))
        .filter(|&organization| organization != 0)
        .collect();
    organizations.sort_unstable();
    organizations.dedup();
    for organization in organizations {
        sql.push_str(&format!("; SELECT pg_advisory_xact_lock({organization})"));
    }
    for mailbox in jobs::mailbox_locks(&unit.jobs, &unit.ends) {
        sql.push_str(&format!("; SELECT pg_advisory_xact_lock(1, {mailbox})"));
    }
    sql
}

/// Sets the one scope of a transaction; without a scope there are no rows, so nothing else must be unset.
pub(crate) fn scope_alone(scope: Scope) -> String {
    match scope {
        Scope::Organization(id) => format!("SET LOCAL stoa.organization = '{}'", id.raw()),
        Scope::System => "SET LOCAL stoa.system = 'on'".to_owned(),
    }
}

/// Sets the scope until the end of the transaction, or until the next is set.
fn scope(scope: Scope) -> String {
    match scope {
        Scope::Organization(id) => {
            format!("SET LOCAL stoa.system = 'off'; SET LOCAL stoa.organization = '{}'", id.raw())
        }
        Scope::System => "SET LOCAL stoa.system = 'on'; SET LOCAL stoa.organization = ''".to_owned(),
    }
}

/// Refuses unless the number of rows of a query lies within its bounds.
fn count<'p>(pipeline: &mut Pipeline<'p>, count: &'p stoa_store::prepare::Count, values: &'p [Value]) {
    let first = count.bound.values.len() + 1;
    let (second, third) = (first + 1, first + 2);
    let sql = format!("SELECT stoa_expect(({}), ${first}, ${second}, ${third})", count.bound.text.sql);
    let kinds =
        count.bound.text.kinds.iter().copied().chain([Kind::Integer, Kind::Integer, Kind::Text]).collect();
    pipeline.send_owned(sql, values, kinds);
}
