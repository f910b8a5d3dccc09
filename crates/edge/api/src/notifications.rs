//! Notifications: `/v1/notifications`, how one wants to be told, and for whoever runs the installation what did not arrive.

mod admin;
mod list;
mod settings;
mod stream;

use std::sync::Arc;

use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::id::{OrganizationId, UserId};
use stoa_kernel::store::event::rfc3339;
use stoa_messaging::notification::Shown;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Call;
use crate::jobs::{organization, time};
use crate::platform::Platform;

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(list::unread))
        .routes(routes!(list::read_all))
        .routes(routes!(stream::stream))
        .routes(routes!(settings::show, settings::set))
        .routes(routes!(settings::preferences))
        .routes(routes!(settings::prefer))
        .routes(routes!(list::read))
        .routes(routes!(admin::list))
        .routes(routes!(admin::replay))
}

/// Something that somebody is told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Notification)]
struct View {
    /// Its id.
    #[schema(example = "ntf_0akvp3r7jtw01")]
    id: String,
    /// The organization that it is about; null is the installation.
    organization_id: Option<String>,
    /// What it is about.
    #[schema(example = "role_changed")]
    template: String,
    /// In a line.
    #[schema(example = "Your role in North Wind is now admin")]
    title: String,
    /// What it says.
    body: String,
    /// The values that it shows.
    variables: std::collections::BTreeMap<String, String>,
    /// When it was read.
    #[schema(format = "date-time")]
    read_at: Option<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
}

impl View {
    fn of(shown: &Shown) -> Self {
        let notification = &shown.notification;
        Self {
            id: notification.id.to_string(),
            organization_id: organization(notification.organization_id),
            template: notification.template.clone(),
            title: shown.title.clone(),
            body: shown.body.clone(),
            variables: notification.variables.0.clone(),
            read_at: time(notification.read_at),
            created_at: rfc3339::text(notification.created_at),
        }
    }
}

/// Who asks, and about which organization alone: whom an organization's own provider vouches for sees that one.
fn own(call: &Call) -> Result<(UserId, Option<OrganizationId>), Problem> {
    let known = call.caller.session()?;
    let bound = known.session.organization_id.filter(|_| known.session.is_bound());
    Ok((known.session.user_id, bound))
}

/// Who asks, where they may choose for all organizations: whom one organization's provider vouches for may not.
fn unbound(call: &Call) -> Result<UserId, Problem> {
    match own(call)? {
        (user, None) => Ok(user),
        _ => Err(Problem::new(
            "forbidden",
            "Sign in as yourself, not by an organization's provider, to choose this.",
        )),
    }
}
