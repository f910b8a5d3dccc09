//! Passkeys (WebAuthn level 2): registered by a user who is signed in; to sign in without anything else; as a second factor.
//!
//! A ceremony is remembered in a ticket, which its end burns: no assertion is taken twice.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{FactorId, UserId};
use stoa_kernel::store::{Commit, Json, Personal, Record};
use uuid::Uuid;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential,
};

use crate::Error;
use crate::opaque::Secret;
use crate::provider::Provider;
use crate::service::{Identity, by};
use crate::session::{Beginning, Issued, Session};
use crate::sign_in::changed_meanwhile;
use crate::ticket::{Kind, burned};
use crate::user::{Name, User};

/// The most passkeys of a user.
const PASSKEYS_MAX: i64 = 20;
const DAY_US: i64 = 86_400_000_000;

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "passkeys", entity = "passkey", system, version = version, unique(passkeys_credential_key = credential_id))]
pub struct Passkey {
    /// Its id.
    #[record(key)]
    pub id: FactorId,
    /// Whose it is.
    pub user_id: UserId,
    /// What the authenticator calls it, unique everywhere.
    #[record(plain, about = "a random id of the authenticator's")]
    pub credential_id: Vec<u8>,
    /// Its public key, its counter, whether it is backed up.
    #[record(encrypted, plain, about = "to check signatures")]
    pub credential: Json<Value>,
    /// What its user calls it.
    #[record(encrypted, subject = "the user", about = "so that people know their passkeys")]
    pub name: Personal<String>,
    /// The day on which it was last used, since 1970.
    pub last_used_day: i64,
    /// Counts its changes.
    pub version: i64,
    /// When it was registered.
    pub created_at: Micros,
}

#[derive(Serialize, Deserialize)]
struct Registering {
    state: PasskeyRegistration,
    name: String,
}

#[derive(Serialize, Deserialize)]
enum Challenge {
    /// By whichever passkey the authenticator offers.
    Discoverable(DiscoverableAuthentication),
    /// By one of a user's.
    Known(PasskeyAuthentication),
}

/// What a browser is to be asked, and the secret that ends the ceremony.
#[derive(Debug, Clone)]
pub struct Ceremony {
    /// The options for `navigator.credentials`.
    pub options: Value,
    /// The secret of the ceremony.
    pub secret: Secret,
}

fn refused<E>(_: E) -> Error {
    Error::InvalidCredentials
}

/// The handle that an authenticator keeps for a user: the id, which says nothing about the person.
fn handle(user: UserId) -> Uuid {
    Uuid::from_u128(u128::from(user.raw()))
}

impl Passkey {
    fn credential(&self) -> Result<webauthn_rs::prelude::Passkey, Error> {
        serde_json::from_value(self.credential.0.clone()).map_err(refused)
    }
}

impl Identity {
    /// The passkeys of a user.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn passkeys(&self, cx: &Context, user: UserId) -> Result<Vec<Passkey>, Error> {
        let query = Passkey::select().eq(Passkey::USER_ID, &user).ascending(Passkey::ID);
        Ok(self.store.list(&cx.within(Scope::System), query).await?)
    }

    /// Begins to register a passkey.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`].
    pub async fn begin_passkey(
        &self,
        cx: &Context,
        user: &User,
        name: &Name,
    ) -> Result<(Ceremony, Commit), Error> {
        let known = self.passkeys(cx, user.id).await?;
        let used = i64::try_from(known.len()).unwrap_or(i64::MAX);
        if used >= PASSKEYS_MAX {
            return Err(Error::QuotaExceeded { what: "passkeys", limit: PASSKEYS_MAX, used });
        }
        let exclude = known.iter().map(|one| one.credential_id.clone()).collect();
        let address = user.email.to_string();
        let shown = user.name.as_ref().map_or(address.as_str(), |name| name.0.as_str());
        let (options, state) = self
            .webauthn
            .start_passkey_registration(handle(user.id), &address, shown, Some(exclude))
            .map_err(|error| Error::WrongState(error.to_string()))?;
        let mut options = serde_json::to_value(options).unwrap_or_default();
        // One that can be found without a name being typed.
        if let Some(selection) =
            options.pointer_mut("/publicKey/authenticatorSelection").and_then(Value::as_object_mut)
        {
            selection.insert("residentKey".to_owned(), "required".into());
            selection.insert("requireResidentKey".to_owned(), true.into());
        }
        let payload = Registering { state, name: name.0.clone() };
        let (secret, commit) = self.ticket(Kind::PASSKEY_REGISTRATION, Some(user.id), &payload)?;
        Ok((Ceremony { options, secret }, commit))
    }

    /// Ends registering a passkey. With the first one come recovery codes, shown once.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::InvalidCredentials`].
    pub async fn finish_passkey(
        &self,
        cx: &Context,
        user: &User,
        session: &Session,
        secret: &str,
        credential: Value,
    ) -> Result<(Passkey, Vec<Secret>, Commit), Error> {
        let system = cx.within(Scope::System);
        let ticket = self.find_ticket(&system, Kind::PASSKEY_REGISTRATION, secret).await?;
        if ticket.user()? != user.id {
            return Err(Error::LinkInvalid);
        }
        let Registering { state, name } = ticket.payload()?;
        let credential: RegisterPublicKeyCredential = serde_json::from_value(credential).map_err(refused)?;
        let key = self.webauthn.finish_passkey_registration(&credential, &state).map_err(refused)?;
        let now = self.clock.now();
        let passkey = Passkey {
            id: self.ids.next()?,
            user_id: user.id,
            credential_id: key.cred_id().to_vec(),
            credential: Json(serde_json::to_value(&key).unwrap_or_default()),
            name: Personal(name),
            last_used_day: now.0.div_euclid(DAY_US),
            version: 1,
            created_at: now,
        };
        let (app, passkeys, codes) = self.factors(cx, user.id).await?;
        let mut commit = Commit::new().delete(&ticket).insert(&passkey);
        let mut shown = Vec::new();
        if !app && passkeys == 0 && codes == 0 {
            let (new, made) = self.new_codes(cx, user.id).await?;
            (shown, commit) = (new, commit.and(made));
        }
        if !app && passkeys == 0 {
            // From now on a password alone does not do, nor a session that began with one.
            commit = commit.and(self.revoking(cx, user.id, Some(session.id), "factors").await?);
        }
        commit = commit.update(user, &user.next(now));
        let (_, verified) = self.verified(session, "hwk");
        let commit = self.changed_factors(user, "passkey", commit.and(verified));
        Ok((passkey, shown, commit))
    }

    /// Calls a passkey something else.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn rename_passkey(
        &self,
        cx: &Context,
        user: UserId,
        id: FactorId,
        name: &Name,
    ) -> Result<(Passkey, Commit), Error> {
        let found = self.passkeys(cx, user).await?.into_iter().find(|one| one.id == id);
        let found = found.ok_or(Error::NotFound("passkey"))?;
        let next = Passkey { name: Personal(name.0.clone()), version: found.version + 1, ..found.clone() };
        Ok((next.clone(), Commit::new().update(&found, &next)))
    }

    /// Removes a passkey, unless it is the last way to sign in.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastSignInMethod`].
    pub async fn remove_passkey(&self, cx: &Context, user: &User, id: FactorId) -> Result<Commit, Error> {
        let all = self.passkeys(cx, user.id).await?;
        let found = all.iter().find(|one| one.id == id).ok_or(Error::NotFound("passkey"))?;
        self.leaves_a_way(cx, user, 1, 0).await?;
        let commit = Commit::new().delete(found).update(user, &user.next(self.clock.now()));
        Ok(self.changed_factors(user, "passkey", commit))
    }

    /// Whether a user can still sign in without so many passkeys and links.
    pub(crate) async fn leaves_a_way(
        &self,
        cx: &Context,
        user: &User,
        passkeys: usize,
        links: usize,
    ) -> Result<(), Error> {
        let has_password = user.password_hash.is_some();
        let keys = self.passkeys(cx, user.id).await?.len();
        let offered: Vec<_> = {
            let system = cx.within(Scope::System);
            let query = Provider::select().eq(Provider::IS_ENABLED, &true);
            self.store.list(&system, query).await?.into_iter().map(|provider| provider.id).collect()
        };
        let linked = self.links(cx, user.id).await?;
        let usable = linked.iter().filter(|link| offered.contains(&link.provider_id)).count();
        if has_password || keys > passkeys || usable > links { Ok(()) } else { Err(Error::LastSignInMethod) }
    }

    /// Begins to sign in by whichever passkey the authenticator offers. Nobody is named, so nothing can be learnt.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn begin_passkey_sign_in(&self, cx: &Context) -> Result<Ceremony, Error> {
        let (options, state) = self
            .webauthn
            .start_discoverable_authentication()
            .map_err(|error| Error::WrongState(error.to_string()))?;
        self.challenge(cx, options, None, Challenge::Discoverable(state)).await
    }

    async fn challenge<T: Serialize>(
        &self,
        cx: &Context,
        options: T,
        user: Option<UserId>,
        state: Challenge,
    ) -> Result<Ceremony, Error> {
        let mut options = serde_json::to_value(options).unwrap_or_default();
        if let Some(options) = options.as_object_mut() {
            options.shift_remove("mediation");
        }
        let (secret, commit) = self.ticket(Kind::PASSKEY_CHALLENGE, user, &state)?;
        self.apply(&cx.within(Scope::System), commit).await?;
        Ok(Ceremony { options, secret })
    }

    /// Signs in by a passkey: something that one has, and something that one knows or is.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::InvalidCredentials`].
    pub async fn passkey_sign_in(
        &self,
        cx: &Context,
        secret: &str,
        credential: Value,
        client: &str,
    ) -> Result<Issued, Error> {
        let ticket = self.find_ticket(cx, Kind::PASSKEY_CHALLENGE, secret).await?;
        let Challenge::Discoverable(state) = ticket.payload()? else { return Err(Error::LinkInvalid) };
        // Whatever comes of it, the challenge is over.
        self.apply(cx, Commit::new().delete(&ticket)).await.map_err(burned)?;
        let credential: PublicKeyCredential = serde_json::from_value(credential).map_err(refused)?;
        let (claimed, id) =
            self.webauthn.identify_discoverable_authentication(&credential).map_err(refused)?;
        let found = self.store.find(cx, Passkey::select().eq(Passkey::CREDENTIAL_ID, &id.to_vec())).await?;
        let found = found.filter(|one| handle(one.user_id) == claimed).ok_or(Error::InvalidCredentials)?;
        let known = found.credential()?;
        let result = self.webauthn.finish_discoverable_authentication_v2(
            &credential,
            state,
            webauthn_rs::prelude::DiscoverableKey::from(&known),
        );
        let result = match result {
            Ok(result) => result,
            Err(error) => return Err(self.refuse_passkey(cx, &found, &error.to_string()).await),
        };
        let user = self.user(cx, found.user_id).await?;
        if !user.may_sign_in() {
            return Err(Error::InvalidCredentials);
        }
        let cx = by(cx, user.id);
        let beginning = Beginning {
            user: &user,
            methods: "hwk user mfa",
            is_pending: false,
            client,
            organization: None,
            role: None,
            authenticated_at: None,
        };
        let (issued, begun) = self.begin(&cx, beginning).await?;
        let commit = self.used(&found, known, &result)?.and(begun).unchanged(&user);
        self.apply(&cx, commit).await.map_err(changed_meanwhile)?;
        Ok(issued)
    }

    fn used(
        &self,
        found: &Passkey,
        mut known: webauthn_rs::prelude::Passkey,
        result: &webauthn_rs::prelude::AuthenticationResult,
    ) -> Result<Commit, Error> {
        known.update_credential(result).ok_or(Error::InvalidCredentials)?;
        let next = Passkey {
            credential: Json(serde_json::to_value(&known).unwrap_or_default()),
            last_used_day: self.clock.now().0.div_euclid(DAY_US),
            version: found.version + 1,
            ..found.clone()
        };
        Ok(Commit::new().update(found, &next).action("passkey.used"))
    }

    /// An assertion of a passkey that we know was wrong: a copy of it, perhaps. That is worth remembering.
    async fn refuse_passkey(&self, cx: &Context, found: &Passkey, why: &str) -> Error {
        tracing::warn!(passkey = %found.id, why, "an assertion of a passkey was refused");
        let noted = Commit::new().note("passkey.refused", "passkey", &found.id);
        match self.apply(&cx.within(Scope::System), noted).await {
            Ok(()) => Error::InvalidCredentials,
            Err(error) => error,
        }
    }

    /// Begins to show one of the passkeys of a user who has signed in otherwise.
    ///
    /// # Errors
    /// [`Error::NotFound`] without any.
    pub async fn begin_passkey_factor(&self, cx: &Context, user: UserId) -> Result<Ceremony, Error> {
        let known = self.passkeys(cx, user).await?;
        if known.is_empty() {
            return Err(Error::NotFound("passkey"));
        }
        let known = known.iter().map(Passkey::credential).collect::<Result<Vec<_>, _>>()?;
        let (options, state) = self
            .webauthn
            .start_passkey_authentication(&known)
            .map_err(|error| Error::WrongState(error.to_string()))?;
        self.challenge(cx, options, Some(user), Challenge::Known(state)).await
    }

    /// Shows a passkey as a second factor, as [`Identity::verify_code`] does by a code.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::InvalidCredentials`].
    pub async fn verify_passkey(
        &self,
        cx: &Context,
        session: &Session,
        secret: &str,
        credential: Value,
    ) -> Result<Issued, Error> {
        let system = cx.within(Scope::System);
        let ticket = self.find_ticket(&system, Kind::PASSKEY_CHALLENGE, secret).await?;
        let Challenge::Known(state) = ticket.payload()? else { return Err(Error::LinkInvalid) };
        if ticket.user()? != session.user_id {
            return Err(Error::LinkInvalid);
        }
        self.apply(&system, Commit::new().delete(&ticket)).await.map_err(burned)?;
        let credential: PublicKeyCredential = serde_json::from_value(credential).map_err(refused)?;
        let id = credential.get_credential_id().to_vec();
        let found = self.store.find(&system, Passkey::select().eq(Passkey::CREDENTIAL_ID, &id)).await?;
        let found = found.filter(|one| one.user_id == session.user_id).ok_or(Error::InvalidCredentials)?;
        let result = match self.webauthn.finish_passkey_authentication(&credential, &state) {
            Ok(result) => result,
            Err(error) => return Err(self.refuse_passkey(cx, &found, &error.to_string()).await),
        };
        let used = self.used(&found, found.credential()?, &result)?;
        self.pass(cx, session, "hwk", used).await
    }
}
