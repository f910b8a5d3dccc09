//! Sessions: signed-in devices, and the tokens that belong to them.
//!
//! ```text
//! refresh token n ──used──► n+1 ──used──► n+2        the family of a session: one line, counted, never two live children
//!        │ again, ≤ 10 s, n+1 not used: the same n+1
//!        └ again, later or after n+1 was used: the session ends, and its user is told
//! ```

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::Header;
use serde::{Deserialize, Deserializer, Serialize};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{OrganizationId, SessionId, UserId, crockford, parse_crockford};
use stoa_kernel::store::{Commit, Record, StoreError, StoreErrorKind};

use crate::Error;
use crate::access::Role;
use crate::device::DeviceGrant;
use crate::facts::{SessionRevoked, SessionStarted, SessionVerified};
use crate::keys::Keys;
use crate::member::Member;
use crate::opaque::{Hash, Secret, equal, hash, hex};
use crate::service::{Identity, by};
use crate::ticket::Kind;
use crate::user::User;

const PREFIX: &str = "stoa_rt";
/// How often what somebody else changes meanwhile is tried again.
pub(crate) const RETRIES: usize = 8;
/// How long the answer of a rotation is given again to whoever lost it, in microseconds.
const AGAIN_US: i64 = 10_000_000;
/// The method of a session that an organization's own provider vouched for.
pub(crate) const BOUND: &str = "org";
/// How far the clocks of processes may be apart, in seconds.
const LEEWAY_S: i64 = 30;
const DAY_US: i64 = 86_400_000_000;

/// A signed-in device.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "sessions", entity = "session", system, version = version, expires = expires_at, retention = short)]
pub struct Session {
    /// Its id.
    #[record(key)]
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The organization that is looked at when a request names none.
    pub organization_id: Option<OrganizationId>,
    /// What signed in: "Firefox on Linux".
    #[record(plain, about = "so that people know their devices; a kind of program, no address")]
    pub client: String,
    /// How, as names of RFC 8176: "pwd otp".
    #[record(plain, about = "how it was authenticated")]
    pub methods: String,
    /// Whether a second factor is missing.
    pub is_pending: bool,
    /// When the user last showed who they are.
    pub authenticated_at: Micros,
    /// The hash of the refresh token that is good.
    #[record(plain, about = "a hash")]
    pub refresh_hash: Vec<u8>,
    /// The hash of the one before it.
    #[record(plain, about = "a hash")]
    pub parent_hash: Option<Vec<u8>>,
    /// The refresh token that is good, for whoever lost the answer.
    #[record(
        encrypted,
        plain,
        about = "so that a lost answer does not sign people out; good for ten seconds"
    )]
    pub current: String,
    /// How often it was rotated.
    pub counter: i64,
    /// When it was last rotated.
    pub rotated_at: Micros,
    /// The day on which it was last used, since 1970.
    pub last_used_day: i64,
    /// When it was ended before its time.
    pub revoked_at: Option<Micros>,
    /// When it is over.
    pub expires_at: Micros,
    /// Counts its changes.
    pub version: i64,
    /// When it began.
    pub created_at: Micros,
}

impl Session {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Micros) -> bool {
        self.revoked_at.is_some() || self.expires_at <= now
    }

    /// What of it a request needs to know.
    pub(crate) fn without_tokens(self) -> Self {
        Self { refresh_hash: Vec::new(), parent_hash: None, current: String::new(), ..self }
    }

    /// Whether a second factor was shown in it.
    #[must_use]
    pub fn has_shown_factor(&self) -> bool {
        self.methods.split(' ').any(|one| one == "mfa")
    }

    /// Whether it reaches one organization alone: whose own provider vouched for the user, who has not shown anything of their own.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        let has = |method: &str| self.methods.split(' ').any(|one| one == method);
        has(BOUND) && !has("pwd") && !has("mfa")
    }

    fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }
}

/// What an access token says (RFC 9068).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// The organization of the session; null without one.
    #[serde(deserialize_with = "required")]
    pub org: Option<OrganizationId>,
    /// The role there, when it was issued. What counts is the role at the time of a request.
    #[serde(default)]
    pub role: Option<String>,
    /// How the user signed in.
    pub amr: Vec<String>,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it is over.
    pub exp: i64,
    /// Its own id.
    pub jti: String,
}

impl Claims {
    /// Whether they are ours, and not over.
    fn is_current(&self, issuer: &str, now: Micros) -> bool {
        let now_s = now.0.div_euclid(1_000_000);
        self.iss == issuer
            && self.aud == issuer
            && now_s < self.exp.saturating_add(LEEWAY_S)
            && self.iat <= now_s.saturating_add(LEEWAY_S)
            && self.iat < self.exp
    }
}

/// A member that may be null, but must be there.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OrganizationId>, D::Error> {
    Option::deserialize(deserializer)
}

/// A token whose signature was checked.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The key that signed it.
    kid: String,
}

/// The head of our tokens: these members and no others, so that nothing in it can lead anywhere (`jku`, `jwk`, `x5u`, `crit`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    typ: String,
    kid: String,
}

impl Head {
    fn of(token: &str) -> Option<Self> {
        let head = BASE64.decode(token.split('.').next()?).ok()?;
        serde_json::from_slice(&head).ok()
    }
}

/// The claims of a token with this head, if one of the keys has signed it, for us, and it is not over.
fn read(keys: &Keys, head: &Head, token: &str, issuer: &str, now: Micros) -> Option<Claims> {
    let key = keys.verifying(&head.kid, now)?;
    if head.typ != "at+jwt" || head.alg != format!("{:?}", key.algorithm) {
        return None;
    }
    let claims: Claims = jsonwebtoken::decode(token, &key.verifying, &key.validation).ok()?.claims;
    claims.is_current(issuer, now).then_some(claims)
}

/// What a user is given who signed in.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The access token.
    pub access: Secret,
    /// How long it is good, in seconds.
    pub access_s: i64,
    /// The refresh token.
    pub refresh: Secret,
    /// The session.
    pub session: Session,
    /// The user.
    pub user: User,
}

/// How a session begins.
#[derive(Debug, Clone)]
pub(crate) struct Beginning<'b> {
    pub(crate) user: &'b User,
    pub(crate) methods: &'b str,
    pub(crate) is_pending: bool,
    pub(crate) client: &'b str,
    pub(crate) organization: Option<OrganizationId>,
    /// The role there, where it is only about to be given.
    pub(crate) role: Option<Role>,
    /// When the user showed who they are, where it was not now.
    pub(crate) authenticated_at: Option<Micros>,
}

/// A refresh token, read.
struct Refresh {
    session: SessionId,
    counter: i64,
    hash: Hash,
}

impl Identity {
    async fn refresh_mac(&self, head: &str) -> Result<String, Error> {
        let key = self.keys().await?.derived("stoa 2026-11 refresh tokens");
        let mac = blake3::keyed_hash(&key, head.as_bytes());
        Ok(hex(mac.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8])))
    }

    /// A refresh token: the session, the place in its family, 256 random bits, and a proof that we made it. So a token that is not
    /// ours never reaches the store, and one that is old is known to be.
    async fn mint_refresh(&self, session: SessionId, counter: i64) -> Result<String, Error> {
        let random = hex(&self.entropy.bytes::<32>()?);
        let head = format!("{PREFIX}_{}_{counter:08x}_{random}", crockford(session.raw()));
        let mac = self.refresh_mac(&head).await?;
        Ok(format!("{head}_{mac}"))
    }

    async fn read_refresh(&self, text: &str) -> Result<Refresh, Error> {
        let (head, mac) = text.rsplit_once('_').ok_or(Error::SignedOut)?;
        if !equal(self.refresh_mac(head).await?.as_bytes(), mac.as_bytes()) {
            return Err(Error::SignedOut);
        }
        let mut parts = head.strip_prefix(PREFIX).ok_or(Error::SignedOut)?.split('_').skip(1);
        let session = parts.next().and_then(parse_crockford).and_then(SessionId::from_raw);
        let counter = parts.next().and_then(|digits| i64::from_str_radix(digits, 16).ok());
        let (Some(session), Some(counter)) = (session, counter) else { return Err(Error::SignedOut) };
        Ok(Refresh { session, counter, hash: hash(text) })
    }

    /// A new session: what its user is given, and the commit that makes it good.
    pub(crate) async fn begin(
        &self,
        cx: &Context,
        beginning: Beginning<'_>,
    ) -> Result<(Issued, Commit), Error> {
        let (id, now) = (self.ids.next()?, self.clock.now());
        let user = beginning.user;
        let organization = match beginning.organization {
            Some(organization) => Some(organization),
            None => self.first_organization(cx, user.id).await?,
        };
        let refresh = self.mint_refresh(id, 0).await?;
        let session = Session {
            id,
            user_id: user.id,
            organization_id: organization,
            client: beginning.client.to_owned(),
            methods: beginning.methods.to_owned(),
            is_pending: beginning.is_pending,
            authenticated_at: beginning.authenticated_at.unwrap_or(now),
            refresh_hash: hash(&refresh).to_vec(),
            parent_hash: None,
            current: refresh.clone(),
            counter: 0,
            rotated_at: now,
            last_used_day: now.0.div_euclid(DAY_US),
            revoked_at: None,
            // One that waits for a second factor does not wait long.
            expires_at: now.plus(if beginning.is_pending { 900_000_000 } else { self.settings.session_us }),
            version: 1,
            created_at: now,
        };
        let told = SessionStarted {
            id: id.to_string(),
            user: user.id.to_string(),
            method: session.methods.clone(),
            organization: None,
        };
        let commit = Commit::new().insert(&session).event(&told);
        let access = self.sign(cx, &session, beginning.role).await?;
        Ok((self.issued(user, session, refresh, access), commit))
    }

    async fn issue(
        &self,
        cx: &Context,
        user: &User,
        session: Session,
        refresh: String,
    ) -> Result<Issued, Error> {
        let access = self.sign(cx, &session, None).await?;
        Ok(self.issued(user, session, refresh, access))
    }

    fn issued(&self, user: &User, session: Session, refresh: String, access: Secret) -> Issued {
        let access_s = self.settings.access_us / 1_000_000;
        Issued { access, access_s, refresh: Secret::new(refresh), session, user: user.clone() }
    }

    /// An access token of a session.
    async fn sign(&self, cx: &Context, session: &Session, role: Option<Role>) -> Result<Secret, Error> {
        let (keys, now) = (self.keys().await?, self.clock.now());
        let key = keys.signing(now).ok_or_else(unsigned)?;
        let role = match (role, session.organization_id) {
            (Some(role), _) => Some(role),
            (None, Some(organization)) => self.role_of(cx, organization, session.user_id).await?,
            (None, None) => None,
        };
        let issuer = self.issuer();
        let iat = now.0.div_euclid(1_000_000);
        let claims = Claims {
            aud: issuer.clone(),
            iss: issuer,
            sub: session.user_id,
            sid: session.id,
            org: session.organization_id,
            role: role.map(|role| role.to_string()),
            amr: session.methods.split(' ').map(str::to_owned).collect(),
            iat,
            exp: iat + self.settings.access_us / 1_000_000,
            jti: hex(&self.entropy.bytes::<16>()?),
        };
        let mut header = Header::new(key.algorithm);
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some(key.kid.clone()));
        let token = jsonwebtoken::encode(&header, &claims, &key.signing).map_err(|_| unsigned())?;
        Ok(Secret::new(token))
    }

    /// Who issues our tokens, and for whom.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.issuer.clone()
    }

    /// What an access token says, if it is one of ours and not over. The algorithm is the key's, whatever the token says.
    ///
    /// # Errors
    /// [`Error::SignedOut`], [`Error::Store`].
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, Error> {
        let (hash, now) = (hash(token), self.clock.now());
        let look = async {
            let head = Head::of(token).ok_or(Error::SignedOut)?;
            let keys = self.keys_with(&head.kid).await?;
            let claims = read(&keys, &head, token, &self.issuer, now).ok_or(Error::SignedOut)?;
            Ok::<_, Error>(Arc::new(Verified { claims, kid: head.kid }))
        };
        let seen = self.seen.tokens.get(hash, &[], look).await?;
        // A signature that was checked stays right, as long as its key is good.
        let is_good = seen.claims.is_current(&self.issuer, now)
            && self.keys().await?.verifying(&seen.kid, now).is_some();
        if is_good { Ok(seen) } else { Err(Error::SignedOut) }
    }

    /// What a page must send with a request that a cookie signs in: it is bound to the session, and no other site can read it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn csrf_token(&self, session: SessionId) -> Result<String, Error> {
        let key = self.keys().await?.derived("stoa 2026-11 requests of pages");
        let mac = blake3::keyed_hash(&key, &session.raw().to_be_bytes());
        Ok(hex(mac.as_bytes().first_chunk::<16>().unwrap_or(&[0; 16])))
    }

    /// The session of a refresh token that is one of ours.
    ///
    /// # Errors
    /// [`Error::SignedOut`].
    pub async fn session_of(&self, token: &str) -> Result<SessionId, Error> {
        Ok(self.read_refresh(token).await?.session)
    }

    /// Exchanges a refresh token for the next one, and a new access token.
    ///
    /// # Errors
    /// [`Error::SignedOut`]; [`Error::Store`].
    pub async fn refresh(&self, cx: &Context, token: &str, client: &str) -> Result<Issued, Error> {
        let given = self.read_refresh(token).await?;
        // Who loses a race against itself looks again: the winner's answer is theirs too.
        for _ in 0..8 {
            let found = self.store.find(cx, Session::select().eq(Session::ID, &given.session)).await?;
            let session = found.ok_or(Error::SignedOut)?;
            let now = self.clock.now();
            if session.is_over(now) {
                return Err(Error::SignedOut);
            }
            let user = self.user(cx, session.user_id).await?;
            if !user.may_sign_in() {
                return Err(Error::SignedOut);
            }
            let cx = by(cx, user.id);
            if equal(&session.refresh_hash, &given.hash) {
                let next = self.rotated(&session, client, now).await?;
                match self
                    .store
                    .commit(&cx, Commit::new().update(&session, &next).action("session.refreshed"))
                    .await
                {
                    Ok(_) => {
                        let current = next.current.clone();
                        return self.issue(&cx, &user, next, current).await;
                    }
                    Err(error) if error.kind == StoreErrorKind::Conflict => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            let is_parent = given.counter + 1 == session.counter
                && session.parent_hash.as_ref().is_some_and(|parent| equal(parent, &given.hash));
            if is_parent && session.client == client && now.since(session.rotated_at) <= AGAIN_US {
                let current = session.current.clone();
                return self.issue(&cx, &user, session, current).await;
            }
            match self.reused(&cx, &user, &session).await {
                // It was changed meanwhile: it ends all the same.
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Err(Error::SignedOut),
            }
        }
        Err(Error::Busy)
    }

    async fn rotated(&self, session: &Session, client: &str, now: Micros) -> Result<Session, Error> {
        let mut next = session.next();
        next.counter += 1;
        next.current = self.mint_refresh(session.id, next.counter).await?;
        next.parent_hash = Some(std::mem::replace(&mut next.refresh_hash, hash(&next.current).to_vec()));
        next.client = client.to_owned();
        next.rotated_at = now;
        next.last_used_day = now.0.div_euclid(DAY_US);
        if !next.is_pending {
            next.expires_at = now.plus(self.settings.session_us);
        }
        Ok(next)
    }

    /// A token that was exchanged already came again: somebody has a copy. Nobody can say who, so the session ends.
    async fn reused(&self, cx: &Context, user: &User, session: &Session) -> Result<(), StoreError> {
        let commit = self.revoked(session, "reuse").action("session.reuse_detected").note(
            "session.reuse_detected",
            "session",
            &session.id,
        );
        let commit = self.letter(commit, &user.email, "session_reuse", &[("client", &session.client)]);
        self.store.commit(cx, commit).await.map(drop)
    }

    /// The end of a session.
    pub(crate) fn revoked(&self, session: &Session, reason: &'static str) -> Commit {
        let ended = Session { revoked_at: Some(self.clock.now()), ..session.next() };
        let told = SessionRevoked {
            id: session.id.to_string(),
            user: session.user_id.to_string(),
            reason: reason.to_owned(),
            organization: None,
        };
        Commit::new().update(session, &ended).event(&told).action("session.revoked")
    }

    /// The end of all sessions of a user, but perhaps of one, and of everything that was begun in them and would lead back in: links to
    /// sign in, a change of the address, an account that is being linked, programs that were let in.
    pub(crate) async fn revoking(
        &self,
        cx: &Context,
        user: UserId,
        but: Option<SessionId>,
        reason: &'static str,
    ) -> Result<Commit, Error> {
        let sessions = self.sessions(cx, user).await?;
        let others = sessions.iter().filter(|session| Some(session.id) != but);
        let commit = others.fold(Commit::new(), |commit, session| commit.and(self.revoked(session, reason)));
        let system = cx.within(Scope::System);
        let begun =
            self.void_tickets(&system, user, &[Kind::MAGIC_LINK, Kind::CHANGE_EMAIL, Kind::PROVIDER]).await?;
        let waiting = DeviceGrant::select().eq(DeviceGrant::USER_ID, &Some(user));
        let waiting = self.store.list(&system, waiting).await?;
        Ok(waiting.iter().fold(commit.and(begun), Commit::delete))
    }

    /// Where a user is signed in.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn sessions(&self, cx: &Context, user: UserId) -> Result<Vec<Session>, Error> {
        let cx = cx.within(Scope::System);
        let query = Session::select().eq(Session::USER_ID, &user).ascending(Session::ID);
        let now = self.clock.now();
        Ok(self.store.list(&cx, query).await?.into_iter().filter(|session| !session.is_over(now)).collect())
    }

    /// The session with an id, if it is not over.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn session(&self, cx: &Context, id: SessionId) -> Result<Session, Error> {
        let cx = cx.within(Scope::System);
        let found = self.store.find(&cx, Session::select().eq(Session::ID, &id)).await?;
        found.filter(|session| !session.is_over(self.clock.now())).ok_or(Error::NotFound("session"))
    }

    /// Ends a session. One that is over already stays so.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Busy`].
    pub async fn sign_out(&self, cx: &Context, id: SessionId) -> Result<(), Error> {
        for _ in 0..4 {
            let session = match self.session(cx, id).await {
                Ok(session) => session,
                Err(Error::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error),
            };
            match self.apply(&by(cx, session.user_id), self.revoked(&session, "signed_out")).await {
                Err(Error::Store(error)) if error.kind == StoreErrorKind::Conflict => continue,
                other => return other,
            }
        }
        Err(Error::Busy)
    }

    /// Ends a session of a user.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn revoke_session(
        &self,
        cx: &Context,
        user: UserId,
        id: SessionId,
        reason: &'static str,
    ) -> Result<Commit, Error> {
        let session = self.session(cx, id).await?;
        if session.user_id != user {
            return Err(Error::NotFound("session"));
        }
        Ok(self.revoked(&session, reason))
    }

    /// Ends all sessions of a user, but perhaps one. A sign-in that is under way meanwhile is refused, and one that is refreshed
    /// meanwhile ends all the same.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Busy`].
    pub async fn sign_out_everywhere(
        &self,
        cx: &Context,
        id: UserId,
        but: Option<SessionId>,
    ) -> Result<(), Error> {
        let cx = cx.within(Scope::System);
        for _ in 0..RETRIES {
            let user = self.user(&cx, id).await?;
            let commit = self.revoking(&cx, id, but, "signed_out").await?;
            let commit = commit.update(&user, &user.next(self.clock.now())).action("user.signed_out");
            match self.store.commit(&cx, commit).await {
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Err(Error::Busy)
    }

    /// Notes that the user has shown again who they are.
    pub(crate) fn verified(&self, session: &Session, method: &str) -> (Session, Commit) {
        let mut next = Session { authenticated_at: self.clock.now(), ..session.next() };
        next.methods = also(&next.methods, method);
        if method != "pwd" {
            next.methods = also(&next.methods, "mfa");
        }
        let told = SessionVerified {
            id: session.id.to_string(),
            user: session.user_id.to_string(),
            organization: None,
        };
        let commit = Commit::new().update(session, &next).event(&told).action("session.verified");
        (next, commit)
    }

    /// Makes an organization the one that is looked at when a request names none, and issues a token that says so.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user is no member of it.
    pub async fn switch(
        &self,
        cx: &Context,
        session: &Session,
        organization: OrganizationId,
    ) -> Result<(Secret, Commit), Error> {
        if session.is_bound() && session.organization_id != Some(organization)
            || self.role_of(cx, organization, session.user_id).await?.is_none()
        {
            return Err(Error::NotFound("organization"));
        }
        let next = Session { organization_id: Some(organization), ..session.next() };
        let told = SessionVerified {
            id: session.id.to_string(),
            user: session.user_id.to_string(),
            organization: None,
        };
        let access = self.sign(cx, &next, None).await?;
        Ok((access, Commit::new().update(session, &next).event(&told).action("session.switched")))
    }

    async fn first_organization(&self, cx: &Context, user: UserId) -> Result<Option<OrganizationId>, Error> {
        let query = Member::select().eq(Member::USER_ID, &user).ascending(Member::ID);
        let found = self.store.find(&cx.within(Scope::System), query).await?;
        Ok(found.map(|member| member.organization_id))
    }

    /// The role of a user in an organization.
    pub(crate) async fn role_of(
        &self,
        cx: &Context,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<Role>, Error> {
        let query = Member::select().eq(Member::ORGANIZATION_ID, &organization).eq(Member::USER_ID, &user);
        let found = self.store.find(&cx.within(Scope::System), query).await?;
        Ok(found.map(|member| member.role))
    }
}

/// Methods, and one more if it is not among them.
pub(crate) fn also(methods: &str, method: &str) -> String {
    if methods.split(' ').any(|one| one == method) {
        methods.to_owned()
    } else {
        format!("{methods} {method}")
    }
}

fn unsigned() -> Error {
    StoreError::new(StoreErrorKind::Unavailable, "no key signs at the moment").into()
}

/// What a program calls itself, as people know it: "Firefox on Linux". Nothing else of the header is kept.
#[must_use]
pub fn client_name(user_agent: &str) -> String {
    let found = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    // In this order: later ones call themselves by the names of earlier ones too.
    let browser = found(&[
        ("stoa-cli", "Stoa command line"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = found(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "another program".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Signature, fixed};
    use jsonwebtoken::{Algorithm, EncodingKey};
    use serde_json::{Value, json};

    const ISSUER: &str = "https://stoa.example";
    const NOW: Micros = Micros(1_800_000_000_000_000);

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "aud": ISSUER, "sub": UserId::from_raw(1).unwrap(), "sid": SessionId::from_raw(2).unwrap(), "org": null,
            "amr": ["pwd"], "iat": 1_800_000_000, "exp": 1_800_000_900, "jti": "x"
        })
    }

    fn encode(part: &Value) -> String {
        BASE64.encode(part.to_string())
    }

    /// A token of any head and claims, signed by the key of the set.
    fn signed(keys: &Keys, head: &Value, claims: &Value) -> String {
        let key = keys.signing(NOW).unwrap();
        let message = format!("{}.{}", encode(head), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.signing, key.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn is_taken(keys: &Keys, token: &str) -> bool {
        Head::of(token).and_then(|head| read(keys, &head, token, ISSUER, NOW)).is_some()
    }

    fn sets() -> Vec<(Keys, &'static str)> {
        crate::jwt::install();
        vec![
            (fixed(Signature::Hs256), "HS256"),
            (fixed(Signature::EdDsa), "EdDSA"),
            (fixed(Signature::Rs256), "RS256"),
        ]
    }

    #[test]
    fn a_token_of_ours_is_taken_with_every_signature() {
        for (keys, alg) in sets() {
            let kid = keys.signing(NOW).unwrap().kid.clone();
            assert!(
                is_taken(&keys, &signed(&keys, &json!({"alg": alg, "typ": "at+jwt", "kid": kid}), &claims())),
                "{alg}"
            );
        }
    }

    #[test]
    fn a_token_with_another_head_is_refused() {
        for (keys, alg) in sets() {
            let kid = keys.signing(NOW).unwrap().kid.clone();
            let good = json!({"alg": alg, "typ": "at+jwt", "kid": kid});
            for (name, value) in [
                ("alg", json!("none")),
                ("alg", json!("HS384")),
                ("alg", json!("RS512")),
                ("alg", json!(alg.to_lowercase())),
                ("alg", json!(["HS256"])),
                ("typ", json!("JWT")),
                ("typ", json!("application/at+jwt")),
                ("typ", json!(null)),
                ("kid", json!("../../keys")),
                ("kid", json!("")),
                ("kid", json!("' OR 1=1 --")),
                ("kid", json!("sig_0000000000000")),
                ("crit", json!(["exp"])),
                ("crit", json!(["b64"])),
                ("b64", json!(false)),
                ("jku", json!("https://evil.example/jwks")),
                ("jwk", json!({"kty": "oct", "k": "AA"})),
                ("x5u", json!("https://evil.example")),
                ("x5c", json!([])),
                ("zip", json!("DEF")),
                ("cty", json!("JWT")),
            ] {
                let mut head = good.clone();
                head[name] = value.clone();
                assert!(!is_taken(&keys, &signed(&keys, &head, &claims())), "{alg}: {name} {value}");
            }
        }
    }

    #[test]
    fn a_token_with_other_claims_is_refused() {
        for (keys, alg) in sets() {
            let head = json!({"alg": alg, "typ": "at+jwt", "kid": keys.signing(NOW).unwrap().kid});
            for (name, value) in [
                ("iss", json!("https://evil.example")),
                ("iss", json!("https://stoa.example/")),
                ("iss", json!(null)),
                ("iss", json!([ISSUER])),
                ("aud", json!("https://evil.example")),
                ("aud", json!([ISSUER])),
                ("aud", json!("")),
                ("exp", json!(1_799_999_960)),
                ("exp", json!("1800000900")),
                ("exp", json!(null)),
                ("exp", json!(1.8e9)),
                ("iat", json!(1_800_000_040)),
                ("iat", json!("1800000000")),
                ("iat", json!(1_800_000_901)),
                ("sub", json!("org_0000000000001")),
                ("sub", json!(1)),
                ("sid", json!("usr_0000000000001")),
                ("jti", json!(null)),
            ] {
                let mut other = claims();
                other[name] = value.clone();
                assert!(!is_taken(&keys, &signed(&keys, &head, &other)), "{alg}: {name} {value}");
            }
            for name in ["iss", "aud", "exp", "iat", "sub", "jti", "sid", "org"] {
                let mut less = claims();
                less.as_object_mut().unwrap().shift_remove(name);
                assert!(!is_taken(&keys, &signed(&keys, &head, &less)), "{alg}: without {name}");
            }
        }
    }

    #[test]
    fn a_token_that_is_signed_by_something_else_is_refused() {
        for (keys, alg) in sets() {
            let key = keys.signing(NOW).unwrap();
            let head = json!({"alg": alg, "typ": "at+jwt", "kid": key.kid});
            let good = signed(&keys, &head, &claims());
            let (message, signature) = good.rsplit_once('.').unwrap();
            let (first, second) = message.split_once('.').unwrap();
            let other = encode(&json!({"iss": ISSUER}));
            for bad in [
                message.to_owned(),
                format!("{message}."),
                format!("{first}..{signature}"),
                format!("{first}.{other}.{signature}"),
                format!(".{second}.{signature}"),
                format!("{message}.{}", &signature[..signature.len() - 4]),
                format!("{good}.x"),
                format!("{message}.AAAA"),
                String::new(),
                "..".to_owned(),
            ] {
                assert!(!is_taken(&keys, &bad), "{alg}: {bad}");
            }
            // What everybody knows of an asymmetric key is no secret to sign with.
            let hs = json!({"alg": "HS256", "typ": "at+jwt", "kid": key.kid});
            let confused = format!("{}.{}", encode(&hs), encode(&claims()));
            for known in [
                b"".to_vec(),
                key.kid.clone().into_bytes(),
                key.verifying.try_get_as_bytes().map(<[u8]>::to_vec).unwrap_or_default(),
            ] {
                if alg == "HS256" && known.len() == 32 {
                    continue;
                }
                let signature = jsonwebtoken::crypto::sign(
                    confused.as_bytes(),
                    &EncodingKey::from_secret(&known),
                    Algorithm::HS256,
                )
                .unwrap();
                assert!(!is_taken(&keys, &format!("{confused}.{signature}")), "{alg}");
            }
        }
    }

    #[test]
    fn programs_are_named_as_people_know_them() {
        for (header, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
                "Safari on iPhone",
            ),
            ("stoa-cli/0.1.0", "Stoa command line"),
            ("<script>", "another program"),
        ] {
            assert_eq!(client_name(header), name);
        }
    }
}
