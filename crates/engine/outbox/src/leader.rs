//! Who leads, asked often and claimed rarely.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use stoa_kernel::clock::Clock;
use stoa_kernel::store::{Leases, StoreError};

/// How long leadership lasts without renewal, in microseconds.
const LEASE_US: i64 = 15_000_000;

/// A claim to lead something. For what bears two leaders for a moment: it is renewed only every third of its time.
pub struct Leader {
    leases: Arc<dyn Leases>,
    clock: Arc<dyn Clock>,
    name: String,
    holder: String,
    /// When it was last claimed, by the steady clock.
    claimed: AtomicI64,
}

impl std::fmt::Debug for Leader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leader")
            .field("name", &self.name)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

impl Leader {
    /// A claim of this process to lead what is called so.
    #[must_use]
    pub fn of(
        leases: &Arc<dyn Leases>,
        clock: &Arc<dyn Clock>,
        name: impl Into<String>,
        holder: &str,
    ) -> Self {
        Self {
            leases: Arc::clone(leases),
            clock: Arc::clone(clock),
            name: name.into(),
            holder: holder.to_owned(),
            claimed: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether this process leads.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leads(&self) -> Result<bool, StoreError> {
        let now = self.clock.steady().0;
        if now.saturating_sub(self.claimed.load(Ordering::Relaxed)) < LEASE_US / 3 {
            return Ok(true);
        }
        let leads = self.leases.acquire(&self.name, &self.holder, LEASE_US).await?.is_some();
        self.claimed.store(if leads { now } else { i64::MIN }, Ordering::Relaxed);
        Ok(leads)
    }

    /// Lets another process lead.
    pub async fn resign(&self) {
        self.claimed.store(i64::MIN, Ordering::Relaxed);
        let _ = self.leases.release(&self.name, &self.holder).await;
    }
}
