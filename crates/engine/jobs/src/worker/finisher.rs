//! The finisher: ends many jobs that had no effect here with one statement.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use crate::queue::Finish;

/// The most ends of one statement.
const MOST: usize = 512;
/// How often an end is tried, and between two times: until the lease ends it is still ours.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// Ends what comes, until nobody is left who could send anything. Others go on meanwhile: the channel bounds how much waits.
pub(super) async fn run(shared: Arc<Shared>, mut endings: mpsc::Receiver<Finish>) {
    let mut batch = Vec::with_capacity(MOST);
    while endings.recv_many(&mut batch, MOST).await > 0 {
        finish(&shared, &batch).await;
        shared.ending.fetch_sub(batch.len(), Ordering::Release);
        batch.clear();
    }
}

async fn finish(shared: &Shared, done: &[Finish]) {
    for attempt in 1..=TRIES {
        match shared.parts.queue.finish(done).await {
            Ok(ended) => {
                let lost = done.len().saturating_sub(ended.len());
                if lost > 0 {
                    tracing::warn!(lost, "jobs were done, but others have them by now");
                }
                return;
            }
            Err(error) if attempt == TRIES => {
                tracing::error!(%error, jobs = done.len(), "ends of jobs could not be stored; they are done again");
            }
            Err(error) => {
                tracing::warn!(%error, "ends of jobs could not be stored; it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
