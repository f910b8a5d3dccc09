use super::{Backoff, BreakerPolicy, RetryPolicy};

/// Everything that guards the calls to one outside thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Its name, as in metrics.
    pub name: &'static str,
    /// One attempt may take this long, in microseconds.
    pub timeout_us: u32,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// When it is not tried at all.
    pub breaker: BreakerPolicy,
    /// Calls that may run at once.
    pub concurrency_max: u32,
}

const MS: u32 = 1_000;
const SECOND: u32 = 1_000 * MS;

const fn exponential(base_us: u32, wait_us_max: u32, attempts_max: u32, elapsed_us_max: i64) -> RetryPolicy {
    RetryPolicy {
        backoff: Backoff::Exponential,
        base_us,
        wait_us_max,
        attempts_max,
        elapsed_us_max,
        jitter: true,
    }
}

const fn breaker(open_us: u32) -> BreakerPolicy {
    BreakerPolicy { failure_percent: 50, calls_min: 10, window_us: 10 * SECOND, open_us, probes: 3 }
}

/// The named policies: one for each outside thing.
pub mod policies {
    use super::{MS, Policy, SECOND, breaker, exponential};

    /// The database: short waits, for serialization failures and failover.
    pub const DATABASE: Policy = Policy {
        name: "database",
        timeout_us: 5 * SECOND,
        retry: exponential(5 * MS, 250 * MS, 6, 5_000_000),
        breaker: breaker(2 * SECOND),
        concurrency_max: 64,
    };
    /// The shared cache: fails fast, since the in-process cache stands behind it.
    pub const CACHE: Policy = Policy {
        name: "cache",
        timeout_us: 250 * MS,
        retry: exponential(2 * MS, 20 * MS, 2, 500_000),
        breaker: breaker(2 * SECOND),
        concurrency_max: 256,
    };
    /// Object storage.
    pub const OBJECTS: Policy = Policy {
        name: "objects",
        timeout_us: 30 * SECOND,
        retry: exponential(100 * MS, 5 * SECOND, 5, 60_000_000),
        breaker: breaker(15 * SECOND),
        concurrency_max: 32,
    };
    /// Mail delivery: the job engine retries over hours, this only within one job.
    pub const MAIL: Policy = Policy {
        name: "mail",
        timeout_us: 30 * SECOND,
        retry: exponential(500 * MS, 10 * SECOND, 3, 60_000_000),
        breaker: breaker(60 * SECOND),
        concurrency_max: 8,
    };
    /// HTTP that we send on behalf of an organization.
    pub const OUTBOUND: Policy = Policy {
        name: "outbound",
        timeout_us: 10 * SECOND,
        retry: exponential(250 * MS, 5 * SECOND, 3, 30_000_000),
        breaker: breaker(30 * SECOND),
        concurrency_max: 64,
    };
    /// The embedding endpoint.
    pub const EMBEDDINGS: Policy = Policy {
        name: "embeddings",
        timeout_us: 30 * SECOND,
        retry: exponential(250 * MS, 10 * SECOND, 4, 90_000_000),
        breaker: breaker(30 * SECOND),
        concurrency_max: 8,
    };
    /// All of them.
    pub const ALL: &[Policy] = &[DATABASE, CACHE, OBJECTS, MAIL, OUTBOUND, EMBEDDINGS];
}

#[cfg(test)]
mod tests {
    use super::policies::ALL;

    #[test]
    fn names_are_unique_and_every_bound_is_finite_and_useful() {
        for (index, policy) in ALL.iter().enumerate() {
            assert!(ALL.iter().skip(index + 1).all(|other| other.name != policy.name));
            assert!(policy.timeout_us > 0 && policy.concurrency_max > 0 && policy.retry.attempts_max >= 1);
            assert!(policy.retry.base_us <= policy.retry.wait_us_max);
        }
    }
}
