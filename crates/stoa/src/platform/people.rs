//! Identity, as it is set up: who may come in, what signs tokens, who sends letters; and the work that it leaves to be done.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stoa_http::proxy::Proxies;
use stoa_identity::access::Role;
use stoa_identity::directory::{Seen, Watching};
use stoa_identity::password::Hashing;
use stoa_identity::{Identity, Parts, Settings};
use stoa_kernel::context::Scope;
use stoa_kernel::id::{Ids, OrganizationId, UserId};
use stoa_kernel::store::{BoxFuture, EventFilter, EventLog, StoreError};
use stoa_mail::{Outbox, Smtp};
use stoa_messaging::notification::{Keeping, People};
use stoa_outbound::{Guarded, IpNet};
use stoa_outbox::Feed;
use stoa_runtime::blocking::Blocking;
use stoa_runtime::cache::Commons;
use stoa_runtime::entropy::SystemEntropy;
use stoa_runtime::ids::NodeIds;
use stoa_runtime::lifecycle::Lifecycle;
use stoa_runtime::mail::Mailer;
use stoa_runtime::outbound::Outbound;
use url::Url;

use super::compose::Stores;
use super::config::Config;
use super::secrets::keep;
use crate::failure::Failure;

/// The most sign-ins that wait to be hashed; more are refused at once.
const WAITING_MAX: usize = 256;
/// How many events are heard at once, and how long after a failure it is listened again.
const STEP: u32 = 200;
const AGAIN: Duration = Duration::from_secs(1);
const SETUP_LINK: &str = "setup.link";

fn invalid(key: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new("config_invalid", format!("{key}: {error}"))
        .way_out("`stoa config reference` lists every key with its default")
}

/// Where browsers find us: what is configured, else this machine alone.
fn public_url(config: &Config, listening: Option<SocketAddr>) -> Result<Url, Failure> {
    let text = match config.server.public_url.as_str() {
        "" => format!("http://localhost:{}", listening.map_or(8080, |address| address.port())),
        url => url.to_owned(),
    };
    let url: Url = text.parse().map_err(|error| invalid("server.public_url", error))?;
    let is_origin =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "https" | "http") || !is_origin {
        return Err(invalid(
            "server.public_url",
            format!("\"{text}\" is no origin, such as https://stoa.example.org"),
        ));
    }
    Ok(url)
}

/// How identity is set up.
pub(super) fn settings(config: &Config, listening: Option<SocketAddr>) -> Result<Settings, Failure> {
    let own = &config.identity;
    let within = |key: &str, number: i64, range: std::ops::RangeInclusive<i64>| {
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(invalid(key, format!("{number} is not a number from {} to {}", range.start(), range.end())))
        }
    };
    within("identity.password_memory_kib", own.password_memory_kib.into(), 8_192..=4_194_304)?;
    within("identity.password_passes", own.password_passes.into(), 1..=100)?;
    within("identity.password_lanes", own.password_lanes.into(), 1..=16)?;
    within("identity.signing_key_days", own.signing_key_days, 1..=3_650)?;
    within("limits.attempts_per_minute", config.limits.attempts_per_minute.into(), 1..=1_000_000)?;
    Ok(Settings {
        public_url: public_url(config, listening)?,
        registration: own.registration.parse().map_err(|error| invalid("identity.registration", error))?,
        signature: own.token_algorithm.parse().map_err(|error| invalid("identity.token_algorithm", error))?,
        access_us: within("identity.access_token_s", own.access_token_s, 60..=3_600)? * 1_000_000,
        session_us: within("identity.session_days", own.session_days, 1..=365)? * 86_400_000_000,
        hashing: Hashing {
            memory_kib: own.password_memory_kib,
            passes: own.password_passes,
            lanes: own.password_lanes,
        },
        plan: own.default_plan.parse().map_err(|error| invalid("identity.default_plan", error))?,
    })
}

/// The networks that a key of the configuration lists.
fn networks(key: &str, listed: &[String]) -> Result<Vec<IpNet>, Failure> {
    let network = |text: &String| {
        text.parse().map_err(|_| invalid(key, format!("\"{text}\" is no network such as 10.1.0.0/16")))
    };
    listed.iter().map(network).collect()
}

fn allowed(config: &Config) -> Result<Vec<IpNet>, Failure> {
    networks("outbound.allowed_networks", &config.outbound.allowed_networks)
}

/// All requests that are made to others.
pub(super) fn outbound(config: &Config) -> Result<Arc<dyn Outbound>, Failure> {
    Ok(Arc::new(Guarded::new(allowed(config)?)))
}

/// The proxies that are believed.
pub(super) fn proxies(config: &Config) -> Result<Proxies, Failure> {
    networks("server.trusted_proxies", &config.server.trusted_proxies).map(|networks| Proxies::new(&networks))
}

/// Who sends letters: a server, or nobody, and they are files.
pub(super) fn mailer(config: &Config) -> Result<Arc<dyn Mailer>, Failure> {
    let mail = &config.mail;
    if mail.smtp_url.is_empty() {
        let folder = config.data.folder.join(&mail.folder);
        return Ok(Arc::new(Outbox::new(folder, &mail.from).map_err(|error| invalid("mail.from", error))?));
    }
    Ok(Arc::new(Smtp::new(&mail.smtp_url, &mail.from).map_err(|_| no_mail())?))
}

/// What is said without quoting the address, and with it the password.
fn no_mail() -> Failure {
    invalid("mail.smtp_url", "the address or mail.from cannot be read; write smtps://user:password@host")
}

/// What the configuration says of people, without anything being opened.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    settings(config, None)?;
    allowed(config)?;
    proxies(config)?;
    match config.mail.smtp_url.as_str() {
        "" => mailer(config).map(drop),
        url => Smtp::check(url, &config.mail.from).map_err(|_| no_mail()),
    }
}

/// Identity, on a store that forgets what it changes.
pub(super) fn identity(
    config: &Config,
    settings: Settings,
    stores: &mut Stores,
    ids: &Arc<NodeIds>,
    commons: Commons,
) -> Result<Arc<Identity>, Failure> {
    let seen = Arc::new(Seen::with(commons));
    stores.store = Arc::new(Watching::new(Arc::clone(&stores.store), &seen));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match config.identity.password_threads {
        0 => (processors / 2).max(1),
        threads => threads,
    };
    let parts = Parts {
        store: Arc::clone(&stores.store),
        ids: Arc::clone(ids) as Arc<dyn Ids>,
        clock: Arc::clone(&stores.clock),
        entropy: Arc::new(SystemEntropy),
        outbound: outbound(config)?,
        blocking: Blocking::new(threads, WAITING_MAX),
        settings,
        seen,
    };
    Identity::new(parts).map(Arc::new).map_err(|error| invalid("server.public_url", error))
}

/// Forgets what other processes change, as the event log tells it.
pub(super) async fn listen(
    identity: &Arc<Identity>,
    log: &Arc<dyn EventLog>,
    feed: &Feed,
    lifecycle: &mut Lifecycle,
) -> Result<(), Failure> {
    let mut kinds: Vec<String> =
        stoa_identity::event_types().iter().map(|kind| kind.name.to_owned()).collect();
    kinds.push(stoa_kernel::store::event::RESTORED.name.to_owned());
    let filter = EventFilter { kinds, ..EventFilter::default() };
    // From before anything is looked up, so that nothing is missed.
    let position = log.head().await.map_err(|error| Failure::of(&error, ""))?;
    let mut follower = feed.follow(Arc::clone(log), Scope::System, position, filter);
    let seen = Arc::clone(identity.seen());
    let listening = tokio::spawn(async move {
        loop {
            match follower.next(STEP).await {
                Ok(events) => seen.heard(&events).await,
                Err(error) => {
                    tracing::warn!(%error, "what other processes change is not heard at the moment");
                    // It goes on where it was, and others forget what they hear of: this process alone knows nothing for now.
                    seen.clear_here();
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    });
    lifecycle.started("directory", move || async move { listening.abort() });
    Ok(())
}

/// Who people are, for those who tell them something.
pub(super) struct Directory(pub(super) Arc<Identity>);

impl People for Directory {
    fn address(&self, user: UserId) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async move { self.0.address(user).await })
    }

    fn keepers(
        &self,
        organization: OrganizationId,
        of: Keeping,
    ) -> BoxFuture<'_, Result<Vec<UserId>, StoreError>> {
        let least = match of {
            Keeping::Programs => Role::Developer,
            Keeping::People => Role::Admin,
        };
        Box::pin(async move { self.0.members_from(organization, least).await })
    }

    fn organization(&self, id: OrganizationId) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async move { self.0.organization_name(id).await })
    }
}

/// The link by which the first user becomes the owner, where there is none; it also lies in the data folder, for its user alone.
pub(super) async fn setup(
    config: &Config,
    identity: &Identity,
) -> Result<Option<(String, PathBuf)>, Failure> {
    let file = config.data.folder.join(SETUP_LINK);
    let link = identity.setup_link().await.map_err(|error| Failure::of(&error, ""))?;
    remove(&file);
    let Some(link) = link else { return Ok(None) };
    keep(&file, &link)?;
    Ok(Some((link, file)))
}

fn remove(file: &Path) {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an old setup link could not be removed");
    }
}

/// Everything that must be there when the first request comes.
pub(super) async fn warm(identity: &Identity) -> Result<(), Failure> {
    identity.jwks().await.map(drop).map_err(|error| Failure::of(&error, ""))
}
