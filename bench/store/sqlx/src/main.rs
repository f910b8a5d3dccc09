//! The peer: `sqlx` doing the same whole change in interactive transactions, as a careful application would write it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::Row as _;

const CALLERS: i64 = 100;
const ORGANIZATIONS: i64 = 20;

const TABLES: &str = include_str!("../../../../migrations/sqlite/0001_foundation.sql");
const SPECIMENS: &str = "CREATE TABLE specimens (id INTEGER NOT NULL PRIMARY KEY, organization_id INTEGER NOT NULL, code TEXT NOT NULL, number INTEGER NOT NULL,
    flag INTEGER NOT NULL, note TEXT, bytes BLOB, document TEXT NOT NULL, seen INTEGER, person TEXT, secret BLOB, version INTEGER NOT NULL,
    CONSTRAINT specimens_code_key UNIQUE (organization_id, code)) STRICT;
    CREATE INDEX specimens_organization_id ON specimens (organization_id, id);";

async fn callers<F, W>(name: &str, seconds: f64, work: W)
where
    W: Fn(i64) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let work = Arc::new(work);
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let work = Arc::clone(&work);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < limit {
                    let begun = Instant::now();
                    work(caller).await;
                    latencies.push(begun.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    let p99 = all.get(all.len() * 99 / 100).copied().unwrap_or_default();
    println!("{name} {:.0} {}", all.len() as f64 / start.elapsed().as_secs_f64(), p99.as_micros());
}

async fn sqlite(seconds: f64) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("peer.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(60));
    // One connection writes: SQLite has one writer, and more only wait for each other's locks.
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(60)).connect_with(options).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
    sqlx::raw_sql(SPECIMENS).execute(&pool).await.unwrap();
    let next = Arc::new(AtomicI64::new(1));
    callers("sqlite_whole_sqlx", seconds, move |caller| {
        let (pool, id, organization) = (pool.clone(), next.fetch_add(1, Ordering::Relaxed), caller % ORGANIZATIONS + 1);
        async move {
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
            sqlx::query("INSERT INTO specimens VALUES (?1, ?2, ?3, 5, 1, 'a note of some length, as people write them', NULL, '{\"a\":1,\"b\":\"two\"}', NULL, NULL, NULL, 1)")
                .bind(id).bind(organization).bind(id.to_string()).execute(&mut *transaction).await.unwrap();
            let stream = format!("specimen/s{}", id / 20 % 50);
            let head: i64 = sqlx::query("INSERT INTO streams VALUES (?1, ?2, 1, 1) ON CONFLICT DO UPDATE SET head = head + 1 RETURNING head")
                .bind(organization).bind(&stream).fetch_one(&mut *transaction).await.unwrap().get(0);
            sqlx::query("INSERT INTO events VALUES (?1, ?1, ?2, ?3, 1, ?4, 1, 'specimen.noted', 1, '{\"kind\":\"system\"}', 'specimen', ?3, NULL, NULL, NULL, '{}')")
                .bind(id).bind(organization).bind(&stream).bind(head).execute(&mut *transaction).await.unwrap();
            let head = sqlx::query("SELECT sequence FROM audit_heads WHERE organization_id = ?1").bind(organization).fetch_optional(&mut *transaction).await.unwrap();
            let sequence = head.map_or(0, |row| row.get::<i64, _>(0)) + 1;
            let hash = vec![7u8; 32];
            sqlx::query("INSERT INTO audit_entries VALUES (?1, ?2, ?3, 1, 'system', 'specimen.created', 'specimen', ?5, 'req_0000000000001', '[{\"op\":\"add\",\"path\":\"/code\"}]', ?4)")
                .bind(organization).bind(sequence).bind(id).bind(&hash).bind(id.to_string()).execute(&mut *transaction).await.unwrap();
            sqlx::query("INSERT INTO audit_heads VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash")
                .bind(organization).bind(sequence).bind(&hash).execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
        }
    })
    .await;
}

async fn postgres(url: &str, seconds: f64) {
    let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(60)).connect(url).await.unwrap();
    for organization in 1..=ORGANIZATIONS {
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query("SELECT set_config('stoa.organization', $1, true)").bind(organization.to_string()).execute(&mut *transaction).await.unwrap();
        sqlx::query("INSERT INTO audit_heads VALUES ($1, 0, $2) ON CONFLICT DO NOTHING").bind(organization).bind(vec![0u8; 32]).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let next = Arc::new(AtomicI64::new(1 << 40));
    callers("postgres_whole_sqlx", seconds, move |caller| {
        let (pool, id, organization) = (pool.clone(), next.fetch_add(1, Ordering::Relaxed), caller % ORGANIZATIONS + 1);
        async move {
            let mut transaction = pool.begin().await.unwrap();
            sqlx::query("SELECT set_config('stoa.organization', $1, true)").bind(organization.to_string()).execute(&mut *transaction).await.unwrap();
            sqlx::query("INSERT INTO specimens VALUES ($1, $2, $3, 5, true, 'a note of some length, as people write them', NULL, '{\"a\":1,\"b\":\"two\"}', NULL, NULL, NULL, 1)")
                .bind(id).bind(organization).bind(id.to_string()).execute(&mut *transaction).await.unwrap();
            let head = sqlx::query("SELECT sequence, hash FROM audit_heads WHERE organization_id = $1 FOR UPDATE")
                .bind(organization).fetch_optional(&mut *transaction).await.unwrap();
            let sequence = head.map_or(0, |row| row.get::<i64, _>(0)) + 1;
            let hash = vec![7u8; 32];
            sqlx::query("INSERT INTO audit_heads VALUES ($1, $2, $3) ON CONFLICT (organization_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash")
                .bind(organization).bind(sequence).bind(&hash).execute(&mut *transaction).await.unwrap();
            sqlx::query("INSERT INTO audit_entries VALUES ($1, $2, $3, 1, 'system', 'specimen.created', 'specimen', $5, 'req_0000000000001', '[{\"op\":\"add\",\"path\":\"/code\"}]', $4)")
                .bind(organization).bind(sequence).bind(id).bind(&hash).bind(id.to_string()).execute(&mut *transaction).await.unwrap();
            let stream = format!("specimen/s{}", id / 20 % 50);
            let head: i64 = sqlx::query("INSERT INTO streams AS s VALUES ($1, $2, 1, 1) ON CONFLICT (organization_id, stream) DO UPDATE SET head = s.head + 1 RETURNING head")
                .bind(organization).bind(&stream).fetch_one(&mut *transaction).await.unwrap().get(0);
            sqlx::query("INSERT INTO events VALUES ($1, NULL, $2, $3, 1, $4, 1, 'specimen.noted', 1, '{\"kind\":\"system\"}', 'specimen', $3, NULL, NULL, NULL, '{}')")
                .bind(id).bind(organization).bind(&stream).bind(head).execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
        }
    })
    .await;
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (url, seconds) = (arguments.next().unwrap(), arguments.next().unwrap().parse().unwrap());
    sqlite(seconds).await;
    postgres(&url, seconds).await;
}
