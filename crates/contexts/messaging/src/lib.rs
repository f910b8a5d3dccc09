//! What is written to people: letters, for now; notifications and webhooks join them.
//!
//! What it may not know: a database, a server of mail, another context.
#![deny(missing_docs)]

mod letter;
mod send;

pub use letter::{Letters, TemplateError};
pub use send::{SEND_MAIL, SendMail};
