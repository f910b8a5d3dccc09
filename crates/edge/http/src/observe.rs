//! What is known of every request: its id, its trace, its deadline; and what is said about it: metrics, and one line in the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::TraceParent;
use stoa_kernel::id::{Ids, RequestId};
use stoa_kernel::random::SplitMix64;
use stoa_runtime::alerts::Traffic;
use stoa_runtime::trace::{self, Kind};
use tracing::Instrument as _;

use crate::problem::Problem;

/// The header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Shortens the deadline of a request, in milliseconds.
pub const DEADLINE: HeaderName = HeaderName::from_static("stoa-deadline-ms");

/// What every handler may know of its request.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Its id.
    pub request: RequestId,
    /// Its trace; that of the caller, or a new one.
    pub trace: TraceParent,
    /// When an answer is of no use any more.
    pub deadline: Micros,
}

/// What observing needs.
pub struct Observer {
    /// Numbers requests.
    pub ids: Arc<dyn Ids>,
    /// Times them.
    pub clock: Arc<dyn Clock>,
    /// The most that a request may take.
    pub timeout: Duration,
    /// Tells traces of one microsecond apart.
    pub seed: AtomicU64,
    /// Counts them, for alerts.
    pub traffic: Arc<Traffic>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

tokio::task_local! {
    static CURRENT: Seen;
}

/// The trace id of the current request: 32 hexadecimal digits, or nothing outside of one.
#[must_use]
pub fn trace_id() -> String {
    CURRENT.try_with(|seen| format!("{:032x}", seen.trace.trace())).unwrap_or_default()
}

impl Observer {
    /// What is known of a request, and the caller's trace where it sent one.
    fn see(&self, headers: &HeaderMap) -> Option<(Seen, Option<TraceParent>)> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let given: Option<RequestId> =
            text(&REQUEST_ID).filter(|text| text.starts_with("req_")).and_then(|text| text.parse().ok());
        let request = match given {
            Some(request) => request,
            // A process that holds no node number cannot number requests, but must go on saying how it does.
            None => self.ids.next().unwrap_or(RequestId::NONE),
        };
        let now = self.clock.now();
        let given: Option<TraceParent> = text(&TRACEPARENT).and_then(|text| text.parse().ok());
        let trace = given.or_else(|| {
            let seed = request.raw()
                ^ self.seed.fetch_add(1, Ordering::Relaxed)
                ^ now.0.cast_unsigned().rotate_left(32);
            let (high, low, span) =
                (SplitMix64::mix(seed), SplitMix64::mix(!seed), SplitMix64::mix(seed ^ 0x5350_414E));
            TraceParent::new(u128::from(high) << 64 | u128::from(low), span | 1, true)
        })?;
        let most = i64::try_from(self.timeout.as_micros()).unwrap_or(i64::MAX);
        let wanted =
            text(&DEADLINE).and_then(|text| text.parse::<i64>().ok()).map(|ms| ms.saturating_mul(1_000));
        let allowed = wanted.filter(|&wanted| wanted > 0).map_or(most, |wanted| wanted.min(most));
        Some((Seen { request, trace, deadline: now.plus(allowed) }, given))
    }
}

/// A request that is counted while it is under way, also when nobody waits for it any more.
struct UnderWay;

impl UnderWay {
    fn start() -> Self {
        metrics::gauge!("stoa_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        metrics::gauge!("stoa_http_requests_in_flight").decrement(1.0);
    }
}

/// The method as metrics and logs name it: clients cannot make new names.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// The middleware around everything else.
pub async fn observe(State(observer): State<Arc<Observer>>, mut request: Request, next: Next) -> Response {
    let start = observer.clock.now();
    let Some((mut seen, parent)) = observer.see(request.headers()) else {
        return Problem::new("not_ready", "This process cannot number requests at the moment.")
            .retry_after(1)
            .into_response();
    };
    let method = label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let mut span = trace::start(format!("{method} {route}"), Kind::Server, parent);
    if let Some(own) = span.context() {
        seen.trace = own;
    }
    request.extensions_mut().insert(seen);
    // Every line that is logged on the way says which request it is about.
    let logged = tracing::info_span!(
        "request", request_id = %seen.request, trace_id = format_args!("{:032x}", seen.trace.trace())
    );
    let under_way = UnderWay::start();
    let left = Duration::from_micros(u64::try_from(seen.deadline.since(start)).unwrap_or(0));
    let is_wrong = |value: &HeaderValue| {
        value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).is_none_or(|ms| ms <= 0)
    };
    let has_wrong_deadline = request.headers().get(&DEADLINE).is_some_and(is_wrong);
    let mut response = CURRENT
        .scope(seen, async {
            if has_wrong_deadline {
                let detail = "Stoa-Deadline-Ms is a whole number of milliseconds, at least 1.";
                return Problem::new("invalid_parameter", detail).into_response();
            }
            match tokio::time::timeout(left, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => {
                    tracing::error!(method, route, "a handler panicked");
                    Problem::new("internal", "The request failed; the log has more under the trace id.")
                        .into_response()
                }
                Err(_) => Problem::new("deadline_exceeded", "The request took longer than its deadline.")
                    .into_response(),
            }
        })
        .instrument(logged.clone())
        .await;
    drop(under_way);
    let taken = observer.clock.now().since(start);
    let status = response.status().as_u16();
    let seconds = f64::from(u32::try_from(taken).unwrap_or(u32::MAX)) / 1e6;
    metrics::histogram!("stoa_http_request_duration_seconds", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .record(seconds);
    observer.traffic.count(status >= 500);
    span.set("http.request.method", method);
    span.set("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.fail("server_error");
    }
    logged.in_scope(|| tracing::info!(method, route, status, duration_us = taken, "request"));
    span.set("http.route", route);
    let headers = response.headers_mut();
    for (name, value) in [(REQUEST_ID, seen.request.to_string()), (TRACEPARENT, seen.trace.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
