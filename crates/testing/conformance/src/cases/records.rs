use serde_json::json;
use stoa_kernel::clock::Micros;
use stoa_kernel::store::{Commit, Json, PageRequest, Personal, Record as _, StoreErrorKind, Value};

use super::{all, changed, insert, noted, refused, specimen};
use crate::{Specimen, Subject};

pub async fn records_of_every_kind_read_back(subject: Subject) {
    let cx = subject.organization();
    let mut full = specimen(&subject, &cx, "full");
    (full.note, full.bytes, full.seen) =
        (Some("Zürich \u{1F600}".to_owned()), Some(vec![0, 1, 255]), Some(Micros(-5)));
    let mut bare = specimen(&subject, &cx, "bare");
    (bare.person, bare.secret, bare.flag) = (None, None, false);
    subject.store.commit(&cx, Commit::new().insert(&full).insert(&bare)).await.unwrap();
    assert_eq!(all(&subject, &cx).await, [bare.clone(), full.clone()]);
    let found = subject.store.find(&cx, Specimen::select().eq(Specimen::ID, &full.id)).await.unwrap();
    assert_eq!(found, Some(full));
}

pub async fn extreme_values_read_back(subject: Subject) {
    let cx = subject.organization();
    let documents = [
        json!(null),
        json!([]),
        json!({}),
        json!("a\u{7f}\"\\"),
        json!(9_007_199_254_740_993_i64),
        json!({"z": 1, "a": 2}),
    ];
    for (index, (number, document)) in
        [i64::MIN, i64::MAX, 0, -1, 1, 1 << 53].into_iter().zip(documents).enumerate()
    {
        let mut extreme = specimen(&subject, &cx, &format!("e{index}"));
        (extreme.number, extreme.document, extreme.seen) = (number, Json(document), Some(Micros(number)));
        extreme.note = Some(["", " ", "a\nb", "\u{10FFFF}", "'; --", "%_"][index].to_owned());
        extreme.bytes = Some(vec![u8::try_from(index).unwrap(); index * 1_000]);
        extreme.secret = Some(Personal("ß".repeat(index * 5_000)));
        subject.store.commit(&cx, Commit::new().insert(&extreme)).await.unwrap();
        let found = subject.store.find(&cx, Specimen::select().eq(Specimen::ID, &extreme.id)).await.unwrap();
        assert_eq!(found, Some(extreme));
    }
}

pub async fn a_stale_version_is_refused_and_changes_nothing(subject: Subject) {
    let cx = subject.organization();
    let first = insert(&subject, &cx, "a").await;
    let second = changed(&first, 2);
    subject.store.commit(&cx, Commit::new().update(&first, &second)).await.unwrap();
    let late = Commit::new().update(&first, &changed(&first, 3)).event(&noted("late", 1));
    refused(subject.store.commit(&cx, late).await, StoreErrorKind::Conflict, Some("specimens_version"));
    refused(
        subject.store.commit(&cx, Commit::new().delete(&first)).await,
        StoreErrorKind::Conflict,
        Some("specimens_version"),
    );
    assert_eq!(all(&subject, &cx).await, [second]);
    subject.sequenced().await;
    assert_eq!(subject.log.head().await.unwrap(), 0, "a refused commit tells nothing");
}

pub async fn of_two_changes_from_one_version_one_wins(subject: Subject) {
    let cx = subject.organization();
    let mut current = insert(&subject, &cx, "a").await;
    for round in 0..20 {
        let (one, two) = (changed(&current, round * 2), changed(&current, round * 2 + 1));
        let (a, b) = tokio::join!(
            subject.store.commit(&cx, Commit::new().update(&current, &one)),
            subject.store.commit(&cx, Commit::new().update(&current, &two)),
        );
        assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "round {round}: {a:?} {b:?}");
        current = if a.is_ok() { one } else { two };
        assert_eq!(all(&subject, &cx).await, [current.clone()]);
    }
}

pub async fn a_record_that_is_gone_cannot_be_changed(subject: Subject) {
    let cx = subject.organization();
    let gone = insert(&subject, &cx, "a").await;
    subject.store.commit(&cx, Commit::new().delete(&gone)).await.unwrap();
    assert_eq!(all(&subject, &cx).await, []);
    for commit in [
        Commit::new().update(&gone, &changed(&gone, 2)),
        Commit::new().delete(&gone),
        Commit::new().unchanged(&gone),
    ] {
        refused(subject.store.commit(&cx, commit).await, StoreErrorKind::Conflict, Some("specimens_version"));
    }
}

pub async fn a_taken_key_is_named(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let first = insert(&subject, &cx, "a").await;
    let second = specimen(&subject, &cx, "a");
    refused(
        subject.store.commit(&cx, Commit::new().insert(&second)).await,
        StoreErrorKind::Duplicate,
        Some("specimens_code_key"),
    );
    let same_id = Specimen { code: "b".to_owned(), ..first };
    refused(
        subject.store.commit(&cx, Commit::new().insert(&same_id)).await,
        StoreErrorKind::Duplicate,
        Some("specimens_pkey"),
    );
    // The key of another organization is another key.
    insert(&subject, &other, "a").await;
}

pub async fn a_commit_is_applied_whole_or_not_at_all(subject: Subject) {
    let cx = subject.organization();
    let kept = insert(&subject, &cx, "kept").await;
    let (one, two) = (specimen(&subject, &cx, "one"), specimen(&subject, &cx, "kept"));
    let commit =
        Commit::new().insert(&one).update(&kept, &changed(&kept, 9)).event(&noted("s", 1)).insert(&two);
    refused(subject.store.commit(&cx, commit).await, StoreErrorKind::Duplicate, Some("specimens_code_key"));
    assert_eq!(all(&subject, &cx).await, std::slice::from_ref(&kept));
    subject.sequenced().await;
    assert_eq!(subject.log.head().await.unwrap(), 0);
    let entries = subject.trail.entries_after(cx.scope.number(), 0, 100).await.unwrap();
    assert_eq!(entries.len(), 1, "the first insert alone is in the trail");
    // Others that are committed at the same time are not touched by a refusal.
    let many =
        futures_util::future::join_all((0..50).map(|number| {
            let record = specimen(&subject, &cx, if number % 2 == 0 { "kept" } else { "fine" });
            let record = Specimen {
                code: format!(
                    "{}{}",
                    record.code,
                    if number % 2 == 0 { String::new() } else { number.to_string() }
                ),
                ..record
            };
            let (store, cx) = (subject.store.clone(), cx.clone());
            async move {
                store.commit(&cx, Commit::new().insert(&record).event(&noted("t", number))).await.is_ok()
            }
        }));
    let done: Vec<bool> = many.await;
    assert!(done.iter().enumerate().all(|(number, &done)| done == (number % 2 == 1)), "{done:?}");
    assert_eq!(all(&subject, &cx).await.len(), 26);
}

pub async fn a_commit_that_is_wrong_in_itself_is_refused(subject: Subject) {
    let cx = subject.organization();
    let first = insert(&subject, &cx, "a").await;
    let nul = Specimen { note: Some("a\0b".to_owned()), ..specimen(&subject, &cx, "nul") };
    let same_version = Specimen { number: 5, ..first.clone() };
    let other_key = Specimen { id: subject.ids.next().unwrap(), version: 2, ..first.clone() };
    for commit in [
        Commit::new().insert(&nul),
        Commit::new().update(&first, &same_version),
        Commit::new().update(&first, &other_key),
    ] {
        refused(subject.store.commit(&cx, commit).await, StoreErrorKind::Invalid, None);
    }
    assert_eq!(all(&subject, &cx).await, [first]);
}

pub async fn pages_show_every_record_once_in_every_order(subject: Subject) {
    let (cx, other) = (subject.organization(), subject.organization());
    let mut commit = Commit::new();
    for number in 0..45 {
        let record = specimen(&subject, &cx, &format!("c{number:03}"));
        commit = commit.insert(&Specimen { number: number % 7, ..record });
    }
    subject.store.commit(&cx, commit).await.unwrap();
    insert(&subject, &other, "foreign").await;
    let queries = [
        || Specimen::select(),
        || Specimen::select().ascending(Specimen::NUMBER),
        || Specimen::select().descending(Specimen::NUMBER),
        || Specimen::select().descending(Specimen::NUMBER).ascending(Specimen::CODE),
        || Specimen::select().ascending(Specimen::FLAG).descending(Specimen::CODE),
    ];
    for query in queries {
        let whole = subject.store.list(&cx, query()).await.unwrap();
        assert_eq!(whole.len(), 45);
        for limit in [1, 7, 44, 45, 100] {
            let (mut paged, mut after, mut inserted) = (Vec::new(), None, false);
            loop {
                let page = subject.store.page(&cx, query(), PageRequest { limit, after }).await.unwrap();
                assert!(page.items.len() <= limit as usize);
                paged.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
                // Something comes and goes between the pages.
                if !inserted && limit == 7 {
                    let passing = insert(&subject, &cx, "passing").await;
                    subject.store.commit(&cx, Commit::new().delete(&passing)).await.unwrap();
                    inserted = true;
                }
            }
            assert_eq!(paged, whole, "limit {limit}");
        }
    }
}

pub async fn every_condition_selects_what_it_says(subject: Subject) {
    let cx = subject.organization();
    let mut commit = Commit::new();
    for (code, number, note) in [
        ("a", 1, None),
        ("ab", 2, Some("")),
        ("abc", 3, Some("x")),
        ("b", 4, None),
        ("a\u{10FFFF}", 5, Some("y")),
        ("%", 6, None),
    ] {
        let record = specimen(&subject, &cx, code);
        commit =
            commit.insert(&Specimen { number, note: note.map(str::to_owned), flag: number > 3, ..record });
    }
    subject.store.commit(&cx, commit).await.unwrap();
    let select = Specimen::select;
    let none: [i64; 0] = [];
    for (query, expected) in [
        (select().eq(Specimen::NUMBER, &3), vec![3]),
        (select().eq(Specimen::NOTE, &None), vec![1, 4, 6]),
        (select().eq(Specimen::NOTE, &Some(String::new())), vec![2]),
        (select().not_null(Specimen::NOTE), vec![2, 3, 5]),
        (select().is_in(Specimen::NUMBER, &[2, 4, 9]), vec![2, 4]),
        (select().is_in(Specimen::NUMBER, &none), vec![]),
        (select().lt(Specimen::NUMBER, &3), vec![1, 2]),
        (select().le(Specimen::NUMBER, &3), vec![1, 2, 3]),
        (select().gt(Specimen::NUMBER, &4), vec![5, 6]),
        (select().ge(Specimen::NUMBER, &5), vec![5, 6]),
        (select().prefix(Specimen::CODE, "a"), vec![1, 2, 3, 5]),
        (select().prefix(Specimen::CODE, "ab"), vec![2, 3]),
        (select().prefix(Specimen::CODE, "%"), vec![6]),
        (select().prefix(Specimen::CODE, ""), vec![1, 2, 3, 4, 5, 6]),
        (select().prefix(Specimen::CODE, "a\u{10FFFF}"), vec![5]),
        (select().eq(Specimen::FLAG, &true).lt(Specimen::NUMBER, &6), vec![4, 5]),
        (select().descending(Specimen::NUMBER).limit(2), vec![6, 5]),
    ] {
        let query =
            if query.clone().build().order.len() > 1 { query } else { query.ascending(Specimen::NUMBER) };
        let found: Vec<i64> = subject
            .store
            .list(&cx, query.clone())
            .await
            .unwrap()
            .iter()
            .map(|record| record.number)
            .collect();
        assert_eq!(found, expected, "{query:?}");
        let count = subject.store.count(&cx, query.clone()).await.unwrap();
        let limited = query.build().limit.is_some();
        assert!(limited || count == i64::try_from(expected.len()).unwrap(), "{count}");
    }
    let sealed = select().eq(Specimen::SECRET, &Some(Personal("canary-secret".to_owned())));
    refused(subject.store.list(&cx, sealed).await, StoreErrorKind::Invalid, None);
}

pub async fn text_is_ordered_by_bytes_and_empty_is_not_null(subject: Subject) {
    let cx = subject.organization();
    let mut codes =
        ["", "B", "a", "Z", "ä", "z", "aa", "a b", "a-b", "\u{1F600}", "\u{FFFD}", "É", "e\u{301}"];
    let mut commit = Commit::new();
    for code in codes {
        let record = specimen(&subject, &cx, code);
        commit = commit.insert(&Specimen { note: Some(String::new()), ..record });
    }
    subject.store.commit(&cx, commit).await.unwrap();
    codes.sort_unstable();
    let found: Vec<String> = all(&subject, &cx).await.into_iter().map(|record| record.code).collect();
    assert_eq!(found, codes);
    assert!(all(&subject, &cx).await.iter().all(|record| record.note.as_deref() == Some("")));
    let place = Specimen::select().build().place(&all(&subject, &cx).await[0].values());
    assert!(matches!(place.as_slice(), [Value::Integer(_)]));
}
