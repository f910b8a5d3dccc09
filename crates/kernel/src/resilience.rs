//! Resilience as pure state machines: they are told the time and answer what to do; waiting is the caller's.

mod breaker;
mod bulkhead;
mod policy;
mod retry;
mod sliding_window;
mod token_bucket;

pub use breaker::{Breaker, BreakerPolicy, BreakerState};
pub use bulkhead::{Bulkhead, Permit};
pub use policy::{Policy, policies};
pub use retry::{Backoff, Retry, RetryBudget, RetryPolicy};
pub use sliding_window::SlidingWindow;
pub use token_bucket::TokenBucket;
