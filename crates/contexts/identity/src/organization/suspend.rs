//! Suspends an organization, and resumes it. Its jobs wait meanwhile.

use stoa_kernel::clock::Clock;
use stoa_kernel::store::queue::JobHold;
use stoa_kernel::store::{Commit, Decided};

use super::{Error, Organization, Resumed, State, Suspended};

/// What keeps its jobs from being begun: there while it is suspended or archived.
pub(super) fn hold(organization: &Organization) -> JobHold {
    JobHold { organization_id: organization.id.to_i64(), created_at: organization.updated_at }
}

/// Decides the suspension of an active organization.
///
/// # Errors
/// [`Error::WrongState`].
pub fn suspend(organization: &Organization, clock: &dyn Clock) -> Result<Decided<Organization>, Error> {
    if organization.state != State::Active {
        return Err(Error::WrongState { is: organization.state, wanted: "active", verb: "suspended" });
    }
    let suspended = Organization { state: State::Suspended, ..organization.next(clock.now()) };
    let commit = Commit::new()
        .update(organization, &suspended)
        .insert(&hold(&suspended))
        .event(&Suspended::of(&suspended))
        .action("organization.suspended");
    Ok(Decided { value: suspended, commit })
}

/// Decides that a suspended organization is active again.
///
/// # Errors
/// [`Error::WrongState`].
pub fn resume(organization: &Organization, clock: &dyn Clock) -> Result<Decided<Organization>, Error> {
    if organization.state != State::Suspended {
        return Err(Error::WrongState { is: organization.state, wanted: "suspended", verb: "resumed" });
    }
    let resumed = Organization { state: State::Active, ..organization.next(clock.now()) };
    let commit = Commit::new()
        .update(organization, &resumed)
        .delete(&hold(&resumed))
        .event(&Resumed::of(&resumed))
        .action("organization.resumed");
    Ok(Decided { value: resumed, commit })
}
