//! Measures the stores, and the plain drivers beneath them, in one process. Prints `name value` lines, which `run.sh` puts together.
//!
//! A "whole change" is one row, one event (its stream's head moved), one audit entry (its trail's head moved): durable when answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use stoa_conformance::{Noted, SPECIMENS_POSTGRES, SPECIMENS_SQLITE, Specimen};
use stoa_harness::Postgres;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{Ids, OrganizationId, RequestId};
use stoa_kernel::store::{Commit, Json, PageRequest, Record, Store};
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;
use stoa_store::Registry;
use stoa_store::migrations::{ALL, Migration};
use stoa_store::seal::{MasterKeys, Vault};

const CALLERS: u64 = 100;
const ORGANIZATIONS: u64 = 20;
/// Streams of each organization that events are told in.
const STREAMS: u64 = 50;

/// A row without event or audit entry.
#[derive(Debug, Clone, Record)]
#[record(table = "bare", entity = "bare", tenant = organization_id, unaudited)]
struct Bare {
    #[record(key)]
    id: i64,
    organization_id: i64,
    #[record(plain)]
    name: String,
    number: i64,
}

const BARE_SQLITE: &str = "CREATE TABLE bare (id INTEGER NOT NULL PRIMARY KEY, organization_id INTEGER NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL) STRICT;";
/// As every table has it that is listed.
const LISTED: &str = "CREATE INDEX specimens_organization_id ON specimens (organization_id, id);";

fn migrations() -> &'static [Migration] {
    let sqlite: &'static str = Box::leak(format!("{SPECIMENS_SQLITE}{BARE_SQLITE}{LISTED}").into_boxed_str());
    let postgres: &'static str = Box::leak(format!("{SPECIMENS_POSTGRES}{LISTED}").into_boxed_str());
    let next = ALL.len() as i64 + 1;
    Box::leak([ALL, &[Migration { number: next, name: "bench", sqlite, postgres }]].concat().into_boxed_slice())
}

fn context(number: u64) -> Context {
    Context {
        scope: Scope::Organization(OrganizationId::from_raw(number % ORGANIZATIONS + 1).unwrap()),
        actor: Actor::System,
        request: RequestId::from_raw(1).unwrap(),
        trace: None,
        deadline: None,
    }
}

fn specimen(ids: &dyn Ids, cx: &Context, number: i64) -> Specimen {
    let id: stoa_kernel::id::Id<stoa_kernel::id::Request> = ids.next().unwrap();
    Specimen {
        id: stoa_kernel::id::Id::from_raw(id.raw()).unwrap(),
        organization_id: cx.scope.number(),
        code: id.raw().to_string(),
        number,
        flag: true,
        note: Some("a note of some length, as people write them".to_owned()),
        bytes: None,
        document: Json(serde_json::json!({"a": 1, "b": "two"})),
        seen: None,
        person: None,
        secret: None,
        version: 1,
    }
}

fn whole(ids: &dyn Ids, cx: &Context, number: i64) -> Commit {
    let row = specimen(ids, cx, number);
    let event = Noted { stream: format!("s{}", number.unsigned_abs() % STREAMS), number };
    Commit::new().insert(&row).event(&event)
}

fn report(name: &str, done: u64, taken: Duration, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    println!("{name} {:.0} {}", done as f64 / taken.as_secs_f64(), p99.as_micros());
}

/// So many callers, each one commit after the other, for a time.
async fn callers<F, W>(name: &str, callers: u64, seconds: f64, work: W)
where
    W: Fn(u64, u64) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    if !std::env::var("ONLY").is_ok_and(|only| !name.contains(&only)) {
    let work = Arc::new(work);
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut number = 0;
                while start.elapsed() < limit {
                    let begun = Instant::now();
                    work(caller, number).await;
                    latencies.push(begun.elapsed());
                    number += 1;
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    report(name, all.len() as u64, start.elapsed(), all);
    }
}

fn durable(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    connection.execute_batch("PRAGMA synchronous = FULL").unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    connection
}

/// The plain driver, one transaction for each, on the same tables.
fn plain_sqlite(folder: &std::path::Path, seconds: f64) {
    let path = folder.join("stoa.db");
    let connection = durable(&path);
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut latencies = Vec::new();
    let mut number = 1i64 << 40;
    while start.elapsed() < limit {
        let begun = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection.prepare_cached("INSERT INTO bare VALUES (?1, ?2, ?3, ?4)").unwrap().execute((number, 1, "a name", 5)).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        latencies.push(begun.elapsed());
        number += 1;
    }
    report("sqlite_bare_one_by_one", latencies.len() as u64, start.elapsed(), latencies);
    let (start, mut latencies) = (Instant::now(), Vec::new());
    let mut position: i64 = connection.query_row("SELECT coalesce(max(position), 0) FROM events", [], |row| row.get(0)).unwrap();
    while start.elapsed() < limit {
        let begun = Instant::now();
        number += 1;
        position += 1;
        let organization = number % ORGANIZATIONS as i64 + 1;
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
            .prepare_cached("INSERT INTO specimens VALUES (?1, ?3, ?2, 5, 1, 'a note of some length, as people write them', NULL, '{\"a\":1,\"b\":\"two\"}', NULL, NULL, NULL, 1)")
            .unwrap()
            .execute((number, number.to_string(), organization))
            .unwrap();
        let stream = format!("specimen/s{}", number / ORGANIZATIONS as i64 % STREAMS as i64);
        let head: i64 = connection
            .prepare_cached("INSERT INTO streams VALUES (?2, ?1, 1, 1) ON CONFLICT DO UPDATE SET head = head + 1 RETURNING head")
            .unwrap()
            .query_row((&stream, organization), |row| row.get(0))
            .unwrap();
        connection
            .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?5, ?3, 1, ?4, 1, 'specimen.noted', 1, '{\"kind\":\"system\"}', 'specimen', ?3, NULL, NULL, NULL, '{}')")
            .unwrap()
            .execute((number, position, &stream, head, organization))
            .unwrap();
        let head: Option<(i64, Vec<u8>)> = connection
            .prepare_cached("SELECT sequence, hash FROM audit_heads WHERE organization_id = ?1")
            .unwrap()
            .query_row([organization], |row| Ok((row.get(0)?, row.get(1)?)))
            .ok();
        let sequence = head.map_or(0, |head| head.0) + 1;
        let hash = [7u8; 32];
        let diff = format!("[{{\"op\":\"add\",\"path\":\"/code\",\"value\":\"{number}\"}}]");
        connection
            .prepare_cached("INSERT INTO audit_entries VALUES (?5, ?1, ?2, 1, 'system', 'specimen.created', 'specimen', ?6, 'req_0000000000001', ?4, ?3)")
            .unwrap()
            .execute((sequence, number, hash, diff, organization, number.to_string()))
            .unwrap();
        connection
            .prepare_cached("INSERT INTO audit_heads VALUES (?3, ?1, ?2) ON CONFLICT DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash")
            .unwrap()
            .execute((sequence, hash, organization))
            .unwrap();
        connection.execute_batch("COMMIT").unwrap();
        latencies.push(begun.elapsed());
    }
    report("sqlite_whole_one_by_one", latencies.len() as u64, start.elapsed(), latencies);
}

fn plain_reads(folder: &std::path::Path, ids: &Arc<Vec<i64>>, seconds: f64) {
    for (name, sql) in [
        ("sqlite_point_plain", "SELECT id, organization_id, code, number, flag, note, bytes, document, seen, person, secret, version FROM specimens WHERE organization_id = ?1 AND id = ?2"),
        ("sqlite_page_plain", "SELECT id, organization_id, code, number, flag, note, bytes, document, seen, person, secret, version FROM specimens WHERE organization_id = ?1 AND id > ?2 ORDER BY id LIMIT 21"),
    ] {
        let done = AtomicU64::new(0);
        let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
        std::thread::scope(|scope| {
            for thread in 0..2usize {
                let (done, ids) = (&done, Arc::clone(ids));
                let connection = Connection::open(folder.join("stoa.db")).unwrap();
                connection.execute_batch("PRAGMA mmap_size = 268435456").unwrap();
                scope.spawn(move || {
                    let mut number = thread;
                    while start.elapsed() < limit {
                        number += 7;
                        let mut statement = connection.prepare_cached(sql).unwrap();
                        let rows = statement
                            .query_map((1, ids[number % ids.len()]), |row| {
                                let document: String = row.get(7)?;
                                Ok((
                                    row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?,
                                    row.get::<_, bool>(4)?, row.get::<_, Option<String>>(5)?, row.get::<_, Option<Vec<u8>>>(6)?,
                                    serde_json::from_str::<serde_json::Value>(&document).unwrap(),
                                    row.get::<_, Option<i64>>(8)?, row.get::<_, Option<String>>(9)?, row.get::<_, Option<Vec<u8>>>(10)?,
                                    row.get::<_, i64>(11)?,
                                ))
                            })
                            .unwrap();
                        assert!(rows.map(Result::unwrap).count() > 0);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        println!("{name} {:.0} 0", done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
    }
}

async fn reads(prefix: &str, store: Arc<dyn Store>, ids: Arc<Vec<i64>>, tasks: u64, seconds: f64) {
    let cx = context(0);
    let (point, all, own) = (Arc::clone(&store), Arc::clone(&ids), cx.clone());
    callers(&format!("{prefix}_point_stoa"), tasks, seconds, move |caller, number| {
        let (store, cx, id) = (Arc::clone(&point), own.clone(), all[(caller + number * 7) as usize % all.len()]);
        async move {
            let id = stoa_kernel::id::Id::from_raw(id as u64).unwrap();
            assert!(store.find(&cx, Specimen::select().eq(Specimen::ID, &id)).await.unwrap().is_some());
        }
    })
    .await;
    callers(&format!("{prefix}_page_stoa"), tasks, seconds, move |caller, number| {
        let (store, cx, id) = (Arc::clone(&store), cx.clone(), ids[(caller + number * 7) as usize % ids.len()]);
        async move {
            let after = Some(vec![stoa_kernel::store::Value::Integer(id)]);
            store.page(&cx, Specimen::select(), PageRequest { limit: 20, after }).await.unwrap();
        }
    })
    .await;
}

/// Rows of organization 1, and their ids but the last twenty-five.
async fn filled(store: &Arc<dyn Store>, ids: &Arc<dyn Ids>) -> Arc<Vec<i64>> {
    let cx = context(0);
    let mut made = Vec::new();
    for _ in 0..100 {
        let rows: Vec<Specimen> = (0..100).map(|number| specimen(ids.as_ref(), &cx, number)).collect();
        made.extend(rows.iter().map(|row| row.id.raw() as i64));
        store.commit(&cx, rows.iter().fold(Commit::new(), |commit, row| commit.insert(row))).await.unwrap();
    }
    made.truncate(made.len() - 25);
    Arc::new(made)
}

async fn sqlite(seconds: f64) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let ids: Arc<dyn Ids> = Arc::new(NodeIds::fixed(Arc::new(SystemClock), 1).unwrap());
    let options = stoa_store_sqlite::Options {
        folder: folder.path().to_owned(),
        readers: 4,
        registry: Registry::with(&[Specimen::META, Bare::META]),
        vault: Arc::new(Vault::new(MasterKeys::parse(&MasterKeys::generate("a").unwrap()).unwrap())),
        ids: Arc::clone(&ids),
        clock: Arc::new(SystemClock),
        migrations: migrations(),
        committed: Arc::new(|| {}),
    };
    let store: Arc<dyn Store> = Arc::new(stoa_store_sqlite::SqliteStore::open(options).unwrap());
    let rows = filled(&store, &ids).await;
    let (own, next) = (Arc::clone(&store), Arc::new(AtomicU64::new(1 << 50)));
    callers("sqlite_bare_stoa", CALLERS, seconds, move |caller, _| {
        let (store, cx) = (Arc::clone(&own), context(caller));
        let row = Bare { id: next.fetch_add(1, Ordering::Relaxed) as i64, organization_id: cx.scope.number(), name: "a name".to_owned(), number: 5 };
        async move { drop(store.commit(&cx, Commit::new().insert(&row)).await.unwrap()) }
    })
    .await;
    let (own, numbers) = (Arc::clone(&store), Arc::clone(&ids));
    callers("sqlite_whole_stoa", CALLERS, seconds, move |caller, number| {
        let (store, cx) = (Arc::clone(&own), context(caller));
        let commit = whole(numbers.as_ref(), &cx, number as i64);
        async move { drop(store.commit(&cx, commit).await.unwrap()) }
    })
    .await;
    reads("sqlite", Arc::clone(&store), Arc::clone(&rows), 2, seconds).await;
    plain_reads(folder.path(), &rows, seconds);
    drop(store);
    plain_sqlite(folder.path(), seconds);
}

async fn postgres(seconds: f64, server: &Arc<Postgres>) {
    let database = server.database("bench", |owner_url| {
        let owner_url = owner_url.to_owned();
        std::thread::spawn(move || {
            let migrate = stoa_store_postgres::MigrateOptions {
                owner_url: &owner_url,
                ca_file: None,
                runtime_role: "stoa",
                migrations: migrations(),
                clock: &SystemClock,
            };
            tokio::runtime::Runtime::new().unwrap().block_on(stoa_store_postgres::migrate(migrate)).unwrap();
        })
        .join()
        .unwrap();
    });
    let ids: Arc<dyn Ids> = Arc::new(NodeIds::fixed(Arc::new(SystemClock), 1).unwrap());
    let options = stoa_store_postgres::Options {
        url: database.url(),
        ca_file: None,
        connections: 16,
        prepared: true,
        notifications: true,
        statement_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        registry: Registry::with(&[Specimen::META]),
        vault: Arc::new(Vault::new(MasterKeys::parse(&MasterKeys::generate("a").unwrap()).unwrap())),
        ids: Arc::clone(&ids),
        clock: Arc::new(SystemClock),
        migrations: migrations(),
        committed: Arc::new(|| {}),
    };
    let store: Arc<dyn Store> = Arc::new(stoa_store_postgres::PostgresStore::open(options).await.unwrap());
    let rows = filled(&store, &ids).await;
    let (own, numbers) = (Arc::clone(&store), Arc::clone(&ids));
    callers("postgres_whole_stoa", CALLERS, seconds, move |caller, number| {
        let (store, cx) = (Arc::clone(&own), context(caller));
        let commit = whole(numbers.as_ref(), &cx, number as i64);
        async move { drop(store.commit(&cx, commit).await.unwrap()) }
    })
    .await;
    database.sql("ANALYZE");
    reads("postgres", Arc::clone(&store), Arc::clone(&rows), 16, seconds).await;
    plain_postgres(&database.url(), rows, seconds).await;
    println!("postgres_url {}", database.url());
    peer(&database.url(), seconds);
}

/// The plain driver: one statement, prepared once, on sixteen connections.
async fn plain_postgres(url: &str, ids: Arc<Vec<i64>>, seconds: f64) {
    let columns = "id, organization_id, code, number, flag, note, bytes, document::text, seen, person, secret, version";
    for (name, rest) in [("point", "id = $2"), ("page", "id > $2 ORDER BY id LIMIT 21")] {
        let mut clients = Vec::new();
        for _ in 0..16 {
            // As the owner of the server: without row-level security, which is part of what is compared.
            let (client, connection) = tokio_postgres::connect(&url.replace("stoa@", "postgres@"), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let statement = client.prepare(&format!("SELECT {columns} FROM specimens WHERE organization_id = $1 AND {rest}")).await.unwrap();
            clients.push((client, statement));
        }
        let (clients, ids) = (Arc::new(clients), Arc::clone(&ids));
        callers(&format!("postgres_{name}_plain"), 16, seconds, move |caller, number| {
            let (clients, id) = (Arc::clone(&clients), ids[(caller + number * 7) as usize % ids.len()]);
            async move {
                let (client, statement) = &clients[caller as usize];
                let rows = client.query(statement, &[&1i64, &id]).await.unwrap();
                for row in rows {
                    let document: String = row.get(7);
                    let _: (i64, String, Option<String>, serde_json::Value) =
                        (row.get(0), row.get(2), row.get(5), serde_json::from_str(&document).unwrap());
                }
            }
        })
        .await;
    }
}

/// The peer is another program, since both bring SQLite.
fn peer(url: &str, seconds: f64) {
    let path = std::env::args().nth(2).expect("the peer's path");
    let status = std::process::Command::new(path).args([url, &seconds.to_string()]).status().unwrap();
    assert!(status.success());
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let server = Arc::new(Postgres::start(true));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(sqlite(seconds));
    runtime.block_on(postgres(seconds, &server));
    let _keep = Mutex::new(());
}
