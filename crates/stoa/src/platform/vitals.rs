//! What is watched: the checks of `/health`, and the rules of alerts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stoa_jobs::queue::Depth;
use stoa_kernel::clock::Clock;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::Ids;
use stoa_kernel::store::insight::Pool;
use stoa_kernel::store::{BoxFuture, Commit, Upkeep};
use stoa_outbox::{AlertRaised, AlertResolved, AlertState, Signals};
use stoa_runtime::alerts::{Alert, Alerts, Reading, Rule, Traffic};
use stoa_runtime::health::Health;
use stoa_runtime::ids::NodeIds;
use stoa_runtime::lifecycle::Lifecycle;
use stoa_runtime::limiter::RateLimiter;
use stoa_runtime::mail::Mailer;
use tokio::sync::watch;

use super::compose::{self, Stores};
use super::config::Alerting;

/// By how many seconds the clocks of a machine and of the database may differ before it is told.
const SKEW_MAX_S: i64 = 5;

/// What a process is made of, as far as it is watched.
pub(super) struct Watched<'w> {
    pub(super) stores: &'w Stores,
    pub(super) limiter: Option<Arc<dyn RateLimiter>>,
    pub(super) bus: Option<Arc<dyn Signals>>,
    pub(super) mailer: Option<Arc<dyn Mailer>>,
    pub(super) ids: Arc<NodeIds>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) folder: PathBuf,
    pub(super) alerting: Alerting,
    pub(super) traffic: Arc<Traffic>,
    /// Whether events wait for a sequencer.
    pub(super) is_sequenced: bool,
}

type Found = BoxFuture<'static, Result<Option<String>, String>>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Free and all bytes of the disk under a folder.
fn disk(folder: &Path) -> Result<(u64, u64), String> {
    let folder = if folder.exists() { folder } else { Path::new(".") };
    let found = rustix::fs::statvfs(folder).map_err(text)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

/// How the disk stands, and whether too little of it is free.
fn disk_reading(folder: &Path, percent_min: u64) -> Result<Reading, String> {
    let (free, all) = disk(folder)?;
    let percent = free.saturating_mul(100) / all.max(1);
    let detail = format!("{} MiB free, {percent} %", free >> 20);
    metrics::gauge!("stoa_disk_free_bytes")
        .set(f64::from(u32::try_from(free >> 20).unwrap_or(u32::MAX)) * 1_048_576.0);
    Ok(Reading { bad: percent < percent_min, detail })
}

/// The checks of `/health`.
pub(super) fn health(watched: &Watched<'_>, alerts: Arc<Alerts>, lifecycle: &Lifecycle) -> Health {
    let clock = Arc::clone(&watched.clock);
    let mut health = Health::new(Arc::clone(&clock), lifecycle.phase(), env!("CARGO_PKG_VERSION"), alerts);
    let store = Arc::clone(&watched.stores.store);
    health.check("database", true, move || {
        let store = Arc::clone(&store);
        Box::pin(async move { store.ping().await.map(|()| None).map_err(text) }) as Found
    });
    let upkeep = Arc::clone(&watched.stores.upkeep);
    health.check("schema", true, move || {
        let upkeep = Arc::clone(&upkeep);
        Box::pin(async move {
            let (found, known) = (upkeep.migration().await.map_err(text)?, compose::last_migration());
            // A newer one expands what an older process works with; that is what a rolling upgrade looks like.
            if found < known {
                Err(format!("migration {found}, {known} is needed"))
            } else {
                Ok(Some(format!("migration {found}")))
            }
        })
    });
    let log = Arc::clone(&watched.stores.log);
    health.check("event_log", false, move || {
        let log = Arc::clone(&log);
        Box::pin(async move {
            let (head, lag) = (log.head().await.map_err(text)?, log.lag().await.map_err(text)?);
            Ok(Some(format!("position {head}, {} events wait for theirs", lag.waiting)))
        })
    });
    if let Some(limiter) = watched.limiter.clone() {
        health.check("cache", false, move || {
            let limiter = Arc::clone(&limiter);
            Box::pin(async move { limiter.ping().await.map(|()| None).map_err(text) })
        });
    }
    if let Some(bus) = watched.bus.clone() {
        health.check("bus", false, move || {
            let bus = Arc::clone(&bus);
            Box::pin(async move { bus.ping().await.map(|()| None).map_err(text) })
        });
    }
    if let Some(mailer) = watched.mailer.clone() {
        health.check("mail", false, move || {
            let mailer = Arc::clone(&mailer);
            Box::pin(async move { mailer.ping().await.map(|()| None) })
        });
    }
    if watched.is_sequenced {
        let leases = Arc::clone(&watched.stores.leases);
        health.check("scheduler", false, move || {
            let leases = Arc::clone(&leases);
            Box::pin(async move {
                let leader = leases.holder(stoa_outbox::SEQUENCER_LEASE).await.map_err(text)?;
                leader
                    .map(|leader| Some(format!("{leader} leads")))
                    .ok_or_else(|| "no process leads; start one with the mode scheduler".to_owned())
            })
        });
    }
    let queue = Arc::clone(&watched.stores.queue);
    health.check("jobs", false, move || {
        let queue = Arc::clone(&queue);
        Box::pin(async move {
            let depths = queue.depths().await.map_err(text)?;
            let sum = |count: fn(&Depth) -> i64| depths.iter().map(count).sum::<i64>();
            let (ready, running, failed) =
                (sum(|depth| depth.ready), sum(|depth| depth.running), sum(|depth| depth.failed));
            Ok(Some(format!("{ready} can be begun, {running} run, {failed} dead letters")))
        })
    });
    let (folder, percent_min) = (watched.folder.clone(), watched.alerting.disk_free_percent_min);
    health.check("disk", false, move || {
        let reading = disk_reading(&folder, percent_min);
        Box::pin(std::future::ready(reading.and_then(|reading| {
            if reading.bad {
                Err(format!("{}; at least {percent_min} % should be", reading.detail))
            } else {
                Ok(Some(reading.detail))
            }
        })))
    });
    let ids = Arc::clone(&watched.ids);
    health.check("node_id", true, move || {
        let issued = (ids.as_ref() as &dyn Ids).next_raw();
        let node = ids.node().map(|node| format!("node {node}"));
        Box::pin(std::future::ready(issued.map(|_| node).map_err(text)))
    });
    // Embedded, the clock of the database is that of the machine.
    let ids = watched.is_sequenced.then(|| Arc::clone(&watched.ids));
    health.check("clock", false, move || {
        let ahead_s = ids.as_ref().map_or(0, |ids| ids.ahead_us()) / 1_000_000;
        let found = if clock.now().millis() <= stoa_kernel::id::EPOCH_MS {
            Err("the clock is before 2024".to_owned())
        } else if ahead_s.abs() > SKEW_MAX_S {
            let which = if ahead_s > 0 { "behind" } else { "ahead of" };
            Err(format!(
                "the clock of this machine is {} s {which} that of the database, whose time is used",
                ahead_s.abs()
            ))
        } else {
            Ok(None)
        };
        Box::pin(std::future::ready(found))
    });
    health
}

/// Shows how the connections to the database are used.
pub(super) fn measure_pool(upkeep: &dyn Upkeep) {
    let Pool { open, max, idle, waiting } = upkeep.pool();
    let show = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    metrics::gauge!("stoa_pool_open").set(show(open));
    metrics::gauge!("stoa_pool_max").set(show(max));
    metrics::gauge!("stoa_pool_idle").set(show(idle));
    metrics::gauge!("stoa_pool_waiting").set(show(waiting));
}

/// Shows what is in the queues; how many dead letters there are.
fn measure_queues(depths: &[Depth]) -> i64 {
    for depth in depths {
        let states = [
            ("ready", depth.ready),
            ("scheduled", depth.scheduled),
            ("waiting", depth.waiting),
            ("running", depth.running),
            ("failed", depth.failed),
        ];
        for (state, count) in states {
            metrics::gauge!("stoa_queue_jobs", "queue" => depth.queue.clone(), "state" => state)
                .set(f64::from(i32::try_from(count).unwrap_or(i32::MAX)));
        }
    }
    depths.iter().map(|depth| depth.failed).sum()
}

/// The rules of alerts.
pub(super) fn alerts(watched: &Watched<'_>) -> Alerts {
    let mut rules = Vec::new();
    let (log, clock) = (Arc::clone(&watched.stores.log), Arc::clone(&watched.clock));
    let behind_max_us =
        i64::try_from(watched.alerting.log_behind_s_max.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    rules.push(Rule::new(
        "event_log_behind",
        "Committed events do not get their positions; followers see nothing new.",
        2,
        move || {
            let (log, clock) = (Arc::clone(&log), Arc::clone(&clock));
            Box::pin(async move {
                let lag = log.lag().await.map_err(text)?;
                let behind_us = lag.oldest.map_or(0, |oldest| clock.now().since(oldest));
                let seconds = behind_us / 1_000_000;
                metrics::gauge!("stoa_outbox_lag_events")
                    .set(f64::from(i32::try_from(lag.waiting).unwrap_or(i32::MAX)));
                metrics::gauge!("stoa_outbox_lag_seconds")
                    .set(f64::from(i32::try_from(seconds).unwrap_or(i32::MAX)));
                let detail = format!("{} events wait, the oldest for {seconds} s", lag.waiting);
                Ok(Reading { bad: behind_us > behind_max_us, detail })
            })
        },
    ));
    let traffic = Arc::clone(&watched.traffic);
    rules.push(Rule::new("requests_fail", "More than one in twenty requests fails.", 2, move || {
        Box::pin(std::future::ready(Ok(traffic.read())))
    }));
    let (queue, letters_max) = (Arc::clone(&watched.stores.queue), watched.alerting.dead_letters_max);
    rules.push(Rule::new(
        "dead_letters",
        "Many jobs are not tried any more; somebody must look at them.",
        2,
        move || {
            let queue = Arc::clone(&queue);
            Box::pin(async move {
                let letters = measure_queues(&queue.depths().await.map_err(text)?);
                Ok(Reading { bad: letters > letters_max, detail: format!("{letters} dead letters") })
            })
        },
    ));
    let (folder, percent_min) = (watched.folder.clone(), watched.alerting.disk_free_percent_min);
    rules.push(Rule::new(
        "disk_fills",
        "Little of the disk is free; when it is full, changes are refused.",
        2,
        move || Box::pin(std::future::ready(disk_reading(&folder, percent_min))),
    ));
    Alerts::new(rules, Arc::clone(&watched.clock))
}

/// Evaluates the rules again and again, and tells the log what changes.
pub(super) fn poll(watched: &Watched<'_>, alerts: Arc<Alerts>, holder: &str, lifecycle: &mut Lifecycle) {
    let (store, ids) = (Arc::clone(&watched.stores.store), Arc::clone(&watched.ids));
    let holder = holder.to_owned();
    let (stop, stopped) = watch::channel(false);
    let polling = tokio::spawn(async move {
        let tell = move |alert: Alert| -> BoxFuture<'static, bool> {
            let (store, ids, process) = (Arc::clone(&store), Arc::clone(&ids), holder.clone());
            Box::pin(async move {
                let Ok(request) = (ids.as_ref() as &dyn Ids).next() else { return false };
                let cx = Context {
                    scope: Scope::System,
                    actor: Actor::System,
                    request,
                    trace: None,
                    deadline: None,
                };
                let state = AlertState { rule: alert.name, detail: alert.detail, process };
                let commit = if alert.firing {
                    Commit::new().event(&AlertRaised(state))
                } else {
                    Commit::new().event(&AlertResolved(state))
                };
                let told = store.commit(&cx, commit).await;
                if let Err(error) = &told {
                    tracing::warn!(%error, "an alert could not be told to the log yet");
                }
                told.is_ok()
            })
        };
        alerts.poll(tell, stopped).await;
    });
    lifecycle.started("alerts", move || async move {
        stop.send_replace(true);
        let _ = polling.await;
    });
}
