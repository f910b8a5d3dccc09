//! How people come in: the owner by the setup link, others by invitation or by themselves; and how they show that an address is theirs.

use serde::{Deserialize, Serialize};
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{OrganizationId, UserId};
use stoa_kernel::store::{Commit, Personal, Record as _};

use crate::access::Role;
use crate::facts::{UserRegistered, UserVerified};
use crate::invitation::Invitation;
use crate::organization::{self, Slug};
use crate::password::Password;
use crate::service::{Identity, Registration, by};
use crate::session::{Beginning, Issued, RETRIES};
use crate::ticket::{Kind, Ticket, burned};
use crate::user::{Name, State, User};
use crate::{Email, Error};

/// Who wants to register.
#[derive(Debug, Clone)]
pub struct Registering {
    /// Where they get mail.
    pub email: Email,
    /// The password that they chose; checked already.
    pub password: Password,
    /// What they are called.
    pub name: Option<Name>,
    /// The secret of an invitation.
    pub invitation: Option<String>,
}

/// Who sets the installation up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where they get mail.
    pub email: Email,
    /// The password that they chose.
    pub password: Password,
    /// What they are called.
    pub name: Option<Name>,
    /// The first organization: its name in addresses and its name for people.
    pub organization: (Slug, String),
}

/// What an empty flow remembers.
#[derive(Serialize, Deserialize)]
pub(crate) struct Nothing {}

/// What confirming an address remembers: where the user is to be a member then.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Joining {
    organization: Option<OrganizationId>,
    role: Option<String>,
}

impl Identity {
    /// Whether there is an owner already.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn has_owner(&self) -> Result<bool, Error> {
        let cx = self.internal();
        Ok(self.store.find(&cx, User::select().eq(User::IS_OWNER, &true)).await?.is_some())
    }

    /// The link by which the first user becomes the owner; none when there is one. Every start makes another.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn setup_link(&self) -> Result<Option<String>, Error> {
        if self.has_owner().await? {
            return Ok(None);
        }
        let (secret, commit) = self.ticket(Kind::SETUP, None, &Nothing {})?;
        self.apply(&self.internal(), commit).await?;
        Ok(Some(self.page("setup", secret.reveal())))
    }

    /// Makes the owner of the installation and the first organization.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::Duplicate`].
    pub async fn set_up(
        &self,
        cx: &Context,
        secret: &str,
        setup: Setup,
        client: &str,
    ) -> Result<Issued, Error> {
        let ticket = self.find_ticket(cx, Kind::SETUP, secret).await?;
        if self.has_owner().await? {
            return Err(Error::LinkInvalid);
        }
        let hash = self.hash_password(&setup.password).await?;
        let mut user = self.new_user(&setup.email, setup.name, Some(hash)).await?;
        (user.email_verified_at, user.is_owner) = (Some(self.clock.now()), true);
        let cx = by(cx, user.id);
        let (slug, name) = setup.organization;
        let draft = organization::Draft {
            slug,
            name,
            contact_email: Some(setup.email),
            settings: std::collections::BTreeMap::default(),
        };
        let made = organization::create(draft, self.settings.plan, self.ids.as_ref(), self.clock.as_ref())
            .map_err(of_organization)?;
        let joined = self.joining(made.value.id, user.id, Role::Owner)?;
        let beginning = Beginning {
            user: &user,
            methods: "pwd",
            is_pending: false,
            client,
            organization: Some(made.value.id),
            role: Some(Role::Owner),
            authenticated_at: None,
        };
        let (issued, begun) = self.begin(&cx, beginning).await?;
        let owners = User::select().eq(User::IS_OWNER, &true);
        let told = UserRegistered { id: user.id.to_string(), organization: None };
        let commit = Commit::new()
            .delete(&ticket)
            .insert(&user)
            .event(&told)
            .count::<User>("one_owner", owners, 1, 1)
            .and(made.commit)
            .and(joined)
            .and(begun);
        self.apply(&cx, commit).await.map_err(burned).map_err(|error| match error {
            Error::Store(error) if error.is_by("one_owner") => Error::LinkInvalid,
            Error::Store(error) if error.is_by("organizations_slug_key") => {
                Error::Duplicate("the slug is taken".to_owned())
            }
            other => other,
        })?;
        Ok(issued)
    }

    pub(crate) async fn new_user(
        &self,
        email: &Email,
        name: Option<Name>,
        hash: Option<String>,
    ) -> Result<User, Error> {
        let now = self.clock.now();
        Ok(User {
            id: self.ids.next()?,
            email: Personal(email.clone()),
            email_key: self.email_key(email).await?,
            name: name.map(|name| Personal(name.0)),
            password_hash: hash,
            email_verified_at: None,
            state: State::Active,
            is_owner: false,
            version: 1,
            created_at: now,
            updated_at: now,
        })
    }

    /// Registers somebody. Whoever holds an invitation to that very address is signed in at once; everybody else gets a letter, and
    /// the same answer whether the address is known or not.
    ///
    /// # Errors
    /// [`Error::RegistrationClosed`], [`Error::LinkInvalid`] of the invitation, [`Error::Duplicate`] for the holder of an invitation
    /// to an address that has an account.
    pub async fn register(
        &self,
        cx: &Context,
        asked: Registering,
        client: &str,
    ) -> Result<Option<Issued>, Error> {
        let hash = self.hash_password(&asked.password).await?;
        for _ in 0..RETRIES {
            match self.register_once(cx, &asked, &hash, client).await {
                // Somebody else has used the invitation meanwhile; perhaps it can be used again.
                Err(Error::Store(error)) if error.is_by("invitations_version") => {}
                other => return other,
            }
        }
        Err(Error::Busy)
    }

    async fn register_once(
        &self,
        cx: &Context,
        asked: &Registering,
        hash: &str,
        client: &str,
    ) -> Result<Option<Issued>, Error> {
        let invitation = match (&asked.invitation, self.settings.registration) {
            (_, Registration::Closed) | (None, Registration::Invite) => {
                return Err(Error::RegistrationClosed);
            }
            (None, Registration::Open) => None,
            (Some(secret), _) => Some(self.open_invitation(cx, secret).await?),
        };
        let key = self.email_key(&asked.email).await?;
        let is_proven = invitation.as_ref().is_some_and(|one| one.email_key.as_ref() == Some(&key));
        if !is_proven && invitation.as_ref().is_some_and(|one| one.email_key.is_some()) {
            return Err(Error::field("/email", "the invitation is for another address"));
        }
        let existing = self.user_by_email(cx, &asked.email).await?;
        if let Some(user) = existing.as_ref().filter(|user| user.email_verified_at.is_some()) {
            if is_proven {
                return Err(Error::Duplicate(
                    "there is an account with this address; sign in, and accept the invitation".to_owned(),
                ));
            }
            let commit = self.letter(Commit::new(), &user.email, "already_registered", &[]).note(
                "user.refused",
                "user",
                &user.id,
            );
            self.apply(cx, commit).await?;
            return Ok(None);
        }
        let mut user = self.new_user(&asked.email, asked.name.clone(), Some(hash.to_owned())).await?;
        let mut commit = Commit::new();
        match &existing {
            None => commit = commit.event(&UserRegistered { id: user.id.to_string(), organization: None }),
            // Nobody has shown that the address is theirs: whoever asks last may try.
            Some(old) => {
                user =
                    User { password_hash: user.password_hash, name: user.name, ..old.next(self.clock.now()) };
                commit = commit.and(self.void_tickets(cx, user.id, &[Kind::VERIFY_EMAIL]).await?);
            }
        }
        if is_proven {
            user.email_verified_at = Some(self.clock.now());
        }
        commit = match &existing {
            None => commit.insert(&user),
            Some(old) => commit.update(old, &user),
        };
        let mut joining = Joining::default();
        if let Some(invitation) = &invitation {
            // Nobody is a member by an address that they have not shown to be theirs.
            commit = commit.and(match is_proven {
                true => self.accepting(cx, invitation, user.id).await?,
                false => self.counting(cx, invitation).await?,
            });
            joining.organization = invitation.organization();
            joining.role = Some(invitation.role.to_string());
        }
        let cx = by(cx, user.id);
        if is_proven {
            let organization = invitation.as_ref().and_then(Invitation::organization);
            let beginning = Beginning {
                user: &user,
                methods: "pwd",
                is_pending: false,
                client,
                organization,
                role: invitation.as_ref().filter(|one| one.organization().is_some()).map(|one| one.role),
                authenticated_at: None,
            };
            let (issued, begun) = self.begin(&cx, beginning).await?;
            self.apply(&cx, commit.and(begun)).await.map_err(taken)?;
            return Ok(Some(issued));
        }
        let (secret, ticket) = self.ticket(Kind::VERIFY_EMAIL, Some(user.id), &joining)?;
        let link = self.page("verify-email", secret.reveal());
        let commit = self.letter(commit.and(ticket), &user.email, "verify_email", &[("link", &link)]);
        match self.apply(&cx, commit).await {
            // Two at the same time with one address: both are answered alike.
            Err(Error::Store(error)) if error.is_by("users_email_key") || error.is_by("users_version") => {
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(None),
        }
    }

    /// Shows that an address is that of whoever registered: by the secret of the letter, and the password, which an impostor who
    /// registered somebody else's address knows, but whoever reads that mailbox does not.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`], [`Error::InvalidCredentials`].
    pub async fn verify_email(
        &self,
        cx: &Context,
        secret: &str,
        password: &Password,
        client: &str,
    ) -> Result<Issued, Error> {
        let ticket = self.find_ticket(cx, Kind::VERIFY_EMAIL, secret).await?;
        let user = self.user(cx, ticket.user()?).await?;
        let checked = self.check_password(password, user.password_hash.as_deref()).await?;
        if !checked.is_right || user.state != State::Active {
            self.apply(cx, Commit::new().note("session.refused", "user", &user.id)).await?;
            return Err(Error::InvalidCredentials);
        }
        let verified = User { email_verified_at: Some(self.clock.now()), ..user.next(self.clock.now()) };
        let cx = by(cx, user.id);
        let is_pending = self.has_second_factor(&cx, user.id).await?;
        let beginning = Beginning {
            user: &verified,
            methods: "pwd",
            is_pending,
            client,
            organization: None,
            role: None,
            authenticated_at: None,
        };
        let (issued, begun) = self.begin(&cx, beginning).await?;
        let told = UserVerified { id: user.id.to_string(), organization: None };
        let commit = Commit::new().delete(&ticket).update(&user, &verified).event(&told).and(begun);
        let commit = commit.and(self.joined(&cx, user.id, ticket.payload()?).await?);
        self.apply(&cx, commit).await.map_err(burned)?;
        Ok(issued)
    }

    /// What an invitation without an address was kept for: the user is a member once the address is shown to be theirs. An organization
    /// that has no room any more, or is not in use, keeps nobody from their account.
    pub(crate) async fn joined(&self, cx: &Context, user: UserId, joining: Joining) -> Result<Commit, Error> {
        let role = joining.role.and_then(|role| role.parse().ok());
        let (Some(id), Some(role)) = (joining.organization, role) else { return Ok(Commit::new()) };
        if self.role_of(cx, id, user).await?.is_some() {
            return Ok(Commit::new());
        }
        let system = cx.within(Scope::System);
        let found = organization::by_id(self.store.as_ref(), &system, id).await.map_err(of_organization)?;
        let refused = || Commit::new().note("member.refused", "organization", &id);
        if found.state != organization::State::Active {
            return Ok(refused());
        }
        match self.joining_within_plan(cx, id, user, role).await {
            Err(Error::QuotaExceeded { .. }) => Ok(refused()),
            other => other,
        }
    }

    /// The end of the tickets by which an address could be confirmed, and what the last of them remembers.
    pub(crate) async fn void_verification(
        &self,
        cx: &Context,
        user: UserId,
    ) -> Result<(Joining, Commit), Error> {
        let query = Ticket::select()
            .eq(Ticket::USER_ID, &Some(user))
            .eq(Ticket::KIND, &Kind::VERIFY_EMAIL.0.to_owned())
            .ascending(Ticket::ID);
        let found = self.store.list(cx, query).await?;
        let before = found.last().and_then(|ticket| ticket.payload().ok()).unwrap_or_default();
        Ok((before, found.iter().fold(Commit::new(), Commit::delete)))
    }

    /// Asks for another letter. It answers alike whether there is such a user or not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn resend_verification(&self, cx: &Context, email: &Email) -> Result<(), Error> {
        let found = self.user_by_email(cx, email).await?;
        let commit =
            match found.filter(|user| user.email_verified_at.is_none() && user.state == State::Active) {
                None => Commit::new().note("user.refused", "user", &"unknown"),
                Some(user) => {
                    let (joining, void) = self.void_verification(cx, user.id).await?;
                    let (secret, ticket) = self.ticket(Kind::VERIFY_EMAIL, Some(user.id), &joining)?;
                    let link = self.page("verify-email", secret.reveal());
                    self.letter(void.and(ticket), &user.email, "verify_email", &[("link", &link)])
                }
            };
        self.apply(cx, commit).await
    }
}

/// An address that somebody registered meanwhile.
fn taken(error: Error) -> Error {
    match error {
        Error::Store(error) if error.is_by("users_email_key") => Error::Duplicate(
            "there is an account with this address; sign in, and accept the invitation".to_owned(),
        ),
        Error::Store(error) if error.is_by("members_quota") => crate::member::refusal(error),
        Error::Store(error) if error.is_by("members_user_key") => {
            Error::Duplicate("you are a member already".to_owned())
        }
        other => other,
    }
}

/// What the errors of organizations are here.
pub(crate) fn of_organization(error: organization::Error) -> Error {
    match error {
        organization::Error::NotFound => Error::NotFound("organization"),
        organization::Error::Invalid(wrong) => Error::Invalid(wrong),
        organization::Error::Store(error) => Error::Store(error),
        other => Error::WrongState(other.to_string()),
    }
}
