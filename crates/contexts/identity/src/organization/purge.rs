//! Removes an organization with everything in it.

use stoa_kernel::clock::Clock;
use stoa_kernel::store::{Commit, Decided, Json};

use super::suspend::hold;
use super::{Error, Organization, PurgeBegun, Purged, State};

/// Decides that everything in an organization is to be removed; a job does it. `confirmation` is its slug, typed by a person.
///
/// # Errors
/// [`Error::WrongState`] when it is being removed already, [`Error::Invalid`].
pub fn purge(
    organization: &Organization,
    confirmation: &str,
    clock: &dyn Clock,
) -> Result<Decided<Organization>, Error> {
    if matches!(organization.state, State::Purging | State::Purged) {
        return Err(Error::WrongState {
            is: organization.state,
            wanted: "active, suspended or archived",
            verb: "purged",
        });
    }
    if confirmation != organization.slug.to_string() {
        let message = "type the slug of the organization to confirm that everything in it is to be removed";
        return Err(Error::Invalid(vec![("/confirmation", message.to_owned())]));
    }
    let changed = Organization { state: State::Purging, ..organization.next(clock.now()) };
    // The job that removes it is its own.
    let freed = match organization.state {
        State::Suspended | State::Archived => Commit::new().delete(&hold(organization)),
        _ => Commit::new(),
    };
    let commit = freed
        .update(organization, &changed)
        .event(&PurgeBegun::of(&changed))
        .job(crate::purge::job(organization.id))
        .action("organization.purge_begun");
    Ok(Decided { value: changed, commit })
}

/// What stays when everything is removed: the id, and that there was one.
pub fn purged(organization: &Organization, clock: &dyn Clock) -> Decided<Organization> {
    let mut changed = Organization {
        state: State::Purged,
        name: "purged".to_owned(),
        contact_email: None,
        settings: Json::default(),
        ..organization.next(clock.now())
    };
    // The name in addresses is free again.
    let digits = organization.id.to_string().replace("org_", "");
    changed.slug = format!("purged-{digits}").parse().unwrap_or(changed.slug);
    let commit = Commit::new()
        .update(organization, &changed)
        .event(&Purged::of(&changed))
        .action("organization.purged");
    Decided { value: changed, commit }
}
