//! The probe: a job that does nothing but what it is told, for trying an installation.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use stoa_kernel::resilience::RetryPolicy;
use stoa_kernel::store::BoxFuture;

use crate::handler::{Done, Failed, Handler, Work};
use crate::kind::{Form, Kind, RETRY};

const STEPS_MAX: u32 = 1_000;
const STEP_MS_MAX: u64 = 10_000;

/// Its kind.
pub static PROBE: Kind = Kind {
    form: Some(Form { schema, check }),
    timeout: Duration::from_secs(600),
    replays_max: 0,
    retry: RetryPolicy { attempts_max: 3, ..RETRY },
    ..Kind::new(
        "probe",
        "default",
        "Takes its time, and answers or fails as it is told: for trying things out.",
    )
};

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "steps": {"type": "integer", "minimum": 0, "maximum": STEPS_MAX, "description": "How many steps it takes; it says after each how far it is."},
            "stepMs": {"type": "integer", "minimum": 0, "maximum": STEP_MS_MAX, "description": "How many milliseconds each takes."},
            "fail": {"enum": ["never", "once", "always", "for_good", "panic"], "description": "Whether it fails."},
            "result": {"description": "What it answers."}
        },
        "additionalProperties": false
    })
}

fn check(payload: &Value) -> Result<(), String> {
    let told: Told = serde_json::from_value(payload.clone()).map_err(|error| error.to_string())?;
    if told.steps > STEPS_MAX || told.step_ms > STEP_MS_MAX {
        return Err(format!("there are at most {STEPS_MAX} steps of at most {STEP_MS_MAX} ms"));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fail {
    #[default]
    Never,
    Once,
    Always,
    ForGood,
    Panic,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    #[serde(default)]
    steps: u32,
    #[serde(default)]
    step_ms: u64,
    #[serde(default)]
    fail: Fail,
    #[serde(default)]
    result: Option<Value>,
}

/// Does probes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probe;

impl Handler for Probe {
    fn kind(&self) -> &'static Kind {
        &PROBE
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let told: Told = work.payload()?;
            let steps = told.steps.min(STEPS_MAX);
            for step in 1..=steps {
                tokio::select! {
                    () = work.stopped() => return Err(Failed::later("it was asked to stop")),
                    () = tokio::time::sleep(Duration::from_millis(told.step_ms.min(STEP_MS_MAX))) => {}
                }
                let percent = u8::try_from(step * 100 / steps).unwrap_or(100);
                work.progress(percent, &format!("step {step} of {steps}")).await;
            }
            match told.fail {
                Fail::Never => Ok(Done { result: told.result, ..Done::default() }),
                Fail::Once if work.job.attempts > 1 => Ok(Done { result: told.result, ..Done::default() }),
                Fail::Once | Fail::Always => Err(Failed::later("it was told to fail")),
                Fail::ForGood => Err(Failed::never("it was told to fail for good")),
                #[expect(
                    clippy::panic,
                    reason = "it was told to: a panic of a handler must harm nothing else"
                )]
                Fail::Panic => panic!("a probe was told to panic"),
            }
        })
    }
}
