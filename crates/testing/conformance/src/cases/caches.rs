//! Caches that processes share: what every implementation must do.

use std::sync::Arc;
use std::time::Duration;

use stoa_runtime::cache::SharedCache;

fn tags(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const MINUTE: Duration = Duration::from_secs(60);

async fn value(cache: &dyn SharedCache, key: &str, names: &[&str]) -> Option<Vec<u8>> {
    cache.get(key, &tags(names)).await.unwrap().value.map(|(value, _)| value)
}

async fn keep(cache: &dyn SharedCache, key: &str, names: &[&str], value: &[u8], ttl: Duration) {
    let found = cache.get(key, &tags(names)).await.unwrap();
    cache.keep(key, &found.generations, value, ttl).await.unwrap();
}

/// What is kept is found by its key alone, for its time.
pub async fn what_is_kept_is_found_for_its_time(cache: Arc<dyn SharedCache>) {
    let cache = cache.as_ref();
    assert_eq!(value(cache, "one", &["a"]).await, None);
    keep(cache, "one", &["a"], b"1", MINUTE).await;
    keep(cache, "two", &["a"], &[0, 255, 10], MINUTE).await;
    assert_eq!(value(cache, "one", &["a"]).await.as_deref(), Some(&b"1"[..]));
    assert_eq!(value(cache, "two", &["a"]).await.as_deref(), Some(&[0, 255, 10][..]));
    let (_, left) = cache.get("one", &tags(&["a"])).await.unwrap().value.unwrap();
    assert!(left <= MINUTE && left > MINUTE / 2, "{left:?}");
    keep(cache, "one", &["a"], b"2", Duration::from_millis(20)).await;
    let is_over = async { while value(cache, "one", &["a"]).await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), is_over).await.expect("its time is over");
}

/// What is forgotten is not found, and nothing else is forgotten.
pub async fn what_is_forgotten_is_found_no_more(cache: Arc<dyn SharedCache>) {
    let cache = cache.as_ref();
    keep(cache, "one", &["a", "b"], b"1", MINUTE).await;
    keep(cache, "two", &["a"], b"2", MINUTE).await;
    cache.forget(&tags(&["b", "c"])).await.unwrap();
    assert_eq!(value(cache, "one", &["a", "b"]).await, None);
    assert_eq!(value(cache, "two", &["a"]).await.as_deref(), Some(&b"2"[..]));
    // Other tags are other generations.
    assert_eq!(value(cache, "two", &["b"]).await, None);
}

/// Who looked before a change, and was slow, does not bring the old value back.
pub async fn what_was_looked_up_before_a_change_is_not_found_after_it(cache: Arc<dyn SharedCache>) {
    let cache = cache.as_ref();
    let before = cache.get("one", &tags(&["a"])).await.unwrap();
    cache.forget(&tags(&["a"])).await.unwrap();
    cache.keep("one", &before.generations, b"old", MINUTE).await.unwrap();
    assert_eq!(value(cache, "one", &["a"]).await, None);
    keep(cache, "one", &["a"], b"new", MINUTE).await;
    assert_eq!(value(cache, "one", &["a"]).await.as_deref(), Some(&b"new"[..]));
}

/// It answers.
pub async fn a_cache_answers(cache: Arc<dyn SharedCache>) {
    cache.ping().await.unwrap();
}
