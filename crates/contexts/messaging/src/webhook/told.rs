//! What the log tells about webhooks.

use serde::Serialize;
use serde_json::json;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Aggregate, Event, EventType, Fact};

use super::endpoint::Endpoint;
use super::inbound::Hook;

/// An endpoint as the log tells of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    #[serde(skip)]
    organization: OrganizationId,
    #[serde(skip)]
    version: i64,
    endpoint_id: String,
    /// Why nothing is sent any more, where nothing is.
    reason: Option<String>,
}

impl From<&Endpoint> for Told {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            organization: endpoint.organization_id,
            version: endpoint.version,
            endpoint_id: endpoint.id.to_string(),
            reason: endpoint.disabled_reason.clone(),
        }
    }
}

impl Fact for Told {
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "required": ["endpointId", "reason"],
            "properties": {
                "endpointId": {"type": "string", "description": "Which."},
                "reason": {"type": ["string", "null"], "description": "Why nothing is sent any more: manual, gone, failing."}
            },
            "additionalProperties": false
        })
    }

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "webhook".to_owned(), id: self.endpoint_id.clone(), version: Some(self.version) }
    }

    fn organization(&self) -> Option<OrganizationId> {
        Some(self.organization)
    }
}

stoa_kernel::told! {
    pub(crate) Told {
        /// An endpoint was made.
        EndpointCreated = "webhook.created", "A webhook endpoint was made.";
        /// An endpoint was changed.
        EndpointUpdated = "webhook.updated", "A webhook endpoint was changed, or has a new secret.";
        /// An endpoint was removed.
        EndpointRemoved = "webhook.removed", "A webhook endpoint was removed.";
        /// An endpoint is sent nothing more.
        EndpointDisabled = "webhook.disabled", "A webhook endpoint is sent nothing more: it said that it is gone, or has failed for five days.";
    }
}

/// A webhook of somebody else was taken.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookReceived {
    #[serde(skip)]
    organization: OrganizationId,
    hook_id: String,
    source_id: String,
    /// What the sender calls it.
    external_id: String,
}

impl HookReceived {
    pub(crate) fn of(hook: &Hook) -> Self {
        Self {
            organization: hook.organization_id,
            hook_id: hook.id.to_string(),
            source_id: hook.source_id.to_string(),
            external_id: hook.external_id.clone(),
        }
    }
}

impl Event for HookReceived {
    const TYPE: EventType = EventType {
        name: "hook.received",
        version: 1,
        about: "A webhook of somebody else was taken: its signature is good, and it is new. `/v1/received-hooks/{hook}` has what it says.",
        schema: || {
            json!({
                "type": "object",
                "required": ["hookId", "sourceId", "externalId"],
                "properties": {
                    "hookId": {"type": "string", "description": "Which."},
                    "sourceId": {"type": "string", "description": "From where."},
                    "externalId": {"type": "string", "description": "What the sender calls it."}
                },
                "additionalProperties": false
            })
        },
    };

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "hook".to_owned(), id: self.hook_id.clone(), version: None }
    }

    fn organization(&self) -> Option<OrganizationId> {
        Some(self.organization)
    }
}

/// The types of events of webhooks.
pub const EVENT_TYPES: &[EventType] = &[
    EndpointCreated::TYPE,
    EndpointUpdated::TYPE,
    EndpointRemoved::TYPE,
    EndpointDisabled::TYPE,
    HookReceived::TYPE,
];
