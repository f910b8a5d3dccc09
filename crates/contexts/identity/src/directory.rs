//! What a request needs to know of who asks: looked up once, kept for a while, forgotten at once when it changes.
//!
//! In the process that changes something, [`Watching`] forgets when the commit is applied; every other process hears of it by the event
//! log, within a second.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{OrganizationId, SessionId, UserId};
use stoa_kernel::store::{
    BoxFuture, Commit, Consistency, Envelope, Receipt, Record, Replayed, Select, Store, StoreError, Value,
    Write,
};
use stoa_runtime::cache::{Cache, Commons, Row, Tag};

use crate::Error;
use crate::access::{Permissions, Role};
use crate::api_key::{self, ApiKey};
use crate::flag::Flag;
use crate::member::Member;
use crate::organization::{Organization, Slug};
use crate::service::Identity;
use crate::session::{Session, Verified};
use crate::user::{State, User};

const ENTRIES: u64 = 5_000;

/// A session, and what of its user a request needs to know.
#[derive(Debug, Clone)]
pub struct Known {
    /// The session, without its tokens.
    pub session: Arc<Session>,
    /// Whether the user runs the installation.
    pub is_owner: bool,
    /// Whether the user has a second factor.
    pub has_second_factor: bool,
}

/// What of a user a request needs to know.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Standing {
    is_active: bool,
    is_owner: bool,
    has_second_factor: bool,
}

/// What a user may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role.
    pub role: Role,
    /// What the role may do here.
    pub permissions: Permissions,
}

/// What was looked up.
#[derive(Debug)]
pub struct Seen {
    commons: Arc<Commons>,
    /// Access tokens whose signature was checked, by their hash.
    pub(crate) tokens: Cache<[u8; 32], Arc<Verified>>,
    sessions: Cache<SessionId, Option<Row<Session>>>,
    users: Cache<UserId, Option<Standing>>,
    members: Cache<(OrganizationId, UserId), Option<Membership>>,
    keys: Cache<String, Vec<Row<ApiKey>>>,
    organizations: Cache<OrganizationId, Option<Row<Organization>>>,
    slugs: Cache<String, Option<OrganizationId>>,
    pub(crate) flags: Cache<OrganizationId, Vec<Row<Flag>>>,
}

fn session(id: SessionId) -> Tag {
    Tag("session", id.raw())
}

fn user(id: UserId) -> Tag {
    Tag("user", id.raw())
}

/// An organization, with everybody who is in it and what they may do.
fn organization(id: OrganizationId) -> Tag {
    Tag("organization", id.raw())
}

/// The flags of an organization.
pub(crate) fn flags(id: OrganizationId) -> Tag {
    Tag("flags", id.raw())
}

/// The names of organizations in addresses.
const SLUGS: Tag = Tag("slugs", 0);

/// All API keys: an event does not say by what its key is found.
const KEYS: Tag = Tag("api_keys", 0);

/// The API keys that are found by a text.
fn key(reference: &str) -> Tag {
    let hash = blake3::hash(reference.as_bytes());
    Tag("api_key", hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// What a write changes, as far as it must be forgotten.
fn written(write: &Write) -> Vec<Tag> {
    let column = |name: &str| {
        let columns = write.meta().columns;
        columns.iter().position(|column| column.name == name).and_then(|index| write.row().get(index))
    };
    let number = |name: &str| column(name).and_then(Value::integer).and_then(|raw| u64::try_from(raw).ok());
    let one = |kind, name: &str| number(name).map(|id| vec![Tag(kind, id)]).unwrap_or_default();
    match write.meta().table {
        "sessions" => one("session", "id"),
        "users" => one("user", "id"),
        "authenticators" | "passkeys" => one("user", "user_id"),
        "members" | "grants" => one("organization", "organization_id"),
        "organizations" => [one("organization", "id"), vec![SLUGS]].concat(),
        "flags" => one("flags", "organization_id"),
        "api_keys" => {
            column("reference").and_then(Value::text).map(|text| vec![key(text)]).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// What an event says has changed, as far as it must be forgotten.
fn told(event: &Envelope) -> Vec<Tag> {
    let within = event.organization_id;
    let id = &event.aggregate.id;
    match event.kind.split('.').next().unwrap_or_default() {
        "session" => id.parse().map(session).into_iter().collect(),
        "user" => id.parse().map(user).into_iter().collect(),
        "member" | "grant" => within.map(organization).into_iter().collect(),
        "organization" => id.parse().map(organization).into_iter().chain([SLUGS]).collect(),
        "flag" => within.map(flags).into_iter().collect(),
        "api_key" => vec![KEYS],
        _ => Vec::new(),
    }
}

impl Seen {
    /// With what the caches of a process have in common.
    #[must_use]
    pub fn with(commons: Commons) -> Self {
        let commons = Arc::new(commons);
        Self {
            tokens: Cache::here("tokens", ENTRIES, &commons),
            sessions: Cache::shared("sessions", ENTRIES, &commons),
            users: Cache::shared("users", ENTRIES, &commons),
            members: Cache::shared("members", ENTRIES, &commons),
            keys: Cache::shared("api_keys", ENTRIES, &commons),
            organizations: Cache::shared("organizations", ENTRIES, &commons),
            slugs: Cache::shared("slugs", ENTRIES, &commons),
            flags: Cache::shared("flags", ENTRIES, &commons),
            commons,
        }
    }

    /// Forgets what events are about: they may have happened in another process.
    pub async fn heard(&self, events: &[Envelope]) {
        if events.iter().any(|event| event.kind == stoa_kernel::store::event::RESTORED.name) {
            return self.commons.clear().await;
        }
        let tags: HashSet<Tag> = events.iter().flat_map(told).collect();
        self.commons.forget(&tags.into_iter().collect::<Vec<_>>()).await;
    }

    /// Forgets everything, in this process: something may have happened that it does not hear of.
    pub fn clear_here(&self) {
        self.commons.clear_here();
    }
}

/// A store that forgets what its commits change, before it answers.
pub struct Watching {
    store: Arc<dyn Store>,
    seen: Arc<Seen>,
}

impl Watching {
    /// The same store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, seen: &Arc<Seen>) -> Self {
        Self { store, seen: Arc::clone(seen) }
    }
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watching")
    }
}

impl Store for Watching {
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        let tags: HashSet<Tag> = commit.writes.iter().flat_map(written).collect();
        Box::pin(async move {
            let outcome = self.store.commit(cx, commit).await;
            // Also when it failed: a commit whose answer was lost may have been applied.
            self.seen.commons.forget(&tags.into_iter().collect::<Vec<_>>()).await;
            outcome
        })
    }

    fn rows<'a>(
        &'a self,
        cx: &'a Context,
        select: Select,
        consistency: Consistency,
    ) -> BoxFuture<'a, Result<Vec<Vec<Value>>, StoreError>> {
        self.store.rows(cx, select, consistency)
    }

    fn count_rows<'a>(&'a self, cx: &'a Context, select: Select) -> BoxFuture<'a, Result<i64, StoreError>> {
        self.store.count_rows(cx, select)
    }

    fn replayed<'a>(
        &'a self,
        cx: &'a Context,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Replayed>, StoreError>> {
        self.store.replayed(cx, key)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.ping()
    }
}

impl Identity {
    /// The session with an id, while it is not over and its user may do anything.
    ///
    /// # Errors
    /// [`Error::SignedOut`], [`Error::Store`].
    pub async fn known_session(&self, cx: &Context, id: SessionId) -> Result<Arc<Known>, Error> {
        let look = async {
            let found =
                self.store.find(&cx.within(Scope::System), Session::select().eq(Session::ID, &id)).await?;
            Ok::<_, Error>(found.map(|found| Row::from(found.without_tokens())))
        };
        let found = self.seen.sessions.get(id, &[session(id)], look).await?;
        let now = self.clock.now();
        let Row(session) = found.filter(|found| !found.0.is_over(now)).ok_or(Error::SignedOut)?;
        let standing = self.standing(cx, session.user_id).await?;
        let standing = standing.filter(|standing| standing.is_active).ok_or(Error::SignedOut)?;
        let Standing { is_owner, has_second_factor, .. } = standing;
        Ok(Arc::new(Known { session, is_owner, has_second_factor }))
    }

    async fn standing(&self, cx: &Context, id: UserId) -> Result<Option<Standing>, Error> {
        let cx = &cx.within(Scope::System);
        let look = async {
            let Some(user) = self.store.find(cx, User::select().eq(User::ID, &id)).await? else {
                return Ok::<_, Error>(None);
            };
            let has_second_factor = self.has_second_factor(cx, id).await?;
            let is_active = user.state == State::Active;
            Ok(Some(Standing { is_active, is_owner: user.is_owner, has_second_factor }))
        };
        self.seen.users.get(id, &[user(id)], look).await
    }

    /// What a user may do in an organization, if they are a member.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn membership(
        &self,
        cx: &Context,
        id: OrganizationId,
        user: UserId,
    ) -> Result<Option<Membership>, Error> {
        let look = async {
            let query = Member::select().eq(Member::ORGANIZATION_ID, &id).eq(Member::USER_ID, &user);
            let found = self.store.find(&cx.within(Scope::System), query).await?;
            let Some(member) = found else { return Ok::<_, Error>(None) };
            let permissions = self.permissions(cx, id, member.role).await?;
            Ok(Some(Membership { role: member.role, permissions }))
        };
        self.seen.members.get((id, user), &[organization(id)], look).await
    }

    /// The organization with an id.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn known_organization(
        &self,
        cx: &Context,
        id: OrganizationId,
    ) -> Result<Option<Arc<Organization>>, Error> {
        let look = async {
            let found = self
                .store
                .find(&cx.within(Scope::System), Organization::select().eq(Organization::ID, &id))
                .await?;
            Ok::<_, Error>(found.map(Row::from))
        };
        let found = self.seen.organizations.get(id, &[organization(id)], look).await?;
        Ok(found.map(|Row(found)| found))
    }

    /// What people call an organization.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn organization_name(&self, id: OrganizationId) -> Result<Option<String>, StoreError> {
        match self.known_organization(&self.internal(), id).await {
            Ok(found) => Ok(found.map(|organization| organization.name.clone())),
            Err(Error::Store(error)) => Err(error),
            Err(error) => {
                Err(StoreError::new(stoa_kernel::store::StoreErrorKind::Unavailable, error.to_string()))
            }
        }
    }

    /// The id of the organization that a text names: by its id, or by its slug.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn organization_named(
        &self,
        cx: &Context,
        text: &str,
    ) -> Result<Option<OrganizationId>, Error> {
        if let Ok(id) = text.parse::<OrganizationId>() {
            return Ok(Some(id));
        }
        let Ok(slug) = text.parse::<Slug>() else { return Ok(None) };
        let look = async {
            let query = Organization::select().eq(Organization::SLUG, &slug);
            let found = self.store.find(&cx.within(Scope::System), query).await?;
            Ok::<_, Error>(found.map(|organization| organization.id))
        };
        self.seen.slugs.get(slug.to_string(), &[SLUGS], look).await
    }

    /// The key that a text is, if it is good now; and what whoever made it may do still, limited to the scopes of the key.
    ///
    /// # Errors
    /// [`Error::SignedOut`], [`Error::Store`].
    pub async fn known_key(&self, cx: &Context, text: &str) -> Result<(ApiKey, Permissions), Error> {
        let reference = api_key::reference(text).ok_or(Error::SignedOut)?.to_owned();
        let found = self.keys_of(cx, &reference).await?;
        let now = self.clock.now();
        let key = found.iter().find(|key| key.0.is(text, now)).ok_or(Error::SignedOut)?;
        let key = key.0.as_ref();
        let maker = self.standing(cx, key.user_id).await?;
        let membership = self.membership(cx, key.organization_id, key.user_id).await?;
        let membership =
            membership.filter(|_| maker.is_some_and(|maker| maker.is_active)).ok_or(Error::SignedOut)?;
        self.used_key(cx, key).await?;
        Ok((key.clone(), key.permissions().both(membership.permissions)))
    }

    /// The keys that are found by a text.
    async fn keys_of(&self, cx: &Context, reference: &str) -> Result<Vec<Row<ApiKey>>, Error> {
        let look = async {
            let query = ApiKey::select().eq(ApiKey::REFERENCE, &reference.to_owned());
            let found = self.store.list(&cx.within(Scope::System), query).await?;
            Ok::<_, Error>(found.into_iter().map(Row::from).collect())
        };
        self.seen.keys.get(reference.to_owned(), &[key(reference), KEYS], look).await
    }

    /// Whether whoever was let in before would be let in still: for what lasts, such as streams.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn is_still_good(
        &self,
        cx: &Context,
        session: Option<SessionId>,
        key: Option<&ApiKey>,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        if let Some(session) = session {
            match self.known_session(cx, session).await {
                Ok(_) => {}
                Err(Error::SignedOut) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if let Some(key) = key {
            let found = self.keys_of(cx, &key.reference).await?;
            let lives =
                |one: &&ApiKey| one.revoked_at.is_none() && one.valid_until.is_none_or(|until| now < until);
            if !found.iter().map(|one| one.0.as_ref()).filter(|one| one.id == key.id).any(|one| lives(&one)) {
                return Ok(false);
            }
        }
        let Some(organization) = cx.scope.organization() else { return Ok(true) };
        let user = match (cx.actor, key) {
            (stoa_kernel::context::Actor::User(user), _) => user,
            (_, Some(key)) => key.user_id,
            _ => return Ok(true),
        };
        let found = self.known_organization(cx, organization).await?;
        let is_usable = found.is_some_and(|found| {
            matches!(found.state, crate::organization::State::Active | crate::organization::State::Archived)
        });
        let may = self.membership(cx, organization, user).await?;
        Ok(is_usable && may.is_some_and(|may| may.permissions.has(crate::access::Permission::EventsRead)))
    }

    /// What was looked up, to be told what changed.
    #[must_use]
    pub const fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }
}
