//! Sealed columns: AES-256-GCM with a data key for each organization, wrapped by a master key.
//!
//! ```text
//! "v1:" ‖ version of the data key (4, big endian) ‖ nonce (12, random) ‖ ciphertext ‖ tag (16)
//! associated data: table ‖ 0 ‖ column ‖ 0 ‖ organization (8) ‖ key of the row
//! ```
//!
//! The associated data binds a value to its place, so a sealed value that is moved to another row, column or organization does not
//! open. Destroying an organization's data key erases its secrets. (NIST SP 800-38D.)

use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use secrecy::{ExposeSecret as _, SecretBox};
use stoa_kernel::clock::Micros;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{RecordMeta, StoreError, StoreErrorKind, Value};

const MARK: &[u8] = b"v1:";
const NONCE_BYTES: usize = 12;

/// The keys that wrap data keys, by name; the first one wraps new ones.
pub struct MasterKeys(Vec<(String, SecretBox<[u8; 32]>)>);

impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A text that holds no master keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "master keys are lines of a name, a colon and 64 hexadecimal digits, the current one first; line {line} is not"
)]
pub struct ParseMasterKeysError {
    line: usize,
}

impl MasterKeys {
    /// Reads `name:64 hexadecimal digits`, one on each line or separated by commas, the current one first.
    ///
    /// # Errors
    /// [`ParseMasterKeysError`], which does not show the key.
    pub fn parse(text: &str) -> Result<Self, ParseMasterKeysError> {
        let mut keys = Vec::new();
        for (line, entry) in
            (1..).zip(text.split(['\n', ',']).map(str::trim).filter(|entry| !entry.is_empty()))
        {
            let error = || ParseMasterKeysError { line };
            let (name, digits) = entry.split_once(':').ok_or_else(error)?;
            if name.is_empty() || name.len() > 64 || digits.len() != 64 || !digits.is_ascii() {
                return Err(error());
            }
            let mut key = [0u8; 32];
            for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
                let pair = std::str::from_utf8(pair).map_err(|_| error())?;
                *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
            }
            keys.push((name.to_owned(), SecretBox::new(Box::new(key))));
        }
        if keys.is_empty() { Err(ParseMasterKeysError { line: 1 }) } else { Ok(Self(keys)) }
    }

    /// The text of a new key with a name.
    ///
    /// # Errors
    /// When the machine gives no random bytes.
    pub fn generate(name: &str) -> Result<String, StoreError> {
        let key = random::<32>()?;
        Ok(format!("{name}:{}", key.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
    }

    /// The name of the key that wraps new data keys.
    #[must_use]
    pub fn current(&self) -> &str {
        self.0.first().map_or("", |(name, _)| name)
    }

    fn cipher(&self, name: &str) -> Option<Aes256Gcm> {
        let (_, key) = self.0.iter().find(|(known, _)| known == name)?;
        Some(Aes256Gcm::new(key.expose_secret().into()))
    }
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, format!("no random bytes: {error}")))?;
    Ok(bytes)
}

fn corrupt(meta: &RecordMeta, column: &str, why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, format!("{}.{column} does not open: {why}", meta.table))
}

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The name of the master key.
    pub master: String,
    /// The sealed key.
    pub bytes: Vec<u8>,
}

/// Seals and opens. Data keys are loaded by the store and kept here.
#[derive(Debug)]
pub struct Vault {
    masters: MasterKeys,
    keys: RwLock<HashMap<i64, Keys>>,
}

/// How long keys are used before they are looked up again, in microseconds: so long may another process seal by a key that was
/// rotated here, or open what was sealed by one that was destroyed here.
pub(crate) const FRESH_US: i64 = 30_000_000;

/// The keys of one organization, as they were stored.
struct Keys {
    by_version: BTreeMap<u32, Aes256Gcm>,
    loaded: Micros,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.by_version.keys()).finish()
    }
}

impl Keys {
    fn newest(&self) -> Option<(u32, &Aes256Gcm)> {
        self.by_version.last_key_value().map(|(&version, cipher)| (version, cipher))
    }

    fn is_fresh(&self, now: Micros) -> bool {
        now.since(self.loaded) < FRESH_US
    }
}

impl Vault {
    /// A vault that knows no data key yet.
    #[must_use]
    pub fn new(masters: MasterKeys) -> Self {
        Self { masters, keys: RwLock::default() }
    }

    /// The master keys.
    #[must_use]
    pub const fn masters(&self) -> &MasterKeys {
        &self.masters
    }

    /// Whether the newest data key of the organization is known, so that values can be sealed. `now` is that of a steady clock.
    #[must_use]
    pub fn can_seal(&self, organization: i64, now: Micros) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&organization).is_some_and(|keys| keys.is_fresh(now) && !keys.by_version.is_empty())
    }

    /// Makes a data key for an organization; it is of use once it is stored and [`Vault::learn`]ed.
    ///
    /// # Errors
    /// When the machine gives no random bytes.
    pub fn new_data_key(&self, organization: i64, version: i64) -> Result<Wrapped, StoreError> {
        self.wrap(organization, version, &random::<32>()?)
    }

    fn wrap(&self, organization: i64, version: i64, key: &[u8; 32]) -> Result<Wrapped, StoreError> {
        let master = self.masters.current().to_owned();
        let sealed = self
            .masters
            .cipher(&master)
            .and_then(|cipher| seal(&cipher, key, &wrap_place(organization, version)).ok())
            .ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "there is no master key"))?;
        Ok(Wrapped { master, bytes: sealed })
    }

    fn unwrap(&self, organization: i64, version: i64, wrapped: &Wrapped) -> Result<[u8; 32], StoreError> {
        let error = |why: &str| {
            let whose = OrganizationId::from_raw(organization.cast_unsigned())
                .map_or_else(|| "the installation".to_owned(), |id| id.to_string());
            StoreError::new(
                StoreErrorKind::Corrupt,
                format!("data key {version} of {whose} does not open: {why}"),
            )
        };
        let cipher = self.masters.cipher(&wrapped.master).ok_or_else(|| {
            error(&format!("the master key \"{}\" is not among those configured", wrapped.master))
        })?;
        open(&cipher, &wrapped.bytes, &wrap_place(organization, version))
            .and_then(|key| key.try_into().ok())
            .ok_or_else(|| error("the master key of this name is another one"))
    }

    /// Takes the data keys of an organization, as they are stored at `now`, into use: these and no others.
    ///
    /// # Errors
    /// When the master key of one is not known, or is another one.
    pub fn learn(&self, organization: i64, stored: &[(i64, Wrapped)], now: Micros) -> Result<(), StoreError> {
        let mut by_version = BTreeMap::new();
        for (version, wrapped) in stored {
            let key = self.unwrap(organization, *version, wrapped)?;
            by_version.insert(u32::try_from(*version).unwrap_or(u32::MAX), Aes256Gcm::new((&key).into()));
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(organization, Keys { by_version, loaded: now });
        Ok(())
    }

    /// Whether a stored data key opens.
    ///
    /// # Errors
    /// When its master key is not known, or is another one.
    pub fn opens(&self, organization: i64, version: i64, wrapped: &Wrapped) -> Result<(), StoreError> {
        self.unwrap(organization, version, wrapped).map(|_| ())
    }

    /// Wraps a stored data key by the current master key; `None` when it is already.
    ///
    /// # Errors
    /// As [`Vault::learn`].
    pub fn rewrap(
        &self,
        organization: i64,
        version: i64,
        wrapped: &Wrapped,
    ) -> Result<Option<Wrapped>, StoreError> {
        if wrapped.master == self.masters.current() {
            return Ok(None);
        }
        let key = self.unwrap(organization, version, wrapped)?;
        self.wrap(organization, version, &key).map(Some)
    }

    /// Seals the marked columns of a row.
    ///
    /// # Errors
    /// When no data key of the organization has been learned.
    pub fn seal_row(&self, meta: &RecordMeta, values: &mut [Value]) -> Result<(), StoreError> {
        if !meta.has_sealed() {
            return Ok(());
        }
        let (organization, key) = place_of(meta, values);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        for (column, value) in
            meta.columns.iter().zip(values.iter_mut()).filter(|(column, _)| column.encrypted)
        {
            let plain = match &*value {
                Value::Null => continue,
                Value::Text(text) | Value::Json(text) => text.clone().into_bytes(),
                Value::Bytes(bytes) => bytes.clone(),
                Value::Integer(number) => number.to_string().into_bytes(),
                Value::Boolean(flag) => flag.to_string().into_bytes(),
            };
            let Some((version, cipher)) = keys.get(&organization).and_then(Keys::newest) else {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "the data key is not loaded"));
            };
            let sealed = seal(cipher, &plain, &aad(meta, column.name, organization, &key))?;
            let mut bytes = MARK.to_vec();
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(&sealed);
            *value = Value::Bytes(bytes);
        }
        Ok(())
    }

    /// The organization whose data keys must be looked up before a row is opened: one that it needs is not known, or they were
    /// looked up long ago.
    #[must_use]
    pub fn missing_key(&self, meta: &RecordMeta, values: &[Value], now: Micros) -> Option<i64> {
        if !meta.has_sealed() {
            return None;
        }
        let (organization, _) = place_of(meta, values);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(&organization).filter(|keys| keys.is_fresh(now));
        let sealed = meta.columns.iter().zip(values).filter(|(column, _)| column.encrypted);
        sealed
            .filter_map(|(_, value)| match value {
                Value::Bytes(bytes) => version_of(bytes),
                _ => None,
            })
            .any(|version| known.is_none_or(|keys| !keys.by_version.contains_key(&version)))
            .then_some(organization)
    }

    /// Whether a sealed value of the row is sealed by another key than the newest.
    #[must_use]
    pub fn is_stale(&self, meta: &RecordMeta, values: &[Value]) -> bool {
        let (organization, _) = place_of(meta, values);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let newest = keys.get(&organization).and_then(Keys::newest).map(|(version, _)| version);
        meta.columns.iter().zip(values).any(|(column, value)| match value {
            Value::Bytes(bytes) if column.encrypted => version_of(bytes) != newest,
            _ => false,
        })
    }

    /// Opens the marked columns of a row.
    ///
    /// # Errors
    /// When a value was altered or moved, or its key has been destroyed.
    pub fn open_row(&self, meta: &RecordMeta, values: &mut [Value]) -> Result<(), StoreError> {
        if !meta.has_sealed() {
            return Ok(());
        }
        let (organization, key) = place_of(meta, values);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        for (column, value) in
            meta.columns.iter().zip(values.iter_mut()).filter(|(column, _)| column.encrypted)
        {
            let Value::Bytes(bytes) = &*value else { continue };
            let error = |why| corrupt(meta, column.name, why);
            let version = version_of(bytes).ok_or_else(|| error("it is not a sealed value"))?;
            let cipher = keys
                .get(&organization)
                .and_then(|keys| keys.by_version.get(&version))
                .ok_or_else(|| error("its data key has been destroyed"))?;
            let sealed = bytes.get(MARK.len() + 4..).unwrap_or(&[]);
            let plain = open(cipher, sealed, &aad(meta, column.name, organization, &key))
                .ok_or_else(|| error("it was altered or moved"))?;
            *value =
                read(column.kind, plain).ok_or_else(|| error("it does not hold what the column holds"))?;
        }
        Ok(())
    }
}

fn read(kind: stoa_kernel::store::Kind, plain: Vec<u8>) -> Option<Value> {
    use stoa_kernel::store::Kind;
    if kind == Kind::Bytes {
        return Some(Value::Bytes(plain));
    }
    let text = String::from_utf8(plain).ok()?;
    Some(match kind {
        Kind::Text | Kind::Bytes => Value::Text(text),
        Kind::Json => Value::Json(text),
        Kind::Integer => Value::Integer(text.parse().ok()?),
        Kind::Boolean => Value::Boolean(text.parse().ok()?),
    })
}

fn version_of(bytes: &[u8]) -> Option<u32> {
    bytes.strip_prefix(MARK)?.first_chunk::<4>().map(|version| u32::from_be_bytes(*version))
}

/// The organization whose key seals a row, and the row's own key as bytes.
fn place_of(meta: &RecordMeta, values: &[Value]) -> (i64, Vec<u8>) {
    let organization =
        meta.tenant().and_then(|tenant| values.get(tenant)).and_then(Value::integer).unwrap_or(0);
    let mut key = Vec::new();
    for value in meta.key.iter().filter_map(|&index| values.get(index)) {
        match value {
            Value::Integer(number) => key.extend_from_slice(&number.to_be_bytes()),
            Value::Text(text) => {
                key.extend_from_slice(&(text.len() as u64).to_be_bytes());
                key.extend_from_slice(text.as_bytes());
            }
            _ => key.push(0),
        }
    }
    (organization, key)
}

fn aad(meta: &RecordMeta, column: &str, organization: i64, key: &[u8]) -> Vec<u8> {
    [meta.table.as_bytes(), &[0], column.as_bytes(), &[0], &organization.to_be_bytes(), key].concat()
}

fn wrap_place(organization: i64, version: i64) -> Vec<u8> {
    [b"organization_keys".as_slice(), &organization.to_be_bytes(), &version.to_be_bytes()].concat()
}

fn seal(cipher: &Aes256Gcm, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce = random::<NONCE_BYTES>()?;
    let sealed = cipher
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad })
        .map_err(|_| StoreError::new(StoreErrorKind::Invalid, "the value is too long to be sealed"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn open(cipher: &Aes256Gcm, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bookkeeping::IdempotencyKey;
    use stoa_kernel::store::Record as _;

    fn vault() -> Vault {
        let vault = Vault::new(MasterKeys::parse(&MasterKeys::generate("a").unwrap()).unwrap());
        for organization in [1, 2] {
            let key = vault.new_data_key(organization, 1).unwrap();
            vault.learn(organization, &[(1, key)], Micros(0)).unwrap();
        }
        vault
    }

    fn row(organization: i64, key: &str) -> Vec<Value> {
        vec![
            Value::Integer(organization),
            Value::Text("system".to_owned()),
            Value::Text(key.to_owned()),
            Value::Bytes(vec![0; 32]),
            Value::Integer(200),
            Value::Json("[]".to_owned()),
            Value::Text("a secret".to_owned()),
            Value::Integer(0),
        ]
    }

    #[test]
    fn a_sealed_value_opens_in_its_own_place_alone() {
        let (vault, meta) = (vault(), IdempotencyKey::META);
        let mut sealed = row(1, "k");
        vault.seal_row(meta, &mut sealed).unwrap();
        assert!(!format!("{sealed:?}").contains("secret"));
        let mut opened = sealed.clone();
        vault.open_row(meta, &mut opened).unwrap();
        assert_eq!(opened, row(1, "k"));
        for (organization, key) in [(2, "k"), (1, "other")] {
            let mut moved = row(organization, key);
            moved[6] = sealed[6].clone();
            assert_eq!(vault.open_row(meta, &mut moved).unwrap_err().kind, StoreErrorKind::Corrupt);
        }
        if let Value::Bytes(bytes) = &mut sealed[6] {
            *bytes.last_mut().unwrap() ^= 1;
        }
        assert_eq!(vault.open_row(meta, &mut sealed).unwrap_err().kind, StoreErrorKind::Corrupt);
    }

    #[test]
    fn a_new_data_key_seals_and_the_old_one_still_opens() {
        let (vault, meta) = (vault(), IdempotencyKey::META);
        let first = (1, vault.new_data_key(1, 1).unwrap());
        vault.learn(1, std::slice::from_ref(&first), Micros(0)).unwrap();
        let mut old = row(1, "k");
        vault.seal_row(meta, &mut old).unwrap();
        assert!(!vault.is_stale(meta, &old));
        let second = (2, vault.new_data_key(1, 2).unwrap());
        vault.learn(1, &[first, second.clone()], Micros(0)).unwrap();
        assert!(vault.is_stale(meta, &old));
        let mut opened = old.clone();
        vault.open_row(meta, &mut opened).unwrap();
        vault.seal_row(meta, &mut opened).unwrap();
        assert!(!vault.is_stale(meta, &opened));
        vault.learn(1, &[second], Micros(0)).unwrap();
        let destroyed = vault.open_row(meta, &mut old).unwrap_err();
        assert!(destroyed.to_string().contains("destroyed"), "a key that is stored no more is used no more");
    }

    #[test]
    fn keys_are_looked_up_again_after_a_while() {
        let (vault, meta) = (vault(), IdempotencyKey::META);
        let mut sealed = row(1, "k");
        vault.seal_row(meta, &mut sealed).unwrap();
        let (soon, late) = (Micros(FRESH_US - 1), Micros(FRESH_US));
        assert!(vault.can_seal(1, soon) && !vault.can_seal(1, late));
        assert_eq!(
            (vault.missing_key(meta, &sealed, soon), vault.missing_key(meta, &sealed, late)),
            (None, Some(1))
        );
    }

    #[test]
    fn a_new_master_key_wraps_what_the_old_one_did() {
        let old = MasterKeys::generate("old").unwrap();
        let first = Vault::new(MasterKeys::parse(&old).unwrap());
        let wrapped = first.new_data_key(1, 1).unwrap();
        let both = Vault::new(
            MasterKeys::parse(&format!("{}\n{old}", MasterKeys::generate("new").unwrap())).unwrap(),
        );
        let again = both.rewrap(1, 1, &wrapped).unwrap().unwrap();
        assert_eq!(again.master, "new");
        assert_eq!(both.rewrap(1, 1, &again), Ok(None));
        let stored = [(1, again)];
        both.learn(1, &stored, Micros(0)).unwrap();
        assert!(first.learn(1, &stored, Micros(0)).unwrap_err().to_string().contains("\"new\" is not among"));
    }

    #[test]
    fn malformed_master_keys_are_refused_without_being_shown() {
        for bad in ["", "a", "a:12", &format!("a:{}", "z".repeat(64)), &format!(":{}", "0".repeat(64))] {
            let error = MasterKeys::parse(bad).unwrap_err().to_string();
            assert!(error.contains("line 1") && (bad.len() < 9 || !error.contains(bad)), "{error}");
        }
    }
}
