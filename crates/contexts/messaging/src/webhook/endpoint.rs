//! Endpoints: where events are sent, which, and signed by what; and what became of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Context;
use stoa_kernel::entropy::Entropy;
use stoa_kernel::id::{EventId, Ids, OrganizationId, WebhookAttemptId, WebhookDeliveryId, WebhookEndpointId};
use stoa_kernel::store::{Commit, Json, Record, Store, StoreError, StoreErrorKind};
use stoa_runtime::outbound::Outbound;

use super::deliver::job;
use super::sign::Secret;
use super::told::{EndpointCreated, EndpointRemoved, EndpointUpdated};
use crate::Error;

/// The most endpoints of an organization.
pub const ENDPOINTS_MAX: i64 = 1_000;
/// The longest that an endpoint may take, in seconds.
pub const TIMEOUT_S_MAX: u32 = 30;
/// How long an old secret signs at most beside a new one, in seconds: 7 days.
pub const OVERLAP_S_MAX: u32 = 7 * 86_400;
/// How long a delivery and its attempts are kept, in microseconds: 30 days.
pub const DELIVERY_KEPT_US: i64 = 30 * 86_400_000_000;
/// The type of what is sent for trying, also to an endpoint that is disabled.
const TEST: &str = "webhook.test";
/// The most patterns, and headers, of an endpoint.
const PATTERNS_MAX: usize = 50;
const HEADERS_MAX: usize = 20;
const HEADER_CHARS_MAX: usize = 1_000;
const URL_CHARS_MAX: usize = 2_000;
const DESCRIPTION_CHARS_MAX: usize = 500;
/// The most deliveries that one request sends again.
const REPLAYS_MAX: u32 = 200;

/// Which types of events are wanted: `member.joined`, `member.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let is_good = match text.split_once('.') {
            None => text == "*",
            Some((entity, verb)) => is_word(entity) && (verb == "*" || is_word(verb)),
        };
        if is_good && text.len() <= 100 {
            Ok(Self(text.to_owned()))
        } else {
            Err("is * or a type of events such as member.joined or member.*".to_owned())
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Whether a type of events is one of these.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => kind == self.0,
        }
    }
}

/// Where an organization has its events sent.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "webhook_endpoints", entity = "webhook", tenant = organization_id, version = version)]
pub struct Endpoint {
    /// Its id.
    #[record(key)]
    pub id: WebhookEndpointId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Where.
    #[record(encrypted, plain, about = "the address of a program, which may hold a token")]
    pub url: String,
    /// Which types.
    #[record(plain, about = "types of events")]
    pub patterns: Json<Vec<Pattern>>,
    /// What signs.
    #[record(encrypted, plain, about = "signs webhooks")]
    pub secret: String,
    /// What signed before, and still does beside it.
    #[record(encrypted, plain, about = "signs webhooks")]
    pub previous_secret: Option<String>,
    /// Until when.
    pub previous_until: Option<Micros>,
    /// Headers of its own.
    #[record(encrypted, plain, about = "headers of a program, which may hold a token")]
    pub headers: Json<BTreeMap<String, String>>,
    /// What it is for.
    #[record(plain, about = "what a program is for")]
    pub description: String,
    /// How long it may take, in seconds.
    pub timeout_s: u32,
    /// Since when nothing is sent.
    pub disabled_at: Option<Micros>,
    /// Why: manual, gone, failing.
    #[record(plain, about = "a code")]
    pub disabled_reason: Option<String>,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// How an endpoint does. Beside it, since an attempt is no change of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "webhook_states", entity = "webhook_state", tenant = organization_id, version = version, unaudited)]
pub struct WebhookState {
    /// The endpoint.
    #[record(key)]
    pub id: WebhookEndpointId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Since when every attempt has failed.
    pub failing_since: Option<Micros>,
    /// Counts its changes.
    pub version: i64,
}

/// An event on its way to an endpoint.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "webhook_deliveries", entity = "webhook_delivery", tenant = organization_id, version = version, unaudited,
         expires = expires_at, retention = short)]
pub struct WebhookDelivery {
    /// Its id.
    #[record(key)]
    pub id: WebhookDeliveryId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Where to.
    pub endpoint_id: WebhookEndpointId,
    /// What it is about; what is sent for trying has none.
    pub event_id: Option<EventId>,
    /// Its type.
    #[record(plain, about = "a type of events")]
    pub kind: String,
    /// What the receiver knows it by: the same for every attempt.
    #[record(plain, about = "an id")]
    pub webhook_id: String,
    /// What is sent: the envelope.
    #[record(encrypted, plain, about = "what happened")]
    pub payload: Json<Value>,
    /// pending, delivered, failed or cancelled.
    #[record(plain, about = "a state")]
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The last status that was answered.
    pub last_status: Option<i64>,
    /// When it is tried next.
    pub next_at: Option<Micros>,
    /// When it was made.
    pub created_at: Micros,
    /// When it ended.
    pub finished_at: Option<Micros>,
    /// When it is removed.
    pub expires_at: Micros,
    /// Counts its changes.
    pub version: i64,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "webhook_attempts", entity = "webhook_attempt", tenant = organization_id, unaudited, expires = expires_at, retention = short)]
pub struct WebhookAttempt {
    /// Its id.
    #[record(key)]
    pub id: WebhookAttemptId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Of what.
    pub delivery_id: WebhookDeliveryId,
    /// Which, from 1.
    pub attempt: i64,
    /// When it began.
    pub at: Micros,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// What was answered.
    pub status: Option<i64>,
    /// Why nothing was.
    #[record(plain, about = "why a request failed")]
    pub error: Option<String>,
    /// The first kilobyte of the answer.
    #[record(encrypted, plain, about = "what a program answered")]
    pub excerpt: Option<String>,
    /// When it is removed.
    pub expires_at: Micros,
}

/// An endpoint that is to be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where.
    pub url: String,
    /// Which types.
    pub patterns: Vec<Pattern>,
    /// Everything else.
    pub change: Change,
}

/// What is to be different; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Where.
    pub url: Option<String>,
    /// Which types.
    pub patterns: Option<Vec<Pattern>>,
    /// Headers of its own.
    pub headers: Option<BTreeMap<String, String>>,
    /// What it is for.
    pub description: Option<String>,
    /// How long it may take, in seconds.
    pub timeout_s: Option<u32>,
    /// Whether events are sent.
    pub is_active: Option<bool>,
}

impl Change {
    /// Whether the endpoint is judged anew: it is let go on, or is elsewhere.
    #[must_use]
    pub fn is_anew(&self) -> bool {
        self.is_active == Some(true) || self.url.is_some()
    }
}

/// Where people ask for endpoints.
pub struct Endpoints {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
    /// Draws secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Knows which addresses may be asked.
    pub outbound: Arc<dyn Outbound>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoints")
    }
}

/// What the signature and the connection are about, no endpoint sets for itself.
fn is_reserved(name: &str) -> bool {
    let own = [
        "host",
        "content-type",
        "content-length",
        "connection",
        "transfer-encoding",
        "user-agent",
        "te",
        "upgrade",
        "trailer",
    ];
    own.contains(&name) || name.starts_with("webhook-") || name.starts_with("proxy-")
}

fn wrong_header((name, value): (&String, &String)) -> Option<String> {
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !is_name || is_reserved(&name.to_ascii_lowercase()) {
        return Some(format!("\"{name}\" is no header that an endpoint can have"));
    }
    let is_value = value.len() <= HEADER_CHARS_MAX && value.bytes().all(|byte| (32..127).contains(&byte));
    (!is_value).then(|| format!("\"{name}\" has at most {HEADER_CHARS_MAX} visible ASCII characters"))
}

/// Refuses what would be cancelled, because nothing is sent to an endpoint that is disabled.
fn is_enabled(endpoint: &Endpoint) -> Result<(), Error> {
    match endpoint.disabled_at {
        Some(_) => Err(Error::WrongState("the endpoint is disabled; enable it first".to_owned())),
        None => Ok(()),
    }
}

impl Endpoints {
    /// An endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn find(&self, cx: &Context, id: WebhookEndpointId) -> Result<Endpoint, Error> {
        let found = self.store.find(cx, Endpoint::select().eq(Endpoint::ID, &id)).await?;
        found.ok_or(Error::NotFound("webhook endpoint"))
    }

    /// How endpoints do, in their order: since when every attempt has failed.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn failing(&self, cx: &Context, of: &[Endpoint]) -> Result<Vec<Option<Micros>>, Error> {
        let ids: Vec<WebhookEndpointId> = of.iter().map(|endpoint| endpoint.id).collect();
        let states = self.store.list(cx, WebhookState::select().is_in(WebhookState::ID, &ids)).await?;
        let since = |id: &WebhookEndpointId| states.iter().find(|state| state.id == *id)?.failing_since;
        Ok(ids.iter().map(since).collect())
    }

    /// Decides that an endpoint is made; its secret is shown once. Refused by `webhooks_quota` when there are too many.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn create(&self, cx: &Context, draft: Draft) -> Result<(Endpoint, Secret, Commit), Error> {
        let organization_id = cx.scope.organization();
        let organization_id = organization_id.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Invalid, "an endpoint belongs to an organization")
        })?;
        let (secret, now) = (Secret::mint(self.entropy.as_ref())?, self.clock.now());
        let blank = Endpoint {
            id: self.ids.next()?,
            organization_id,
            url: draft.url.clone(),
            patterns: Json(draft.patterns.clone()),
            secret: secret.reveal().to_owned(),
            previous_secret: None,
            previous_until: None,
            headers: Json(BTreeMap::new()),
            description: String::new(),
            timeout_s: 5,
            disabled_at: None,
            disabled_reason: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let change = Change { url: Some(draft.url), patterns: Some(draft.patterns), ..draft.change };
        let endpoint = self.changed(blank, change)?;
        let own = Endpoint::select().eq(Endpoint::ORGANIZATION_ID, &organization_id);
        let state = WebhookState { id: endpoint.id, organization_id, failing_since: None, version: 1 };
        let commit = Commit::new()
            .insert(&endpoint)
            .insert(&state)
            .count("webhooks_quota", own, 0, ENDPOINTS_MAX)
            .event(&EndpointCreated::of(&endpoint));
        Ok((endpoint, secret, commit))
    }

    /// Decides that an endpoint is changed. One that is let go on, or is elsewhere, is judged anew.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub async fn change(
        &self,
        cx: &Context,
        before: &Endpoint,
        change: Change,
    ) -> Result<(Endpoint, Commit), Error> {
        let is_anew = change.is_anew();
        let draft = Endpoint { version: before.version + 1, updated_at: self.clock.now(), ..before.clone() };
        let after = self.changed(draft, change)?;
        let mut commit = Commit::new().update(before, &after).event(&EndpointUpdated::of(&after));
        let state = self.store.find(cx, WebhookState::select().eq(WebhookState::ID, &before.id)).await?;
        if let Some(state) = state.filter(|state| is_anew && state.failing_since.is_some()) {
            let anew = WebhookState { failing_since: None, version: state.version + 1, ..state };
            commit = commit.update(&state, &anew);
        }
        Ok((after, commit))
    }

    /// Decides that an endpoint goes; what is on its way is cancelled.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn remove(&self, cx: &Context, endpoint: &Endpoint) -> Result<Commit, Error> {
        let state = self.store.find(cx, WebhookState::select().eq(WebhookState::ID, &endpoint.id)).await?;
        let commit = Commit::new().delete(endpoint).event(&EndpointRemoved::of(endpoint));
        Ok(state.iter().fold(commit, Commit::delete))
    }

    /// Decides that an endpoint has a new secret, shown once; the old one signs beside it for a while.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn rotate(&self, before: &Endpoint, overlap_s: u32) -> Result<(Endpoint, Secret, Commit), Error> {
        if overlap_s > OVERLAP_S_MAX {
            return Err(Error::Invalid(vec![(
                "/overlapS",
                format!("is a number of seconds from 0 to {OVERLAP_S_MAX}"),
            )]));
        }
        let (secret, now) = (Secret::mint(self.entropy.as_ref())?, self.clock.now());
        let is_kept = overlap_s > 0;
        let after = Endpoint {
            secret: secret.reveal().to_owned(),
            previous_secret: is_kept.then(|| before.secret.clone()),
            previous_until: is_kept.then(|| now.plus(i64::from(overlap_s) * 1_000_000)),
            version: before.version + 1,
            updated_at: now,
            ..before.clone()
        };
        let commit = Commit::new().update(before, &after).event(&EndpointUpdated::of(&after));
        Ok((after, secret, commit.action("webhook.secret_rotated")))
    }

    /// Decides that something is sent for trying, whether the endpoint is active or not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn test(&self, endpoint: &Endpoint) -> Result<(WebhookDelivery, Commit), Error> {
        let (id, now) = (self.ids.next::<stoa_kernel::id::WebhookDelivery>()?, self.clock.now());
        let payload = serde_json::json!({
            "eventId": id.to_string(),
            "type": TEST,
            "timestamp": stoa_kernel::store::event::rfc3339::text(now),
            "organizationId": endpoint.organization_id,
            "payload": {"endpointId": endpoint.id.to_string()},
        });
        let delivery = WebhookDelivery {
            event_id: None,
            kind: TEST.to_owned(),
            webhook_id: id.to_string(),
            ..delivery(id, endpoint, payload, now)
        };
        let commit = Commit::new().insert(&delivery).job(job(&delivery, None));
        Ok((delivery, commit.note("webhook.tested", "webhook", &endpoint.id)))
    }

    /// A delivery.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delivery(&self, cx: &Context, id: WebhookDeliveryId) -> Result<WebhookDelivery, Error> {
        let found = self.store.find(cx, WebhookDelivery::select().eq(WebhookDelivery::ID, &id)).await?;
        found.ok_or(Error::NotFound("webhook delivery"))
    }

    /// The attempts of a delivery, in order.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn attempts(&self, cx: &Context, id: WebhookDeliveryId) -> Result<Vec<WebhookAttempt>, Error> {
        let query =
            WebhookAttempt::select().eq(WebhookAttempt::DELIVERY_ID, &id).ascending(WebhookAttempt::ID);
        Ok(self.store.list(cx, query).await?)
    }

    /// Decides that a delivery that has ended is sent again, under the same id.
    ///
    /// # Errors
    /// [`Error::WrongState`] while it is under way, and where the endpoint is disabled: it would be cancelled.
    pub async fn resend(&self, cx: &Context, delivery: &WebhookDelivery) -> Result<Commit, Error> {
        if delivery.state == "pending" {
            return Err(Error::WrongState("the delivery is under way already".to_owned()));
        }
        if delivery.kind != TEST {
            is_enabled(&self.find(cx, delivery.endpoint_id).await?)?;
        }
        Ok(self.again(delivery).note("webhook.resent", "webhook_delivery", &delivery.id))
    }

    fn again(&self, delivery: &WebhookDelivery) -> Commit {
        let now = self.clock.now();
        let after = WebhookDelivery {
            state: "pending".to_owned(),
            attempts: 0,
            next_at: Some(now),
            finished_at: None,
            expires_at: now.plus(DELIVERY_KEPT_US),
            version: delivery.version + 1,
            ..delivery.clone()
        };
        Commit::new().update(delivery, &after).job(job(&after, None))
    }

    /// Decides that what failed or was cancelled since a time is sent again, the oldest 200: how many, and whether there are more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn replay(
        &self,
        cx: &Context,
        endpoint: &Endpoint,
        since: Micros,
    ) -> Result<(usize, bool, Commit), Error> {
        is_enabled(endpoint)?;
        let failed = WebhookDelivery::select()
            .eq(WebhookDelivery::ENDPOINT_ID, &endpoint.id)
            .is_in(WebhookDelivery::STATE, &["failed".to_owned(), "cancelled".to_owned()])
            .ge(WebhookDelivery::CREATED_AT, &since)
            .ascending(WebhookDelivery::ID);
        let mut failed = self.store.list(cx, failed.limit(REPLAYS_MAX + 1)).await?;
        let most = usize::try_from(REPLAYS_MAX).unwrap_or(usize::MAX);
        let has_more = failed.len() > most;
        failed.truncate(most);
        let commit = failed.iter().fold(Commit::new(), |commit, delivery| commit.and(self.again(delivery)));
        Ok((failed.len(), has_more, commit.note("webhook.replayed", "webhook", &endpoint.id)))
    }

    fn changed(&self, draft: Endpoint, change: Change) -> Result<Endpoint, Error> {
        let mut wrong = Vec::new();
        if let Some(url) = &change.url {
            if url.chars().count() > URL_CHARS_MAX {
                wrong.push(("/url", format!("has at most {URL_CHARS_MAX} characters")));
            } else if let Err(refused) = self.outbound.check(url) {
                wrong.push(("/url", refused.to_string()));
            }
        }
        if change.patterns.as_ref().is_some_and(|patterns| !(1..=PATTERNS_MAX).contains(&patterns.len())) {
            wrong.push(("/events", format!("has 1 to {PATTERNS_MAX} entries")));
        }
        if let Some(headers) = &change.headers {
            if headers.len() > HEADERS_MAX {
                wrong.push(("/headers", format!("has at most {HEADERS_MAX} entries")));
            }
            wrong.extend(headers.iter().filter_map(wrong_header).map(|message| ("/headers", message)));
        }
        let is_long = |text: &String| text.chars().count() > DESCRIPTION_CHARS_MAX || text.contains('\0');
        if change.description.as_ref().is_some_and(is_long) {
            wrong.push(("/description", format!("has at most {DESCRIPTION_CHARS_MAX} characters, none NUL")));
        }
        if change.timeout_s.is_some_and(|seconds| !(1..=TIMEOUT_S_MAX).contains(&seconds)) {
            wrong.push(("/timeoutS", format!("is a number of seconds from 1 to {TIMEOUT_S_MAX}")));
        }
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        let (disabled_at, disabled_reason) = match change.is_active {
            Some(true) => (None, None),
            Some(false) if draft.disabled_at.is_none() => (Some(draft.updated_at), Some("manual".to_owned())),
            _ => (draft.disabled_at, draft.disabled_reason.clone()),
        };
        Ok(Endpoint {
            url: change.url.unwrap_or(draft.url),
            patterns: change.patterns.map_or(draft.patterns, Json),
            headers: change.headers.map_or(draft.headers, Json),
            description: change.description.unwrap_or(draft.description),
            timeout_s: change.timeout_s.unwrap_or(draft.timeout_s),
            disabled_at,
            disabled_reason,
            ..draft
        })
    }
}

/// A delivery that begins now.
pub(super) fn delivery(
    id: WebhookDeliveryId,
    endpoint: &Endpoint,
    payload: Value,
    now: Micros,
) -> WebhookDelivery {
    WebhookDelivery {
        id,
        organization_id: endpoint.organization_id,
        endpoint_id: endpoint.id,
        event_id: None,
        kind: String::new(),
        webhook_id: String::new(),
        payload: Json(payload),
        state: "pending".to_owned(),
        attempts: 0,
        last_status: None,
        next_at: Some(now),
        created_at: now,
        finished_at: None,
        expires_at: now.plus(DELIVERY_KEPT_US),
        version: 1,
    }
}
