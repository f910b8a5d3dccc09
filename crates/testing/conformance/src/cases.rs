//! The cases. Every one works with two organizations.

pub mod caches;
mod consumers;
mod events;
mod jobs;
pub mod limits;
mod projections;
mod records;
mod schedules;
mod scopes;
pub mod signals;
mod upkeep;
mod workflows;

pub use consumers::*;
pub use events::*;
pub use jobs::*;
pub use projections::*;
pub use records::*;
pub use schedules::*;
pub use scopes::*;
pub use upkeep::*;
pub use workflows::*;

use serde_json::json;
use stoa_kernel::context::Context;
use stoa_kernel::store::{Commit, Json, Personal, StoreError, StoreErrorKind};

use crate::{Noted, Specimen, Subject};

fn specimen(subject: &Subject, cx: &Context, code: &str) -> Specimen {
    Specimen {
        id: subject.ids.next().unwrap(),
        organization_id: cx.scope.number(),
        code: code.to_owned(),
        number: 1,
        flag: true,
        note: None,
        bytes: None,
        document: Json(json!({"a": [1, null, "x"]})),
        seen: None,
        person: Some(Personal("canary-person".to_owned())),
        secret: Some(Personal("canary-secret".to_owned())),
        version: 1,
    }
}

fn changed(specimen: &Specimen, number: i64) -> Specimen {
    Specimen { number, version: specimen.version + 1, ..specimen.clone() }
}

fn noted(stream: &str, number: i64) -> Noted {
    Noted { stream: stream.to_owned(), number }
}

async fn insert(subject: &Subject, cx: &Context, code: &str) -> Specimen {
    let specimen = specimen(subject, cx, code);
    subject.store.commit(cx, Commit::new().insert(&specimen)).await.unwrap();
    specimen
}

async fn all(subject: &Subject, cx: &Context) -> Vec<Specimen> {
    use stoa_kernel::store::Record as _;
    subject.store.list(cx, Specimen::select().ascending(Specimen::CODE)).await.unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(
    result: Result<T, StoreError>,
    kind: StoreErrorKind,
    constraint: Option<&str>,
) {
    let error = result.expect_err("it is refused");
    assert_eq!((error.kind, error.constraint.as_deref()), (kind, constraint), "{error}");
}
