//! Which endpoints want an event: a delivery and a job for each, in one commit.

use std::sync::Arc;

use stoa_jobs::Failed;
use stoa_kernel::clock::Clock;
use stoa_kernel::context::Context;
use stoa_kernel::id::Ids;
use stoa_kernel::store::{BoxFuture, Commit, Envelope, Record as _, Store};
use stoa_outbox::Consumer;

use super::deliver::job;
use super::endpoint::{Endpoint, WebhookDelivery, delivery};

/// Sends events on their way.
pub struct Webhooks {
    /// Where endpoints are.
    pub store: Arc<dyn Store>,
    /// Dates deliveries.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhooks")
    }
}

impl Consumer for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn about(&self) -> &'static str {
        "Sends events to the endpoints that want them."
    }

    fn consume<'a>(&'a self, cx: &'a Context, event: &'a Envelope) -> BoxFuture<'a, Result<Commit, Failed>> {
        Box::pin(async move {
            let Some(organization) = event.organization_id else { return Ok(Commit::new()) };
            let active = Endpoint::select()
                .eq(Endpoint::ORGANIZATION_ID, &organization)
                .eq(Endpoint::DISABLED_AT, &None);
            let endpoints = self.store.list(cx, active.ascending(Endpoint::ID)).await?;
            let wanted = endpoints
                .iter()
                .filter(|endpoint| endpoint.patterns.0.iter().any(|pattern| pattern.matches(&event.kind)));
            let payload = serde_json::to_value(event).map_err(|error| Failed::never(error.to_string()))?;
            let mut commit = Commit::new();
            for endpoint in wanted {
                let id = self.ids.next().map_err(|error| Failed::later(error.to_string()))?;
                let delivery = WebhookDelivery {
                    event_id: Some(event.event_id),
                    kind: event.kind.clone(),
                    webhook_id: event.event_id.to_string(),
                    ..delivery(id, endpoint, payload.clone(), self.clock.now())
                };
                commit = commit.insert(&delivery).job(job(&delivery, None));
            }
            Ok(commit)
        })
    }
}
