//! What operators look at and turn: `/v1/admin`.

mod consumers;
mod database;
mod projections;
mod rotate_keys;
mod signing_keys;
mod users;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::platform::Platform;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(consumers::list))
        .routes(routes!(database::database))
        .routes(routes!(projections::list))
        .routes(routes!(projections::rebuild))
        .routes(routes!(rotate_keys::rotate_keys))
        .routes(routes!(signing_keys::rotate))
        .routes(routes!(users::list))
        .routes(routes!(users::get))
        .routes(routes!(users::suspend))
        .routes(routes!(users::resume))
        .routes(routes!(users::reset_factors))
}
