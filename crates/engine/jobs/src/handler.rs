//! Handlers: what does jobs, and what it is given to do so.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use stoa_kernel::context::Context;
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{BoxFuture, Commit, StoreError};
use tokio::sync::watch;

use crate::kind::Kind;
use crate::queue::{Held, Queue};

/// Does the jobs of one kind. One may be done twice, when a process dies between doing and ending it: what a handler does to others
/// must bear that. What it does here is in the commit that it returns, and happens once.
pub trait Handler: Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static Kind;

    /// Does one. What it returns is applied together with the end of the job, or not at all.
    ///
    /// # Errors
    /// [`Failed`].
    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>>;
}

/// Why a job goes on, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It goes on.
    Not,
    /// It was asked to stop.
    Asked,
    /// Somebody else has it.
    Lost,
}

/// A job that is being done.
pub struct Work {
    /// For whom, by whom.
    pub cx: Context,
    /// What.
    pub job: QueuedJob,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) stop: watch::Receiver<Stop>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("job", &self.job.id)
            .field("kind", &self.job.kind)
            .finish_non_exhaustive()
    }
}

impl Work {
    /// The payload, as its type.
    ///
    /// # Errors
    /// When it is none: trying again does not help.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        // What the parser says would quote the payload, which not everybody may see who sees the job.
        serde_json::from_value(self.job.payload.0.clone()).map_err(|_| Failed {
            code: "payload_invalid",
            ..Failed::never("the payload is not what its kind takes")
        })
    }

    /// Says how far it is, in percent, and what it is at. Nothing is lost when that cannot be said.
    pub async fn progress(&self, percent: u8, message: &str) {
        let held = Held { id: self.job.id, version: self.job.version };
        if let Err(error) = self.queue.progress(held, i64::from(percent.min(100)), Some(message)).await {
            tracing::debug!(job = %self.job.id, %error, "progress was not said");
        }
    }

    /// Whether it was asked to stop, or has lost the job.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow() != Stop::Not
    }

    /// Ends when it is asked to stop.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        let _ = stop.wait_for(|stop| *stop != Stop::Not).await;
    }
}

/// What came of a job.
#[derive(Debug, Default)]
pub struct Done {
    /// What is to be changed here.
    pub commit: Commit,
    /// What is answered to whoever asks.
    pub result: Option<Value>,
}

impl From<Commit> for Done {
    fn from(commit: Commit) -> Self {
        Self { commit, result: None }
    }
}

/// Why a job was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// As a stable code.
    pub code: &'static str,
    /// For people, without personal data.
    pub message: String,
    /// Whether trying again cannot help.
    pub is_final: bool,
    /// In how many microseconds it is tried again, where that is not for its kind to say.
    pub after_us: Option<i64>,
}

impl Failed {
    /// Trying again may help.
    #[must_use]
    pub fn later(message: impl Into<String>) -> Self {
        Self { code: "failed", message: message.into(), is_final: false, after_us: None }
    }

    /// Trying again cannot help.
    #[must_use]
    pub fn never(message: impl Into<String>) -> Self {
        Self { code: "refused", message: message.into(), is_final: true, after_us: None }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self { code: "store_refused", ..Self::later(error.to_string()) }
    }
}
