//! Sends the letters that commits have asked for.

use std::sync::Arc;

use stoa_jobs::{Failed, Handler};
use stoa_kernel::context::Context;
use stoa_kernel::store::queue::QueuedJob;
use stoa_kernel::store::{BoxFuture, Commit};
use stoa_runtime::mail::{Mailer, SEND, Unsent, Wanted};

use crate::letter::Letters;

/// Does the jobs that send letters. One that is done twice sends a letter with the same identity twice.
pub struct SendMail {
    /// Writes them.
    pub letters: Letters,
    /// Sends them.
    pub mailer: Arc<dyn Mailer>,
}

impl std::fmt::Debug for SendMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendMail")
    }
}

impl Handler for SendMail {
    fn kind(&self) -> &'static str {
        SEND.1
    }

    fn run<'a>(&'a self, _: &'a Context, job: &'a QueuedJob) -> BoxFuture<'a, Result<Commit, Failed>> {
        Box::pin(async move {
            let never = |reason: String| Failed::Never(reason);
            let wanted: Wanted =
                serde_json::from_value(job.payload.0.clone()).map_err(|error| never(error.to_string()))?;
            let letter =
                self.letters.write(&wanted, &job.id.to_string()).map_err(|error| never(error.to_string()))?;
            match self.mailer.send(&letter).await {
                Ok(()) => Ok(Commit::new()),
                Err(Unsent::Later(reason)) => Err(Failed::Later(reason)),
                Err(Unsent::Never(reason)) => Err(Failed::Never(reason)),
            }
        })
    }
}
