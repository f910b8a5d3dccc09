//! `stoa migrate`.

use std::sync::Arc;

use stoa_outbox::Feed;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;

use super::config::Loaded;
use super::{compose, secrets};
use crate::failure::{Exit, Failure};

/// Brings the schema up to date, and says what it did.
pub(crate) fn migrate(loaded: &Loaded) -> Result<Exit, Failure> {
    let config = &loaded.config;
    let runtime = super::serve::runtime()?;
    if config.database.url.is_empty() {
        let secrets = secrets::find(config)?;
        let ids = Arc::new(NodeIds::unleased(Arc::new(SystemClock)));
        // Opening brings a SQLite database up to date.
        let stores = runtime.block_on(compose::open(config, secrets.master_keys, ids, &Feed::default()))?;
        return crate::print(&format!("The schema of {} is up to date.\n", stores.about));
    }
    if config.database.owner_url.is_empty() {
        return Err(Failure::new(
            "config_invalid",
            "database.owner_url is not set: migrations are applied by the owner of the tables",
        )
        .way_out("set DATABASE_OWNER_URL to the database with the role that is to own the tables"));
    }
    let applied = runtime.block_on(compose::migrate(config))?;
    crate::print(&format!(
        "Applied {applied} migrations; the schema of {} is up to date.\n",
        compose::shown(&config.database.url)
    ))
}
