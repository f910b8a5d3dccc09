//! Jobs: enqueued and ended within commits, claimed and given back by tasks of the writer. One writer means that no two statements of
//! these ever meet.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension as _};
use stoa_jobs::queue::{self, Again, Claim, Claimed, Depth, Finish, Held, Queue, Tidied};
use stoa_jobs::share::{self, Candidate, Room};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Scope;
use stoa_kernel::id::JobId;
use stoa_kernel::store::queue::{JobState, QueuedJob};
use stoa_kernel::store::{
    BoxFuture, ColumnMeta, Duplicate, Ended, Field as _, JobEnd, Json, Kind, Record as _, StoreError, Value,
};
use stoa_store::prepare::{PreparedEnd, PreparedJob};

use crate::failure;
use crate::reader::{Bind, value};
use crate::store::SqliteStore;

static COLUMNS: LazyLock<String> =
    LazyLock::new(|| QueuedJob::META.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", "));

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let places = (1..=QueuedJob::META.columns.len()).map(|place| format!("?{place}")).collect::<Vec<_>>();
    format!("INSERT OR FAIL INTO main.jobs ({}) VALUES ({})", *COLUMNS, places.join(", "))
});
static INSERT_OR_SKIP: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} ON CONFLICT (organization_id, queue, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING",
        *INSERT
    )
});
static TAKE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE main.jobs SET state = 'running', holder = ?2, lease_until = ?3, started_at = ?4, attempts = attempts + 1, progress = 0, \
         message = NULL, version = version + 1 WHERE id = ?1 AND state = 'ready' RETURNING {}",
        *COLUMNS
    )
});

const OCCUPIED: &str =
    "SELECT 1 FROM main.jobs WHERE organization_id = ?1 AND order_key = ?2 AND state <> 'failed' LIMIT 1";
const KEEP: &str = "INSERT OR FAIL INTO main.finished_jobs (id, organization_id, queue, kind, priority, state, batch_key, context, created_at, \
     attempts, started_at, finished_at, message, errors, result, expires_at, version) \
     SELECT id, organization_id, queue, kind, priority, ?3, batch_key, context, created_at, attempts, started_at, ?4, message, errors, ?5, \
     ?6, version FROM main.jobs WHERE id = ?1 AND version = ?2";
const REMOVE: &str = "DELETE FROM main.jobs WHERE id = ?1 AND version = ?2";
const BURY: &str = "UPDATE OR FAIL main.jobs SET state = ?3, reason = ?4, errors = ?5, failed_at = ?6, expires_at = ?7, dedupe_key = NULL, \
     holder = NULL, lease_until = NULL, version = version + 1 WHERE id = ?1 AND version = ?2";
/// The next of a mailbox, when nobody is before it.
const NEXT: &str = "UPDATE OR FAIL main.jobs SET state = CASE WHEN run_at > ?3 THEN 'scheduled' ELSE 'ready' END WHERE id = \
     (SELECT id FROM main.jobs WHERE organization_id = ?1 AND order_key = ?2 AND state NOT IN ('failed', 'running') ORDER BY sequence LIMIT 1) \
     AND state = 'waiting' AND NOT EXISTS (SELECT 1 FROM main.jobs WHERE organization_id = ?1 AND order_key = ?2 AND state = 'running')";

/// Gives back what a process held that is gone: the folder has one at a time. A schema from before there were states has nothing to give.
pub(crate) fn release(connection: &Connection) -> rusqlite::Result<()> {
    let has_states =
        connection.prepare("SELECT 1 FROM pragma_table_info('jobs') WHERE name = 'state'")?.exists([])?;
    if has_states {
        const RELEASE: &str =
            "UPDATE jobs SET state = 'ready', holder = NULL, lease_until = NULL WHERE state = 'running'";
        connection.execute(RELEASE, [])?;
    }
    Ok(())
}

/// The last place in the order that a job has which is still there.
pub(crate) fn last_sequence(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(sequence), 0) FROM main.jobs", [], |row| row.get(0))
}

/// Enqueues a job.
pub(crate) fn enqueue(connection: &Connection, job: &PreparedJob, sequence: i64) -> rusqlite::Result<()> {
    let is_behind = match &job.order_key {
        Some(key) => connection.prepare_cached(OCCUPIED)?.exists((job.organization, key))?,
        None => false,
    };
    let state = if is_behind { JobState::Waiting } else { job.state }.to_value();
    let sql = match job.on_duplicate {
        Duplicate::Skip => &*INSERT_OR_SKIP,
        Duplicate::Refuse => &*INSERT,
    };
    let mut statement = connection.prepare_cached(sql)?;
    for (index, value) in job.values.iter().enumerate() {
        if index == QueuedJob::STATE.index {
            statement.raw_bind_parameter(index + 1, Bind(&state))?;
        } else if index == QueuedJob::SEQUENCE.index {
            statement.raw_bind_parameter(index + 1, sequence)?;
        } else {
            statement.raw_bind_parameter(index + 1, Bind(value))?;
        }
    }
    statement.raw_execute().map(|_| ())
}

/// Ends a job, and lets its mailbox go on; whether it was as it was read.
pub(crate) fn end(connection: &Connection, prepared: &PreparedEnd) -> rusqlite::Result<bool> {
    let PreparedEnd { end, result, now } = prepared;
    let key = (end.id.to_i64(), end.version);
    let keep = |state: &str, keep_us: i64| {
        if keep_us <= 0 {
            return Ok(0);
        }
        let expires = now.plus(keep_us).0;
        connection.prepare_cached(KEEP)?.execute((key.0, key.1, state, now.0, Bind(result), expires))
    };
    let changed = match &end.how {
        Ended::Completed(_, keep_us) => {
            keep("completed", *keep_us)?;
            connection.prepare_cached(REMOVE)?.execute(key)?
        }
        Ended::Cancelled(keep_us) => {
            keep("cancelled", *keep_us)?;
            connection.prepare_cached(REMOVE)?.execute(key)?
        }
        Ended::Discarded => connection.prepare_cached(REMOVE)?.execute(key)?,
        Ended::Failed { reason, errors, holds, keep_us } => {
            let (state, expires) = if *holds {
                (JobState::Holding, None)
            } else {
                (JobState::Failed, Some(now.plus(*keep_us).0))
            };
            let errors = Json(errors.clone()).to_value();
            connection.prepare_cached(BURY)?.execute((
                key.0,
                key.1,
                state.name(),
                reason,
                Bind(&errors),
                now.0,
                expires,
            ))?
        }
    };
    if let Some(mailbox) = &end.order_key {
        connection.prepare_cached(NEXT)?.execute((end.organization, mailbox, now.0))?;
    }
    Ok(changed == 1)
}

/// What a claim found: rows as they are stored.
struct Taken {
    rows: Vec<Vec<Value>>,
    strides: share::Strides,
    after: Option<i64>,
    has_more: bool,
}

fn take(connection: &Connection, ask: &Claim, now: Micros) -> rusqlite::Result<Taken> {
    let (candidates, room, after) = look(connection, ask)?;
    let mut strides = ask.strides;
    let count = candidates.len();
    let picked = share::pick(candidates, &mut strides, room);
    let has_more = picked.len() < count;
    let kinds: Vec<Kind> = QueuedJob::META.columns.iter().map(ColumnMeta::stored_kind).collect();
    let mut statement = connection.prepare_cached(&TAKE)?;
    let mut rows = Vec::with_capacity(picked.len());
    for id in picked {
        let read = |row: &rusqlite::Row<'_>| {
            kinds.iter().enumerate().map(|(index, kind)| value(row, index, *kind)).collect()
        };
        let until = now.plus(ask.lease_us).0;
        rows.extend(statement.query_row((id, &ask.holder, until, now.0), read).optional()?);
    }
    Ok(Taken { rows, strides, after, has_more })
}

/// What could be claimed, by lanes.
fn look(connection: &Connection, ask: &Claim) -> rusqlite::Result<(Vec<Candidate>, Room, Option<i64>)> {
    const SETTING: &str = "SELECT paused_at IS NOT NULL, concurrency_max, (SELECT count(*) FROM main.jobs WHERE state = 'running' AND queue = ?1) \
         FROM main.queues WHERE name = ?1";
    const TENANT: &str = "SELECT organization_id FROM main.jobs WHERE state = 'ready' AND queue = ?1 AND priority = ?2 AND organization_id > ?3 \
         ORDER BY organization_id LIMIT 1";
    const HELD: &str = "SELECT 1 FROM main.job_holds WHERE organization_id = ?1";
    const READY: &str = "SELECT id FROM main.jobs WHERE state = 'ready' AND queue = ?1 AND priority = ?2 AND organization_id = ?3 \
         ORDER BY sequence LIMIT ?4";
    let most = usize::try_from(ask.room).unwrap_or(usize::MAX);
    let mut room = ask.room();
    let (mut candidates, mut last) = (Vec::new(), None);
    for (place, queue) in ask.queues.iter().enumerate() {
        let setting: Option<(bool, Option<i64>, i64)> = connection
            .prepare_cached(SETTING)?
            .query_row([queue], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((is_paused, limit, running)) = setting {
            if is_paused {
                continue;
            }
            if let Some(limit) = limit {
                room.queues.insert(place, usize::try_from(limit - running).unwrap_or(0));
            }
        }
        for priority in 0..if ask.room_late == 0 { 2 } else { 4usize } {
            let level = i64::try_from(priority).unwrap_or(3);
            // Urgent ones are looked at from the beginning: they are few.
            let (mut tenants, mut after) = (Vec::new(), if priority < 2 { -1 } else { ask.after });
            let mut next = connection.prepare_cached(TENANT)?;
            while tenants.len() < most
                && let Some(tenant) =
                    next.query_row((queue, level, after), |row| row.get::<_, i64>(0)).optional()?
            {
                after = tenant;
                if !connection.prepare_cached(HELD)?.exists([tenant])? {
                    tenants.push(tenant);
                }
            }
            if tenants.len() == most && priority >= 2 {
                // There may be more after these; where lanes differ, the one that came least far.
                last = Some(last.map_or(after, |last: i64| last.min(after)));
            }
            let share = most.div_ceil(tenants.len().max(1));
            let mut ready = connection.prepare_cached(READY)?;
            for organization in tenants {
                let limit = i64::try_from(share).unwrap_or(i64::MAX);
                let ids = ready.query_map((queue, level, organization, limit), |row| row.get::<_, i64>(0))?;
                for (turn, id) in ids.enumerate() {
                    candidates.push(Candidate { id: id?, queue: place, priority, organization, turn });
                }
            }
        }
    }
    Ok((candidates, room, last))
}

impl Queue for SqliteStore {
    fn claim<'a>(&'a self, ask: &'a Claim) -> BoxFuture<'a, Result<Claimed, StoreError>> {
        Box::pin(async move {
            const ANY: &str = "SELECT state = 'ready' FROM scoped_jobs WHERE state = 'ready' LIMIT 1";
            let kinds = std::iter::once(Kind::Integer);
            // Most of the time there is nothing, and then the writer is not disturbed.
            if ask.room == 0 || self.readers.within(Scope::System)?.rows(ANY, &[], &kinds, None)?.is_empty() {
                return Ok(Claimed { strides: ask.strides, ..Claimed::default() });
            }
            let (asked, now) = (ask.clone(), self.clock.now());
            let taken = self.writer.task(move |connection| take(connection, &asked, now)).await?;
            let select = QueuedJob::select().build();
            let mut claimed = Claimed {
                strides: taken.strides,
                after: taken.after,
                has_more: taken.has_more,
                ..Claimed::default()
            };
            for row in taken.rows {
                claimed.add(&row, self.opened(&select, vec![row.clone()]).await);
            }
            Ok(claimed)
        })
    }

    fn renew<'a>(&'a self, held: &'a [Held], lease_us: i64) -> BoxFuture<'a, Result<Vec<Held>, StoreError>> {
        const RENEW: &str = "UPDATE OR FAIL main.jobs SET lease_until = ?3 WHERE id = ?1 AND version = ?2 AND state = 'running'";
        let (held, until) = (held.to_vec(), self.clock.now().plus(lease_us).0);
        Box::pin(self.writer.task(move |connection| {
            let mut statement = connection.prepare_cached(RENEW)?;
            let mut still = Vec::with_capacity(held.len());
            for one in held {
                if statement.execute((one.id.to_i64(), one.version, until))? == 1 {
                    still.push(one);
                }
            }
            Ok(still)
        }))
    }

    fn ask_to_stop(&self, held: Held, now: Micros) -> BoxFuture<'_, Result<bool, StoreError>> {
        const STOP: &str = "UPDATE OR FAIL main.jobs SET cancel_at = ?3 WHERE id = ?1 AND version = ?2 AND state = 'running'";
        Box::pin(self.writer.task(move |connection| {
            Ok(connection.prepare_cached(STOP)?.execute((held.id.to_i64(), held.version, now.0))? == 1)
        }))
    }

    fn cancelled<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, Result<Vec<JobId>, StoreError>> {
        const ASKED: &str = "SELECT id, cancel_at FROM scoped_jobs WHERE state = 'running' AND holder = ?1 AND cancel_at IS NOT NULL";
        let read = || {
            let values = [Value::Text(holder.to_owned())];
            let kinds = [Kind::Integer, Kind::Integer].into_iter();
            let rows = self.readers.within(Scope::System)?.rows(ASKED, &values, &kinds, None)?;
            let id = |row: &Vec<Value>| {
                row.first().and_then(Value::integer).and_then(|id| JobId::from_raw(u64::try_from(id).ok()?))
            };
            Ok(rows.iter().filter_map(id).collect())
        };
        Box::pin(std::future::ready(read()))
    }

    fn finish<'a>(&'a self, done: &'a [Finish]) -> BoxFuture<'a, Result<Vec<Held>, StoreError>> {
        let now = self.clock.now();
        let ends: Vec<(Held, PreparedEnd)> = done.iter().map(|one| (one.held, prepared(one, now))).collect();
        Box::pin(self.writer.task(move |connection| {
            let mut ended = Vec::with_capacity(ends.len());
            for (held, prepared) in ends {
                if end(connection, &prepared)? {
                    ended.push(held);
                }
            }
            Ok(ended)
        }))
    }

    fn again<'a>(&'a self, job: &'a Again) -> BoxFuture<'a, Result<bool, StoreError>> {
        const AGAIN: &str = "UPDATE OR FAIL main.jobs SET state = CASE WHEN ?3 > ?6 THEN 'scheduled' ELSE 'ready' END, run_at = ?3, attempts = ?4, \
             errors = ?5, holder = NULL, lease_until = NULL, version = version + 1 WHERE id = ?1 AND version = ?2 AND state = 'running'";
        let (job, now) = (job.clone(), self.clock.now());
        Box::pin(self.writer.task(move |connection| {
            let errors = Json(job.errors).to_value();
            let (id, run_at) = (job.held.id.to_i64(), now.plus(job.delay_us).0);
            let values = (id, job.held.version, run_at, job.attempts, Bind(&errors), now.0);
            Ok(connection.prepare_cached(AGAIN)?.execute(values)? == 1)
        }))
    }

    fn progress<'a>(
        &'a self,
        held: Held,
        percent: i64,
        message: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        const SAY: &str = "UPDATE OR FAIL main.jobs SET progress = ?3, message = ?4 WHERE id = ?1 AND version = ?2 AND state = 'running'";
        let message = message.map(str::to_owned);
        Box::pin(self.writer.task(move |connection| {
            let values = (held.id.to_i64(), held.version, percent, message);
            Ok(connection.prepare_cached(SAY)?.execute(values)? == 1)
        }))
    }

    fn tidy(&self, limit: u32) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        const DUE: &str = "UPDATE OR FAIL main.jobs SET state = 'ready' WHERE id IN \
             (SELECT id FROM main.jobs WHERE state = 'scheduled' AND run_at <= ?1 ORDER BY run_at LIMIT ?2)";
        const LOST: &str = "UPDATE OR FAIL main.jobs SET state = 'ready', holder = NULL, lease_until = NULL WHERE id IN \
             (SELECT id FROM main.jobs WHERE state = 'running' AND lease_until <= ?1 LIMIT ?2)";
        const WORK: &str = "SELECT (SELECT min(run_at) FROM scoped_jobs WHERE state = 'scheduled'), (SELECT min(lease_until) FROM scoped_jobs WHERE state = 'running')";
        let now = self.clock.now();
        Box::pin(async move {
            let kinds = [Kind::Integer; 2].into_iter();
            let work = || -> Result<(Option<i64>, bool), StoreError> {
                let rows = self.readers.within(Scope::System)?.rows(WORK, &[], &kinds, None)?;
                let at = |place: usize| rows.first().and_then(|row| row.get(place)).and_then(Value::integer);
                let is_lost = at(1).is_some_and(|end| end <= now.0);
                Ok((at(0), is_lost))
            };
            let (next, is_lost) = work()?;
            if next.is_none_or(|next| next > now.0) && !is_lost {
                return Ok(Tidied { next_us: next.map(|next| next - now.0), ..Tidied::default() });
            }
            let (due, lost) = self
                .writer
                .task(move |connection| {
                    let due = connection.prepare_cached(DUE)?.execute((now.0, limit))?;
                    Ok((due, connection.prepare_cached(LOST)?.execute((now.0, limit))?))
                })
                .await?;
            let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
            let next_us = work()?.0.map(|next| (next - now.0).max(0));
            Ok(Tidied { due: number(due), lost: number(lost), next_us })
        })
    }

    fn depths(&self) -> BoxFuture<'_, Result<Vec<Depth>, StoreError>> {
        const DEPTHS: &str = "SELECT queue, state, count(*), min(run_at) FROM (SELECT queue, state, run_at FROM scoped_jobs LIMIT 100000) GROUP BY queue, state";
        let read = || {
            let kinds = [Kind::Text, Kind::Text, Kind::Integer, Kind::Integer].into_iter();
            let rows = self.readers.within(Scope::System)?.rows(DEPTHS, &[], &kinds, None)?;
            Ok(queue::gather(&rows))
        };
        Box::pin(std::future::ready(read()))
    }
}

/// The end of a job that had no effect here.
fn prepared(done: &Finish, now: Micros) -> PreparedEnd {
    let end = JobEnd {
        id: done.held.id,
        organization: 0,
        version: done.held.version,
        order_key: None,
        how: Ended::Completed(None, done.keep_us),
    };
    PreparedEnd { end, result: Value::Null, now }
}

/// What a refused job is refused by.
pub(crate) fn refusal(error: &rusqlite::Error) -> StoreError {
    failure::of(error, Some(QueuedJob::META))
}
