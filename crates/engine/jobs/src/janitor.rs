//! Keeps what is stored small and sealed by the newest keys: in bounded steps, safe to be cut off anywhere and to run twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::{BoxFuture, Keyring, Priority, Upkeep};

use crate::handler::{Done, Failed, Handler, Work};
use crate::kind::{DAY_US, Kind, RETRY};

/// Its kind.
pub static CLEAN: Kind = Kind {
    priority: Priority::Low,
    timeout: Duration::from_secs(300),
    retry: RetryPolicy { attempts_max: 3, ..RETRY },
    keep_us: DAY_US,
    replays_max: 0,
    is_installation: true,
    ..Kind::new(
        "janitor.clean",
        "upkeep",
        "Removes what has expired, and seals anew what is sealed by old keys.",
    )
};
/// The most of a step, and the most steps of a round.
const STEP: u32 = 500;
const STEPS_MAX: usize = 100;

/// Cleans up.
pub struct Janitor {
    /// Removes what has expired.
    pub upkeep: Arc<dyn Upkeep>,
    /// Seals anew.
    pub keyring: Arc<dyn Keyring>,
}

impl std::fmt::Debug for Janitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Janitor")
    }
}

impl Handler for Janitor {
    fn kind(&self) -> &'static Kind {
        &CLEAN
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let (mut removed, mut resealed) = (0, 0);
            for _ in 0..STEPS_MAX {
                let step = self.upkeep.purge_expired(STEP).await?;
                metrics::counter!("stoa_expired_removed_total").increment(u64::from(step));
                removed += step;
                if step < STEP || work.is_stopped() {
                    break;
                }
            }
            for _ in 0..STEPS_MAX {
                let step = self.keyring.reseal(STEP).await?;
                metrics::counter!("stoa_resealed_total").increment(u64::from(step.resealed));
                resealed += step.resealed;
                if !step.more || work.is_stopped() {
                    break;
                }
            }
            if resealed > 0 {
                tracing::info!(resealed, "sealed anew by the newest keys");
            }
            Ok(Done { result: Some(json!({"removed": removed, "resealed": resealed})), ..Done::default() })
        })
    }
}
