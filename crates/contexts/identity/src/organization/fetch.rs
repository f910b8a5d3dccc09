//! Finds organizations.

use stoa_kernel::context::Context;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Page, PageRequest, Query, Record as _, Store};

use super::{Error, Organization, Slug, State};

/// The organization with an id.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Store`].
pub async fn by_id(store: &dyn Store, cx: &Context, id: OrganizationId) -> Result<Organization, Error> {
    let query = Organization::select().eq(Organization::ID, &id);
    store.find(cx, query).await?.ok_or(Error::NotFound)
}

/// The organization with a slug.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Store`].
pub async fn by_slug(store: &dyn Store, cx: &Context, slug: &Slug) -> Result<Organization, Error> {
    let query = Organization::select().eq(Organization::SLUG, slug);
    store.find(cx, query).await?.ok_or(Error::NotFound)
}

/// Which organizations a list shows, and in which order.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only these.
    pub state: Option<State>,
    /// Only those whose slug begins so.
    pub slug_prefix: Option<String>,
    /// By slug rather than by id.
    pub by_slug: bool,
    /// From high to low.
    pub descending: bool,
}

impl Listing {
    /// The query.
    #[must_use]
    pub fn query(&self) -> Query<Organization> {
        let mut query = Organization::select();
        if let Some(state) = &self.state {
            query = query.eq(Organization::STATE, state);
        }
        if let Some(prefix) = &self.slug_prefix {
            query = query.prefix(Organization::SLUG, prefix);
        }
        match (self.by_slug, self.descending) {
            (true, false) => query.ascending(Organization::SLUG),
            (true, true) => query.descending(Organization::SLUG),
            (false, false) => query.ascending(Organization::ID),
            (false, true) => query.descending(Organization::ID),
        }
    }
}

/// One page of a list.
///
/// # Errors
/// [`Error::Store`].
pub async fn page(
    store: &dyn Store,
    cx: &Context,
    listing: &Listing,
    request: PageRequest,
) -> Result<Page<Organization>, Error> {
    Ok(store.page(cx, listing.query(), request).await?)
}
