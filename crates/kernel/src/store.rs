//! The door to what is stored: a change is a value.
//!
//! ```text
//! command ──reads──► Store::get / find / page          (a Select, within a Scope)
//!    │
//!    └─decides, purely──► Commit { guards, writes, events, jobs }
//!                            │  + audit, idempotency record and scope, from the Context
//!                            ▼
//!                         Store::commit ──► applied whole, or refused whole
//! ```
//!
//! A [`Commit`] has no effect until it is applied, so a store may retry it, group it with others under one fsync, or send it in
//! one round trip. Nothing else changes what is stored.
//!
//! | start at | for |
//! |---|---|
//! | [`Record`] | what a stored type says about itself |
//! | [`Commit`] | one atomic change |
//! | [`Select`] | lookups, lists and pages |
//! | [`event`] | facts, streams and the log |
//! | [`audit`] | who did what, chained by hash |
//! | [`queue`], [`trail`] | jobs and audit entries as records |
//! | [`insight`] | how the database does |
//! | [`registry`] | what is kept of whom, and why |
//! | [`Store`] | the port |

pub mod audit;
mod commit;
mod cursor;
pub mod event;
mod failure;
mod field;
pub mod insight;
pub mod patch;
mod port;
pub mod queue;
mod record;
pub mod registry;
mod select;
pub mod trail;
mod value;

pub use commit::{
    Action, Commit, Decided, Duplicate, Ended, Guard, Idempotency, Job, JobEnd, Note, Priority, Reply, Told,
    Write,
};
pub use cursor::{Cursor, CursorError, CursorKey};
pub use event::{Aggregate, Envelope, Event, EventType, Fact};
pub use failure::{StoreError, StoreErrorKind};
pub use field::{Field, Json, Personal};
pub use port::{
    AuditTrail, BoxFuture, Consistency, EventFilter, EventLog, Keyring, Lag, Lease, Leases, Receipt,
    Replayed, Resealed, Store, Trail, Upkeep,
};
pub use record::{Column, ColumnMeta, Corrupt, Record, RecordMeta, Retention, Tenancy, UniqueMeta};
pub use select::{Condition, Order, Page, PageRequest, Query, Select, Test};
pub use stoa_derive::Record;
pub use value::{Kind, Value};

#[doc(hidden)]
pub use record::Values;
