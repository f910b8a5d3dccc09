//! Overload: a bound on requests under way, and a rate for each caller. What is too much is refused at once.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use stoa_kernel::clock::Clock;
use stoa_runtime::limiter::{Limiter, Rate, Verdict};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// What is let through.
pub struct Shedder {
    running: Semaphore,
    limiter: Limiter<u64>,
    /// Keys the hashes of callers, which live in memory alone.
    hashes: RandomState,
    rate: Rate,
}

impl std::fmt::Debug for Shedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shedder").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Shedder {
    /// At most `concurrency` requests under way, and a rate for each caller.
    #[must_use]
    pub fn new(concurrency: usize, rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self {
            running: Semaphore::new(concurrency),
            limiter: Limiter::new(rate, clock),
            hashes: RandomState::new(),
            rate,
        }
    }

    /// Whoever signs in is known by that; anybody else by the address. Neither is kept: only a keyed hash is.
    fn caller(&self, headers: &HeaderMap, address: Option<IpAddr>) -> u64 {
        match headers.get(header::AUTHORIZATION) {
            Some(credential) => self.hashes.hash_one(credential.as_bytes()),
            None => self.hashes.hash_one(address),
        }
    }
}

/// The middleware before every operation of the API.
pub async fn shed(State(shedder): State<Arc<Shedder>>, request: Request, next: Next) -> Response {
    let Ok(_running) = shedder.running.try_acquire() else {
        return Problem::new("overloaded", "Too many requests are under way.").retry_after(1).into_response();
    };
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let verdict = shedder.limiter.take(shedder.caller(request.headers(), address));
    let mut response = if verdict.allowed {
        next.run(request).await
    } else {
        Problem::new("rate_limited", "Too many requests in too short a time.")
            .retry_after(verdict.reset_s.max(1))
            .into_response()
    };
    tell(response.headers_mut(), verdict, shedder.rate);
    response
}

/// `RateLimit` and `RateLimit-Policy` as the IETF draft has them, and the headers that clients know.
fn tell(headers: &mut HeaderMap, verdict: Verdict, rate: Rate) {
    let window = rate.burst.div_ceil(rate.per_second.max(1));
    for (name, value) in [
        ("ratelimit-policy", format!("\"default\";q={};w={window}", rate.burst)),
        ("ratelimit", format!("\"default\";r={};t={}", verdict.remaining, verdict.reset_s)),
        ("x-ratelimit-limit", verdict.limit.to_string()),
        ("x-ratelimit-remaining", verdict.remaining.to_string()),
        ("x-ratelimit-reset", verdict.reset_s.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
