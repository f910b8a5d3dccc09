//! Signals between processes: at most once, forgotten when nobody listens. They shorten waiting; what must not be lost is in the log.

use std::sync::Arc;

use stoa_kernel::store::BoxFuture;
use tokio::sync::{broadcast, watch};

use crate::feed::Feed;

/// The subject of hints that there is more in the log.
pub const COMMITTED: &str = "log.committed";

/// What is heard of a subject from now on.
pub type Heard = broadcast::Receiver<Arc<[u8]>>;

/// The bus could not take a signal, or is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard(pub String);

impl std::fmt::Display for Unheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Carries signals. Each reaches every listener of its subject that is there and keeps up; those of one sender in their order.
pub trait Signals: Send + Sync {
    /// Sends a signal. When it returns, it is on its way, not yet heard.
    ///
    /// # Errors
    /// [`Unheard`].
    fn send<'a>(&'a self, subject: &'a str, payload: &'a [u8]) -> BoxFuture<'a, Result<(), Unheard>>;

    /// Listens to a subject. A listener that lags behind misses the oldest and is told so.
    ///
    /// # Errors
    /// [`Unheard`].
    fn listen<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Heard, Unheard>>;

    /// A round trip to the bus.
    ///
    /// # Errors
    /// [`Unheard`].
    fn ping(&self) -> BoxFuture<'_, Result<(), Unheard>>;
}

/// Tells other processes of commits here, and this one of commits elsewhere. Until `stop`; while the bus is away, polls find everything.
pub async fn carry_hints(
    signals: Arc<dyn Signals>,
    committed: Feed,
    elsewhere: Feed,
    own: [u8; 16],
    mut stop: watch::Receiver<bool>,
) {
    let mut hints = committed.subscribe();
    let mut heard = None;
    while !*stop.borrow() {
        if heard.is_none() {
            heard = signals.listen(COMMITTED).await.ok();
        }
        let hearing = async {
            match &mut heard {
                Some(heard) => heard.recv().await,
                // Not listening yet; tried again with the next commit here, or shortly.
                None => {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    Err(broadcast::error::RecvError::Lagged(0))
                }
            }
        };
        tokio::select! {
            _ = stop.changed() => {}
            changed = hints.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Err(error) = signals.send(COMMITTED, &own).await {
                    tracing::debug!(%error, "a hint was not sent");
                }
            }
            found = hearing => match found {
                Ok(from) if *from == own => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => elsewhere.hint(),
                Err(broadcast::error::RecvError::Closed) => heard = None,
            }
        }
    }
}
