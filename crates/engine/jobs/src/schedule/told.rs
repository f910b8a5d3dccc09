//! What the log tells about schedules.

use serde::Serialize;
use serde_json::json;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Aggregate, Event as _, EventType, Fact};

use super::Schedule;

/// A schedule as the log tells of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    #[serde(skip)]
    organization: Option<OrganizationId>,
    #[serde(skip)]
    version: i64,
    /// Which.
    id: String,
    /// What people call it.
    name: String,
    /// The kind of its jobs.
    job_kind: String,
}

impl From<&Schedule> for Told {
    fn from(schedule: &Schedule) -> Self {
        let organization = u64::try_from(schedule.organization_id).ok().filter(|id| *id > 0);
        Self {
            organization: organization.and_then(OrganizationId::from_raw),
            version: schedule.version,
            id: schedule.id.to_string(),
            name: schedule.name.to_string(),
            job_kind: schedule.kind.clone(),
        }
    }
}

impl Fact for Told {
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "required": ["id", "name", "jobKind"],
            "properties": {
                "id": {"type": "string", "description": "Which."},
                "name": {"type": "string", "description": "What people call it."},
                "jobKind": {"type": "string", "description": "The kind of its jobs."}
            },
            "additionalProperties": false
        })
    }

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "schedule".to_owned(), id: self.id.clone(), version: Some(self.version) }
    }

    fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }
}

stoa_kernel::told! {
    pub Told {
        /// A schedule was made.
        ScheduleCreated = "schedule.created", "A schedule was made.";
        /// A schedule was changed, paused or let go on.
        ScheduleUpdated = "schedule.updated", "A schedule was changed, paused or let go on.";
        /// A schedule was removed.
        ScheduleRemoved = "schedule.removed", "A schedule was removed: it fires no more.";
    }
}

/// The types of events of schedules.
pub const EVENT_TYPES: &[EventType] = &[ScheduleCreated::TYPE, ScheduleUpdated::TYPE, ScheduleRemoved::TYPE];
