//! `stoa backup` and `stoa restore`: a folder with the database and what it held.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use stoa_kernel::clock::Clock as _;
use stoa_kernel::id::{Ids, NODES};
use stoa_kernel::store::event::rfc3339;
use stoa_outbox::Feed;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;
use stoa_store::seal::{MasterKeys, Vault};
use stoa_store_sqlite::Snapshot;

use super::config::Loaded;
use crate::failure::{Exit, Failure};

const DATABASE: &str = "stoa.db";
const MANIFEST: &str = "backup.json";

fn embedded(loaded: &Loaded) -> Result<(), Failure> {
    if loaded.config.database.url.is_empty() {
        return Ok(());
    }
    Err(Failure::new("usage", "PostgreSQL is backed up by its own tools")
        .way_out("use pg_dump or pg_basebackup, as docs/operations/backup.md shows"))
}

/// The BLAKE3 hash of a file, in hexadecimal.
fn hash_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Refuses a backup that is not as it was made.
fn unaltered(from: &Path) -> Result<(), Failure> {
    let unreadable =
        |error: std::io::Error| Failure::io("file_unreadable", &from.display().to_string(), &error);
    let manifest = fs::read_to_string(from.join(MANIFEST)).map_err(unreadable)?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap_or_default();
    let hash = hash_of(&from.join(DATABASE)).map_err(unreadable)?;
    if manifest.get("blake3").and_then(serde_json::Value::as_str) == Some(hash.as_str()) {
        return Ok(());
    }
    Err(Failure::new("database_damaged", format!("{}: the copy is not as it was made", from.display()))
        .way_out("use another backup"))
}

fn described(found: &Snapshot) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "migration {}, {} events up to position {}, {} audit entries in {} trails, all of which hold",
        found.migration, found.events, found.position, found.audit_entries, found.trails
    );
    text
}

/// Makes a consistent copy while the platform runs, and verifies it.
pub(crate) fn backup(loaded: &Loaded, to: &Path) -> Result<Exit, Failure> {
    embedded(loaded)?;
    let fail = |error: std::io::Error| Failure::io("output_unwritable", &to.display().to_string(), &error);
    if to.join(MANIFEST).exists() || to.join(DATABASE).exists() {
        return Err(Failure::new(
            "output_unwritable",
            format!("{}: there is a backup already", to.display()),
        )
        .way_out("name a folder that does not exist yet"));
    }
    super::keys::there_is_one(&loaded.config)?;
    fs::create_dir_all(to).map_err(fail)?;
    let draft = to.join(".stoa.db.draft");
    let found = stoa_store_sqlite::copy(&loaded.config.data.folder, &draft).map_err(|error| {
        let _ = fs::remove_file(&draft);
        Failure::of(&error, "")
    })?;
    let hash = hash_of(&draft).map_err(fail)?;
    let manifest = json!({
        "version": env!("CARGO_PKG_VERSION"), "madeAt": rfc3339::text(SystemClock.now()), "migration": found.migration,
        "position": found.position, "events": found.events, "auditEntries": found.audit_entries,
        "blake3": hash,
    });
    fs::File::open(&draft).and_then(|file| file.sync_all()).map_err(fail)?;
    fs::rename(&draft, to.join(DATABASE)).map_err(fail)?;
    // The manifest makes it a backup, so it comes last.
    fs::write(to.join(MANIFEST), format!("{manifest:#}\n")).map_err(fail)?;
    fs::File::open(to).and_then(|folder| folder.sync_all()).map_err(fail)?;
    crate::print(&format!(
        "Backed up to {}: {}.\nKeep {} elsewhere: without it the sealed columns cannot be opened.\n",
        to.display(),
        described(&found),
        loaded.config.data.folder.join("master.keys").display()
    ))
}

/// Ids of whoever restores: nobody else runs then, and the last node is leased last.
fn restoring() -> Result<NodeIds, Failure> {
    NodeIds::fixed(Arc::new(SystemClock), NODES - 1)
        .map_err(|error| Failure::new("internal", format!("no node: {error}")))
}

/// Tells the log that its PostgreSQL database was restored.
pub(crate) fn restored(loaded: &Loaded) -> Result<Exit, Failure> {
    if loaded.config.database.url.is_empty() {
        return Err(Failure::new("usage", "there is no database.url")
            .way_out("a data folder is restored with `stoa restore --from FOLDER`"));
    }
    let secrets = super::secrets::find(&loaded.config)?;
    let mut config = loaded.config.clone();
    config.database.owner_url.clear();
    let ids = Arc::new(restoring()?);
    let position = super::serve::runtime()?.block_on(async {
        let stores =
            super::compose::open_postgres(&config, secrets.master_keys, ids, &Feed::default()).await?;
        stores.restored().await.map_err(|error| Failure::of(&error, ""))
    })?;
    crate::print(&format!(
        "The event log was told: every stream has a new epoch, and positions go on from {position}.\n"
    ))
}

/// Puts a backup into a fresh data folder.
pub(crate) fn restore(loaded: &Loaded, from: &Path, master_keys: Option<&Path>) -> Result<Exit, Failure> {
    embedded(loaded)?;
    let folder = &loaded.config.data.folder;
    let fail =
        |error: std::io::Error| Failure::io("data_folder_unwritable", &folder.display().to_string(), &error);
    if !from.join(MANIFEST).exists() {
        return Err(Failure::new("file_not_found", format!("{}: this is no whole backup", from.display()))
            .way_out("name the folder that `stoa backup` made"));
    }
    if [DATABASE, "stoa.db-wal", "stoa.db-shm"].iter().any(|name| folder.join(name).exists()) {
        return Err(Failure::new(
            "data_folder_in_use",
            format!("{}: there is a database already", folder.display()),
        )
        .way_out("restore into a fresh folder with --data"));
    }
    unaltered(from)?;
    // Read before anything is written, and never over others.
    let keys = match master_keys {
        None => None,
        Some(path) => {
            let unreadable =
                |error: std::io::Error| Failure::io("secret_missing", &path.display().to_string(), &error);
            let keys = fs::read_to_string(path).map_err(unreadable)?;
            match fs::read_to_string(folder.join("master.keys")) {
                Ok(there) if there.trim() == keys.trim() => None,
                Ok(_) => {
                    return Err(Failure::new(
                        "secret_missing",
                        format!("{}: there is another master.keys already", folder.display()),
                    )
                    .way_out("restore into a fresh folder with --data"));
                }
                Err(_) => Some(keys),
            }
        }
    };
    let found = stoa_store_sqlite::inspect(&from.join(DATABASE)).map_err(|error| Failure::of(&error, ""))?;
    if let Some(keys) = &keys {
        let masters = MasterKeys::parse(keys).map_err(|error| {
            let path = master_keys.map_or_else(String::new, |path| path.display().to_string());
            Failure::new("secret_missing", format!("{path}: {error}"))
        })?;
        stoa_store_sqlite::opens(&from.join(DATABASE), &Vault::new(masters))
            .map_err(|error| Failure::of(&error, ""))?;
    }
    fs::create_dir_all(folder).map_err(fail)?;
    let draft = folder.join(".stoa.db.draft");
    fs::copy(from.join(DATABASE), &draft).map_err(fail)?;
    let id = (&restoring()? as &dyn Ids)
        .next()
        .map_err(|error| Failure::new("internal", format!("no id: {error}")))?;
    stoa_store_sqlite::restored(&draft, id, SystemClock.now()).map_err(|error| Failure::of(&error, ""))?;
    if let Some(keys) = keys {
        super::secrets::keep(&folder.join("master.keys"), &keys)?;
    }
    fs::File::open(&draft).and_then(|file| file.sync_all()).map_err(fail)?;
    fs::rename(&draft, folder.join(DATABASE)).map_err(fail)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    let keys = if folder.join("master.keys").exists() {
        String::new()
    } else {
        format!("Put the master.keys of the original into {} before starting.\n", folder.display())
    };
    crate::print(&format!("Restored into {}: {}.\n{keys}", folder.display(), described(&found)))
}
