//! Signing in with an account elsewhere: OpenID Connect Core 1.0 by the authorization code flow with PKCE (RFC 7636), and OAuth 2.0 as
//! GitHub speaks it.
//!
//! ```text
//! start ─► ticket (state, nonce, verifier, browser) ─► provider ─► callback: same browser, ticket burned, `iss` (RFC 9207)
//!       ─► code for tokens ─► ID token: key of the issuer, algorithm of the key, iss, aud, azp, exp, iat, nonce
//!       ─► (issuer, subject) is who it is; an address is never who it is
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{Id, OrganizationId, ProviderId, UserId};
use stoa_kernel::store::{Commit, Personal, Record};
use stoa_runtime::outbound::{Fetch, Unfetched};
use url::Url;

use crate::facts::UserRegistered;
use crate::opaque::{Secret, equal, hash, hex};
use crate::provider::{Kind, Link, Provider};
use crate::service::{Identity, Registration, by};
use crate::session::{BOUND, Beginning, Issued};
use crate::ticket::{Kind as TicketKind, burned};
use crate::user::Name;
use crate::{Email, Error};

/// How long what an issuer says about itself is believed, and how soon its keys are looked up again for one that is not known, in
/// microseconds.
const BELIEVED_US: i64 = 3_600_000_000;
const KEYS_AGAIN_US: i64 = 60_000_000;
const LEEWAY_S: i64 = 30;
/// The most issuers that something is known of.
const ISSUERS_MAX: usize = 256;
const BYTES_MAX: usize = 256 * 1_024;
const TIMEOUT_MS: u64 = 8_000;
/// The signatures that are taken. Never `none`, never one that is made with what the client knows.
const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What an issuer says about itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

#[derive(Clone)]
struct Known {
    metadata: Metadata,
    keys: JwkSet,
    read_at: Micros,
    keys_read_at: Micros,
}

/// What is known of issuers.
#[derive(Default)]
pub(crate) struct Discovered(Mutex<HashMap<String, Known>>);

/// What a sign-in elsewhere remembers.
#[derive(Serialize, Deserialize)]
struct Flow {
    provider: ProviderId,
    organization: Option<OrganizationId>,
    nonce: String,
    verifier: String,
    /// The hash of what the browser keeps: nobody else can end what it began.
    browser: String,
    return_to: String,
    invitation: Option<String>,
    link: Option<UserId>,
}

/// How a sign-in elsewhere begins.
#[derive(Debug, Clone)]
pub struct Start {
    /// Where the browser goes.
    pub url: String,
    /// What the browser keeps until it comes back.
    pub browser: Secret,
}

/// What is wanted of a sign-in elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Where the browser goes afterwards: a path of ours.
    pub return_to: Option<String>,
    /// The secret of an invitation.
    pub invitation: Option<String>,
    /// The user that the account is to be linked to.
    pub link: Option<UserId>,
}

/// What a browser comes back with.
#[derive(Debug, Clone, Default)]
pub struct Callback {
    /// The state.
    pub state: String,
    /// The code, where it went well.
    pub code: Option<String>,
    /// The error, where it did not.
    pub error: Option<String>,
    /// Who says so (RFC 9207).
    pub iss: Option<String>,
    /// What the browser kept.
    pub browser: String,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Who is signed in; nobody where an account was linked.
    pub issued: Option<Issued>,
    /// Where the browser goes.
    pub return_to: String,
}

/// What a provider vouches for.
struct Vouched {
    issuer: String,
    subject: String,
    email: Option<Email>,
    is_verified: bool,
    label: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct IdClaims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Value>,
    #[serde(default)]
    name: Option<String>,
}

fn refused(why: impl Into<String>) -> Error {
    Error::ProviderRefused(why.into())
}

fn unfetched(error: &Unfetched) -> Error {
    tracing::warn!(%error, "a provider could not be asked");
    match error {
        Unfetched::Refused(_) => refused("its address must not be asked"),
        Unfetched::Failed(_) => Error::ProviderUnavailable,
    }
}

/// A path of ours, and nothing that a browser would read as somebody else's address.
#[must_use]
pub fn own_path(text: &str) -> Option<&str> {
    let is_own = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains(['\\', '\r', '\n', '\t', '\0'])
        && text.len() <= 1_024
        && text.chars().all(|char| !char.is_control());
    is_own.then_some(text)
}

impl Identity {
    /// The providers with which one can sign in: those for everybody, and those of an organization that is named.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn offered(
        &self,
        cx: &Context,
        organization: Option<OrganizationId>,
    ) -> Result<Vec<Provider>, Error> {
        let cx = cx.within(Scope::System);
        let mut of = vec![Id::NONE];
        of.extend(organization);
        let query = Provider::select()
            .is_in(Provider::ORGANIZATION_ID, &of)
            .eq(Provider::IS_ENABLED, &true)
            .ascending(Provider::ID);
        Ok(self.store.list(&cx, query).await?)
    }

    /// Begins to sign in, or to link an account.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::ProviderUnavailable`], [`Error::ProviderRefused`].
    pub async fn start(&self, cx: &Context, id: ProviderId, wanted: Wanted) -> Result<Start, Error> {
        let cx = cx.within(Scope::System);
        let found = self.store.find(&cx, Provider::select().eq(Provider::ID, &id)).await?;
        let provider = found.filter(|provider| provider.is_enabled).ok_or(Error::NotFound("provider"))?;
        let return_to = wanted.return_to.as_deref().and_then(own_path).unwrap_or("/account").to_owned();
        let browser = hex(&self.entropy.bytes::<32>()?);
        let verifier = BASE64.encode(self.entropy.bytes::<32>()?);
        let flow = Flow {
            provider: provider.id,
            organization: provider.organization(),
            nonce: hex(&self.entropy.bytes::<16>()?),
            verifier: verifier.clone(),
            browser: hex(&hash(&browser)),
            return_to,
            invitation: wanted.invitation,
            link: wanted.link,
        };
        let (state, commit) = self.ticket(TicketKind::PROVIDER, wanted.link, &flow)?;
        let (endpoint, scope) = match provider.kind {
            Kind::GitHub => (format!("{}/login/oauth/authorize", provider.issuer), "read:user user:email"),
            _ => {
                (self.known(&provider.issuer).await?.metadata.authorization_endpoint, "openid email profile")
            }
        };
        let mut url =
            Url::parse(&endpoint).map_err(|_| refused("its address of authorization cannot be read"))?;
        self.outbound.check(url.as_str()).map_err(|error| unfetched(&error))?;
        let challenge = BASE64.encode(Sha256::digest(verifier.as_bytes()));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("scope", scope)
            .append_pair("state", state.reveal())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if provider.kind != Kind::GitHub {
            url.query_pairs_mut().append_pair("nonce", &flow.nonce);
        }
        if provider.kind == Kind::Apple {
            url.query_pairs_mut().append_pair("response_mode", "form_post");
        }
        self.apply(&cx, commit).await?;
        Ok(Start { url: url.into(), browser: Secret::new(browser) })
    }

    /// Where providers send browsers back to.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}/v1/auth/callback", self.issuer())
    }

    /// Ends what was begun: signs in, registers, or links.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::ProviderRefused`], [`Error::ProviderUnavailable`], [`Error::RegistrationClosed`].
    pub async fn finish(&self, cx: &Context, callback: Callback, client: &str) -> Result<Finished, Error> {
        let cx = cx.within(Scope::System);
        let ticket = self.find_ticket(&cx, TicketKind::PROVIDER, &callback.state).await?;
        let flow: Flow = ticket.payload()?;
        if !equal(flow.browser.as_bytes(), hex(&hash(&callback.browser)).as_bytes()) {
            return Err(Error::LinkInvalid);
        }
        // Whatever comes of it, the state is used.
        self.apply(&cx, Commit::new().delete(&ticket)).await.map_err(burned)?;
        let found = self.store.find(&cx, Provider::select().eq(Provider::ID, &flow.provider)).await?;
        let provider = found.filter(|provider| provider.is_enabled).ok_or(Error::LinkInvalid)?;
        if let Some(iss) = &callback.iss
            && *iss != provider.issuer
        {
            return Err(refused("somebody else answered"));
        }
        if let Some(error) = &callback.error {
            tracing::info!(provider = %provider.slug, "a sign-in ended at the provider");
            let is_known = ["access_denied", "login_required", "consent_required"].contains(&error.as_str());
            return Err(refused(if is_known { error.as_str() } else { "it says no" }));
        }
        let code = callback.code.as_deref().ok_or_else(|| refused("it sent no code"))?;
        let vouched = match provider.kind {
            Kind::GitHub => self.github(&provider, &flow, code).await?,
            _ => self.oidc(&provider, &flow, code, callback.iss.is_some()).await?,
        };
        let issued = self.vouched(&cx, &provider, &flow, vouched, client).await?;
        Ok(Finished { issued, return_to: flow.return_to })
    }

    async fn get(&self, url: &str, headers: Vec<(String, String)>) -> Result<Vec<u8>, Error> {
        let fetch = Fetch {
            url: url.to_owned(),
            headers,
            body: None,
            bytes_max: BYTES_MAX,
            timeout_ms: TIMEOUT_MS,
            ..Fetch::default()
        };
        let answer = self.outbound.fetch(fetch).await.map_err(|error| unfetched(&error))?;
        match answer.status {
            200 => Ok(answer.body),
            400..=499 => Err(refused(format!("it answered {}", answer.status))),
            _ => Err(Error::ProviderUnavailable),
        }
    }

    /// What is known of an issuer; what it says about itself names itself, byte for byte.
    async fn known(&self, issuer: &str) -> Result<Known, Error> {
        let now = self.clock.steady();
        let known = self.discovered.0.lock().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned();
        if let Some(known) = known.filter(|known| now.since(known.read_at) < BELIEVED_US) {
            return Ok(known);
        }
        let body = self
            .get(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')), Vec::new())
            .await?;
        let metadata: Metadata =
            serde_json::from_slice(&body).map_err(|_| refused("what it says about itself cannot be read"))?;
        if metadata.issuer != issuer {
            return Err(refused("it says that it is somebody else"));
        }
        let keys = self.fetch_keys(&metadata).await?;
        Ok(self.believe(Known { metadata, keys, read_at: now, keys_read_at: now }))
    }

    fn believe(&self, known: Known) -> Known {
        let mut all = self.discovered.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever makes organizations makes providers; what is not asked for any more is forgotten.
        if all.len() >= ISSUERS_MAX {
            all.clear();
        }
        all.insert(known.metadata.issuer.clone(), known.clone());
        known
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<JwkSet, Error> {
        let body = self.get(&metadata.jwks_uri, Vec::new()).await?;
        // One key that nobody knows how to use does not spoil the others.
        let set: Value = serde_json::from_slice(&body).map_err(|_| refused("its keys cannot be read"))?;
        let keys = set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()).collect();
        Ok(JwkSet { keys })
    }

    async fn redeem(
        &self,
        provider: &Provider,
        endpoint: &str,
        basic: bool,
        flow: &Flow,
        code: &str,
    ) -> Result<Tokens, Error> {
        let redirect_uri = self.redirect_uri();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("client_id", &provider.client_id),
            ("code_verifier", &flow.verifier),
        ];
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if basic {
            let encode =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encode(&provider.client_id), encode(&provider.client_secret));
            headers.push(("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair))));
        } else {
            form.push(("client_secret", &provider.client_secret));
        }
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let body = Some(("application/x-www-form-urlencoded", form));
        let fetch = Fetch {
            url: endpoint.to_owned(),
            headers,
            body,
            bytes_max: BYTES_MAX,
            timeout_ms: TIMEOUT_MS,
            ..Fetch::default()
        };
        let answer = self.outbound.fetch(fetch).await.map_err(|error| unfetched(&error))?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|_| refused("its tokens cannot be read")),
            400..=499 => Err(refused("it does not take the code")),
            _ => Err(Error::ProviderUnavailable),
        }
    }

    async fn oidc(
        &self,
        provider: &Provider,
        flow: &Flow,
        code: &str,
        named_itself: bool,
    ) -> Result<Vouched, Error> {
        let known = self.known(&provider.issuer).await?;
        let metadata = &known.metadata;
        if metadata.authorization_response_iss_parameter_supported && !named_itself {
            return Err(refused("nobody says who answered"));
        }
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let basic = methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic");
        let tokens = self.redeem(provider, &metadata.token_endpoint, basic, flow, code).await?;
        let token = tokens.id_token.ok_or_else(|| refused("it sent no ID token"))?;
        let claims = self.id_token(&known, &token).await?;
        check_claims(&claims, provider, &flow.nonce, self.clock.now())?;
        let is_verified = matches!(&claims.email_verified, Some(Value::Bool(true)))
            || claims.email_verified.as_ref().and_then(Value::as_str) == Some("true");
        let email = claims.email.as_deref().and_then(|email| email.parse().ok());
        let label = claims.email.or_else(|| claims.name.clone());
        Ok(Vouched { issuer: claims.iss, subject: claims.sub, email, is_verified, label, name: claims.name })
    }

    /// The claims of an ID token that the issuer has signed: by one of its keys, with an algorithm of that key.
    async fn id_token(&self, known: &Known, token: &str) -> Result<IdClaims, Error> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| refused("its ID token cannot be read"))?;
        let is_odd = header.crit.is_some() || !ALGORITHMS.contains(&header.alg);
        if is_odd {
            return Err(refused("its ID token is signed in a way that is not taken"));
        }
        let mut keys = candidates(&known.keys, header.kid.as_deref(), header.alg);
        if keys.is_empty() && self.clock.steady().since(known.keys_read_at) >= KEYS_AGAIN_US {
            let fresh = self.fetch_keys(&known.metadata).await?;
            let known = Known { keys: fresh, keys_read_at: self.clock.steady(), ..known.clone() };
            keys = candidates(&self.believe(known).keys, header.kid.as_deref(), header.alg);
        }
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        keys.iter()
            .filter_map(|key| DecodingKey::from_jwk(key).ok())
            .find_map(|key| jsonwebtoken::decode::<IdClaims>(token, &key, &validation).ok())
            .map(|data| data.claims)
            .ok_or_else(|| refused("its ID token is not signed by one of its keys"))
    }

    async fn github(&self, provider: &Provider, flow: &Flow, code: &str) -> Result<Vouched, Error> {
        #[derive(Deserialize)]
        struct Account {
            id: u64,
            login: String,
            #[serde(default)]
            name: Option<String>,
        }
        #[derive(Deserialize)]
        struct Address {
            email: String,
            primary: bool,
            verified: bool,
        }
        let endpoint = format!("{}/login/oauth/access_token", provider.issuer);
        let tokens = self.redeem(provider, &endpoint, false, flow, code).await?;
        let token = tokens.access_token.ok_or_else(|| refused("it sent no token"))?;
        let api = match provider.issuer.as_str() {
            "https://github.com" => "https://api.github.com".to_owned(),
            // GitHub Enterprise Server.
            other => format!("{other}/api/v3"),
        };
        let headers = || {
            vec![
                ("authorization".to_owned(), format!("Bearer {token}")),
                ("accept".to_owned(), "application/vnd.github+json".to_owned()),
            ]
        };
        let unreadable = |_| refused("what it says about the account cannot be read");
        let account: Account = serde_json::from_slice(&self.get(&format!("{api}/user"), headers()).await?)
            .map_err(unreadable)?;
        let addresses: Vec<Address> =
            serde_json::from_slice(&self.get(&format!("{api}/user/emails"), headers()).await?)
                .map_err(unreadable)?;
        let primary = addresses.into_iter().find(|address| address.primary);
        Ok(Vouched {
            issuer: provider.issuer.clone(),
            subject: account.id.to_string(),
            is_verified: primary.as_ref().is_some_and(|address| address.verified),
            email: primary.and_then(|address| address.email.parse().ok()),
            label: Some(account.login),
            name: account.name,
        })
    }

    /// Who it is that a provider vouches for.
    ///
    /// A provider of an organization is somebody whom that organization's admins chose: it signs in those who have linked their
    /// account to it, or hold an invitation, and never finds anybody by their address.
    async fn vouched(
        &self,
        cx: &Context,
        provider: &Provider,
        flow: &Flow,
        vouched: Vouched,
        client: &str,
    ) -> Result<Option<Issued>, Error> {
        let subject = format!("{}\n{}", vouched.issuer, vouched.subject);
        let subject_key = self.keys().await?.lookup("subject", &subject);
        let query = Link::select().eq(Link::ISSUER, &vouched.issuer).eq(Link::SUBJECT_KEY, &subject_key);
        let linked = self.store.find(cx, query).await?;
        let linked_by = |user: UserId| -> Result<Link, Error> {
            Ok(Link {
                id: self.ids.next()?,
                user_id: user,
                provider_id: provider.id,
                issuer: vouched.issuer.clone(),
                subject_key: subject_key.clone(),
                label: vouched.label.clone().map(Personal),
                created_at: self.clock.now(),
            })
        };
        if let Some(user) = flow.link {
            if linked.is_some() {
                return Err(Error::Duplicate("this account is linked to a user already".to_owned()));
            }
            let user = self.user(cx, user).await?;
            let commit = self.changed_factors(&user, "link", Commit::new().insert(&linked_by(user.id)?));
            self.apply(&by(cx, user.id), commit).await.map_err(linked_meanwhile)?;
            return Ok(None);
        }
        let mut commit = Commit::new();
        let user = match linked {
            Some(link) if link.provider_id == provider.id || self.adopts(cx, provider, &link).await? => {
                if link.provider_id != provider.id {
                    commit = commit.delete(&link).insert(&linked_by(link.user_id)?);
                }
                let user = self.user(cx, link.user_id).await?;
                if let Some(secret) = &flow.invitation
                    && let Ok((_, joined)) = self.accept_invitation(cx, user.id, secret).await
                {
                    commit = commit.and(joined);
                }
                commit = commit.unchanged(&user);
                user
            }
            Some(_) => return Err(refused("the account was linked by another provider")),
            None => {
                let (user, made) = self.newcomer(cx, provider, flow, &vouched).await?;
                commit = made.insert(&linked_by(user.id)?);
                user
            }
        };
        if !user.may_sign_in() {
            return Err(Error::InvalidCredentials);
        }
        if let Some(organization) = provider.organization() {
            let is_member = self.role_of(cx, organization, user.id).await?.is_some();
            let joins = commit.writes.iter().any(|write| write.meta().table == "members");
            if !is_member && !joins {
                return Err(refused("you are no member of its organization"));
            }
        }
        let cx = by(cx, user.id);
        let is_pending = self.has_second_factor(&cx, user.id).await?;
        // Whom an organization's own provider vouches for reaches that organization, and has shown us nothing.
        let bound = format!("oidc {BOUND}");
        let (methods, authenticated_at) = match provider.organization() {
            Some(_) => (bound.as_str(), Some(Micros(0))),
            None => ("oidc", None),
        };
        let beginning = Beginning {
            user: &user,
            methods,
            is_pending,
            client,
            organization: provider.organization().or(flow.organization),
            role: None,
            authenticated_at,
        };
        let (issued, begun) = self.begin(&cx, beginning).await?;
        self.apply(&cx, commit.and(begun)).await.map_err(linked_meanwhile)?;
        Ok(Some(issued))
    }

    /// Whether a link of a provider that is there no more becomes one of this provider: the issuer is the same, and only one for everybody
    /// takes over what others left.
    async fn adopts(&self, cx: &Context, provider: &Provider, link: &Link) -> Result<bool, Error> {
        let before = self.store.find(cx, Provider::select().eq(Provider::ID, &link.provider_id)).await?;
        Ok(before.is_none() && provider.organization().is_none())
    }

    /// The user of an account that was not linked yet: one with the same address, where both sides have shown that it is theirs; else
    /// a new one, where somebody may come in.
    async fn newcomer(
        &self,
        cx: &Context,
        provider: &Provider,
        flow: &Flow,
        vouched: &Vouched,
    ) -> Result<(crate::User, Commit), Error> {
        let email = vouched.email.as_ref().filter(|_| vouched.is_verified);
        let email = email.ok_or_else(|| refused("it does not say that the address is verified"))?;
        let is_everybodys = provider.organization().is_none();
        let invitation = match &flow.invitation {
            Some(secret) => Some(self.open_invitation(cx, secret).await?),
            None => None,
        };
        let key = self.email_key(email).await?;
        let is_proven = invitation.as_ref().is_some_and(|one| one.email_key.as_ref() == Some(&key));
        if let Some(user) = self.user_by_email(cx, email).await? {
            if user.email_verified_at.is_none() || !is_everybodys {
                return Err(refused("there is a user with this address; sign in, and link the account"));
            }
            let joined = match &flow.invitation {
                Some(secret) => self.accept_invitation(cx, user.id, secret).await.map(|(_, joined)| joined),
                None => Ok(Commit::new()),
            };
            let commit = joined.unwrap_or_default().unchanged(&user);
            return Ok((user, commit));
        }
        let may_come = match self.settings.registration {
            Registration::Open => is_everybodys || is_proven,
            Registration::Invite => {
                is_proven || (is_everybodys && invitation.as_ref().is_some_and(|one| one.email_key.is_none()))
            }
            Registration::Closed => false,
        };
        if !may_come {
            return Err(Error::RegistrationClosed);
        }
        let name = vouched.name.as_deref().and_then(|name| name.parse::<Name>().ok());
        let mut user = self.new_user(email, name, None).await?;
        user.email_verified_at = Some(self.clock.now());
        let told = UserRegistered { id: user.id.to_string(), organization: None };
        let mut commit = Commit::new().insert(&user).event(&told);
        if let Some(invitation) = &invitation {
            commit = commit.and(self.accepting(cx, invitation, user.id).await?);
        }
        Ok((user, commit))
    }
}

fn linked_meanwhile(error: Error) -> Error {
    match error {
        Error::Store(error) if error.is_by("users_version") => Error::InvalidCredentials,
        Error::Store(error) if error.is_by("links_subject_key") || error.is_by("users_email_key") => {
            Error::Duplicate("this account is linked to a user already".to_owned())
        }
        other => other,
    }
}

/// The keys of a set that may have made a signature: by name where it is named, for signing, and of the algorithm where they say.
fn candidates(keys: &JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Vec<Jwk> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        let of_name = kid.is_none_or(|kid| common.key_id.as_deref() == Some(kid));
        let of_use = common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature);
        let of_algorithm = common.key_algorithm.is_none_or(|own| own.to_string() == format!("{algorithm:?}"));
        of_name && of_use && of_algorithm
    };
    keys.keys.iter().filter(fits).cloned().collect()
}

fn check_claims(claims: &IdClaims, provider: &Provider, nonce: &str, now: Micros) -> Result<(), Error> {
    let now_s = now.0.div_euclid(1_000_000);
    let (is_ours, is_alone) = match &claims.aud {
        Audience::One(one) => (*one == provider.client_id, true),
        Audience::Many(many) => (many.contains(&provider.client_id), many.len() == 1),
    };
    let checks = [
        (claims.iss == provider.issuer, "its ID token is of somebody else"),
        (is_ours, "its ID token is for somebody else"),
        (is_alone || claims.azp.is_some(), "its ID token is for several, and does not say for whom"),
        (
            claims.azp.as_ref().is_none_or(|azp| *azp == provider.client_id),
            "its ID token was given to somebody else",
        ),
        (now_s < claims.exp.saturating_add(LEEWAY_S), "its ID token is over"),
        (claims.iat <= now_s.saturating_add(LEEWAY_S), "its ID token is of the future"),
        (
            claims.nonce.as_deref().is_some_and(|own| equal(own.as_bytes(), nonce.as_bytes())),
            "its ID token answers another question",
        ),
        (!claims.sub.is_empty() && claims.sub.len() <= 255, "its ID token names nobody"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(refused(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_only_sent_to_our_own_paths() {
        for own in ["/", "/account", "/a?b=c#d"] {
            assert_eq!(own_path(own), Some(own));
        }
        for other in [
            "",
            "account",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nSet-Cookie: x",
            "javascript:alert(1)",
            "/\t/evil.example",
            "\\/evil",
        ] {
            assert_eq!(own_path(other), None, "{other:?}");
        }
    }
}
