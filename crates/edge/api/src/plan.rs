//! How much an organization may have: `/v1/plan`, `/v1/credits`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::organization::{self, Change};
use stoa_identity::plan::{CreditEntry, Limits, Plan};
use stoa_identity::{Error, Identity};
use stoa_kernel::context::Scope;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::Decided;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::{body, page};
use crate::call::{self, Call, Paged};
use crate::organizations;
use crate::platform::Platform;
use crate::render::{invalid, problem};

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(get))
        .routes(routes!(set))
        .routes(routes!(credits))
        .routes(routes!(enter))
}

/// What there is a limit of.
#[derive(Serialize, ToSchema)]
#[schema(as = PlanLimit)]
pub(crate) struct LimitView {
    /// What it is of.
    #[schema(example = "members")]
    name: &'static str,
    /// The limit; null without one.
    limit: Option<i64>,
    /// How much is in use.
    used: i64,
}

/// How much an organization may have.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(crate) struct View {
    /// `free`, `team`, `business` or `unlimited`.
    plan: &'static str,
    /// The limits.
    limits: Vec<LimitView>,
}

/// See the plan, its limits and the usage
#[utoipa::path(
    get, path = "/v1/plan", tag = "plan", operation_id = "getPlan",
    responses((status = 200, description = "It is this.", body = View))
)]
pub(crate) async fn get(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (identity, cx) = (&platform.identity, &call.caller.cx);
    let id = cx.scope.organization().ok_or_else(|| problem(&Error::NotFound("organization")))?;
    let found = identity.known_organization(cx, id).await.map_err(|error| problem(&error))?;
    let found = found.ok_or_else(|| problem(&Error::NotFound("organization")))?;
    let usage = identity.usage(cx).await.map_err(|error| problem(&error))?;
    let limits =
        usage.into_iter().map(|(limit, most, used)| LimitView { name: limit.name(), limit: most, used });
    call::ok(&View { plan: found.plan.name(), limits: limits.collect() })
}

body! {
    /// How much an organization is to have.
    SetBody as PlanChange {
        /// The plan.
        required plan("plan"): Plan as String [example = "team", pattern = "^(free|team|business|unlimited)$"],
        /// Limits beside the plan.
        value limits("limits"): Option<Limits> as Option<Object> [nullable = false],
    }
}

/// Put an organization on a plan
#[utoipa::path(
    put, path = "/v1/organizations/{organization}/plan", tag = "organizations", operation_id = "setPlan",
    params(("organization" = String, Path, description = "Its id")),
    request_body = SetBody,
    responses((status = 200, description = "It is now this.", body = organizations::View))
)]
pub(crate) async fn set(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: OrganizationId = call.part("organization")?;
    let body = SetBody::read(&call)?;
    let limits = body.limits.unwrap_or_default();
    let all = [limits.members, limits.storage_bytes, limits.execution_records, limits.requests_per_minute];
    if all.into_iter().flatten().any(|limit| limit < 0) {
        return Err(invalid(&[("/limits", "a limit is at least 0".to_owned())]));
    }
    let change = Change { plan: Some(body.plan), limits: Some(limits), ..Change::default() };
    let decide = async {
        let found = organization::by_id(platform.store.as_ref(), &call.caller.cx, id).await;
        let found = found.map_err(|error| organizations::problem(&error))?;
        call.matches(&found.id, found.version)?;
        let changed = organization::update(&found, change, platform.clock.as_ref());
        let Decided { value, commit } = changed.map_err(|error| organizations::problem(&error))?;
        Ok((organizations::View::of(&value), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

/// An entry of the ledger.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreditEntry)]
pub(crate) struct EntryView {
    /// Its id.
    id: String,
    /// Its place, dense from 1.
    sequence: i64,
    /// What was granted; less than zero when it was spent.
    amount: i64,
    /// What is left after it.
    balance: i64,
    /// What for.
    reason: String,
    /// When.
    #[schema(format = "date-time")]
    created_at: String,
}

page! {
    /// A page.
    pub(crate) PageView as CreditPage: Vec<EntryView> "What is on it."
}

impl EntryView {
    fn of(entry: &CreditEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            sequence: entry.sequence,
            amount: entry.amount,
            balance: entry.balance,
            reason: entry.reason.clone(),
            created_at: rfc3339::text(entry.created_at),
        }
    }
}

/// List the ledger of credits
#[utoipa::path(
    get, path = "/v1/credits", tag = "plan", operation_id = "listCredits",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page, the newest first.", body = PageView))
)]
pub(crate) async fn credits(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let view = async |found: Vec<CreditEntry>| Ok(found.iter().map(EntryView::of).collect());
    call.page(&platform, call.params(), Identity::credit_query(), view).await
}

body! {
    /// What is granted or spent.
    EnterBody as CreditChange {
        /// How many; less than zero to spend.
        value amount("amount"): Option<i64> as i64 [example = 1000],
        /// What for.
        required reason("reason"): stoa_identity::user::Name as String [example = "welcome", min_length = 1, max_length = 120],
    }
}

/// Grant credits to an organization, or spend them
#[utoipa::path(
    post, path = "/v1/organizations/{organization}/credits", tag = "organizations", operation_id = "enterCredits",
    params(("organization" = String, Path, description = "Its id")),
    request_body = EnterBody,
    responses((status = 201, description = "It is in the ledger.", body = EntryView), (status = 403, description = "There are not so many."))
)]
pub(crate) async fn enter(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let id: OrganizationId = call.part("organization")?;
    let body = EnterBody::read(&call)?;
    let amount = body.amount.ok_or_else(|| invalid(&[("/amount", "is required".to_owned())]))?;
    let cx = call.caller.cx.within(Scope::System);
    organization::by_id(platform.store.as_ref(), &cx, id)
        .await
        .map_err(|error| organizations::problem(&error))?;
    let call = call.within(Scope::Organization(id));
    let decide = async {
        let entered = platform.identity.enter_credits(&call.caller.cx, amount, &body.reason.0).await;
        let (entry, commit) = entered.map_err(|error| problem(&error))?;
        Ok((EntryView::of(&entry), commit))
    };
    call.change(&platform, StatusCode::CREATED, decide, Error::Store).await
}
