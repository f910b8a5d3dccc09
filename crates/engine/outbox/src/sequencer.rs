//! Gives positions to committed events, where commits do not give them themselves. One process leads, by lease.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::store::{EventLog, Leases, StoreError};
use tokio::sync::watch;

use crate::feed::Feed;

/// The most events of one step.
const STEP: u32 = 2_000;
/// How long is waited at most before looking again, hint or no hint.
const POLL: Duration = Duration::from_millis(200);
/// How long leadership lasts without renewal, in microseconds.
const LEASE_US: i64 = 15_000_000;
/// The lease of whoever gives positions.
pub const LEASE_NAME: &str = "sequencer";

/// Numbers events as they are committed.
pub struct Sequencer {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Where leadership is claimed.
    pub leases: Arc<dyn Leases>,
    /// This process.
    pub holder: String,
    /// Woken by commits.
    pub committed: Feed,
    /// Told when there are new positions.
    pub feed: Feed,
}

impl Sequencer {
    /// Runs until `stop` says so, then gives leadership back.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut hints = self.committed.subscribe();
        let mut led = false;
        while !*stop.borrow() {
            hints.mark_unchanged();
            match self.round().await {
                Ok(leads) => led = leads,
                Err(error) => tracing::warn!(%error, "events could not be numbered"),
            }
            tokio::select! {
                _ = stop.changed() => {}
                _ = tokio::time::timeout(POLL, hints.changed()) => {}
            }
        }
        if led {
            // What was committed last is numbered before another takes over.
            let _ = self.round().await;
            let _ = self.leases.release(LEASE_NAME, &self.holder).await;
        }
    }

    /// Claims leadership, or renews it: whether this process leads.
    ///
    /// # Errors
    /// When the leases cannot be reached.
    pub async fn claim(&self) -> Result<bool, StoreError> {
        Ok(self.leases.acquire(LEASE_NAME, &self.holder, LEASE_US).await?.is_some())
    }

    /// One round: whether this process leads.
    async fn round(&self) -> Result<bool, StoreError> {
        if !self.claim().await? {
            return Ok(false);
        }
        loop {
            let numbered = self.log.sequence(STEP).await?;
            if numbered > 0 {
                metrics::counter!("stoa_events_sequenced_total").increment(u64::from(numbered));
                self.feed.hint();
            }
            if numbered < STEP {
                return Ok(true);
            }
        }
    }
}
