//! What somebody was told, and how they want to be.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{NotificationDeliveryId, NotificationId, OrganizationId, UserId};
use stoa_kernel::store::{Aggregate, Commit, Event, EventType, Query, Record as _, Store, StoreError};
use stoa_runtime::mail::Wanted;

use super::deliver::job;
use super::record::{
    Channel, Digest, Notification, NotificationDelivery, NotificationPreference, NotificationSettings,
};
use super::template::{TEMPLATES, Template, template};
use crate::Error;
use crate::letter::Letters;

/// How long a notification is kept, in microseconds: 90 days.
pub(super) const KEPT_US: i64 = 90 * 86_400_000_000;
/// How long somebody may want not to be told anything, in microseconds: a year.
const MUTE_US_MAX: i64 = 366 * 86_400_000_000;
/// The most that are marked as read at once.
const STEP: u32 = 500;

/// Somebody is told something, and wants it by webhook.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationCreated {
    #[serde(skip)]
    organization: OrganizationId,
    notification_id: String,
    user_id: String,
    template: String,
}

impl NotificationCreated {
    pub(crate) fn of(notification: &Notification, organization: OrganizationId) -> Self {
        Self {
            organization,
            notification_id: notification.id.to_string(),
            user_id: notification.user_id.to_string(),
            template: notification.template.clone(),
        }
    }
}

impl Event for NotificationCreated {
    const TYPE: EventType = EventType {
        name: "notification.created",
        version: 1,
        about: "A user is told something, and wants it by webhook.",
        schema: || {
            json!({
                "type": "object",
                "required": ["notificationId", "userId", "template"],
                "properties": {
                    "notificationId": {"type": "string", "description": "Which."},
                    "userId": {"type": "string", "description": "Who."},
                    "template": {"type": "string", "description": "What."}
                },
                "additionalProperties": false
            })
        },
    };

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "notification".to_owned(), id: self.notification_id.clone(), version: None }
    }

    fn organization(&self) -> Option<OrganizationId> {
        Some(self.organization)
    }
}

/// A notification as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The notification.
    pub notification: Notification,
    /// What it is about, in a line.
    pub title: String,
    /// What it says.
    pub body: String,
}

/// Until when nothing leaves the application to a user; `None` where everything does.
pub(super) async fn muted_until(
    store: &dyn Store,
    cx: &Context,
    user: UserId,
    now: Micros,
) -> Result<Option<Micros>, StoreError> {
    let own = NotificationSettings::select().eq(NotificationSettings::USER_ID, &user);
    let found = store.find(&cx.within(Scope::System), own).await?;
    Ok(found.and_then(|settings| settings.mute_until).filter(|until| now < *until))
}

/// The title and the body of a notification; its name where its template is not there any more.
pub(super) fn titled(letters: &Letters, notification: &Notification) -> (String, String) {
    let variables =
        notification.variables.0.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let wanted =
        Wanted { template: notification.template.clone(), to: String::new(), variables: variables.collect() };
    match letters.write(&wanted, "") {
        // The paragraph of the letter; what can be chosen is elsewhere in the application.
        Ok(letter) => {
            let body = letter.text.split("\n\n").next().unwrap_or_default().trim().to_owned();
            (letter.subject, body)
        }
        Err(_) => (notification.template.clone(), String::new()),
    }
}

/// What is to be different about how somebody is told anything; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// Until when nothing leaves the application.
    pub mute_until: Option<Option<Micros>>,
    /// How often letters come.
    pub digest: Option<Digest>,
}

/// Where people see what they are told.
pub struct Inbox {
    /// Where notifications are.
    pub store: Arc<dyn Store>,
    /// Dates changes.
    pub clock: Arc<dyn Clock>,
    /// Writes titles.
    pub letters: Letters,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl Inbox {
    /// What a user is told in the application: all, or of one organization.
    #[must_use]
    pub fn query(user: UserId, organization: Option<OrganizationId>, is_unread: bool) -> Query<Notification> {
        let mut query =
            Notification::select().eq(Notification::USER_ID, &user).eq(Notification::IS_SHOWN, &true);
        if let Some(organization) = organization {
            query = query.eq(Notification::ORGANIZATION_ID, &organization.to_i64());
        }
        if is_unread {
            query = query.eq(Notification::READ_AT, &None);
        }
        query.descending(Notification::ID)
    }

    /// What a user was told after a notification, the oldest first.
    #[must_use]
    pub fn newer(
        user: UserId,
        organization: Option<OrganizationId>,
        after: NotificationId,
    ) -> Query<Notification> {
        let mut query = Notification::select()
            .eq(Notification::USER_ID, &user)
            .eq(Notification::IS_SHOWN, &true)
            .gt(Notification::ID, &after);
        if let Some(organization) = organization {
            query = query.eq(Notification::ORGANIZATION_ID, &organization.to_i64());
        }
        query.ascending(Notification::ID)
    }

    /// Notifications as they are read.
    #[must_use]
    pub fn shown(&self, notifications: Vec<Notification>) -> Vec<Shown> {
        let shown = |notification: Notification| {
            let (title, body) = titled(&self.letters, &notification);
            Shown { notification, title, body }
        };
        notifications.into_iter().map(shown).collect()
    }

    /// How many a user has not read.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn unread(
        &self,
        cx: &Context,
        user: UserId,
        organization: Option<OrganizationId>,
    ) -> Result<i64, Error> {
        let system = cx.within(Scope::System);
        Ok(self.store.count(&system, Self::query(user, organization, true)).await?)
    }

    fn read(&self, notification: &Notification) -> Commit {
        let read = Notification {
            read_at: Some(self.clock.now()),
            version: notification.version + 1,
            ..notification.clone()
        };
        Commit::new().update(notification, &read)
    }

    /// Decides that a user has read one.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_one(
        &self,
        cx: &Context,
        user: UserId,
        organization: Option<OrganizationId>,
        id: NotificationId,
    ) -> Result<Commit, Error> {
        let own = Self::query(user, organization, false).eq(Notification::ID, &id);
        let found =
            self.store.find(&cx.within(Scope::System), own).await?.ok_or(Error::NotFound("notification"))?;
        Ok(if found.read_at.is_some() { Commit::new() } else { self.read(&found) })
    }

    /// Decides that a user has read all, the newest 500: how many.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn read_all(
        &self,
        cx: &Context,
        user: UserId,
        organization: Option<OrganizationId>,
    ) -> Result<(usize, Commit), Error> {
        let unread = Self::query(user, organization, true).limit(STEP);
        let unread = self.store.list(&cx.within(Scope::System), unread).await?;
        let commit = unread.iter().fold(Commit::new(), |commit, one| commit.and(self.read(one)));
        Ok((unread.len(), commit))
    }

    /// How a user wants to be told anything.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn settings(&self, cx: &Context, user: UserId) -> Result<NotificationSettings, Error> {
        let own = NotificationSettings::select().eq(NotificationSettings::USER_ID, &user);
        let found = self.store.find(&cx.within(Scope::System), own).await?;
        let usual = NotificationSettings { user_id: user, mute_until: None, digest: Digest::Off, version: 0 };
        Ok(found.unwrap_or(usual))
    }

    /// Decides how a user wants to be told anything.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub async fn set(
        &self,
        cx: &Context,
        user: UserId,
        change: SettingsChange,
    ) -> Result<(NotificationSettings, Commit), Error> {
        let before = self.settings(cx, user).await?;
        let mute_until = change.mute_until.unwrap_or(before.mute_until);
        if mute_until.is_some_and(|until| until.since(self.clock.now()) > MUTE_US_MAX) {
            return Err(Error::Invalid(vec![("/muteUntil", "is within a year from now".to_owned())]));
        }
        let digest = change.digest.unwrap_or(before.digest);
        let after = NotificationSettings { mute_until, digest, version: before.version + 1, ..before };
        let commit = if before.version == 0 {
            Commit::new().insert(&after)
        } else {
            Commit::new().update(&before, &after)
        };
        Ok((after, commit))
    }

    /// Where a user is told what: each template, each channel, and whether.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn preferences(
        &self,
        cx: &Context,
        user: UserId,
    ) -> Result<Vec<(&'static Template, Channel, bool)>, Error> {
        let own = NotificationPreference::select().eq(NotificationPreference::USER_ID, &user);
        let own = self.store.list(&cx.within(Scope::System), own).await?;
        let each = TEMPLATES
            .iter()
            .flat_map(|template| Channel::ALL.iter().map(move |channel| (template, *channel)));
        let said = |(template, channel): (&'static Template, Channel)| {
            let found = own.iter().find(|one| one.template == template.name && one.channel == channel);
            let is_on = found.map_or_else(|| template.goes_to(channel), |one| one.is_on);
            (template, channel, is_on)
        };
        Ok(each.map(said).collect())
    }

    /// Decides whether a user is told something somewhere.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such template.
    pub async fn prefer(
        &self,
        cx: &Context,
        user: UserId,
        name: &str,
        channel: Channel,
        is_on: bool,
    ) -> Result<Commit, Error> {
        let template = template(name).ok_or(Error::NotFound("template"))?;
        let own = NotificationPreference::select()
            .eq(NotificationPreference::USER_ID, &user)
            .eq(NotificationPreference::TEMPLATE, &template.name.to_owned())
            .eq(NotificationPreference::CHANNEL, &channel);
        Ok(match self.store.find(&cx.within(Scope::System), own).await? {
            Some(before) if before.is_on == is_on => Commit::new(),
            Some(before) => {
                let after = NotificationPreference { is_on, version: before.version + 1, ..before.clone() };
                Commit::new().update(&before, &after)
            }
            None => Commit::new().insert(&NotificationPreference {
                user_id: user,
                template: template.name.to_owned(),
                channel,
                is_on,
                version: 1,
            }),
        })
    }

    /// Decides that a letter that is dead is tried again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`].
    pub async fn replay(&self, cx: &Context, id: NotificationDeliveryId) -> Result<Commit, Error> {
        let found = NotificationDelivery::select().eq(NotificationDelivery::ID, &id);
        let found = self.store.find(cx, found).await?.ok_or(Error::NotFound("delivery of a notification"))?;
        if found.state != "dead" {
            return Err(Error::WrongState(format!(
                "the delivery is {}; only one that is dead is replayed",
                found.state
            )));
        }
        let now = self.clock.now();
        let again = NotificationDelivery {
            state: "queued".to_owned(),
            attempts: 0,
            error: None,
            next_at: now,
            finished_at: None,
            version: found.version + 1,
            ..found
        };
        Ok(Commit::new().update(&found, &again).job(job(&again, None)).note(
            "notification.replayed",
            "notification",
            &id,
        ))
    }
}

/// The types of events of notifications.
pub(crate) const EVENT_TYPES: &[EventType] = &[NotificationCreated::TYPE];
