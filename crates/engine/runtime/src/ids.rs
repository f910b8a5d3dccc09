//! Ids of this process: its node number is leased, and it stops issuing before the lease ends.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::id::{Generator, Ids, IssueError, NODES};
use stoa_kernel::store::{Leases, StoreError, StoreErrorKind};

/// How long a lease of a node number lasts.
pub const NODE_LEASE: Duration = Duration::from_secs(30);
/// How often it is renewed.
pub const NODE_RENEWAL: Duration = Duration::from_secs(10);
/// How long before the end of its lease a process stops issuing ids.
const MARGIN: Duration = Duration::from_secs(5);

/// Issues the ids of a process.
pub struct NodeIds {
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// How far the clock of the leases is ahead of the steady clock, in microseconds; [`UNKNOWN`] while that is not known. A clock that is
    /// set does not move it.
    ahead_of_steady_us: AtomicI64,
}

/// Nothing is known of the clock of the leases.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug, Default)]
struct Held {
    generator: Option<Generator>,
    node: Option<u16>,
    /// When to stop, by the steady clock; `None` for a number that is configured.
    until: Option<Micros>,
    offset: Offset,
}

/// How far the clock of the leases is ahead of this process's. Ids follow it, so that whoever takes a number over does not issue what
/// another, with a clock that was ahead, has issued for.
#[derive(Debug, Default, Clone, Copy)]
struct Offset {
    /// In microseconds.
    ahead_us: i64,
    /// What it is still too large by, at `since` of the steady clock: given back slowly, so that the clock of ids never steps back.
    excess_us: i64,
    since: Micros,
}

/// A tenth of the time that passes is given back of what an offset is too large by.
const SLEW: i64 = 10;

impl Offset {
    fn at(self, steady: Micros) -> i64 {
        self.ahead_us + (self.excess_us - steady.since(self.since) / SLEW).max(0)
    }

    /// The offset after the clock of the leases showed `shown` at some moment between two of this process's.
    fn seen(self, shown: Micros, between: (Micros, Micros), steady: Micros) -> Self {
        let (least, most) = (shown.0.saturating_sub(between.1.0), shown.0.saturating_sub(between.0.0));
        let now = self.at(steady);
        // How long the answer took says nothing about the clocks: what may be right stays. A clock that was set back meanwhile makes
        // the least more than the most.
        let ahead_us = now.max(least).min(most.max(least));
        Self { ahead_us, excess_us: (now - ahead_us).max(0), since: steady }
    }
}

impl std::fmt::Debug for NodeIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeIds").field("node", &self.node()).finish_non_exhaustive()
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl NodeIds {
    /// Ids that cannot be issued yet: the process has no node number.
    #[must_use]
    pub fn unleased(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: Mutex::default(), ahead_of_steady_us: AtomicI64::new(UNKNOWN) }
    }

    /// Ids of a node whose number is configured.
    ///
    /// # Errors
    /// [`IssueError::NodeOutOfRange`].
    pub fn fixed(clock: Arc<dyn Clock>, node: u16) -> Result<Self, IssueError> {
        let ids = Self::unleased(clock);
        ids.fix(node)?;
        Ok(ids)
    }

    /// Takes a number that is configured.
    ///
    /// # Errors
    /// [`IssueError::NodeOutOfRange`].
    pub fn fix(&self, node: u16) -> Result<(), IssueError> {
        self.take(node, None, |offset| offset)
    }

    fn take(
        &self,
        node: u16,
        until: Option<Micros>,
        offset: impl FnOnce(Offset) -> Offset,
    ) -> Result<(), IssueError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (held.until, held.offset) = (until, offset(held.offset));
        // The generator of a number stays, so that its ids keep increasing; a new one has issued nothing that it could fall behind.
        if held.node != Some(node) {
            held.generator = Some(Generator::for_node(node)?);
            held.node = Some(node);
            held.offset.excess_us = 0;
        }
        Ok(())
    }

    /// The clock of the leases showed `shown` at some moment between two of the steady clock. What may be right stays.
    fn showed(&self, shown: Micros, between: (Micros, Micros)) {
        let (least, most) = (shown.0.saturating_sub(between.1.0), shown.0.saturating_sub(between.0.0));
        let ahead = match self.ahead_of_steady_us.load(Ordering::Relaxed) {
            UNKNOWN => least.midpoint(most),
            known => known.max(least).min(most),
        };
        self.ahead_of_steady_us.store(ahead, Ordering::Relaxed);
    }

    /// The time of the clock of the leases; `None` while that is not known.
    fn shown(&self) -> Option<Micros> {
        let ahead = self.ahead_of_steady_us.load(Ordering::Relaxed);
        (ahead != UNKNOWN).then(|| self.clock.steady().plus(ahead))
    }

    /// How far the clock of the leases is ahead of this process's, in microseconds; 0 while that is not known.
    #[must_use]
    pub fn ahead_us(&self) -> i64 {
        self.shown().map_or(0, |shown| shown.0.saturating_sub(self.clock.now().0))
    }

    /// The node number, while the process holds one.
    #[must_use]
    pub fn node(&self) -> Option<u16> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).node
    }

    /// Leases a number, or renews the lease of the one that is held; tries another when it was lost.
    ///
    /// # Errors
    /// When the leases cannot be reached, or all numbers are taken.
    pub async fn lease(&self, leases: &dyn Leases, holder: &str, start: u16) -> Result<u16, StoreError> {
        let before = self.node();
        let first = before.unwrap_or(start % NODES);
        for step in 0..NODES {
            let node = (first + step) % NODES;
            let (asked, before) = (self.clock.steady(), self.clock.now());
            let Some(lease) = leases.acquire(&format!("node/{node}"), holder, micros(NODE_LEASE)).await?
            else {
                continue;
            };
            let until = asked.plus(micros(NODE_LEASE) - micros(MARGIN));
            let shown = lease.expires.plus(-micros(NODE_LEASE));
            let (between, steady) = ((before, self.clock.now()), self.clock.steady());
            self.showed(shown, (asked, steady));
            self.take(node, Some(until), |offset| offset.seen(shown, between, steady))
                .map_err(|error| StoreError::new(StoreErrorKind::Invalid, error.to_string()))?;
            return Ok(node);
        }
        Err(StoreError::new(StoreErrorKind::Unavailable, "all 1024 node ids are taken"))
    }

    /// Stops issuing. The lease is left to end by itself, so that nobody takes the number over within its time.
    pub fn stop(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (held.generator, held.node) = (None, None);
    }
}

/// A clock that is set by another.
struct Shifted<'c>(&'c dyn Clock, i64);

impl Clock for Shifted<'_> {
    fn now(&self) -> Micros {
        self.0.now().plus(self.1)
    }
}

/// The time of an installation: that of its database, which all of its processes have in common, however far their own clocks are apart,
/// and whoever sets them. A process that leases no number goes by its own.
#[derive(Debug)]
pub struct InstallationClock(Arc<NodeIds>);

impl InstallationClock {
    /// The time that a process knows by the lease of its number.
    #[must_use]
    pub const fn of(ids: Arc<NodeIds>) -> Self {
        Self(ids)
    }
}

impl Clock for InstallationClock {
    fn now(&self) -> Micros {
        self.0.shown().unwrap_or_else(|| self.0.clock.now())
    }

    fn steady(&self) -> Micros {
        self.0.clock.steady()
    }
}

impl Ids for NodeIds {
    fn next_raw(&self) -> Result<u64, IssueError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.until.is_some_and(|until| self.clock.steady() >= until) {
            return Err(IssueError::NoNode);
        }
        let shifted = Shifted(self.clock.as_ref(), held.offset.at(self.clock.steady()));
        let generator = held.generator.as_mut().ok_or(IssueError::NoNode)?;
        generator.issue::<stoa_kernel::id::Request>(&shifted).map(stoa_kernel::id::Id::raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_kernel::clock::Manual;
    use stoa_kernel::id::EPOCH_MS;
    use stoa_kernel::store::{BoxFuture, Lease};

    /// Leases in memory, all by one clock.
    struct Table(Mutex<std::collections::BTreeMap<String, (String, Micros)>>, Arc<Manual>);

    impl Leases for Table {
        fn acquire<'a>(
            &'a self,
            name: &'a str,
            holder: &'a str,
            ttl_us: i64,
        ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
            let now = self.1.now();
            let mut table = self.0.lock().unwrap();
            let free = table.get(name).is_none_or(|(by, until)| by == holder || *until <= now);
            if free {
                table.insert(name.to_owned(), (holder.to_owned(), now.plus(ttl_us)));
            }
            let lease = free.then(|| Lease { name: name.to_owned(), token: 1, expires: now.plus(ttl_us) });
            Box::pin(std::future::ready(Ok(lease)))
        }
        fn release<'a>(&'a self, name: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
            self.0.lock().unwrap().remove(name);
            Box::pin(std::future::ready(Ok(())))
        }
        fn holder<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
            let holder = self.0.lock().unwrap().get(name).map(|(by, _)| by.clone());
            Box::pin(std::future::ready(Ok(holder)))
        }
    }

    #[tokio::test]
    async fn two_processes_never_share_a_number_and_one_that_cannot_renew_stops() {
        let clock = Arc::new(Manual::at(Micros((EPOCH_MS + 1_000) * 1_000)));
        let table = Table(Mutex::default(), Arc::clone(&clock));
        let (a, b) = (NodeIds::unleased(clock.clone()), NodeIds::unleased(clock.clone()));
        assert_eq!(a.next_raw(), Err(IssueError::NoNode));
        assert_eq!(a.lease(&table, "a", 7).await.unwrap(), 7);
        assert_eq!(b.lease(&table, "b", 7).await.unwrap(), 8);
        assert!(a.next_raw().is_ok() && b.next_raw().is_ok());
        clock.advance(26_000_000);
        assert_eq!(a.next_raw(), Err(IssueError::NoNode), "before its lease ends");
        assert_eq!(a.lease(&table, "a", 7).await.unwrap(), 7, "renewed");
        assert!(a.next_raw().is_ok());
        clock.advance(31_000_000);
        assert_eq!(b.lease(&table, "c", 7).await.unwrap(), 8, "what has ended is free");
        a.stop();
        assert_eq!(a.next_raw(), Err(IssueError::NoNode));
    }

    /// A machine whose clock can be set.
    struct Machine(Manual, Manual);

    impl Clock for Machine {
        fn now(&self) -> Micros {
            self.0.now()
        }
        fn steady(&self) -> Micros {
            self.1.now()
        }
    }

    #[tokio::test]
    async fn the_time_is_that_of_the_leases_whoever_sets_the_clock_of_the_machine() {
        let database = Arc::new(Manual::at(Micros((EPOCH_MS + 600_000) * 1_000)));
        let table = Table(Mutex::default(), Arc::clone(&database));
        let wrong = Micros((EPOCH_MS + 900_000) * 1_000);
        let machine = Arc::new(Machine(Manual::at(wrong), Manual::at(Micros(5))));
        let ids = Arc::new(NodeIds::unleased(machine.clone()));
        let clock = InstallationClock::of(Arc::clone(&ids));
        assert_eq!((clock.now(), ids.ahead_us()), (wrong, 0), "nothing is known yet");
        ids.lease(&table, "a", 7).await.unwrap();
        assert_eq!((clock.now(), ids.ahead_us()), (database.now(), -300_000_000));
        // The machine's clock is put right, and time passes.
        machine.0.advance(-300_000_000);
        for clock in [database.as_ref(), &machine.0, &machine.1] {
            clock.advance(7_000_000);
        }
        assert_eq!((clock.now(), ids.ahead_us()), (database.now(), 0));
        // The database's clock is set: that is known with the next renewal.
        database.advance(-2_000_000);
        ids.lease(&table, "a", 7).await.unwrap();
        assert_eq!(clock.now(), database.now());
    }

    #[tokio::test]
    async fn ids_follow_the_clock_of_the_leases() {
        let database = Arc::new(Manual::at(Micros((EPOCH_MS + 600_000) * 1_000)));
        let table = Table(Mutex::default(), Arc::clone(&database));
        let ahead = Arc::new(Manual::at(Micros((EPOCH_MS + 900_000) * 1_000)));
        let ids = NodeIds::unleased(ahead);
        ids.lease(&table, "a", 7).await.unwrap();
        assert_eq!(ids.next_raw().unwrap() >> 22, 600_000, "not five minutes ahead of everybody");
    }

    #[test]
    fn a_slow_answer_does_not_move_the_clock_of_ids_and_a_real_difference_is_given_back_slowly() {
        let at = |ms: i64| Micros(ms * 1_000);
        // The first answer takes 300 ms, most of it on the way there: the clocks may be equal.
        let first = Offset::default().seen(at(1_290), (at(1_000), at(1_300)), at(1_300));
        assert_eq!(first.at(at(1_300)), 0);
        let fast = first.seen(at(11_000), (at(11_000), at(11_001)), at(11_001));
        assert_eq!(fast.at(at(11_001)), 0, "and no answer after it makes ids wait");
        // The clock of the leases is a second ahead, then not any more.
        let ahead = fast.seen(at(22_000), (at(21_000), at(21_001)), at(21_001));
        assert_eq!(ahead.at(at(21_001)), 999_000);
        let back = ahead.seen(at(31_000), (at(31_000), at(31_001)), at(31_001));
        assert_eq!(back.at(at(31_001)), 999_000, "it does not step back");
        let later = (31_001..45_000).map(|ms| back.at(at(ms)) + at(ms).0);
        assert!(later.clone().zip(later.skip(1)).all(|(a, b)| a < b), "it goes on, more slowly");
        assert_eq!(back.at(at(45_000)), 0);
    }
}
