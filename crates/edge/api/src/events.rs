//! Events: `/v1/events`, and the catalogue of their types.

mod activity;
mod list;
mod stream;
mod types;

use std::sync::Arc;

use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_kernel::context::Scope;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::EventFilter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use stream::is_still_good;

use crate::caller::Caller;
use crate::platform::Platform;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(activity::activity))
        .routes(routes!(list::list))
        .routes(routes!(stream::stream))
        .routes(routes!(types::types))
}

/// The organization that is wanted: the caller's own, or the one that whoever runs the installation names.
fn organization(caller: &Caller, params: &mut Params) -> Option<OrganizationId> {
    let asked = params.read::<OrganizationId>("organization");
    let own = caller.cx.scope.organization();
    if own.is_some() && asked.is_some() && asked != own {
        params.wrong("organization", "names another organization than the request is about");
    }
    own.or(asked)
}

/// The types that are wanted; all when empty.
fn kinds(platform: &Platform, params: &mut Params) -> Vec<String> {
    let kinds: Vec<String> =
        params.text("type").map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let known = |kind: &str| platform.event_types.iter().any(|known| known.name == kind);
    if kinds.iter().any(|kind| !known(kind)) {
        let names = platform.event_types.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        params.wrong("type", format!("the types are {names}"));
    }
    kinds
}

/// Which events are wanted, and of whom.
fn filter(platform: &Platform, caller: &Caller, params: &mut Params) -> (Scope, EventFilter) {
    let scope = organization(caller, params).map_or(Scope::System, Scope::Organization);
    let kinds = kinds(platform, params);
    let stream = params.text("stream");
    let since = params.text("since").and_then(|text| {
        let json = serde_json::Value::String(text);
        stoa_kernel::store::event::rfc3339::deserialize(json)
            .map_err(|_| params.wrong("since", "expected a time such as 2026-11-21T12:00:00Z"))
            .ok()
    });
    if [stream.as_deref()].into_iter().flatten().any(|text| text.contains('\0')) {
        params.wrong("stream", "holds a NUL character");
    }
    (scope, EventFilter { kinds, stream, since })
}

/// What a cursor of a list of events is bound to.
fn fingerprint(scope: Scope, filter: &EventFilter) -> u64 {
    let hash = blake3::hash(format!("events|{scope:?}|{filter:?}").as_bytes());
    u64::from_le_bytes(hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default())
}

fn failed(error: &stoa_kernel::store::StoreError) -> Problem {
    Problem::of(error)
}
