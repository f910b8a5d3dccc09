//! Rate limits: what every implementation must do.

use std::sync::Arc;

use stoa_runtime::limiter::{Ask, Caller, Limit, Rate, RateLimiter};

fn ask(caller: u8, limit: Limit) -> Ask {
    Ask { caller: Caller([caller; 16]), limit }
}

const fn bucket(burst: u32) -> Limit {
    Limit::Bucket(Rate { burst, per_second: 1 })
}

const fn window(most: u32) -> Limit {
    Limit::Window { most, seconds: 600 }
}

/// A burst passes, then it is told when to come again; every caller has a bucket of its own.
pub async fn a_burst_passes_and_then_the_rate(limiter: Arc<dyn RateLimiter>) {
    for left in (0..5).rev() {
        let verdict = limiter.take(&[ask(1, bucket(5))]).await.unwrap();
        assert_eq!((verdict.allowed, verdict.limit, verdict.remaining), (true, 5, left));
    }
    let refused = limiter.take(&[ask(1, bucket(5))]).await.unwrap();
    assert_eq!((refused.allowed, refused.remaining, refused.reset_s), (false, 0, 1));
    assert!(limiter.take(&[ask(2, bucket(5))]).await.unwrap().allowed);
}

/// A window holds so many and no more; a bucket of the same caller is another count.
pub async fn a_window_holds_so_many(limiter: Arc<dyn RateLimiter>) {
    for left in (0..3).rev() {
        let verdict = limiter.take(&[ask(1, window(3))]).await.unwrap();
        assert_eq!((verdict.allowed, verdict.limit, verdict.remaining), (true, 3, left));
    }
    let refused = limiter.take(&[ask(1, window(3))]).await.unwrap();
    assert!(!refused.allowed && refused.reset_s > 60, "{refused:?}");
    assert!(limiter.take(&[ask(1, bucket(3))]).await.unwrap().allowed);
}

/// Of several limits the strictest is told, and when one refuses none is charged.
pub async fn all_limits_are_charged_or_none(limiter: Arc<dyn RateLimiter>) {
    let both = [ask(1, bucket(100)), ask(2, bucket(2))];
    assert_eq!(limiter.take(&both).await.unwrap().remaining, 1);
    assert_eq!(limiter.take(&both).await.unwrap().remaining, 0);
    for _ in 0..10 {
        assert!(!limiter.take(&both).await.unwrap().allowed);
    }
    let first = limiter.take(&both[..1]).await.unwrap();
    assert!((97..=98).contains(&first.remaining), "two were charged, not twelve: {first:?}");
    let none = limiter.take(&[]).await.unwrap();
    assert!(none.allowed);
}

/// Callers who ask at the same moment do not pass more together than one after the other.
pub async fn many_at_once_pass_no_more(limiter: Arc<dyn RateLimiter>) {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let limiter = Arc::clone(&limiter);
        asking.spawn(async move { limiter.take(&[ask(1, window(20))]).await.unwrap().allowed });
    }
    let allowed = asking.join_all().await.into_iter().filter(|&allowed| allowed).count();
    assert_eq!(allowed, 20);
}

/// A ping is answered.
pub async fn a_limiter_answers(limiter: Arc<dyn RateLimiter>) {
    limiter.ping().await.unwrap();
}
