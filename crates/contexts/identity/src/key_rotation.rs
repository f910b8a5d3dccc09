//! The rotation of signing keys by their age.

use std::sync::Arc;
use std::time::Duration;

use stoa_jobs::{DAY_US, Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::BoxFuture;

use crate::service::Identity;

/// The kind of the job.
pub static ROTATE: Kind = Kind {
    timeout: Duration::from_secs(60),
    retry: RetryPolicy { attempts_max: 3, ..RETRY },
    keep_us: DAY_US,
    replays_max: 0,
    is_installation: true,
    ..Kind::new("signing_keys.rotate", "upkeep", "Makes the next signing key when the one in use is old.")
};

/// Does those jobs.
pub struct Rotation {
    /// Whose keys they are.
    pub identity: Arc<Identity>,
    /// How old a key may be, in microseconds.
    pub age_us: i64,
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotation").field("age_us", &self.age_us).finish_non_exhaustive()
    }
}

impl Handler for Rotation {
    fn kind(&self) -> &'static Kind {
        &ROTATE
    }

    fn run<'a>(&'a self, _: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let rotated = self.identity.rotate_when_old(self.age_us).await;
            rotated.map(|()| Done::default()).map_err(|error| Failed::later(error.to_string()))
        })
    }
}
