//! The platform as its users meet it: the binary, over HTTP, on SQLite and on PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect is to fail"
)]

mod admin;
mod app;
mod authenticator;
mod backup;
mod broker;
mod cli;
mod connections;
mod crash;
mod disk;
mod events;
mod issuer;
mod jobs;
mod matrix;
mod notifications;
mod organizations;
mod outage;
mod people;
mod runs;
mod schedules;
mod security;
mod sign_in;
mod start;
mod telemetry;
mod tls;
mod topology;
mod webhooks;

/// Declares each case twice: on SQLite, and on PostgreSQL.
macro_rules! on_both {
    ($($case:ident)*) => {
        mod embedded {
            $(#[test] fn $case() { super::$case(&crate::app::App::embedded()); })*
        }
        mod cluster {
            $(#[test] fn $case() { super::$case(&crate::app::App::cluster()); })*
        }
    };
}
pub(crate) use on_both;
