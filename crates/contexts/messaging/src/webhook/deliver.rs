//! One attempt of a delivery.
//!
//! An endpoint has few places at a time, and a breaker: one that hangs or fails waits by itself, and takes no place of another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoa_jobs::{Done, Failed, Handler, Kind, RETRY, Work};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::Context;
use stoa_kernel::entropy::Entropy;
use stoa_kernel::id::{Ids, WebhookDeliveryId, WebhookEndpointId};
use stoa_kernel::resilience::{Breaker, BreakerPolicy, RetryPolicy};
use stoa_kernel::store::{BoxFuture, Commit, Job, Record as _, Store, StoreErrorKind};
use stoa_runtime::outbound::{Fetch, Fetched, Outbound, Unfetched};

use super::endpoint::{DELIVERY_KEPT_US, Endpoint, WebhookAttempt, WebhookDelivery, WebhookState};
use super::sign::{Secret, signature};
use super::told::EndpointDisabled;

/// The kind of the job.
pub static DELIVER: Kind = Kind {
    timeout: Duration::from_secs(60),
    // The delivery says how often it is tried; the job only fails where the store does.
    retry: RetryPolicy { base_us: 500_000, attempts_max: 100, ..RETRY },
    keep_us: 0,
    is_dispensable: false,
    ..Kind::new("webhook.deliver", "webhooks", "Sends an event to an endpoint.")
};

/// The pauses before the second attempt and those after it, in seconds: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
const PAUSES_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// How often a delivery is tried.
pub const ATTEMPTS_MAX: i64 = 10;
/// An endpoint that failed for so long, whatever was sent, is sent nothing more, in microseconds: 5 days.
const GIVE_UP_US: i64 = 5 * 86_400_000_000;
/// So many attempts at an endpoint are under way at once, in each process.
const PLACES: u32 = 8;
/// How long an attempt takes, as long as nothing is known of an endpoint, in microseconds.
const TOOK_US: i64 = 50_000;
/// Between two deliveries that wait for an endpoint whose breaker is open, in microseconds.
const OPEN_US: i64 = 5_000_000;
/// How far ahead deliveries are put off, in microseconds: an hour.
const HORIZON_US: i64 = 3_600_000_000;
/// How much of an answer is kept, in bytes.
const EXCERPT: usize = 1_024;
/// Opens after three failures within a minute that are half of the attempts or more; then one attempt every five seconds tries it.
const BREAKER: BreakerPolicy =
    BreakerPolicy { failure_percent: 50, calls_min: 3, window_us: 60_000_000, open_us: 5_000_000, probes: 1 };
/// The most endpoints that are remembered.
const LANES_MAX: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
struct Target {
    delivery: WebhookDeliveryId,
}

/// The job of a delivery.
pub(super) fn job(delivery: &WebhookDelivery, run_at: Option<Micros>) -> Job {
    let target = Target { delivery: delivery.id };
    Job { organization: Some(delivery.organization_id), run_at, ..DELIVER.job(&target) }
}

/// What this process knows of an endpoint.
struct Lane {
    under_way: u32,
    breaker: Breaker,
    /// How long attempts take, smoothed.
    took_us: i64,
    /// When the next one that waits has its turn: each has a time of its own, so that what waits is looked at about once.
    turn: Micros,
}

impl Lane {
    /// When one more that waits has its turn, not before `wait_us` from now.
    fn queue(&mut self, now: Micros, wait_us: i64, apart_us: i64, lot: i64) -> Micros {
        let turn = self.turn.max(now.plus(wait_us));
        self.turn = turn.plus(apart_us);
        if turn.since(now) <= HORIZON_US {
            return turn;
        }
        self.turn = now.plus(HORIZON_US);
        now.plus(HORIZON_US / 2 + lot % (HORIZON_US / 2))
    }
}

/// Sends events.
pub struct Deliver {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    entropy: Arc<dyn Entropy>,
    outbound: Arc<dyn Outbound>,
    pauses_s: Vec<i64>,
    lanes: Mutex<HashMap<WebhookEndpointId, Lane>>,
}

impl std::fmt::Debug for Deliver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliver")
    }
}

/// A place at an endpoint.
struct Place<'d> {
    deliver: &'d Deliver,
    endpoint: WebhookEndpointId,
    generation: u64,
    start: Micros,
    is_well: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.deliver.clock.now();
        if let Some(lane) = self.deliver.lanes().get_mut(&self.endpoint) {
            lane.under_way = lane.under_way.saturating_sub(1);
            lane.breaker.record(self.generation, self.is_well, now);
            lane.took_us = (lane.took_us * 3 + now.since(self.start)) / 4;
            if self.is_well {
                lane.turn = lane.turn.min(now);
            }
        }
    }
}

impl Deliver {
    /// Sends on these. `pauses_s` are the pauses between attempts, in seconds; without any, those of the specification.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        entropy: Arc<dyn Entropy>,
        outbound: Arc<dyn Outbound>,
        pauses_s: &[i64],
    ) -> Self {
        let pauses_s = if pauses_s.is_empty() { PAUSES_S.to_vec() } else { pauses_s.to_vec() };
        Self { store, clock, ids, entropy, outbound, pauses_s, lanes: Mutex::default() }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<WebhookEndpointId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place at an endpoint, or when to ask again.
    fn place(&self, endpoint: WebhookEndpointId) -> Result<Place<'_>, Micros> {
        let (now, lot) = (self.clock.now(), self.lot());
        let mut lanes = self.lanes();
        if lanes.len() >= LANES_MAX {
            lanes.retain(|_, lane| lane.under_way > 0);
        }
        let lane = lanes.entry(endpoint).or_insert_with(|| Lane {
            under_way: 0,
            breaker: Breaker::new(BREAKER),
            took_us: TOOK_US,
            turn: Micros(0),
        });
        if lane.under_way >= PLACES {
            let apart_us = (lane.took_us / i64::from(PLACES)).max(2_000);
            return Err(lane.queue(now, apart_us, apart_us, lot));
        }
        match lane.breaker.admit(now) {
            Err(wait_us) => Err(lane.queue(now, wait_us.max(1_000_000), OPEN_US, lot)),
            Ok(generation) => {
                lane.under_way += 1;
                Ok(Place { deliver: self, endpoint, generation, start: now, is_well: false })
            }
        }
    }

    fn lot(&self) -> i64 {
        self.entropy.bytes::<8>().map_or(0, i64::from_le_bytes) & i64::MAX
    }

    async fn deliver(&self, cx: &Context, id: WebhookDeliveryId) -> Result<Commit, Failed> {
        let store = self.store.as_ref();
        let pending = store.find(cx, WebhookDelivery::select().eq(WebhookDelivery::ID, &id)).await?;
        let Some(delivery) = pending.filter(|delivery| delivery.state == "pending") else {
            return Ok(Commit::new());
        };
        let endpoint = store.find(cx, Endpoint::select().eq(Endpoint::ID, &delivery.endpoint_id)).await?;
        // What is sent for trying is sent also to one that is not active.
        let endpoint =
            endpoint.filter(|endpoint| endpoint.disabled_at.is_none() || delivery.event_id.is_none());
        let now = self.clock.now();
        let Some(endpoint) = endpoint else {
            let cancelled =
                WebhookDelivery { next_at: None, finished_at: Some(now), ..next(&delivery, "cancelled") };
            return Ok(Commit::new().update(&delivery, &cancelled));
        };
        let mut place = match self.place(endpoint.id) {
            Ok(place) => place,
            Err(at) => {
                let waiting = WebhookDelivery { next_at: Some(at), ..next(&delivery, "pending") };
                return Ok(Commit::new().update(&delivery, &waiting).job(job(&waiting, Some(at))));
            }
        };
        let (attempt, answer) = self.attempt(&endpoint, &delivery).await?;
        place.is_well = attempt.status.is_some_and(|status| (200..300).contains(&status));
        let is_well = place.is_well;
        drop(place);
        self.remember(cx, &endpoint, is_well).await;
        Ok(self.settle(&endpoint, &delivery, &attempt, answer))
    }

    /// Asks the endpoint.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        delivery: &WebhookDelivery,
    ) -> Result<(WebhookAttempt, Result<Fetched, Unfetched>), Failed> {
        let (at, start) = (self.clock.now(), self.clock.steady());
        let body = delivery.payload.0.to_string();
        let timestamp_s = at.0.div_euclid(1_000_000);
        let previous = endpoint
            .previous_secret
            .as_ref()
            .filter(|_| endpoint.previous_until.is_some_and(|until| at < until));
        let secrets: Vec<Secret> = [Some(&endpoint.secret), previous]
            .into_iter()
            .flatten()
            .filter_map(|secret| secret.parse().ok())
            .collect();
        let mut headers: Vec<(String, String)> = endpoint.headers.0.clone().into_iter().collect();
        headers.push(("webhook-id".to_owned(), delivery.webhook_id.clone()));
        headers.push(("webhook-timestamp".to_owned(), timestamp_s.to_string()));
        headers.push((
            "webhook-signature".to_owned(),
            signature(&secrets, &delivery.webhook_id, timestamp_s, body.as_bytes()),
        ));
        if let Some(trace) = delivery.payload.0.get("traceparent").and_then(serde_json::Value::as_str) {
            headers.push(("traceparent".to_owned(), trace.to_owned()));
        }
        let fetch = Fetch {
            url: endpoint.url.clone(),
            headers,
            body: Some(("application/json", body)),
            bytes_max: EXCERPT,
            is_excerpt: true,
            timeout_ms: u64::from(endpoint.timeout_s) * 1_000,
        };
        let answer = self.outbound.fetch(fetch).await;
        let took = self.clock.steady().since(start);
        let status = answer.as_ref().ok().map(|answer| i64::from(answer.status));
        let outcome = match status {
            Some(200..300) => "delivered",
            Some(_) => "refused",
            None => "unanswered",
        };
        metrics::counter!("stoa_webhook_attempts_total", "outcome" => outcome).increment(1);
        metrics::histogram!("stoa_webhook_attempt_seconds")
            .record(Duration::from_micros(took.unsigned_abs()).as_secs_f64());
        let excerpt = |answer: &Fetched| String::from_utf8_lossy(&answer.body).replace('\0', "\u{fffd}");
        let attempt = WebhookAttempt {
            id: self.ids.next().map_err(|error| Failed::later(error.to_string()))?,
            organization_id: delivery.organization_id,
            delivery_id: delivery.id,
            attempt: delivery.attempts + 1,
            at,
            duration_ms: took / 1_000,
            status,
            error: answer.as_ref().err().map(ToString::to_string),
            excerpt: answer.as_ref().ok().map(excerpt),
            expires_at: at.plus(DELIVERY_KEPT_US),
        };
        Ok((attempt, answer))
    }

    /// What becomes of the delivery.
    fn settle(
        &self,
        endpoint: &Endpoint,
        delivery: &WebhookDelivery,
        attempt: &WebhookAttempt,
        answer: Result<Fetched, Unfetched>,
    ) -> Commit {
        let now = self.clock.now();
        let commit = Commit::new().insert(attempt);
        let tried = |state: &str| WebhookDelivery {
            attempts: attempt.attempt,
            last_status: attempt.status,
            next_at: None,
            finished_at: Some(now),
            ..next(delivery, state)
        };
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => commit.update(delivery, &tried("delivered")),
            Ok(answer) if answer.status == 410 => {
                let commit = commit.update(delivery, &tried("failed"));
                if endpoint.disabled_at.is_some() {
                    commit
                } else {
                    commit.and(disable(endpoint, "gone", now))
                }
            }
            _ => {
                let pause_s =
                    usize::try_from(delivery.attempts).ok().and_then(|number| self.pauses_s.get(number));
                let Some(pause_s) = pause_s.filter(|_| attempt.attempt < ATTEMPTS_MAX) else {
                    return commit.update(delivery, &tried("failed"));
                };
                let at = now.plus(self.jittered(pause_s.saturating_mul(1_000_000)));
                let again = WebhookDelivery { next_at: Some(at), finished_at: None, ..tried("pending") };
                commit.update(delivery, &again).job(job(&again, Some(at)))
            }
        }
    }

    /// A pause, up to a tenth longer: what failed together does not come back together.
    fn jittered(&self, pause_us: i64) -> i64 {
        pause_us.saturating_add(self.lot() % (pause_us / 10).max(1))
    }

    /// Remembers since when an endpoint fails; after five days it is sent nothing more. What cannot be remembered now is with the next.
    async fn remember(&self, cx: &Context, endpoint: &Endpoint, is_well: bool) {
        let now = self.clock.now();
        let decide = async {
            let state =
                self.store.find(cx, WebhookState::select().eq(WebhookState::ID, &endpoint.id)).await?;
            let Some(state) = state else { return Ok(()) };
            let since = match (is_well, state.failing_since) {
                (true, None) => return Ok(()),
                (true, Some(_)) => None,
                (false, Some(since)) if now.since(since) >= GIVE_UP_US && endpoint.disabled_at.is_none() => {
                    tracing::warn!(endpoint = %endpoint.id, "an endpoint has failed for five days; it is sent nothing more");
                    return self.store.commit(cx, disable(endpoint, "failing", now)).await.map(drop);
                }
                (false, Some(_)) => return Ok(()),
                (false, None) => Some(now),
            };
            let after = WebhookState { failing_since: since, version: state.version + 1, ..state.clone() };
            self.store.commit(cx, Commit::new().update(&state, &after)).await.map(drop)
        };
        match decide.await {
            Err(error) if error.kind != StoreErrorKind::Conflict => {
                tracing::debug!(%error, "how an endpoint does is not remembered this time");
            }
            _ => {}
        }
    }
}

fn next(delivery: &WebhookDelivery, state: &str) -> WebhookDelivery {
    WebhookDelivery { state: state.to_owned(), version: delivery.version + 1, ..delivery.clone() }
}

fn disable(endpoint: &Endpoint, reason: &str, now: Micros) -> Commit {
    let disabled = Endpoint {
        disabled_at: Some(now),
        disabled_reason: Some(reason.to_owned()),
        version: endpoint.version + 1,
        updated_at: now,
        ..endpoint.clone()
    };
    let commit = Commit::new().update(endpoint, &disabled).event(&EndpointDisabled::of(&disabled));
    commit.action("webhook.disabled")
}

impl Handler for Deliver {
    fn kind(&self) -> &'static Kind {
        &DELIVER
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let target: Target = work.payload()?;
            self.deliver(&work.cx, target.delivery).await.map(Done::from)
        })
    }
}
