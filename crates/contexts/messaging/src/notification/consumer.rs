//! Who is told what: from events to notifications.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use stoa_jobs::Failed;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{Ids, OrganizationId, UserId};
use stoa_kernel::store::{BoxFuture, Commit, Envelope, Json, Record as _, Store};
use stoa_outbox::Consumer;

use super::deliver::job;
use super::inbox::KEPT_US;
use super::record::{
    Channel, Digest, Notification, NotificationDelivery, NotificationPreference, NotificationSettings,
};
use super::template::{Template, template};
use super::{Keeping, People};
use crate::notification::inbox::NotificationCreated;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// When a daily digest comes, in UTC.
const MORNING_US: i64 = 8 * HOUR_US;

/// Tells people what concerns them.
pub struct Notifications {
    /// Where notifications are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
    /// Who people are.
    pub people: Arc<dyn People>,
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notifications")
    }
}

/// What an event comes to: a template, its values, and a key by which it is told once.
struct Telling {
    template: &'static Template,
    to: To,
    variables: BTreeMap<String, String>,
    dedupe_key: Option<String>,
}

enum To {
    User(UserId),
    Keepers(Keeping),
    /// All who look after people, but for the one whom it is about.
    Others(Option<UserId>),
}

fn text(payload: &Value, name: &str) -> String {
    payload.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What an event tells people, if it does.
fn telling(event: &Envelope) -> Option<Telling> {
    let of = |name: &str| text(&event.payload, name);
    let (name, to, pairs, dedupe_key) = match event.kind.as_str() {
        "job.dead_letter_alert" => {
            let hour = event.timestamp.0.div_euclid(HOUR_US);
            let pairs = vec![
                ("kind", of("kind")),
                ("queue", of("queue")),
                ("reason", of("reason")),
                ("job", of("jobId")),
            ];
            (
                "dead_letter",
                To::Keepers(Keeping::Programs),
                pairs,
                Some(format!("dead_letter:{}:{hour}", of("kind"))),
            )
        }
        "member.joined" => {
            ("member_joined", To::Others(of("user").parse().ok()), vec![("role", of("role"))], None)
        }
        "member.updated" => {
            ("role_changed", To::User(of("user").parse().ok()?), vec![("role", of("role"))], None)
        }
        "run.stopped" => {
            let pairs = vec![("workflow", of("workflow")), ("run", of("runId"))];
            ("run_stopped", To::Keepers(Keeping::Programs), pairs, None)
        }
        "webhook.disabled" => {
            let pairs = vec![("endpoint", of("endpointId")), ("reason", of("reason"))];
            ("webhook_disabled", To::Keepers(Keeping::Programs), pairs, None)
        }
        _ => return None,
    };
    let variables = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Some(Telling { template: template(name)?, to, variables, dedupe_key })
}

/// When the next digest comes.
pub(super) fn next_digest(digest: Digest, now: Micros) -> Option<Micros> {
    match digest {
        Digest::Off => None,
        Digest::Hourly => Some(Micros(now.0.div_euclid(HOUR_US).saturating_add(1).saturating_mul(HOUR_US))),
        Digest::Daily => {
            let days = now.0.saturating_sub(MORNING_US).div_euclid(DAY_US).saturating_add(1);
            Some(Micros(days.saturating_mul(DAY_US).saturating_add(MORNING_US)))
        }
    }
}

impl Consumer for Notifications {
    fn name(&self) -> &'static str {
        "notifications"
    }

    fn about(&self) -> &'static str {
        "Tells people what concerns them."
    }

    fn kinds(&self) -> Vec<String> {
        ["job.dead_letter_alert", "member.joined", "member.updated", "run.stopped", "webhook.disabled"]
            .map(str::to_owned)
            .to_vec()
    }

    fn consume<'a>(&'a self, cx: &'a Context, event: &'a Envelope) -> BoxFuture<'a, Result<Commit, Failed>> {
        Box::pin(async move {
            let Some(organization) = event.organization_id else { return Ok(Commit::new()) };
            let Some(mut telling) = telling(event) else { return Ok(Commit::new()) };
            let name = self.people.organization(organization).await?.unwrap_or_default();
            telling.variables.insert("organization".to_owned(), name);
            let users = match &telling.to {
                To::User(user) => vec![*user],
                To::Keepers(keeping) => self.people.keepers(organization, *keeping).await?,
                To::Others(about) => {
                    let mut keepers = self.people.keepers(organization, Keeping::People).await?;
                    keepers.retain(|user| Some(*user) != *about);
                    keepers
                }
            };
            let mut commit = Commit::new();
            for user in users {
                commit = commit.and(self.tell(cx, organization, user, &telling).await?);
            }
            Ok(commit)
        })
    }
}

impl Notifications {
    /// One notification for one user, wherever they want it.
    async fn tell(
        &self,
        cx: &Context,
        organization: OrganizationId,
        user: UserId,
        telling: &Telling,
    ) -> Result<Commit, Failed> {
        let (store, now) = (self.store.as_ref(), self.clock.now());
        if telling.dedupe_key.is_some() {
            let same = Notification::select()
                .eq(Notification::ORGANIZATION_ID, &organization.to_i64())
                .eq(Notification::USER_ID, &user)
                .eq(Notification::DEDUPE_KEY, &telling.dedupe_key);
            if store.find(cx, same).await?.is_some() {
                return Ok(Commit::new());
            }
        }
        let system = cx.within(Scope::System);
        let own = NotificationPreference::select()
            .eq(NotificationPreference::USER_ID, &user)
            .eq(NotificationPreference::TEMPLATE, &telling.template.name.to_owned());
        let own = store.list(&system, own).await?;
        let wants = |channel| {
            let said = own.iter().find(|preference| preference.channel == channel);
            said.map_or_else(|| telling.template.goes_to(channel), |preference| preference.is_on)
        };
        if !Channel::ALL.iter().any(|channel| wants(*channel)) {
            return Ok(Commit::new());
        }
        let settings = NotificationSettings::select().eq(NotificationSettings::USER_ID, &user);
        let settings = store.find(&system, settings).await?;
        let is_muted =
            settings.as_ref().and_then(|settings| settings.mute_until).is_some_and(|until| now < until);
        let unissued = |error: stoa_kernel::id::IssueError| Failed::later(error.to_string());
        let notification = Notification {
            id: self.ids.next().map_err(unissued)?,
            organization_id: organization.to_i64(),
            user_id: user,
            template: telling.template.name.to_owned(),
            variables: Json(telling.variables.clone()),
            dedupe_key: telling.dedupe_key.clone(),
            is_shown: wants(Channel::InApp),
            read_at: None,
            created_at: now,
            expires_at: now.plus(KEPT_US),
            version: 1,
        };
        let mut commit = Commit::new().insert(&notification);
        if wants(Channel::Webhook) && !is_muted {
            commit = commit.event(&NotificationCreated::of(&notification, organization));
        }
        if wants(Channel::Email) && !is_muted {
            let digest_at = settings.and_then(|settings| next_digest(settings.digest, now));
            let delivery = NotificationDelivery {
                id: self.ids.next().map_err(unissued)?,
                organization_id: notification.organization_id,
                notification_id: notification.id,
                user_id: user,
                channel: Channel::Email,
                state: if digest_at.is_some() { "digest" } else { "queued" }.to_owned(),
                attempts: 0,
                error: None,
                next_at: digest_at.unwrap_or(now),
                created_at: now,
                finished_at: None,
                expires_at: notification.expires_at,
                version: 1,
            };
            commit = commit.insert(&delivery);
            if digest_at.is_none() {
                commit = commit.job(job(&delivery, None));
            }
        }
        Ok(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_comes_at_the_next_full_hour_or_the_next_morning() {
        let at = |hours: i64| Micros(hours * HOUR_US);
        assert_eq!(next_digest(Digest::Off, at(5)), None);
        assert_eq!(next_digest(Digest::Hourly, at(5)), Some(at(6)));
        assert_eq!(next_digest(Digest::Hourly, Micros(5 * HOUR_US + 1)), Some(at(6)));
        assert_eq!(next_digest(Digest::Daily, at(5)), Some(at(8)));
        assert_eq!(next_digest(Digest::Daily, at(8)), Some(at(32)));
        assert_eq!(next_digest(Digest::Daily, at(23)), Some(at(32)));
    }
}
