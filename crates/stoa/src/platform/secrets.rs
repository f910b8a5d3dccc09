//! Secrets: made at the first embedded start, configured in a cluster.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stoa_store::seal::MasterKeys;

use super::config::Config;
use crate::failure::{Exit, Failure};

/// What a process must know and nobody else.
pub(crate) struct Secrets {
    pub(crate) master_keys: MasterKeys,
    pub(crate) operator_token: String,
    /// Where the token is kept; `None` when it is configured.
    pub(crate) operator_file: Option<PathBuf>,
}

const MASTER_KEYS: &str = "master.keys";
const OPERATOR_TOKEN: &str = "operator.token";

fn random_hex<const BYTES: usize>() -> Result<String, Failure> {
    let mut bytes = [0u8; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new("secret_missing", format!("the machine gives no random bytes: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn new_master_key() -> Result<String, Failure> {
    let name = format!("k{}", random_hex::<3>()?);
    MasterKeys::generate(&name).map_err(|error| Failure::of(&error, ""))
}

fn new_operator_token() -> Result<String, Failure> {
    Ok(format!("stoa_op_{}", random_hex::<24>()?))
}

/// Writes a file for its owner alone: whole, or not at all. One that is there already stays.
pub(super) fn keep(path: &Path, text: &str) -> Result<(), Failure> {
    let fail =
        |error: std::io::Error| Failure::io("data_folder_unwritable", &path.display().to_string(), &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let draft = path.with_extension("draft");
    let _ = std::fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(fail)?;
    file.write_all(format!("{}\n", text.trim()).as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
    let placed = std::fs::hard_link(&draft, path);
    let _ = std::fs::remove_file(&draft);
    placed.map_err(fail)?;
    // The file is of use after a crash only when its folder knows it.
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}

/// The secret in a file of the data folder. It is made with a new folder; beside a database that is there, a new one would be of no
/// use, and hide that the right one is missing.
fn kept(
    folder: &Path,
    name: &str,
    make: impl FnOnce() -> Result<String, Failure>,
) -> Result<String, Failure> {
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::io("data_folder_unwritable", &path.display().to_string(), &error)
                .way_out("name a folder of this user with --data, or give this user the right to read it"));
        }
    }
    if name == MASTER_KEYS && folder.join("stoa.db").exists() {
        return Err(Failure::new(
            "secret_missing",
            format!("{}: there is a database, but not the keys that it was sealed with", path.display()),
        )
        .way_out("put the master.keys of the original there, or set STOA_SECRETS__MASTER_KEYS"));
    }
    let secret = make()?;
    keep(&path, &secret)?;
    Ok(secret)
}

/// Finds the secrets of a process without making any: for whoever only looks.
pub(crate) fn look(config: &Config) -> Result<String, Failure> {
    let path = config.data.folder.join(MASTER_KEYS);
    if config.database.url.is_empty()
        && config.secrets.master_keys.is_empty()
        && !path.exists()
        && !config.data.folder.join("stoa.db").exists()
    {
        return Ok("they are made at the first start".to_owned());
    }
    find(config).map(|secrets| format!("the current master key is {}", secrets.master_keys.current()))
}

/// Finds the secrets of a process.
pub(crate) fn find(config: &Config) -> Result<Secrets, Failure> {
    let embedded = config.database.url.is_empty();
    let folder = &config.data.folder;
    let missing = |key: &str, variable: &str| {
        Failure::new(
            "secret_missing",
            format!("{key} is not configured, and every process of a cluster needs the same"),
        )
        .way_out(format!("make one with `stoa secrets generate`, and set {variable}"))
    };
    let master_keys = match (config.secrets.master_keys.as_str(), embedded) {
        ("", true) => kept(folder, MASTER_KEYS, new_master_key)?,
        ("", false) => return Err(missing("secrets.master_keys", "STOA_SECRETS__MASTER_KEYS")),
        (keys, _) => keys.to_owned(),
    };
    let (operator_token, operator_file) = match (config.secrets.operator_token.as_str(), embedded) {
        ("", true) => (kept(folder, OPERATOR_TOKEN, new_operator_token)?, Some(folder.join(OPERATOR_TOKEN))),
        ("", false) => return Err(missing("secrets.operator_token", "STOA_SECRETS__OPERATOR_TOKEN")),
        (token, _) => (token.to_owned(), None),
    };
    if operator_token.len() < 24 {
        return Err(Failure::new("secret_missing", "the operator token has fewer than 24 characters")
            .way_out("make one with `stoa secrets generate`"));
    }
    let master_keys =
        MasterKeys::parse(&master_keys).map_err(|error| Failure::new("secret_missing", error.to_string()))?;
    Ok(Secrets { master_keys, operator_token, operator_file })
}

/// Prints new secrets, as variables of the environment.
pub(crate) fn generate() -> Result<Exit, Failure> {
    crate::print(&format!(
        "STOA_SECRETS__MASTER_KEYS={}\nSTOA_SECRETS__OPERATOR_TOKEN={}\n",
        new_master_key()?,
        new_operator_token()?
    ))
}
