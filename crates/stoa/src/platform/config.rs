//! Configuration: defaults ← `stoa.toml` ← environment ← flags. One typed struct, and one table that says what every key is.

mod keys;

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

use keys::VARIABLES;
pub(crate) use keys::{KEYS, Key};

/// The file that is read when no other is named.
pub(crate) const FILE: &str = "stoa.toml";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) mode: String,
    pub(crate) server: Server,
    pub(crate) data: Data,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) nats: Nats,
    pub(crate) secrets: Secrets,
    pub(crate) node: Node,
    pub(crate) limits: Limits,
    pub(crate) jobs: Jobs,
    pub(crate) webhooks: Webhooks,
    pub(crate) identity: Identity,
    pub(crate) mail: Mail,
    pub(crate) outbound: Outbound,
    pub(crate) alerts: Alerting,
    pub(crate) telemetry: Telemetry,
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: String,
    pub(crate) public_url: String,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) ops_listen: String,
    pub(crate) request_timeout_ms: u64,
    pub(crate) header_timeout_ms: u64,
    pub(crate) body_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) concurrency_max: usize,
    pub(crate) streams_max: usize,
    pub(crate) drain_delay_ms: i64,
    pub(crate) cors_origins: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) folder: PathBuf,
    pub(crate) readers: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) owner_url: String,
    pub(crate) ca_file: String,
    pub(crate) connections: usize,
    pub(crate) prepared: bool,
    pub(crate) notifications: bool,
    pub(crate) statement_timeout_ms: u64,
    pub(crate) connect_timeout_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    pub(crate) url: String,
    pub(crate) prefix: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nats {
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) kept_h: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    pub(crate) master_keys: String,
    pub(crate) operator_token: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) id: i32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) burst: u32,
    pub(crate) per_second: u32,
    pub(crate) attempts_per_minute: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jobs {
    pub(crate) concurrency: usize,
    pub(crate) lease_s: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhooks {
    pub(crate) concurrency: usize,
    pub(crate) pauses_s: Vec<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) registration: String,
    pub(crate) token_algorithm: String,
    pub(crate) access_token_s: i64,
    pub(crate) session_days: i64,
    pub(crate) signing_key_days: i64,
    pub(crate) password_memory_kib: u32,
    pub(crate) password_passes: u32,
    pub(crate) password_lanes: u32,
    pub(crate) password_threads: usize,
    pub(crate) default_plan: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) smtp_url: String,
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbound {
    pub(crate) allowed_networks: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alerting {
    pub(crate) disk_free_percent_min: u64,
    pub(crate) log_behind_s_max: u64,
    pub(crate) dead_letters_max: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telemetry {
    pub(crate) endpoint: String,
    pub(crate) headers: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: "all".to_owned(),
            server: Server {
                listen: "127.0.0.1:8080".to_owned(),
                public_url: String::new(),
                trusted_proxies: Vec::new(),
                ops_listen: String::new(),
                request_timeout_ms: 30_000,
                header_timeout_ms: 10_000,
                body_bytes_max: 1 << 20,
                connections_max: 4_096,
                concurrency_max: 512,
                streams_max: 1_024,
                drain_delay_ms: -1,
                cors_origins: Vec::new(),
            },
            data: Data { folder: PathBuf::from("stoa-data"), readers: 4 },
            database: Database {
                url: String::new(),
                owner_url: String::new(),
                ca_file: String::new(),
                connections: 16,
                prepared: true,
                notifications: true,
                statement_timeout_ms: 5_000,
                connect_timeout_ms: 2_000,
            },
            redis: Redis { url: String::new(), prefix: "stoa".to_owned() },
            nats: Nats { url: String::new(), prefix: "stoa".to_owned(), kept_h: 72 },
            secrets: Secrets { master_keys: String::new(), operator_token: String::new() },
            node: Node { id: -1 },
            limits: Limits { burst: 2_000, per_second: 500, attempts_per_minute: 10 },
            jobs: Jobs { concurrency: 64, lease_s: 30 },
            webhooks: Webhooks { concurrency: 512, pauses_s: Vec::new() },
            identity: Identity {
                registration: "invite".to_owned(),
                token_algorithm: "HS256".to_owned(),
                access_token_s: 900,
                session_days: 30,
                signing_key_days: 30,
                password_memory_kib: 19_456,
                password_passes: 2,
                password_lanes: 1,
                password_threads: 0,
                default_plan: "unlimited".to_owned(),
            },
            mail: Mail {
                from: "Stoa <stoa@localhost.localdomain>".to_owned(),
                smtp_url: String::new(),
                folder: PathBuf::from("outbox"),
            },
            outbound: Outbound { allowed_networks: Vec::new() },
            alerts: Alerting { disk_free_percent_min: 5, log_behind_s_max: 30, dead_letters_max: 100 },
            telemetry: Telemetry { endpoint: String::new(), headers: String::new() },
            log: Log { level: "info".to_owned(), format: "auto".to_owned() },
        }
    }
}

/// What flags say: keys and values.
pub(crate) type Flags = Vec<(&'static str, String)>;

/// A configuration, and where each of its values came from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    figment: Figment,
}

impl Loaded {
    /// Where the value of a key came from.
    pub(crate) fn origin(&self, key: &str) -> String {
        let origin =
            self.figment.find_metadata(key).map_or_else(String::new, |metadata| metadata.name.to_string());
        // The defaults are named after the type that they are taken from.
        if origin.is_empty() || origin.contains("Config") { "default".to_owned() } else { origin }
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new("config_invalid", message)
        .way_out("`stoa config reference` lists every key with its default")
}

/// Reads a value of the environment or of a flag as what its key takes: numbers and booleans as in TOML, everything else as text.
fn typed(key: &str, text: &str) -> Value {
    if key == "webhooks.pauses_s" {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        // What is no number is left as it is, to be told about.
        let number = |part: &str| part.parse::<i64>().map_or_else(|_| Value::from(part), Value::from);
        return Value::from(parts.map(number).collect::<Vec<_>>());
    }
    let list = matches!(key, "server.cors_origins" | "server.trusted_proxies" | "outbound.allowed_networks");
    if list {
        return Value::from(
            text.split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
    }
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    match defaults.find_value(key) {
        Ok(Value::Num(..)) => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        Ok(Value::Bool(..)) => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

/// Values by key, under the name of where they came from.
struct Source {
    name: &'static str,
    values: Vec<(String, Value)>,
}

impl figment::Provider for Source {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for (key, value) in &self.values {
            insert(&mut root, key, value.clone());
        }
        Ok(figment::Profile::Default.collect(root))
    }
}

/// Puts a value at a dotted key.
fn insert(dict: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(dict.insert(key.to_owned(), value)),
        Some((section, rest)) => {
            let entry = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}

/// Reads the configuration. `variables` is the environment.
pub(crate) fn load(
    file: Option<&Path>,
    flags: &Flags,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Failure> {
    let variables: Vec<(String, String)> = variables.collect();
    let mut conventional = Vec::new();
    for (variable, key) in VARIABLES {
        let Some((_, text)) = variables.iter().find(|(name, text)| name == variable && !text.is_empty())
        else {
            continue;
        };
        let text = if variable == "PORT" { format!("0.0.0.0:{text}") } else { text.clone() };
        conventional.push((key.to_owned(), typed(key, &text)));
    }
    let mut own = Vec::new();
    for (name, text) in &variables {
        let Some(key) = name.strip_prefix("STOA_").filter(|rest| rest.contains("__") || *rest == "MODE")
        else {
            misspelt(name)?;
            continue;
        };
        let key = key.replace("__", ".").to_ascii_lowercase();
        known(&key, &format!("the variable {name}"))?;
        let value = typed(&key, text);
        own.push((key, value));
    }
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let path = file.unwrap_or_else(|| Path::new(FILE));
    if file.is_some() || path.exists() {
        let text =
            std::fs::read_to_string(path).map_err(|error| invalid(format!("{}: {error}", path.display())))?;
        figment = figment.merge(Source { name: FILE, values: file_values(&text, path)? });
    }
    let flags = flags.iter().map(|(key, text)| ((*key).to_owned(), typed(key, text))).collect();
    figment = figment
        .merge(Source { name: "environment", values: conventional })
        .merge(Source { name: "environment", values: own })
        .merge(Source { name: "command line", values: flags });
    let config: Config = figment.extract().map_err(|error| {
        let error = error.into_iter().next();
        invalid(error.map_or_else(String::new, |error| {
            let origin = error
                .metadata
                .as_ref()
                .map_or_else(String::new, |metadata| format!(" (from the {})", metadata.name));
            format!("{}: {}{origin}", error.path.join("."), error.kind)
        }))
    })?;
    validate(&config)?;
    Ok(Loaded { config, figment })
}

/// What commands that ask a running platform read.
const OF_CLIENTS: [&str; 3] = ["STOA_URL", "STOA_TOKEN", "STOA_ORG"];

/// Refuses `STOA_LISTEN` and `STOA_SERVER_LISTEN`, which would be ignored otherwise.
fn misspelt(name: &str) -> Result<(), Failure> {
    if VARIABLES.iter().any(|(variable, _)| *variable == name) || OF_CLIENTS.contains(&name) {
        return Ok(());
    }
    let Some(rest) = name.strip_prefix("STOA_").map(str::to_ascii_lowercase) else { return Ok(()) };
    let meant = KEYS.iter().find(|key| {
        key.name.contains('.')
            && (key.name.replace('.', "_") == rest || key.name.rsplit('.').next() == Some(&rest))
    });
    meant.map_or(Ok(()), |key| {
        let right = format!("STOA_{}", key.name.replace('.', "__").to_ascii_uppercase());
        Err(invalid(format!(
            "the variable {name}: sections are set apart by two underlines; did you mean {right}?"
        )))
    })
}

/// Refuses a key that nobody knows, and names the one that was probably meant.
fn known(key: &str, from: &str) -> Result<(), Failure> {
    if KEYS.iter().any(|known| known.name == key) {
        return Ok(());
    }
    let nearest = KEYS.iter().max_by(|a, b| {
        let likeness = |known: &Key| strsim::jaro_winkler(known.name, key);
        likeness(a).total_cmp(&likeness(b))
    });
    let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {}?", nearest.name));
    Err(invalid(format!("{from}: there is no key {key}{hint}")))
}

fn flatten(prefix: &str, dict: &Dict, values: &mut Vec<(String, Value)>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) => flatten(&key, inner, values),
            value => values.push((key, value.clone())),
        }
    }
}

/// The keys and values of a file, all of which are known.
fn file_values(text: &str, path: &Path) -> Result<Vec<(String, Value)>, Failure> {
    let fail =
        |error: &dyn std::fmt::Display| invalid(format!("{}: {}", path.display(), error.to_string().trim()));
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(&error.message()))?;
    let dict = Value::serialize(&table).map_err(|error| fail(&error))?;
    let mut values = Vec::new();
    if let Value::Dict(_, dict) = &dict {
        flatten("", dict, &mut values);
    }
    values.iter().try_for_each(|(key, _)| known(key, &path.display().to_string()))?;
    Ok(values)
}

/// The modes of a process.
pub(crate) fn modes(config: &Config) -> Vec<&str> {
    config.mode.split(',').map(str::trim).collect()
}

/// Whether a mode is among those of the process.
pub(crate) fn runs(config: &Config, mode: &str) -> bool {
    modes(config).iter().any(|&own| own == mode || own == "all")
}

fn validate(config: &Config) -> Result<(), Failure> {
    for mode in modes(config) {
        if !["all", "api", "gateway", "worker", "scheduler"].contains(&mode) {
            return Err(invalid(format!("mode: \"{mode}\" is none of api, gateway, worker, scheduler, all")));
        }
    }
    for (key, address) in
        [("server.listen", &config.server.listen), ("server.ops_listen", &config.server.ops_listen)]
    {
        let may_be_empty = key == "server.ops_listen";
        if !(address.is_empty() && may_be_empty) && address.parse::<std::net::SocketAddr>().is_err() {
            return Err(invalid(format!(
                "{key}: \"{address}\" is not an address and port, such as 127.0.0.1:8080"
            )));
        }
    }
    if !(-1..1024).contains(&config.node.id) {
        return Err(invalid(format!("node.id: {} is not a number from 0 to 1023, or -1", config.node.id)));
    }
    for (key, number) in [
        ("server.connections_max", config.server.connections_max),
        ("server.concurrency_max", config.server.concurrency_max),
        ("server.streams_max", config.server.streams_max),
        ("server.body_bytes_max", config.server.body_bytes_max),
        ("data.readers", config.data.readers),
        ("jobs.concurrency", config.jobs.concurrency),
        ("webhooks.concurrency", config.webhooks.concurrency),
        ("jobs.lease_s", usize::try_from(config.jobs.lease_s).unwrap_or(0)),
        ("database.connections", config.database.connections),
        ("limits.burst", usize::try_from(config.limits.burst).unwrap_or(usize::MAX)),
        ("limits.per_second", usize::try_from(config.limits.per_second).unwrap_or(usize::MAX)),
    ] {
        if number == 0 {
            return Err(invalid(format!("{key}: at least 1")));
        }
    }
    for part in config.log.level.split(',').map(str::trim).filter(|part| !part.contains(['=', '['])) {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        if !levels.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(invalid(format!("log.level: \"{part}\" is none of {}", levels.join(", "))));
        }
    }
    if config.limits.per_second > 1_000_000 {
        return Err(invalid("limits.per_second: at most 1000000"));
    }
    if !(-1..=600_000).contains(&config.server.drain_delay_ms) {
        return Err(invalid("server.drain_delay_ms: from 0 to 600000, or -1"));
    }
    if config.server.header_timeout_ms == 0 || config.server.request_timeout_ms == 0 {
        return Err(invalid("server.header_timeout_ms, server.request_timeout_ms: at least 1"));
    }
    for (key, prefix) in [("redis.prefix", &config.redis.prefix), ("nats.prefix", &config.nats.prefix)] {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if prefix.is_empty() || !prefix.bytes().all(is_name) {
            return Err(invalid(format!("{key}: \"{prefix}\" is not a name of letters, digits, - and _")));
        }
    }
    let pauses = &config.webhooks.pauses_s;
    if pauses.len() > 9 || pauses.iter().any(|pause| !(1..=604_800).contains(pause)) {
        return Err(invalid("webhooks.pauses_s: at most 9 numbers of seconds from 1 to 604800"));
    }
    if !(1..=87_600).contains(&config.nats.kept_h) {
        return Err(invalid(format!("nats.kept_h: {} is not a number from 1 to 87600", config.nats.kept_h)));
    }
    let endpoint = &config.telemetry.endpoint;
    if !(endpoint.is_empty() || endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
        return Err(invalid("telemetry.endpoint: not an address such as http://localhost:4318"));
    }
    for origin in &config.server.cors_origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['*', '/']) || !origin.is_ascii()) {
            return Err(invalid(format!(
                "server.cors_origins: \"{origin}\" is not an origin, such as https://app.example.org"
            )));
        }
    }
    super::people::check(config)?;
    if !["auto", "human", "json"].contains(&config.log.format.as_str()) {
        return Err(invalid(format!("log.format: \"{}\" is none of auto, human, json", config.log.format)));
    }
    Ok(())
}

/// How long a process that was asked to end goes on accepting.
pub(crate) fn drain_delay(config: &Config) -> std::time::Duration {
    let embedded = if config.database.url.is_empty() { 0 } else { 5_000 };
    std::time::Duration::from_millis(u64::try_from(config.server.drain_delay_ms).unwrap_or(embedded))
}

/// The headers for the collector.
pub(crate) fn telemetry_headers(config: &Config) -> Result<Vec<(String, String)>, Failure> {
    let pairs = config.telemetry.headers.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| invalid("telemetry.headers: expected name=value, separated by commas"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Every key with its value as text.
pub(crate) fn values(config: &Config) -> Vec<(&'static Key, String)> {
    let json = serde_json::to_value(config).unwrap_or_default();
    KEYS.iter()
        .map(|key| {
            let pointer = format!("/{}", key.name.replace('.', "/"));
            let value = json.pointer(&pointer).cloned().unwrap_or_default();
            (key, value.as_str().map_or_else(|| value.to_string(), |text| format!("\"{text}\"")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)], flags: &Flags) -> Result<Loaded, String> {
        let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        load(None, flags, variables).map_err(|failure| failure.message)
    }

    #[test]
    fn every_key_of_the_struct_is_in_the_table_and_the_other_way_round() {
        let mut own = Vec::new();
        let json = serde_json::to_value(Config::default()).unwrap();
        for (name, value) in json.as_object().unwrap() {
            match value.as_object() {
                Some(inner) => own.extend(inner.keys().map(|key| format!("{name}.{key}"))),
                None => own.push(name.clone()),
            }
        }
        let known: Vec<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(own, known);
    }

    #[test]
    fn flags_win_over_the_environment_and_say_where_they_came_from() {
        let loaded = with(
            &[("STOA_LOG__LEVEL", "debug"), ("PORT", "9"), ("NODE_ID", "7")],
            &vec![("server.listen", "127.0.0.1:1".to_owned())],
        )
        .unwrap();
        assert_eq!((loaded.config.log.level.as_str(), loaded.config.node.id), ("debug", 7));
        assert_eq!(loaded.config.server.listen, "127.0.0.1:1");
        assert_eq!(
            (loaded.origin("server.listen").as_str(), loaded.origin("log.level").as_str()),
            ("command line", "environment")
        );
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_was_meant() {
        for (variables, said) in [
            ([("STOA_SERVER__LISTN", "x")], "did you mean server.listen?"),
            ([("STOA_SERVER__LISTEN", "here")], "server.listen: \"here\""),
            ([("STOA_SERVER__BODY_BYTES_MAX", "many")], "server.body_bytes_max"),
            ([("MODE", "api,worke")], "\"worke\" is none of"),
            ([("NODE_ID", "1024")], "node.id: 1024"),
            ([("STOA_LIMITS__BURST", "0")], "limits.burst: at least 1"),
            ([("STOA_LISTEN", "127.0.0.1:9")], "did you mean STOA_SERVER__LISTEN?"),
            ([("STOA_SERVER_LISTEN", "127.0.0.1:9")], "did you mean STOA_SERVER__LISTEN?"),
            ([("LOG_LEVEL", "inof")], "log.level: \"inof\" is none of"),
        ] {
            let message = with(&variables, &Flags::new()).err().unwrap();
            assert!(message.contains(said), "{message}");
        }
    }
}
