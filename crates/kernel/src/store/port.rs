//! The ports: what a store does, whatever engine it runs on.

use std::future::Future;
use std::pin::Pin;

use super::audit::{Chained, Hash};
use super::commit::{Commit, Reply};
use super::event::Envelope;
use super::failure::StoreError;
use super::insight::{Insight, Pool};
use super::record::Record;
use super::select::{Page, PageRequest, Query, Select};
use super::value::Value;
use crate::clock::Micros;
use crate::context::{Context, Scope};
use crate::id::{EventId, OrganizationId};

/// A future that can be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Sees every commit that this process has been answered.
    #[default]
    Strong,
    /// May come from a replica that is a little behind.
    Eventual,
}

/// What a commit has become.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Its events, with their offsets, in order.
    pub events: Vec<(EventId, i64)>,
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The hash of the first request.
    pub fingerprint: [u8; 32],
    /// The first answer.
    pub reply: Reply,
}

/// Where everything is stored. Every method has a case in the conformance suite, which every implementation passes.
pub trait Store: Send + Sync {
    /// Applies a commit whole, or refuses it whole. When it returns `Ok`, the change is on disk and every read sees it.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>>;

    /// The rows of a query, within the scope of the context. For the typed methods of `dyn Store`.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn rows<'a>(
        &'a self,
        cx: &'a Context,
        select: Select,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<Vec<Vec<Value>>, StoreError>>;

    /// How many rows answer a query.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn count_rows<'a>(&'a self, cx: &'a Context, select: Select) -> BoxFuture<'a, Result<i64, StoreError>>;

    /// The first answer to an operation with this idempotency key, by the actor and scope of the context.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn replayed<'a>(
        &'a self,
        cx: &'a Context,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Replayed>, StoreError>>;

    /// A round trip through the commit engine that changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl dyn Store + '_ {
    /// The first record of a query.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn find<R: Record>(&self, cx: &Context, query: Query<R>) -> Result<Option<R>, StoreError> {
        let rows = self.rows(cx, query.limit(1).build(), Consistency::Strong).await?;
        rows.into_iter().next().map(R::from_values).transpose().map_err(StoreError::from)
    }

    /// All records of a query.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list<R: Record>(&self, cx: &Context, query: Query<R>) -> Result<Vec<R>, StoreError> {
        let rows = self.rows(cx, query.build(), Consistency::Strong).await?;
        rows.into_iter().map(R::from_values).collect::<Result<_, _>>().map_err(StoreError::from)
    }

    /// One page of a query: no record that exists throughout is skipped or repeated from page to page.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn page<R: Record>(
        &self,
        cx: &Context,
        query: Query<R>,
        request: PageRequest,
    ) -> Result<Page<R>, StoreError> {
        let mut select = query.limit(request.limit.saturating_add(1)).build();
        select.after = request.after;
        let order = select.clone();
        let mut rows = self.rows(cx, select, Consistency::Strong).await?;
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| order.place(last));
        let items = rows.into_iter().map(R::from_values).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// How many records answer a query.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count<R: Record>(&self, cx: &Context, query: Query<R>) -> Result<i64, StoreError> {
        self.count_rows(cx, query.build()).await
    }
}

/// Which events a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only these types; all when empty.
    pub kinds: Vec<String>,
    /// Only of this stream.
    pub stream: Option<String>,
    /// Only from this time on.
    pub since: Option<Micros>,
}

/// The event log, as readers see it.
pub trait EventLog: Send + Sync {
    /// Events after a position, in the order of positions, at most `limit` of them. A position is never given to an event that
    /// would come before one that a reader has been shown.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn events_after<'a>(
        &'a self,
        scope: Scope,
        position: i64,
        limit: u32,
        filter: &'a EventFilter,
    ) -> BoxFuture<'a, Result<Vec<Envelope>, StoreError>>;

    /// The position of an event; `None` when there is no such event, or it has none yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn position_of(&self, scope: Scope, event: EventId) -> BoxFuture<'_, Result<Option<i64>, StoreError>>;

    /// The last position of the whole log, or 0.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn head(&self) -> BoxFuture<'_, Result<i64, StoreError>>;

    /// Gives positions to committed events that have none, in an order that keeps every stream's; returns how many. Nothing to do
    /// where commits give them.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn sequence(&self, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>>;

    /// What is committed and has no position yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn lag(&self) -> BoxFuture<'_, Result<Lag, StoreError>>;
}

/// Events that readers cannot see yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// How many; counting ends at 10,000.
    pub waiting: i64,
    /// When the oldest of them happened.
    pub oldest: Option<Micros>,
}

/// An organization that has an audit trail (0 is the installation), the last place of it, and the hash there.
pub type Trail = (i64, i64, Hash);

/// The audit trail, as whoever proves it sees it.
pub trait AuditTrail: Send + Sync {
    /// Entries of an organization (0 is the installation) after a place, in order, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn entries_after(
        &self,
        organization: i64,
        sequence: i64,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Chained>, StoreError>>;

    /// Every trail.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn trails(&self) -> BoxFuture<'_, Result<Vec<Trail>, StoreError>>;
}

/// A claim that is held for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is claimed.
    pub name: String,
    /// Grows with every new holder: what refuses the late writes of an old one.
    pub token: i64,
    /// When it ends, by the clock of the database.
    pub expires: Micros,
}

/// Claims that one process at a time holds: node ids, leadership.
pub trait Leases: Send + Sync {
    /// Takes a lease that is free, has ended, or is held by `holder` already; `None` when another holds it.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl_us: i64,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>>;

    /// Gives a lease back before its end.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Who holds a lease that has not ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn holder<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>>;
}

/// The keys that sealed columns are sealed with.
pub trait Keyring: Send + Sync {
    /// Whether data keys wrapped by each of the master keys that were ever used open: those that are configured are the right ones.
    ///
    /// # Errors
    /// See [`StoreError`]; it names the master key that is missing, or is another one.
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Seals up to `limit` values anew that are sealed by a key which is not current any more. Safe to run twice.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn reseal(&self, limit: u32) -> BoxFuture<'_, Result<Resealed, StoreError>>;

    /// Gives every organization a new data key, which seals from now on; returns how many. [`Keyring::reseal`] then moves what is
    /// sealed already.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn rotate(&self) -> BoxFuture<'_, Result<u32, StoreError>>;
}

/// What became of values that were sealed by an older key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Sealed anew.
    pub resealed: u32,
    /// Left as they are: they were altered, or their key is gone.
    pub unopened: u32,
    /// Whether there are more.
    pub more: bool,
}

/// What keeps a database small, and says how it does.
pub trait Upkeep: Send + Sync {
    /// Removes up to `limit` records whose time is over; returns how many. Safe to run twice.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn purge_expired(&self, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>>;

    /// Removes up to `limit` rows of an organization from each table that has any: everything but the organization itself, its audit
    /// trail, and its jobs. Returns the most that one table had; 0 when there is nothing left. When the organization is `purged`,
    /// [`Upkeep::purge_expired`] removes its data keys: what they sealed is unreadable then, wherever a copy of it is.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn purge_organization(
        &self,
        organization: OrganizationId,
        limit: u32,
    ) -> BoxFuture<'_, Result<u32, StoreError>>;

    /// A look into the database.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn insight(&self) -> BoxFuture<'_, Result<Insight, StoreError>>;

    /// The last migration that was applied.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn migration(&self) -> BoxFuture<'_, Result<i64, StoreError>>;

    /// The connections of this process, at this moment.
    fn pool(&self) -> Pool;
}
