//! Webhooks: events that an organization has sent to its own programs, and what others send to it.
//!
//! ```text
//! event ─► consumer: a delivery and a job for each endpoint that wants it ─► deliver: one attempt ─► delivered
//!                                                                              └─ again later, in the end failed
//! ```
//!
//! Signed by the Standard Webhooks specification (<https://www.standardwebhooks.com>). The id of a webhook is that of its event, the same for
//! every attempt; order is not promised.

mod consumer;
mod deliver;
mod endpoint;
mod inbound;
mod sign;
mod told;

pub use consumer::Webhooks;
pub use deliver::{ATTEMPTS_MAX, DELIVER, Deliver};
pub use endpoint::{
    Change, DELIVERY_KEPT_US, Draft, ENDPOINTS_MAX, Endpoint, Endpoints, OVERLAP_S_MAX, Pattern,
    TIMEOUT_S_MAX, WebhookAttempt, WebhookDelivery, WebhookState,
};
pub use inbound::{
    Hook, HookSource, Inbound, PROCESS, Process, Received, SOURCES_MAX, SourceDraft, SourceKind,
};
pub use sign::{Secret, WINDOW_S, signature};
pub use told::EVENT_TYPES;
