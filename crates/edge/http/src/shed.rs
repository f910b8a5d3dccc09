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
#[derive(Debug, Clone, Copy)]
pub enum Known<'k> {
    /// The address of the client: of the connection, or what proxies say that the operator named.
    Address(Option<IpAddr>),
    /// What it shows who it is with.
    Credential(&'k [u8]),
    /// A name that it gives, such as whom it wants to sign in as: of what, and which.
    Name(&'static str, &'k str),
    /// A name and an address.
    NameAt(&'static str, &'k str, Option<IpAddr>),
}

/// One limit of one caller.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'k> {
    /// Who.
    pub known: Known<'k>,
    /// How much they may.
    pub limit: Limit,
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
    fn caller(&self, known: Known<'_>) -> Caller {
        let day = self.clock.now().0.div_euclid(86_400_000_000);
        let mut hash = blake3::Hasher::new_keyed(&self.secret);
        hash.update(&day.to_be_bytes());
        match known {
            Known::Address(address) => of_address(&mut hash, address),
            Known::Credential(bytes) => {
                hash.update(b"c").update(bytes);
            }
            Known::Name(of, name) => of_name(&mut hash, of, name),
            Known::NameAt(of, name, address) => {
                of_name(&mut hash, of, name);
                of_address(&mut hash, address);
            }
        }
        let mut caller = [0; 16];
        hash.finalize_xof().fill(&mut caller);
        Caller(caller)
    }

    /// Charges the credential, if there is one, and the address; the stricter counts, so that inventing credentials helps nobody.
    async fn take(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Verdict {
        let ask = |known: Known<'_>| Ask { caller: self.caller(known), limit: Limit::Bucket(self.rate) };
        let credential =
            headers.get(header::AUTHORIZATION).map(|value| ask(Known::Credential(value.as_bytes())));
        let asks: Vec<Ask> = credential.into_iter().chain([ask(Known::Address(address))]).collect();
        let most = Verdict { allowed: true, limit: self.rate.burst, remaining: self.rate.burst, reset_s: 0 };
        self.limits.take(&asks, Outage::CountHere).await.unwrap_or(most)
    }
}

fn of_address(hash: &mut blake3::Hasher, address: Option<IpAddr>) {
    match address {
        None => hash.update(b"n"),
        Some(IpAddr::V4(address)) => hash.update(b"4").update(&address.octets()),
        // Whoever has one address of IPv6 has 2^64 of them.
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => hash.update(b"4").update(&address.octets()),
            None => hash.update(b"6").update(address.octets().first_chunk::<8>().unwrap_or(&[0; 8])),
        },
    };
}

fn of_name(hash: &mut blake3::Hasher, of: &str, name: &str) {
    for part in [of, name] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
}

impl Shedder {
    /// Charges further limits, all of them or none: of a name that is tried, of a key, of an organization. What is abused is refused
    /// while nobody can count it.
    ///
    /// # Errors
    /// `rate_limited`; `overloaded` while nobody can count.
    pub async fn charge(&self, charges: &[Charge<'_>], outage: Outage) -> Result<(), Problem> {
        if charges.is_empty() {
            return Ok(());
        }
        let asks: Vec<Ask> = charges
            .iter()
            .map(|charge| Ask { caller: self.caller(charge.known), limit: charge.limit })
            .collect();
        match self.limits.take(&asks, outage).await {
            Some(verdict) if verdict.allowed => Ok(()),
            Some(verdict) => {
                let mut problem = Problem::new("rate_limited", "Too many requests in too short a time.")
                    .retry_after(verdict.reset_s.max(1));
                for (name, value) in told(verdict, verdict.limit, verdict.reset_s) {
                    problem = problem.header(HeaderName::from_static(name), value);
                }
                Err(problem)
            }
            None => {
                Err(Problem::new("overloaded", "Nobody can count attempts at the moment.").retry_after(2))
            }
        }
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
    for (name, value) in told(verdict, rate.burst, window) {
        // A stricter limit that was told already stays.
        if let (Ok(value), false) = (HeaderValue::from_str(&value), headers.contains_key(name)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn told(verdict: Verdict, quota: u32, window: u32) -> [(&'static str, String); 5] {
    [
        ("ratelimit-policy", format!("\"default\";q={quota};w={window}")),
        ("ratelimit", format!("\"default\";r={};t={}", verdict.remaining, verdict.reset_s)),
        ("x-ratelimit-limit", verdict.limit.to_string()),
        ("x-ratelimit-remaining", verdict.remaining.to_string()),
        ("x-ratelimit-reset", verdict.reset_s.to_string()),
    ]
}
