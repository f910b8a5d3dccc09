//! The keeper: extends the leases of what runs here, and tells jobs that they were asked to stop or are lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::handler::Stop;
use crate::queue::Held;

/// Between two looks, at most.
const LOOK: Duration = Duration::from_secs(1);
/// How long a job that was asked to stop may go on, in microseconds.
const GRACE_US: i64 = 30_000_000;

pub(super) async fn run(shared: Arc<Shared>) {
    let lease_us = shared.parts.lease_us;
    let look = LOOK.min(Duration::from_micros((lease_us / 4).max(1).unsigned_abs()));
    let mut renewed = shared.parts.clock.steady();
    loop {
        tokio::time::sleep(look).await;
        let held: Vec<Held> = shared.running().values().map(|running| running.again.held).collect();
        let now = shared.parts.clock.steady();
        if held.is_empty() {
            renewed = now;
            continue;
        }
        if now.since(renewed) >= lease_us / 3 {
            match shared.parts.queue.renew(&held, lease_us).await {
                Ok(still) => {
                    renewed = now;
                    let still: HashSet<Held> = still.into_iter().collect();
                    lose(&shared, held.into_iter().filter(|one| !still.contains(one)));
                }
                // Nobody knows; when the time of the leases is over, others have them.
                Err(error) if now.since(renewed) >= lease_us => {
                    tracing::warn!(%error, "leases could not be extended; what runs here is given up");
                    lose(&shared, held.into_iter());
                }
                Err(error) => tracing::warn!(%error, "leases could not be extended; it is tried again"),
            }
        }
        ask(&shared).await;
    }
}

/// Tells who was asked to stop; who does not, is ended.
async fn ask(shared: &Shared) {
    let asked = match shared.parts.queue.cancelled(&shared.parts.holder).await {
        Ok(asked) => asked,
        Err(error) => return tracing::debug!(%error, "who was asked to stop is not known"),
    };
    let now = shared.parts.clock.steady();
    let mut running = shared.running();
    for id in asked {
        let Some(running) = running.get_mut(&id) else { continue };
        let since = *running.asked.get_or_insert(now);
        let next = if now.since(since) > GRACE_US { Stop::Lost } else { Stop::Asked };
        running.stop.send_if_modified(|stop| std::mem::replace(stop, next) != next);
    }
}

/// Ends what others have by now. What is being ended is not there any more, which is no loss.
fn lose(shared: &Shared, lost: impl Iterator<Item = Held>) {
    let running = shared.running();
    for held in lost {
        if let Some(running) = running.get(&held.id).filter(|running| running.again.held == held) {
            running.stop.send_replace(Stop::Lost);
        }
    }
}
