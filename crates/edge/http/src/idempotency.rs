//! One operation, however often it is sent: the record of it is part of the same commit as its effect.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::store::{Commit, Idempotency, Replayed, Reply, Store, StoreError, StoreErrorKind};

use crate::problem::Problem;

/// The header with the key that a client chooses.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says that an answer is a repetition.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The most characters of a key.
const KEY_CHARS_MAX: usize = 255;
/// How long a key is remembered, in microseconds: 24 hours.
const REMEMBERED_US: i64 = 24 * 3_600 * 1_000_000;

/// A key, and what it stands for.
#[derive(Debug, Clone)]
pub struct Key {
    key: String,
    fingerprint: [u8; 32],
}

impl Key {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// `idempotency_key_invalid`.
    pub fn of(
        headers: &HeaderMap,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(KEY) else { return Ok(None) };
        let key = value.to_str().unwrap_or("").trim();
        if headers.get_all(KEY).iter().count() > 1 {
            return Err(Problem::new("idempotency_key_invalid", "A request has one idempotency key."));
        }
        if key.is_empty() || key.len() > KEY_CHARS_MAX {
            let detail = format!("An idempotency key has 1 to {KEY_CHARS_MAX} visible ASCII characters.");
            return Err(Problem::new("idempotency_key_invalid", detail));
        }
        let mut hasher = blake3::Hasher::new();
        let condition = headers.get(header::IF_MATCH).map_or(&b""[..], |value| value.as_bytes());
        for part in [method.as_str().as_bytes(), path.as_bytes(), condition, body] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Ok(Some(Self { key: key.to_owned(), fingerprint: hasher.finalize().into() }))
    }
}

/// The keys of requests under way in this process.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<String>>>);

struct Entered {
    all: InFlight,
    name: String,
}

impl InFlight {
    fn enter(&self, cx: &Context, key: &str) -> Result<Entered, Problem> {
        let name = format!("{}/{}/{key}", cx.scope.number(), cx.actor.label());
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            return Ok(Entered { all: self.clone(), name });
        }
        let detail = "A request with this idempotency key is under way.";
        Err(Problem::new("request_in_progress", detail).retry_after(1))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Does an operation: decides, and applies what was decided together with the record of it. With a key that has been used, answers as
/// the first time.
///
/// `refusal` says what the refusal of the commit means.
///
/// # Errors
/// What deciding or applying ran into.
pub async fn once<T>(
    store: &dyn Store,
    cx: &Context,
    in_flight: &InFlight,
    key: Option<Key>,
    now: Micros,
    decide: impl Future<Output = Result<(T, Commit, Reply), Problem>>,
    refusal: impl FnOnce(StoreError, &T) -> Problem,
) -> Result<Response, Problem> {
    let Some(key) = key else {
        let (value, commit, reply) = decide.await?;
        return match store.commit(cx, commit).await {
            Ok(_) => Ok(respond(reply)),
            Err(error) => Err(refusal(error, &value)),
        };
    };
    let _entered = in_flight.enter(cx, &key.key)?;
    if let Some(found) = replayed(store, cx, &key.key).await? {
        return replay(found, &key);
    }
    let (value, commit, reply) = match decide.await {
        Ok(decided) => decided,
        // The first request may have been applied meanwhile, and be the very reason for the refusal.
        Err(problem) => return first_answer(store, cx, &key).await.unwrap_or(Err(problem)),
    };
    let record = Idempotency {
        key: key.key.clone(),
        fingerprint: key.fingerprint,
        reply: reply.clone(),
        expires: now.plus(REMEMBERED_US),
    };
    match store.commit(cx, commit.once(record)).await {
        Ok(_) => Ok(respond(reply)),
        Err(error) => match first_answer(store, cx, &key).await {
            Some(answer) => answer,
            None if error.kind == StoreErrorKind::Replayed => Err(Problem::of(&error)),
            None => Err(refusal(error, &value)),
        },
    }
}

/// The answer of a request with this key that came first, if there is one now.
async fn first_answer(store: &dyn Store, cx: &Context, key: &Key) -> Option<Result<Response, Problem>> {
    let found = store.replayed(cx, &key.key).await.ok().flatten()?;
    Some(replay(found, key))
}

async fn replayed(store: &dyn Store, cx: &Context, key: &str) -> Result<Option<Replayed>, Problem> {
    store.replayed(cx, key).await.map_err(|error| Problem::of(&error))
}

fn replay(found: Replayed, key: &Key) -> Result<Response, Problem> {
    if found.fingerprint != key.fingerprint {
        let detail = "The idempotency key has been used for another request.";
        return Err(Problem::new("idempotency_key_reused", detail));
    }
    let mut response = respond(found.reply);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The answer that a reply stands for.
#[must_use]
pub fn respond(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Body::from(reply.body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}
