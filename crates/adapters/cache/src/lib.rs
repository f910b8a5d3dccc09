//! What processes share for a short time: rate limits, in the process or in Redis; and what was looked up, in Redis.
//!
//! What it may not know: a store, a web framework.
#![deny(missing_docs)]

mod limiter;
mod local;
mod redis;
mod shared;

pub use limiter::RedisLimiter;
pub use local::LocalLimiter;
pub use redis::{RedisError, RedisLink};
pub use shared::RedisCache;
