//! In-process subscription: who follows the log is woken when there is more.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::context::Scope;
use stoa_kernel::store::{Envelope, EventFilter, EventLog, StoreError};
use tokio::sync::watch;

/// How long a follower waits at most before it looks, hint or no hint.
const POLL: Duration = Duration::from_secs(1);

/// Wakes followers.
#[derive(Debug, Clone)]
pub struct Feed(Arc<watch::Sender<u64>>);

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Feed {
    /// Says that there may be more in the log. Never blocks.
    pub fn hint(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Something that is woken by the next hint.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Follows the log from a position.
    #[must_use]
    pub fn follow(
        &self,
        log: Arc<dyn EventLog>,
        scope: Scope,
        position: i64,
        filter: EventFilter,
    ) -> Follower {
        Follower { log, scope, position, filter, hints: self.subscribe() }
    }
}

/// Reads the log from a position on, without gaps.
pub struct Follower {
    log: Arc<dyn EventLog>,
    scope: Scope,
    position: i64,
    filter: EventFilter,
    hints: watch::Receiver<u64>,
}

impl Follower {
    /// The next events, as soon as there are any; at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`]; following can go on.
    pub async fn next(&mut self, limit: u32) -> Result<Vec<Envelope>, StoreError> {
        loop {
            // Seen before reading, so that a hint in between wakes at once.
            self.hints.mark_unchanged();
            let events = self.log.events_after(self.scope, self.position, limit, &self.filter).await?;
            if let Some(last) = events.last() {
                self.position = last.position;
                return Ok(events);
            }
            let _ = tokio::time::timeout(POLL, self.hints.changed()).await;
        }
    }
}
