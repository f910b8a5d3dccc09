//! Invitations: offers to register, or to join an organization. Only a hash of the secret is kept.

use std::fmt;
use std::str::FromStr;

use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{Id, InvitationId, OrganizationId, UserId};
use stoa_kernel::store::{Commit, Page, PageRequest, Personal, Query, Record};

use crate::access::Role;
use crate::facts::{InvitationEnded, InvitationSent};
use crate::opaque::{self, Secret, equal};
use crate::organization;
use crate::register::of_organization;
use crate::service::Identity;
use crate::{Email, Error};

const PREFIX: &str = "stoa_inv";
const DAY_US: i64 = 86_400_000_000;
/// How long an invitation may be good, in days, and how often it may be used.
pub const DAYS_MAX: u32 = 90;
/// See [`DAYS_MAX`].
pub const USES_MAX: u32 = 1_000;

/// Where an invitation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can be used.
    Pending,
    /// It was used as often as it may be.
    Accepted,
    /// Whoever got it does not want it.
    Declined,
    /// Whoever sent it does not want it any more.
    Revoked,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Pending, Self::Accepted, Self::Declined, Self::Revoked]
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| "an invitation is pending, accepted, declined or revoked".to_owned())
    }
}

stoa_kernel::text_field!(State);

/// An offer.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "invitations", entity = "invitation", tenant = organization_id, version = version)]
pub struct Invitation {
    /// Its id.
    #[record(key)]
    pub id: InvitationId,
    /// The organization; 0 where it is only to register.
    pub organization_id: OrganizationId,
    /// To whom; to whoever has the secret without.
    #[record(
        encrypted,
        subject = "whoever is invited",
        about = "to send the invitation, and to hold it to that address"
    )]
    pub email: Option<Personal<Email>>,
    /// What the address is found by.
    #[record(plain, about = "a keyed hash, by which an address is compared without being readable")]
    pub email_key: Option<Vec<u8>>,
    /// What they are to be.
    pub role: Role,
    /// The hash of the secret.
    #[record(plain, about = "a hash")]
    pub hash: Vec<u8>,
    /// How often it can still be used.
    pub uses_left: u32,
    /// Where it is.
    pub state: State,
    /// Who sent it, as the audit trail names actors.
    #[record(plain, about = "an id, no name")]
    pub invited_by: String,
    /// Until when it is good.
    pub expires_at: Micros,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
}

/// What an invitation is to be.
#[derive(Debug, Clone)]
pub struct Offer {
    /// To whom.
    pub email: Option<Email>,
    /// What they are to be.
    pub role: Role,
    /// How many days it is good: 1 to 90.
    pub days: u32,
    /// How often it can be used: 1 to 1000; once where it names an address.
    pub uses: u32,
}

impl Invitation {
    /// The organization that it offers to join.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        (self.organization_id != Id::NONE).then_some(self.organization_id)
    }

    /// Whether it can be used.
    #[must_use]
    pub fn is_open(&self, now: Micros) -> bool {
        self.state == State::Pending && self.uses_left > 0 && now < self.expires_at
    }

    fn told(&self, state: State) -> InvitationEnded {
        InvitationEnded {
            id: self.id.to_string(),
            state: state.to_string(),
            organization: self.organization(),
        }
    }
}

impl Identity {
    /// Makes an invitation: to the organization of the context, or to register in that of the installation. Nobody offers a role that
    /// is stronger than their own. The secret is shown once, and sent where there is an address.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Invalid`].
    pub async fn invite(
        &self,
        cx: &Context,
        own: Role,
        offer: &Offer,
    ) -> Result<(Invitation, Secret, Commit), Error> {
        if offer.role > own {
            return Err(Error::Forbidden(format!("a role above {own} is not yours to offer")));
        }
        let (id, now) = (self.ids.next()?, self.clock.now());
        let (secret, hash) = opaque::mint(self.entropy.as_ref(), PREFIX, id)?;
        let email_key = match &offer.email {
            Some(email) => Some(self.email_key(email).await?),
            None => None,
        };
        let invitation = Invitation {
            id,
            organization_id: cx.scope.organization().unwrap_or(Id::NONE),
            email: offer.email.clone().map(Personal),
            email_key,
            role: offer.role,
            hash: hash.to_vec(),
            uses_left: if offer.email.is_some() { 1 } else { offer.uses },
            state: State::Pending,
            invited_by: cx.actor.label(),
            expires_at: now.plus(i64::from(offer.days) * DAY_US),
            version: 1,
            created_at: now,
        };
        let told = InvitationSent {
            id: id.to_string(),
            role: offer.role.to_string(),
            organization: invitation.organization(),
        };
        let commit =
            self.sent(cx, Commit::new().insert(&invitation).event(&told), &invitation, &secret).await?;
        Ok((invitation, secret, commit))
    }

    async fn sent(
        &self,
        cx: &Context,
        commit: Commit,
        invitation: &Invitation,
        secret: &Secret,
    ) -> Result<Commit, Error> {
        let Some(email) = &invitation.email else { return Ok(commit) };
        let name = match invitation.organization() {
            Some(id) => organization::by_id(self.store.as_ref(), cx, id).await.map_err(of_organization)?.name,
            None => "Stoa".to_owned(),
        };
        let link = self.page("invitation", secret.reveal());
        Ok(self.letter(
            commit,
            email,
            "invitation",
            &[("link", &link), ("organization", &name), ("role", invitation.role.name())],
        ))
    }

    /// Gives an invitation a new secret and the same time again, and sends it where there is an address.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`].
    pub async fn resend(
        &self,
        cx: &Context,
        own: Role,
        id: InvitationId,
    ) -> Result<(Invitation, Secret, Commit), Error> {
        let found = self.invitation(cx, id).await?;
        if found.role > own {
            return Err(Error::Forbidden(format!("a role above {own} is not yours to offer")));
        }
        if found.state != State::Pending {
            return Err(Error::WrongState(format!("the invitation is {}", found.state)));
        }
        let (secret, hash) = opaque::mint(self.entropy.as_ref(), PREFIX, id)?;
        let lasts = found.expires_at.since(found.created_at);
        let now = self.clock.now();
        let next = Invitation {
            hash: hash.to_vec(),
            expires_at: now.plus(lasts),
            version: found.version + 1,
            ..found.clone()
        };
        let commit = Commit::new().update(&found, &next).action("invitation.resent");
        let commit = self.sent(cx, commit, &next, &secret).await?;
        Ok((next, secret, commit))
    }

    /// The invitation with an id, of the organization of the context.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn invitation(&self, cx: &Context, id: InvitationId) -> Result<Invitation, Error> {
        let found = self.store.find(cx, Self::invitation_query(cx).eq(Invitation::ID, &id)).await?;
        found.ok_or(Error::NotFound("invitation"))
    }

    /// The invitations of the organization of the context; of the installation, those to register.
    #[must_use]
    pub fn invitation_query(cx: &Context) -> Query<Invitation> {
        let organization = cx.scope.organization().unwrap_or(Id::NONE);
        Invitation::select().eq(Invitation::ORGANIZATION_ID, &organization).ascending(Invitation::ID)
    }

    /// One page of [`Identity::invitation_query`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn invitations(&self, cx: &Context, request: PageRequest) -> Result<Page<Invitation>, Error> {
        Ok(self.store.page(cx, Self::invitation_query(cx), request).await?)
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`].
    pub async fn revoke_invitation(
        &self,
        cx: &Context,
        id: InvitationId,
    ) -> Result<(Invitation, Commit), Error> {
        let found = self.invitation(cx, id).await?;
        if found.state != State::Pending {
            return Err(Error::WrongState(format!("the invitation is {} already", found.state)));
        }
        Ok(ended(&found, State::Revoked))
    }

    /// The end of what invites an address to the organization of the context.
    pub(crate) async fn revoked_invitations(&self, cx: &Context, email_key: &[u8]) -> Result<Commit, Error> {
        let query = Self::invitation_query(cx).eq(Invitation::EMAIL_KEY, &Some(email_key.to_vec()));
        let found = self.store.list(cx, query).await?;
        let pending = found.iter().filter(|one| one.state == State::Pending);
        Ok(pending.fold(Commit::new(), |commit, one| commit.and(ended(one, State::Revoked).1)))
    }

    /// The open invitation of a secret.
    pub(crate) async fn open_invitation(&self, cx: &Context, secret: &str) -> Result<Invitation, Error> {
        let (id, hash) = opaque::read(PREFIX, secret).ok_or(Error::LinkInvalid)?;
        let found =
            self.store.find(&cx.within(Scope::System), Invitation::select().eq(Invitation::ID, &id)).await?;
        let now = self.clock.now();
        found.filter(|one| equal(&one.hash, &hash) && one.is_open(now)).ok_or(Error::LinkInvalid)
    }

    /// What an invitation offers, for whoever has its secret: the name of the organization, and the role.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn look_at_invitation(
        &self,
        cx: &Context,
        secret: &str,
    ) -> Result<(Invitation, Option<String>), Error> {
        let found = self.open_invitation(cx, secret).await?;
        let name = match found.organization() {
            None => None,
            Some(id) => {
                let organization =
                    organization::by_id(self.store.as_ref(), &cx.within(Scope::System), id).await;
                Some(organization.map_err(of_organization)?.name)
            }
        };
        Ok((found, name))
    }

    /// Uses an invitation once: the commit that counts it. Whoever sent it must still be able to, and the organization be in use.
    pub(crate) async fn counting(&self, cx: &Context, found: &Invitation) -> Result<Commit, Error> {
        if let Some(organization) = found.organization() {
            let cx = cx.within(Scope::System);
            let now =
                organization::by_id(self.store.as_ref(), &cx, organization).await.map_err(of_organization)?;
            let sender = found.invited_by.strip_prefix("user:").and_then(|id| id.parse::<UserId>().ok());
            let may_still = match sender {
                Some(sender) => {
                    let role = self.role_of(&cx, organization, sender).await?;
                    let is_owner = async || Ok::<_, Error>(self.user(&cx, sender).await?.is_owner);
                    role.is_some_and(|role| role >= found.role) || (role.is_none() && is_owner().await?)
                }
                None => true,
            };
            if now.state != organization::State::Active || !may_still {
                return Err(Error::LinkInvalid);
            }
        }
        let uses_left = found.uses_left - 1;
        let state = if uses_left == 0 { State::Accepted } else { State::Pending };
        let next = Invitation { uses_left, state, version: found.version + 1, ..found.clone() };
        Ok(Commit::new().update(found, &next).event(&found.told(State::Accepted)))
    }

    /// The same, and the user is a member.
    pub(crate) async fn accepting(
        &self,
        cx: &Context,
        found: &Invitation,
        user: UserId,
    ) -> Result<Commit, Error> {
        let commit = self.counting(cx, found).await?;
        Ok(match found.organization() {
            Some(organization) => {
                commit.and(self.joining_within_plan(cx, organization, user, found.role).await?)
            }
            None => commit,
        })
    }

    /// Accepts an invitation as a user who is signed in. One that names an address is for the user with that address alone.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::Duplicate`], [`Error::QuotaExceeded`].
    pub async fn accept_invitation(
        &self,
        cx: &Context,
        user: UserId,
        secret: &str,
    ) -> Result<(Invitation, Commit), Error> {
        let found = self.open_invitation(cx, secret).await?;
        let user = self.user(cx, user).await?;
        if found.email_key.as_ref().is_some_and(|key| *key != user.email_key) {
            return Err(Error::Forbidden("the invitation is for another address".to_owned()));
        }
        let organization = found
            .organization()
            .ok_or_else(|| Error::WrongState("you have registered already".to_owned()))?;
        if self.role_of(cx, organization, user.id).await?.is_some() {
            return Err(Error::Duplicate("you are a member already".to_owned()));
        }
        let commit = self.accepting(cx, &found, user.id).await?;
        Ok((found, commit))
    }

    /// Says that one does not want it. Having the secret is enough.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn decline_invitation(&self, cx: &Context, secret: &str) -> Result<Commit, Error> {
        let found = self.open_invitation(cx, secret).await?;
        if found.uses_left > 1 {
            return Err(Error::WrongState(
                "the invitation is for several people; whoever does not want it does nothing".to_owned(),
            ));
        }
        Ok(ended(&found, State::Declined).1)
    }
}

fn ended(found: &Invitation, state: State) -> (Invitation, Commit) {
    let next = Invitation { state, uses_left: 0, version: found.version + 1, ..found.clone() };
    let action = if state == State::Revoked { "invitation.revoked" } else { "invitation.declined" };
    (next.clone(), Commit::new().update(found, &next).event(&found.told(state)).action(action))
}
