use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use stoa_http::Problem;
use stoa_http::params::Params;
use stoa_identity::organization::{self, Listing, State as Life};
use stoa_kernel::store::PageRequest;
use utoipa::ToSchema;

use super::{View, problem};
use crate::caller::Caller;
use crate::platform::Platform;

/// A page of organizations.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrganizationPage)]
pub(crate) struct Listed {
    /// The organizations.
    items: Vec<View>,
    /// Where the next page begins; null on the last.
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_more: bool,
    /// How many there are in all, when `count=true` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    total: Option<i64>,
}

/// List organizations
#[utoipa::path(
    get, path = "/v1/organizations", tag = "organizations", operation_id = "listOrganizations",
    params(
        ("limit" = Option<u32>, Query, description = "The most of a page; 20 without", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "Where the page before ended: its `nextCursor`"),
        ("state" = Option<String>, Query, description = "Only those in this state", pattern = "^(active|suspended|archived|purging|purged)$"),
        ("slugPrefix" = Option<String>, Query, description = "Only those whose slug begins so", max_length = 40),
        ("sort" = Option<String>, Query, description = "`id`, `-id`, `slug` or `-slug`; `id` without", pattern = "^-?(id|slug)$"),
        ("count" = Option<bool>, Query, description = "Whether to say how many there are in all"),
    ),
    responses((status = 200, description = "A page.", body = Listed))
)]
pub(crate) async fn list(
    State(platform): State<Arc<Platform>>,
    Caller { cx, .. }: Caller,
    uri: Uri,
) -> Result<Json<Listed>, Problem> {
    let mut params = Params::of(&uri);
    let (limit, cursor) = (params.limit(), params.text("cursor"));
    let sort = params.text("sort");
    let mut listing = Listing {
        state: params.read::<Life>("state"),
        slug_prefix: params.text("slugPrefix"),
        ..Listing::default()
    };
    let count = params.read::<bool>("count").unwrap_or(false);
    match sort.as_deref() {
        None | Some("id") => {}
        Some("-id") => listing.descending = true,
        Some("slug") => listing.by_slug = true,
        Some("-slug") => (listing.by_slug, listing.descending) = (true, true),
        Some(_) => params.wrong("sort", "a list of organizations is sorted by id, -id, slug or -slug"),
    }
    if listing.slug_prefix.as_ref().is_some_and(|prefix| prefix.contains('\0')) {
        params.wrong("slugPrefix", "holds a NUL character");
    }
    let print = listing.query().build().fingerprint(cx.scope);
    let after = cursor.and_then(|cursor| {
        platform.cursors.open(print, &cursor).map_err(|error| params.wrong("cursor", error.to_string())).ok()
    });
    params.finish()?;
    let store = platform.store.as_ref();
    let page = organization::page(store, &cx, &listing, PageRequest { limit, after })
        .await
        .map_err(|error| problem(&error))?;
    let total = match count {
        true => Some(store.count(&cx, listing.query()).await.map_err(|error| Problem::of(&error))?),
        false => None,
    };
    Ok(Json(Listed {
        items: page.items.iter().map(View::of).collect(),
        has_more: page.next.is_some(),
        next_cursor: page.next.map(|place| platform.cursors.seal(print, &place)),
        total,
    }))
}
