//! What happens in an organization, day by day: a projection of the whole log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stoa_jobs::Failed;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::Id;
use stoa_kernel::store::{BoxFuture, Commit, Envelope, Query, Record, Store, StoreError};

use crate::projection::Projection;

/// Its name.
pub const ACTIVITY: &str = "activity";

/// The microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// How often something happened on a day.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "activity", entity = "activity", tenant = organization_id, version = version, unaudited)]
pub struct Activity {
    /// Where; 0 for the installation.
    #[record(key)]
    pub organization_id: i64,
    /// The generation of the projection.
    #[record(key)]
    pub generation: i64,
    /// The day, in UTC: days since 1970-01-01.
    #[record(key)]
    pub day: i64,
    /// The type of the events.
    #[record(key, plain, about = "a type of event")]
    pub kind: String,
    /// How many there were.
    pub events: i64,
    /// When the first of them happened.
    pub first_at: Micros,
    /// When the last of them happened.
    pub last_at: Micros,
    /// Counts its changes.
    pub version: i64,
}

/// The day of a time, in UTC.
#[must_use]
pub const fn day(time: Micros) -> i64 {
    time.0.div_euclid(DAY_US)
}

type Place = (i64, i64, String);

impl Activity {
    /// The rows of a generation, the newest day first.
    #[must_use]
    pub fn of(generation: i64) -> Query<Self> {
        Self::select()
            .eq(Self::GENERATION, &generation)
            .descending(Self::DAY)
            .descending(Self::KIND)
            .descending(Self::ORGANIZATION_ID)
    }

    fn of_event(event: &Envelope, generation: i64) -> Self {
        Self {
            organization_id: event.organization_id.map_or(0, Id::to_i64),
            generation,
            day: day(event.timestamp),
            kind: event.kind.clone(),
            events: 1,
            first_at: event.timestamp,
            last_at: event.timestamp,
            version: 1,
        }
    }

    fn place(&self) -> Place {
        (self.organization_id, self.day, self.kind.clone())
    }

    fn and(self, other: &Self) -> Self {
        Self {
            events: self.events + other.events,
            first_at: self.first_at.min(other.first_at),
            last_at: self.last_at.max(other.last_at),
            ..self
        }
    }
}

/// Counts what happens.
pub struct ActivityProjection {
    /// Where the counts are.
    pub store: Arc<dyn Store>,
    /// The type of event that says that everything in an organization was removed: its counts go too.
    pub ends_with: &'static str,
}

impl std::fmt::Debug for ActivityProjection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivityProjection")
    }
}

impl Projection for ActivityProjection {
    fn name(&self) -> &'static str {
        ACTIVITY
    }

    fn about(&self) -> &'static str {
        "Counts what happens in each organization, by day and type."
    }

    fn fold<'a>(
        &'a self,
        cx: &'a Context,
        generation: i64,
        events: &'a [Envelope],
    ) -> BoxFuture<'a, Result<Commit, Failed>> {
        Box::pin(async move {
            let mut counted: BTreeMap<Place, Activity> = BTreeMap::new();
            let mut gone = BTreeSet::new();
            for event in events {
                let one = Activity::of_event(event, generation);
                if event.kind == self.ends_with {
                    counted.retain(|(organization, ..), _| *organization != one.organization_id);
                    gone.insert(one.organization_id);
                    continue;
                }
                let place = one.place();
                let sum = match counted.remove(&place) {
                    Some(before) => before.and(&one),
                    None => one,
                };
                counted.insert(place, sum);
            }
            let whole = Activity::select().eq(Activity::GENERATION, &generation);
            let removed = whole.clone().is_in(Activity::ORGANIZATION_ID, &gone);
            let removed = self.store.list(cx, removed).await?.iter().fold(Commit::new(), Commit::delete);
            let organizations: BTreeSet<i64> =
                counted.keys().map(|(organization, ..)| *organization).collect();
            let days: BTreeSet<i64> = counted.keys().map(|(_, day, _)| *day).collect();
            let kinds: BTreeSet<String> = counted.keys().map(|(.., kind)| kind.clone()).collect();
            let query = whole
                .is_in(Activity::ORGANIZATION_ID, organizations.difference(&gone))
                .is_in(Activity::DAY, &days)
                .is_in(Activity::KIND, &kinds);
            let known = self.store.list(cx, query).await?;
            let known: HashMap<Place, Activity> = known.into_iter().map(|row| (row.place(), row)).collect();
            Ok(counted.iter().fold(removed, |commit, (place, more)| match known.get(place) {
                Some(before) => {
                    let after = Activity { version: before.version + 1, ..before.clone().and(more) };
                    commit.update(before, &after)
                }
                None => commit.insert(more),
            }))
        })
    }

    fn outdated<'a>(
        &'a self,
        cx: &'a Context,
        live: i64,
        most: u32,
    ) -> BoxFuture<'a, Result<Commit, StoreError>> {
        Box::pin(async move {
            let old = Activity::select().lt(Activity::GENERATION, &live).limit(most);
            let old = self.store.list(cx, old).await?;
            Ok(old.iter().fold(Commit::new(), Commit::delete))
        })
    }
}
