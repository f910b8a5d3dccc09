use stoa_kernel::store::{Commit, Record as _, StoreErrorKind};

use super::{all, changed, insert, noted, refused, specimen};
use crate::{Specimen, Subject};

pub async fn a_reader_sees_its_own_organization_alone(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let (own, foreign) = (insert(&subject, &cx, "own").await, insert(&subject, &other, "foreign").await);
    assert_eq!(all(&subject, &cx).await, [own]);
    let by_id = Specimen::select().eq(Specimen::ID, &foreign.id);
    assert_eq!(subject.store.find(&cx, by_id).await.unwrap(), None);
    let by_organization = Specimen::select().eq(Specimen::ORGANIZATION_ID, &other.scope.number());
    assert_eq!(subject.store.count(&cx, by_organization).await.unwrap(), 0);
    assert_eq!(subject.store.count(&cx, Specimen::select()).await.unwrap(), 1);
    subject.store.commit(&cx, Commit::new().event(&noted("own", 1))).await.unwrap();
    subject.store.commit(&other, Commit::new().event(&noted("foreign", 1))).await.unwrap();
    subject.sequenced().await;
    let seen = subject.log.events_after(cx.scope, 0, 10, &Default::default()).await.unwrap();
    assert_eq!(seen.iter().map(|event| event.aggregate.id.as_str()).collect::<Vec<_>>(), ["own"]);
}

pub async fn an_organization_cannot_write_for_another(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let foreign = insert(&subject, &other, "foreign").await;
    for commit in [
        Commit::new().insert(&specimen(&subject, &other, "planted")),
        Commit::new().update(&foreign, &changed(&foreign, 2)),
        Commit::new().delete(&foreign),
    ] {
        refused(subject.store.commit(&cx, commit).await, StoreErrorKind::Invalid, None);
    }
    // Moving a record to another organization would be changing its key.
    let own = insert(&subject, &cx, "own").await;
    let moved = Specimen { organization_id: other.scope.number(), ..changed(&own, 2) };
    refused(
        subject.store.commit(&cx, Commit::new().update(&own, &moved)).await,
        StoreErrorKind::Invalid,
        None,
    );
    // A record that claims to be its own, with the key of another's.
    let disguised = Specimen { organization_id: cx.scope.number(), ..foreign.clone() };
    let commit = Commit::new().update(&disguised, &changed(&disguised, 9));
    refused(subject.store.commit(&cx, commit).await, StoreErrorKind::Conflict, Some("specimens_version"));
    let guarded = Commit::new().unchanged(&disguised);
    refused(subject.store.commit(&cx, guarded).await, StoreErrorKind::Conflict, Some("specimens_version"));
    assert_eq!(all(&subject, &other).await, [foreign]);
}

pub async fn the_system_sees_every_organization(subject: Subject) {
    let (cx, other, system) = (subject.organization(), subject.organization(), subject.system());
    let (a, b) = (insert(&subject, &cx, "a").await, insert(&subject, &other, "b").await);
    assert_eq!(all(&subject, &system).await, [a.clone(), b]);
    assert_eq!(subject.store.count(&system, Specimen::select()).await.unwrap(), 2);
    let after = changed(&a, 7);
    subject.store.commit(&system, Commit::new().update(&a, &after)).await.unwrap();
    assert_eq!(all(&subject, &cx).await, [after]);
    let entries = subject.trail.entries_after(cx.scope.number(), 0, 10).await.unwrap();
    assert_eq!(entries.len(), 2, "a change by the system is in the trail of the organization");
}
