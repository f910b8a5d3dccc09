//! The probe: a workflow that does nothing but what it is told, for trying an installation.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stoa_jobs::Failed;
use stoa_kernel::store::{BoxFuture, Commit};

use crate::definition::{
    Activity, At, Form, Next, Outcome, Policy, Step, Undo, View, What, Workflow, in_order,
};

const STEPS_MAX: u32 = 100;
const STEP_MS_MAX: u64 = 10_000;
const WAIT_MS_MAX: u32 = 86_400_000;

/// Takes its steps, waits, asks, and fails or undoes as it is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProbeWorkflow;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fail {
    #[default]
    Never,
    Once,
    Always,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Undoing {
    #[default]
    Works,
    Fails,
    Impossible,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    #[serde(default)]
    steps: u32,
    #[serde(default)]
    step_ms: u64,
    #[serde(default)]
    fail_at: u32,
    #[serde(default)]
    fail: Fail,
    #[serde(default)]
    undo: Undoing,
    #[serde(default)]
    wait_ms: u32,
    #[serde(default)]
    approval: bool,
    #[serde(default)]
    approval_ms: Option<u32>,
    #[serde(default)]
    child: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    step: u32,
    ms: u64,
    fail: Fail,
    undo: Undoing,
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "steps": {"type": "integer", "minimum": 0, "maximum": STEPS_MAX, "description": "How many steps it takes, one after the other: `step-1`, `step-2`…"},
            "stepMs": {"type": "integer", "minimum": 0, "maximum": STEP_MS_MAX, "description": "How many milliseconds each takes."},
            "failAt": {"type": "integer", "minimum": 0, "maximum": STEPS_MAX, "description": "Which step fails; 0 is none."},
            "fail": {"enum": ["never", "once", "always"], "description": "How often it fails."},
            "undo": {"enum": ["works", "fails", "impossible"], "description": "What becomes of undoing the first step."},
            "waitMs": {"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX, "description": "How long it waits after its steps, in `wait`."},
            "approval": {"type": "boolean", "description": "Whether it then waits for the signal `approve`, in `approval`."},
            "approvalMs": {"type": "integer", "minimum": 0, "maximum": WAIT_MS_MAX, "description": "How long at most."},
            "child": {"type": "object", "description": "The input of another probe that it runs at the end, in `child`."}
        },
        "additionalProperties": false
    })
}

fn check(input: &Value) -> Result<(), String> {
    let told: Told = serde_json::from_value(input.clone()).map_err(|error| error.to_string())?;
    let waits = [told.wait_ms, told.approval_ms.unwrap_or(0)];
    if told.steps > STEPS_MAX || told.step_ms > STEP_MS_MAX || waits.iter().any(|wait| *wait > WAIT_MS_MAX) {
        return Err(format!(
            "there are at most {STEPS_MAX} steps of at most {STEP_MS_MAX} ms, and it waits at most a day"
        ));
    }
    match &told.child {
        // One inside of another inside of another would be without end.
        Some(child) if child.get("child").is_some() => Err("a child has no child".to_owned()),
        Some(child) => check(child),
        None => Ok(()),
    }
}

impl Workflow for ProbeWorkflow {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn about(&self) -> &'static str {
        "Takes steps, waits, asks, fails and undoes as it is told: for trying things out."
    }

    fn form(&self) -> Option<Form> {
        Some(Form { schema, check })
    }

    fn next(&self, view: &View<'_>) -> Result<Next, String> {
        let told: Told = serde_json::from_value(view.input.clone()).map_err(|error| error.to_string())?;
        let mut steps: Vec<Step> = (1..=told.steps)
            .map(|number| {
                let fail = if number == told.fail_at { told.fail } else { Fail::Never };
                let undo = if number == 1 { told.undo } else { Undoing::Works };
                let task = Task { step: number, ms: told.step_ms, fail, undo };
                let step = Step::activity(format!("step-{number}"), "work", json!(task));
                let policy = Policy { attempts_max: 3, wait_ms: 20, ..Policy::default() };
                let undo = if undo == Undoing::Impossible {
                    Undo::Impossible
                } else {
                    Undo::By("unwork".to_owned())
                };
                Step { policy, undo, ..step }
            })
            .collect();
        if told.wait_ms > 0 {
            steps.push(Step::of("wait", What::Timer { us: i64::from(told.wait_ms) * 1_000 }));
        }
        if told.approval {
            let us_max = told.approval_ms.map(|ms| i64::from(ms) * 1_000);
            steps.push(Step::of("approval", What::Signal { name: "approve".to_owned(), us_max }));
        }
        if let Some(child) = told.child {
            steps.push(Step::of("child", What::Child { workflow: "probe".to_owned(), input: child }));
        }
        Ok(in_order(view, steps))
    }

    fn activity(&self, name: &str) -> Option<&dyn Activity> {
        match name {
            "work" => Some(&Working),
            "unwork" => Some(&Unworking),
            _ => None,
        }
    }
}

/// Takes a step, and leaves a trace of it.
struct Working;

impl Activity for Working {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let task: Task =
                serde_json::from_value(at.input.clone()).map_err(|error| Failed::never(error.to_string()))?;
            tokio::time::sleep(Duration::from_millis(task.ms.min(STEP_MS_MAX))).await;
            match task.fail {
                Fail::Always => return Err(Failed::later("it was told to fail")),
                Fail::Once if at.attempt == 1 => return Err(Failed::later("it was told to fail once")),
                _ => {}
            }
            let commit = Commit::new().note("run.stepped", "run", &at.run);
            Ok(Outcome { commit, output: json!({"step": task.step}) })
        })
    }
}

/// Undoes a step, and leaves a trace of it.
struct Unworking;

impl Activity for Unworking {
    fn perform<'a>(&'a self, at: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let task: Task =
                serde_json::from_value(at.input.clone()).map_err(|error| Failed::never(error.to_string()))?;
            if task.undo == Undoing::Fails {
                return Err(Failed::never("it was told not to be undone"));
            }
            Ok(Outcome { commit: Commit::new().note("run.unstepped", "run", &at.run), output: Value::Null })
        })
    }
}
