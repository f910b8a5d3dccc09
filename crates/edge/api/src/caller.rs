//! Who asks, and whether they may: authentication, the organization that a request is about, and the policy, in one middleware.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use stoa_http::Problem;
use stoa_http::observe::Seen;
use stoa_http::shed::{Charge, Known as By};
use stoa_identity::access::{Permission, Permissions, Role};
use stoa_identity::api_key::ApiKey;
use stoa_identity::directory::{Known, Membership};
use stoa_identity::organization::{Organization, State as Life};
use stoa_identity::plan::Limit as PlanLimit;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::id::{OrganizationId, UserId};
use stoa_kernel::store::Commit;
use stoa_runtime::limiter::{Limit, Outage};

use crate::access::{Rule, Who, rule};
use crate::platform::Platform;
use crate::render::problem;

/// The header that names the organization that a request is about.
pub(crate) const ORGANIZATION: HeaderName = HeaderName::from_static("stoa-organization");
/// What the operator may ask of all organizations at once.
const WHOLE: [&str; 5] = ["/v1/events", "/v1/job", "/v1/dead-letters", "/v1/schedules", "/v1/runs"];
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How long it may be since the user showed who they are, where that is needed, in microseconds.
const FRESH_US: i64 = 600_000_000;

/// With what somebody shows who they are.
#[derive(Clone)]
pub(crate) enum Credential {
    /// Nothing, or nothing that was looked at.
    None,
    /// The operator token.
    Operator,
    /// A session.
    Session(Arc<Known>),
    /// A key, and what it may do.
    Key(Arc<ApiKey>, Permissions),
}

/// Who asks, and in which context.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) cx: Context,
    pub(crate) credential: Credential,
    /// What they may do in the organization of the context.
    pub(crate) membership: Option<Membership>,
    pub(crate) address: Option<IpAddr>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("cx", &self.cx).finish_non_exhaustive()
    }
}

impl Caller {
    /// The session, of which the rule has made sure.
    pub(crate) fn session(&self) -> Result<&Arc<Known>, Problem> {
        match &self.credential {
            Credential::Session(known) => Ok(known),
            _ => Err(Problem::new("internal", "There is no session.")),
        }
    }

    /// The user who asks, or who made the key that does.
    pub(crate) fn user(&self) -> Result<UserId, Problem> {
        match &self.credential {
            Credential::Session(known) => Ok(known.session.user_id),
            Credential::Key(key, _) => Ok(key.user_id),
            _ => Err(Problem::new("forbidden", "This is for users and their keys.")),
        }
    }

    /// Whether they run the installation. Whom an organization's own provider vouches for does not, whoever it says that it is.
    pub(crate) fn is_installation(&self) -> bool {
        match &self.credential {
            Credential::Operator => true,
            Credential::Session(known) => {
                known.is_owner && !known.session.is_pending && !known.session.is_bound()
            }
            _ => false,
        }
    }

    /// The role in the organization of the context; an owner's for whoever runs the installation.
    pub(crate) fn role(&self) -> Role {
        match (&self.credential, self.membership) {
            // A key is as strong as the strongest role that it could do everything of, and never stronger than its maker.
            (Credential::Key(_, permissions), Some(membership)) => {
                let holds = |role: &Role| {
                    let of = Permissions::of(*role, []);
                    *role <= membership.role && of.both(*permissions) == of
                };
                Role::ALL.into_iter().rev().find(holds).unwrap_or(Role::Guest)
            }
            (_, Some(membership)) => membership.role,
            (_, None) if self.is_installation() => Role::Owner,
            (_, None) => Role::Guest,
        }
    }

    /// What they may do in the organization of the context.
    pub(crate) fn permissions(&self) -> Permissions {
        match (&self.credential, self.membership) {
            (Credential::Key(_, permissions), _) => *permissions,
            (_, Some(membership)) => membership.permissions,
            _ => Permissions::default(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Problem::new("internal", "Nobody has looked who asks."))
    }
}

/// The middleware before every operation: finds its rule, and holds the caller to it.
pub(crate) async fn enter(
    State(platform): State<Arc<Platform>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let found = path.as_deref().and_then(|path| rule(request.method(), path));
    // Nothing is registered there, or not by this method: whoever answers that needs nobody.
    let Some(rule) = found else { return next.run(request).await };
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let Some(seen) = request.extensions().get::<Seen>().copied() else {
        return Problem::new("internal", "The request was not seen.").into_response();
    };
    let asked = Asked {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        address,
        seen,
        rule,
    };
    match asked.enter(&platform).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// A request that is to be let in.
struct Asked<'r> {
    method: &'r Method,
    uri: &'r Uri,
    headers: &'r HeaderMap,
    address: Option<IpAddr>,
    seen: Seen,
    rule: &'static Rule,
}

fn unauthenticated(is_given: bool) -> Problem {
    let (detail, challenge) = if is_given {
        (
            "The credential is not good, or not any more; sign in again.",
            "Bearer realm=\"stoa\", error=\"invalid_token\"",
        )
    } else {
        ("Sign in: Authorization: Bearer <access token or API key>.", "Bearer realm=\"stoa\"")
    };
    Problem::new("not_authenticated", detail).header(header::WWW_AUTHENTICATE, challenge)
}

fn unknown_organization() -> Problem {
    Problem::new("organization_not_found", "There is no such organization.")
}

impl Asked<'_> {
    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    fn context(&self, actor: Actor) -> Context {
        Context {
            scope: Scope::System,
            actor,
            request: self.seen.request,
            trace: Some(self.seen.trace),
            deadline: Some(self.seen.deadline),
        }
    }

    async fn enter(&self, platform: &Platform) -> Result<Caller, Problem> {
        if self.rule.is_attempt {
            let limit = Limit::Window { most: platform.attempts.saturating_mul(10), seconds: 60 };
            let charge = Charge { known: By::NameAt("attempts", "", self.address), limit };
            platform.shedder.charge(&[charge], Outage::Refuse).await?;
        }
        let nobody = Caller {
            cx: self.context(Actor::System),
            credential: Credential::None,
            membership: None,
            address: self.address,
        };
        if self.rule.who == Who::Anyone {
            return Ok(nobody);
        }
        let caller = self.authenticate(platform, nobody).await?;
        let caller = self.admit(platform, caller).await?;
        self.charge(platform, &caller).await?;
        Ok(caller)
    }

    async fn authenticate(&self, platform: &Platform, nobody: Caller) -> Result<Caller, Problem> {
        let bearer = self.text(&header::AUTHORIZATION).and_then(|given| given.split_once(' '));
        let bearer =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let Some(token) = bearer.or_else(|| self.text(&API_KEY)) else { return Err(unauthenticated(false)) };
        if platform.operator.is(token) {
            return Ok(Caller { credential: Credential::Operator, ..nobody });
        }
        let refused = |error: stoa_identity::Error| match error {
            stoa_identity::Error::SignedOut => unauthenticated(true),
            other => problem(&other),
        };
        let identity = platform.identity.as_ref();
        if token.starts_with("stoa_") {
            let (key, permissions) = identity.known_key(&nobody.cx, token).await.map_err(refused)?;
            if !key.admits(self.address) {
                return Err(Problem::new("forbidden", "The key may not be used from this network."));
            }
            let cx = self.context(Actor::ApiKey(key.id));
            return Ok(Caller { cx, credential: Credential::Key(Arc::new(key), permissions), ..nobody });
        }
        let verified = identity.verify(token).await.map_err(refused)?;
        let claims = &verified.claims;
        let known = identity.known_session(&nobody.cx, claims.sid).await.map_err(refused)?;
        if known.session.user_id != claims.sub {
            return Err(unauthenticated(true));
        }
        let cx = self.context(Actor::User(claims.sub));
        Ok(Caller { cx, credential: Credential::Session(known), ..nobody })
    }

    /// Holds a caller to the rule.
    async fn admit(&self, platform: &Platform, caller: Caller) -> Result<Caller, Problem> {
        if let Credential::Session(known) = &caller.credential {
            if known.session.is_pending && self.rule.who != Who::Pending {
                return Err(problem(&stoa_identity::Error::MfaPending));
            }
            let is_fresh = platform.clock.now().since(known.session.authenticated_at) <= FRESH_US;
            if self.rule.is_fresh && !is_fresh {
                return Err(problem(&stoa_identity::Error::ReauthenticationRequired));
            }
        }
        if self.rule.is_fresh && matches!(caller.credential, Credential::Key(..)) {
            return Err(Problem::new("forbidden", "This is for people, who show again who they are."));
        }
        let is_person = matches!(caller.credential, Credential::Session(_));
        match self.rule.who {
            Who::Anyone | Who::Known => Ok(caller),
            Who::Pending | Who::Person if is_person => Ok(caller),
            Who::PersonOrInstallation if is_person || caller.is_installation() => Ok(caller),
            Who::Installation if caller.is_installation() => Ok(caller),
            Who::MemberOrInstallation(_) if matches!(caller.credential, Credential::Operator) => {
                self.operator(platform, caller).await
            }
            Who::Member(permission) => self.member(platform, caller, permission, false).await,
            Who::MemberOrInstallation(permission) => self.member(platform, caller, permission, true).await,
            Who::Installation => Err(Problem::new("forbidden", "This is for whoever runs the installation.")),
            _ => Err(Problem::new("forbidden", "This is for people who have signed in.")),
        }
    }

    /// The organization that a request is about: of the address, of the key, of the header, of the session.
    async fn organization(&self, platform: &Platform, caller: &Caller) -> Result<OrganizationId, Problem> {
        let named = |text: String| async move {
            let found = platform
                .identity
                .organization_named(&caller.cx, &text)
                .await
                .map_err(|error| problem(&error))?;
            found.ok_or_else(unknown_organization)
        };
        if let Some(text) = segment(self.rule.path, self.uri.path(), "{organization}") {
            return named(text.to_owned()).await;
        }
        match (&caller.credential, self.named()) {
            (Credential::Key(key, _), None) => Ok(key.organization_id),
            (_, Some(text)) => named(text.to_owned()).await,
            (Credential::Session(known), None) => known.session.organization_id.ok_or_else(|| {
                Problem::new(
                    "organization_required",
                    "Name the organization: Stoa-Organization: <id or slug>.",
                )
            }),
            _ => Err(Problem::new(
                "organization_required",
                "Name the organization: Stoa-Organization: <id or slug>.",
            )),
        }
    }

    /// The operator is let in to all organizations: to that of the address, or of the header; of events and jobs, to all at once.
    async fn operator(&self, platform: &Platform, mut caller: Caller) -> Result<Caller, Problem> {
        let is_of_all = WHOLE.iter().any(|prefix| self.rule.path.starts_with(prefix));
        let is_whole = is_of_all && self.named().is_none();
        if !is_whole && !self.is_addressed() {
            let id = self.organization(platform, &caller).await?;
            let found = platform.identity.known_organization(&caller.cx, id).await;
            let found = found.map_err(|error| problem(&error))?.ok_or_else(unknown_organization)?;
            self.visited(&found, &mut caller)?;
        }
        Ok(caller)
    }

    /// An organization that whoever runs the installation names: read in any state, changed while it is in use.
    fn visited(&self, organization: &Organization, caller: &mut Caller) -> Result<(), Problem> {
        if !self.is_read() {
            self.usable(organization, caller)?;
        }
        caller.cx.scope = Scope::Organization(organization.id);
        Ok(())
    }

    fn is_read(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
    }

    /// The organization that the header names.
    fn named(&self) -> Option<&str> {
        self.text(&ORGANIZATION).filter(|text| !text.is_empty())
    }

    /// Whether the address names the organization: then the operation looks it up.
    fn is_addressed(&self) -> bool {
        self.rule.path.contains("{organization}")
    }

    async fn member(
        &self,
        platform: &Platform,
        mut caller: Caller,
        permission: Permission,
        or_installation: bool,
    ) -> Result<Caller, Problem> {
        let is_listed = self.rule.path.starts_with("/v1/events");
        let may_all = or_installation && caller.is_installation();
        // Whoever runs the installation may follow all of it, and names an organization to follow one.
        if may_all && is_listed && self.named().is_none() {
            return Ok(caller);
        }
        let id = self.organization(platform, &caller).await?;
        let identity = platform.identity.as_ref();
        let user = match &caller.credential {
            Credential::Session(known) => known.session.user_id,
            Credential::Key(key, _) if key.organization_id == id => key.user_id,
            _ => return Err(unknown_organization()),
        };
        let membership = identity.membership(&caller.cx, id, user).await.map_err(|error| problem(&error))?;
        let organization =
            identity.known_organization(&caller.cx, id).await.map_err(|error| problem(&error))?;
        let Some(organization) = organization else { return Err(unknown_organization()) };
        if let Credential::Session(known) = &caller.credential
            && known.session.is_bound()
            && known.session.organization_id != Some(id)
        {
            return Err(unknown_organization());
        }
        let Some(membership) = membership else {
            if may_all && !self.is_addressed() {
                self.visited(&organization, &mut caller)?;
            }
            return if may_all { Ok(caller) } else { Err(unknown_organization()) };
        };
        caller.membership = Some(membership);
        self.usable(&organization, &caller)?;
        if !caller.permissions().has(permission) {
            let who = match &caller.credential {
                Credential::Key(..) => "this key does not have".to_owned(),
                _ => format!("a {} does not have here", membership.role),
            };
            let detail = format!("This needs the permission {permission}, which {who}.");
            let noted = Commit::new().note("access.refused", "permission", &permission);
            let cx = caller.cx.within(Scope::Organization(id));
            platform.store.commit(&cx, noted).await.map_err(|error| Problem::of(&error))?;
            return Err(Problem::new("forbidden", detail));
        }
        caller.cx.scope = Scope::Organization(id);
        Ok(caller)
    }

    /// Whether an organization is in a state for this.
    fn usable(&self, organization: &Organization, caller: &Caller) -> Result<(), Problem> {
        let is_read = self.is_read();
        match organization.state {
            Life::Active => {}
            Life::Suspended => {
                return Err(Problem::new(
                    "organization_suspended",
                    "The organization is suspended; nothing is lost.",
                ));
            }
            Life::Purging | Life::Purged => return Err(unknown_organization()),
            Life::Archived
                if is_read || self.rule.path.ends_with("/purge") || self.rule.path.ends_with("/leave") => {}
            Life::Archived => {
                return Err(Problem::new(
                    "organization_wrong_state",
                    "The organization is archived: it can be read, and never changes.",
                ));
            }
        }
        if let Credential::Session(known) = &caller.credential
            && organization.mfa_required
            && !(known.has_second_factor && known.session.has_shown_factor())
        {
            return Err(problem(&stoa_identity::Error::MfaRequired));
        }
        Ok(())
    }

    /// Charges what a key and an organization may ask.
    async fn charge(&self, platform: &Platform, caller: &Caller) -> Result<(), Problem> {
        let mut charges = Vec::new();
        let minute = |most: i64| Limit::Window { most: u32::try_from(most).unwrap_or(u32::MAX), seconds: 60 };
        let mut names = Vec::new();
        if let Credential::Key(key, _) = &caller.credential
            && let Some(most) = key.rate_per_minute
        {
            names.push(("key", key.id.to_string(), minute(i64::from(most))));
        }
        if let Some(id) = caller.cx.scope.organization() {
            let found = platform
                .identity
                .known_organization(&caller.cx, id)
                .await
                .map_err(|error| problem(&error))?;
            let limits = found.map(|found| (found.limits.0, found.plan.limits()));
            let most = limits.and_then(|(own, plan)| {
                own.of(PlanLimit::RequestsPerMinute).or(plan.of(PlanLimit::RequestsPerMinute))
            });
            names.extend(most.map(|most| ("organization", id.to_string(), minute(most))));
        }
        charges.extend(
            names.iter().map(|(of, name, limit)| Charge { known: By::Name(of, name), limit: *limit }),
        );
        platform.shedder.charge(&charges, Outage::CountHere).await
    }
}

/// The part of an address where the registered path has `name`.
fn segment<'p>(registered: &str, path: &'p str, name: &str) -> Option<&'p str> {
    let place = registered.split('/').position(|part| part == name)?;
    path.split('/').nth(place)
}
