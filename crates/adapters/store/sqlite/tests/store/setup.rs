//! Fresh stores.
use std::path::Path;
use std::sync::Arc;

use stoa_conformance::{SPECIMENS_SQLITE, Subject, everything};
use stoa_runtime::clock::SystemClock;
use stoa_runtime::ids::NodeIds;
use stoa_store::Registry;
use stoa_store::migrations::{ALL, Migration};
use stoa_store::seal::{MasterKeys, Vault};
use stoa_store_sqlite::{Options, SqliteStore};

/// The migrations of the platform, and the table of specimens.
pub(crate) fn migrations() -> &'static [Migration] {
    let next = i64::try_from(ALL.len()).unwrap() + 1;
    let specimens = Migration { number: next, name: "specimens", sqlite: SPECIMENS_SQLITE, postgres: "" };
    Box::leak([ALL, &[specimens]].concat().into_boxed_slice())
}

pub(crate) const MASTER: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub(crate) fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        readers: 4,
        registry: Registry::with(&everything()),
        vault: Arc::new(Vault::new(MasterKeys::parse(MASTER).unwrap())),
        ids: Arc::new(NodeIds::fixed(Arc::new(SystemClock), 1).unwrap()),
        clock: Arc::new(SystemClock),
        migrations: migrations(),
        committed: Arc::new(|| {}),
    }
}

pub(crate) async fn fresh() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    subject(options(folder.path()), Box::new(folder))
}

pub(crate) fn subject(options: Options, keep: Box<dyn std::any::Any + Send + Sync>) -> Subject {
    let (ids, clock) = (Arc::clone(&options.ids), Arc::clone(&options.clock));
    let store = Arc::new(SqliteStore::open(options).unwrap());
    Subject::of(&store, clock, ids, keep)
}
