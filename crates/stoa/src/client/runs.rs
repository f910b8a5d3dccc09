//! What the commands of runs ask.

use reqwest::Method;
use serde_json::json;

use super::commands::{Question, act, get};
use super::work::{fields, query, typed};
use crate::cli::client::RunCommand;
use crate::failure::Failure;

const RUNS: &[&str] = &["id", "workflow", "state", "key", "error", "createdAt", "finishedAt"];
const WORKFLOWS: &[&str] = &["name", "version", "isOpen", "about"];

pub(super) fn run(what: &RunCommand) -> Result<Question, Failure> {
    let verb = |run: &String, verb: &str, body| act(Method::POST, format!("/v1/runs/{run}/{verb}"), body);
    Ok(match what {
        RunCommand::List { workflow, state } => {
            get(format!("/v1/runs?{}", query(&[("workflow", workflow), ("state", state)])), RUNS)
        }
        RunCommand::Workflows => get("/v1/workflows", WORKFLOWS),
        RunCommand::Show { run } => get(format!("/v1/runs/{run}"), &[]),
        RunCommand::Start { workflow, input, key } => {
            let mut body = fields(&[("key", key)]);
            body.insert("workflow".to_owned(), workflow.clone().into());
            body.insert("input".to_owned(), typed("--input", input)?);
            act(Method::POST, "/v1/runs", Some(body.into()))
        }
        RunCommand::Signal { run, name, payload } => {
            verb(run, "signals", Some(json!({"name": name, "payload": typed("--payload", payload)?})))
        }
        RunCommand::Cancel { run } => verb(run, "cancel", None),
        RunCommand::Retry { run } => verb(run, "retry", None),
        RunCommand::Fork { run, step } => verb(run, "fork", Some(json!({"step": step}))),
    })
}
