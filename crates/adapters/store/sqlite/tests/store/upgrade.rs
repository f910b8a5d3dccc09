//! Data of every earlier version is of use to this one; applying twice is applying once.

use std::sync::Arc;

use stoa_conformance::orphans::are_removed_after_a_day;
use stoa_conformance::upgrade::{read, records, write};
use stoa_kernel::clock::{Clock as _, Manual};
use stoa_runtime::clock::SystemClock;
use stoa_store::Registry;
use stoa_store::migrations::ALL;
use stoa_store_sqlite::Options;

use crate::setup;

#[tokio::test]
async fn data_of_every_earlier_version_is_kept() {
    for earlier in 1..=ALL.len() {
        let folder = tempfile::tempdir().unwrap();
        let options = |count: usize| Options {
            migrations: &ALL[..count],
            registry: Registry::with(&records(count)),
            ..setup::options(folder.path())
        };
        let written = write(&setup::subject(options(earlier), Box::new(())), "kept", earlier).await;
        let upgraded = setup::subject(options(ALL.len()), Box::new(()));
        read(&upgraded, &written).await;
        drop(upgraded);
        let again = setup::subject(options(ALL.len()), Box::new(()));
        assert!(again.log.head().await.unwrap() >= 2, "applying twice is applying once");
    }
}

#[tokio::test]
async fn keys_of_organizations_that_were_refused_are_removed_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Manual::at(SystemClock.now()));
    let options = Options {
        clock: clock.clone(),
        registry: Registry::with(&records(ALL.len())),
        ..setup::options(folder.path())
    };
    are_removed_after_a_day(&setup::subject(options, Box::new(folder)), &clock).await;
}
