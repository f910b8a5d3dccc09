//! Data of every earlier version is of use to this one; applying twice is applying once.

use std::sync::Arc;

use stoa_conformance::orphans::are_removed_after_a_day;
use stoa_conformance::upgrade::{read, records, write};
use stoa_harness::Postgres;
use stoa_kernel::clock::{Clock as _, Manual};
use stoa_runtime::clock::SystemClock;
use stoa_store::Registry;
use stoa_store::migrations::ALL;
use stoa_store_postgres::{MigrateOptions, Options, migrate};

use crate::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_every_earlier_version_is_kept() {
    for earlier in 1..=ALL.len() {
        let database = Postgres::shared().database("empty", |_| {});
        let owner_url = database.url().replace("stoa@", "stoa_owner@");
        let apply = async |count: usize| {
            let options = MigrateOptions {
                owner_url: &owner_url,
                ca_file: None,
                runtime_role: "stoa",
                migrations: &ALL[..count],
                clock: &SystemClock,
            };
            migrate(options).await.unwrap()
        };
        let options = |count: usize| Options {
            migrations: &ALL[..count],
            registry: Registry::with(&records(count)),
            ..setup::options(database.url())
        };
        assert_eq!(apply(earlier).await, earlier);
        let written = write(&setup::subject(options(earlier), Box::new(())).await, "kept", earlier).await;
        assert_eq!(apply(ALL.len()).await, ALL.len() - earlier);
        assert_eq!(apply(ALL.len()).await, 0, "applying twice is applying once");
        read(&setup::subject(options(ALL.len()), Box::new(())).await, &written).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_organizations_that_were_refused_are_removed_after_a_day() {
    let database = setup::database();
    let clock = Arc::new(Manual::at(SystemClock.now()));
    let options = Options {
        clock: clock.clone(),
        registry: Registry::with(&records(ALL.len())),
        ..setup::options(database.url())
    };
    are_removed_after_a_day(&setup::subject(options, Box::new(database)).await, &clock).await;
}
