//! Running the platform: configuration, composition, lifecycle, and the commands around them.

mod backup;
mod check;
mod compose;
pub(crate) mod config;
mod http;
mod logs;
mod migrate;
mod screen;
mod secrets;
mod serve;

pub(crate) use backup::{backup, restore};
pub(crate) use check::{config_check, config_reference, config_show, doctor, health, openapi};
pub(crate) use migrate::migrate;
pub(crate) use secrets::generate;
pub(crate) use serve::serve;
