//! Notifications as records.

use std::collections::BTreeMap;

use stoa_kernel::clock::Micros;
use stoa_kernel::id::{NotificationDeliveryId, NotificationId, UserId};
use stoa_kernel::store::{Json, Record};

stoa_kernel::choice! {
    /// Where somebody is told something.
    Channel, "a channel" {
        /// In the application.
        InApp = "in_app",
        /// By a letter.
        Email = "email",
        /// By the event `notification.created`, which webhooks carry.
        Webhook = "webhook",
    }
}

stoa_kernel::choice! {
    /// How often letters come.
    Digest, "a digest" {
        /// One for each notification, at once.
        Off = "off",
        /// One every hour, for all that came.
        Hourly = "hourly",
        /// One every day, in the morning (08:00 UTC).
        Daily = "daily",
    }
}

/// Something that somebody is told.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "notifications", entity = "notification", tenant = organization_id, version = version, unaudited,
         expires = expires_at, retention = short, unique(notifications_dedupe_key = (organization_id, user_id, dedupe_key)))]
pub struct Notification {
    /// Its id.
    #[record(key)]
    pub id: NotificationId,
    /// The organization that it is about; 0 for the installation.
    pub organization_id: i64,
    /// Who is told.
    pub user_id: UserId,
    /// What is said.
    #[record(plain, about = "a registered name")]
    pub template: String,
    /// About what.
    #[record(encrypted, plain, about = "what a notification shows: names of things")]
    pub variables: Json<BTreeMap<String, String>>,
    /// Somebody is told something with the same key once.
    #[record(plain, about = "an id")]
    pub dedupe_key: Option<String>,
    /// Whether it is shown in the application.
    pub is_shown: bool,
    /// When it was read.
    pub read_at: Option<Micros>,
    /// When it was made.
    pub created_at: Micros,
    /// When it is removed.
    pub expires_at: Micros,
    /// Counts its changes.
    pub version: i64,
}

/// A notification on its way out of the application.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "notification_deliveries", entity = "notification_delivery", tenant = organization_id, version = version, unaudited,
         expires = expires_at, retention = short)]
pub struct NotificationDelivery {
    /// Its id.
    #[record(key)]
    pub id: NotificationDeliveryId,
    /// The organization that it is about; 0 for the installation.
    pub organization_id: i64,
    /// What is told.
    pub notification_id: NotificationId,
    /// Who is told.
    pub user_id: UserId,
    /// Where.
    pub channel: Channel,
    /// queued, digest (it waits for the next one), sending, delivered, failed (it is tried again) or dead.
    #[record(plain, about = "a state")]
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Why it failed.
    #[record(plain, about = "why a letter was not sent, without personal data")]
    pub error: Option<String>,
    /// When it is tried next.
    pub next_at: Micros,
    /// When it was made.
    pub created_at: Micros,
    /// When it ended.
    pub finished_at: Option<Micros>,
    /// When it is removed.
    pub expires_at: Micros,
    /// Counts its changes.
    pub version: i64,
}

/// Whether somebody wants to be told something somewhere, where that is not as it is for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "notification_preferences", entity = "notification_preference", system, version = version, unaudited, retention = account)]
pub struct NotificationPreference {
    /// Whose it is.
    #[record(key)]
    pub user_id: UserId,
    /// About what.
    #[record(key, plain, about = "a registered name")]
    pub template: String,
    /// Where.
    #[record(key)]
    pub channel: Channel,
    /// Whether.
    pub is_on: bool,
    /// Counts its changes.
    pub version: i64,
}

/// How somebody is told anything.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "notification_settings", entity = "notification_settings", system, version = version, unaudited, retention = account)]
pub struct NotificationSettings {
    /// Whose they are.
    #[record(key)]
    pub user_id: UserId,
    /// Until when nothing leaves the application.
    pub mute_until: Option<Micros>,
    /// How often letters come.
    pub digest: Digest,
    /// Counts their changes.
    pub version: i64,
}
