//! Who vouches for accounts: issuers of OpenID Connect, and GitHub; for the whole installation or for one organization.

use std::fmt;
use std::str::FromStr;

use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{Id, LinkId, OrganizationId, ProviderId, UserId};
use stoa_kernel::store::{Commit, Personal, Query, Record};

use crate::Error;
use crate::facts::ProviderChanged;
use crate::organization::Slug;
use crate::service::Identity;
use crate::user::User;

/// How a provider is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any issuer of OpenID Connect, found by discovery: Keycloak, Entra, Okta…
    Oidc,
    /// Google.
    Google,
    /// Microsoft; the issuer names the tenant.
    Microsoft,
    /// Apple.
    Apple,
    /// GitHub, which speaks OAuth 2.0 alone.
    GitHub,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Oidc, Self::Google, Self::Microsoft, Self::Apple, Self::GitHub];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Apple => "apple",
            Self::GitHub => "github",
        }
    }

    /// The issuer, where it is always the same.
    #[must_use]
    pub const fn issuer(self) -> Option<&'static str> {
        match self {
            Self::Oidc | Self::Microsoft => None,
            Self::Google => Some("https://accounts.google.com"),
            Self::Apple => Some("https://appleid.apple.com"),
            Self::GitHub => Some("https://github.com"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| "a provider is oidc, google, microsoft, apple or github".to_owned())
    }
}

stoa_kernel::text_field!(Kind);

/// Who vouches for accounts.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "identity_providers", entity = "identity_provider", tenant = organization_id, version = version,
         unique(identity_providers_slug_key = (organization_id, slug)))]
pub struct Provider {
    /// Its id.
    #[record(key)]
    pub id: ProviderId,
    /// For whom; 0 for everybody.
    pub organization_id: OrganizationId,
    /// Its name in addresses.
    pub slug: Slug,
    /// How it is spoken to.
    pub kind: Kind,
    /// Its name for people.
    #[record(plain, about = "the name of a company or a server")]
    pub name: String,
    /// Who it is: byte for byte what its tokens say.
    #[record(plain, about = "the address of a server")]
    pub issuer: String,
    /// What we are there.
    #[record(plain, about = "what the provider calls us")]
    pub client_id: String,
    /// What we show there.
    #[record(encrypted, plain, about = "by which we show the provider who we are")]
    pub client_secret: String,
    /// Whether it can be used.
    pub is_enabled: bool,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// An account elsewhere that a user signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "links", entity = "link", system, unique(links_subject_key = (issuer, subject_key)))]
pub struct Link {
    /// Its id.
    #[record(key)]
    pub id: LinkId,
    /// Whose it is.
    pub user_id: UserId,
    /// Who vouches for it.
    pub provider_id: ProviderId,
    /// The issuer.
    #[record(plain, about = "the address of a server")]
    pub issuer: String,
    /// What the subject is found by.
    #[record(plain, about = "a keyed hash of what the issuer calls the user")]
    pub subject_key: Vec<u8>,
    /// What the provider says that they are called, so that people know their accounts.
    #[record(encrypted, subject = "the user", about = "so that people know their accounts")]
    pub label: Option<Personal<String>>,
    /// When it was linked.
    pub created_at: Micros,
}

/// What a provider is to be; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Its name for people.
    pub name: Option<String>,
    /// What we are there.
    pub client_id: Option<String>,
    /// What we show there.
    pub client_secret: Option<String>,
    /// Whether it can be used.
    pub is_enabled: Option<bool>,
}

/// A provider that is to be made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name in addresses.
    pub slug: Slug,
    /// How it is spoken to.
    pub kind: Kind,
    /// Its name for people.
    pub name: String,
    /// Who it is, where the kind does not say.
    pub issuer: Option<String>,
    /// What we are there.
    pub client_id: String,
    /// What we show there.
    pub client_secret: String,
}

impl Provider {
    /// The organization that it is for; none where it is for everybody.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        (self.organization_id != Id::NONE).then_some(self.organization_id)
    }

    fn told(&self) -> ProviderChanged {
        ProviderChanged {
            id: self.id.to_string(),
            slug: self.slug.to_string(),
            organization: self.organization(),
        }
    }
}

impl Identity {
    /// The providers of the organization of the context; of the installation, those for everybody.
    #[must_use]
    pub fn provider_query(cx: &Context) -> Query<Provider> {
        let organization = cx.scope.organization().unwrap_or(Id::NONE);
        Provider::select().eq(Provider::ORGANIZATION_ID, &organization).ascending(Provider::ID)
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn providers(&self, cx: &Context) -> Result<Vec<Provider>, Error> {
        Ok(self.store.list(cx, Self::provider_query(cx)).await?)
    }

    /// The one with an id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn provider(&self, cx: &Context, id: ProviderId) -> Result<Provider, Error> {
        let found = self.store.find(cx, Self::provider_query(cx).eq(Provider::ID, &id)).await?;
        found.ok_or(Error::NotFound("provider"))
    }

    /// Makes one. Its address is one that may be asked at all.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn create_provider(&self, cx: &Context, draft: Draft) -> Result<(Provider, Commit), Error> {
        let issuer = match (draft.kind.issuer(), draft.issuer) {
            (_, Some(issuer)) => issuer,
            (Some(issuer), None) => issuer.to_owned(),
            (None, None) => return Err(Error::field("/issuer", "is required for this kind of provider")),
        };
        self.outbound.check(&issuer).map_err(|error| Error::field("/issuer", error.to_string()))?;
        let now = self.clock.now();
        let provider = Provider {
            id: self.ids.next()?,
            organization_id: cx.scope.organization().unwrap_or(Id::NONE),
            slug: draft.slug,
            kind: draft.kind,
            name: draft.name,
            issuer,
            client_id: draft.client_id,
            client_secret: draft.client_secret,
            is_enabled: true,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let commit = Commit::new().insert(&provider).event(&provider.told());
        Ok((provider, commit))
    }

    /// Changes one. Who it is stays: another issuer is another provider.
    pub fn change_provider(&self, found: &Provider, change: Change) -> (Provider, Commit) {
        let next = Provider {
            name: change.name.unwrap_or_else(|| found.name.clone()),
            client_id: change.client_id.unwrap_or_else(|| found.client_id.clone()),
            client_secret: change.client_secret.unwrap_or_else(|| found.client_secret.clone()),
            is_enabled: change.is_enabled.unwrap_or(found.is_enabled),
            version: found.version + 1,
            updated_at: self.clock.now(),
            ..found.clone()
        };
        let commit = Commit::new().update(found, &next).event(&next.told());
        (next, commit)
    }

    /// Removes one. Accounts that were linked by it are not signed in with any more.
    pub fn remove_provider(&self, found: &Provider) -> Commit {
        Commit::new().delete(found).event(&found.told())
    }

    /// The accounts elsewhere of a user.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn links(&self, cx: &Context, user: UserId) -> Result<Vec<Link>, Error> {
        let query = Link::select().eq(Link::USER_ID, &user).ascending(Link::ID);
        Ok(self.store.list(&cx.within(Scope::System), query).await?)
    }

    /// Unlinks one, unless it is the last way to sign in.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastSignInMethod`].
    pub async fn unlink(&self, cx: &Context, user: &User, id: LinkId) -> Result<Commit, Error> {
        let all = self.links(cx, user.id).await?;
        let found = all.iter().find(|link| link.id == id).ok_or(Error::NotFound("link"))?;
        let system = cx.within(Scope::System);
        let query = Provider::select().eq(Provider::ID, &found.provider_id).eq(Provider::IS_ENABLED, &true);
        // One that nobody can sign in with any more is no way to sign in.
        if self.store.find(&system, query).await?.is_some() {
            self.leaves_a_way(cx, user, 0, 1).await?;
        }
        let commit = Commit::new().delete(found).update(user, &user.next(self.clock.now()));
        Ok(self.changed_factors(user, "link", commit))
    }
}
