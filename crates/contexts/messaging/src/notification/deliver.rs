//! Sends a notification by a letter: queued, sending, delivered; failed and tried again, in the end dead.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoa_jobs::{Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Context;
use stoa_kernel::id::NotificationDeliveryId;
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::{BoxFuture, Commit, Job, Record as _, Store};
use stoa_runtime::mail::{Letter, Mailer, Unsent, Wanted};

use super::People;
use super::inbox::muted_until;
use super::record::{Notification, NotificationDelivery};
use crate::letter::Letters;

/// The kind of the job.
pub static NOTIFY: Kind = Kind {
    timeout: Duration::from_secs(120),
    retry: RetryPolicy { base_us: 500_000, attempts_max: 100, ..RETRY },
    keep_us: 0,
    is_dispensable: false,
    is_installation: true,
    ..Kind::new("notification.send", "mail", "Sends a notification by a letter.")
};
/// How often a letter is tried.
pub const ATTEMPTS_MAX: i64 = 8;
/// The pause before the second attempt, in microseconds: a minute; four times as long before each further one, at most six hours.
const PAUSE_US: i64 = 60_000_000;
const PAUSE_US_MAX: i64 = 6 * 3_600_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct Target {
    delivery: NotificationDeliveryId,
}

/// The job of a delivery.
pub(super) fn job(delivery: &NotificationDelivery, run_at: Option<Micros>) -> Job {
    Job { run_at, ..NOTIFY.job(&Target { delivery: delivery.id }) }
}

/// Sends notifications.
pub struct Notify {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Who people are.
    pub people: Arc<dyn People>,
    /// Writes letters.
    pub letters: Letters,
    /// Sends them.
    pub mailer: Arc<dyn Mailer>,
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notify")
    }
}

fn next(delivery: &NotificationDelivery, state: &str) -> NotificationDelivery {
    NotificationDelivery { state: state.to_owned(), version: delivery.version + 1, ..delivery.clone() }
}

impl Notify {
    /// The letter of a notification; `None` where there is nobody to write to any more.
    async fn letter(&self, notification: &Notification, id: &str) -> Result<Option<Letter>, Failed> {
        let Some(to) = self.people.address(notification.user_id).await? else { return Ok(None) };
        let variables =
            notification.variables.0.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        let wanted = Wanted { template: notification.template.clone(), to, variables: variables.collect() };
        let letter = self.letters.write(&wanted, id).map_err(|error| Failed::never(error.to_string()))?;
        Ok(Some(self.letters.unsubscribable(letter)))
    }

    async fn send(&self, cx: &Context, id: NotificationDeliveryId) -> Result<Commit, Failed> {
        let store = self.store.as_ref();
        let found = store.find(cx, NotificationDelivery::select().eq(NotificationDelivery::ID, &id)).await?;
        // One that was being sent when its process died is sent again, under the same identity.
        let is_open = |delivery: &NotificationDelivery| {
            ["queued", "sending", "failed"].contains(&delivery.state.as_str())
        };
        let Some(delivery) = found.filter(is_open) else { return Ok(Commit::new()) };
        let about = Notification::select().eq(Notification::ID, &delivery.notification_id);
        let Some(notification) = store.find(cx, about).await? else {
            return Ok(Commit::new().delete(&delivery));
        };
        if let Some(until) = muted_until(store, cx, delivery.user_id, self.clock.now()).await? {
            let later = NotificationDelivery { next_at: until, ..next(&delivery, "queued") };
            return Ok(Commit::new().update(&delivery, &later).job(job(&later, Some(until))));
        }
        let sending = NotificationDelivery { attempts: delivery.attempts + 1, ..next(&delivery, "sending") };
        store.commit(cx, Commit::new().update(&delivery, &sending)).await?;
        let sent = match self.letter(&notification, &delivery.id.to_string()).await {
            // What a server answers quotes the address, often: it is for the log, which leaves addresses out.
            Ok(Some(letter)) => self.mailer.send(&letter).await.map_err(|unsent| {
                tracing::warn!(delivery = %delivery.id, ?unsent, "a letter was not taken");
                match unsent {
                    Unsent::Later(_) => Unsent::Later("the mail server did not take it".to_owned()),
                    Unsent::Never(_) => Unsent::Never("the mail server refused it for good".to_owned()),
                }
            }),
            Ok(None) => Err(Unsent::Never("there is no address to write to".to_owned())),
            Err(why) if why.is_final => Err(Unsent::Never(why.message)),
            Err(why) => Err(Unsent::Later(why.message)),
        };
        let now = self.clock.now();
        let outcome = if sent.is_ok() { "delivered" } else { "failed" };
        metrics::counter!("stoa_notifications_total", "channel" => "email", "outcome" => outcome)
            .increment(1);
        let ended = |state: &str, error: Option<String>| NotificationDelivery {
            error,
            finished_at: Some(now),
            ..next(&sending, state)
        };
        Ok(match sent {
            Ok(()) => Commit::new().update(&sending, &ended("delivered", None)),
            Err(Unsent::Later(why)) if sending.attempts < ATTEMPTS_MAX => {
                let doublings = u32::try_from((sending.attempts - 1).clamp(0, 20)).unwrap_or(20);
                let pause = PAUSE_US.saturating_mul(4_i64.saturating_pow(doublings)).min(PAUSE_US_MAX);
                let at = now.plus(pause);
                let failed =
                    NotificationDelivery { next_at: at, finished_at: None, ..ended("failed", Some(why)) };
                Commit::new().update(&sending, &failed).job(job(&failed, Some(at)))
            }
            Err(Unsent::Later(why) | Unsent::Never(why)) => {
                Commit::new().update(&sending, &ended("dead", Some(why)))
            }
        })
    }
}

impl Handler for Notify {
    fn kind(&self) -> &'static Kind {
        &NOTIFY
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let target: Target = work.payload()?;
            self.send(&work.cx, target.delivery).await.map(Done::from)
        })
    }
}
