//! Who there is: for now the organizations; users, sessions and policy join them.
//!
//! Commands read through the store's port, decide in pure code, and return what they decided; whoever called applies the commit.
//!
//! What it may not know: a database, a web framework, another context.
#![deny(missing_docs)]

mod email;
pub mod organization;

pub use email::{Email, ParseEmailError};
pub use organization::Organization;

use stoa_kernel::store::{EventType, Record as _, RecordMeta};

/// The records of this context.
pub const RECORDS: &[&RecordMeta] = &[Organization::META];

/// The types of its events.
pub const EVENT_TYPES: &[EventType] = organization::EVENT_TYPES;
