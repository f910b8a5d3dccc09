//! What says how things stand: `stoa config`, `stoa health`, `stoa doctor`, `stoa openapi`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use stoa_kernel::store::audit::{Broken, Verifier};
use stoa_kernel::store::{AuditTrail, StoreError};
use stoa_outbox::Feed;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;
use stoa_runtime::trace::Signal;
use stoa_store::seal::Vault;

use super::config::{self, Config, Loaded};
use super::{compose, http, secrets};
use crate::failure::{Exit, Failure};

/// Prints every value, and where it came from; secrets are masked.
pub(crate) fn config_show(loaded: &Loaded, as_json: bool) -> Result<Exit, Failure> {
    let rows: Vec<(String, String, String)> = config::values(&loaded.config)
        .into_iter()
        .map(|(key, value)| {
            let masked = key.secret && value != "\"\"";
            (key.name.to_owned(), if masked { "\"••••\"".to_owned() } else { value }, loaded.origin(key.name))
        })
        .collect();
    if as_json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(key, value, origin)| {
                let value: Value = serde_json::from_str(value).unwrap_or_default();
                json!({"key": key, "value": value, "origin": origin})
            })
            .collect();
        return crate::print(&format!("{}\n", Value::from(rows)));
    }
    let mut text = String::new();
    for (key, value, origin) in rows {
        let _ = writeln!(text, "{key:<30} {value:<34} {origin}");
    }
    crate::print(&text)
}

/// The reference of all keys, as the committed page has it.
pub(crate) fn config_reference() -> Result<Exit, Failure> {
    let mut text = String::from(
        "# Configuration\n\nDefaults ← `stoa.toml` ← environment ← flags. The key `server.listen` is `listen` under `[server]` in the file and \
         `STOA_SERVER__LISTEN` in the environment. Made by `stoa config reference`.\n\n| key | default | meaning |\n|---|---|---|\n",
    );
    for (key, value) in config::values(&Config::default()) {
        let _ = writeln!(text, "| `{}` | `{value}` | {} |", key.name, key.about.replace('|', "\\|"));
    }
    crate::print(&text)
}

/// The document of the API, as it is committed.
pub(crate) fn openapi() -> Result<Exit, Failure> {
    let text = stoa_api::document()
        .to_pretty_json()
        .map_err(|error| Failure::new("internal", format!("the document cannot be written: {error}")))?;
    crate::print(&format!("{text}\n"))
}

/// The catalogue of event types, as the committed page has it.
pub(crate) fn event_types() -> Result<Exit, Failure> {
    let mut text = String::from(
        "# Events\n\nEvery type of event: what it says has happened, and the JSON Schema of its payload. The envelope around it is described in the \
         OpenAPI document under `/v1/events`. Made by `stoa event-types`.\n",
    );
    let mut types = compose::event_types();
    types.sort_by_key(|kind| kind.name);
    for kind in types {
        let schema = serde_json::to_string_pretty(&(kind.schema)()).unwrap_or_default();
        let _ = write!(
            text,
            "\n## `{}` (version {})\n\n{}\n\n```json\n{schema}\n```\n",
            kind.name, kind.version, kind.about
        );
    }
    crate::print(&text)
}

/// Tries the configuration: its secrets, its store, and whatever else it names.
pub(crate) fn config_check(loaded: &Loaded) -> Result<Exit, Failure> {
    let config = &loaded.config;
    secrets::look(config)?;
    let mut text = format!("The configuration can be used: {}\n", try_store(config)?);
    for (name, tried) in try_others(config)? {
        let _ = writeln!(text, "{name}: {}", tried?);
    }
    crate::print(&text)
}

type Tried = Vec<(&'static str, Result<String, Failure>)>;

/// Tries what processes share, as far as it is configured.
fn try_others(config: &Config) -> Result<Tried, Failure> {
    let mut tried = Vec::new();
    super::serve::runtime()?.block_on(async {
        let away = |key: &str, error: &dyn std::fmt::Display| {
            Failure::new("config_invalid", format!("{key}: {error}"))
                .way_out("start it, or correct the address; the platform also runs without it")
        };
        match compose::redis(config) {
            Ok(None) => {}
            Ok(Some(redis)) => {
                let answered = redis.ping().await;
                tried.push((
                    "cache",
                    answered.map(|()| "it answers".to_owned()).map_err(|error| away("redis.url", &error)),
                ));
            }
            Err(failure) => tried.push(("cache", Err(failure))),
        }
        match compose::bus(config).await {
            Ok(None) => {}
            Ok(Some(bus)) => {
                let mut answered = bus.signals.ping().await;
                // It connects in the background.
                for _ in 0..20 {
                    if answered.is_ok() {
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    answered = bus.signals.ping().await;
                }
                tried.push((
                    "bus",
                    answered.map(|()| "it answers".to_owned()).map_err(|error| away("nats.url", &error)),
                ));
            }
            Err(failure) => tried.push(("bus", Err(failure))),
        }
        if let Some(collector) = compose::collector(config, "check")? {
            let empty = r#"{"resourceSpans":[]}"#.to_owned();
            let answered = collector.collect(Signal::Traces, empty).await;
            tried.push((
                "collector",
                answered
                    .map(|()| "it answers".to_owned())
                    .map_err(|error| away("telemetry.endpoint", &error)),
            ));
        }
        Ok(tried)
    })
}

fn try_store(config: &Config) -> Result<String, Failure> {
    if config.database.url.is_empty() {
        let folder = &config.data.folder;
        let path = folder.join("stoa.db");
        writable(folder)?;
        if !path.exists() {
            return Ok(format!("{} is empty and will be filled at the first start", folder.display()));
        }
        let found = stoa_store_sqlite::inspect(&path).map_err(|error| Failure::of(&error, ""))?;
        stoa_store_sqlite::opens(&path, &Vault::new(secrets::find(config)?.master_keys))
            .map_err(|error| Failure::of(&error, ""))?;
        return Ok(format!(
            "{}: migration {}, {} events, {} audit entries in {} trails, all of which hold",
            path.display(),
            found.migration,
            found.events,
            found.audit_entries,
            found.trails
        ));
    }
    let secrets = secrets::find(config)?;
    let ids = Arc::new(NodeIds::unleased(Arc::new(SystemClock)));
    let mut only = config.clone();
    // Trying must not change the schema.
    only.database.owner_url.clear();
    super::serve::runtime()?.block_on(async {
        let stores = compose::open(&only, secrets.master_keys, ids, &Feed::default()).await?;
        let (entries, trails) = verify(stores.trail.as_ref()).await?;
        Ok(format!("{}: {entries} audit entries in {trails} trails, all of which hold", stores.about))
    })
}

/// Whether this user may write to a folder, or make it where it is not.
fn writable(folder: &Path) -> Result<(), Failure> {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|error| {
        Failure::new("data_folder_unwritable", format!("{}: {error}", folder.display()))
            .way_out("give this user the right to write there, or choose another folder with --data")
    })
}

/// Follows every audit trail to its end.
async fn verify(trail: &dyn AuditTrail) -> Result<(i64, usize), Failure> {
    let fail = |error: StoreError| Failure::of(&error, "");
    let trails = trail.trails().await.map_err(fail)?;
    let mut count = 0;
    for &(organization, head, hash) in &trails {
        let broken = |broken: Broken| {
            Failure::new(
                "database_damaged",
                format!("the audit trail of organization {organization}: {broken}"),
            )
            .way_out("find out who could write to the database, and restore a backup to compare")
        };
        let (mut verifier, mut after) = (Verifier::default(), 0);
        while after < head {
            let entries = trail.entries_after(organization, after, 1_000).await.map_err(fail)?;
            let Some(last) = entries.last() else { break };
            after = last.sequence;
            entries.iter().try_for_each(|entry| verifier.take(entry)).map_err(broken)?;
        }
        verifier.finish(head, &hash).map_err(broken)?;
        count += head;
    }
    Ok((count, trails.len()))
}

/// Where a process of this configuration can be asked.
fn address(config: &Config) -> Result<SocketAddr, Failure> {
    let text =
        if config.server.ops_listen.is_empty() { &config.server.listen } else { &config.server.ops_listen };
    let mut address: SocketAddr =
        text.parse().map_err(|_| Failure::new("config_invalid", format!("\"{text}\" is no address")))?;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    Ok(address)
}

/// Asks the running process how it does.
pub(crate) fn health(loaded: &Loaded, as_json: bool) -> Result<Exit, Failure> {
    let address = address(&loaded.config)?;
    let (status, body) = http::get(address, "/health").map_err(|error| {
        Failure::new("not_ready", format!("nothing answers at {address}: {error}"))
            .way_out("start it with `stoa serve`")
    })?;
    let exit = if status == 200 { Exit::Clean } else { Exit::Failed };
    if as_json {
        crate::print(&format!("{body}\n"))?;
        return Ok(exit);
    }
    let report: Value = serde_json::from_str(&body).unwrap_or_default();
    let mut text = format!("{}\n", report.get("status").and_then(Value::as_str).unwrap_or("unknown"));
    for check in report.get("checks").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or("");
        let ok = check.get("ok").and_then(Value::as_bool).unwrap_or(false);
        let latency = check.get("latencyUs").and_then(Value::as_i64).unwrap_or(0);
        let _ = writeln!(
            text,
            "  {} {:<12} {:>8} µs  {}",
            if ok { "ok  " } else { "FAIL" },
            part("name"),
            latency,
            part("detail")
        );
    }
    crate::print(&text)?;
    Ok(exit)
}

/// Goes through what most often is wrong, and says what to do about each.
pub(crate) fn doctor(loaded: &Loaded) -> Result<Exit, Failure> {
    let config = &loaded.config;
    let mut text = String::new();
    let mut well = true;
    let mut say = |name: &str, found: Result<String, Failure>| match found {
        Ok(found) => drop(writeln!(text, "ok    {name:<14} {found}")),
        Err(failure) => {
            well = false;
            let _ = writeln!(text, "FAIL  {name:<14} {} [{}]", failure.message, failure.code);
            if let Some(way_out) = &failure.way_out {
                let _ = writeln!(text, "      {:<14} → {way_out}", "");
            }
        }
    };
    say("configuration", Ok(format!("mode {}", config.mode)));
    say("secrets", secrets::look(config));
    say("store", try_store(config));
    match try_others(config) {
        Ok(tried) => tried.into_iter().for_each(|(name, tried)| say(name, tried)),
        Err(failure) => say("others", Err(failure)),
    }
    let running = address(config).map(|address| match http::get(address, "/health/ready") {
        Ok((200, _)) => format!("a process is ready at {address}"),
        Ok((status, _)) => format!("a process answers {status} at {address}"),
        Err(_) => format!("no process answers at {address}"),
    });
    say("process", running);
    crate::print(&text)?;
    Ok(if well { Exit::Clean } else { Exit::Failed })
}
