//! Limiters and caches pass what every one of them must.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot start is to fail")]

use std::sync::Arc;

use stoa_runtime::limiter::RateLimiter;

mod local {
    use super::*;

    async fn fresh() -> (Arc<dyn RateLimiter>, ()) {
        (Arc::new(stoa_cache::LocalLimiter::new(Arc::new(stoa_runtime::clock::SystemClock))), ())
    }

    stoa_conformance::limiter_suite!(fresh);
}

mod redis {
    use super::*;
    use stoa_cache::RedisLink;
    use stoa_harness::Redis;

    async fn fresh() -> (Arc<dyn RateLimiter>, Redis) {
        let redis = Redis::start();
        (Arc::new(stoa_cache::RedisLimiter::on(&RedisLink::new(&redis.url(), "stoa").unwrap())), redis)
    }

    stoa_conformance::limiter_suite!(fresh);

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_and_a_server_that_is_away_is_told() {
        assert!(RedisLink::new("here", "stoa").is_err());
        let away = stoa_cache::RedisLimiter::on(&RedisLink::new("redis://127.0.0.1:1/", "stoa").unwrap());
        assert!(away.ping().await.is_err());
    }

    #[tokio::test]
    async fn counts_are_gone_when_they_hold_nothing() {
        use stoa_runtime::limiter::{Ask, Caller, Limit, Rate};
        let (limiter, server) = fresh().await;
        let limit = Limit::Bucket(Rate { burst: 2, per_second: 1_000 });
        limiter.take(&[Ask { caller: Caller([1; 16]), limit }]).await.unwrap();
        let client = ::redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
        for key in keys {
            let left: i64 = ::redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
            assert!((-2..=10).contains(&left) && left != -1, "{key} expires in {left} ms");
        }
    }
}

mod cache {
    use std::convert::Infallible;
    use std::time::Duration;

    use stoa_cache::{RedisCache, RedisLink};
    use stoa_harness::{FaultProxy, Redis};
    use stoa_kernel::clock::{Clock, Manual, Micros};
    use stoa_runtime::cache::{Cache, Commons, SharedCache, Tag};
    use stoa_runtime::clock::SystemClock;
    use stoa_runtime::entropy::SystemEntropy;

    use super::*;

    fn at(url: &str, clock: Arc<dyn Clock>) -> Arc<dyn SharedCache> {
        let link = RedisLink::new(url, "stoa").unwrap();
        Arc::new(RedisCache::on(link, [7; 32], clock, Arc::new(SystemEntropy)))
    }

    fn on(url: &str) -> Arc<dyn SharedCache> {
        at(url, Arc::new(SystemClock))
    }

    async fn fresh() -> (Arc<dyn SharedCache>, Redis) {
        let redis = Redis::start();
        (on(&redis.url()), redis)
    }

    stoa_conformance::cache_suite!(fresh);

    /// What processes have in common with the cache that they share.
    async fn process(url: &str) -> Arc<Commons> {
        let commons = Arc::new(Commons::with(on(url), Arc::new(SystemClock)));
        // Whoever starts makes everybody begin with nothing.
        let nothing = Cache::<u8, Option<u8>>::shared("nothing", 10, &commons);
        nothing.get(0, &[], async { Ok::<_, Infallible>(None) }).await.unwrap();
        commons
    }

    const TAG: Tag = Tag("thing", 1);

    /// What is found by whoever has nothing in memory, if `there` is what would be looked up.
    async fn get(commons: &Arc<Commons>, there: &str) -> String {
        let cache = Cache::shared("things", 10, commons);
        let look = async { Ok::<_, Infallible>(Some(there.to_owned())) };
        cache.get(1u8, &[TAG], look).await.unwrap().unwrap()
    }

    async fn soon(what: &str, it: impl Future<Output = ()>) {
        tokio::time::timeout(Duration::from_secs(15), it).await.expect(what);
    }

    /// It is kept beside the answer: until it is there.
    async fn is_kept(url: &str) {
        let tags = ["everything:0".to_owned(), TAG.to_string()];
        let port = on(url);
        soon("it is kept", async { while port.get("things:1", &tags).await.unwrap().value.is_none() {} })
            .await;
    }

    #[tokio::test]
    async fn processes_find_what_others_looked_up_and_forget_it_together() {
        let redis = Redis::start();
        let (one, two) = (process(&redis.url()).await, process(&redis.url()).await);
        assert_eq!(get(&one, "first").await, "first");
        is_kept(&redis.url()).await;
        assert_eq!(get(&two, "second").await, "first");
        one.forget(&[Tag("thing", 2)]).await;
        assert_eq!(get(&two, "second").await, "first", "that was another one");
        one.forget(&[TAG]).await;
        assert_eq!(get(&two, "third").await, "third");
        is_kept(&redis.url()).await;
        two.clear().await;
        assert_eq!(get(&one, "fourth").await, "fourth");
    }

    #[tokio::test]
    async fn what_could_not_be_forgotten_while_it_was_away_is_not_found_when_it_is_back() {
        let redis = Redis::start();
        let proxy = FaultProxy::before(redis.port());
        let cut = process(&format!("redis://127.0.0.1:{}/", proxy.port())).await;
        let other = process(&redis.url()).await;
        assert_eq!(get(&other, "old").await, "old");
        is_kept(&redis.url()).await;
        assert_eq!(get(&cut, "new").await, "old");
        proxy.cut();
        cut.forget(&[TAG]).await;
        assert_eq!(get(&cut, "new").await, "new", "it is looked up while the cache is away");
        proxy.heal();
        let back = async {
            for number in 0.. {
                let own = format!("new {number}");
                let found = get(&cut, &own).await;
                assert_ne!(found, "old", "it was forgotten");
                if found != own {
                    return;
                }
            }
        };
        soon("the cache is used again", back).await;
    }

    /// Who had been heard and then was not may have come back with what it had long ago.
    #[tokio::test]
    async fn what_redis_has_when_it_is_back_from_its_past_is_not_found() {
        let redis = Redis::start();
        let proxy = FaultProxy::before(redis.port());
        let one = process(&format!("redis://127.0.0.1:{}/", proxy.port())).await;
        let other = process(&redis.url()).await;
        assert_eq!(get(&other, "old").await, "old");
        is_kept(&redis.url()).await;
        // As if it had forgotten what was forgotten: the change was made, and told to the server that is no more.
        proxy.cut();
        proxy.heal();
        assert_eq!(get(&one, "new").await, "new", "the connection was lost");
        assert_ne!(get(&one, "newer").await, "old");
    }

    #[tokio::test]
    async fn nobody_reads_what_is_in_it_or_writes_what_is_believed() {
        let server = Redis::start();
        let clock = Arc::new(Manual::at(Micros(1_800_000_000_000_000)));
        let cache = at(&server.url(), clock.clone());
        let tags = vec!["canary-tag".to_owned()];
        let found = cache.get("canary-one", &tags).await.unwrap();
        cache.keep("canary-one", &found.generations, b"canary", Duration::from_secs(60)).await.unwrap();
        let client = ::redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let names: Vec<String> = ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
        let mut all = Vec::new();
        for name in names {
            let value: Vec<u8> = ::redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
            let text = format!("{name} {}", String::from_utf8_lossy(&value));
            assert!(!text.contains("canary"), "{text}");
            all.push((name, value));
        }
        let (place, sealed) = all.iter().find(|(name, _)| name.starts_with("stoa:cache:")).unwrap().clone();
        let mut set = async |name: &str, value: &[u8]| {
            let mut call = ::redis::cmd("SET");
            call.arg(name).arg(value).exec_async(&mut connection).await.unwrap();
        };
        let value = async || cache.get("canary-one", &tags).await.unwrap().value;
        // Another value's place, another value, garbage, nothing.
        let other = cache.get("two", &tags).await.unwrap();
        cache.keep("two", &other.generations, b"two", Duration::from_secs(60)).await.unwrap();
        let mut turned = sealed.clone();
        *turned.last_mut().unwrap() ^= 1;
        for wrong in [&turned[..], b"garbage", b""] {
            set(&place, wrong).await;
            assert_eq!(value().await, None);
        }
        set(&place, &sealed).await;
        assert!(value().await.is_some(), "this one is right");
        // Whoever brings everything back as it was does so within its time alone.
        cache.forget(&tags).await.unwrap();
        assert_eq!(value().await, None);
        for (name, value) in &all {
            set(name, value).await;
        }
        assert!(value().await.is_some());
        clock.advance(60_000_000);
        assert_eq!(value().await, None, "its time is over, whatever Redis says");
    }
}
