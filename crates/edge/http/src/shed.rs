//! Overload: a bound on requests under way, and a rate for each caller. What is too much is refused at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use stoa_kernel::clock::Clock;
use stoa_runtime::limiter::{Ask, Caller, Limit, Limits, Outage, Rate, Verdict};
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// What is let through.
pub struct Shedder {
    running: Semaphore,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    secret: [u8; 32],
    rate: Rate,
}

/// What a caller is known by.
enum Known<'k> {
    Address(Option<IpAddr>),
    Credential(&'k [u8]),
}

impl std::fmt::Debug for Shedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shedder").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Shedder {
    /// At most `concurrency` requests under way, and a rate for each caller.
    ///
    /// `secret` is the installation's: every process gives a caller the same hash, and nobody else can.
    #[must_use]
    pub fn new(
        concurrency: usize,
        rate: Rate,
        limits: Arc<Limits>,
        clock: Arc<dyn Clock>,
        secret: &[u8],
    ) -> Self {
        let secret = blake3::derive_key("stoa 2026-11 rate limit callers", secret);
        Self { running: Semaphore::new(concurrency), limits, clock, secret, rate }
    }

    /// A caller as limits know it: a keyed hash that is another one every day, so that none says for long who asked.
    fn caller(&self, known: &Known<'_>) -> Caller {
        let day = self.clock.now().0.div_euclid(86_400_000_000);
        let mut hash = blake3::Hasher::new_keyed(&self.secret);
        hash.update(&day.to_be_bytes());
        match known {
            Known::Address(None) => hash.update(b"n"),
            Known::Address(Some(IpAddr::V4(address))) => hash.update(b"4").update(&address.octets()),
            // Whoever has one address of IPv6 has 2^64 of them.
            Known::Address(Some(IpAddr::V6(address))) => match address.to_ipv4_mapped() {
                Some(address) => hash.update(b"4").update(&address.octets()),
                None => hash.update(b"6").update(address.octets().first_chunk::<8>().unwrap_or(&[0; 8])),
            },
            Known::Credential(bytes) => hash.update(b"c").update(bytes),
        };
        let mut caller = [0; 16];
        hash.finalize_xof().fill(&mut caller);
        Caller(caller)
    }

    /// Charges the credential, if there is one, and the address; the stricter counts, so that inventing credentials helps nobody.
    async fn take(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Verdict {
        let ask = |known: Known<'_>| Ask { caller: self.caller(&known), limit: Limit::Bucket(self.rate) };
        let credential =
            headers.get(header::AUTHORIZATION).map(|value| ask(Known::Credential(value.as_bytes())));
        let asks: Vec<Ask> = credential.into_iter().chain([ask(Known::Address(address))]).collect();
        let most = Verdict { allowed: true, limit: self.rate.burst, remaining: self.rate.burst, reset_s: 0 };
        self.limits.take(&asks, Outage::CountHere).await.unwrap_or(most)
    }
}

/// The middleware before every operation of the API.
pub async fn shed(State(shedder): State<Arc<Shedder>>, request: Request, next: Next) -> Response {
    let Ok(_running) = shedder.running.try_acquire() else {
        return Problem::new("overloaded", "Too many requests are under way.").retry_after(1).into_response();
    };
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let verdict = shedder.take(request.headers(), address).await;
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
