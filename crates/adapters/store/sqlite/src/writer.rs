//! The writer: one thread that applies every waiting commit in one transaction, and answers all of them after one fsync. When one of
//! them is refused, all are applied again, each in its own savepoint.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Scope;
use stoa_kernel::store::audit::{self, GENESIS, Hash};
use stoa_kernel::store::trail::AuditEntry;
use stoa_kernel::store::{Receipt, StoreError, StoreErrorKind, Value};
use stoa_store::bookkeeping::StoredEvent;
use stoa_store::prepare::{Prepared, PreparedEnd, PreparedEntry, PreparedEvent, Statement};
use tokio::sync::oneshot;

use crate::failure;
use crate::jobs;
use crate::reader::Bind;
use crate::security::ScopeCell;
use stoa_kernel::store::Record as _;

/// The most commits of one transaction.
const BATCH_MAX: usize = 512;
/// The most commits that wait; beyond it callers are told to come again.
const WAITING_MAX: usize = 8_192;
/// From so many pages of write-ahead log on (80 MB) it is moved into the database in the background, and from so many (200 MB) by the
/// writer itself. In large steps, since a page that many batches have written is moved once.
const CHECKPOINT_PAGES: i32 = 20_000;
const CHECKPOINT_PAGES_MAX: i32 = 48_000;

/// What the writer did.
pub(crate) enum Done {
    Commit(Receipt),
    Task(Box<dyn Any + Send>),
}

type Task = Box<dyn FnOnce(&Connection) -> Result<Box<dyn Any + Send>, StoreError> + Send>;

enum Work {
    Commit(Box<Prepared>),
    /// Special ports write with SQL of their own.
    Task(Scope, Task),
}

struct Request {
    work: Work,
    deadline: Option<Micros>,
    answer: oneshot::Sender<Result<Done, StoreError>>,
}

/// The door to the writer's thread.
pub(crate) struct Writer {
    queue: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer's thread is given.
pub(crate) struct Setup {
    pub(crate) connection: Connection,
    pub(crate) scope: ScopeCell,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) committed: Arc<dyn Fn() + Send + Sync>,
    /// Asked to move the write-ahead log into the database, in the background.
    pub(crate) checkpoint: SyncSender<()>,
}

impl Writer {
    pub(crate) fn start(setup: Setup) -> Result<Self, StoreError> {
        let (queue, requests) = sync_channel(WAITING_MAX);
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("stoa-writer".to_owned())
            .spawn(move || match Loop::new(setup) {
                Ok(mut writer) => {
                    let _ = ready.send(Ok(()));
                    writer.run(&requests);
                }
                Err(error) => drop(ready.send(Err(failure::of(&error, None)))),
            })
            .map_err(|error| {
                StoreError::new(StoreErrorKind::Unavailable, format!("no thread to write with: {error}"))
            })?;
        started.recv().map_err(|_| stopped())??;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    async fn ask(&self, work: Work, deadline: Option<Micros>) -> Result<Done, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(Request { work, deadline, answer }).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::new(StoreErrorKind::Overloaded, "too many changes are waiting")
            }
            TrySendError::Disconnected(_) => stopped(),
        })?;
        answered.await.map_err(|_| stopped())?
    }

    pub(crate) async fn commit(
        &self,
        prepared: Prepared,
        deadline: Option<Micros>,
    ) -> Result<Receipt, StoreError> {
        match self.ask(Work::Commit(Box::new(prepared)), deadline).await? {
            Done::Commit(receipt) => Ok(receipt),
            Done::Task(_) => Err(stopped()),
        }
    }

    /// Runs SQL of a special port, in the system's scope.
    pub(crate) async fn task<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.task_within(Scope::System, task).await
    }

    pub(crate) async fn probe(&self, scope: Scope, sql: &'static str) -> Result<usize, StoreError> {
        self.task_within(scope, move |connection| connection.execute(sql, [])).await
    }

    async fn task_within<T: Send + 'static>(
        &self,
        scope: Scope,
        task: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let task: Task = Box::new(move |connection| {
            task(connection)
                .map(|done| Box::new(done) as Box<dyn Any + Send>)
                .map_err(|error| failure::of(&error, None))
        });
        match self.ask(Work::Task(scope, task), None).await? {
            Done::Task(done) => done.downcast::<T>().map(|done| *done).map_err(|_| stopped()),
            Done::Commit(_) => Err(stopped()),
        }
    }
}

impl Drop for Writer {
    /// Applies what is waiting, and ends.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store is closed")
}

struct Loop {
    connection: Connection,
    scope: ScopeCell,
    clock: Arc<dyn Clock>,
    committed: Arc<dyn Fn() + Send + Sync>,
    checkpoint: SyncSender<()>,
    /// Pages in the write-ahead log.
    pages: Arc<AtomicI32>,
    /// The last position that was given.
    position: i64,
    /// The last place in the order of jobs that was given, once one was; one that was not used stays unused.
    enqueued: Option<i64>,
}

impl Loop {
    fn new(setup: Setup) -> rusqlite::Result<Self> {
        let Setup { mut connection, scope, clock, committed, checkpoint } = setup;
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: i32| {
            seen.store(count, Ordering::Relaxed);
            Ok(())
        }))?;
        let position =
            connection
                .query_row("SELECT coalesce(max(position), 0) FROM main.events", [], |row| row.get(0))?;
        Ok(Self { connection, scope, clock, committed, checkpoint, pages, position, enqueued: None })
    }

    fn run(&mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut batch = Vec::with_capacity(16);
            batch.push(first);
            while batch.len() < BATCH_MAX
                && let Ok(next) = requests.try_recv()
            {
                batch.push(next);
            }
            let told = self.batch(batch);
            if told {
                (self.committed)();
            }
            let pages = self.pages.load(Ordering::Relaxed);
            if pages > CHECKPOINT_PAGES_MAX {
                // Most of it has been moved in the background; what is left is short.
                let _ = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            } else if pages > CHECKPOINT_PAGES {
                let _ = self.checkpoint.try_send(());
            }
        }
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Applies a batch and answers it; whether events were committed or jobs enqueued.
    fn batch(&mut self, batch: Vec<Request>) -> bool {
        let (position, enqueued) = (self.position, self.enqueued);
        self.apply_batch(batch);
        self.position > position || self.enqueued > enqueued
    }

    fn apply_batch(&mut self, batch: Vec<Request>) {
        let size = batch.len();
        let start = self.position;
        metrics::histogram!("stoa_store_batch_size").record(u32::try_from(size).unwrap_or(u32::MAX));
        let batch = match self.all_or_none(batch) {
            Ok(()) => return,
            Err(batch) => batch,
        };
        let mut answers = Vec::with_capacity(size);
        let mut ended: Option<StoreError> = None;
        let begun = self.execute("BEGIN IMMEDIATE");
        for Request { work, deadline, answer } in batch {
            let done = match &begun {
                Err(error) => Err(error.clone()),
                Ok(()) if deadline.is_some_and(|deadline| deadline < self.clock.now()) => {
                    Err(StoreError::new(StoreErrorKind::Deadline, "the change waited past its deadline"))
                }
                Ok(()) if ended.is_some() => ended.clone().map_or_else(|| Err(stopped()), Err),
                Ok(()) => self.in_savepoint(work),
            };
            // A full disk, among others, makes SQLite end the whole transaction: nothing of the batch is there then.
            if begun.is_ok() && ended.is_none() && self.connection.is_autocommit() {
                ended = Some(done.as_ref().err().cloned().unwrap_or_else(stopped));
            }
            answers.push((answer, done));
        }
        let failed = match (&begun, ended) {
            (Err(_), _) => None,
            (Ok(()), Some(error)) => Some(error),
            (Ok(()), None) => self.execute("COMMIT").err(),
        };
        if let Some(error) = failed {
            if !self.connection.is_autocommit() {
                let _ = self.execute("ROLLBACK");
            }
            self.position = start;
            for (_, done) in &mut answers {
                if done.is_ok() {
                    *done = Err(error.clone());
                }
            }
        }
        for (answer, done) in answers {
            // Who does not wait any more is not told; the change stands.
            let _ = answer.send(done);
        }
    }

    /// Applies the commits of a batch without savepoints, which copy every page that a commit touches, and then its tasks, each in
    /// its own; gives the batch back, unapplied, when a commit is refused. Refusals are rare, and a commit is a value that can be
    /// applied again; a task is not.
    fn all_or_none(&mut self, batch: Vec<Request>) -> Result<(), Vec<Request>> {
        let now = self.clock.now();
        let is_late = |request: &Request| request.deadline.is_some_and(|deadline| deadline < now);
        if batch.iter().any(is_late) || self.execute("BEGIN IMMEDIATE").is_err() {
            return Err(batch);
        }
        let start = self.position;
        let (batch, tasks): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|request| matches!(request.work, Work::Commit(_)));
        let mut receipts = Vec::with_capacity(batch.len());
        let applied = batch.iter().try_for_each(|request| {
            let Work::Commit(prepared) = &request.work else { return Err(stopped()) };
            self.scope.set(prepared.scope);
            receipts.push(self.apply(prepared)?);
            Ok(())
        });
        self.scope.clear();
        if applied.is_err() {
            let _ = self.execute("ROLLBACK");
            self.position = start;
            return Err(batch.into_iter().chain(tasks).collect());
        }
        let mut done = Vec::with_capacity(tasks.len());
        for Request { work, answer, .. } in tasks {
            let outcome =
                if self.connection.is_autocommit() { Err(stopped()) } else { self.in_savepoint(work) };
            done.push((answer, outcome));
        }
        let committed = if self.connection.is_autocommit() { Err(stopped()) } else { self.execute("COMMIT") };
        if let Err(error) = &committed {
            if !self.connection.is_autocommit() {
                let _ = self.execute("ROLLBACK");
            }
            self.position = start;
            for (_, outcome) in &mut done {
                *outcome = Err(error.clone());
            }
        }
        for (answer, outcome) in done {
            let _ = answer.send(outcome);
        }
        if committed.is_err() {
            return Err(batch);
        }
        for (request, receipt) in batch.into_iter().zip(receipts) {
            // Who does not wait any more is not told; the change stands.
            let _ = request.answer.send(Ok(Done::Commit(receipt)));
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]).map(|_| ());
        run().map_err(|error| failure::of(&error, None))
    }

    fn in_savepoint(&mut self, work: Work) -> Result<Done, StoreError> {
        self.execute("SAVEPOINT one")?;
        let before = self.position;
        let done = match work {
            Work::Commit(prepared) => {
                self.scope.set(prepared.scope);
                self.apply(&prepared).map(Done::Commit)
            }
            Work::Task(scope, task) => {
                self.scope.set(scope);
                task(&self.connection).map(Done::Task)
            }
        };
        self.scope.clear();
        if done.is_ok() {
            self.execute("RELEASE one")?;
        } else {
            self.position = before;
            // A full disk may have ended the whole transaction; then the batch fails at its end.
            self.execute("ROLLBACK TO one").and_then(|()| self.execute("RELEASE one"))?;
        }
        done
    }

    fn apply(&mut self, prepared: &Prepared) -> Result<Receipt, StoreError> {
        for guard in &prepared.unchanged {
            if self.number(&guard.bound.text.sql, &guard.bound.values)?.is_none() {
                return Err(guard.refusal());
            }
        }
        for write in prepared.idempotency.iter().chain(&prepared.writes) {
            self.write(write)?;
        }
        self.jobs(prepared)?;
        for count in &prepared.counts {
            let found = self.number(&count.bound.text.sql, &count.bound.values)?.unwrap_or(0);
            if found < count.least || found > count.most {
                return Err(count.refusal(found));
            }
        }
        self.audit(&prepared.audit)?;
        let mut events = Vec::with_capacity(prepared.events.len());
        for event in &prepared.events {
            events.push(self.event(event)?);
        }
        Ok(Receipt { events })
    }

    fn statement(&self, sql: &str, values: &[Value]) -> rusqlite::Result<CachedStatement<'_>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for (index, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(index + 1, Bind(value))?;
        }
        Ok(statement)
    }

    fn number(&self, sql: &str, values: &[Value]) -> Result<Option<i64>, StoreError> {
        let read = || self.statement(sql, values)?.raw_query().next()?.map(|row| row.get(0)).transpose();
        read().map_err(|error| failure::of(&error, None))
    }

    fn write(&self, write: &Statement) -> Result<(), StoreError> {
        let run = || self.statement(&write.bound.text.sql, &write.bound.values)?.raw_execute();
        let changed = run().map_err(|error| failure::of(&error, Some(write.meta)))?;
        if write.exact && changed != 1 { Err(write.refusal()) } else { Ok(()) }
    }

    fn jobs(&mut self, prepared: &Prepared) -> Result<(), StoreError> {
        for end in &prepared.ends {
            if !jobs::end(&self.connection, end).map_err(|error| jobs::refusal(&error))? {
                return Err(PreparedEnd::refusal());
            }
        }
        for job in &prepared.jobs {
            let last = match self.enqueued {
                Some(last) => last,
                None => jobs::last_sequence(&self.connection).map_err(|error| jobs::refusal(&error))?,
            };
            self.enqueued = Some(last + 1);
            jobs::enqueue(&self.connection, job, last + 1).map_err(|error| jobs::refusal(&error))?;
        }
        Ok(())
    }

    fn audit(&self, entries: &[PreparedEntry]) -> Result<(), StoreError> {
        const HEAD: &str = "SELECT sequence, hash FROM main.audit_heads WHERE organization_id = ?1";
        const MOVE: &str = "INSERT OR FAIL INTO main.audit_heads (organization_id, sequence, hash) VALUES (?1, ?2, ?3) \
             ON CONFLICT (organization_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash";
        const ENTER: &str = "INSERT OR FAIL INTO main.audit_entries \
             (organization_id, sequence, id, time, actor, action, target_kind, target, request, diff, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let enter = |entries: &[PreparedEntry]| -> rusqlite::Result<()> {
            let Some(organization) = entries.first().map(|entry| entry.entry.organization) else {
                return Ok(());
            };
            let head: Option<(i64, Hash)> = self
                .connection
                .prepare_cached(HEAD)?
                .query_row([organization], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (mut sequence, mut hash) = head.unwrap_or((0, GENESIS));
            for PreparedEntry { entry, digest } in entries {
                sequence += 1;
                hash = audit::chain(&hash, digest);
                self.connection.prepare_cached(ENTER)?.execute(rusqlite::params![
                    organization,
                    sequence,
                    entry.id.to_i64(),
                    entry.time.0,
                    entry.actor,
                    entry.action,
                    entry.target_kind,
                    entry.target,
                    entry.request,
                    entry.diff,
                    hash,
                ])?;
            }
            self.connection.prepare_cached(MOVE)?.execute(rusqlite::params![organization, sequence, hash])?;
            Ok(())
        };
        entries
            .chunk_by(|a, b| a.entry.organization == b.entry.organization)
            .try_for_each(enter)
            .map_err(|error| failure::of(&error, Some(AuditEntry::META)))
    }

    fn event(&mut self, event: &PreparedEvent) -> Result<(stoa_kernel::id::EventId, i64), StoreError> {
        const HEAD: &str = "INSERT OR FAIL INTO main.streams (organization_id, stream, epoch, head) VALUES (?1, ?2, 1, 1) \
             ON CONFLICT (organization_id, stream) DO UPDATE SET head = head + 1 RETURNING epoch, head";
        const APPEND: &str = "INSERT OR FAIL INTO main.events (id, position, organization_id, stream, epoch, stream_offset, time, kind, \
             version, actor, aggregate_kind, aggregate_id, aggregate_version, client_mutation_id, traceparent, payload) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
        let position = self.position + 1;
        let append = || -> rusqlite::Result<i64> {
            let (epoch, offset): (i64, i64) = self
                .connection
                .prepare_cached(HEAD)?
                .query_row((event.organization, &event.stream), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let mut statement = self.connection.prepare_cached(APPEND)?;
            statement.raw_bind_parameter(1, event.id.to_i64())?;
            statement.raw_bind_parameter(2, position)?;
            statement.raw_bind_parameter(3, event.organization)?;
            statement.raw_bind_parameter(4, &event.stream)?;
            statement.raw_bind_parameter(5, epoch)?;
            statement.raw_bind_parameter(6, offset)?;
            for (index, value) in (7..).zip(&event.rest) {
                statement.raw_bind_parameter(index, Bind(value))?;
            }
            statement.raw_execute()?;
            Ok(offset)
        };
        let offset = append().map_err(|error| failure::of(&error, Some(StoredEvent::META)))?;
        self.position = position;
        Ok((event.id, offset))
    }
}
