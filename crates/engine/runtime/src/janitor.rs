//! Keeps what is stored small and sealed by the newest keys: in bounded steps, by one process at a time, safe to be cut off anywhere.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::store::{Keyring, Leases, StoreError, Upkeep};
use tokio::sync::{Notify, watch};

/// Between two rounds, unless something asks for one.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long a round may take before another process may begin one, in microseconds.
const LEASE_US: i64 = 120_000_000;
const LEASE_NAME: &str = "janitor";
/// The most of a step, and the most steps of a round.
const STEP: u32 = 500;
const STEPS_MAX: usize = 100;

/// Cleans up.
pub struct Janitor {
    /// Removes what has expired.
    pub upkeep: Arc<dyn Upkeep>,
    /// Seals anew.
    pub keyring: Arc<dyn Keyring>,
    /// Where one process claims the work.
    pub leases: Arc<dyn Leases>,
    /// This process.
    pub holder: String,
    /// Asks for a round now.
    pub wanted: Arc<Notify>,
}

impl std::fmt::Debug for Janitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Janitor").field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl Janitor {
    /// Runs until `stop`, then gives the claim back.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.round(&stop).await {
                tracing::warn!(%error, "cleaning up was cut off; it goes on at the next round");
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        let _ = self.leases.release(LEASE_NAME, &self.holder).await;
    }

    async fn round(&self, stop: &watch::Receiver<bool>) -> Result<(), StoreError> {
        if self.leases.acquire(LEASE_NAME, &self.holder, LEASE_US).await?.is_none() {
            return Ok(());
        }
        for _ in 0..STEPS_MAX {
            let removed = self.upkeep.purge_expired(STEP).await?;
            metrics::counter!("stoa_expired_removed_total").increment(u64::from(removed));
            if removed < STEP || *stop.borrow() {
                break;
            }
        }
        for _ in 0..STEPS_MAX {
            let done = self.keyring.reseal(STEP).await?;
            metrics::counter!("stoa_resealed_total").increment(u64::from(done.resealed));
            if done.resealed > 0 {
                tracing::info!(resealed = done.resealed, more = done.more, "sealed anew by the newest keys");
            }
            if !done.more || *stop.borrow() {
                break;
            }
        }
        Ok(())
    }
}
