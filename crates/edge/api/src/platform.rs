//! What operations work with.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use stoa_http::browser::Cookies;
use stoa_http::idempotency::InFlight;
use stoa_http::observe::Observer;
use stoa_http::proxy::Proxies;
use stoa_http::shed::Shedder;
use stoa_identity::Identity;
use stoa_jobs::desk::Desk;
use stoa_jobs::schedule::Schedules;
use stoa_kernel::clock::Clock;
use stoa_kernel::id::Ids;
use stoa_kernel::store::registry::Kept;
use stoa_kernel::store::{AuditTrail, CursorKey, EventLog, EventType, Store, Upkeep};
use stoa_messaging::notification::Inbox;
use stoa_messaging::webhook::{Endpoints, Inbound};
use stoa_outbox::{Feed, Projection};
use stoa_runtime::alerts::Traffic;
use stoa_runtime::health::Health;
use stoa_runtime::limiter::{Limits, Rate};
use stoa_runtime::trace::Collector;
use stoa_workflow::Runs;
use tokio::sync::Semaphore;

use crate::operator::OperatorToken;

/// What the composition root fills in.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// Wakes who follows the log.
    pub feed: Feed,
    /// Numbers things.
    pub ids: Arc<dyn Ids>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Signs cursors.
    pub cursors: CursorKey,
    /// Lets the operator in.
    pub operator: OperatorToken,
    /// Who there is.
    pub identity: Arc<Identity>,
    /// Where people ask for jobs.
    pub desk: Arc<Desk>,
    /// Where people ask for schedules.
    pub schedules: Arc<Schedules>,
    /// Where people ask for runs.
    pub runs: Arc<Runs>,
    /// Where people ask for webhook endpoints.
    pub endpoints: Arc<Endpoints>,
    /// Where people see what they are told.
    pub inbox: Arc<Inbox>,
    /// Takes webhooks of others.
    pub inbound: Arc<Inbound>,
    /// Who follows the log: names, what they do, and the types of events that they take.
    pub consumers: Vec<(String, String, Vec<String>)>,
    /// What is made of the log.
    pub projections: Vec<Arc<dyn Projection>>,
    /// The audit trail, for proofs.
    pub trail: Arc<dyn AuditTrail>,
    /// How many attempts of one address on one name are let through in a minute.
    pub attempts: u32,
    /// Every type of event.
    pub event_types: Vec<EventType>,
    /// Every column that is kept, and why.
    pub kept: Vec<Kept>,
    /// How the database does.
    pub upkeep: Arc<dyn Upkeep>,
    /// Where clients' reports go, if there is a collector.
    pub collector: Option<Arc<dyn Collector>>,
    /// Counts requests, for alerts.
    pub traffic: Arc<Traffic>,
    /// Counts what callers ask.
    pub limits: Arc<Limits>,
    /// Keys the hashes of callers.
    pub caller_secret: Vec<u8>,
    /// Whether everything works.
    pub health: Health,
    /// The metrics, as Prometheus reads them.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The most that a request may take.
    pub timeout: Duration,
    /// The most bytes of a body.
    pub body_bytes_max: usize,
    /// The most requests under way.
    pub concurrency_max: usize,
    /// The most streams of events.
    pub streams_max: usize,
    /// How much each caller may ask.
    pub rate: Rate,
    /// Who may call from a browser on another origin.
    pub cors_origins: Vec<String>,
    /// The proxies that are believed.
    pub proxies: Proxies,
}

/// What operations work with.
pub struct Platform {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) feed: Feed,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cursors: CursorKey,
    pub(crate) operator: OperatorToken,
    pub(crate) identity: Arc<Identity>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) schedules: Arc<Schedules>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) inbound: Arc<Inbound>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) consumers: Vec<(String, String, Vec<String>)>,
    pub(crate) projections: Vec<Arc<dyn Projection>>,
    pub(crate) trail: Arc<dyn AuditTrail>,
    pub(crate) attempts: u32,
    pub(crate) cookies: Cookies,
    pub(crate) event_types: Vec<EventType>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
    pub(crate) collector: Option<Arc<dyn Collector>>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) health: Health,
    pub(crate) metrics: Box<dyn Fn() -> String + Send + Sync>,
    pub(crate) body_bytes_max: usize,
    pub(crate) in_flight: InFlight,
    pub(crate) observer: Arc<Observer>,
    pub(crate) shedder: Arc<Shedder>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) proxies: Proxies,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Platform")
    }
}

impl Platform {
    /// A platform of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let observer = Observer {
            ids: Arc::clone(&parts.ids),
            clock: Arc::clone(&parts.clock),
            timeout: parts.timeout,
            seed: AtomicU64::new(0),
            traffic: parts.traffic,
        };
        let shedder = Shedder::new(
            parts.concurrency_max,
            parts.rate,
            parts.limits,
            Arc::clone(&parts.clock),
            &parts.caller_secret,
        );
        Arc::new(Self {
            store: parts.store,
            log: parts.log,
            feed: parts.feed,
            ids: parts.ids,
            clock: parts.clock,
            cursors: parts.cursors,
            operator: parts.operator,
            cookies: Cookies::new(&parts.identity.issuer(), &parts.cors_origins),
            identity: parts.identity,
            desk: parts.desk,
            schedules: parts.schedules,
            runs: parts.runs,
            endpoints: parts.endpoints,
            inbound: parts.inbound,
            inbox: parts.inbox,
            consumers: parts.consumers,
            projections: parts.projections,
            trail: parts.trail,
            attempts: parts.attempts,
            event_types: parts.event_types,
            kept: parts.kept,
            upkeep: parts.upkeep,
            collector: parts.collector,
            streams: Arc::new(Semaphore::new(parts.streams_max)),
            health: parts.health,
            metrics: parts.metrics,
            body_bytes_max: parts.body_bytes_max,
            in_flight: InFlight::default(),
            observer: Arc::new(observer),
            shedder: Arc::new(shedder),
            cors_origins: parts.cors_origins,
            proxies: parts.proxies,
        })
    }
}
