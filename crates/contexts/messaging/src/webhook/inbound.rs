//! Webhooks of others: verified, stored, answered; then a job tells the log of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stoa_jobs::{Done, Failed, Handler, Kind, Work};
use stoa_kernel::clock::{Clock, Micros};
use stoa_kernel::context::{Actor, Context, Scope};
use stoa_kernel::entropy::Entropy;
use stoa_kernel::id::{HookId, HookSourceId, Ids, OrganizationId};
use stoa_kernel::store::{BoxFuture, Commit, Json, Record, Store, StoreError, StoreErrorKind};

use super::sign::{Secret, WINDOW_S, is_hmac, is_signed};
use super::told::HookReceived;
use crate::Error;

/// The most sources of an organization.
pub const SOURCES_MAX: i64 = 100;
/// How long a webhook of others is kept, in microseconds: 30 days. For as long it is taken once.
const KEPT_US: i64 = 30 * 86_400_000_000;
/// The most bytes of a webhook, as JSON.
const BODY_BYTES_MAX: usize = 256 * 1024;
const NAME_CHARS_MAX: usize = 100;
const SECRET_CHARS_MAX: usize = 500;

/// The kind of the job that tells the log of a webhook.
pub static PROCESS: Kind =
    Kind { keep_us: 0, ..Kind::new("hook.process", "hooks", "Tells the log of a webhook of somebody else.") };

/// How a source signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// By the Standard Webhooks specification.
    Standard,
    /// As GitHub does: `X-Hub-Signature-256`, `X-GitHub-Delivery`.
    Github,
    /// As Stripe does: `Stripe-Signature: t=…,v1=…`.
    Stripe,
}

impl SourceKind {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Standard, "standard"), (Self::Github, "github"), (Self::Stripe, "stripe")];
}

impl std::fmt::Display for SourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::ALL.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name))
    }
}

impl std::str::FromStr for SourceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
        found.ok_or_else(|| "a source signs as standard, github or stripe".to_owned())
    }
}

stoa_kernel::text_field!(SourceKind);

/// From where an organization takes webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "hook_sources", entity = "hook_source", tenant = organization_id, version = version)]
pub struct HookSource {
    /// Its id, which is in its address.
    #[record(key)]
    pub id: HookSourceId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What people call it.
    #[record(plain, about = "the name of a program")]
    pub name: String,
    /// How it signs.
    pub kind: SourceKind,
    /// What it signs with.
    #[record(encrypted, plain, about = "verifies webhooks")]
    pub secret: String,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// A webhook of somebody else.
#[derive(Debug, Clone, PartialEq, Record)]
#[record(table = "hooks", entity = "hook", tenant = organization_id, unaudited, expires = expires_at, retention = short,
         unique(hooks_external_key = (organization_id, source_id, external_id)))]
pub struct Hook {
    /// Its id.
    #[record(key)]
    pub id: HookId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// From where.
    pub source_id: HookSourceId,
    /// What the sender calls it: what it is taken once by.
    #[record(plain, about = "an id")]
    pub external_id: String,
    /// What it says.
    #[record(encrypted, plain, about = "what somebody else tells the organization")]
    pub body: Json<Value>,
    /// When it came.
    pub created_at: Micros,
    /// When it is removed.
    pub expires_at: Micros,
}

/// A source that is to be made.
#[derive(Debug, Clone)]
pub struct SourceDraft {
    /// What people call it.
    pub name: String,
    /// How it signs.
    pub kind: SourceKind,
    /// What it signs with; one is drawn where there is none.
    pub secret: Option<String>,
}

/// A webhook as it came.
#[derive(Debug, Clone, Copy)]
pub struct Received<'r> {
    /// Its headers, their names in lower case.
    pub headers: &'r [(String, String)],
    /// The body.
    pub body: &'r [u8],
}

/// Takes webhooks of others.
pub struct Inbound {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Numbers them.
    pub ids: Arc<dyn Ids>,
    /// Draws secrets.
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbound")
    }
}

/// The id and the time that a webhook names, where its signature is good.
fn verified(source: &HookSource, received: Received<'_>) -> Option<(String, Option<i64>)> {
    let header =
        |name: &str| received.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    match source.kind {
        SourceKind::Standard => {
            let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
            let (time, given): (i64, _) = (time.parse().ok()?, header("webhook-signature")?);
            let secret: Secret = source.secret.parse().ok()?;
            is_signed(&secret, &given, &id, time, received.body).then_some((id, Some(time)))
        }
        SourceKind::Github => {
            let (id, given) = (header("x-github-delivery")?, header("x-hub-signature-256")?);
            let given = given.strip_prefix("sha256=")?;
            // Neither an id nor a time is signed: it is known again by what it says.
            let print = blake3::hash(received.body).to_hex();
            is_hmac(source.secret.as_bytes(), received.body, given)
                .then(|| (format!("{print}"), None))
                .filter(|_| !id.is_empty())
        }
        SourceKind::Stripe => {
            let given = header("stripe-signature")?;
            let parts: Vec<(&str, &str)> =
                given.split(',').filter_map(|part| part.trim().split_once('=')).collect();
            let time: i64 = parts.iter().find(|(name, _)| *name == "t")?.1.parse().ok()?;
            let mut signed = format!("{time}.").into_bytes();
            signed.extend_from_slice(received.body);
            let mut signatures = parts.iter().filter(|(name, _)| *name == "v1");
            let is_good = signatures.any(|(_, hex)| is_hmac(source.secret.as_bytes(), &signed, hex));
            let id = serde_json::from_slice::<Value>(received.body).ok()?.get("id")?.as_str()?.to_owned();
            is_good.then_some((id, Some(time)))
        }
    }
}

impl Inbound {
    /// Decides that a source is made; its secret is shown once. Refused by `hook_sources_quota`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn create(&self, cx: &Context, draft: SourceDraft) -> Result<(HookSource, Commit), Error> {
        let organization_id = cx.scope.organization();
        let organization_id = organization_id
            .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "a source belongs to an organization"))?;
        let mut wrong = Vec::new();
        if !(1..=NAME_CHARS_MAX).contains(&draft.name.chars().count())
            || draft.name.chars().any(char::is_control)
        {
            wrong.push((
                "/name",
                format!("has 1 to {NAME_CHARS_MAX} characters, none of them control characters"),
            ));
        }
        let secret = match draft.secret {
            None => Secret::mint(self.entropy.as_ref())?.reveal().to_owned(),
            Some(secret) => {
                if draft.kind == SourceKind::Standard {
                    if let Err(message) = secret.parse::<Secret>() {
                        wrong.push(("/secret", message));
                    }
                } else if !(8..=SECRET_CHARS_MAX).contains(&secret.len()) || secret.contains('\0') {
                    wrong.push(("/secret", format!("has 8 to {SECRET_CHARS_MAX} characters, none NUL")));
                }
                secret
            }
        };
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        let now = self.clock.now();
        let source = HookSource {
            id: self.ids.next()?,
            organization_id,
            name: draft.name,
            kind: draft.kind,
            secret,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let own = HookSource::select().eq(HookSource::ORGANIZATION_ID, &organization_id);
        let commit = Commit::new().insert(&source).count("hook_sources_quota", own, 0, SOURCES_MAX);
        Ok((source, commit))
    }

    /// A source.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn find(&self, cx: &Context, id: HookSourceId) -> Result<HookSource, Error> {
        let found = self.store.find(cx, HookSource::select().eq(HookSource::ID, &id)).await?;
        found.ok_or(Error::NotFound("source of webhooks"))
    }

    /// A webhook that was taken.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn hook(&self, cx: &Context, id: HookId) -> Result<Hook, Error> {
        let found = self.store.find(cx, Hook::select().eq(Hook::ID, &id)).await?;
        found.ok_or(Error::NotFound("webhook of somebody else"))
    }

    /// Takes a webhook: stored before it is answered, once for the id that its sender gave it. Whether it is new.
    ///
    /// # Errors
    /// [`Error::Unverified`] when there is no such source, the signature is wrong, or the time is too far off: it never says which.
    pub async fn take(&self, cx: &Context, id: HookSourceId, received: Received<'_>) -> Result<bool, Error> {
        let source = self.store.find(cx, HookSource::select().eq(HookSource::ID, &id)).await?;
        let now = self.clock.now();
        let source = source.ok_or(Error::Unverified)?;
        let (external_id, time) = verified(&source, received).ok_or(Error::Unverified)?;
        let is_late = time.is_some_and(|time| (now.0.div_euclid(1_000_000) - time).abs() > WINDOW_S);
        if is_late
            || external_id.is_empty()
            || external_id.len() > 200
            || external_id.chars().any(char::is_control)
        {
            return Err(Error::Unverified);
        }
        let body = serde_json::from_slice(received.body).unwrap_or_else(|_| {
            Value::String(String::from_utf8_lossy(received.body).replace('\0', "\u{fffd}"))
        });
        if body.to_string().len() > BODY_BYTES_MAX {
            return Err(Error::Invalid(vec![("", format!("has at most {BODY_BYTES_MAX} bytes as JSON"))]));
        }
        let hook = Hook {
            id: self.ids.next()?,
            organization_id: source.organization_id,
            source_id: source.id,
            external_id,
            body: Json(body),
            created_at: now,
            expires_at: now.plus(KEPT_US),
        };
        let own = Context {
            scope: Scope::Organization(source.organization_id),
            actor: Actor::System,
            ..cx.clone()
        };
        let commit = Commit::new().insert(&hook).job(PROCESS.job(&Target { hook: hook.id }));
        match self.store.commit(&own, commit).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_by("hooks_external_key") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Target {
    hook: HookId,
}

/// Tells the log of webhooks of others.
pub struct Process {
    /// Where they are.
    pub store: Arc<dyn Store>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

impl Handler for Process {
    fn kind(&self) -> &'static Kind {
        &PROCESS
    }

    fn run<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<Done, Failed>> {
        Box::pin(async move {
            let target: Target = work.payload()?;
            let found = self.store.find(&work.cx, Hook::select().eq(Hook::ID, &target.hook)).await?;
            let told = found.iter().fold(Commit::new(), |commit, hook| commit.event(&HookReceived::of(hook)));
            Ok(Done::from(told))
        })
    }
}
