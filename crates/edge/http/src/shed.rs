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

    /// Takes a token of the credential, if there is one, and one of the address; the stricter counts, so that inventing credentials
    /// helps nobody. Neither is kept: only a keyed hash is.
    fn take(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Verdict {
        let of_address = self.limiter.take(self.hashes.hash_one(address));
        let Some(credential) = headers.get(header::AUTHORIZATION) else { return of_address };
        let of_credential = self.limiter.take(self.hashes.hash_one(credential.as_bytes()));
        let strictness = |verdict: &Verdict| (verdict.allowed, verdict.remaining);
        if strictness(&of_credential) < strictness(&of_address) { of_credential } else { of_address }
    }
}

/// The middleware before every operation of the API.
pub async fn shed(State(shedder): State<Arc<Shedder>>, request: Request, next: Next) -> Response {
    let Ok(_running) = shedder.running.try_acquire() else {
        return Problem::new("overloaded", "Too many requests are under way.").retry_after(1).into_response();
    };
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let verdict = shedder.take(request.headers(), address);
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
