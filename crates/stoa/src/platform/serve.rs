//! `stoa serve`: starts in order, serves, drains, stops in reverse.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use stoa_api::{OperatorToken, Parts, Platform};
use stoa_kernel::clock::{Clock as _, Micros};
use stoa_kernel::store::CursorKey;
use stoa_outbox::{Feed, Sequencer, Signals as Bus};
use stoa_runtime::alerts::Traffic;
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::{NODE_RENEWAL, NodeIds};
use stoa_runtime::lifecycle::Lifecycle;
use stoa_runtime::limiter::Rate;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::compose::{self, Stores};
use super::config::{Config, Loaded, runs};
use super::listen::{Bounds, listen};
use super::screen::Screen;
use super::secrets::{self, Secrets};
use super::vitals::{self, Watched};
use super::work::Working;
use super::{logs, people, work};
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
    let mut signals = Signals::listen()?;
    let starting = tokio::select! {
        started = started(config, start, &mut lifecycle) => started,
        () = signals.either() => {
            tracing::info!("asked to end before everything had started");
            lifecycle.stop().await;
            return Ok(Exit::Clean);
        }
    };
    match starting {
        Ok(()) => {
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
    tokio::time::sleep(super::config::drain_delay(config)).await;
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
        let way_out = match error.kind() {
            std::io::ErrorKind::AddrInUse => "end what listens there, or set",
            std::io::ErrorKind::PermissionDenied => "take a port above 1023, or set",
            _ => "set",
        };
        Failure::new("config_invalid", format!("{key}: cannot listen on {address}: {error}"))
            .way_out(format!("{way_out} {key} to an address of this machine; port 0 takes a free one"))
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
async fn started(config: &Config, start: Micros, lifecycle: &mut Lifecycle) -> Result<(), Failure> {
    let (listener, ops_listener) = listeners(config).await?;
    let secrets = secrets::find(config)?;
    let Secrets { master_keys, operator_token, operator_file } = secrets;
    let holder = format!("{}-{}", std::process::id(), start.0);
    let collector = compose::collector(config, &holder)?;
    if let Some(traces) = compose::traces(config, &holder)? {
        lifecycle.started("traces", move || async move {
            let _ = tokio::task::spawn_blocking(move || traces.stop()).await;
        });
    }
    let ids = Arc::new(NodeIds::unleased(Arc::new(SystemClock)));
    let (committed, feed) = (Feed::default(), Feed::default());
    // Embedded, what is committed has its position already.
    let embedded = config.database.url.is_empty();
    let mut stores =
        compose::open(config, master_keys, Arc::clone(&ids), if embedded { &feed } else { &committed })
            .await?;
    let ids = node(config, ids, &stores, &holder, lifecycle).await?;
    let listening = listener.as_ref().or(ops_listener.as_ref()).map(|(_, own)| *own);
    let redis = compose::redis(config)?;
    // A connection of its own, so that it notices when that is lost.
    let commons = compose::commons(compose::redis(config)?, &operator_token, &stores.clock);
    let identity =
        people::identity(config, people::settings(config, listening)?, &mut stores, &ids, commons)?;
    let public = identity.issuer();
    if config.server.public_url.is_empty() {
        if !embedded {
            tracing::warn!("server.public_url is not set; the processes of a cluster need the same one");
        } else if listening.is_some_and(|own| !own.ip().is_loopback()) {
            tracing::warn!(%public, "server.public_url is not set: browsers of other machines cannot sign in, and links in letters lead to this one");
        }
    }
    let bus = compose::bus(config).await?;
    if !embedded {
        let (work, sequenced) = (Feed::default(), Feed::default());
        forward(&committed, &[&work, &feed]);
        forward(&sequenced, &[&feed]);
        // Other processes hear of commits and positions through the database; where that cannot be, through the bus.
        if let Some(bus) = bus.as_ref().map(|bus| &bus.signals).filter(|_| !config.database.notifications) {
            let (own, elsewhere) = (Feed::default(), Feed::default());
            forward(&committed, &[&own]);
            forward(&sequenced, &[&own]);
            forward(&elsewhere, &[&work, &feed]);
            carry(bus, &own, &elsewhere, &holder, lifecycle);
        }
        if runs(config, "scheduler") {
            sequence(&stores, &work, &sequenced, &holder, lifecycle).await?;
        }
    }
    people::warm(&identity).await?;
    people::listen(&identity, &stores.log, &feed, lifecycle).await?;
    let (limits, limiter) = compose::limits(redis.as_ref());
    let limits = Arc::new(limits);
    let working = Working {
        config,
        identity: &identity,
        stores: &stores,
        ids: &ids,
        limits: &limits,
        feed: &feed,
        holder: &holder,
        broker: bus.as_ref().map(|bus| &bus.broker),
    };
    let mailer = if runs(config, "worker") { Some(working.work(lifecycle)?) } else { None };
    if runs(config, "worker") {
        working.follow(lifecycle);
    }
    if runs(config, "scheduler") {
        working.schedule(lifecycle);
    }
    let setup = if runs(config, "api") { people::setup(config, &identity).await? } else { None };
    let traffic = Arc::new(Traffic::default());
    let watched = Watched {
        stores: &stores,
        limiter,
        bus: bus.map(|bus| bus.signals),
        mailer: mailer.filter(|_| !config.mail.smtp_url.is_empty()),
        ids: Arc::clone(&ids),
        clock: Arc::clone(&stores.clock),
        folder: config.data.folder.clone(),
        alerting: config.alerts.clone(),
        traffic: Arc::clone(&traffic),
        is_sequenced: !embedded,
    };
    let alerts = Arc::new(vitals::alerts(&watched));
    let handle = recorder()?;
    let upkeep = Arc::clone(&stores.upkeep);
    let process = metrics_process::Collector::default();
    process.describe();
    vitals::poll(&watched, Arc::clone(&alerts), &holder, lifecycle);
    let desk = Arc::new(work::desk(&stores, &ids));
    let schedules = Arc::new(work::schedules(&stores, &ids, &desk));
    let runs_of = Arc::new(work::runs(&stores, &ids));
    let (endpoints, inbound) = (work::endpoints(config, &stores, &ids)?, work::inbound(&stores, &ids));
    let inbox = Arc::new(work::inbox(&stores, &identity)?);
    let followers = work::followers(&stores, &ids, &identity, !config.nats.url.is_empty());
    let parts = Parts {
        health: vitals::health(&watched, alerts, lifecycle),
        store: Arc::clone(&stores.store),
        log: Arc::clone(&stores.log),
        feed,
        ids,
        clock: Arc::clone(&stores.clock),
        cursors: CursorKey::derived(operator_token.as_bytes()),
        operator: OperatorToken::of(&operator_token),
        identity,
        schedules,
        runs: runs_of,
        endpoints: Arc::new(endpoints),
        inbound: Arc::new(inbound),
        inbox,
        consumers: followers,
        projections: work::projections(&stores),
        desk,
        trail: Arc::clone(&stores.trail),
        attempts: config.limits.attempts_per_minute,
        event_types: compose::event_types(),
        kept: stoa_kernel::store::registry::kept(compose::registry().iter()),
        upkeep: Arc::clone(&stores.upkeep),
        collector,
        traffic,
        limits,
        caller_secret: operator_token.clone().into_bytes(),
        metrics: Box::new(move || {
            process.collect();
            vitals::measure_pool(upkeep.as_ref());
            handle.render()
        }),
        timeout: Duration::from_millis(config.server.request_timeout_ms),
        body_bytes_max: config.server.body_bytes_max,
        concurrency_max: config.server.concurrency_max,
        streams_max: config.server.streams_max,
        rate: Rate { burst: config.limits.burst, per_second: config.limits.per_second },
        cors_origins: config.server.cors_origins.clone(),
        proxies: people::proxies(config)?,
    };
    let platform = Platform::new(parts);
    let (api, ops) = (listener.as_ref().map(|(_, own)| *own), ops_listener.as_ref().map(|(_, own)| *own));
    let bounds = Bounds::of(&config.server);
    if let Some((listener, _)) = listener {
        listen("api", listener, stoa_api::router(&platform), bounds, lifecycle);
    }
    if let Some((listener, _)) = ops_listener {
        listen("operations", listener, stoa_api::ops_router(&platform), bounds, lifecycle);
    }
    lifecycle.running();
    let ready_ms = SystemClock.now().since(start) / 1_000;
    tracing::info!(ready_ms, data = %stores.about, mode = %config.mode, "ready");
    let letters = config.data.folder.join(&config.mail.folder);
    let screen = Screen {
        api,
        letters: config.mail.smtp_url.is_empty().then_some(letters.as_path()),
        public: &public,
        ops,
        data: &stores.about,
        operator_token: &operator_token,
        operator_file: operator_file.as_deref().map(Path::new),
        setup: setup.as_ref().map(|(link, file)| (link.as_str(), file.as_path())),
        ready_ms,
    };
    crate::print(&screen.text())?;
    Ok(())
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

/// Passes every hint of one feed on to others.
fn forward(from: &Feed, feeds: &[&Feed]) {
    let mut hints = from.subscribe();
    let feeds: Vec<Feed> = feeds.iter().copied().cloned().collect();
    tokio::spawn(async move {
        while hints.changed().await.is_ok() {
            feeds.iter().for_each(Feed::hint);
        }
    });
}

fn carry(bus: &Arc<dyn Bus>, committed: &Feed, elsewhere: &Feed, holder: &str, lifecycle: &mut Lifecycle) {
    let (stop, stopped) = watch::channel(false);
    let mut own = [0; 16];
    own.copy_from_slice(blake3::hash(holder.as_bytes()).as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
    let carrying = tokio::spawn(stoa_outbox::carry_hints(
        Arc::clone(bus),
        committed.clone(),
        elsewhere.clone(),
        own,
        stopped,
    ));
    lifecycle.started("hints", move || async move {
        stop.send_replace(true);
        let _ = carrying.await;
    });
}

async fn sequence(
    stores: &Stores,
    committed: &Feed,
    feed: &Feed,
    holder: &str,
    lifecycle: &mut Lifecycle,
) -> Result<(), Failure> {
    let sequencer = Sequencer {
        log: Arc::clone(&stores.log),
        leases: Arc::clone(&stores.leases),
        holder: holder.to_owned(),
        committed: committed.clone(),
        feed: feed.clone(),
    };
    // From the start on somebody leads.
    sequencer.claim().await.map_err(|error| Failure::of(&error, ""))?;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sequencer.run(stopped));
    lifecycle.started("sequencer", move || async move {
        stop.send_replace(true);
        let _ = running.await;
    });
    Ok(())
}
