//! What everybody does who follows the log and leads: rounds.

use std::fmt::Display;
use std::time::Duration;

use stoa_kernel::context::Scope;
use stoa_kernel::store::{Envelope, EventFilter, EventLog, StoreError};
use tokio::sync::watch;

use crate::feed::Feed;
use crate::leader::Leader;

/// How long is waited at most before looking again, hint or no hint.
const POLL: Duration = Duration::from_secs(1);

/// Somebody who follows the log, if they lead.
pub(crate) trait Rounds: Send + Sync {
    /// Why a round was not finished.
    type Error: Display + Send;

    /// Who, for people.
    fn who(&self) -> &str;

    /// What wakes them, and what says whether they lead.
    fn led(&self) -> (&Feed, &Leader);

    /// One round: whether there is more to do already.
    fn step(&self) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// Does rounds until `stop`, then gives leadership back. Where there is no more, the next one comes with a hint, or after a while.
pub(crate) async fn run(follower: impl Rounds, mut stop: watch::Receiver<bool>) {
    let (feed, leader) = follower.led();
    let mut hints = feed.subscribe();
    let mut is_failing = false;
    while !*stop.borrow() {
        hints.mark_unchanged();
        match follower.step().await {
            Ok(is_more) => {
                is_failing = false;
                if is_more {
                    continue;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(who = follower.who(), %error, "the log is not followed for now; nothing is passed over");
                }
            }
        }
        tokio::select! {
            _ = stop.changed() => {}
            _ = tokio::time::timeout(POLL, hints.changed()) => {}
        }
    }
    leader.resign().await;
}

/// The next step along the log.
pub(crate) struct Step {
    /// What is to be dealt with.
    pub(crate) events: Vec<Envelope>,
    /// Where one stands after it.
    pub(crate) position: i64,
    /// Whether there may be more already.
    pub(crate) is_full: bool,
}

/// The next events of some types, at most `most`; of all types without any.
pub(crate) async fn step(
    log: &dyn EventLog,
    position: i64,
    most: u32,
    kinds: Vec<String>,
) -> Result<Step, StoreError> {
    // Everything up to here has its position: what is not among the events that are found is not wanted.
    let head = log.head().await?;
    let filter = EventFilter { kinds, ..EventFilter::default() };
    let events = log.events_after(Scope::System, position, most, &filter).await?;
    let last = events.last().map_or(position, |last| last.position);
    let is_full = events.len() >= usize::try_from(most).unwrap_or(usize::MAX);
    Ok(Step { events, position: if is_full { last } else { head.max(last) }, is_full })
}
