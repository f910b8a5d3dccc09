use std::collections::BTreeMap;

use stoa_kernel::random::{Random as _, SplitMix64};
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

/// Random selects and commits of two organizations, against what each should hold.
pub async fn nothing_ever_crosses_between_two_organizations(subject: Subject) {
    let sides = [subject.organization(), subject.organization()];
    let mut held: [BTreeMap<String, Specimen>; 2] = Default::default();
    let mut random = SplitMix64::seeded(2026);
    for step in 0..400 {
        let own = usize::from(random.below(2) == 1);
        let (cx, other) = (&sides[own], 1 - own);
        let mut pick = |from: &BTreeMap<String, Specimen>| {
            let at = random.below(from.len() as u64);
            from.values().nth(usize::try_from(at).unwrap()).cloned()
        };
        let (mine, foreign) = (pick(&held[own]), pick(&held[other]));
        match (random.below(6), mine, foreign) {
            (0 | 1, ..) => {
                let code = format!("c{}", random.below(60));
                let record = specimen(&subject, cx, &code);
                let done = subject.store.commit(cx, Commit::new().insert(&record)).await;
                assert_eq!(done.is_ok(), !held[own].contains_key(&code), "step {step}");
                held[own].entry(code).or_insert(record);
            }
            (2, Some(mine), _) => {
                let next = changed(&mine, step);
                subject.store.commit(cx, Commit::new().update(&mine, &next)).await.unwrap();
                held[own].insert(next.code.clone(), next);
            }
            (3, Some(mine), _) => {
                subject.store.commit(cx, Commit::new().delete(&mine)).await.unwrap();
                held[own].remove(&mine.code);
            }
            (4, _, Some(foreign)) => {
                let disguised = Specimen { organization_id: cx.scope.number(), ..foreign.clone() };
                for record in [&foreign, &disguised] {
                    let commits =
                        [Commit::new().update(record, &changed(record, step)), Commit::new().delete(record)];
                    for commit in commits {
                        assert!(subject.store.commit(cx, commit).await.is_err(), "step {step}");
                    }
                }
            }
            (_, _, foreign) => {
                let mut query = Specimen::select().prefix(Specimen::CODE, "c");
                if let Some(foreign) = foreign {
                    query = match random.below(3) {
                        0 => query.eq(Specimen::ID, &foreign.id),
                        1 => query.eq(Specimen::ORGANIZATION_ID, &foreign.organization_id),
                        _ => query.eq(Specimen::CODE, &foreign.code),
                    };
                }
                let found = subject.store.list(cx, query).await.unwrap();
                assert!(
                    found.iter().all(|record| held[own].get(&record.code) == Some(record)),
                    "step {step}"
                );
            }
        }
    }
    for (cx, held) in sides.iter().zip(&held) {
        assert_eq!(all(&subject, cx).await, held.values().cloned().collect::<Vec<_>>());
    }
}
