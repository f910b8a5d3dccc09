//! What a process has looked up already, for a while: bounded, and forgotten when somebody says that it changed.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache as Moka;

/// Values by key. What is being looked up while it is forgotten is not kept: it may be the old value.
#[derive(Debug, Clone)]
pub struct Cache<K: Clone + Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> {
    kept: Moka<K, V>,
    forgotten: Arc<AtomicU64>,
}

impl<K: Clone + Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    /// At most `entries`, each for `ttl` at most.
    #[must_use]
    pub fn new(entries: u64, ttl: Duration) -> Self {
        let kept = Moka::builder().max_capacity(entries).time_to_live(ttl).build();
        Self { kept, forgotten: Arc::default() }
    }

    /// The value of a key; looked up where it is not kept.
    ///
    /// # Errors
    /// Those of looking up. They are not kept.
    pub async fn get<E>(&self, key: K, look: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        if let Some(value) = self.kept.get(&key) {
            return Ok(value);
        }
        let before = self.forgotten.load(Ordering::SeqCst);
        let value = look.await?;
        if self.forgotten.load(Ordering::SeqCst) == before {
            self.kept.insert(key.clone(), value.clone());
            // It may have been forgotten between the look and the keeping.
            if self.forgotten.load(Ordering::SeqCst) != before {
                self.kept.invalidate(&key);
            }
        }
        Ok(value)
    }

    /// The value of a key, if it is kept.
    #[must_use]
    pub fn kept(&self, key: &K) -> Option<V> {
        self.kept.get(key)
    }

    /// Keeps a value that cannot have become an old one meanwhile.
    pub fn keep(&self, key: K, value: V) {
        self.kept.insert(key, value);
    }

    /// Forgets one key.
    pub fn forget(&self, key: &K) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[tokio::test]
    async fn what_was_forgotten_while_it_was_looked_up_is_not_kept() {
        let cache = Cache::<u8, u8>::new(10, Duration::from_secs(60));
        let stale = cache
            .get(1, async {
                cache.forget(&1);
                Ok::<_, Infallible>(1)
            })
            .await;
        assert_eq!(stale, Ok(1));
        assert_eq!(cache.get(1, async { Ok::<_, Infallible>(2) }).await, Ok(2));
        assert_eq!(cache.get(1, async { Ok::<_, Infallible>(3) }).await, Ok(2), "this one is kept");
        cache.clear();
        assert_eq!(cache.get(1, async { Ok::<_, Infallible>(4) }).await, Ok(4));
    }
}
