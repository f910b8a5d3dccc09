//! `stoa serve`: starts in order, serves, drains, stops in reverse.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use stoa_api::{OperatorToken, Parts, Platform};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::store::CursorKey;
use stoa_outbox::{Feed, Sequencer};
use stoa_runtime::clock::SystemClock;
use stoa_runtime::health::Health;
use stoa_runtime::ids::{NODE_RENEWAL, NodeIds};
use stoa_runtime::lifecycle::Lifecycle;
use stoa_runtime::limiter::Rate;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::compose::{self, Stores};
use super::config::{Config, Loaded, runs};
use super::logs;
use super::screen::Screen;
use super::secrets::{self, Secrets};
use crate::failure::{Exit, Failure};

/// The runtime of a process.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("internal", format!("no threads to run on: {error}")))
}

/// Serves until it is asked to end.
pub(crate) fn serve(loaded: &Loaded) -> Result<Exit, Failure> {
    let start = SystemClock.now();
    logs::start(&loaded.config.log)?;
    runtime()?.block_on(run(&loaded.config, start))
}

async fn run(config: &Config, start: Micros) -> Result<Exit, Failure> {
    let mut lifecycle = Lifecycle::default();
    match started(config, start, &mut lifecycle).await {
        Ok(mut signals) => {
            signals.either().await;
            tracing::info!("asked to end; finishing what is under way");
            lifecycle.draining();
            tokio::select! {
                () = drained(config, lifecycle) => {}
                () = signals.either() => tracing::warn!("asked again; ending at once"),
            }
            Ok(Exit::Clean)
        }
        Err(failure) => {
            lifecycle.stop().await;
            Err(failure)
        }
    }
}

async fn drained(config: &Config, lifecycle: Lifecycle) {
    tokio::time::sleep(Duration::from_millis(config.server.drain_delay_ms)).await;
    lifecycle.stop().await;
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new("internal", format!("signals cannot be heard: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn either(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn bind(key: &str, address: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let fail = |error: std::io::Error| {
        Failure::new("config_invalid", format!("{key}: cannot listen on {address}: {error}")).way_out(
            format!("end what listens there, or set {key} to another address; port 0 takes a free one"),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let own = listener.local_addr().map_err(fail)?;
    Ok((listener, own))
}

fn recorder() -> Result<PrometheusHandle, Failure> {
    const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
    let fail = |error: metrics_exporter_prometheus::BuildError| {
        Failure::new("internal", format!("metrics cannot start: {error}"))
    };
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(
                Matcher::Full("stoa_store_batch_size".to_owned()),
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
            )
        })
        .map_err(fail)?
        .install_recorder()
        .map_err(fail)
}

/// Starts everything; what has started is in the lifecycle.
async fn started(config: &Config, start: Micros, lifecycle: &mut Lifecycle) -> Result<Signals, Failure> {
    let signals = Signals::listen()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (listener, ops_listener) = listeners(config).await?;
    let secrets = secrets::find(config)?;
    let Secrets { master_keys, operator_token, operator_file } = secrets;
    let ids = Arc::new(NodeIds::unleased(Arc::clone(&clock)));
    let (committed, feed) = (Feed::default(), Feed::default());
    // Embedded, what is committed has its position already.
    let embedded = config.database.url.is_empty();
    let stores =
        compose::open(config, master_keys, Arc::clone(&ids), if embedded { &feed } else { &committed })
            .await?;
    let holder = format!("{}-{}", std::process::id(), start.0);
    let ids = node(config, ids, &stores, &holder, lifecycle).await?;
    if !embedded {
        forward(&committed, &feed);
        if runs(config, "scheduler") {
            sequence(&stores, &committed, &feed, &holder, lifecycle);
        }
    }
    let handle = recorder()?;
    let parts = Parts {
        health: health(&stores, Arc::clone(&clock), lifecycle),
        store: Arc::clone(&stores.store),
        log: Arc::clone(&stores.log),
        feed,
        ids,
        clock: Arc::clone(&clock),
        cursors: CursorKey::derived(operator_token.as_bytes()),
        operator: OperatorToken::of(&operator_token),
        event_types: stoa_identity::EVENT_TYPES.to_vec(),
        metrics: Box::new(move || handle.render()),
        timeout: Duration::from_millis(config.server.request_timeout_ms),
        body_bytes_max: config.server.body_bytes_max,
        concurrency_max: config.server.concurrency_max,
        rate: Rate { burst: config.limits.burst, per_second: config.limits.per_second },
        cors_origins: config.server.cors_origins.clone(),
    };
    let platform = Platform::new(parts);
    let (api, ops) = (listener.as_ref().map(|(_, own)| *own), ops_listener.as_ref().map(|(_, own)| *own));
    if let Some((listener, _)) = listener {
        listen("api", listener, stoa_api::router(&platform), lifecycle);
    }
    if let Some((listener, _)) = ops_listener {
        listen("operations", listener, stoa_api::ops_router(&platform), lifecycle);
    }
    lifecycle.running();
    let ready_ms = clock.now().since(start) / 1_000;
    tracing::info!(ready_ms, data = %stores.about, mode = %config.mode, "ready");
    let screen = Screen {
        api,
        ops,
        data: &stores.about,
        operator_token: &operator_token,
        operator_file: operator_file.as_deref().map(Path::new),
        ready_ms,
    };
    crate::print(&screen.text())?;
    Ok(signals)
}

type Listening = Option<(TcpListener, SocketAddr)>;

/// Where the process listens: for the API if it runs that, and always somewhere for operators.
async fn listeners(config: &Config) -> Result<(Listening, Listening), Failure> {
    let server = &config.server;
    let api = runs(config, "api");
    let main = if api { Some(bind("server.listen", &server.listen).await?) } else { None };
    let ops = match (server.ops_listen.as_str(), api) {
        ("", true) => None,
        ("", false) => Some(bind("server.listen", &server.listen).await?),
        (address, _) => Some(bind("server.ops_listen", address).await?),
    };
    Ok((main, ops))
}

/// Takes a node number, and keeps it.
async fn node(
    config: &Config,
    ids: Arc<NodeIds>,
    stores: &Stores,
    holder: &str,
    lifecycle: &mut Lifecycle,
) -> Result<Arc<NodeIds>, Failure> {
    if let Ok(node) = u16::try_from(config.node.id) {
        ids.fix(node).map_err(|error| Failure::new("config_invalid", format!("node.id: {error}")))?;
        return Ok(ids);
    }
    let leases = Arc::clone(&stores.leases);
    let first = u16::try_from(std::process::id() % 1_024).unwrap_or(0);
    ids.lease(leases.as_ref(), holder, first).await.map_err(|error| Failure::of(&error, "no node id"))?;
    let (own, held, name) = (Arc::clone(&ids), Arc::clone(&leases), holder.to_owned());
    let renewing = tokio::spawn(async move {
        loop {
            tokio::time::sleep(NODE_RENEWAL).await;
            if let Err(error) = own.lease(held.as_ref(), &name, first).await {
                tracing::warn!(%error, "the node id could not be renewed");
            }
        }
    });
    let own = Arc::clone(&ids);
    lifecycle.started("node id", move || async move {
        renewing.abort();
        own.stop();
    });
    Ok(ids)
}

/// Whoever follows the log is woken by every commit; what has no position yet is found when it has one.
fn forward(committed: &Feed, feed: &Feed) {
    let (mut hints, feed) = (committed.subscribe(), feed.clone());
    tokio::spawn(async move {
        while hints.changed().await.is_ok() {
            feed.hint();
        }
    });
}

fn sequence(stores: &Stores, committed: &Feed, feed: &Feed, holder: &str, lifecycle: &mut Lifecycle) {
    let sequencer = Sequencer {
        log: Arc::clone(&stores.log),
        leases: Arc::clone(&stores.leases),
        holder: holder.to_owned(),
        committed: committed.clone(),
        feed: feed.clone(),
    };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sequencer.run(stopped));
    lifecycle.started("sequencer", move || async move {
        stop.send_replace(true);
        let _ = running.await;
    });
}

fn health(stores: &Stores, clock: Arc<dyn Clock>, lifecycle: &Lifecycle) -> Health {
    let mut health = Health::new(Arc::clone(&clock), lifecycle.phase(), env!("CARGO_PKG_VERSION"));
    let store = Arc::clone(&stores.store);
    health.check("database", true, move || {
        let store = Arc::clone(&store);
        Box::pin(async move { store.ping().await.map(|()| None).map_err(|error| error.to_string()) })
    });
    let log = Arc::clone(&stores.log);
    health.check("event_log", false, move || {
        let log = Arc::clone(&log);
        Box::pin(async move {
            log.head().await.map(|head| Some(format!("position {head}"))).map_err(|error| error.to_string())
        })
    });
    health.check("clock", false, move || {
        let now = clock.now();
        let is_sane = now.millis() > stoa_kernel::id::EPOCH_MS;
        Box::pin(std::future::ready(if is_sane {
            Ok(None)
        } else {
            Err("the clock shows a time before 2024".to_owned())
        }))
    });
    health
}

fn listen(name: &'static str, listener: TcpListener, router: axum::Router, lifecycle: &mut Lifecycle) {
    let (stop, mut stopped) = watch::channel(false);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move {
        let ended = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(ended).await {
            tracing::error!(%error, "the listener failed");
        }
    });
    lifecycle.started(name, move || async move {
        stop.send_replace(true);
        let _ = serving.await;
    });
}
