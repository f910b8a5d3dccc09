//! What a request needs to know of who asks: looked up once, kept for a while, forgotten at once when it changes.
//!
//! In the process that changes something, [`Watching`] forgets when the commit is applied; every other process hears of it by the event
//! log, within a second.

use std::sync::Arc;
use std::time::Duration;

use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{OrganizationId, SessionId, UserId};
use stoa_kernel::store::{
    BoxFuture, Commit, Consistency, Envelope, Receipt, Record, Replayed, Select, Store, StoreError, Value,
    Write,
};
use stoa_runtime::cache::Cache;

use crate::Error;
use crate::access::{Permissions, Role};
use crate::api_key::{self, ApiKey};
use crate::member::Member;
use crate::organization::{Organization, Slug};
use crate::service::Identity;
use crate::session::{Session, Verified};
use crate::user::{State, User};

const ENTRIES: u64 = 5_000;
const TTL: Duration = Duration::from_secs(300);

/// A session, and what of its user a request needs to know.
#[derive(Debug, Clone)]
pub struct Known {
    /// The session, without its token.
    pub session: Session,
    /// Whether the user may do anything.
    pub is_active: bool,
    /// Whether the user runs the installation.
    pub is_owner: bool,
    /// Whether the user has a second factor.
    pub has_second_factor: bool,
}

/// What a user may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The role.
    pub role: Role,
    /// What the role may do here.
    pub permissions: Permissions,
}

/// What was looked up.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Access tokens whose signature was checked, by their hash.
    pub(crate) tokens: Cache<[u8; 32], Arc<Verified>>,
    sessions: Cache<SessionId, Option<Arc<Known>>>,
    members: Cache<(OrganizationId, UserId), Option<Membership>>,
    keys: Cache<String, Arc<Vec<ApiKey>>>,
    organizations: Cache<OrganizationId, Option<Arc<Organization>>>,
    slugs: Cache<String, Option<OrganizationId>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            tokens: Cache::new(ENTRIES, TTL),
            sessions: Cache::new(ENTRIES, TTL),
            members: Cache::new(ENTRIES, TTL),
            keys: Cache::new(ENTRIES, TTL),
            organizations: Cache::new(ENTRIES, TTL),
            slugs: Cache::new(ENTRIES, TTL),
        }
    }
}

/// What changed, as far as it must be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Session(SessionId),
    Users,
    Members,
    Keys,
    Organizations,
}

impl Changed {
    fn of_write(write: &Write) -> Option<Self> {
        match write.meta().table {
            "sessions" => {
                let id = write.row().first().and_then(Value::integer).and_then(|raw| u64::try_from(raw).ok());
                id.and_then(SessionId::from_raw).map(Self::Session)
            }
            "users" if matches!(write, Write::Insert { .. }) => None,
            "users" | "authenticators" | "passkeys" => Some(Self::Users),
            "members" | "grants" => Some(Self::Members),
            "api_keys" => Some(Self::Keys),
            "organizations" => Some(Self::Organizations),
            _ => None,
        }
    }

    fn of_event(event: &Envelope) -> Option<Self> {
        match event.kind.split('.').next()? {
            "session" => event.aggregate.id.parse().ok().map(Self::Session),
            "user" => Some(Self::Users),
            "member" | "grant" => Some(Self::Members),
            "api_key" => Some(Self::Keys),
            "organization" => Some(Self::Organizations),
            _ => None,
        }
    }
}

impl Seen {
    fn forget(&self, changed: Changed) {
        match changed {
            Changed::Session(id) => self.sessions.forget(&id),
            Changed::Users => self.sessions.clear(),
            Changed::Members => self.members.clear(),
            Changed::Keys => self.keys.clear(),
            Changed::Organizations => {
                self.organizations.clear();
                self.slugs.clear();
                self.members.clear();
            }
        }
    }

    /// Forgets what an event is about: it may have happened in another process.
    pub fn heard(&self, event: &Envelope) {
        if event.kind == stoa_kernel::store::event::RESTORED.name {
            self.clear();
        }
        if let Some(changed) = Changed::of_event(event) {
            self.forget(changed);
        }
    }

    /// Forgets everything: events may have been missed.
    pub fn clear(&self) {
        for changed in [Changed::Users, Changed::Members, Changed::Keys, Changed::Organizations] {
            self.forget(changed);
        }
    }
}

/// A store that forgets what its commits change, before it answers.
pub struct Watching {
    store: Arc<dyn Store>,
    seen: Seen,
}

impl Watching {
    /// The same store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, seen: Seen) -> Self {
        Self { store, seen }
    }
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watching")
    }
}

impl Store for Watching {
    fn commit<'a>(&'a self, cx: &'a Context, commit: Commit) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        let mut changed: Vec<Changed> = commit.writes.iter().filter_map(Changed::of_write).collect();
        changed.dedup();
        Box::pin(async move {
            let outcome = self.store.commit(cx, commit).await;
            // Also when it failed: a commit whose answer was lost may have been applied.
            changed.into_iter().for_each(|changed| self.seen.forget(changed));
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
        let found = self.seen.sessions.get(id, self.look_up_session(cx, id)).await?;
        let now = self.clock.now();
        found.filter(|known| known.is_active && !known.session.is_over(now)).ok_or(Error::SignedOut)
    }

    async fn look_up_session(&self, cx: &Context, id: SessionId) -> Result<Option<Arc<Known>>, Error> {
        let cx = &cx.within(Scope::System);
        let Some(mut session) = self.store.find(cx, Session::select().eq(Session::ID, &id)).await? else {
            return Ok(None);
        };
        session.current.clear();
        let user = self.store.find(cx, User::select().eq(User::ID, &session.user_id)).await?;
        let has_second_factor = self.has_second_factor(cx, session.user_id).await?;
        Ok(user.map(|user| {
            let is_active = user.state == State::Active;
            Arc::new(Known { session, is_active, is_owner: user.is_owner, has_second_factor })
        }))
    }

    /// What a user may do in an organization, if they are a member.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn membership(
        &self,
        cx: &Context,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<Membership>, Error> {
        let look = async {
            let query =
                Member::select().eq(Member::ORGANIZATION_ID, &organization).eq(Member::USER_ID, &user);
            let found = self.store.find(&cx.within(Scope::System), query).await?;
            let Some(member) = found else { return Ok::<_, Error>(None) };
            let permissions = self.permissions(cx, organization, member.role).await?;
            Ok(Some(Membership { role: member.role, permissions }))
        };
        self.seen.members.get((organization, user), look).await
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
            Ok::<_, Error>(found.map(Arc::new))
        };
        self.seen.organizations.get(id, look).await
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
        self.seen.slugs.get(slug.to_string(), look).await
    }

    /// The key that a text is, if it is good now; and what whoever made it may do still, limited to the scopes of the key.
    ///
    /// # Errors
    /// [`Error::SignedOut`], [`Error::Store`].
    pub async fn known_key(&self, cx: &Context, text: &str) -> Result<(ApiKey, Permissions), Error> {
        let reference = api_key::reference(text).ok_or(Error::SignedOut)?.to_owned();
        let look = async {
            let query = ApiKey::select().eq(ApiKey::REFERENCE, &reference);
            Ok::<_, Error>(Arc::new(self.store.list(&cx.within(Scope::System), query).await?))
        };
        let found = self.seen.keys.get(reference.clone(), look).await?;
        let now = self.clock.now();
        let key = found.iter().find(|key| key.is(text, now)).ok_or(Error::SignedOut)?;
        let maker = self.user(cx, key.user_id).await?;
        let membership = self.membership(cx, key.organization_id, key.user_id).await?;
        let membership = membership.filter(|_| maker.state == State::Active).ok_or(Error::SignedOut)?;
        self.used_key(cx, key).await?;
        Ok((key.clone(), key.permissions().both(membership.permissions)))
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
            let look = async {
                let query = ApiKey::select().eq(ApiKey::REFERENCE, &key.reference);
                Ok::<_, Error>(Arc::new(self.store.list(&cx.within(Scope::System), query).await?))
            };
            let found = self.seen.keys.get(key.reference.clone(), look).await?;
            let lives =
                |one: &&ApiKey| one.revoked_at.is_none() && one.valid_until.is_none_or(|until| now < until);
            if !found.iter().filter(|one| one.id == key.id).any(|one| lives(&one)) {
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
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }
}
