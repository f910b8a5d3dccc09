//! The rotation of data keys: new keys for everybody, then everything that is sealed is sealed anew, batch by batch.

use std::sync::Arc;

use serde_json::{Value, json};
use stoa_jobs::Failed;
use stoa_kernel::store::{BoxFuture, Keyring};

use crate::definition::{Activity, At, Next, Outcome, Policy, Step, View, Workflow};

/// The most values of a step, in batches of so many.
const BATCH: u32 = 500;
const BATCHES: usize = 40;

/// Its name.
pub const ROTATE_KEYS: &str = "keys.rotate";

/// The definition.
pub struct RotateKeys {
    rotate: Rotate,
    reseal: Reseal,
}

impl std::fmt::Debug for RotateKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RotateKeys")
    }
}

impl RotateKeys {
    /// Of the keys of a store.
    #[must_use]
    pub fn of(keyring: &Arc<dyn Keyring>) -> Self {
        Self { rotate: Rotate(Arc::clone(keyring)), reseal: Reseal(Arc::clone(keyring)) }
    }
}

impl Workflow for RotateKeys {
    fn name(&self) -> &'static str {
        ROTATE_KEYS
    }

    fn about(&self) -> &'static str {
        "Gives every organization a new data key, and seals anew what is sealed by older ones."
    }

    fn next(&self, view: &View<'_>) -> Result<Next, String> {
        // What is sealed can be read throughout: there is nothing to undo, and no reason to give up.
        let policy = Policy { attempts_max: 50, timeout_ms: 300_000, wait_ms: 500, is_tolerated: false };
        let step =
            |name: String, activity: &str| Step { policy, ..Step::activity(name, activity, Value::Null) };
        let Some(rotated) = view.output("rotate") else {
            return Ok(Next::Steps(vec![step("rotate".to_owned(), "rotate")]));
        };
        let mut resealed = 0;
        for number in 1.. {
            let name = format!("reseal-{number}");
            let Some(done) = view.output(&name) else { return Ok(Next::Steps(vec![step(name, "reseal")])) };
            resealed += done["resealed"].as_u64().unwrap_or(0);
            if done["more"] != true {
                return Ok(Next::Done(json!({"rotated": rotated["rotated"], "resealed": resealed})));
            }
        }
        Err("it never ends".to_owned())
    }

    fn activity(&self, name: &str) -> Option<&dyn Activity> {
        match name {
            "rotate" => Some(&self.rotate),
            "reseal" => Some(&self.reseal),
            _ => None,
        }
    }
}

struct Rotate(Arc<dyn Keyring>);

impl Activity for Rotate {
    fn perform<'a>(&'a self, _: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let rotated = self.0.rotate().await?;
            tracing::info!(rotated, "data keys were rotated");
            Ok(Outcome::of(json!({"rotated": rotated})))
        })
    }
}

struct Reseal(Arc<dyn Keyring>);

impl Activity for Reseal {
    fn perform<'a>(&'a self, _: &'a At<'a>) -> BoxFuture<'a, Result<Outcome, Failed>> {
        Box::pin(async move {
            let (mut resealed, mut more) = (0, true);
            for _ in 0..BATCHES {
                let batch = self.0.reseal(BATCH).await?;
                metrics::counter!("stoa_resealed_total").increment(u64::from(batch.resealed));
                resealed += batch.resealed;
                more = batch.more;
                if !more {
                    break;
                }
            }
            Ok(Outcome::of(json!({"resealed": resealed, "more": more})))
        })
    }
}
