//! Archives an organization: it can be read, and never changes again. Its jobs wait.

use stoa_kernel::clock::Clock;
use stoa_kernel::store::{Commit, Decided};

use super::suspend::hold;
use super::{Archived, Error, Organization, State};

/// Decides that an organization is archived.
///
/// # Errors
/// [`Error::WrongState`] when it is already.
pub fn archive(organization: &Organization, clock: &dyn Clock) -> Result<Decided<Organization>, Error> {
    if organization.state == State::Archived {
        return Err(Error::WrongState {
            is: State::Archived,
            wanted: "active or suspended",
            verb: "archived",
        });
    }
    let archived = Organization { state: State::Archived, ..organization.next(clock.now()) };
    // A suspended one is on hold already.
    let held = match organization.state {
        State::Suspended => Commit::new(),
        _ => Commit::new().insert(&hold(&archived)),
    };
    let commit =
        held.update(organization, &archived).event(&Archived::of(&archived)).action("organization.archived");
    Ok(Decided { value: archived, commit })
}
