//! Sends the letters that commits have asked for.

use std::sync::Arc;

use stoa_jobs::{Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::{BoxFuture, Priority};
use stoa_runtime::mail::{Mailer, SEND, Unsent, Wanted};

use crate::letter::Letters;

/// The kind of those jobs: tried for about an hour, since a server of mail that is away comes back.
pub static SEND_MAIL: Kind = Kind {
    priority: Priority::High,
    retry: RetryPolicy { base_us: 1_000_000, attempts_max: 12, ..RETRY },
    keep_us: 0,
    is_installation: true,
    ..Kind::new(SEND.1, SEND.0, "Sends a letter.")
};

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
    fn kind(&self) -> &'static Kind {
        &SEND_MAIL
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let wanted: Wanted = work.payload()?;
            let written = self.letters.write(&wanted, &work.job.id.to_string());
            let letter = written.map_err(|error| Failed::never(error.to_string()))?;
            match self.mailer.send(&letter).await {
                Ok(()) => Ok(Done::default()),
                Err(Unsent::Later(reason)) => Err(Failed::later(reason)),
                Err(Unsent::Never(reason)) => Err(Failed::never(reason)),
            }
        })
    }
}
