//! The cache that processes share, in Redis or Valkey. What is in it is sealed with the time when it ends, under names that say nothing: whoever
//! reads Redis learns nothing, and whoever writes to it can give nobody a role. They can at most bring back what was true within the last
//! five minutes.

use std::sync::Arc;
use std::time::Duration;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use redis::Script;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::entropy::Entropy;
use stoa_kernel::store::BoxFuture;
use stoa_runtime::cache::{Found, SharedCache};
use stoa_runtime::limiter::Unreachable;

use crate::redis::{RedisLink, unreachable};

/// The value of the first key, and the generations of the others. One that has none is given one that nobody had; it lasts
/// longer than anything that is kept under it.
///
/// For all: the new generation, and the milliseconds that it lasts.
const GET: &str = r"
local generations = {}
for i = 2, #KEYS do
  local generation = redis.call('GET', KEYS[i])
  if not generation then
    generation = ARGV[1]
    redis.call('SET', KEYS[i], generation, 'PX', ARGV[2])
  end
  generations[i - 1] = generation
end
return {redis.call('GET', KEYS[1]), table.concat(generations, '.')}
";

/// How long a generation lasts, in milliseconds: a day.
const GENERATION_MS: u32 = 86_400_000;
/// The random bytes that each value is sealed with a key of.
const SALT: usize = 24;

/// The cache in Redis.
pub struct RedisCache {
    link: RedisLink,
    get: Script,
    key: [u8; 32],
    names: [u8; 32],
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").field("link", &self.link).finish_non_exhaustive()
    }
}

impl RedisCache {
    /// A cache on a connection of its own, sealed by a key that all processes have; `clock` is the time that they have in common. A
    /// connection that others use too hides from it that it was lost.
    #[must_use]
    pub fn on(link: RedisLink, key: [u8; 32], clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let names = blake3::derive_key("stoa 2026-11 names in the shared cache", &key);
        Self { link, get: Script::new(GET), key, names, clock, entropy }
    }

    fn place(&self, kind: &str, name: &str) -> String {
        let hash = blake3::keyed_hash(&self.names, name.as_bytes()).to_hex();
        format!("{}:{kind}:{}", self.link.prefix, hash.get(..32).unwrap_or_default())
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], Unreachable> {
        self.entropy.bytes().map_err(|error| Unreachable(error.to_string()))
    }

    /// Each value has a key of its own, so that a nonce is never used twice.
    fn cipher(&self, salt: &[u8]) -> Aes256Gcm {
        let key = blake3::keyed_hash(&self.key, salt);
        Aes256Gcm::new(key.as_bytes().into())
    }

    fn seal(&self, key: &str, generations: &str, value: &[u8], ends: Micros) -> Result<Vec<u8>, Unreachable> {
        let salt = self.random::<SALT>()?;
        let about = format!("{key}\n{generations}");
        let value = [&ends.0.to_be_bytes()[..], value].concat();
        let payload = Payload { msg: &value, aad: about.as_bytes() };
        let sealed = self.cipher(&salt).encrypt(&Nonce::default(), payload);
        let sealed = sealed.map_err(|_| Unreachable("the value cannot be sealed".to_owned()))?;
        Ok([&salt[..], &sealed].concat())
    }

    /// Nothing, unless it was sealed for this key in these generations, and has not ended; else how long it has still.
    fn open(&self, key: &str, generations: &str, sealed: &[u8]) -> Option<(Vec<u8>, Duration)> {
        let (salt, sealed) = sealed.split_at_checked(SALT)?;
        let about = format!("{key}\n{generations}");
        let payload = Payload { msg: sealed, aad: about.as_bytes() };
        let opened = self.cipher(salt).decrypt(&Nonce::default(), payload).ok()?;
        let (ends, value) = opened.split_first_chunk::<8>()?;
        let left = Micros(i64::from_be_bytes(*ends)).since(self.clock.now());
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        Some((value.to_vec(), Duration::from_micros(left)))
    }
}

type Answer = (Option<Vec<u8>>, String);

impl SharedCache for RedisCache {
    fn get<'a>(&'a self, key: &'a str, tags: &'a [String]) -> BoxFuture<'a, Result<Found, Unreachable>> {
        Box::pin(async move {
            let fresh: String = self.random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut call = self.get.prepare_invoke();
            call.key(self.place("cache", key));
            for tag in tags {
                call.key(self.place("tag", tag));
            }
            call.arg(fresh).arg(GENERATION_MS);
            let mut connection = self.link.connection.clone();
            let (sealed, generations): Answer =
                call.invoke_async(&mut connection).await.map_err(|error| unreachable(&error))?;
            let value = sealed.and_then(|sealed| self.open(key, &generations, &sealed));
            Ok(Found { value, generations })
        })
    }

    fn keep<'a>(
        &'a self,
        key: &'a str,
        generations: &'a str,
        value: &'a [u8],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Unreachable>> {
        Box::pin(async move {
            let ends = self.clock.now().plus(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX));
            let sealed = self.seal(key, generations, value, ends)?;
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
            let mut call = redis::cmd("SET");
            call.arg(self.place("cache", key)).arg(sealed).arg("PX").arg(ttl_ms);
            let mut connection = self.link.connection.clone();
            call.exec_async(&mut connection).await.map_err(|error| unreachable(&error))
        })
    }

    fn forget<'a>(&'a self, tags: &'a [String]) -> BoxFuture<'a, Result<(), Unreachable>> {
        Box::pin(async move {
            let mut call = redis::cmd("DEL");
            for tag in tags {
                call.arg(self.place("tag", tag));
            }
            let mut connection = self.link.connection.clone();
            call.exec_async(&mut connection).await.map_err(|error| unreachable(&error))
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>> {
        Box::pin(self.link.ping())
    }
}
