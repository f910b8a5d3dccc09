use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stoa_http::Problem;
use stoa_jobs::desk::{Draft, Found};
use stoa_kernel::clock::Micros;
use stoa_kernel::store::event::rfc3339;
use stoa_kernel::store::{Commit, Priority};

use super::{View, problem, refusal};
use crate::body::body;
use crate::call::{self, Call};
use crate::platform::Platform;

/// A time as the API writes it.
pub(crate) struct Time(pub(crate) Micros);

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        rfc3339::deserialize(serde_json::Value::String(text.to_owned()))
            .map(Self)
            .map_err(|_| "expected a time such as 2026-11-21T12:00:00Z".to_owned())
    }
}

body! {
    /// A job that is to be done.
    SubmitBody as JobDraft {
        /// Its kind.
        required kind("kind"): String as String [example = "probe"],
        /// What it needs to know, by the schema of its kind; at most 256 KiB.
        value payload("payload"): Option<serde_json::Value> as Option<Object> [nullable = false],
        /// How soon; by its kind, if nothing is said.
        optional priority("priority"): Option<Priority> as Option<String> [example = "normal", pattern = "^(critical|high|normal|low)$", nullable = false],
        /// Not before; within a year from now.
        optional run_at("runAt"): Option<Time> as Option<String> [format = "date-time", nullable = false],
        /// Its mailbox: jobs with the same key run one at a time, in the order in which they were asked for.
        optional order_key("orderKey"): Option<String> as Option<String> [min_length = 1, max_length = 200, nullable = false],
        /// At most one live job of its queue has it: while there is one, that one is answered.
        optional dedupe_key("dedupeKey"): Option<String> as Option<String> [min_length = 1, max_length = 200, nullable = false],
        /// Jobs with the same one are counted together.
        optional batch_key("batchKey"): Option<String> as Option<String> [min_length = 1, max_length = 200, nullable = false],
    }
}

/// Ask for a job
///
/// The job exists when this is answered, and is done from then on, whatever happens to any process. It may be done again when one ends in
/// the middle of it.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs", operation_id = "submitJob",
    request_body = SubmitBody,
    responses(
        (status = 202, description = "It will be done. `Location` is where it is seen.", body = View),
        (status = 200, description = "A live job has the dedupe key: this one.", body = View),
    )
)]
pub(crate) async fn submit(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let body = SubmitBody::read(&call)?;
    let draft = Draft {
        kind: body.kind,
        payload: body.payload.unwrap_or_else(|| serde_json::json!({})),
        priority: body.priority,
        run_at: body.run_at.map(|time| time.0),
        order_key: body.order_key,
        dedupe_key: body.dedupe_key.clone(),
        batch_key: body.batch_key,
    };
    let cx = &call.caller.cx;
    let (kind, job) = platform.desk.submit(draft).map_err(|error| problem(&error))?;
    if let Some(key) = &body.dedupe_key {
        let live = platform.desk.by_dedupe_key(cx, kind, key).await.map_err(|error| problem(&error))?;
        if let Some(live) = live {
            return call::ok(&View::of(&platform, &Found::Live(Box::new(live))));
        }
    }
    let asked = View::asked(&platform, &call, kind, &job);
    let commit = Commit::new().job(job).note("job.submitted", "job", &asked.id);
    let answered = call.change(&platform, StatusCode::ACCEPTED, async { Ok((asked, commit)) }, refusal).await;
    if let (Err(refused), Some(key)) = (&answered, &body.dedupe_key)
        && refused.code() == "duplicate"
    {
        // Another request was faster.
        let live = platform.desk.by_dedupe_key(cx, kind, key).await.map_err(|error| problem(&error))?;
        if let Some(live) = live {
            return call::ok(&View::of(&platform, &Found::Live(Box::new(live))));
        }
    }
    answered
}
