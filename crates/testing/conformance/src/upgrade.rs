//! A database of an earlier version, with data in every table that it had, is of use to this one.

use std::collections::BTreeMap;

use stoa_identity::organization::{self, Draft, Organization};
use stoa_kernel::store::audit::Verifier;
use stoa_kernel::store::{Commit, Decided, Idempotency, Job, Priority, Reply};

use crate::Subject;

/// What was written, to be found again.
#[derive(Debug)]
pub struct Written {
    pub(crate) organization: Organization,
    key: String,
}

/// Writes something into every table.
///
/// # Panics
/// When the store refuses.
pub async fn write(subject: &Subject, slug: &str) -> Written {
    let cx = subject.system();
    let (value, commit) = organization(subject, slug);
    let once = Idempotency {
        key: slug.to_owned(),
        fingerprint: [3; 32],
        reply: Reply { status: 201, headers: Vec::new(), body: "an answer".to_owned() },
        expires: subject.clock.now().plus(60_000_000),
    };
    let job = Job {
        queue: "default",
        kind: "test.work",
        payload: "{}".to_owned(),
        priority: Priority::Normal,
        run_at: None,
        order_key: None,
        dedupe_key: None,
    };
    subject.store.commit(&cx, commit.once(once).job(job)).await.unwrap();
    subject.sequenced().await;
    subject.leases.acquire("kept", slug, 1).await.unwrap();
    Written { organization: value, key: slug.to_owned() }
}

/// An organization with something sealed, and the commit that makes it.
pub(crate) fn organization(subject: &Subject, slug: &str) -> (Organization, Commit) {
    let draft = Draft {
        slug: slug.parse().unwrap(),
        name: "Of an earlier version".to_owned(),
        contact_email: Some("a@example.org".parse().unwrap()),
        settings: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    };
    let Decided { value, commit } =
        organization::create(draft, subject.ids.as_ref(), subject.clock.as_ref()).unwrap();
    (value, commit)
}

/// Finds all of it, and goes on.
///
/// # Panics
/// When something is not there, or not as it was.
pub async fn read(subject: &Subject, written: &Written) {
    let cx = subject.system();
    let found = organization::by_slug(subject.store.as_ref(), &cx, &written.organization.slug).await.unwrap();
    assert_eq!(found, written.organization);
    let replayed = subject.store.replayed(&cx, &written.key).await.unwrap().unwrap();
    assert_eq!(replayed.reply.body, "an answer");
    assert!(subject.log.head().await.unwrap() >= 1);
    for (organization, head, hash) in subject.trail.trails().await.unwrap() {
        let mut verifier = Verifier::default();
        for entry in subject.trail.entries_after(organization, 0, 10_000).await.unwrap() {
            verifier.take(&entry).unwrap();
        }
        verifier.finish(head, &hash).unwrap();
    }
    write(subject, &format!("{}-later", written.key)).await;
}
