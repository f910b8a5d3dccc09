//! Measures the job engine on both stores, and its peers on the same servers, in one session. Prints `name value unit` lines.
//!
//! A job does nothing. Enqueueing is durable when it is answered; a job is drained when its end is on disk.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stoa_harness::{Postgres, Redis};
use stoa_jobs::queue::Queue;
use stoa_jobs::{Done, Failed, Handler, Kind, LEASE_US, Pace, Pacing, Parts, Registry as Handlers, Work, Worker};
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{Ids, OrganizationId, RequestId};
use stoa_kernel::store::{BoxFuture, Commit, Job, Priority, Store};
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;
use stoa_store::Registry;
use stoa_store::migrations::ALL;
use stoa_store::seal::{MasterKeys, Vault};
use tokio::sync::watch;

const CALLERS: usize = 100;
/// Jobs of one commit, where they are enqueued together.
const TOGETHER: usize = 100;
/// How many jobs a worker does at once.
const CONCURRENCY: usize = 512;

static NOTHING: Kind = Kind::new("bench.nothing", "bench", "Does nothing.");
/// The same, whose end is not kept, as with peers that delete what is done.
static GONE: Kind = Kind { keep_us: 0, ..Kind::new("bench.gone", "bench", "Does nothing.") };

/// Does nothing, and says when it was begun.
struct Nothing {
    kind: &'static Kind,
    done: Arc<AtomicUsize>,
    begun: Mutex<Vec<(String, Instant)>>,
    is_watched: std::sync::atomic::AtomicBool,
}

impl Handler for Nothing {
    fn kind(&self) -> &'static Kind {
        self.kind
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.is_watched.load(Ordering::Relaxed) || work.job.priority < 2 {
            self.begun.lock().unwrap().push((work.job.id.to_string(), Instant::now()));
        }
        Box::pin(async { Ok(Done::default()) })
    }
}

struct Unpaced;

impl Pacing for Unpaced {
    fn begin<'a>(&'a self, _: &'a str, _: Pace) -> BoxFuture<'a, Option<i64>> {
        Box::pin(std::future::ready(None))
    }
}

fn context(organization: u64) -> Context {
    Context {
        scope: Scope::Organization(OrganizationId::from_raw(organization).unwrap()),
        actor: Actor::System,
        request: RequestId::from_raw(1).unwrap(),
        trace: None,
        deadline: None,
    }
}

fn job(kind: &Kind) -> Job {
    Job::new(kind.queue, kind.name, "{\"number\":1}".to_owned())
}

struct Bench {
    name: &'static str,
    store: Arc<dyn Store>,
    queue: Arc<dyn Queue>,
    ids: Arc<dyn Ids>,
    hints: watch::Sender<u64>,
    handler: Arc<Nothing>,
    gone: Arc<Nothing>,
}

impl Bench {
    fn say(&self, what: &str, value: f64, unit: &str) {
        println!("{}_{what} {value:.1} {unit}", self.name);
    }

    /// Many callers, each one commit after the other.
    async fn enqueue(&self, what: &str, kind: &'static Kind, all: usize, together: usize, organizations: u64) {
        let start = Instant::now();
        let each = all / together / CALLERS;
        let calling = (0..CALLERS).map(|caller| {
            let (store, cx) = (Arc::clone(&self.store), context(caller as u64 % organizations + 1));
            tokio::spawn(async move {
                for _ in 0..each {
                    let commit = (0..together).fold(Commit::new(), |commit, _| commit.job(job(kind)));
                    store.commit(&cx, commit).await.unwrap();
                }
            })
        });
        let calling: Vec<_> = calling.collect();
        for call in calling {
            call.await.unwrap();
        }
        self.say(what, (each * together * CALLERS) as f64 / start.elapsed().as_secs_f64(), "jobs/s");
    }

    fn worker(&self) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let parts = Parts {
            queue: Arc::clone(&self.queue),
            store: Arc::clone(&self.store),
            clock: Arc::new(SystemClock),
            ids: Arc::clone(&self.ids),
            registry: Handlers::of([Arc::clone(&self.handler) as Arc<dyn Handler>, Arc::clone(&self.gone) as _]),
            pacing: Arc::new(Unpaced),
            holder: "bench".to_owned(),
            concurrency: CONCURRENCY,
            lease_us: LEASE_US,
        };
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(Worker::new(parts, self.hints.subscribe()).run(stopped)))
    }

    async fn left(&self) -> i64 {
        self.queue.depths().await.unwrap().iter().map(|depth| depth.ready + depth.running + depth.scheduled).sum()
    }

    /// Until nothing is left; every end is on disk then.
    async fn drain(&self, what: &str, all: usize) {
        let before = self.handler.done.load(Ordering::Relaxed);
        let start = Instant::now();
        let (stop, running) = self.worker();
        while self.handler.done.load(Ordering::Relaxed) < before + all {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        while self.left().await > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.say(what, all as f64 / start.elapsed().as_secs_f64(), "jobs/s");
        stop.send_replace(true);
        running.await.unwrap();
    }

    /// From before the commit to the first line of the handler.
    async fn latency(&self, what: &str, count: usize, priority: Priority, organization: u64, pause: Duration) {
        let mut took = Vec::new();
        for _ in 0..count {
            tokio::time::sleep(pause).await;
            let id = self.ids.next().unwrap();
            let start = Instant::now();
            let wanted = Job { id: Some(id), priority, ..job(&NOTHING) };
            self.store.commit(&context(organization), Commit::new().job(wanted)).await.unwrap();
            let begun = loop {
                let found = {
                    let mut begun = self.handler.begun.lock().unwrap();
                    let place = begun.iter().position(|(name, _)| *name == id.to_string());
                    place.map(|place| begun.swap_remove(place).1)
                };
                if let Some(begun) = found {
                    break begun;
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
                assert!(start.elapsed() < Duration::from_secs(60), "it was not begun");
            };
            took.push(begun.saturating_duration_since(start));
        }
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
        self.say(&format!("{what}_p50"), at(50), "ms");
        self.say(&format!("{what}_p99"), at(99), "ms");
    }

    async fn all(&self, count: usize) {
        self.enqueue("enqueue_one_by_one", &NOTHING, count, 1, 20).await;
        self.drain("drain", count).await;
        self.enqueue("enqueue_hundreds", &GONE, count, TOGETHER, 20).await;
        self.drain("drain_unkept", count).await;
        let (stop, running) = self.worker();
        self.handler.is_watched.store(true, Ordering::Relaxed);
        self.latency("idle_start", 300, Priority::Normal, 1, Duration::from_millis(5)).await;
        self.handler.is_watched.store(false, Ordering::Relaxed);
        stop.send_replace(true);
        running.await.unwrap();
        // One organization's flood, of which nobody else may take notice.
        self.enqueue("enqueue_flood", &NOTHING, 100_000, 1_000, 1).await;
        let (stop, running) = self.worker();
        self.latency("flood_high", 50, Priority::High, 1, Duration::from_millis(10)).await;
        self.handler.is_watched.store(true, Ordering::Relaxed);
        self.latency("flood_other", 50, Priority::Normal, 7, Duration::from_millis(10)).await;
        self.handler.is_watched.store(false, Ordering::Relaxed);
        println!("{}_flood_left {} jobs", self.name, self.left().await);
        while self.left().await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.handler.begun.lock().unwrap().clear();
        // With a million ends that are kept, a single job is to begin as soon as with none.
        let is_wanted = std::env::var("MILLION").is_ok();
        for _ in 0..if is_wanted { 10 } else { 0 } {
            let before = self.handler.done.load(Ordering::Relaxed);
            let enqueueing = (0..20).map(|organization| {
                let (store, cx) = (Arc::clone(&self.store), context(organization + 1));
                tokio::spawn(async move {
                    for _ in 0..5 {
                        let commit = (0..1_000).fold(Commit::new(), |commit, _| commit.job(job(&NOTHING)));
                        store.commit(&cx, commit).await.unwrap();
                    }
                })
            });
            for enqueueing in enqueueing.collect::<Vec<_>>() {
                enqueueing.await.unwrap();
            }
            while self.handler.done.load(Ordering::Relaxed) < before + 100_000 || self.left().await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.handler.is_watched.store(true, Ordering::Relaxed);
        let what = if is_wanted { "million_start" } else { "late_start" };
        self.latency(what, 300, Priority::Normal, 1, Duration::from_millis(5)).await;
        if is_wanted {
            // The database has had its time: a checkpoint is written, and what is dead is vacuumed (autovacuum looks each minute).
            tokio::time::sleep(Duration::from_secs(150)).await;
            self.latency("million_settled_start", 300, Priority::Normal, 1, Duration::from_millis(5)).await;
        }
        stop.send_replace(true);
        running.await.unwrap();
    }
}

fn bench<S: Store + Queue + 'static>(name: &'static str, store: Arc<S>, ids: Arc<dyn Ids>, hints: watch::Sender<u64>) -> Bench {
    let done = Arc::new(AtomicUsize::new(0));
    let handler = |kind| Nothing { kind, done: Arc::clone(&done), begun: Mutex::default(), is_watched: false.into() };
    let (handler, gone) = (Arc::new(handler(&NOTHING)), Arc::new(handler(&GONE)));
    Bench { name, store: store.clone(), queue: store, ids, hints, handler, gone }
}

fn hinting(hints: &watch::Sender<u64>) -> Arc<dyn Fn() + Send + Sync> {
    let hints = hints.clone();
    Arc::new(move || hints.send_modify(|count| *count += 1))
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(MasterKeys::parse(&MasterKeys::generate("a").unwrap()).unwrap()))
}

async fn sqlite(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let ids: Arc<dyn Ids> = Arc::new(NodeIds::fixed(Arc::new(SystemClock), 1).unwrap());
    let (hints, _) = watch::channel(0);
    let options = stoa_store_sqlite::Options {
        folder: folder.path().to_owned(),
        readers: 4,
        registry: Registry::with(stoa_jobs::RECORDS),
        vault: vault(),
        ids: Arc::clone(&ids),
        clock: Arc::new(SystemClock),
        migrations: ALL,
        committed: hinting(&hints),
    };
    let store = Arc::new(stoa_store_sqlite::SqliteStore::open(options).unwrap());
    bench("sqlite", store, ids, hints).all(count).await;
}

async fn postgres(count: usize, server: &Arc<Postgres>) {
    let database = server.database("bench", |owner_url| {
        let owner_url = owner_url.to_owned();
        let migrating = std::thread::spawn(move || {
            let migrate = stoa_store_postgres::MigrateOptions {
                owner_url: &owner_url,
                ca_file: None,
                runtime_role: "stoa",
                migrations: ALL,
                clock: &SystemClock,
            };
            tokio::runtime::Runtime::new().unwrap().block_on(stoa_store_postgres::migrate(migrate)).unwrap();
        });
        migrating.join().unwrap();
    });
    let ids: Arc<dyn Ids> = Arc::new(NodeIds::fixed(Arc::new(SystemClock), 1).unwrap());
    let (hints, _) = watch::channel(0);
    let options = stoa_store_postgres::Options {
        url: database.url(),
        ca_file: None,
        connections: 16,
        prepared: true,
        notifications: true,
        statement_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(5),
        registry: Registry::with(stoa_jobs::RECORDS),
        vault: vault(),
        ids: Arc::clone(&ids),
        clock: Arc::new(SystemClock),
        migrations: ALL,
        committed: hinting(&hints),
    };
    let store = Arc::new(stoa_store_postgres::PostgresStore::open(options).await.unwrap());
    bench("postgres", store, ids, hints).all(count).await;
}

fn peer(name: &str, url: &str, count: usize) {
    let status = Command::new("node").args(["peer.mjs", name, url, &count.to_string()]).status().unwrap();
    assert!(status.success(), "{name} failed");
}

fn main() {
    let count: usize = std::env::args().nth(1).map_or(20_000, |count| count.parse().unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only.split(',').any(|one| one == name);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if is_wanted("sqlite") {
        runtime.block_on(sqlite(count));
    }
    if is_wanted("postgres") || is_wanted("peers") {
        let server = Arc::new(Postgres::start(true));
        if is_wanted("postgres") {
            runtime.block_on(postgres(count, &server));
        }
        if is_wanted("peers") {
            for name in ["graphile-worker", "pg-boss"] {
                let database = server.database(&name.replace('-', "_"), |_| {});
                peer(name, &database.owner_url(), count);
            }
        }
    }
    if is_wanted("peers") {
        let redis = Redis::start();
        let url = format!("redis://127.0.0.1:{}/", redis.port());
        peer("bullmq", &url, count);
        peer("bullmq-always", &url, count);
    }
}
