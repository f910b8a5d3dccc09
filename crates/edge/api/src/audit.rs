//! The audit trail: `/v1/audit`; that of the installation: `/v1/admin/audit`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_identity::trail::Asked;
use stoa_kernel::store::PageRequest;
use stoa_kernel::store::audit::Verifier;
use stoa_kernel::store::event::rfc3339;
use stoa_kernel::store::trail::AuditEntry;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::page;
use crate::call::{self, Call, Paged};
use crate::platform::Platform;
use crate::render::problem;

/// The most entries of one export; more are exported by time.
const EXPORT_MAX: usize = 100_000;
const STEP: u32 = 500;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
        .routes(routes!(verify))
        .routes(routes!(list_installation))
        .routes(routes!(verify_installation))
}

/// An entry of the audit trail.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub(crate) struct EntryView {
    /// Its place in the trail, dense from 1.
    sequence: i64,
    /// When.
    #[schema(format = "date-time")]
    time: String,
    /// Who: `user:usr_…`, `key:key_…` or `system`.
    actor: String,
    /// What.
    #[schema(example = "member.role_changed")]
    action: String,
    /// What kind of thing it was done to.
    target_kind: String,
    /// Which one.
    target: String,
    /// The request, for finding it in the logs.
    request_id: String,
    /// What changed: a JSON Patch (RFC 6902), personal and secret values redacted.
    #[schema(value_type = Vec<Object>)]
    diff: Value,
    /// The hash after it, which every later entry builds on.
    hash: String,
}

page! {
    /// A page.
    pub(crate) EntryPage as AuditPage: Vec<EntryView> "What is on it."
}

impl EntryView {
    pub(crate) fn of(entry: &AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            time: rfc3339::text(entry.time),
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            target_kind: entry.target_kind.clone(),
            target: entry.target.clone(),
            request_id: entry.request.clone(),
            diff: entry.diff.0.clone(),
            hash: entry.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// The entry as a line of CSV. A cell that a spreadsheet would take for a formula is none.
    fn csv(&self) -> String {
        let cell = |text: &str| {
            let inert = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
            format!("\"{inert}{}\"", text.replace('"', "\"\""))
        };
        let diff = self.diff.to_string();
        let cells = [
            &self.time,
            &self.actor,
            &self.action,
            &self.target_kind,
            &self.target,
            &self.request_id,
            &diff,
            &self.hash,
        ];
        let cells: Vec<String> = cells.into_iter().map(|text| cell(text)).collect();
        format!("{},{}\r\n", self.sequence, cells.join(","))
    }
}

fn time(params: &mut Params, name: &str) -> Option<stoa_kernel::clock::Micros> {
    let text = params.text(name)?;
    rfc3339::deserialize(Value::String(text))
        .map_err(|_| params.wrong(name, "expected a time such as 2026-11-21T12:00:00Z"))
        .ok()
}

fn asked(params: &mut Params) -> Asked {
    let asked = Asked {
        target: params.text("target"),
        actor: params.text("actor"),
        action: params.text("action"),
        since: time(params, "since"),
        until: time(params, "until"),
    };
    for (name, text) in [("target", &asked.target), ("actor", &asked.actor), ("action", &asked.action)] {
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            params.wrong(name, "holds a NUL character");
        }
    }
    asked
}

async fn listed(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let query = asked(&mut params).query(&call.caller.cx);
    call.page(platform, params, query, async |found: Vec<AuditEntry>| {
        Ok(found.iter().map(EntryView::of).collect())
    })
    .await
}

/// Read the audit trail
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", operation_id = "listAudit",
    params(
        ("target" = Option<String>, Query, description = "Only about this: an id"),
        ("actor" = Option<String>, Query, description = "Only by this actor: `user:usr_…`, `key:key_…` or `system`"),
        ("action" = Option<String>, Query, description = "Only this action; all that begin so where it ends with a dot"),
        ("since" = Option<String>, Query, description = "Only from this time on", format = "date-time"),
        ("until" = Option<String>, Query, description = "Only before this time", format = "date-time"),
        Paged,
    ),
    responses((status = 200, description = "A page, the newest first.", body = EntryPage))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    listed(&platform, &call).await
}

/// Read the audit trail of the installation
///
/// What was done to users, sessions, and the installation itself.
#[utoipa::path(
    get, path = "/v1/admin/audit", tag = "admin", operation_id = "listInstallationAudit",
    params(
        ("target" = Option<String>, Query, description = "Only about this: an id"),
        ("actor" = Option<String>, Query, description = "Only by this actor"),
        ("action" = Option<String>, Query, description = "Only this action; all that begin so where it ends with a dot"),
        ("since" = Option<String>, Query, description = "Only from this time on", format = "date-time"),
        ("until" = Option<String>, Query, description = "Only before this time", format = "date-time"),
        Paged,
    ),
    responses((status = 200, description = "A page, the newest first.", body = EntryPage))
)]
pub(crate) async fn list_installation(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    listed(&platform, &call).await
}

/// Export the audit trail
///
/// The newest first, at most 100,000 entries; older ones with `until`. That it was exported is an entry too.
#[utoipa::path(
    get, path = "/v1/audit/export", tag = "audit", operation_id = "exportAudit",
    params(
        ("format" = Option<String>, Query, description = "`ndjson`, a JSON object a line, or `csv`", pattern = "^(ndjson|csv)$"),
        ("target" = Option<String>, Query, description = "Only about this: an id"),
        ("actor" = Option<String>, Query, description = "Only by this actor"),
        ("action" = Option<String>, Query, description = "Only this action"),
        ("since" = Option<String>, Query, description = "Only from this time on", format = "date-time"),
        ("until" = Option<String>, Query, description = "Only before this time", format = "date-time"),
    ),
    responses((status = 200, description = "The entries.", content_type = "application/x-ndjson", body = String))
)]
pub(crate) async fn export(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let mut params = call.params();
    let is_csv = match params.text("format").as_deref() {
        None | Some("ndjson") => false,
        Some("csv") => true,
        Some(_) => {
            params.wrong("format", "a format is ndjson or csv");
            false
        }
    };
    let asked = asked(&mut params);
    params.finish()?;
    let cx = &call.caller.cx;
    let noted = stoa_kernel::store::Commit::new().note("audit.exported", "organization", &target(&call));
    platform.store.commit(cx, noted).await.map_err(|error| Problem::of(&error))?;
    let mut text = if is_csv {
        "sequence,time,actor,action,target_kind,target,request,diff,hash\r\n".to_owned()
    } else {
        String::new()
    };
    let (mut after, mut count) = (None, 0);
    while count < EXPORT_MAX {
        let page = platform.identity.audit(cx, &asked, PageRequest { limit: STEP, after }).await;
        let page = page.map_err(|error| problem(&error))?;
        count += page.items.len();
        for entry in page.items.iter().map(EntryView::of) {
            match is_csv {
                true => text.push_str(&entry.csv()),
                false => {
                    text.push_str(&serde_json::to_string(&entry).unwrap_or_default());
                    text.push('\n');
                }
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let kind = if is_csv { "text/csv; charset=utf-8; header=present" } else { "application/x-ndjson" };
    let name =
        if is_csv { "attachment; filename=\"audit.csv\"" } else { "attachment; filename=\"audit.ndjson\"" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static(name)),
    ];
    Ok((StatusCode::OK, headers, text).into_response())
}

fn target(call: &Call) -> String {
    call.caller.cx.scope.organization().map_or_else(|| "installation".to_owned(), |id| id.to_string())
}

/// What the proof says.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditProof)]
pub(crate) struct Proof {
    /// Whether nothing was altered, removed or cut off.
    intact: bool,
    /// How many entries there are.
    entries: i64,
    /// The hash of the last one: kept elsewhere, it proves the trail up to it for ever.
    head: String,
    /// What is wrong; null where nothing is.
    problem: Option<String>,
}

async fn proved(platform: &Platform, call: &Call) -> Result<Response, Problem> {
    let failed = |error: stoa_kernel::store::StoreError| Problem::of(&error);
    let organization = call.caller.cx.scope.number();
    let trails = platform.trail.trails().await.map_err(failed)?;
    let (head, hash) = trails
        .into_iter()
        .find(|(own, ..)| *own == organization)
        .map_or((0, stoa_kernel::store::audit::GENESIS), |(_, head, hash)| (head, hash));
    let mut verifier = Verifier::default();
    let mut sequence = 0;
    let mut broken = None;
    'trail: while sequence < head {
        let entries = platform.trail.entries_after(organization, sequence, STEP).await.map_err(failed)?;
        if entries.is_empty() {
            break;
        }
        // What was entered after the head was read is for the next proof.
        for entry in entries.into_iter().filter(|entry| entry.sequence <= head) {
            sequence = entry.sequence;
            if let Err(error) = verifier.take(&entry) {
                broken = Some(error);
                break 'trail;
            }
        }
        if sequence >= head {
            break;
        }
    }
    let broken = broken.or_else(|| verifier.finish(head, &hash).err());
    call::ok(&Proof {
        intact: broken.is_none(),
        entries: head,
        head: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        problem: broken.map(|error| error.to_string()),
    })
}

/// Prove that nothing in the audit trail was altered or removed
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit", operation_id = "verifyAudit",
    responses((status = 200, description = "The proof.", body = Proof))
)]
pub(crate) async fn verify(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    proved(&platform, &call).await
}

/// Prove that nothing in the audit trail of the installation was altered or removed
#[utoipa::path(
    get, path = "/v1/admin/audit/verify", tag = "admin", operation_id = "verifyInstallationAudit",
    responses((status = 200, description = "The proof.", body = Proof))
)]
pub(crate) async fn verify_installation(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    proved(&platform, &call).await
}
