//! Fresh stores.
use std::sync::Arc;
use std::time::Duration;

use stoa_conformance::{SPECIMENS_POSTGRES, Subject, everything};
use stoa_harness::{Database, PgBouncer, Postgres};
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;
use stoa_store::Registry;
use stoa_store::migrations::{ALL, Migration};
use stoa_store::seal::{MasterKeys, Vault};
use stoa_store_postgres::{MigrateOptions, Options, PostgresStore, migrate};

/// The migrations of the platform, and the table of specimens.
pub(crate) fn migrations() -> &'static [Migration] {
    let next = i64::try_from(ALL.len()).unwrap() + 1;
    let specimens = Migration { number: next, name: "specimens", sqlite: "", postgres: SPECIMENS_POSTGRES };
    Box::leak([ALL, &[specimens]].concat().into_boxed_slice())
}

pub(crate) fn database() -> Database {
    Postgres::shared().database("store", |owner_url| {
        let migrations = migrations();
        let owner_url = owner_url.to_owned();
        let work = async move {
            let options = MigrateOptions {
                owner_url: &owner_url,
                ca_file: None,
                runtime_role: "stoa",
                migrations,
                clock: &SystemClock,
            };
            migrate(options).await.unwrap();
        };
        // A thread of its own: the test's runtime must not wait for itself.
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        })
        .join()
        .unwrap();
    })
}

pub(crate) fn options(url: String) -> Options {
    Options {
        url,
        ca_file: None,
        connections: 10,
        prepared: true,
        notifications: true,
        statement_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        registry: Registry::with(&everything()),
        vault: Arc::new(Vault::new(
            MasterKeys::parse("test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
                .unwrap(),
        )),
        ids: Arc::new(NodeIds::fixed(Arc::new(SystemClock), 1).unwrap()),
        clock: Arc::new(SystemClock),
        migrations: migrations(),
        committed: Arc::new(|| {}),
    }
}

pub(crate) async fn subject(options: Options, keep: Box<dyn std::any::Any + Send + Sync>) -> Subject {
    let (ids, clock) = (Arc::clone(&options.ids), Arc::clone(&options.clock));
    let store = Arc::new(PostgresStore::open(options).await.unwrap());
    Subject::of(&store, clock, ids, keep)
}

pub(crate) async fn fresh() -> Subject {
    let database = database();
    subject(options(database.url()), Box::new(database)).await
}

pub(crate) async fn behind_a_pooler() -> Subject {
    let database = database();
    let pooler = PgBouncer::before(database.server().port());
    let options = Options { prepared: false, notifications: false, ..options(pooler.url(database.name())) };
    subject(options, Box::new((pooler, database))).await
}
