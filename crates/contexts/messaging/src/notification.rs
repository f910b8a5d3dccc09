//! Notifications: what people are told, where, and how often.
//!
//! ```text
//! event ─► consumer: who is told, by which template ─► a notification (in the application) ─┬─► a job sends a letter
//!                                                        preferences, mute, digest ─────────┴─► or it waits for the next digest
//! ```

mod consumer;
mod deliver;
mod digest;
mod inbox;
mod record;
mod template;

pub use consumer::Notifications;
pub use deliver::{ATTEMPTS_MAX, NOTIFY, Notify};
pub use digest::{DIGEST, DIGEST_S, Digester};
pub(crate) use inbox::EVENT_TYPES;
pub use inbox::{Inbox, SettingsChange, Shown};
pub use record::{
    Channel, Digest, Notification, NotificationDelivery, NotificationPreference, NotificationSettings,
};
pub use template::{TEMPLATES, Template, template};

use stoa_kernel::id::{OrganizationId, UserId};
use stoa_kernel::store::{BoxFuture, StoreError};

/// Who people are, as far as they are told something. Filled by whoever knows.
pub trait People: Send + Sync {
    /// The address of a user that can be written to; `None` where there is none.
    fn address(&self, user: UserId) -> BoxFuture<'_, Result<Option<String>, StoreError>>;

    /// The members of an organization who look after its programs, or after all of it.
    fn keepers(
        &self,
        organization: OrganizationId,
        of: Keeping,
    ) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>>;

    /// What people call an organization.
    fn organization(&self, id: OrganizationId) -> BoxFuture<'_, Result<Option<String>, StoreError>>;
}

/// What somebody looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Programs: developers and above.
    Programs,
    /// People: admins and above.
    People,
}
