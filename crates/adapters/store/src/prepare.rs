//! What a commit comes to: statements, events and audit entries. All that can be decided before the database is asked is decided
//! here, on the caller's thread, so that a writer only executes.

use std::sync::Arc;

use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{EventId, Ids, JobId};
use stoa_kernel::store::audit::{self, Entry, Hash};
use stoa_kernel::store::queue::{FinishedJob, JobState, PAYLOAD_BYTES_MAX, QueuedJob};
use stoa_kernel::store::{
    Commit, Duplicate, Ended, Field as _, Guard, Idempotency, Job, JobEnd, Json, Note, Record as _,
    RecordMeta, StoreError, StoreErrorKind, Told, Value, Write,
};

use crate::bookkeeping::IdempotencyKey;
use crate::render::{Bound, Rendered, Renderer, identity, version_guard};
use crate::seal::Vault;

/// One statement of a commit.
#[derive(Debug)]
pub struct Statement {
    /// What is sent.
    pub bound: Bound,
    /// The record that it is about.
    pub meta: &'static RecordMeta,
    /// Whether it must touch exactly one row; an insert that fails says so by itself.
    pub exact: bool,
}

impl Statement {
    /// The refusal when it did not touch one row.
    #[must_use]
    pub fn refusal(&self) -> StoreError {
        changed_elsewhere(self.meta)
    }
}

/// The refusal of a record that is not as it was read.
#[must_use]
pub fn changed_elsewhere(meta: &RecordMeta) -> StoreError {
    StoreError::new(
        StoreErrorKind::Conflict,
        format!("the {} was changed or removed meanwhile", meta.entity.replace('_', " ")),
    )
    .by(version_guard(meta))
}

/// A condition over a number of records, which must hold after the writes.
#[derive(Debug)]
pub struct Count {
    /// The query for the number.
    pub bound: Bound,
    /// At least so many.
    pub least: i64,
    /// At most so many.
    pub most: i64,
    /// What refuses.
    pub name: &'static str,
}

impl Count {
    /// The refusal.
    #[must_use]
    pub fn refusal(&self, found: i64) -> StoreError {
        StoreError::new(
            StoreErrorKind::Conflict,
            format!(
                "{}: {found} found, {} to {} allowed",
                self.name.replace('_', " "),
                self.least,
                self.most
            ),
        )
        .by(self.name)
    }
}

/// An event that waits for its offset.
#[derive(Debug)]
pub struct PreparedEvent {
    /// Its id.
    pub id: EventId,
    /// Whose it is; 0 for the installation.
    pub organization: i64,
    /// Its stream.
    pub stream: String,
    /// The columns from `time` on, in their order.
    pub rest: Vec<Value>,
}

/// A job that waits for its place in the order.
#[derive(Debug)]
pub struct PreparedJob {
    /// Whose it is; 0 for the installation.
    pub organization: i64,
    /// Its mailbox.
    pub order_key: Option<String>,
    /// Its state, unless another job of its mailbox comes first.
    pub state: JobState,
    /// Whether one that comes first is in the same commit.
    pub follows: bool,
    /// What becomes of it when another one has its key.
    pub on_duplicate: Duplicate,
    /// Its values, in the order of the columns; the store sets state and sequence.
    pub values: Vec<Value>,
}

/// A job that ends.
#[derive(Debug)]
pub struct PreparedEnd {
    /// Which, as it was.
    pub end: JobEnd,
    /// What came of it, sealed; null where nothing did.
    pub result: Value,
    /// Now.
    pub now: Micros,
}

impl PreparedEnd {
    /// The refusal when the job is not as it was any more.
    #[must_use]
    pub fn refusal() -> StoreError {
        changed_elsewhere(QueuedJob::META)
    }
}

/// An audit entry that waits for its place.
#[derive(Debug)]
pub struct PreparedEntry {
    /// What it says.
    pub entry: Entry,
    /// The digest of that.
    pub digest: Hash,
}

/// A commit that only has to be executed: in the order of the fields.
#[derive(Debug)]
pub struct Prepared {
    /// Whose records it may touch.
    pub scope: Scope,
    /// The organizations whose records it writes.
    pub touched: Vec<i64>,
    /// Records that must be as they were read, in a fixed order.
    pub unchanged: Vec<Statement>,
    /// The changes.
    pub writes: Vec<Statement>,
    /// The work that is asked for.
    pub jobs: Vec<PreparedJob>,
    /// The work that has ended.
    pub ends: Vec<PreparedEnd>,
    /// The end of an idempotency record whose time is over, then the new one.
    pub idempotency: Vec<Statement>,
    /// The conditions over numbers.
    pub counts: Vec<Count>,
    /// The audit entries, by organization.
    pub audit: Vec<PreparedEntry>,
    /// The events, last, so that the heads of hot streams are locked shortly.
    pub events: Vec<PreparedEvent>,
}

/// What preparing needs.
#[derive(Clone, Copy)]
pub struct Preparation<'p> {
    /// Renders for the engine.
    pub renderer: &'p Renderer,
    /// Seals.
    pub vault: &'p Vault,
    /// Numbers.
    pub ids: &'p dyn Ids,
    /// Dates.
    pub clock: &'p dyn Clock,
}

impl std::fmt::Debug for Preparation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Preparation")
    }
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

/// The organizations whose data keys a commit needs.
#[must_use]
pub fn sealing_organizations(cx: &Context, commit: &Commit) -> Vec<i64> {
    let mut organizations: Vec<i64> =
        commit.writes.iter().filter(|write| write.meta().has_sealed()).map(Write::organization).collect();
    if commit.idempotency.is_some() {
        organizations.push(cx.scope.number());
    }
    organizations.extend(commit.jobs.iter().map(|job| owner(cx, job)));
    let has_result = |end: &&JobEnd| matches!(end.how, Ended::Completed(Some(_), _));
    organizations.extend(commit.ends.iter().filter(has_result).map(|end| end.organization));
    organizations.sort_unstable();
    organizations.dedup();
    organizations
}

/// Whose a job is.
fn owner(cx: &Context, job: &Job) -> i64 {
    job.organization.map_or_else(|| cx.scope.number(), |id| id.to_i64())
}

impl Preparation<'_> {
    /// Works a commit out.
    ///
    /// # Errors
    /// When it is wrong in itself, or the clock gives no ids.
    pub fn prepare(&self, cx: &Context, commit: Commit) -> Result<Prepared, StoreError> {
        let now = self.clock.now();
        let mut prepared = Prepared {
            scope: cx.scope,
            touched: commit.writes.iter().map(Write::organization).collect(),
            unchanged: Vec::new(),
            writes: Vec::with_capacity(commit.writes.len()),
            jobs: Vec::with_capacity(commit.jobs.len()),
            ends: Vec::with_capacity(commit.ends.len()),
            idempotency: Vec::new(),
            counts: Vec::new(),
            audit: Vec::with_capacity(commit.writes.len()),
            events: Vec::with_capacity(commit.events.len()),
        };
        self.guards(cx, commit.guards, &mut prepared)?;
        for write in commit.writes {
            check(cx, &write)?;
            if write.meta().audited {
                let entry = self.entry(cx, &write, commit.action, now)?;
                let digest = entry.digest();
                prepared.audit.push(PreparedEntry { entry, digest });
            }
            prepared.writes.push(self.write(write)?);
        }
        for note in commit.notes {
            let entry = self.noted(cx, note, now)?;
            prepared.touched.push(entry.organization);
            let digest = entry.digest();
            prepared.audit.push(PreparedEntry { entry, digest });
        }
        prepared.audit.sort_by_key(|entry| entry.entry.organization);
        let mut mailboxes = std::collections::HashSet::new();
        for job in commit.jobs {
            let mut job = self.job(cx, job, now)?;
            let mailbox = job.order_key.clone().map(|key| (job.organization, key));
            job.follows = mailbox.is_some_and(|mailbox| !mailboxes.insert(mailbox));
            prepared.touched.push(job.organization);
            prepared.jobs.push(job);
        }
        for end in commit.ends {
            prepared.touched.push(end.organization);
            prepared.ends.push(self.end(cx, end, now)?);
        }
        if let Some(idempotency) = commit.idempotency {
            prepared.idempotency = self.idempotency(cx, idempotency, now)?;
        }
        for told in commit.events {
            prepared.events.push(self.event(cx, told, commit.client_mutation_id.as_deref(), now)?);
        }
        // Heads of streams are locked in one order, whoever locks them; within a stream the order of telling stays.
        prepared.events.sort_by(|a, b| (a.organization, &a.stream).cmp(&(b.organization, &b.stream)));
        Ok(prepared)
    }

    fn guards(&self, cx: &Context, guards: Vec<Guard>, prepared: &mut Prepared) -> Result<(), StoreError> {
        for guard in guards {
            match guard {
                Guard::Unchanged { meta, values } => {
                    let text = self.renderer.unchanged(meta);
                    let values = pick(&values, identity(meta));
                    prepared.unchanged.push(statement(text, values, meta, true));
                }
                Guard::Count { select, least, most, name } => {
                    let bound = self.renderer.select(cx.scope, &select, true)?;
                    prepared.counts.push(Count { bound, least, most, name });
                }
            }
        }
        let place = |statement: &Statement| (statement.meta.table, format!("{:?}", statement.bound.values));
        prepared.unchanged.sort_by_cached_key(place);
        Ok(())
    }

    fn write(&self, write: Write) -> Result<Statement, StoreError> {
        Ok(match write {
            Write::Insert { meta, mut values, .. } => {
                self.vault.seal_row(meta, &mut values)?;
                statement(self.renderer.insert(meta), values, meta, false)
            }
            Write::Update { meta, before, mut after, .. } => {
                self.vault.seal_row(meta, &mut after)?;
                after.extend(pick(&before, identity(meta)));
                statement(self.renderer.update(meta), after, meta, true)
            }
            Write::Delete { meta, before, .. } => {
                statement(self.renderer.delete(meta), pick(&before, identity(meta)), meta, true)
            }
        })
    }

    fn entry(
        &self,
        cx: &Context,
        write: &Write,
        action: Option<&'static str>,
        now: Micros,
    ) -> Result<Entry, StoreError> {
        let meta = write.meta();
        let (before, after) = match write {
            Write::Insert { values, .. } => (None, Some(values.as_slice())),
            Write::Update { before, after, .. } => (Some(before.as_slice()), Some(after.as_slice())),
            Write::Delete { before, .. } => (Some(before.as_slice()), None),
        };
        Ok(Entry {
            id: self.id::<stoa_kernel::id::AuditEntry>()?,
            organization: write.organization(),
            time: now,
            actor: cx.actor.label(),
            action: action.map_or_else(|| format!("{}.{}", meta.entity, write.verb()), str::to_owned),
            target_kind: meta.entity.to_owned(),
            target: write.label().to_owned(),
            request: cx.request.to_string(),
            diff: audit::changes(meta, before, after),
        })
    }

    fn noted(&self, cx: &Context, note: Note, now: Micros) -> Result<Entry, StoreError> {
        Ok(Entry {
            id: self.id::<stoa_kernel::id::AuditEntry>()?,
            organization: cx.scope.number(),
            time: now,
            actor: cx.actor.label(),
            action: note.action.to_owned(),
            target_kind: note.target_kind.to_owned(),
            target: note.target,
            request: cx.request.to_string(),
            diff: note.diff,
        })
    }

    fn event(
        &self,
        cx: &Context,
        told: Told,
        client_mutation_id: Option<&str>,
        now: Micros,
    ) -> Result<PreparedEvent, StoreError> {
        let organization = match (cx.scope, told.organization) {
            (Scope::Organization(own), Some(other)) if own != other => {
                return Err(invalid(format!("{} would be told in another organization", told.kind.name)));
            }
            (Scope::Organization(own), _) => own.to_i64(),
            (Scope::System, other) => other.map_or(0, |id| id.to_i64()),
        };
        Ok(PreparedEvent {
            id: self.id()?,
            organization,
            stream: told.stream,
            rest: vec![
                now.to_value(),
                Value::Text(told.kind.name.to_owned()),
                Value::Integer(i64::from(told.kind.version)),
                Json(cx.actor).to_value(),
                Value::Text(told.aggregate.kind),
                Value::Text(told.aggregate.id),
                told.aggregate.version.to_value(),
                client_mutation_id.map(str::to_owned).to_value(),
                cx.trace.map(|trace| trace.to_string()).to_value(),
                Value::Json(told.payload),
            ],
        })
    }

    fn job(&self, cx: &Context, job: Job, now: Micros) -> Result<PreparedJob, StoreError> {
        let organization = owner(cx, &job);
        if cx.scope != Scope::System && organization != cx.scope.number() {
            return Err(invalid("a job of another organization"));
        }
        if job.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(invalid(format!("the payload of a job has at most {PAYLOAD_BYTES_MAX} bytes")));
        }
        let id: JobId = job.id.map_or_else(|| self.id(), Ok)?;
        let run_at = job.run_at.unwrap_or(now);
        let state = if run_at > now { JobState::Scheduled } else { JobState::Ready };
        let scope = if organization == cx.scope.number() {
            cx.scope
        } else {
            job.organization.map_or(cx.scope, Scope::Organization)
        };
        let none = || Value::Null;
        let mut values = vec![
            id.to_value(),
            Value::Integer(organization),
            Value::Text(job.queue),
            Value::Text(job.kind),
            Value::Json(job.payload),
            Value::Integer(i64::from(job.priority as u8)),
            state.to_value(),
            Value::Integer(0),
            run_at.to_value(),
            job.order_key.to_value(),
            job.dedupe_key.to_value(),
            job.batch_key.to_value(),
            Json(cx.within(scope)).to_value(),
            now.to_value(),
            Value::Integer(0),
            Value::Integer(job.replays),
            none(),
            none(),
            none(),
            none(),
            Value::Integer(0),
            none(),
            Value::Json("[]".to_owned()),
            none(),
            none(),
            none(),
            Value::Integer(1),
        ];
        self.vault.seal_row(QueuedJob::META, &mut values)?;
        let (order_key, on_duplicate) = (job.order_key, job.on_duplicate);
        Ok(PreparedJob { organization, order_key, state, follows: false, on_duplicate, values })
    }

    fn end(&self, cx: &Context, mut end: JobEnd, now: Micros) -> Result<PreparedEnd, StoreError> {
        if cx.scope != Scope::System && end.organization != cx.scope.number() {
            return Err(invalid("a job of another organization"));
        }
        let result = match &mut end.how {
            Ended::Completed(result, _) => result.take(),
            _ => None,
        };
        let Some(result) = result else { return Ok(PreparedEnd { end, result: Value::Null, now }) };
        // Of the row only its place and what is sealed matter here.
        let meta = FinishedJob::META;
        let mut values = vec![Value::Null; meta.columns.len()];
        let places = [FinishedJob::ID.index, FinishedJob::ORGANIZATION_ID.index, FinishedJob::RESULT.index];
        let given = [end.id.to_value(), Value::Integer(end.organization), Value::Json(result)];
        for (place, value) in places.into_iter().zip(given) {
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        }
        self.vault.seal_row(meta, &mut values)?;
        let result = values.into_iter().nth(FinishedJob::RESULT.index).unwrap_or(Value::Null);
        Ok(PreparedEnd { end, result, now })
    }

    fn idempotency(
        &self,
        cx: &Context,
        once: Idempotency,
        now: Micros,
    ) -> Result<Vec<Statement>, StoreError> {
        let place =
            [Value::Integer(cx.scope.number()), Value::Text(cx.actor.label()), Value::Text(once.key.clone())];
        let over = place.into_iter().chain([now.to_value()]).collect();
        let over = statement(self.renderer.end_expired(), over, IdempotencyKey::META, false);
        let mut values = vec![
            Value::Integer(cx.scope.number()),
            Value::Text(cx.actor.label()),
            Value::Text(once.key),
            Value::Bytes(once.fingerprint.to_vec()),
            Value::Integer(i64::from(once.reply.status)),
            Json(once.reply.headers).to_value(),
            Value::Text(once.reply.body),
            once.expires.to_value(),
        ];
        self.vault.seal_row(IdempotencyKey::META, &mut values)?;
        let record =
            statement(self.renderer.insert(IdempotencyKey::META), values, IdempotencyKey::META, false);
        Ok(vec![over, record])
    }

    fn id<K: stoa_kernel::id::Kind>(&self) -> Result<stoa_kernel::id::Id<K>, StoreError> {
        self.ids.next().map_err(|error| StoreError::new(StoreErrorKind::Overloaded, error.to_string()))
    }
}

fn statement(text: Arc<Rendered>, values: Vec<Value>, meta: &'static RecordMeta, exact: bool) -> Statement {
    Statement { bound: Bound { text, values }, meta, exact }
}

fn pick(values: &[Value], columns: impl Iterator<Item = usize>) -> Vec<Value> {
    columns.map(|index| values.get(index).cloned().unwrap_or(Value::Null)).collect()
}

/// Refuses what a commit must never hold, whatever the database would say.
fn check(cx: &Context, write: &Write) -> Result<(), StoreError> {
    let meta = write.meta();
    if let Scope::Organization(own) = cx.scope {
        if meta.tenant().is_none() {
            return Err(invalid(format!(
                "{} belongs to the installation; an organization cannot change it",
                meta.table
            )));
        }
        if write.organization() != own.to_i64() {
            return Err(invalid(format!("a {} of another organization", meta.entity)));
        }
    }
    let values = match write {
        Write::Insert { values, .. } => values,
        Write::Delete { .. } => return Ok(()),
        Write::Update { before, after, .. } => {
            let fixed = meta.tenant().into_iter().chain(meta.key.iter().copied());
            if fixed.into_iter().any(|index| before.get(index) != after.get(index)) {
                return Err(invalid(format!("the key of a {} cannot change", meta.entity)));
            }
            if let Some(version) = meta.version {
                let number = |values: &[Value]| values.get(version).and_then(Value::integer).unwrap_or(0);
                if number(after) != number(before) + 1 {
                    return Err(invalid(format!(
                        "the version of a changed {} is one more than before",
                        meta.entity
                    )));
                }
            }
            after
        }
    };
    if values.len() != meta.columns.len() {
        return Err(invalid(format!(
            "{} has {} columns, got {}",
            meta.table,
            meta.columns.len(),
            values.len()
        )));
    }
    for (column, value) in meta.columns.iter().zip(values) {
        match value {
            Value::Null if !column.nullable => {
                return Err(invalid(format!("{}.{} cannot be null", meta.table, column.name)));
            }
            Value::Text(text) | Value::Json(text) if text.contains('\0') => {
                return Err(invalid(format!(
                    "{}.{} holds a NUL character, which no store keeps",
                    meta.table, column.name
                )));
            }
            _ => {}
        }
    }
    Ok(())
}
