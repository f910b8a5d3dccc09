//! A database of an earlier version, with data in every table that it had, is of use to this one.

use std::collections::BTreeMap;

use stoa_identity::Email;
use stoa_identity::organization::{self, Created, Draft, Organization, Slug, State};
use stoa_kernel::clock::Micros;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::audit::Verifier;
use stoa_kernel::store::{Commit, Decided, Idempotency, Job, Json, Personal, Record, RecordMeta, Reply};

use crate::{Specimen, Subject};

/// What was written, to be found again.
#[derive(Debug)]
pub struct Written {
    pub(crate) organization: Organization,
    key: String,
}

/// What an organization was before migration 3.
#[derive(Debug, Record)]
#[record(table = "organizations", entity = "organization", tenant = id, version = version,
         unique(organizations_slug_key = slug))]
pub struct Before3 {
    /// As it is now, and so is everything else.
    #[record(key)]
    pub id: OrganizationId,
    #[expect(missing_docs, reason = "as it is now")]
    pub slug: Slug,
    #[record(plain)]
    #[expect(missing_docs, reason = "as it is now")]
    pub name: String,
    #[record(encrypted, subject = "the contact of the organization", about = "as it is now")]
    #[expect(missing_docs, reason = "as it is now")]
    pub contact_email: Option<Personal<Email>>,
    #[record(plain)]
    #[expect(missing_docs, reason = "as it is now")]
    pub settings: Json<BTreeMap<String, String>>,
    #[expect(missing_docs, reason = "as it is now")]
    pub state: State,
    #[expect(missing_docs, reason = "as it is now")]
    pub version: i64,
    #[expect(missing_docs, reason = "as it is now")]
    pub created_at: Micros,
    #[expect(missing_docs, reason = "as it is now")]
    pub updated_at: Micros,
}

/// Tables that came later than the context that they belong to, and with which migration.
const SINCE: &[(usize, &[&str])] = &[
    (4, &["finished_jobs", "queues", "job_holds"]),
    (5, &["schedules", "schedule_clocks"]),
    (6, &["workflow_runs", "workflow_steps", "workflow_signals"]),
    (7, &["event_cursors", "processed_events"]),
    (
        8,
        &[
            "webhook_endpoints",
            "webhook_states",
            "webhook_deliveries",
            "webhook_attempts",
            "hook_sources",
            "hooks",
        ],
    ),
    (9, &["notifications", "notification_deliveries", "notification_preferences", "notification_settings"]),
    (10, &["projections", "activity"]),
];

/// The records that there were after so many migrations.
#[must_use]
pub fn records(migrations: usize) -> Vec<&'static RecordMeta> {
    let identity = if migrations < 3 { &[Before3::META] } else { stoa_identity::RECORDS };
    let since = |record: &&&RecordMeta| {
        let since = SINCE.iter().find(|(_, tables)| tables.contains(&record.table));
        since.is_none_or(|(since, _)| migrations >= *since)
    };
    identity
        .iter()
        .chain(stoa_jobs::RECORDS)
        .chain(stoa_workflow::RECORDS)
        .chain(stoa_outbox::RECORDS)
        .chain(stoa_messaging::RECORDS)
        .filter(since)
        .copied()
        .collect()
}

/// The records of now, and [`Specimen`].
#[must_use]
pub fn everything() -> Vec<&'static RecordMeta> {
    let mut all = records(usize::MAX);
    all.push(Specimen::META);
    all
}

/// The same organization, as it was written before migration 3.
fn before_3(now: &Organization) -> Commit {
    let old = Before3 {
        id: now.id,
        slug: now.slug.clone(),
        name: now.name.clone(),
        contact_email: now.contact_email.clone(),
        settings: now.settings.clone(),
        state: now.state,
        version: now.version,
        created_at: now.created_at,
        updated_at: now.updated_at,
    };
    Commit::new().insert(&old).event(&Created::of(now))
}

/// Writes something into every table that there was after so many migrations.
///
/// # Panics
/// When the store refuses.
pub async fn write(subject: &Subject, slug: &str, migrations: usize) -> Written {
    let cx = subject.system();
    let (value, mut commit) = organization(subject, slug);
    if migrations < 3 {
        commit = before_3(&value);
    }
    let once = Idempotency {
        key: slug.to_owned(),
        fingerprint: [3; 32],
        reply: Reply { status: 201, headers: Vec::new(), body: "an answer".to_owned() },
        expires: subject.clock.now().plus(60_000_000),
    };
    let job = Job { ..Job::new("default", "test.work", "{}".to_owned()) };
    // What is written here is as the fourth version has jobs.
    let commit = if migrations < 4 { commit } else { commit.job(job) };
    subject.store.commit(&cx, commit.once(once)).await.unwrap();
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
    let Decided { value, commit } = organization::create(
        draft,
        stoa_identity::plan::Plan::Unlimited,
        subject.ids.as_ref(),
        subject.clock.as_ref(),
    )
    .unwrap();
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
    write(subject, &format!("{}-later", written.key), usize::MAX).await;
}
