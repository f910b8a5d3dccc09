//! Digests: one letter for all that somebody was told since the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use stoa_jobs::{DAY_US, Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::id::{NotificationId, UserId};
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::{BoxFuture, Commit, Job, Priority, Record as _, Store, StoreErrorKind};
use stoa_runtime::mail::{SEND, Wanted};

use super::People;
use super::inbox::{muted_until, titled};
use super::record::{Notification, NotificationDelivery};
use crate::letter::Letters;

/// Between two looks for digests that are due, in seconds.
pub const DIGEST_S: i64 = 300;
/// The kind of the job that looks.
pub static DIGEST: Kind = Kind {
    timeout: Duration::from_secs(300),
    retry: RetryPolicy { attempts_max: 3, ..RETRY },
    keep_us: DAY_US,
    replays_max: 0,
    is_installation: true,
    ..Kind::new("notification.digest", "mail", "Writes the digests that are due.")
};
/// The most notifications of a round, and the most that a letter names.
const STEP: u32 = 1_000;
const NAMED_MAX: usize = 20;

/// Writes digests.
pub struct Digester {
    /// Where notifications are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Who people are.
    pub people: Arc<dyn People>,
    /// Writes titles.
    pub letters: Letters,
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester")
    }
}

impl Digester {
    /// One letter for a user: what it holds and that it is sent are one commit.
    async fn write(
        &self,
        cx: &Context,
        user: UserId,
        waiting: &[NotificationDelivery],
    ) -> Result<(), Failed> {
        if let Some(until) = muted_until(self.store.as_ref(), cx, user, self.clock.now()).await? {
            let put_off = waiting.iter().fold(Commit::new(), |commit, delivery| {
                let later = NotificationDelivery {
                    next_at: until,
                    version: delivery.version + 1,
                    ..delivery.clone()
                };
                commit.update(delivery, &later)
            });
            return self.store.commit(cx, put_off).await.map(drop).map_err(Failed::from);
        }
        let ids: Vec<NotificationId> = waiting.iter().map(|delivery| delivery.notification_id).collect();
        let about = self.store.list(cx, Notification::select().is_in(Notification::ID, &ids)).await?;
        let mut titles: Vec<String> =
            about.iter().take(NAMED_MAX).map(|notification| titled(&self.letters, notification).0).collect();
        if about.len() > NAMED_MAX {
            titles.push("…".to_owned());
        }
        let address = self.people.address(user).await?;
        let now = self.clock.now();
        let state = if address.is_some() { "delivered" } else { "dead" };
        let mut commit = waiting.iter().fold(Commit::new(), |commit, delivery| {
            let ended = NotificationDelivery {
                state: state.to_owned(),
                attempts: 1,
                finished_at: Some(now),
                version: delivery.version + 1,
                ..delivery.clone()
            };
            commit.update(delivery, &ended)
        });
        if let Some(to) = address {
            let variables = [("count", about.len().to_string()), ("titles", titles.join(" · "))];
            let variables =
                variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            let wanted = Wanted { template: "digest".to_owned(), to, variables };
            let payload = serde_json::to_string(&wanted).unwrap_or_default();
            commit = commit.job(Job { priority: Priority::Normal, ..Job::new(SEND.0, SEND.1, payload) });
        }
        match self.store.commit(cx, commit).await {
            // Another round was faster.
            Err(error) if error.kind == StoreErrorKind::Conflict => Ok(()),
            other => other.map(drop).map_err(Failed::from),
        }
    }
}

impl Handler for Digester {
    fn kind(&self) -> &'static Kind {
        &DIGEST
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let due = NotificationDelivery::select()
                .eq(NotificationDelivery::STATE, &"digest".to_owned())
                .le(NotificationDelivery::NEXT_AT, &self.clock.now())
                .ascending(NotificationDelivery::ID)
                .limit(STEP);
            let mut users: BTreeMap<i64, Vec<NotificationDelivery>> = BTreeMap::new();
            let due = self.store.list(&work.cx, due).await?;
            let is_all = due.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
            for delivery in due {
                users.entry(delivery.user_id.to_i64()).or_default().push(delivery);
            }
            let (mut letters, mut is_failed) = (0, false);
            for waiting in users.into_values() {
                let Some(first) = waiting.first() else { continue };
                match self.write(&work.cx, first.user_id, &waiting).await {
                    Ok(()) => letters += 1,
                    // One whose letter cannot be written holds up nobody else's.
                    Err(why) => {
                        is_failed = true;
                        tracing::warn!(user = %first.user_id, code = why.code, message = why.message, "a digest could not be written; it is tried again");
                    }
                }
            }
            // There may be more than fit into a round.
            let again =
                if is_all || is_failed { Commit::new() } else { Commit::new().job(DIGEST.job(&json!({}))) };
            Ok(Done { commit: again, result: Some(json!({"letters": letters})) })
        })
    }
}
