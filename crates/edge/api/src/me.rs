//! One's own account: `/v1/me`.

mod account;
mod factors;
mod links;
mod passkeys;
mod sessions;

use std::sync::Arc;

use stoa_http::Problem;
use stoa_identity::User;
use stoa_identity::session::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Call;
use crate::platform::Platform;
use crate::render::problem;

pub(crate) use account::UserView;
pub(crate) use sessions::{SessionView, day};

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(account::get, account::patch))
        .routes(routes!(account::password))
        .routes(routes!(account::email))
        .routes(routes!(account::organizations))
        .routes(routes!(account::switch))
        .routes(routes!(account::audit))
        .routes(routes!(sessions::list, sessions::end_all))
        .routes(routes!(sessions::end))
        .routes(routes!(factors::get))
        .routes(routes!(factors::enrol))
        .routes(routes!(factors::confirm))
        .routes(routes!(factors::disable))
        .routes(routes!(factors::codes))
        .routes(routes!(passkeys::options))
        .routes(routes!(passkeys::create))
        .routes(routes!(passkeys::rename, passkeys::remove))
        .routes(routes!(links::list, links::start))
        .routes(routes!(links::remove))
}

/// The user who asks, as they are stored.
async fn user(platform: &Platform, call: &Call) -> Result<User, Problem> {
    let id = call.caller.user()?;
    platform.identity.user(&call.caller.cx, id).await.map_err(|error| problem(&error))
}

/// The session of the caller, as it is stored.
async fn session(platform: &Platform, call: &Call) -> Result<Session, Problem> {
    let known = call.caller.session()?;
    platform.identity.session(&call.caller.cx, known.session.id).await.map_err(|error| problem(&error))
}
