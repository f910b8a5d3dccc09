//! Limiters pass what every limiter must.
#![expect(clippy::unwrap_used, reason = "a test that cannot start is to fail")]

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
    use stoa_harness::Redis;

    async fn fresh() -> (Arc<dyn RateLimiter>, Redis) {
        let redis = Redis::start();
        (Arc::new(stoa_cache::RedisLimiter::new(&redis.url(), "stoa").unwrap()), redis)
    }

    stoa_conformance::limiter_suite!(fresh);

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_and_a_server_that_is_away_is_told() {
        assert!(stoa_cache::RedisLimiter::new("here", "stoa").is_err());
        let away = stoa_cache::RedisLimiter::new("redis://127.0.0.1:1/", "stoa").unwrap();
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
