//! What happens to the installation itself.

use serde::Serialize;
use serde_json::json;
use stoa_kernel::store::event::RESTORED;
use stoa_kernel::store::{Aggregate, Event, EventType};

/// How a rule of alerts stands in a process.
#[derive(Debug, Clone, Serialize)]
pub struct AlertState {
    /// The rule.
    pub rule: &'static str,
    /// How it stands.
    pub detail: String,
    /// The process.
    pub process: String,
}

impl AlertState {
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "required": ["rule", "detail", "process"],
            "properties": {
                "rule": {"type": "string", "description": "The rule."},
                "detail": {"type": "string", "description": "How it stands."},
                "process": {"type": "string", "description": "The process."}
            }
        })
    }

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "alert".to_owned(), id: self.rule.to_owned(), version: None }
    }
}

/// A rule of alerts fires.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct AlertRaised(pub AlertState);

impl Event for AlertRaised {
    const TYPE: EventType = EventType {
        name: "alert.raised",
        version: 1,
        about: "A rule of alerts fires.",
        schema: AlertState::schema,
    };

    fn aggregate(&self) -> Aggregate {
        self.0.aggregate()
    }
}

/// A rule of alerts fires no more.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct AlertResolved(pub AlertState);

impl Event for AlertResolved {
    const TYPE: EventType = EventType {
        name: "alert.resolved",
        version: 1,
        about: "A rule of alerts fires no more.",
        schema: AlertState::schema,
    };

    fn aggregate(&self) -> Aggregate {
        self.0.aggregate()
    }
}

/// The types of these events.
pub const EVENT_TYPES: &[EventType] = &[AlertRaised::TYPE, AlertResolved::TYPE, RESTORED];
