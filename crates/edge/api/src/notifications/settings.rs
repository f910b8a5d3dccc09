use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_kernel::context::Scope;
use stoa_messaging::notification::{Channel, Digest, NotificationSettings, SettingsChange};
use utoipa::ToSchema;

use super::{own, unbound};
use crate::body::body;
use crate::call::{self, Call, Empty};
use crate::jobs::submit::Time;
use crate::jobs::{refusal, time};
use crate::platform::Platform;
use crate::webhooks::problem;

/// How somebody is told anything.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationSettings)]
struct View {
    /// Until when nothing leaves the application; null is always.
    #[schema(format = "date-time")]
    mute_until: Option<String>,
    /// How often letters come: off (one for each, at once), hourly or daily (08:00 UTC).
    #[schema(example = "off")]
    digest: String,
}

impl View {
    fn of(settings: &NotificationSettings) -> Self {
        Self { mute_until: time(settings.mute_until), digest: settings.digest.to_string() }
    }
}

/// How you are told anything
#[utoipa::path(
    get, path = "/v1/notifications/settings", tag = "notifications", operation_id = "getNotificationSettings",
    responses((status = 200, description = "Like this.", body = View))
)]
pub(crate) async fn show(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let (user, _) = own(&call)?;
    call.params().finish()?;
    let found = platform.inbox.settings(&call.caller.cx, user).await.map_err(|error| problem(&error))?;
    call::ok(&View::of(&found))
}

body! {
    /// What is to be different: a JSON Merge Patch (RFC 7396).
    PatchBody as NotificationSettingsPatch {
        /// Until when nothing leaves the application, within a year; null is always.
        nullable mute_until("muteUntil"): Option<Option<Time>> as Option<String> [format = "date-time", nullable = true],
        /// How often letters come.
        optional digest("digest"): Option<Digest> as Option<String> [pattern = "^(off|hourly|daily)$", nullable = false],
    }
}

/// Choose how you are told anything
#[utoipa::path(
    patch, path = "/v1/notifications/settings", tag = "notifications", operation_id = "updateNotificationSettings",
    request_body(content = PatchBody, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "Now like this.", body = View))
)]
pub(crate) async fn set(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let user = unbound(&call)?;
    let body = PatchBody::read(&call)?;
    let change = SettingsChange {
        mute_until: body.mute_until.map(|until| until.map(|time| time.0)),
        digest: body.digest,
    };
    let call = call.within(Scope::System);
    let decide = async {
        let set = platform.inbox.set(&call.caller.cx, user, change).await;
        let (settings, commit) = set.map_err(|error| problem(&error))?;
        Ok((View::of(&settings), commit))
    };
    call.change(&platform, StatusCode::OK, decide, refusal).await
}

/// Whether somebody is told something somewhere.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationPreference)]
struct Preference {
    /// What.
    #[schema(example = "role_changed")]
    template: &'static str,
    /// When it is told.
    about: &'static str,
    /// Where: `in_app`, email or webhook (an event `notification.created`).
    #[schema(example = "email")]
    channel: String,
    /// Whether.
    on: bool,
}

/// Preferences.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationPreferences)]
struct Preferences {
    /// Every template and channel.
    items: Vec<Preference>,
}

/// What you are told, and where
#[utoipa::path(
    get, path = "/v1/notifications/preferences", tag = "notifications", operation_id = "listNotificationPreferences",
    responses((status = 200, description = "This.", body = Preferences))
)]
pub(crate) async fn preferences(
    State(platform): State<Arc<Platform>>,
    call: Call,
) -> Result<Response, Problem> {
    let (user, _) = own(&call)?;
    call.params().finish()?;
    let found = platform.inbox.preferences(&call.caller.cx, user).await.map_err(|error| problem(&error))?;
    let view = |(template, channel, on): (&stoa_messaging::notification::Template, Channel, bool)| {
        Preference { template: template.name, about: template.about, channel: channel.to_string(), on }
    };
    call::ok(&Preferences {
        items: found.into_iter().map(|(template, channel, on)| view((template, channel, on))).collect(),
    })
}

body! {
    /// Whether you are told.
    PreferBody as NotificationPreferenceChange {
        /// Whether.
        value on("on"): Option<bool> as bool [],
    }
}

/// Choose whether you are told something somewhere
#[utoipa::path(
    put, path = "/v1/notifications/preferences/{template}/{channel}", tag = "notifications", operation_id = "setNotificationPreference",
    params(
        ("template" = String, Path, description = "What", example = "role_changed"),
        ("channel" = String, Path, description = "Where", example = "email", pattern = "^(in_app|email|webhook)$"),
    ),
    request_body = PreferBody,
    responses((status = 204, description = "It is so now."))
)]
pub(crate) async fn prefer(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let user = unbound(&call)?;
    let (template, channel): (String, Channel) = (call.part("template")?, call.part("channel")?);
    let body = PreferBody::read(&call)?;
    let on = body.on.ok_or_else(|| crate::render::invalid(&[("/on", "is required".to_owned())]))?;
    let call = call.within(Scope::System);
    let decide = async {
        let preferred = platform.inbox.prefer(&call.caller.cx, user, &template, channel, on).await;
        Ok((Empty, preferred.map_err(|error| problem(&error))?))
    };
    call.change(&platform, StatusCode::NO_CONTENT, decide, refusal).await
}
