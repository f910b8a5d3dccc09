//! `stoa keys`: new data keys, and everything sealed by the newest.

use std::sync::Arc;

use stoa_kernel::store::Keyring;
use stoa_outbox::Feed;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;

use super::config::{Config, Loaded};
use super::{compose, secrets};
use crate::failure::{Exit, Failure};

/// Values that are sealed anew in one step.
const STEP: u32 = 1_000;

/// Refuses a data folder without a database: a command that works on one must not make an empty one and succeed.
pub(super) fn there_is_one(config: &Config) -> Result<(), Failure> {
    let folder = &config.data.folder;
    if config.database.url.is_empty() && !folder.join("stoa.db").exists() {
        return Err(Failure::new(
            "file_not_found",
            format!("{}: there is no database in this folder", folder.display()),
        )
        .way_out("name the data folder with --data"));
    }
    Ok(())
}

/// Makes a new data key for every organization, then seals everything by it; or seals alone.
pub(crate) fn keys(loaded: &Loaded, rotate: bool) -> Result<Exit, Failure> {
    super::logs::start(&loaded.config.log)?;
    there_is_one(&loaded.config)?;
    let secrets = secrets::find(&loaded.config)?;
    let mut config = loaded.config.clone();
    // Turning keys must not change the schema.
    config.database.owner_url.clear();
    let ids = Arc::new(NodeIds::unleased(Arc::new(SystemClock)));
    super::serve::runtime()?.block_on(async {
        let opened = compose::open(&config, secrets.master_keys, ids, &Feed::default()).await;
        let stores = opened.map_err(|failure| match failure.code {
            "data_folder_in_use" => failure.way_out(
                "ask the running platform: POST /v1/admin/keys/rotate; it seals anew in the background by itself",
            ),
            _ => failure,
        })?;
        turn(stores.keyring.as_ref(), rotate).await
    })
}

async fn turn(keyring: &dyn Keyring, rotate: bool) -> Result<Exit, Failure> {
    let fail = |error| Failure::of(&error, "");
    let rotated = if rotate { keyring.rotate().await.map_err(fail)? } else { 0 };
    let mut resealed = 0u64;
    let unopened = loop {
        let done = keyring.reseal(STEP).await.map_err(fail)?;
        resealed += u64::from(done.resealed);
        if !done.more {
            break done.unopened;
        }
    };
    let made = if rotate { format!("{rotated} organizations have a new data key. ") } else { String::new() };
    crate::print(&format!("{made}{resealed} values were sealed anew.\n"))?;
    if unopened > 0 {
        return Err(Failure::new(
            "database_damaged",
            format!("{unopened} values do not open, and were left as they are; the log names their tables"),
        )
        .way_out("configure the master keys that they were sealed under, or restore them from a backup"));
    }
    Ok(Exit::Clean)
}
