use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::store::{Commit, StoreError};
use stoa_outbox::{Generations, LAG_MAX, Projection, Standing, cursor_name, generations, standing};
use utoipa::ToSchema;

use crate::call::{self, Call};
use crate::jobs::{refusal, time};
use crate::platform::Platform;

/// How far a generation of a projection is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProjectionProgress)]
struct Progress {
    /// The generation.
    generation: i64,
    /// The last position that is in it.
    position: i64,
    /// How many events are not; counting ends at 1000.
    behind: usize,
    /// Whether there may be more.
    is_more: bool,
    /// When the first of them happened.
    #[schema(format = "date-time")]
    behind_since: Option<String>,
}

impl Progress {
    fn of(generation: i64, standing: &Standing) -> Self {
        Self {
            generation,
            position: standing.position,
            behind: standing.behind,
            is_more: standing.behind >= usize::try_from(LAG_MAX).unwrap_or(usize::MAX),
            behind_since: time(standing.since),
        }
    }
}

/// A table that is made of the event log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Projection)]
struct View {
    /// Its name.
    #[schema(example = "activity")]
    name: String,
    /// What it shows.
    about: String,
    /// What is read.
    live: Progress,
    /// Since when it is read.
    #[schema(format = "date-time")]
    live_since: Option<String>,
    /// What is being made anew; it is read as soon as it has caught up.
    building: Option<Progress>,
}

/// Projections.
#[derive(Serialize, ToSchema)]
#[schema(as = Projections)]
struct List {
    /// The projections, by name.
    items: Vec<View>,
}

async fn view(
    platform: &Platform,
    call: &Call,
    projection: &dyn Projection,
    found: &Generations,
) -> Result<View, StoreError> {
    let progress = async |generation| {
        let (store, log, cx) = (platform.store.as_ref(), platform.log.as_ref(), &call.caller.cx);
        let own = cursor_name(projection.name(), generation);
        let standing = standing(store, log, cx, (&own, ""), projection.kinds(), Some(0)).await?;
        Ok::<_, StoreError>(Progress::of(generation, &standing))
    };
    Ok(View {
        name: projection.name().to_owned(),
        about: projection.about().to_owned(),
        live: progress(found.live).await?,
        live_since: time(Some(found.live_since)),
        building: match found.building {
            Some(building) => Some(progress(building).await?),
            None => None,
        },
    })
}

fn failed(error: &StoreError) -> Problem {
    Problem::of(error)
}

async fn known(
    platform: &Platform,
    call: &Call,
    projection: &dyn Projection,
) -> Result<Option<Generations>, Problem> {
    let found = generations(platform.store.as_ref(), &call.caller.cx, projection.name()).await;
    found.map_err(|error| failed(&error))
}

/// List what is made of the event log, and how far behind it is
#[utoipa::path(
    get, path = "/v1/admin/projections", tag = "admin", operation_id = "listProjections",
    responses((status = 200, description = "They are these.", body = List))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call.params().finish()?;
    let mut items = Vec::new();
    for projection in &platform.projections {
        let found = known(&platform, &call, projection.as_ref()).await?;
        let found = found.unwrap_or_else(|| Generations::first(projection.name(), platform.clock.now()));
        let shown = view(&platform, &call, projection.as_ref(), &found).await;
        items.push(shown.map_err(|error| failed(&error))?);
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    call::ok(&List { items })
}

/// Make a projection anew
///
/// From the first event of the log on. What there is stays readable and up to date until the new one has caught up and takes its place; then
/// it is removed. Where one is being made already, the answer is that one.
#[utoipa::path(
    post, path = "/v1/admin/projections/{projection}/rebuild", tag = "admin", operation_id = "rebuildProjection",
    params(("projection" = String, Path, description = "Its name", example = "activity")),
    responses((status = 202, description = "It is being made; `building` is how far it is.", body = View))
)]
pub(crate) async fn rebuild(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let name: String = call.part("projection")?;
    let projection = platform.projections.iter().find(|projection| projection.name() == name);
    let projection =
        projection.ok_or_else(|| Problem::new("not_found", "There is no projection of this name."))?.as_ref();
    let decide = async {
        let (found, commit) = match known(&platform, &call, projection).await? {
            Some(found) => found.rebuild(),
            // Nothing of it is made yet, so all of it will be.
            None => {
                let first = Generations::first(projection.name(), platform.clock.now());
                let commit = Commit::new().insert(&first);
                (first, commit)
            }
        };
        let view = view(&platform, &call, projection, &found).await.map_err(|error| failed(&error))?;
        Ok((view, commit))
    };
    call.change(&platform, StatusCode::ACCEPTED, decide, refusal).await
}
