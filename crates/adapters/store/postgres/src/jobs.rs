//! Jobs: enqueued and ended within commits, claimed and given back in transactions of their own. Leases end and times come by the clock
//! of the database, which all processes share.
//!
//! Claiming is two round trips: what could be claimed is locked (`SKIP LOCKED`, so workers never wait for each other) and read by its
//! lanes; which of it is claimed is decided by the same function as everywhere.

use std::collections::HashMap;
use std::sync::LazyLock;

use stoa_jobs::queue::{self, Again, Claim, Claimed, Depth, Finish, Held, Queue, Tidied};
use stoa_jobs::share::{self, Candidate};
use stoa_kernel::clock::Micros;
use stoa_kernel::id::JobId;
use stoa_kernel::store::queue::{JobState, QueuedJob};
use stoa_kernel::store::{
    BoxFuture, Duplicate, Ended, Field as _, Json, Kind, Record as _, StoreError, StoreErrorKind, Value,
};
use stoa_store::prepare::{PreparedEnd, PreparedJob};
use tokio_postgres::types::FromSql;
use tokio_postgres::{Error, Row};

use crate::failure;
use crate::pipeline::{Array, Lent, Pipeline, Sent};
use crate::store::{PostgresStore, only_rows, values_of};

/// The time of the database, in microseconds.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// Plans that find rows by their keys, however many there were when the plan was made.
const BY_KEYS: &str = "SET LOCAL stoa.system = 'on'; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL idle_in_transaction_session_timeout = 5000";

macro_rules! enqueue {
    ($conflict:literal) => {
        concat!(
            "INSERT INTO jobs (id, organization_id, queue, kind, payload, priority, state, run_at, order_key, dedupe_key, batch_key, context, \
             created_at, attempts, replays, progress, errors, version) \
             SELECT u.id, u.organization_id, u.queue, u.kind, u.payload, u.priority, \
             CASE WHEN u.order_key IS NOT NULL AND (u.follows OR EXISTS (SELECT FROM jobs o WHERE o.organization_id = u.organization_id \
             AND o.order_key = u.order_key AND o.state <> 'failed')) THEN 'waiting' ELSE u.state END, \
             u.run_at, u.order_key, u.dedupe_key, u.batch_key, u.context::json, u.created_at, 0, u.replays, 0, '[]'::json, 1 \
             FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::text[], $8::bigint[], $9::text[], \
             $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::boolean[]) WITH ORDINALITY \
             AS u (id, organization_id, queue, kind, payload, priority, state, run_at, order_key, dedupe_key, batch_key, context, created_at, \
             replays, follows, place) ORDER BY u.place",
            $conflict
        )
    };
}
const ENQUEUE: &str = enqueue!("");
const ENQUEUE_OR_SKIP: &str =
    enqueue!(" ON CONFLICT (organization_id, queue, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING");

const FINISHED: &str = "INSERT INTO finished_jobs (id, organization_id, queue, kind, priority, state, batch_key, context, created_at, attempts, \
     started_at, finished_at, message, errors, result, expires_at, version) \
     SELECT id, organization_id, queue, kind, priority";
static MOVE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH ended AS (DELETE FROM jobs WHERE id = $1 AND version = $2 RETURNING *), \
         kept AS ({FINISHED}, $3::text, batch_key, context, created_at, attempts, started_at, $4::bigint, message, errors, $5::bytea, $6::bigint, version \
         FROM ended WHERE $6 > 0) SELECT stoa_expect((SELECT count(*) FROM ended), 1, 1, 'jobs_version')"
    )
});
const MOVE_KINDS: [Kind; 6] =
    [Kind::Integer, Kind::Integer, Kind::Text, Kind::Integer, Kind::Bytes, Kind::Integer];
const BURY: &str = "WITH ended AS (UPDATE jobs SET state = $3, reason = $4, errors = $5, failed_at = $6, expires_at = $7, dedupe_key = NULL, \
     holder = NULL, lease_until = NULL, version = version + 1 WHERE id = $1 AND version = $2 RETURNING 1) \
     SELECT stoa_expect((SELECT count(*) FROM ended), 1, 1, 'jobs_version')";
const BURY_KINDS: [Kind; 7] =
    [Kind::Integer, Kind::Integer, Kind::Text, Kind::Text, Kind::Json, Kind::Integer, Kind::Integer];
/// The next of a mailbox, when nobody is before it.
const NEXT: &str = concat!(
    "UPDATE jobs SET state = CASE WHEN run_at > ",
    now!(),
    " THEN 'scheduled' ELSE 'ready' END WHERE state = 'waiting' AND id = \
     (SELECT id FROM jobs WHERE organization_id = $1 AND order_key = $2 AND state NOT IN ('failed', 'running') ORDER BY sequence LIMIT 1) \
     AND NOT EXISTS (SELECT FROM jobs WHERE organization_id = $1 AND order_key = $2 AND state = 'running') RETURNING 1::bigint"
);

/// The same, over arrays.
static NEXT_OF: LazyLock<String> =
    LazyLock::new(|| NEXT.replace("$1", "($1::bigint[])[1]").replace("$2", "($2::text[])[1]"));

static FINISH: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH asked AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS u (id, version, keep_us)), \
         ended AS (DELETE FROM jobs j USING asked a WHERE j.id = a.id AND j.version = a.version RETURNING j.*, a.keep_us), \
         kept AS ({FINISHED}, 'completed', batch_key, context, created_at, attempts, started_at, {now}, message, errors, NULL, {now} + keep_us, version \
         FROM ended WHERE keep_us > 0) SELECT id, version FROM ended",
        now = now!()
    )
});

const LIMITED: &str = "SELECT pg_advisory_xact_lock(2, hashtext(name)) FROM (SELECT name FROM queues WHERE concurrency_max IS NOT NULL AND name = ANY($1::text[]) \
     ORDER BY name) AS limited";
const ROOMS: &str = "SELECT q.place - 1, greatest(0, s.concurrency_max - (SELECT count(*) FROM jobs j WHERE j.state = 'running' AND j.queue = q.name)) \
     FROM unnest($1::text[]) WITH ORDINALITY AS q (name, place) JOIN queues s ON s.name = q.name WHERE s.concurrency_max IS NOT NULL";
/// The tenants of each lane are found one by one along the index, not by reading all that waits.
const LOOK: &str = "WITH RECURSIVE lanes AS (SELECT q.place - 1 AS queue, q.name, p.level FROM unnest($1::text[]) WITH ORDINALITY AS q (name, place) \
     CROSS JOIN generate_series(0::bigint, ($2::bigint[])[4]) AS p (level) \
     WHERE NOT EXISTS (SELECT FROM queues s WHERE s.name = q.name AND s.paused_at IS NOT NULL)), \
     tenants (queue, name, level, organization_id, number) AS ( \
     SELECT l.queue, l.name, l.level, (SELECT j.organization_id FROM jobs j WHERE j.state = 'ready' AND j.queue = l.name AND j.priority = l.level \
     AND j.organization_id > CASE WHEN l.level < 2 THEN -1 ELSE ($2::bigint[])[1] END ORDER BY j.organization_id LIMIT 1), 1::bigint FROM lanes l \
     UNION ALL \
     SELECT t.queue, t.name, t.level, (SELECT j.organization_id FROM jobs j WHERE j.state = 'ready' AND j.queue = t.name AND j.priority = t.level \
     AND j.organization_id > t.organization_id ORDER BY j.organization_id LIMIT 1), t.number + 1 \
     FROM tenants t WHERE t.organization_id IS NOT NULL AND t.number < ($2::bigint[])[3]), \
     seen AS (SELECT t.*, EXISTS (SELECT FROM job_holds h WHERE h.organization_id = t.organization_id) AS is_held FROM tenants t \
     WHERE t.organization_id IS NOT NULL), \
     counted AS (SELECT s.*, count(*) FILTER (WHERE NOT s.is_held) OVER (PARTITION BY s.queue, s.level) AS live FROM seen s) \
     SELECT c.queue, c.level, c.organization_id, found.id FROM counted c LEFT JOIN LATERAL ( \
     SELECT j.id, j.sequence FROM jobs j WHERE NOT c.is_held AND j.state = 'ready' AND j.queue = c.name AND j.priority = c.level \
     AND j.organization_id = c.organization_id ORDER BY j.sequence \
     LIMIT ((($2::bigint[])[2] + greatest(c.live, 1) - 1) / greatest(c.live, 1)) FOR UPDATE SKIP LOCKED) AS found ON true \
     ORDER BY c.queue, c.level, c.organization_id, found.sequence";

static COLUMNS: LazyLock<String> = LazyLock::new(|| {
    QueuedJob::META.columns.iter().map(|column| format!("j.{}", column.name)).collect::<Vec<_>>().join(", ")
});
static TAKE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE jobs j SET state = 'running', holder = ($2::text[])[1], lease_until = {now} + ($3::bigint[])[1], started_at = {now}, \
         attempts = j.attempts + 1, progress = 0, message = NULL, version = j.version + 1 \
         FROM unnest($1::bigint[]) AS picked (id) WHERE j.id = picked.id RETURNING {}",
        *COLUMNS,
        now = now!()
    )
});

/// The tenants of a lane that are looked at, however little room there is.
const TENANTS_MIN: u32 = 64;

/// The locks of the mailboxes of a commit, after those of its organizations.
pub(crate) fn mailbox_locks(jobs: &[PreparedJob], ends: &[PreparedEnd]) -> Vec<i32> {
    let asked = jobs.iter().filter_map(|job| Some((job.organization, job.order_key.as_ref()?)));
    let ended = ends.iter().filter_map(|end| Some((end.end.organization, end.end.order_key.as_ref()?)));
    let mut locks: Vec<i32> =
        asked.chain(ended).map(|(organization, key)| mailbox(organization, key)).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// A number for a mailbox (FNV-1a; two mailboxes with one number wait for each other, which does no harm).
fn mailbox(organization: i64, key: &str) -> i32 {
    let bytes = organization.to_be_bytes().into_iter().chain(key.bytes());
    let hash = bytes.fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

/// The values of the statements that end a job.
pub(crate) struct EndValues {
    sql: &'static str,
    kinds: &'static [Kind],
    values: Vec<Value>,
    next: Option<Vec<Value>>,
}

impl EndValues {
    pub(crate) fn of(prepared: &PreparedEnd) -> Self {
        let PreparedEnd { end, result, now } = prepared;
        let key = [end.id.to_value(), Value::Integer(end.version)];
        let gone = |state: &str, keep_us: i64| {
            let expires = if keep_us > 0 { now.plus(keep_us).0 } else { 0 };
            vec![Value::Text(state.to_owned()), now.to_value(), result.clone(), Value::Integer(expires)]
        };
        let (sql, kinds, rest): (&'static str, &'static [Kind], _) = match &end.how {
            Ended::Completed(_, keep_us) => (&MOVE, &MOVE_KINDS, gone("completed", *keep_us)),
            Ended::Cancelled(keep_us) => (&MOVE, &MOVE_KINDS, gone("cancelled", *keep_us)),
            Ended::Discarded => (&MOVE, &MOVE_KINDS, gone("cancelled", 0)),
            Ended::Failed { reason, errors, holds, keep_us } => {
                let state = if *holds { JobState::Holding } else { JobState::Failed };
                let expires = (!holds).then(|| now.plus(*keep_us));
                let reason = Value::Text(reason.clone());
                let errors = Json(errors.clone()).to_value();
                (
                    BURY,
                    &BURY_KINDS,
                    vec![state.to_value(), reason, errors, now.to_value(), expires.to_value()],
                )
            }
        };
        let next = end.order_key.clone().map(|key| vec![Value::Integer(end.organization), Value::Text(key)]);
        Self { sql, kinds, values: key.into_iter().chain(rest).collect(), next }
    }

    /// Sends the statements; how many answers they have.
    pub(crate) async fn send<'p>(&'p self, pipeline: &mut Pipeline<'p>) -> Result<usize, Error> {
        pipeline.send(Sent { sql: self.sql, values: &self.values, kinds: self.kinds }).await?;
        let Some(next) = &self.next else { return Ok(1) };
        pipeline.send(Sent { sql: NEXT, values: next, kinds: &[Kind::Integer, Kind::Text] }).await?;
        Ok(2)
    }
}

/// Sends the jobs of a commit; how many answers that has.
pub(crate) async fn enqueue(pipeline: &mut Pipeline<'_>, jobs: &[PreparedJob]) -> Result<usize, Error> {
    let mut sent = 0;
    for run in jobs.chunk_by(|a, b| a.on_duplicate == b.on_duplicate) {
        let sql = match run.first().map(|job| job.on_duplicate) {
            Some(Duplicate::Refuse) => ENQUEUE,
            _ => ENQUEUE_OR_SKIP,
        };
        pipeline.send_arrays(sql, arrays(run)).await?;
        sent += 1;
    }
    // One that was to be before another may have been skipped.
    for job in jobs.iter().filter(|job| job.follows) {
        let Some(key) = &job.order_key else { continue };
        let mailbox = vec![Array::Integers(vec![job.organization]), Array::Texts(vec![Some(key.clone())])];
        pipeline.send_arrays(&NEXT_OF, mailbox).await?;
        sent += 1;
    }
    Ok(sent)
}

/// The columns of jobs, as `ENQUEUE` takes them.
fn arrays(jobs: &[PreparedJob]) -> Vec<Array> {
    type Q = QueuedJob;
    let column = |index: usize| jobs.iter().map(move |job| job.values.get(index).unwrap_or(&Value::Null));
    let integers = |index| Array::Integers(column(index).map(|value| value.integer().unwrap_or(0)).collect());
    let texts = |index| {
        let text = |value: &Value| match value {
            Value::Text(text) | Value::Json(text) => Some(text.clone()),
            _ => None,
        };
        Array::Texts(column(index).map(text).collect())
    };
    let bytes = |value: &Value| match value {
        Value::Bytes(bytes) => bytes.clone(),
        _ => Vec::new(),
    };
    vec![
        integers(Q::ID.index),
        integers(Q::ORGANIZATION_ID.index),
        texts(Q::QUEUE.index),
        texts(Q::KIND.index),
        Array::Bytes(column(Q::PAYLOAD.index).map(bytes).collect()),
        integers(Q::PRIORITY.index),
        texts(Q::STATE.index),
        integers(Q::RUN_AT.index),
        texts(Q::ORDER_KEY.index),
        texts(Q::DEDUPE_KEY.index),
        texts(Q::BATCH_KEY.index),
        texts(Q::CONTEXT.index),
        integers(Q::CREATED_AT.index),
        integers(Q::REPLAYS.index),
        Array::Booleans(jobs.iter().map(|job| job.follows).collect()),
    ]
}

fn get<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|error| failure::of(&error))
}

fn id_of(row: &Row, index: usize) -> Result<JobId, StoreError> {
    let raw: i64 = get(row, index)?;
    let id = u64::try_from(raw).ok().and_then(JobId::from_raw);
    id.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, format!("jobs: id: {raw} is none")))
}

fn held_of(rows: &[Row]) -> Result<Vec<Held>, StoreError> {
    rows.iter().map(|row| Ok(Held { id: id_of(row, 0)?, version: get(row, 1)? })).collect()
}

fn held_arrays(held: impl Iterator<Item = Held> + Clone) -> [Array; 2] {
    [
        Array::Integers(held.clone().map(|one| one.id.to_i64()).collect()),
        Array::Integers(held.map(|one| one.version).collect()),
    ]
}

/// What can be claimed, from the rows of [`LOOK`]; and the organization after which there may be more.
fn candidates(rows: &[Row], tenants_max: u32) -> Result<(Vec<Candidate>, Option<i64>), StoreError> {
    let (mut found, mut turns) = (Vec::with_capacity(rows.len()), HashMap::<(i64, i64, i64), usize>::new());
    let mut lanes = HashMap::<(i64, i64), (u32, i64)>::new();
    for row in rows {
        let (queue, level, organization): (i64, i64, i64) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let turn = turns.entry((queue, level, organization)).or_default();
        if *turn == 0 {
            let lane = lanes.entry((queue, level)).or_default();
            *lane = (lane.0 + 1, organization);
        }
        if let Some(id) = get::<Option<i64>>(row, 3)? {
            found.push(Candidate {
                id,
                queue: usize::try_from(queue).unwrap_or(0),
                priority: usize::try_from(level).unwrap_or(3),
                organization,
                turn: *turn,
            });
        }
        *turn += 1;
    }
    let full = lanes.iter().filter(|((_, level), (count, _))| *level >= 2 && *count >= tenants_max);
    let after = full.map(|(_, (_, last))| *last).min();
    Ok((found, after))
}

impl PostgresStore {
    /// One transaction in the scope of the installation, in one round trip.
    async fn by_keys(&self, sql: &'static str, arrays: Vec<Array>) -> Result<Vec<Row>, StoreError> {
        let mut lent = self.lend().await?;
        let Some(connection) = lent.get() else { return Ok(Vec::new()) };
        let mut pipeline = Pipeline::new(connection, self.shared.prepared);
        pipeline.plain(format!("BEGIN; {BY_KEYS}"));
        pipeline.send_arrays(sql, arrays).await.map_err(|error| failure::of(&error))?;
        let (rows, is_clean) = only_rows(connection, pipeline).await;
        if is_clean {
            lent.done();
        }
        rows
    }

    async fn lend(&self) -> Result<Lent, StoreError> {
        self.pool().get().await.map(Lent::new).map_err(|error| crate::store::no_connection(&error))
    }

    async fn take(&self, ask: &Claim) -> Result<Taken, StoreError> {
        let mut lent = self.lend().await?;
        let Some(connection) = lent.get() else { return Ok(Taken::default()) };
        let taken = self.take_on(connection, ask).await;
        if taken.is_ok() || connection.batch_execute("ROLLBACK").await.is_ok() {
            lent.done();
        }
        taken.map_err(|error| match error {
            Refused::Driver(error) => failure::of(&error),
            Refused::Store(error) => error,
        })
    }

    async fn take_on(&self, connection: &deadpool_postgres::Object, ask: &Claim) -> Result<Taken, Refused> {
        let tenants_max = ask.room.max(TENANTS_MIN);
        let queues = || Array::Texts(ask.queues.iter().cloned().map(Some).collect());
        // Where there is room for nothing else, only what is urgent is looked at.
        let last = if ask.room_late == 0 { 1 } else { 3 };
        let numbers = Array::Integers(vec![ask.after, i64::from(ask.room), i64::from(tenants_max), last]);
        let mut pipeline = Pipeline::new(connection, self.shared.prepared);
        pipeline.plain(format!("BEGIN; {BY_KEYS}"));
        pipeline.send_arrays(LIMITED, vec![queues()]).await?;
        pipeline.send_arrays(ROOMS, vec![queues()]).await?;
        pipeline.send_arrays(LOOK, vec![queues(), numbers]).await?;
        let (answers, failed) = pipeline.run().await;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let [_, _, rooms, looked] = answers.as_slice() else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the answers were cut off").into());
        };
        let (candidates, after) = candidates(looked, tenants_max)?;
        let mut room = ask.room();
        for row in rooms {
            let (queue, left): (i64, i64) = (get(row, 0)?, get(row, 1)?);
            room.queues.insert(usize::try_from(queue).unwrap_or(0), usize::try_from(left).unwrap_or(0));
        }
        let mut strides = ask.strides;
        let count = candidates.len();
        let picked = share::pick(candidates, &mut strides, room);
        let has_more = picked.len() < count;
        let mut pipeline = Pipeline::new(connection, self.shared.prepared);
        if !picked.is_empty() {
            let order = picked.clone();
            let arrays = vec![
                Array::Integers(picked),
                Array::Texts(vec![Some(ask.holder.clone())]),
                Array::Integers(vec![ask.lease_us]),
            ];
            pipeline.send_arrays(&TAKE, arrays).await?;
            pipeline.plain("COMMIT".to_owned());
            let (mut answers, failed) = pipeline.run().await;
            if let Some(error) = failed {
                return Err(error.into());
            }
            let mut rows = if answers.is_empty() { Vec::new() } else { answers.swap_remove(0) };
            let places: HashMap<i64, usize> = order.into_iter().zip(0..).collect();
            rows.sort_by_key(|row| row.try_get::<_, i64>(0).ok().and_then(|id| places.get(&id).copied()));
            return Ok(Taken { rows, strides, after, has_more });
        }
        connection.batch_execute("COMMIT").await?;
        Ok(Taken { rows: Vec::new(), strides, after, has_more })
    }
}

/// What a claim found.
#[derive(Default)]
struct Taken {
    rows: Vec<Row>,
    strides: share::Strides,
    after: Option<i64>,
    has_more: bool,
}

/// What ended a transaction.
enum Refused {
    Driver(Error),
    Store(StoreError),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Queue for PostgresStore {
    fn claim<'a>(&'a self, ask: &'a Claim) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            if ask.room == 0 {
                return Ok(Claimed { strides: ask.strides, ..Claimed::default() });
            }
            let Taken { rows, strides, after, has_more } = self.take(ask).await?;
            let mut claimed = Claimed { strides, after, has_more, ..Claimed::default() };
            let select = QueuedJob::select().build();
            for row in &rows {
                let row = values_of(row)?;
                claimed.add(&row, self.opened(&select, vec![row.clone()]).await);
            }
            Ok(claimed)
        })
    }

    fn renew<'a>(&'a self, held: &'a [Held], lease_us: i64) -> BoxFuture<'a, Result<Vec<Held>, StoreError>> {
        const RENEW: &str = concat!(
            "UPDATE jobs j SET lease_until = ",
            now!(),
            " + ($3::bigint[])[1] FROM unnest($1::bigint[], $2::bigint[]) AS u (id, version) \
             WHERE j.id = u.id AND j.version = u.version AND j.state = 'running' RETURNING j.id, j.version"
        );
        Box::pin(async move {
            let mut held = held.to_vec();
            held.sort_unstable_by_key(|one| one.id.raw());
            let [ids, versions] = held_arrays(held.iter().copied());
            held_of(&self.by_keys(RENEW, vec![ids, versions, Array::Integers(vec![lease_us])]).await?)
        })
    }

    fn ask_to_stop(&self, held: Held, now: Micros) -> BoxFuture<'_, Result<bool, StoreError>> {
        const STOP: &str = "UPDATE jobs SET cancel_at = ($1::bigint[])[3] \
             WHERE id = ($1::bigint[])[1] AND version = ($1::bigint[])[2] AND state = 'running' RETURNING id";
        Box::pin(async move {
            let numbers = vec![held.id.to_i64(), held.version, now.0];
            Ok(!self.by_keys(STOP, vec![Array::Integers(numbers)]).await?.is_empty())
        })
    }

    fn cancelled<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<Vec<JobId>, StoreError>> {
        const ASKED: &str = "SELECT id FROM jobs WHERE state = 'running' AND holder = ($1::text[])[1] AND cancel_at IS NOT NULL";
        Box::pin(async move {
            let rows = self.by_keys(ASKED, vec![Array::Texts(vec![Some(holder.to_owned())])]).await?;
            rows.iter().map(|row| id_of(row, 0)).collect()
        })
    }

    fn finish<'a>(&'a self, done: &'a [Finish]) -> BoxFuture<'a, Result<Vec<Held>, StoreError>> {
        Box::pin(async move {
            let mut done = done.to_vec();
            done.sort_unstable_by_key(|one| one.held.id.raw());
            let [ids, versions] = held_arrays(done.iter().map(|one| one.held));
            let keep = Array::Integers(done.iter().map(|one| one.keep_us).collect());
            held_of(&self.by_keys(&FINISH, vec![ids, versions, keep]).await?)
        })
    }

    fn again<'a>(&'a self, job: &'a Again) -> BoxFuture<'a, Result<bool, StoreError>> {
        const AGAIN: &str = concat!(
            "UPDATE jobs SET state = CASE WHEN ($1::bigint[])[3] > 0 THEN 'scheduled' ELSE 'ready' END, run_at = ",
            now!(),
            " + ($1::bigint[])[3], attempts = ($1::bigint[])[4], errors = ($2::text[])[1]::json, holder = NULL, lease_until = NULL, \
             version = version + 1 WHERE id = ($1::bigint[])[1] AND version = ($1::bigint[])[2] AND state = 'running' RETURNING id"
        );
        Box::pin(async move {
            let Value::Json(errors) = Json(job.errors.clone()).to_value() else { return Ok(false) };
            let numbers = vec![job.held.id.to_i64(), job.held.version, job.delay_us, job.attempts];
            let arrays = vec![Array::Integers(numbers), Array::Texts(vec![Some(errors)])];
            Ok(!self.by_keys(AGAIN, arrays).await?.is_empty())
        })
    }

    fn progress<'a>(
        &'a self,
        held: Held,
        percent: i64,
        message: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        const SAY: &str = "UPDATE jobs SET progress = ($1::bigint[])[3], message = ($2::text[])[1] \
             WHERE id = ($1::bigint[])[1] AND version = ($1::bigint[])[2] AND state = 'running' RETURNING id";
        Box::pin(async move {
            let numbers = Array::Integers(vec![held.id.to_i64(), held.version, percent]);
            let arrays = vec![numbers, Array::Texts(vec![message.map(str::to_owned)])];
            Ok(!self.by_keys(SAY, arrays).await?.is_empty())
        })
    }

    fn tidy(&self, limit: u32) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        const TIDY: &str = concat!(
            "WITH moment AS MATERIALIZED (SELECT ",
            now!(),
            " AS now), due AS (UPDATE jobs j SET state = 'ready' FROM (SELECT id FROM jobs WHERE state = 'scheduled' AND run_at <= (SELECT now FROM moment) \
             ORDER BY run_at LIMIT ($1::bigint[])[1] FOR UPDATE SKIP LOCKED) AS found WHERE j.id = found.id RETURNING 1), \
             lost AS (UPDATE jobs j SET state = 'ready', holder = NULL, lease_until = NULL FROM (SELECT id FROM jobs WHERE state = 'running' \
             AND lease_until <= (SELECT now FROM moment) LIMIT ($1::bigint[])[1] FOR UPDATE SKIP LOCKED) AS found WHERE j.id = found.id RETURNING 1) \
             SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM lost), \
             (SELECT run_at - (SELECT now FROM moment) FROM jobs WHERE state = 'scheduled' AND run_at > (SELECT now FROM moment) ORDER BY run_at LIMIT 1)"
        );
        Box::pin(async move {
            let rows = self.by_keys(TIDY, vec![Array::Integers(vec![i64::from(limit)])]).await?;
            let Some(row) = rows.first() else { return Ok(Tidied::default()) };
            let count = |index| get::<i64>(row, index).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            Ok(Tidied { due: count(0)?, lost: count(1)?, next_us: get(row, 2)? })
        })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, StoreError>> {
        const DEPTHS: &str = "SELECT queue, state, count(*), min(run_at) FROM (SELECT queue, state, run_at FROM jobs LIMIT 100000) AS found GROUP BY queue, state";
        Box::pin(async move {
            let rows = self
                .within(
                    stoa_kernel::context::Scope::System,
                    None,
                    Sent { sql: DEPTHS, values: &[], kinds: &[] },
                )
                .await?;
            Ok(queue::gather(&rows.iter().map(values_of).collect::<Result<Vec<_>, _>>()?))
        })
    }
}
