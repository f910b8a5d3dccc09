//! The keys of the installation: those that sign access tokens, and the one that addresses are looked up by.
//!
//! A signing key lives three times: it is **published** (in the JWKS, known to every process), then it **signs**, then it only
//! **verifies** until the last token that it signed is over. So a rotation fails no request: every process looks its keys up again
//! more often than a key is published before it signs.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use ring::signature::KeyPair as _;
use serde_json::{Value, json};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::SigningKeyId;
use stoa_kernel::store::{Commit, Record, StoreErrorKind};

use crate::Error;
use crate::service::Identity;

/// How long a process works with the keys that it has looked up, in microseconds.
const FRESH_US: i64 = 30_000_000;
/// How soon it looks again when it meets a key that it does not know, in microseconds.
const AGAIN_US: i64 = 1_000_000;
/// How long a key is published before it signs, in microseconds.
pub const PUBLISHED_US: i64 = 120_000_000;

const TOKENS: &str = "tokens";
const INDEX: &str = "index";

/// A key of the installation.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "installation_keys", entity = "installation_key", system, version = version,
         unique(installation_keys_generation_key = (purpose, generation)))]
pub struct InstallationKey {
    /// Its id; the `kid` of tokens.
    #[record(key)]
    pub id: SigningKeyId,
    /// `tokens` or `index`.
    #[record(plain, about = "what the key is for")]
    pub purpose: String,
    /// From 1: so that two processes do not both make the first.
    pub generation: i64,
    /// `HS256`, `EdDSA`, `RS256` or `blake3`.
    #[record(plain, about = "how the key is used")]
    pub algorithm: String,
    /// The key.
    #[record(
        encrypted,
        plain,
        about = "signs access tokens, or keys the hashes that addresses are found by"
    )]
    pub secret: Vec<u8>,
    /// From when on it signs.
    pub signs_from: Micros,
    /// Until when it verifies; null while nothing has replaced it.
    pub verifies_until: Option<Micros>,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
}

/// How access tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signature {
    /// HMAC with SHA-256: the same key signs and verifies; only this installation can verify.
    #[default]
    Hs256,
    /// Ed25519 (RFC 8037): anybody can verify.
    EdDsa,
    /// RSA with SHA-256, 2048 bits: anybody can verify, also what is old.
    Rs256,
}

impl Signature {
    const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

impl std::str::FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Hs256, Self::EdDsa, Self::Rs256]
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or_else(|| "tokens are signed with HS256, EdDSA or RS256".to_owned())
    }
}

/// A key of access tokens, ready to be used.
pub(crate) struct TokenKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) signing: EncodingKey,
    pub(crate) verifying: DecodingKey,
    /// Only the signature: times are of our clock, and everything else is compared where it is known.
    pub(crate) validation: Validation,
    signs_from: Micros,
    verifies_until: Option<Micros>,
    /// What is published; nothing of a key that signs and verifies.
    public: Option<Value>,
}

/// The keys that a process works with.
pub(crate) struct Keys {
    index: [u8; 32],
    tokens: Vec<TokenKey>,
    read_at: Micros,
}

impl Keys {
    /// The key that signs now: the newest whose time has come.
    pub(crate) fn signing(&self, now: Micros) -> Option<&TokenKey> {
        self.tokens.iter().filter(|key| key.signs_from <= now).max_by_key(|key| key.signs_from)
    }

    /// The key of a token.
    pub(crate) fn verifying(&self, kid: &str, now: Micros) -> Option<&TokenKey> {
        self.tokens.iter().find(|key| key.kid == kid && key.verifies_until.is_none_or(|until| now < until))
    }

    /// What a personal value is found by.
    pub(crate) fn lookup(&self, purpose: &str, text: &str) -> Vec<u8> {
        let mut hash = blake3::Hasher::new_keyed(&self.index);
        hash.update(purpose.as_bytes()).update(&[0]).update(text.as_bytes());
        hash.finalize().as_bytes().to_vec()
    }

    /// A key of something else, that only this installation can have.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.index)
    }
}

fn broken(what: &str) -> Error {
    stoa_kernel::store::StoreError::new(StoreErrorKind::Corrupt, format!("a key of the installation {what}"))
        .into()
}

fn token_key(key: &InstallationKey) -> Result<TokenKey, Error> {
    let kid = key.id.to_string();
    let signature: Signature = key.algorithm.parse().map_err(|_| broken("has an unknown algorithm"))?;
    let secret = key.secret.as_slice();
    let (signing, verifying, public) = match signature {
        Signature::Hs256 => (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret), None),
        Signature::EdDsa => {
            let pair = ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(secret)
                .map_err(|_| broken("is no Ed25519 key"))?;
            let x = BASE64.encode(pair.public_key().as_ref());
            let verifying = DecodingKey::from_ed_components(&x).map_err(|_| broken("has no public part"))?;
            let public =
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x});
            (EncodingKey::from_ed_der(secret), verifying, Some(public))
        }
        Signature::Rs256 => {
            let pair =
                ring::signature::RsaKeyPair::from_pkcs8(secret).map_err(|_| broken("is no RSA key"))?;
            let part = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
            let verifying = DecodingKey::from_rsa_raw_components(&part.n, &part.e);
            let public = json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": BASE64.encode(&part.n), "e": BASE64.encode(&part.e)
            });
            (EncodingKey::from_rsa_der(secret), verifying, Some(public))
        }
    };
    let (signs_from, verifies_until) = (key.signs_from, key.verifies_until);
    let algorithm = signature.algorithm();
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    Ok(TokenKey { kid, algorithm, signing, verifying, validation, signs_from, verifies_until, public })
}

/// A new secret for a signature.
fn generate(signature: Signature, entropy: &dyn stoa_kernel::entropy::Entropy) -> Result<Vec<u8>, Error> {
    use crypto_glue::traits::Pkcs8EncodePrivateKey as _;
    Ok(match signature {
        Signature::Hs256 => entropy.bytes::<32>()?.to_vec(),
        Signature::EdDsa => ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
            .map_err(|_| broken("could not be made"))?
            .as_ref()
            .to_vec(),
        Signature::Rs256 => crypto_glue::rsa::new_key(2_048)
            .ok()
            .and_then(|key| key.to_pkcs8_der().ok())
            .ok_or_else(|| broken("could not be made"))?
            .as_bytes()
            .to_vec(),
    })
}

impl Identity {
    /// The keys of the installation. Those that are needed and not there are made.
    pub(crate) async fn keys(&self) -> Result<Arc<Keys>, Error> {
        let now = self.clock.steady();
        match self.known_keys() {
            Some(keys) if now.since(keys.read_at) < FRESH_US => Ok(keys),
            _ => self.read_keys().await,
        }
    }

    /// The keys, looked up again where the ones at hand do not have what is asked for.
    pub(crate) async fn keys_with(&self, kid: &str) -> Result<Arc<Keys>, Error> {
        let keys = self.keys().await?;
        let is_known = keys.tokens.iter().any(|key| key.kid == kid);
        if is_known || self.clock.steady().since(keys.read_at) < AGAIN_US {
            return Ok(keys);
        }
        self.read_keys().await
    }

    async fn read_keys(&self) -> Result<Arc<Keys>, Error> {
        let cx = self.internal();
        // Twice: what is missing is made, perhaps by another process at the same time.
        for _ in 0..3 {
            let read_at = self.clock.steady();
            let found = self
                .store
                .list(&cx, InstallationKey::select().ascending(InstallationKey::GENERATION))
                .await?;
            let index = found.iter().find(|key| key.purpose == INDEX);
            let tokens: Vec<&InstallationKey> = found.iter().filter(|key| key.purpose == TOKENS).collect();
            if let (Some(index), false) = (index, tokens.is_empty()) {
                let index = index.secret.as_slice().try_into().map_err(|_| broken("has another length"))?;
                let tokens = tokens.into_iter().map(token_key).collect::<Result<_, _>>()?;
                let keys = Arc::new(Keys { index, tokens, read_at });
                self.remember_keys(&keys);
                return Ok(keys);
            }
            let mut commit = Commit::new();
            if index.is_none() {
                commit = commit.insert(&self.new_key(
                    INDEX,
                    1,
                    "blake3",
                    self.entropy.bytes::<32>()?.to_vec(),
                    0,
                )?);
            }
            if tokens.is_empty() {
                let signature = self.settings.signature;
                let secret = generate(signature, self.entropy.as_ref())?;
                commit = commit.insert(&self.new_key(TOKENS, 1, signature.name(), secret, 0)?);
            }
            match self.store.commit(&cx, commit).await {
                Err(error) if error.kind != StoreErrorKind::Duplicate => return Err(error.into()),
                _ => {}
            }
        }
        Err(broken("cannot be made"))
    }

    fn new_key(
        &self,
        purpose: &str,
        generation: i64,
        algorithm: &str,
        secret: Vec<u8>,
        in_us: i64,
    ) -> Result<InstallationKey, Error> {
        let now = self.clock.now();
        Ok(InstallationKey {
            id: self.ids.next()?,
            purpose: purpose.to_owned(),
            generation,
            algorithm: algorithm.to_owned(),
            secret,
            signs_from: now.plus(in_us),
            verifies_until: None,
            version: 1,
            created_at: now,
        })
    }

    /// Makes the next signing key: published now, signing after [`PUBLISHED_US`]; the ones before it verify until their last token is
    /// over. Those that verify nothing any more are removed.
    ///
    /// # Errors
    /// [`Error::Store`]; a conflict when another process rotates at the same time.
    pub async fn rotate_signing_keys(&self, cx: &Context) -> Result<SigningKeyId, Error> {
        let now = self.clock.now();
        let query = InstallationKey::select()
            .eq(InstallationKey::PURPOSE, &TOKENS.to_owned())
            .ascending(InstallationKey::GENERATION);
        let found = self.store.list(cx, query).await?;
        let next = found.last().map_or(1, |last| last.generation + 1);
        let signature = self.settings.signature;
        let secret = generate(signature, self.entropy.as_ref())?;
        let key = self.new_key(TOKENS, next, signature.name(), secret, PUBLISHED_US)?;
        let until = key.signs_from.plus(self.settings.access_us + 60_000_000);
        let mut commit = Commit::new().insert(&key).action("installation_key.rotated");
        for old in &found {
            commit = match old.verifies_until {
                Some(over) if over <= now => commit.delete(old),
                Some(_) => commit,
                None => commit.update(
                    old,
                    &InstallationKey { verifies_until: Some(until), version: old.version + 1, ..old.clone() },
                ),
            };
        }
        self.store.commit(cx, commit).await?;
        self.read_keys().await?;
        Ok(key.id)
    }

    /// Rotates when the newest signing key is older than `age_us`.
    ///
    /// # Errors
    /// As [`Identity::rotate_signing_keys`].
    pub async fn rotate_when_old(&self, age_us: i64) -> Result<(), Error> {
        let keys = self.keys().await?;
        let newest = keys.tokens.iter().map(|key| key.signs_from).max();
        if newest.is_some_and(|newest| self.clock.now().since(newest) > age_us) {
            self.rotate_signing_keys(&self.internal()).await?;
        }
        Ok(())
    }

    /// The public parts of the keys that verify (RFC 7517), those that do not sign yet among them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn jwks(&self) -> Result<Value, Error> {
        let (keys, now) = (self.keys().await?, self.clock.now());
        let live = keys.tokens.iter().filter(|key| key.verifies_until.is_none_or(|until| now < until));
        Ok(json!({"keys": live.filter_map(|key| key.public.clone()).collect::<Vec<_>>()}))
    }

    /// What an address is found by.
    pub(crate) async fn email_key(&self, email: &crate::Email) -> Result<Vec<u8>, Error> {
        Ok(self.keys().await?.lookup("email", &email.folded()))
    }
}

/// A set of keys with one that signs, for tests.
#[cfg(test)]
pub(crate) fn fixed(signature: Signature) -> Keys {
    struct Fixed;
    impl stoa_kernel::entropy::Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), stoa_kernel::entropy::NoEntropy> {
            bytes.fill(7);
            Ok(())
        }
    }
    let key = InstallationKey {
        id: SigningKeyId::from_raw(77).unwrap(),
        purpose: TOKENS.to_owned(),
        generation: 1,
        algorithm: signature.name().to_owned(),
        secret: generate(signature, &Fixed).unwrap(),
        signs_from: Micros(0),
        verifies_until: None,
        version: 1,
        created_at: Micros(0),
    };
    Keys { index: [7; 32], tokens: vec![token_key(&key).unwrap()], read_at: Micros(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_known_before_it_signs_and_the_old_one_verifies_until_its_last_token_is_over() {
        let mut keys = fixed(Signature::Hs256);
        let mut next = fixed(Signature::EdDsa).tokens.remove(0);
        (next.kid, next.signs_from) = ("next".to_owned(), Micros(100));
        keys.tokens.push(next);
        let old = keys.tokens[0].kid.clone();
        keys.tokens[0].verifies_until = Some(Micros(1_000));
        let signs = |now| keys.signing(Micros(now)).map(|key| key.kid.clone());
        assert_eq!((signs(99), signs(100)), (Some(old.clone()), Some("next".to_owned())));
        for now in [0, 99, 100, 999] {
            assert!(
                keys.verifying("next", Micros(now)).is_some() && keys.verifying(&old, Micros(now)).is_some(),
                "{now}"
            );
        }
        assert!(
            keys.verifying(&old, Micros(1_000)).is_none() && keys.verifying("next", Micros(1_000)).is_some()
        );
    }

    #[test]
    fn what_is_published_says_nothing_secret() {
        assert!(
            fixed(Signature::Hs256).tokens[0].public.is_none(),
            "a key that signs and verifies is published nowhere"
        );
        for (signature, members) in [(Signature::EdDsa, ["crv", "x"]), (Signature::Rs256, ["n", "e"])] {
            let public = fixed(signature).tokens[0].public.clone().unwrap();
            assert!(members.iter().all(|name| public[name].is_string()) && public["d"].is_null(), "{public}");
        }
    }
}
