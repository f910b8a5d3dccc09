//! What the log tells about runs.

use serde::Serialize;
use serde_json::json;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Aggregate, Event as _, EventType, Fact};

use crate::advance::organization;
use crate::record::Run;

/// A run as the log tells of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    #[serde(skip)]
    organization: Option<OrganizationId>,
    /// Which.
    run_id: String,
    /// Of which workflow.
    workflow: String,
    /// How it stands.
    state: &'static str,
}

impl From<&Run> for Told {
    fn from(run: &Run) -> Self {
        Self {
            organization: organization(run.organization_id),
            run_id: run.id.to_string(),
            workflow: run.workflow.clone(),
            state: run.state.name(),
        }
    }
}

impl Fact for Told {
    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "required": ["runId", "workflow", "state"],
            "properties": {
                "runId": {"type": "string", "description": "Which."},
                "workflow": {"type": "string", "description": "Of which workflow."},
                "state": {"type": "string", "description": "How it stands."}
            },
            "additionalProperties": false
        })
    }

    fn aggregate(&self) -> Aggregate {
        Aggregate { kind: "run".to_owned(), id: self.run_id.clone(), version: None }
    }

    fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }
}

stoa_kernel::told! {
    pub(crate) Told {
        /// A run was started.
        RunStarted = "run.started", "A run of a workflow was started.";
        /// A run has ended.
        RunEnded = "run.ended", "A run of a workflow has ended: it is completed, or failed or was cancelled and is undone.";
        /// A run has stopped.
        RunStopped = "run.stopped", "A run of a workflow cannot undo what it did: somebody must look at it.";
    }
}

/// The types of events of runs.
pub const EVENT_TYPES: &[EventType] = &[RunStarted::TYPE, RunEnded::TYPE, RunStopped::TYPE];
