//! What is written to people and programs: letters, notifications, webhooks.
//!
//! What it may not know: a database, a server of mail, another context.
#![deny(missing_docs)]

mod error;
mod letter;
pub mod notification;
mod send;
pub mod webhook;

pub use error::Error;

pub use letter::{Letters, TemplateError};
pub use send::{SEND_MAIL, SendMail};

use stoa_kernel::store::{EventType, Record as _, RecordMeta};

/// The records of this context.
pub const RECORDS: &[&RecordMeta] = &[
    webhook::Endpoint::META,
    webhook::WebhookState::META,
    webhook::WebhookDelivery::META,
    webhook::WebhookAttempt::META,
    webhook::HookSource::META,
    webhook::Hook::META,
    notification::Notification::META,
    notification::NotificationDelivery::META,
    notification::NotificationPreference::META,
    notification::NotificationSettings::META,
];

/// The types of its events.
#[must_use]
pub fn event_types() -> Vec<EventType> {
    [webhook::EVENT_TYPES, notification::EVENT_TYPES].concat()
}
