//! Makes an organization.

use std::collections::BTreeMap;

use stoa_kernel::clock::Clock;
use stoa_kernel::id::Ids;
use stoa_kernel::store::{Commit, Decided, Json, Personal, StoreError, StoreErrorKind};

use super::{Created, Error, Organization, Slug, State, wrong};
use crate::email::Email;
use crate::plan::{Limits, Plan};

/// What a new organization is to be.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people: 1 to 120 characters.
    pub name: String,
    /// Whom to write to about it.
    pub contact_email: Option<Email>,
    /// What it has set.
    pub settings: BTreeMap<String, String>,
}

/// Decides a new organization. Whether its slug is free is known when the commit is applied; see [`Error::of_commit`].
///
/// # Errors
/// [`Error::Invalid`], and [`Error::Store`] when no id can be issued.
pub fn create(
    draft: Draft,
    plan: Plan,
    ids: &dyn Ids,
    clock: &dyn Clock,
) -> Result<Decided<Organization>, Error> {
    let wrong = wrong(Some(&draft.name), Some(&draft.settings));
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }
    let id = ids.next().map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))?;
    let now = clock.now();
    let organization = Organization {
        id,
        slug: draft.slug,
        name: draft.name,
        contact_email: draft.contact_email.map(Personal),
        settings: Json(draft.settings),
        state: State::Active,
        plan,
        limits: Json(Limits::default()),
        mfa_required: false,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let commit = Commit::new().insert(&organization).event(&Created::of(&organization));
    Ok(Decided { value: organization, commit })
}

impl Error {
    /// What the refusal of a commit of this context means: a taken slug says so.
    #[must_use]
    pub fn of_commit(error: StoreError, organization: &Organization) -> Self {
        if error.is_by("organizations_slug_key") {
            Self::SlugTaken(organization.slug.clone())
        } else {
            Self::Store(error)
        }
    }
}
