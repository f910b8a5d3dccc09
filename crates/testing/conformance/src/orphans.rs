//! A data key that was made for an organization whose making was refused does not stay for ever; those in use do.

use stoa_identity::organization::by_slug;
use stoa_kernel::clock::Manual;
use stoa_kernel::store::StoreErrorKind;

use crate::Subject;
use crate::upgrade::{organization, write};

const DAY_US: i64 = 86_400_000_000;

/// Makes an organization, is refused another with its slug, and looks what is left a day later. `clock` is that of the subject.
///
/// # Panics
/// When a key is kept or removed that should not be.
pub async fn are_removed_after_a_day(subject: &Subject, clock: &Manual) {
    let cx = subject.system();
    let written = write(subject, "kept", usize::MAX).await;
    let (_, refused) = organization(subject, "kept");
    let refused = subject.store.commit(&cx, refused).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Duplicate);
    assert_eq!(
        subject.keyring.rotate().await.unwrap(),
        3,
        "of the organization, the refused one, the installation"
    );
    assert_eq!(subject.upkeep.purge_expired(100).await.unwrap(), 0, "its commit might be under way");
    clock.advance(DAY_US + 1);
    while subject.upkeep.purge_expired(100).await.unwrap() > 0 {}
    assert_eq!(subject.keyring.rotate().await.unwrap(), 2, "the refused one's keys are gone");
    let found = by_slug(subject.store.as_ref(), &cx, &written.organization.slug).await.unwrap();
    assert_eq!(found, written.organization, "what is in use still opens");
}
