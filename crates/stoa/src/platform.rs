//! Running the platform: configuration, composition, lifecycle, and the commands around them.

mod backup;
mod check;
mod compose;
pub(crate) mod config;
mod http;
mod keys;
mod listen;
mod logs;
mod migrate;
mod people;
mod privacy;
mod screen;
mod secrets;
mod serve;
mod vitals;
mod work;

pub(crate) use backup::{backup, restore, restored};
pub(crate) use check::{config_check, config_reference, config_show, doctor, event_types, health, openapi};
pub(crate) use keys::keys;
pub(crate) use migrate::migrate;
pub(crate) use privacy::registry;
pub(crate) use secrets::generate;
pub(crate) use serve::serve;
