//! What was looked up already, for a while: in the memory of the process, before it in a cache that processes share, and only then where
//! it is kept for good.
//!
//! ```text
//! get(key, tags) ─► memory ─► shared, where there is one ─► look: once, however many ask
//! forget(tags)   ─► whatever was kept under them is found no more, here and there
//! ```
//!
//! **Generations.** Every tag has one, which changes when the tag is forgotten. What is kept is kept under the generations that its tags had
//! *before* it was looked up, and found under those that they have now. So nothing that was read before a change is found after it, whoever
//! was slow, and forgetting costs the same however much is forgotten. Losing any of it loses nothing.

use std::fmt::Debug;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stoa_kernel::clock::Clock;
use stoa_kernel::resilience::policies::CACHE;
use stoa_kernel::store::{BoxFuture, Record, Value};

use crate::guard::Gate;
use crate::limiter::Unreachable;

/// How long something is kept at most.
const TTL: Duration = Duration::from_secs(300);
/// How long it is kept that there is nothing.
const TTL_OF_NOTHING: Duration = Duration::from_secs(30);
/// The most tags whose generation is known.
const TAGS_MAX: u64 = 50_000;
/// The tag of everything.
const EVERYTHING: Tag = Tag("everything", 0);

/// What changes: a kind of thing, and which one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub &'static str, pub u64);

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:x}", self.0, self.1)
    }
}

/// What a shared cache has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The generations of the tags.
    pub generations: String,
    /// The value, if it was kept in these generations, and how long it will be kept still.
    pub value: Option<(Vec<u8>, Duration)>,
}

/// The port of a cache that processes share. It may forget whatever it likes; it must not find what was forgotten.
pub trait SharedCache: Send + Sync {
    /// What is kept under a key in the present generations of tags. A tag that has none is given one.
    ///
    /// # Errors
    /// [`Unreachable`].
    fn get<'a>(&'a self, key: &'a str, tags: &'a [String]) -> BoxFuture<'a, Result<Found, Unreachable>>;

    /// Keeps a value under the generations in which it was looked up.
    ///
    /// # Errors
    /// [`Unreachable`].
    fn keep<'a>(
        &'a self,
        key: &'a str,
        generations: &'a str,
        value: &'a [u8],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Unreachable>>;

    /// Gives tags new generations.
    ///
    /// # Errors
    /// [`Unreachable`].
    fn forget<'a>(&'a self, tags: &'a [String]) -> BoxFuture<'a, Result<(), Unreachable>>;

    /// Whether it can be reached.
    ///
    /// # Errors
    /// [`Unreachable`].
    fn ping(&self) -> BoxFuture<'_, Result<(), Unreachable>>;
}

/// A shared cache as a process knows it. Once it was not heard it is not read, until everything in it is forgotten: something could not be
/// forgotten there, or it has forgotten that it was.
struct Shared {
    port: Arc<dyn SharedCache>,
    gate: Gate,
    /// How often it was not heard; once from the start on, because it is not known what happened before.
    missed: AtomicU64,
    /// How many of those have been made up for.
    made_up: AtomicU64,
}

impl Shared {
    /// Asks it. Whoever does not hear the answer does not know what became of it meanwhile: it may come back with what it had long ago.
    async fn call<T>(&self, call: impl Future<Output = Result<T, Unreachable>>) -> Option<T> {
        let mut unheard = Unheard { missed: &self.missed, is_heard: false };
        let admitted = self.gate.admit()?;
        let timeout = Duration::from_micros(CACHE.timeout_us.into());
        let answered = tokio::time::timeout(timeout, call).await.ok().and_then(Result::ok);
        admitted.settle(answered.is_some());
        unheard.is_heard = answered.is_some();
        answered
    }

    async fn is_trusted(&self) -> bool {
        let missed = self.missed.load(Ordering::SeqCst);
        if self.made_up.load(Ordering::SeqCst) >= missed {
            return true;
        }
        let all = [EVERYTHING.to_string()];
        if self.call(self.port.forget(&all)).await.is_none() {
            return false;
        }
        self.made_up.fetch_max(missed, Ordering::SeqCst);
        self.missed.load(Ordering::SeqCst) == missed
    }

    async fn get(&self, key: &str, tags: &[Tag]) -> Option<Found> {
        if !self.is_trusted().await {
            return None;
        }
        let tags: Vec<String> = [EVERYTHING].iter().chain(tags).map(Tag::to_string).collect();
        self.call(self.port.get(key, &tags)).await
    }

    async fn forget(&self, tags: &[Tag]) {
        let tags: Vec<String> = tags.iter().map(Tag::to_string).collect();
        self.call(self.port.forget(&tags)).await;
    }

    async fn keep(&self, key: &str, generations: &str, value: &[u8], ttl: Duration) {
        self.call(self.port.keep(key, generations, value, ttl)).await;
    }
}

/// A question whose answer was not heard, also because nobody waited for it.
struct Unheard<'s> {
    missed: &'s AtomicU64,
    is_heard: bool,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if !self.is_heard {
            self.missed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Forgets in memory when it is dropped.
struct Forgetting<'c>(&'c moka::sync::Cache<Tag, u64>, &'c [Tag]);

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.1.iter().for_each(|tag| self.0.invalidate(tag));
    }
}

/// What the caches of a process have in common: what is forgotten, and the cache that processes share.
pub struct Commons {
    generations: moka::sync::Cache<Tag, u64>,
    next: AtomicU64,
    shared: Option<Arc<Shared>>,
}

impl Debug for Commons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commons").field("shared", &self.shared.is_some()).finish_non_exhaustive()
    }
}

impl Default for Commons {
    fn default() -> Self {
        let generations = moka::sync::Cache::builder()
            .max_capacity(TAGS_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { generations, next: AtomicU64::new(1), shared: None }
    }
}

/// The generations of up to two tags, and of everything.
type Mark = [u64; 3];

impl Commons {
    /// With a cache that processes share.
    #[must_use]
    pub fn with(port: Arc<dyn SharedCache>, clock: Arc<dyn Clock>) -> Self {
        let gate = Gate::new("shared cache", CACHE.breaker, clock);
        let shared = Shared { port, gate, missed: AtomicU64::new(1), made_up: AtomicU64::new(0) };
        Self { shared: Some(Arc::new(shared)), ..Self::default() }
    }

    fn mark(&self, tags: &[Tag]) -> Mark {
        let of = |tag: Option<&Tag>| match tag {
            // A generation is never given twice, so a tag that was let go of is as good as forgotten.
            Some(tag) => self.generations.get_with(*tag, || self.next.fetch_add(1, Ordering::SeqCst)),
            None => 0,
        };
        [of(Some(&EVERYTHING)), of(tags.first()), of(tags.get(1))]
    }

    /// Forgets what was kept under tags: here before it returns, and in the shared cache.
    pub async fn forget(&self, tags: &[Tag]) {
        if tags.is_empty() {
            return;
        }
        tags.iter().for_each(|tag| self.generations.invalidate(tag));
        // And again after the shared cache has: what somebody found there in between is forgotten too, however this ends.
        let _again = Forgetting(&self.generations, tags);
        metrics::counter!("stoa_cache_forgotten_total").increment(u64::try_from(tags.len()).unwrap_or(0));
        if let Some(shared) = &self.shared {
            shared.forget(tags).await;
        }
    }

    /// Forgets everything, here and in the shared cache.
    pub async fn clear(&self) {
        self.forget(&[EVERYTHING]).await;
    }

    /// Forgets everything in this process alone.
    pub fn clear_here(&self) {
        self.generations.invalidate(&EVERYTHING);
    }
}

/// Whether something was found, where it is worth keeping that nothing was.
pub trait Findable {
    /// Whether there is nothing.
    fn is_nothing(&self) -> bool;
}

impl<T> Findable for Option<T> {
    fn is_nothing(&self) -> bool {
        self.is_none()
    }
}

impl<T> Findable for Vec<T> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Findable for Arc<T> {
    fn is_nothing(&self) -> bool {
        false
    }
}

/// How a value travels.
struct Codec<V> {
    write: fn(&V) -> Option<Vec<u8>>,
    read: fn(&[u8]) -> Option<V>,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    until: Duration,
}

struct ByEntry;

impl<K, V> moka::Expiry<K, Entry<V>> for ByEntry {
    fn expire_after_create(&self, _: &K, entry: &Entry<V>, _: Instant) -> Option<Duration> {
        Some(entry.until)
    }
}

/// Values by key.
pub struct Cache<K, V> {
    name: &'static str,
    commons: Arc<Commons>,
    kept: moka::future::Cache<(K, Mark), Entry<V>>,
    codec: Option<Codec<V>>,
    spread: RandomState,
}

impl<K, V> Debug for Cache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K, V> Cache<K, V>
where
    K: Clone + Hash + Eq + Serialize + Send + Sync + 'static,
    V: Clone + Findable + Send + Sync + 'static,
{
    /// At most `entries`, in the memory of this process alone.
    #[must_use]
    pub fn here(name: &'static str, entries: u64, commons: &Arc<Commons>) -> Self {
        let kept = moka::future::Cache::builder().max_capacity(entries).expire_after(ByEntry).build();
        Self { name, commons: Arc::clone(commons), kept, codec: None, spread: RandomState::new() }
    }

    /// At most `entries` here, and in the cache that processes share, where there is one.
    #[must_use]
    pub fn shared(name: &'static str, entries: u64, commons: &Arc<Commons>) -> Self
    where
        V: Serialize + DeserializeOwned,
    {
        let codec = Codec {
            write: |value| serde_json::to_vec(value).ok(),
            read: |bytes| serde_json::from_slice(bytes).ok(),
        };
        Self { codec: Some(codec), ..Self::here(name, entries, commons) }
    }

    /// The value of a key, which changes whenever one of its tags (at most two) is forgotten. It is looked up where it is not kept: once,
    /// however many ask for it meanwhile.
    ///
    /// # Errors
    /// Those of looking up. They are not kept.
    pub async fn get<E>(&self, key: K, tags: &[Tag], look: impl Future<Output = Result<V, E>>) -> Result<V, E>
    where
        E: Clone + Send + Sync + 'static,
    {
        debug_assert!(tags.len() <= 2, "an entry has at most two tags");
        let place = (key, self.commons.mark(tags));
        if let Some(entry) = self.kept.get(&place).await {
            self.count("memory");
            return Ok(entry.value);
        }
        let key = place.0.clone();
        let found = self.kept.try_get_with(place, self.find(key, tags, look)).await;
        found.map(|entry| entry.value).map_err(|error| error.as_ref().clone())
    }

    async fn find<E>(
        &self,
        key: K,
        tags: &[Tag],
        look: impl Future<Output = Result<V, E>>,
    ) -> Result<Entry<V>, E> {
        let (Some(codec), Some(shared)) = (&self.codec, &self.commons.shared) else {
            self.count("looked_up");
            let value = look.await?;
            return Ok(Entry { until: self.ttl(&key, &value), value });
        };
        let name = format!("{}:{}", self.name, serde_json::to_string(&key).unwrap_or_default());
        let found = shared.get(&name, tags).await;
        if let Some(Found { value: Some((bytes, left)), .. }) = &found
            && let Some(value) = (codec.read)(bytes)
        {
            self.count("shared");
            return Ok(Entry { until: self.ttl(&key, &value).min(*left), value });
        }
        self.count("looked_up");
        let value = look.await?;
        let until = self.ttl(&key, &value);
        // Whoever asks does not wait for others to be spared the question.
        if let (Some(found), Some(bytes)) = (found, (codec.write)(&value)) {
            let shared = Arc::clone(shared);
            tokio::spawn(async move { shared.keep(&name, &found.generations, &bytes, until).await });
        }
        Ok(Entry { value, until })
    }

    /// A fifth less at most, so that what was looked up together is not looked up together again.
    fn ttl(&self, key: &K, value: &V) -> Duration {
        let most = if value.is_nothing() { TTL_OF_NOTHING } else { TTL };
        let share = u32::try_from(self.spread.hash_one(key) % 200).unwrap_or(0);
        most - most * share / 1_000
    }

    fn count(&self, found: &'static str) {
        metrics::counter!("stoa_cache_lookups_total", "cache" => self.name, "found" => found).increment(1);
    }
}

/// A record that is kept, and travels as its row.
#[derive(Debug)]
pub struct Row<R>(pub Arc<R>);

impl<R> Clone for Row<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> From<R> for Row<R> {
    fn from(record: R) -> Self {
        Self(Arc::new(record))
    }
}

impl<R: Record> Serialize for Row<R> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.values().serialize(serializer)
    }
}

impl<'de, R: Record> Deserialize<'de> for Row<R> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<Value>::deserialize(deserializer)?;
        R::from_values(values).map(Self::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::AtomicU32;

    fn cache() -> (Arc<Commons>, Arc<Cache<u8, Option<u8>>>) {
        let commons = Arc::new(Commons::default());
        let cache = Cache::here("test", 10, &commons);
        (commons, Arc::new(cache))
    }

    const TAG: Tag = Tag("thing", 1);
    const OTHER: Tag = Tag("thing", 2);

    async fn get(cache: &Cache<u8, Option<u8>>, tags: &[Tag], value: u8) -> Option<u8> {
        cache.get(1, tags, async { Ok::<_, Infallible>(Some(value)) }).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_forgotten_while_it_was_looked_up_is_not_found_again() {
        let (commons, cache) = cache();
        let stale = cache
            .get(1, &[TAG, OTHER], async {
                commons.forget(&[OTHER]).await;
                Ok::<_, Infallible>(Some(1))
            })
            .await;
        assert_eq!(stale, Ok(Some(1)));
        assert_eq!(get(&cache, &[TAG, OTHER], 2).await, Some(2));
        assert_eq!(get(&cache, &[TAG, OTHER], 3).await, Some(2), "this one is kept");
        commons.forget(&[Tag("thing", 3)]).await;
        assert_eq!(get(&cache, &[TAG, OTHER], 4).await, Some(2), "that was another one");
        commons.clear().await;
        assert_eq!(get(&cache, &[TAG, OTHER], 5).await, Some(5));
    }

    #[tokio::test]
    async fn who_asks_after_a_change_does_not_wait_for_who_looked_before_it() {
        let (commons, cache) = cache();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let (look, looking) = tokio::sync::oneshot::channel();
        let slow = Arc::clone(&cache);
        let slow = tokio::spawn(async move {
            let found = async {
                look.send(()).unwrap();
                Ok::<_, Infallible>(answered.await.unwrap())
            };
            slow.get(1, &[TAG], found).await
        });
        looking.await.unwrap();
        commons.forget(&[TAG]).await;
        assert_eq!(get(&cache, &[TAG], 2).await, Some(2));
        answer.send(Some(1)).unwrap();
        assert_eq!(slow.await.unwrap(), Ok(Some(1)));
        assert_eq!(get(&cache, &[TAG], 3).await, Some(2));
    }

    #[tokio::test]
    async fn however_many_ask_it_is_looked_up_once_and_a_failure_is_not_kept() {
        let (_, cache) = cache();
        let looks = Arc::new(AtomicU32::new(0));
        let ask = |outcome: Result<Option<u8>, u8>| {
            let (cache, looks) = (Arc::clone(&cache), Arc::clone(&looks));
            async move {
                let look = async {
                    looks.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    outcome
                };
                cache.get(1, &[TAG], look).await
            }
        };
        let failing = futures_util::future::join_all((0..20).map(|_| ask(Err(7)))).await;
        assert!(failing.iter().all(|found| *found == Err(7)), "{failing:?}");
        let before = looks.swap(0, Ordering::SeqCst);
        assert!(before >= 1);
        let found = futures_util::future::join_all((0..100).map(|_| ask(Ok(Some(1))))).await;
        assert!(found.iter().all(|found| *found == Ok(Some(1))), "{found:?}");
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    }
}
