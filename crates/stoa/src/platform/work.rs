//! The work that commits have asked for: who does it, and what is watched about it.

use std::sync::Arc;

use stoa_identity::Identity;
use stoa_identity::key_rotation::{ROTATE, Rotation};
use stoa_identity::purge::{PURGE, PurgeWorkflow, Purging};
use stoa_jobs::desk::Desk;
use stoa_jobs::janitor::{CLEAN, Janitor};
use stoa_jobs::letters::{self, WATCH, Watcher};
use stoa_jobs::schedule::{Own, Scheduler, Schedules};
use stoa_jobs::{Handler, Kind, PROBE, Pace, Pacing, Parts, Probe, Registry, Worker};
use stoa_kernel::id::Ids;
use stoa_kernel::store::{BoxFuture, Event as _};
use stoa_messaging::notification::{
    DIGEST, DIGEST_S, Digester, Inbox, NOTIFY, Notifications, Notify, People,
};
use stoa_messaging::webhook::{DELIVER, Deliver, Endpoints, Inbound, PROCESS, Process, Webhooks};
use stoa_messaging::{Letters, SEND_MAIL, SendMail};
use stoa_outbox::{
    ActivityProjection, Again, Broker, CONSUME, Consumer, Consuming, Feed, Leader, Projecting, Projection,
    RELAY, RETIRED_US, Relay,
};
use stoa_runtime::entropy::SystemEntropy;
use stoa_runtime::ids::NodeIds;
use stoa_runtime::lifecycle::Lifecycle;
use stoa_runtime::limiter::{Ask, Caller, Limit, Limits, Outage, Rate};
use stoa_runtime::mail::Mailer;
use stoa_workflow::{
    ADVANCE, Advance, PERFORM, Perform, ProbeWorkflow, Registry as Workflows, RotateKeys, Runs, WAKE, Wake,
    Workflow,
};
use tokio::sync::watch;

use super::compose::Stores;
use super::config::Config;
use super::people;
use crate::failure::Failure;

/// Every kind of job.
pub(crate) static KINDS: [&Kind; 14] = [
    &SEND_MAIL, &PURGE, &PROBE, &CLEAN, &WATCH, &ROTATE, &ADVANCE, &WAKE, &PERFORM, &CONSUME, &DELIVER,
    &PROCESS, &NOTIFY, &DIGEST,
];

/// What keeps an installation in order, by the clock.
static OWN: [Own; 4] = [
    Own { name: "janitor", kind: &CLEAN, every_s: 60 },
    Own { name: "dead-letters", kind: &WATCH, every_s: letters::ROUND_S },
    Own { name: "digests", kind: &DIGEST, every_s: DIGEST_S },
    Own { name: "signing-keys", kind: &ROTATE, every_s: 3_600 },
];

/// Counts beginnings where requests are counted: all processes together, where they share a Redis.
struct Shared(Arc<Limits>);

impl Pacing for Shared {
    fn begin<'a>(&'a self, kind: &'a str, pace: Pace) -> BoxFuture<'a, Option<i64>> {
        Box::pin(async move {
            let hash = blake3::derive_key("stoa 2026-11 pace of kinds of jobs", kind.as_bytes());
            let caller = Caller(hash.first_chunk::<16>().copied().unwrap_or_default());
            let limit = Limit::Bucket(Rate { burst: pace.burst, per_second: pace.per_second });
            let verdict = self.0.take(&[Ask { caller, limit }], Outage::CountHere).await?;
            (!verdict.allowed).then(|| i64::from(verdict.reset_s.max(1)) * 1_000_000)
        })
    }
}

/// Where people ask for jobs.
pub(super) fn desk(stores: &Stores, ids: &Arc<NodeIds>) -> Desk {
    Desk {
        store: Arc::clone(&stores.store),
        queue: Arc::clone(&stores.queue),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        kinds: KINDS.to_vec(),
    }
}

/// Where people ask for schedules.
pub(super) fn schedules(stores: &Stores, ids: &Arc<NodeIds>, desk: &Arc<Desk>) -> Schedules {
    Schedules {
        store: Arc::clone(&stores.store),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        desk: Arc::clone(desk),
    }
}

fn purge(stores: &Stores) -> PurgeWorkflow {
    PurgeWorkflow::on(&stores.store, &stores.upkeep, &stores.clock)
}

/// Every workflow, in every version of which there may be runs.
fn workflows(stores: &Stores) -> Workflows {
    let all: [Arc<dyn Workflow>; 3] =
        [Arc::new(ProbeWorkflow), Arc::new(RotateKeys::of(&stores.keyring)), Arc::new(purge(stores))];
    Workflows::of(all)
}

/// Where people ask for runs.
pub(super) fn runs(stores: &Stores, ids: &Arc<NodeIds>) -> Runs {
    Runs {
        store: Arc::clone(&stores.store),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        registry: workflows(stores),
    }
}

/// Who changes something for each event.
fn consumers(stores: &Stores, ids: &Arc<NodeIds>, people: &Arc<dyn People>) -> Vec<Arc<dyn Consumer>> {
    let notifications = Notifications {
        store: Arc::clone(&stores.store),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        people: Arc::clone(people),
    };
    let webhooks = Webhooks {
        store: Arc::clone(&stores.store),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
    };
    vec![Arc::new(webhooks), Arc::new(notifications)]
}

/// What is made of the log.
pub(super) fn projections(stores: &Stores) -> Vec<Arc<dyn Projection>> {
    let activity = ActivityProjection {
        store: Arc::clone(&stores.store),
        ends_with: stoa_identity::organization::Purged::TYPE.name,
    };
    vec![Arc::new(activity)]
}

/// Who follows the log, for whoever looks at it.
pub(super) fn followers(
    stores: &Stores,
    ids: &Arc<NodeIds>,
    identity: &Arc<Identity>,
    has_broker: bool,
) -> Vec<(String, String, Vec<String>)> {
    let consumers = consumers(stores, ids, &people(identity));
    let shown = |consumer: &Arc<dyn Consumer>| {
        (consumer.name().to_owned(), consumer.about().to_owned(), consumer.kinds())
    };
    let relay = has_broker.then(|| (RELAY.to_owned(), "Publishes the log to NATS.".to_owned(), Vec::new()));
    consumers.iter().map(shown).chain(relay).collect()
}

fn people(identity: &Arc<Identity>) -> Arc<dyn People> {
    Arc::new(people::Directory(Arc::clone(identity)))
}

/// What writes letters, and the titles of notifications.
fn letters(identity: &Identity) -> Result<Letters, Failure> {
    Letters::new(&identity.issuer()).map_err(|error| Failure::new("internal", error.to_string()))
}

/// Where people see what they are told.
pub(super) fn inbox(stores: &Stores, identity: &Identity) -> Result<Inbox, Failure> {
    let (store, clock) = (Arc::clone(&stores.store), Arc::clone(&stores.clock));
    Ok(Inbox { store, clock, letters: letters(identity)? })
}

/// Where people ask for webhook endpoints.
pub(super) fn endpoints(config: &Config, stores: &Stores, ids: &Arc<NodeIds>) -> Result<Endpoints, Failure> {
    Ok(Endpoints {
        store: Arc::clone(&stores.store),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        entropy: Arc::new(SystemEntropy),
        outbound: people::outbound(config)?,
    })
}

/// What takes webhooks of others.
pub(super) fn inbound(stores: &Stores, ids: &Arc<NodeIds>) -> Inbound {
    Inbound {
        store: Arc::clone(&stores.store),
        clock: Arc::clone(&stores.clock),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        entropy: Arc::new(SystemEntropy),
    }
}

/// Runs a worker until the process ends.
fn start(name: &'static str, worker: Worker, lifecycle: &mut Lifecycle) {
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(worker.run(stopped));
    lifecycle.started(name, move || async move {
        stop.send_replace(true);
        let _ = running.await;
    });
}

/// What work is done with.
pub(super) struct Working<'w> {
    pub(super) config: &'w Config,
    pub(super) identity: &'w Arc<Identity>,
    pub(super) stores: &'w Stores,
    pub(super) ids: &'w Arc<NodeIds>,
    pub(super) limits: &'w Arc<Limits>,
    pub(super) feed: &'w Feed,
    pub(super) holder: &'w str,
    pub(super) broker: Option<&'w Arc<dyn Broker>>,
}

impl Working<'_> {
    /// Does the work. The mailer is what letters leave by.
    pub(super) fn work(&self, lifecycle: &mut Lifecycle) -> Result<Arc<dyn Mailer>, Failure> {
        let mailer = people::mailer(self.config)?;
        let clock = Arc::clone(&self.stores.clock);
        let store = Arc::clone(&self.stores.store);
        let purging = Purging {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            workflow: Arc::new(purge(self.stores)),
        };
        let watcher = Watcher { store: Arc::clone(&store), clock: Arc::clone(&clock), kinds: KINDS.to_vec() };
        let janitor =
            Janitor { upkeep: Arc::clone(&self.stores.upkeep), keyring: Arc::clone(&self.stores.keyring) };
        let rotation = Rotation {
            identity: Arc::clone(self.identity),
            age_us: self.config.identity.signing_key_days.saturating_mul(86_400_000_000),
        };
        let registry = workflows(self.stores);
        let advance = Advance {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            registry: registry.clone(),
        };
        let consumers = self.consumers();
        let again = Again {
            consumers: consumers.clone(),
            projections: projections(self.stores),
            store: Arc::clone(&store),
            log: Arc::clone(&self.stores.log),
            clock: Arc::clone(&clock),
            ids: Arc::clone(self.ids) as Arc<dyn Ids>,
        };
        let pacing: Arc<dyn Pacing> = Arc::new(Shared(Arc::clone(self.limits)));
        let notify = Notify {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            people: people(self.identity),
            letters: letters(self.identity)?,
            mailer: Arc::clone(&mailer),
        };
        let digester = Digester {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            people: people(self.identity),
            letters: letters(self.identity)?,
        };
        let handlers: [Arc<dyn Handler>; 13] = [
            Arc::new(notify),
            Arc::new(digester),
            Arc::new(Process { store: Arc::clone(&store) }),
            Arc::new(again),
            Arc::new(advance),
            Arc::new(Wake { store: Arc::clone(&store), clock: Arc::clone(&clock) }),
            Arc::new(Perform { store: Arc::clone(&store), clock: Arc::clone(&clock), registry }),
            Arc::new(SendMail { letters: letters(self.identity)?, mailer: Arc::clone(&mailer) }),
            Arc::new(purging),
            Arc::new(Probe),
            Arc::new(janitor),
            Arc::new(watcher),
            Arc::new(rotation),
        ];
        let parts = Parts {
            queue: Arc::clone(&self.stores.queue),
            store,
            clock,
            ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            registry: Registry::of(handlers),
            pacing: Arc::clone(&pacing),
            holder: self.holder.to_owned(),
            concurrency: self.config.jobs.concurrency,
            lease_us: self.config.jobs.lease_s.saturating_mul(1_000_000),
        };
        start("jobs", Worker::new(parts, self.feed.subscribe()), lifecycle);
        self.deliver(&pacing, lifecycle)?;
        Ok(mailer)
    }

    fn consumers(&self) -> Vec<Arc<dyn Consumer>> {
        consumers(self.stores, self.ids, &people(self.identity))
    }

    /// Sends webhooks, beside all other jobs: whoever does not answer takes no place of theirs.
    fn deliver(&self, pacing: &Arc<dyn Pacing>, lifecycle: &mut Lifecycle) -> Result<(), Failure> {
        let clock = Arc::clone(&self.stores.clock);
        let deliver = Deliver::new(
            Arc::clone(&self.stores.store),
            Arc::clone(&clock),
            Arc::clone(self.ids) as Arc<dyn Ids>,
            Arc::new(SystemEntropy),
            people::outbound(self.config)?,
            &self.config.webhooks.pauses_s,
        );
        let parts = Parts {
            queue: Arc::clone(&self.stores.queue),
            store: Arc::clone(&self.stores.store),
            clock,
            ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            registry: Registry::of([Arc::new(deliver) as Arc<dyn Handler>]),
            pacing: Arc::clone(pacing),
            holder: format!("{}-webhooks", self.holder),
            concurrency: self.config.webhooks.concurrency,
            lease_us: self.config.jobs.lease_s.saturating_mul(1_000_000),
        };
        start("webhooks", Worker::new(parts, self.feed.subscribe()), lifecycle);
        Ok(())
    }

    fn leader(&self, name: &str) -> Leader {
        Leader::of(&self.stores.leases, &self.stores.clock, name, self.holder)
    }

    /// Follows the log: consumers, and the relay to a broker where there is one.
    pub(super) fn follow(&self, lifecycle: &mut Lifecycle) {
        let (stop, stopped) = watch::channel(false);
        let mut running = Vec::new();
        for consumer in self.consumers() {
            let consuming = Consuming {
                leader: self.leader(&format!("consumer:{}", consumer.name())),
                consumer,
                store: Arc::clone(&self.stores.store),
                log: Arc::clone(&self.stores.log),
                feed: self.feed.clone(),
                clock: Arc::clone(&self.stores.clock),
                ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            };
            running.push(tokio::spawn(consuming.run(stopped.clone())));
        }
        for projection in projections(self.stores) {
            let projecting = Projecting {
                leader: self.leader(&format!("projection:{}", projection.name())),
                projection,
                store: Arc::clone(&self.stores.store),
                log: Arc::clone(&self.stores.log),
                feed: self.feed.clone(),
                kept_us: RETIRED_US,
                clock: Arc::clone(&self.stores.clock),
                ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            };
            running.push(tokio::spawn(projecting.run(stopped.clone())));
        }
        if let Some(broker) = self.broker {
            let relay = Relay {
                broker: Arc::clone(broker),
                store: Arc::clone(&self.stores.store),
                log: Arc::clone(&self.stores.log),
                leader: self.leader(RELAY),
                feed: self.feed.clone(),
                clock: Arc::clone(&self.stores.clock),
                ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            };
            running.push(tokio::spawn(relay.run(stopped)));
        }
        lifecycle.started("consumers", move || async move {
            stop.send_replace(true);
            for one in running {
                let _ = one.await;
            }
        });
    }

    /// Fires schedules.
    pub(super) fn schedule(&self, lifecycle: &mut Lifecycle) {
        let scheduler = Scheduler {
            store: Arc::clone(&self.stores.store),
            leases: Arc::clone(&self.stores.leases),
            ids: Arc::clone(self.ids) as Arc<dyn Ids>,
            holder: self.holder.to_owned(),
            own: OWN.to_vec(),
        };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(scheduler.run(stopped));
        lifecycle.started("schedules", move || async move {
            stop.send_replace(true);
            let _ = running.await;
        });
    }
}
