//! Keys of programs: `/v1/api-keys`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use stoa_http::Problem;
use stoa_identity::access::Permission;
use stoa_identity::api_key::{ApiKey, Draft, GRACE_S_MAX};
use stoa_identity::user::Name;
use stoa_identity::{Error, Identity, Secret};
use stoa_kernel::id::ApiKeyId;
use stoa_kernel::store::event::rfc3339;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body::{body, page};
use crate::call::{self, Call, Paged};
use crate::caller::Credential;
use crate::platform::Platform;
use crate::render::{invalid, problem};

pub(crate) fn router() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, revoke)).routes(routes!(rotate))
}

/// A key of a program.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
pub(crate) struct View {
    /// Its id.
    id: String,
    /// What people call it.
    #[schema(example = "nightly import")]
    name: String,
    /// How it begins.
    #[schema(example = "stoa_0a1b2c3d")]
    prefix: String,
    /// What it may do.
    scopes: Vec<String>,
    /// From where; from anywhere where there are none.
    networks: Vec<String>,
    /// The most requests of a minute.
    rate_per_minute: Option<u32>,
    /// Who made it, and with whose permissions it works.
    user_id: String,
    /// Until when it is good.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// The day on which it was last used.
    last_used: Option<String>,
    /// When it was revoked.
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
    /// Counts its changes.
    version: i64,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// The key itself, which is shown once; null later.
    key: Option<String>,
}

page! {
    /// A page.
    pub(crate) PageView as ApiKeyPage: Vec<View> "What is on it."
}

impl View {
    fn of(key: &ApiKey, secret: Option<&Secret>) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: format!("stoa_{}", key.reference),
            scopes: key.scopes.0.clone(),
            networks: key.networks.0.clone(),
            rate_per_minute: key.rate_per_minute,
            user_id: key.user_id.to_string(),
            expires_at: key.valid_until.map(rfc3339::text),
            last_used: (key.last_used_day > 0).then(|| crate::me::day(key.last_used_day)),
            revoked_at: key.revoked_at.map(rfc3339::text),
            version: key.version,
            created_at: rfc3339::text(key.created_at),
            key: secret.map(|secret| secret.reveal().to_owned()),
        }
    }
}

/// List the keys
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api keys", operation_id = "listApiKeys",
    params(
        Paged,
    ),
    responses((status = 200, description = "A page.", body = PageView))
)]
pub(crate) async fn list(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let view = async |found: Vec<ApiKey>| Ok(found.iter().map(|key| View::of(key, None)).collect());
    call.page(&platform, call.params(), Identity::key_query(), view).await
}

body! {
    /// What a key is to be.
    CreateBody as ApiKeyDraft {
        /// What people call it.
        required name("name"): Name as String [example = "nightly import", min_length = 1, max_length = 120],
        /// What it may do: permissions of your own.
        value scopes("scopes"): Option<Vec<String>> as Vec<String> [example = json!(["organization:read"]), max_items = 64],
        /// From where it may be used: networks as `192.0.2.0/24`; from anywhere without.
        value networks("networks"): Option<Vec<String>> as Option<Vec<String>> [max_items = 32, nullable = false],
        /// The most requests of a minute.
        value rate_per_minute("ratePerMinute"): Option<u32> as Option<u32> [minimum = 1, maximum = 1000000, nullable = false],
        /// How many days it is good; for ever without.
        value days("days"): Option<u32> as Option<u32> [minimum = 1, maximum = 3650, nullable = false],
    }
}

impl CreateBody {
    fn draft(self) -> Result<Draft, Problem> {
        let mut wrong = Vec::new();
        let mut scopes: Vec<Permission> = Vec::new();
        for scope in self.scopes.unwrap_or_default() {
            match scope.parse() {
                Ok(scope) => scopes.push(scope),
                Err(error) => wrong.push(("/scopes", error)),
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() && wrong.is_empty() {
            wrong.push(("/scopes", "a key may do something; name at least one permission".to_owned()));
        }
        let mut networks = Vec::new();
        for network in self.networks.unwrap_or_default().iter().take(33) {
            match network.parse() {
                Ok(network) => networks.push(network),
                Err(_) => {
                    wrong.push(("/networks", format!("\"{network}\" is no network such as 192.0.2.0/24")));
                }
            }
        }
        if networks.len() > 32 {
            wrong.push(("/networks", "has at most 32 entries".to_owned()));
        }
        if self.rate_per_minute.is_some_and(|rate| !(1..=1_000_000).contains(&rate)) {
            wrong.push(("/ratePerMinute", "is a number from 1 to 1000000".to_owned()));
        }
        if self.days.is_some_and(|days| !(1..=3_650).contains(&days)) {
            wrong.push(("/days", "is a number from 1 to 3650".to_owned()));
        }
        if !wrong.is_empty() {
            return Err(invalid(&wrong));
        }
        Ok(Draft {
            name: self.name.0,
            scopes,
            networks,
            rate_per_minute: self.rate_per_minute,
            days: self.days,
        })
    }
}

/// Make a key
///
/// It is shown once. It may do no more than you may, and no more than you still may when it is used.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api keys", operation_id = "createApiKey", request_body = CreateBody,
    responses((status = 201, description = "It can be used.", body = View))
)]
pub(crate) async fn create(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let draft = CreateBody::read(&call)?.draft()?;
    // A key makes no keys: it could outlive itself.
    let user = call
        .caller
        .session()
        .map_err(|_| Problem::new("forbidden", "Keys are made by people."))?
        .session
        .user_id;
    let decide = async {
        let made =
            platform.identity.create_key(&call.caller.cx, user, call.caller.permissions(), draft).await;
        let (key, secret, commit) = made.map_err(|error| problem(&error))?;
        Ok((View::of(&key, Some(&secret)), commit))
    };
    call.change(&platform, StatusCode::CREATED, decide, Error::Store).await
}

/// The key of the address; one that somebody else made only for whoever may change any.
async fn found(platform: &Platform, call: &Call, to_change: bool) -> Result<ApiKey, Problem> {
    let id: ApiKeyId = call.part("key")?;
    let key = platform.identity.api_key(&call.caller.cx, id).await.map_err(|error| problem(&error))?;
    let is_own = call.caller.user()? == key.user_id;
    if to_change && !is_own && !call.caller.permissions().has(Permission::ApiKeysUpdateAny) {
        let detail = format!(
            "Somebody else made this key; that needs the permission {}.",
            Permission::ApiKeysUpdateAny
        );
        return Err(Problem::new("forbidden", detail));
    }
    if to_change && matches!(call.caller.credential, Credential::Key(..)) {
        return Err(Problem::new("forbidden", "Keys are changed by people."));
    }
    if to_change {
        call.matches(&key.id, key.version)?;
    }
    Ok(key)
}

/// Get a key
#[utoipa::path(
    get, path = "/v1/api-keys/{key}", tag = "api keys", operation_id = "getApiKey",
    params(("key" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is this.", body = View))
)]
pub(crate) async fn get(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    call::ok(&View::of(&found(&platform, &call, false).await?, None))
}

body! {
    /// How a key is replaced.
    RotateBody as RotateRequest {
        /// How long the old one works on, in seconds; not at all without.
        value grace_seconds("graceSeconds"): Option<u32> as Option<u32> [minimum = 0, maximum = 2592000, nullable = false],
    }
}

/// Replace a key by a new one
#[utoipa::path(
    post, path = "/v1/api-keys/{key}/rotate", tag = "api keys", operation_id = "rotateApiKey",
    params(("key" = String, Path, description = "Its id")),
    request_body = RotateBody,
    responses((status = 200, description = "The new one, shown once.", body = View))
)]
pub(crate) async fn rotate(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let grace = RotateBody::read(&call)?.grace_seconds.unwrap_or(0);
    if grace > GRACE_S_MAX {
        return Err(invalid(&[("/graceSeconds", format!("is a number from 0 to {GRACE_S_MAX}"))]));
    }
    let decide = async {
        let key = found(&platform, &call, true).await?;
        if call.caller.user()? != key.user_id {
            // Whoever has the new key acts as its maker.
            return Err(Problem::new("forbidden", "A key is rotated by whoever made it; others revoke it."));
        }
        let (key, secret, commit) =
            platform.identity.rotate_key(&key, grace).map_err(|error| problem(&error))?;
        Ok((View::of(&key, Some(&secret)), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}

/// Revoke a key
#[utoipa::path(
    delete, path = "/v1/api-keys/{key}", tag = "api keys", operation_id = "revokeApiKey",
    params(("key" = String, Path, description = "Its id")),
    responses((status = 200, description = "It is good for nothing any more.", body = View), (status = 409, description = "It was revoked already."))
)]
pub(crate) async fn revoke(State(platform): State<Arc<Platform>>, call: Call) -> Result<Response, Problem> {
    let decide = async {
        let key = found(&platform, &call, true).await?;
        let (key, commit) = platform.identity.revoke_key(&key).map_err(|error| problem(&error))?;
        Ok((View::of(&key, None), commit))
    };
    call.change(&platform, StatusCode::OK, decide, Error::Store).await
}
