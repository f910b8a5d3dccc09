//! Signing in with an address: by password, by a link in a letter; and what to do about a password that is forgotten or known.

use serde::{Deserialize, Serialize};
use stoa_kernel::context::Context;
use stoa_kernel::store::{Commit, Personal, StoreErrorKind};

use crate::facts::{PasswordChanged, UserUpdated};
use crate::password::Password;
use crate::register::Nothing;
use crate::service::{Identity, by};
use crate::session::{Beginning, Issued, RETRIES, Session};
use crate::ticket::{Kind, burned};
use crate::user::{State, User};
use crate::{Email, Error};

/// What a change of address remembers.
#[derive(Serialize, Deserialize)]
struct NewAddress {
    email: String,
}

impl Identity {
    /// Signs in with a password. Unknown, wrong, without password, suspended, unverified: one answer, one Argon2id, one commit.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`]; [`Error::Busy`]; [`Error::Store`].
    pub async fn sign_in(
        &self,
        cx: &Context,
        email: &Email,
        password: &Password,
        client: &str,
    ) -> Result<Issued, Error> {
        let found = self.user_by_email(cx, email).await?;
        let stored = found.as_ref().and_then(|user| user.password_hash.as_deref());
        let checked = self.check_password(password, stored).await?;
        let user = match found {
            Some(user) if checked.is_right && user.may_sign_in() => user,
            refused => {
                let target = refused.map_or_else(|| "unknown".to_owned(), |user| user.id.to_string());
                self.apply(cx, Commit::new().note("session.refused", "user", &target)).await?;
                return Err(Error::InvalidCredentials);
            }
        };
        let cx = by(cx, user.id);
        let is_pending = self.has_second_factor(&cx, user.id).await?;
        let beginning = Beginning {
            user: &user,
            methods: "pwd",
            is_pending,
            client,
            organization: None,
            role: None,
            authenticated_at: None,
        };
        let (issued, mut commit) = self.begin(&cx, beginning).await?;
        commit = commit.unchanged(&user);
        if checked.is_outdated {
            let rehashed = User {
                password_hash: Some(self.hash_password(password).await?),
                ..user.next(self.clock.now())
            };
            commit = commit.update(&user, &rehashed);
        }
        self.apply(&cx, commit).await.map_err(changed_meanwhile)?;
        Ok(issued)
    }

    /// Sends a link that signs in. It answers alike whether there is such a user or not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn request_magic_link(&self, cx: &Context, email: &Email) -> Result<(), Error> {
        self.request(cx, email, Kind::MAGIC_LINK, "magic-link", "magic_link").await
    }

    /// Sends a link by which a password can be set. It answers alike whether there is such a user or not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn request_reset(&self, cx: &Context, email: &Email) -> Result<(), Error> {
        self.request(cx, email, Kind::RESET_PASSWORD, "reset-password", "reset_password").await
    }

    async fn request(
        &self,
        cx: &Context,
        email: &Email,
        kind: Kind,
        page: &str,
        template: &str,
    ) -> Result<(), Error> {
        let found = self.user_by_email(cx, email).await?;
        let commit = match found.filter(|user| user.state == State::Active) {
            None => Commit::new().note("session.refused", "user", &"unknown"),
            Some(user) => {
                let (secret, ticket) = self.ticket(kind, Some(user.id), &Nothing {})?;
                let link = self.page(page, secret.reveal());
                let noted = ticket.note("session.link_requested", "user", &user.id);
                self.letter(noted, &user.email, template, &[("link", &link)])
            }
        };
        self.apply(cx, commit).await
    }

    /// Signs in with the secret of a letter.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn use_magic_link(&self, cx: &Context, secret: &str, client: &str) -> Result<Issued, Error> {
        let ticket = self.find_ticket(cx, Kind::MAGIC_LINK, secret).await?;
        let user = self.user(cx, ticket.user()?).await?;
        if user.state != State::Active {
            return Err(Error::LinkInvalid);
        }
        let cx = by(cx, user.id);
        let mut commit = Commit::new().delete(&ticket);
        let mut known = user.clone();
        if user.email_verified_at.is_none() {
            // The password is of whoever registered, who may be somebody else than whoever reads this mailbox.
            known = User {
                email_verified_at: Some(self.clock.now()),
                password_hash: None,
                ..user.next(self.clock.now())
            };
            commit = commit.update(&user, &known);
        } else {
            commit = commit.unchanged(&user);
        }
        let is_pending = self.has_second_factor(&cx, user.id).await?;
        let beginning = Beginning {
            user: &known,
            methods: "link",
            is_pending,
            client,
            organization: None,
            role: None,
            authenticated_at: None,
        };
        let (issued, begun) = self.begin(&cx, beginning).await?;
        self.apply(&cx, commit.and(begun)).await.map_err(burned)?;
        Ok(issued)
    }

    /// Sets a password by the secret of a letter. Every session ends; second factors stay.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn reset_password(&self, cx: &Context, secret: &str, password: &Password) -> Result<(), Error> {
        let hash = {
            let ticket = self.find_ticket(cx, Kind::RESET_PASSWORD, secret).await?;
            ticket.user()?;
            self.hash_password(password).await?
        };
        for _ in 0..RETRIES {
            let ticket = self.find_ticket(cx, Kind::RESET_PASSWORD, secret).await?;
            let user = self.user(cx, ticket.user()?).await?;
            if user.state != State::Active {
                return Err(Error::LinkInvalid);
            }
            let cx = by(cx, user.id);
            let mut changed = user.next(self.clock.now());
            changed.password_hash = Some(hash.clone());
            changed.email_verified_at = changed.email_verified_at.or(Some(self.clock.now()));
            // The ticket itself is among them.
            let (joining, unverified) = self.void_verification(&cx, user.id).await?;
            let void = self.void_tickets(&cx, user.id, &[Kind::RESET_PASSWORD]).await?;
            let void = void.and(unverified).and(self.joined(&cx, user.id, joining).await?);
            let told = PasswordChanged { id: user.id.to_string(), organization: None };
            let commit = void
                .update(&user, &changed)
                .event(&told)
                .and(self.revoking(&cx, user.id, None, "user").await?);
            let commit = self.letter(commit, &user.email, "password_changed", &[]);
            match self.apply(&cx, commit).await {
                // A session that was refreshed meanwhile ends all the same; a ticket that was used meanwhile is not found again.
                Err(Error::Store(error)) if error.kind == StoreErrorKind::Conflict => {}
                other => return other,
            }
        }
        Err(Error::Busy)
    }

    /// Changes the password of a user who is signed in and knows the one before, or has none and has just signed in. All other sessions
    /// end.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`].
    pub async fn change_password(
        &self,
        cx: &Context,
        session: &Session,
        current: Option<&Password>,
        password: &Password,
    ) -> Result<Commit, Error> {
        let user = self.user(cx, session.user_id).await?;
        if let Some(stored) = user.password_hash.as_deref() {
            let given = current.ok_or_else(|| Error::field("/currentPassword", "is required"))?;
            if !self.check_password(given, Some(stored)).await?.is_right {
                self.apply(cx, Commit::new().note("user.password_refused", "user", &user.id)).await?;
                return Err(Error::InvalidCredentials);
            }
        }
        let changed =
            User { password_hash: Some(self.hash_password(password).await?), ..user.next(self.clock.now()) };
        let told = PasswordChanged { id: user.id.to_string(), organization: None };
        let commit = Commit::new()
            .update(&user, &changed)
            .event(&told)
            .and(
                self.void_tickets(
                    &cx.within(stoa_kernel::context::Scope::System),
                    user.id,
                    &[Kind::RESET_PASSWORD],
                )
                .await?,
            )
            .and(self.revoking(cx, user.id, Some(session.id), "user").await?);
        Ok(self.letter(commit, &user.email, "password_changed", &[]))
    }

    /// Shows again who a user is, by the password. Where there is a second factor, it is that which counts: see
    /// [`Identity::verify_code`] and [`Identity::verify_passkey`].
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::WrongState`] where a second factor is needed.
    pub async fn reauthenticate(
        &self,
        cx: &Context,
        session: &Session,
        password: &Password,
    ) -> Result<(Session, Commit), Error> {
        let user = self.user(cx, session.user_id).await?;
        if self.has_second_factor(cx, user.id).await? {
            return Err(Error::WrongState("show your second factor instead of the password".to_owned()));
        }
        if !self.check_password(password, user.password_hash.as_deref()).await?.is_right {
            self.apply(cx, Commit::new().note("session.refused", "user", &user.id)).await?;
            return Err(Error::InvalidCredentials);
        }
        Ok(self.verified(session, "pwd"))
    }

    /// Asks whether a new address is that of the user: a letter goes there. It answers alike whether somebody has it or not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn request_email_change(
        &self,
        cx: &Context,
        user: &User,
        email: &Email,
    ) -> Result<Commit, Error> {
        let system = cx.within(stoa_kernel::context::Scope::System);
        let void = self.void_tickets(&system, user.id, &[Kind::CHANGE_EMAIL]).await?;
        if self.user_by_email(&system, email).await?.is_some() {
            let commit = self.letter(void, email, "already_registered", &[]);
            return Ok(commit.note("user.email_refused", "user", &user.id));
        }
        let payload = NewAddress { email: email.to_string() };
        let (secret, ticket) = self.ticket(Kind::CHANGE_EMAIL, Some(user.id), &payload)?;
        let link = self.page("change-email", secret.reveal());
        let commit = void.and(ticket).note("user.email_change_requested", "user", &user.id);
        // Whoever has the old address learns of it before it happens.
        let commit = self.letter(commit, &user.email, "email_change_requested", &[]);
        Ok(self.letter(commit, email, "change_email", &[("link", &link)]))
    }

    /// Makes a new address the one that counts, by the secret of the letter that went there; tells the old one.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn change_email(&self, cx: &Context, secret: &str) -> Result<(), Error> {
        let ticket = self.find_ticket(cx, Kind::CHANGE_EMAIL, secret).await?;
        let payload: NewAddress = ticket.payload()?;
        let email: Email = payload.email.parse().map_err(|_| Error::LinkInvalid)?;
        let user = self.user(cx, ticket.user()?).await?;
        let cx = by(cx, user.id);
        let mut changed = user.next(self.clock.now());
        changed.email_key = self.email_key(&email).await?;
        changed.email = Personal(email);
        changed.email_verified_at = Some(self.clock.now());
        let told = UserUpdated { id: user.id.to_string(), organization: None };
        let void = self.void_tickets(&cx, user.id, &[Kind::RESET_PASSWORD, Kind::MAGIC_LINK]).await?;
        let commit = void.delete(&ticket).update(&user, &changed).event(&told);
        let commit = self.letter(commit, &user.email, "email_changed", &[]);
        match self.apply(&cx, commit).await {
            Err(Error::Store(error)) if error.is_by("users_email_key") => Err(Error::LinkInvalid),
            other => other.map_err(burned),
        }
    }
}

/// A user who changed while they signed in (a password that was reset, a factor that was added) is not signed in by what was before.
pub(crate) fn changed_meanwhile(error: Error) -> Error {
    match error {
        Error::Store(error) if error.is_by("users_version") => Error::InvalidCredentials,
        other => other,
    }
}
