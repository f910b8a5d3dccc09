//! Letters: as files in a folder, or through an SMTP server.
//!
//! What it may not know: what letters say.
#![deny(missing_docs)]

mod message;
mod outbox;
mod smtp;

pub use outbox::Outbox;
pub use smtp::Smtp;
