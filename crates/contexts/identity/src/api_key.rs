//! API keys: what programs sign in with.
//!
//! `stoa_<8 characters>_<52 characters><6 characters>`: a name by which it is found, 256 random bits, and a checksum, by which a typo
//! is refused without asking anybody, and a leak is found by scanners.

use ipnet::IpNet;
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{ApiKeyId, OrganizationId, UserId};
use stoa_kernel::store::{Commit, Json, Page, PageRequest, Query, Record, StoreError, StoreErrorKind};

use crate::Error;
use crate::access::{Permission, Permissions};
use crate::facts::{ApiKeyChanged, ApiKeyCreated};
use crate::opaque::{Secret, equal, hash};
use crate::service::Identity;

const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;
/// How long an old key may go on working after a rotation, in seconds: 30 days.
pub const GRACE_S_MAX: u32 = 30 * 86_400;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A key of a program.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "api_keys", entity = "api_key", tenant = organization_id, version = version,
         unique(api_keys_reference_key = (organization_id, reference)))]
pub struct ApiKey {
    /// Its id.
    #[record(key)]
    pub id: ApiKeyId,
    /// The organization that it is good for.
    pub organization_id: OrganizationId,
    /// What it is found by.
    #[record(plain, about = "the public part of the key")]
    pub reference: String,
    /// The hash of the key.
    #[record(plain, about = "a hash")]
    pub hash: Vec<u8>,
    /// The hash of the key before the last rotation.
    #[record(plain, about = "a hash")]
    pub previous_hash: Option<Vec<u8>>,
    /// Until when that one works.
    pub previous_until: Micros,
    /// What people call it.
    #[record(plain, about = "the name of a program")]
    pub name: String,
    /// What it may do: permissions.
    #[record(plain, about = "names of permissions")]
    pub scopes: Json<Vec<String>>,
    /// From where it may be used; from anywhere where there are none.
    #[record(plain, about = "networks that a program runs in")]
    pub networks: Json<Vec<String>>,
    /// Who made it, and with whose permissions it works.
    pub user_id: UserId,
    /// The most requests of a minute.
    pub rate_per_minute: Option<u32>,
    /// Until when it is good.
    pub valid_until: Option<Micros>,
    /// The day on which it was last used, since 1970; 0 when it never was.
    pub last_used_day: i64,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
}

/// What a key is to be.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
    /// From where.
    pub networks: Vec<IpNet>,
    /// The most requests of a minute.
    pub rate_per_minute: Option<u32>,
    /// How many days it is good.
    pub days: Option<u32>,
}

fn base32(bytes: &[u8]) -> String {
    let (mut text, mut buffer, mut bits) = (String::new(), 0u32, 0);
    let push = |text: &mut String, digit: u32| {
        text.push(DIGITS.get(usize::try_from(digit & 31).unwrap_or(0)).map_or('0', |byte| char::from(*byte)));
    };
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(&mut text, buffer >> bits);
        }
    }
    if bits > 0 {
        push(&mut text, buffer << (5 - bits));
    }
    text
}

/// The last six characters of a key: 30 bits of a hash of everything before them.
fn checksum(text: &str) -> String {
    let mut sum = base32(blake3::hash(text.as_bytes()).as_bytes());
    sum.truncate(6);
    sum
}

/// The name by which a key is found, if the text is a key at all.
#[must_use]
pub fn reference(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("stoa_")?;
    let (reference, secret) = rest.split_once('_')?;
    if reference.len() != 8 || secret.len() != 58 || !secret.is_ascii() {
        return None;
    }
    let (body, sum) = text.split_at(text.len() - 6);
    (checksum(body) == sum).then_some(reference)
}

impl ApiKey {
    /// Whether a text is this key, now.
    #[must_use]
    pub fn is(&self, text: &str, now: Micros) -> bool {
        let given = hash(text);
        let is_current = equal(&self.hash, &given);
        let is_previous = self.previous_hash.as_ref().is_some_and(|previous| equal(previous, &given))
            && now < self.previous_until;
        let is_live = self.revoked_at.is_none() && self.valid_until.is_none_or(|until| now < until);
        (is_current || is_previous) && is_live
    }

    /// What it may do at most, whoever made it.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        self.scopes.0.iter().filter_map(|scope| scope.parse::<Permission>().ok()).collect()
    }

    /// Whether it may be used from an address.
    #[must_use]
    pub fn admits(&self, address: Option<std::net::IpAddr>) -> bool {
        let networks = self.networks.0.iter().filter_map(|network| network.parse::<IpNet>().ok());
        self.networks.0.is_empty()
            || address.is_some_and(|address| {
                networks.into_iter().any(|network| network.contains(&address.to_canonical()))
            })
    }
}

fn organization(cx: &Context) -> Result<OrganizationId, Error> {
    cx.scope.organization().ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "no organization").into())
}

impl Identity {
    fn mint_key(&self, reference: &str) -> Result<(Secret, Vec<u8>), Error> {
        let body = format!("stoa_{reference}_{}", base32(&self.entropy.bytes::<32>()?));
        let text = format!("{body}{}", checksum(&body));
        let hash = hash(&text).to_vec();
        Ok((Secret::new(text), hash))
    }

    /// Makes a key with no more permissions than its maker has. It is shown once.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::QuotaExceeded`].
    pub async fn create_key(
        &self,
        cx: &Context,
        user: UserId,
        own: Permissions,
        draft: Draft,
    ) -> Result<(ApiKey, Secret, Commit), Error> {
        if let Some(beyond) = draft.scopes.iter().find(|scope| !own.has(**scope)) {
            return Err(Error::Forbidden(format!("you do not have {beyond} yourself")));
        }
        let now = self.clock.now();
        let reference = base32(&self.entropy.bytes::<5>()?);
        let (secret, hash) = self.mint_key(&reference)?;
        let key = ApiKey {
            id: self.ids.next()?,
            organization_id: organization(cx)?,
            reference,
            hash,
            previous_hash: None,
            previous_until: Micros(0),
            name: draft.name,
            scopes: Json(draft.scopes.iter().map(ToString::to_string).collect()),
            networks: Json(draft.networks.iter().map(|network| network.trunc().to_string()).collect()),
            user_id: user,
            rate_per_minute: draft.rate_per_minute,
            valid_until: draft.days.map(|days| now.plus(i64::from(days) * DAY_US)),
            last_used_day: 0,
            revoked_at: None,
            version: 1,
            created_at: now,
        };
        let told = ApiKeyCreated {
            id: key.id.to_string(),
            user: user.to_string(),
            organization: Some(key.organization_id),
        };
        let commit = Commit::new().insert(&key).event(&told);
        Ok((key, secret, commit))
    }

    /// The keys of the organization of the context.
    #[must_use]
    pub fn key_query() -> Query<ApiKey> {
        ApiKey::select().ascending(ApiKey::ID)
    }

    /// One page of them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn api_keys(&self, cx: &Context, request: PageRequest) -> Result<Page<ApiKey>, Error> {
        Ok(self.store.page(cx, Self::key_query(), request).await?)
    }

    /// The key with an id. Whoever has not made it needs to be allowed to change any.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn api_key(&self, cx: &Context, id: ApiKeyId) -> Result<ApiKey, Error> {
        self.store.find(cx, ApiKey::select().eq(ApiKey::ID, &id)).await?.ok_or(Error::NotFound("API key"))
    }

    /// A new secret for a key; the old one works on for `grace_s` seconds.
    ///
    /// # Errors
    /// [`Error::WrongState`] when it is revoked.
    pub fn rotate_key(&self, found: &ApiKey, grace_s: u32) -> Result<(ApiKey, Secret, Commit), Error> {
        if found.revoked_at.is_some() {
            return Err(Error::WrongState("the key is revoked".to_owned()));
        }
        let (secret, hash) = self.mint_key(&found.reference)?;
        let next = ApiKey {
            previous_hash: (grace_s > 0).then(|| found.hash.clone()),
            previous_until: self.clock.now().plus(i64::from(grace_s) * SECOND_US),
            hash,
            version: found.version + 1,
            ..found.clone()
        };
        let commit = self.changed_key(found, &next, "rotated").action("api_key.rotated");
        Ok((next, secret, commit))
    }

    /// Ends a key.
    ///
    /// # Errors
    /// [`Error::WrongState`] when it is revoked already.
    pub fn revoke_key(&self, found: &ApiKey) -> Result<(ApiKey, Commit), Error> {
        if found.revoked_at.is_some() {
            return Err(Error::WrongState("the key is revoked already".to_owned()));
        }
        let next = ApiKey { revoked_at: Some(self.clock.now()), version: found.version + 1, ..found.clone() };
        let commit = self.changed_key(found, &next, "revoked").action("api_key.revoked");
        Ok((next, commit))
    }

    fn changed_key(&self, found: &ApiKey, next: &ApiKey, what: &str) -> Commit {
        let told = ApiKeyChanged {
            id: found.id.to_string(),
            what: what.to_owned(),
            organization: Some(found.organization_id),
        };
        Commit::new().update(found, next).event(&told)
    }

    /// Notes the day on which a key is used, when it is another one than is known.
    pub(crate) async fn used_key(&self, cx: &Context, key: &ApiKey) -> Result<(), Error> {
        let today = self.clock.now().0.div_euclid(DAY_US);
        if key.last_used_day == today {
            return Ok(());
        }
        let next = ApiKey { last_used_day: today, version: key.version + 1, ..key.clone() };
        let commit = Commit::new().update(key, &next).action("api_key.used");
        match self.store.commit(&cx.within(Scope::Organization(key.organization_id)), commit).await {
            // Another request has noted it, or the key has changed meanwhile: that is looked up again anyway.
            Err(error) if error.kind == StoreErrorKind::Conflict => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_refused_without_asking_anybody() {
        let body = format!("stoa_{}_{}", "0123abcd", base32(&[7; 32]));
        let key = format!("{body}{}", checksum(&body));
        assert_eq!(reference(&key), Some("0123abcd"));
        for at in 0..key.len() {
            let mut typo = key.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(reference(&String::from_utf8(typo).unwrap()), None, "{at}");
        }
        assert_eq!(base32(&[0xff; 5]), "zzzzzzzz");
    }
}
