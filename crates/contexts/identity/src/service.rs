//! What identity works with, and how it is set up. Every operation is a method, in the file of what it is about.

use std::sync::{Arc, PoisonError, RwLock};

use stoa_kernel::clock::Clock;
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::entropy::Entropy;
use stoa_kernel::id::{Ids, RequestId, UserId};
use stoa_kernel::store::{Commit, Job, Priority, Store};
use stoa_runtime::blocking::Blocking;
use stoa_runtime::mail::{SEND, Wanted};
use stoa_runtime::outbound::Outbound;
use url::Url;
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::keys::{Keys, Signature};
use crate::{Email, Error, jwt};

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Whoever was invited.
    #[default]
    Invite,
    /// Nobody.
    Closed,
}

impl std::str::FromStr for Registration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "invite" => Ok(Self::Invite),
            "closed" => Ok(Self::Closed),
            _ => Err("registration is open, invite or closed".to_owned()),
        }
    }
}

/// How identity is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where browsers find us: the issuer of tokens, the origin of passkeys, what links begin with.
    pub public_url: Url,
    /// Who may register.
    pub registration: Registration,
    /// How tokens are signed.
    pub signature: Signature,
    /// How long an access token is good, in microseconds.
    pub access_us: i64,
    /// How long a session lasts without being used, in microseconds.
    pub session_us: i64,
    /// What hashing a password takes.
    pub hashing: crate::password::Hashing,
    /// The plan of a new organization.
    pub plan: crate::plan::Plan,
}

/// Identity: its commands, and what they work with.
pub struct Identity {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) blocking: Blocking,
    pub(crate) webauthn: Webauthn,
    pub(crate) settings: Settings,
    /// The public address, as tokens name it.
    pub(crate) issuer: String,
    pub(crate) discovered: crate::oidc::Discovered,
    pub(crate) seen: Arc<crate::directory::Seen>,
    keys: RwLock<Option<Arc<Keys>>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// What the composition root fills in.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Numbers things.
    pub ids: Arc<dyn Ids>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Draws secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Asks issuers.
    pub outbound: Arc<dyn Outbound>,
    /// Hashes passwords.
    pub blocking: Blocking,
    /// How it is set up.
    pub settings: Settings,
    /// What was looked up; shared with the store that forgets it.
    pub seen: Arc<crate::directory::Seen>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Identity {
    /// Identity of these parts.
    ///
    /// # Errors
    /// When the public address cannot be that of passkeys.
    pub fn new(parts: Parts) -> Result<Self, String> {
        jwt::install();
        let url = &parts.settings.public_url;
        let host = url.host_str().ok_or("the public address names no host")?;
        let webauthn = WebauthnBuilder::new(host, url)
            .and_then(|builder| builder.rp_name("Stoa").build())
            .map_err(|error| error.to_string())?;
        Ok(Self {
            store: parts.store,
            ids: parts.ids,
            clock: parts.clock,
            entropy: parts.entropy,
            outbound: parts.outbound,
            blocking: parts.blocking,
            webauthn,
            issuer: parts.settings.public_url.as_str().trim_end_matches('/').to_owned(),
            settings: parts.settings,
            discovered: crate::oidc::Discovered::default(),
            seen: parts.seen,
            keys: RwLock::new(None),
        })
    }

    pub(crate) fn known_keys(&self) -> Option<Arc<Keys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn remember_keys(&self, keys: &Arc<Keys>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(keys));
    }

    /// How it is set up.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The context of what identity does by itself.
    pub(crate) fn internal(&self) -> Context {
        Context {
            scope: Scope::System,
            actor: Actor::System,
            request: self.ids.next().unwrap_or(RequestId::NONE),
            trace: None,
            deadline: None,
        }
    }

    /// The address of a page, with a secret after the `#`, where no server and no log sees it.
    pub(crate) fn page(&self, path: &str, secret: &str) -> String {
        let base = self.settings.public_url.as_str().trim_end_matches('/');
        format!("{base}/{path}#{secret}")
    }

    /// Asks for a letter.
    pub(crate) fn letter(
        &self,
        commit: Commit,
        to: &Email,
        template: &str,
        variables: &[(&str, &str)],
    ) -> Commit {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let wanted = Wanted { template: template.to_owned(), to: to.to_string(), variables };
        let (queue, kind) = SEND;
        let payload = serde_json::to_string(&wanted).unwrap_or_default();
        commit.job(Job { priority: Priority::High, ..Job::new(queue, kind, payload) })
    }

    /// Applies a commit, and forgets what it changed.
    pub(crate) async fn apply(&self, cx: &Context, commit: Commit) -> Result<(), Error> {
        self.store.commit(cx, commit).await?;
        Ok(())
    }
}

/// The same work, done by a user.
pub(crate) fn by(cx: &Context, user: UserId) -> Context {
    Context { actor: Actor::User(user), ..cx.clone() }
}
