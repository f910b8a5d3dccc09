//! Changes an organization's name, slug, contact or settings.

use std::collections::BTreeMap;

use stoa_kernel::clock::Clock;
use stoa_kernel::store::{Commit, Decided, Json, Personal};

use super::{Error, Organization, Slug, State, Updated, wrong};
use crate::email::Email;
use crate::plan::{Limits, Plan};

/// What is to be different: `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Its name in addresses.
    pub slug: Option<Slug>,
    /// Its name for people.
    pub name: Option<String>,
    /// Whom to write to; `Some(None)` removes it.
    pub contact_email: Option<Option<Email>>,
    /// All settings.
    pub settings: Option<BTreeMap<String, String>>,
    /// Whether its members need a second factor.
    pub mfa_required: Option<bool>,
    /// How much it may have. For operators.
    pub plan: Option<Plan>,
    /// What is set beside the plan. For operators.
    pub limits: Option<Limits>,
}

/// Decides a change. One that changes nothing is a commit of nothing.
///
/// # Errors
/// [`Error::Invalid`], [`Error::WrongState`] when it is archived or purged.
pub fn update(
    organization: &Organization,
    change: Change,
    clock: &dyn Clock,
) -> Result<Decided<Organization>, Error> {
    if !matches!(organization.state, State::Active | State::Suspended) {
        return Err(Error::WrongState {
            is: organization.state,
            wanted: "active or suspended",
            verb: "changed",
        });
    }
    let wrong = wrong(change.name.as_deref(), change.settings.as_ref());
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }
    let mut changed = organization.clone();
    changed.slug = change.slug.unwrap_or(changed.slug);
    changed.name = change.name.unwrap_or(changed.name);
    changed.contact_email = change.contact_email.map_or(changed.contact_email, |email| email.map(Personal));
    changed.settings = change.settings.map_or(changed.settings, Json);
    changed.mfa_required = change.mfa_required.unwrap_or(changed.mfa_required);
    changed.plan = change.plan.unwrap_or(changed.plan);
    changed.limits = change.limits.map_or(changed.limits, Json);
    if changed == *organization {
        return Ok(Decided { value: changed, commit: Commit::new() });
    }
    let changed = changed.next(clock.now());
    let commit = Commit::new().update(organization, &changed).event(&Updated::of(&changed));
    Ok(Decided { value: changed, commit })
}
