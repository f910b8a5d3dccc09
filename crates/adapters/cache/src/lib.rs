//! What processes share for a short time: rate limits, in the process or in Redis.
//!
//! What it may not know: a store, a web framework.
#![deny(missing_docs)]

mod local;
mod redis;

pub use local::LocalLimiter;
pub use redis::{RedisError, RedisLimiter};
