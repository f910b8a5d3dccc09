//! One call of an operation: what it came with, and how its answer is made.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRequest, FromRequestParts as _, RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use stoa_http::fields::{self, Fields};
use stoa_http::idempotency::{Key, once, respond};
use stoa_http::params::Params;
use stoa_http::shed::{Charge, Known as By};
use stoa_http::{Problem, etag};
use stoa_identity::{Error, session};
use stoa_kernel::store::{Commit, PageRequest, Query, Record, Reply, StoreError};
use stoa_runtime::limiter::{Limit, Outage};

use crate::caller::Caller;
use crate::platform::Platform;
use crate::render::problem;

/// How a list is read page by page.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for whoever reads the document; `Call::page` reads them")]
pub(crate) struct Paged {
    /// How many, 20 without
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where to go on, from the page before
    cursor: Option<String>,
    /// Whether to count them all
    count: Option<bool>,
}

/// A call.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: axum::body::Bytes,
    path: Vec<(String, String)>,
    /// Whether somebody looked at `If-Match`.
    is_matched: AtomicBool,
}

impl FromRequest<Arc<Platform>> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, platform: &Arc<Platform>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, platform).await?;
        let path = RawPathParams::from_request_parts(&mut parts, platform).await;
        let path = path
            .map(|params| params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let path = path.map_err(|_| Problem::new("not_found", "There is nothing at this address."))?;
        let body = fields::read(body, platform.body_bytes_max).await?;
        Ok(Self {
            caller,
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
            path,
            is_matched: AtomicBool::new(false),
        })
    }
}

impl Call {
    /// The same call, for an organization.
    pub(crate) fn within(mut self, scope: stoa_kernel::context::Scope) -> Self {
        self.caller.cx.scope = scope;
        self
    }

    /// The fields of the body.
    pub(crate) fn fields(&self) -> Result<Fields, Problem> {
        Fields::of(&self.headers, &self.body)
    }

    /// The parameters of the query.
    pub(crate) fn params(&self) -> Params {
        Params::of(&self.uri)
    }

    /// A part of the address, read as its type.
    pub(crate) fn part<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        let text = self.path.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str());
        text.parse().map_err(|error: T::Err| Problem::new("invalid_id", format!("{error}.")))
    }

    /// What the program calls itself, as people know it.
    pub(crate) fn client(&self) -> String {
        let agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
        session::client_name(agent)
    }

    /// Refuses a change of another version than the one that `If-Match` names.
    pub(crate) fn matches(&self, id: &dyn Display, version: i64) -> Result<(), Problem> {
        self.is_matched.store(true, Ordering::Relaxed);
        etag::require(&self.headers, id, version)
    }

    /// Refuses `If-Match` where nothing compares versions: what a caller relies on is not left out in silence.
    fn is_compared(&self) -> Result<(), Problem> {
        if self.headers.contains_key(header::IF_MATCH) && !self.is_matched.load(Ordering::Relaxed) {
            let detail = "This operation compares no versions; leave If-Match out.";
            return Err(Problem::new("precondition_failed", detail));
        }
        Ok(())
    }

    /// Counts an attempt on a name: of whoever tries it from this address, and of everybody. Names that nobody has count alike.
    pub(crate) async fn attempt(
        &self,
        platform: &Platform,
        of: &'static str,
        name: &str,
    ) -> Result<(), Problem> {
        let most = platform.attempts;
        let charges = [
            Charge {
                known: By::NameAt(of, name, self.caller.address),
                limit: Limit::Window { most, seconds: 60 },
            },
            Charge {
                known: By::Name(of, name),
                limit: Limit::Window { most: most.saturating_mul(10), seconds: 600 },
            },
        ];
        platform.shedder.charge(&charges, Outage::Refuse).await
    }

    /// Does a change, once for an idempotency key: decides, applies with the record of the answer, answers.
    pub(crate) async fn change<V: Serialize>(
        &self,
        platform: &Platform,
        status: StatusCode,
        decide: impl Future<Output = Result<(V, Commit), Problem>>,
        refusal: impl FnOnce(StoreError) -> Error,
    ) -> Result<Response, Problem> {
        let key = Key::of(&self.headers, &self.method, self.uri.path(), &self.body)?;
        let work = async {
            let (view, commit) = decide.await?;
            self.is_compared()?;
            Ok(((), commit, answer(status, &view)?))
        };
        let refused = |error, (): &()| problem(&refusal(error));
        once(
            platform.store.as_ref(),
            &self.caller.cx,
            &platform.in_flight,
            key,
            platform.clock.now(),
            work,
            refused,
        )
        .await
    }

    /// One page of a query.
    pub(crate) async fn page<R: Record, V: Serialize>(
        &self,
        platform: &Platform,
        params: Params,
        query: Query<R>,
        view: impl AsyncFnOnce(Vec<R>) -> Result<Vec<V>, Problem>,
    ) -> Result<Response, Problem> {
        let mut params = params;
        let (limit, cursor) = (params.limit(), params.text("cursor"));
        let count = params.read::<bool>("count").unwrap_or(false);
        let cx = &self.caller.cx;
        let print = query.clone().build().fingerprint(cx.scope);
        let after = cursor.and_then(|cursor| {
            platform
                .cursors
                .open(print, &cursor)
                .map_err(|error| params.wrong("cursor", error.to_string()))
                .ok()
        });
        params.finish()?;
        let store = platform.store.as_ref();
        let failed = |error: StoreError| Problem::of(&error);
        let total = match count {
            true => Some(store.count(cx, query.clone()).await.map_err(failed)?),
            false => None,
        };
        let page = store.page(cx, query, PageRequest { limit, after }).await.map_err(failed)?;
        let next = page.next.map(|place| platform.cursors.seal(print, &place));
        let items = view(page.items).await?;
        let mut listed = serde_json::json!({"items": items, "nextCursor": next, "hasMore": next.is_some()});
        if let (Some(total), Some(listed)) = (total, listed.as_object_mut()) {
            listed.insert("total".to_owned(), total.into());
        }
        ok(&listed)
    }
}

/// An answer without anything.
#[derive(Serialize)]
pub(crate) struct Empty;

/// The reply of a view. One with an id and a version has an entity tag.
fn answer<V: Serialize>(status: StatusCode, view: &V) -> Result<Reply, Problem> {
    let value = serde_json::to_value(view).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::new("internal", "The answer could not be written.")
    })?;
    let mut headers = Vec::new();
    if let (Some(Value::String(id)), Some(version)) =
        (value.get("id"), value.get("version").and_then(Value::as_i64))
    {
        headers.push(("etag".to_owned(), etag::of(id, version)));
    }
    // Long work is a job or a run, which is where it is seen.
    if let (StatusCode::ACCEPTED, Some(Value::String(id))) = (status, value.get("id")) {
        let place =
            [("job_", "jobs"), ("run_", "runs")].into_iter().find(|(prefix, _)| id.starts_with(prefix));
        headers.extend(place.map(|(_, place)| ("location".to_owned(), format!("/v1/{place}/{id}"))));
    }
    let body = if status == StatusCode::NO_CONTENT { String::new() } else { value.to_string() };
    Ok(Reply { status: status.as_u16(), headers, body })
}

/// 200 with a view.
pub(crate) fn ok<V: Serialize>(view: &V) -> Result<Response, Problem> {
    answer(StatusCode::OK, view).map(respond)
}

/// A status with a view.
pub(crate) fn with<V: Serialize>(status: StatusCode, view: &V) -> Result<Response, Problem> {
    answer(status, view).map(respond)
}
