//! Feature flags: `/v1/flags`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::flag::{Change, Flag, FlagName};
use stoa_identity::{Error, Identity};
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::body;
use crate::call::{self, Call, Empty};
use crate::platform::Platform;
use crate::render::{invalid, problem};

/// The most characters of what a flag is about.
const ABOUT_CHARS_MAX: usize = 500;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(set, remove))
}

/// A feature flag.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Flag)]
pub(crate) struct View {
    /// Its id.
    id: String,
    /// What programs call it.
    #[schema(example = "new-editor")]
    name: String,
    /// What it turns on.
    about: String,
    /// Whether it is on at all.
    enabled: bool,
    /// For how many of a hundred actors.
    #[schema(example = 25)]
    percentage: u8,
    /// Whether it is on for whoever asks.
    on: bool,
    /// Counts its changes.
    version: i64,
    /// When it was last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// Flags.
#[derive(Serialize, ToSchema)]
#[schema(as = Flags)]
pub(crate) struct FlagList {
    /// The flags, by name.
    items: Vec<View>,
}

impl View {
    fn of(flag: &Flag, call: &Call) -> Self {
        Self {
            id: flag.id.to_string(),
            name: flag.name.to_string(),
            about: flag.about.clone(),
            enabled: flag.is_enabled,
            percentage: flag.percentage,
            on: flag.is_on(&call.caller.cx.actor.label()),
            version: flag.version,
            updated_at: rfc3339::text(flag.updated_at),
        }
    }
}

/// List the flags, and whether they are on for you
#[utoipa::path(
    get, path = "/v1/flags", tag = "flags", operation_id = "listFlags",
    responses((status = 200, description = "They are these.", body = FlagList))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let found = platform.identity.flags(&call.caller.cx).await.map_err(|error| problem(&error))?;
    call::ok(&FlagList { items: found.iter().map(|flag| View::of(&flag.0, &call)).collect() })
}

body! {
    /// What a flag is to be.
    SetBody as FlagChange {
        /// What it turns on.
        optional about("about"): Option<String> as Option<String> [max_length = 500, nullable = false],
        /// Whether it is on at all; a new one is off.
        value enabled("enabled"): Option<bool> as Option<bool> [nullable = false],
        /// For how many of a hundred actors; a new one is for all.
        value percentage("percentage"): Option<u8> as Option<u8> [minimum = 0, maximum = 100, nullable = false],
    }
}

/// Make a flag, or change it
#[utoipa::path(
    put, path = "/v1/flags/{flag}", tag = "flags", operation_id = "setFlag",
    params(("flag" = String, Path, description = "Its name", example = "new-editor", pattern = "^[a-z][a-z0-9_.-]{0,63}$")),
    request_body = SetBody,
    responses((status = 200, description = "It is now this.", body = View))
)]
pub(crate) async fn set(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let name: FlagName = call.part("flag")?;
    let body = SetBody::read(&call)?;
    if body.percentage.is_some_and(|percentage| percentage > 100) {
        return Err(invalid(&[("/percentage", "is a number from 0 to 100".to_owned())]));
    }
    if body
        .about
        .as_ref()
        .is_some_and(|about| about.chars().count() > ABOUT_CHARS_MAX || about.contains('\0'))
    {
        return Err(invalid(&[("/about", format!("has at most {ABOUT_CHARS_MAX} characters, none NUL"))]));
    }
    let change = Change { about: body.about, is_enabled: body.enabled, percentage: body.percentage };
    let decide = async {
        let set = platform.identity.set_flag(&call.caller.cx, &name, change).await;
        let (flag, commit) = set.map_err(|error| problem(&error))?;
        if flag.version > 1 {
            call.matches(&flag.id, flag.version - 1)?;
        }
        Ok((View::of(&flag, &call), commit))
    };
    let refusal = |error: stoa_kernel::store::StoreError| {
        if error.is_by("flags_quota") {
            Error::QuotaExceeded { what: "flags", limit: 500, used: 500 }
        } else {
            Error::Store(error)
        }
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}

/// Remove a flag
#[utoipa::path(
    delete, path = "/v1/flags/{flag}", tag = "flags", operation_id = "removeFlag",
    params(("flag" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is off for everybody."))
)]
pub(crate) async fn remove(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let name: FlagName = call.part("flag")?;
    let decide = async {
        let flag = platform.identity.flag(&call.caller.cx, &name).await.map_err(|error| problem(&error))?;
        call.matches(&flag.id, flag.version)?;
        Ok((Empty, Identity::remove_flag(&flag)))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, Error::Store).await
}
