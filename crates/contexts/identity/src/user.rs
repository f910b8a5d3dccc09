//! Users: people, global to the installation.

use std::fmt;
use std::str::FromStr;

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::UserId;
use stoa_kernel::store::{Commit, Page, PageRequest, Personal, Record, StoreError};

use crate::facts::UserUpdated;
use crate::service::Identity;
use crate::{Email, Error};

/// The most characters of the name of a person.
pub const NAME_CHARS_MAX: usize = 120;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "users", entity = "user", system, version = version, unique(users_email_key = email_key))]
pub struct User {
    /// Their id.
    #[record(key)]
    pub id: UserId,
    /// Where they get mail, and what they sign in with.
    #[record(encrypted, subject = "the user", about = "to sign in and to be written to")]
    pub email: Personal<Email>,
    /// What the address is found by.
    #[record(plain, about = "a keyed hash, by which an address is found without being readable")]
    pub email_key: Vec<u8>,
    /// What they are called.
    #[record(encrypted, subject = "the user", about = "so that others know who it is")]
    pub name: Option<Personal<String>>,
    /// The hash of the password, if there is one.
    #[record(encrypted, plain, about = "to check the password; Argon2id")]
    pub password_hash: Option<String>,
    /// When they showed that the address is theirs.
    pub email_verified_at: Option<Micros>,
    /// Whether they may sign in.
    pub state: State,
    /// Whether they run the installation.
    pub is_owner: bool,
    /// Counts its changes.
    pub version: i64,
    /// When they registered.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They may.
    Active,
    /// They may not, until an operator says so.
    Suspended,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
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
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            _ => Err("a user is active or suspended".to_owned()),
        }
    }
}

stoa_kernel::text_field!(State);

/// What a person is called: 1 to 120 characters, none of which controls the text around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if crate::organization::wrong(Some(text), None).is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("a name has 1 to {NAME_CHARS_MAX} characters, none that control the text around it"))
        }
    }
}

impl User {
    /// The same user, about to be changed.
    pub(crate) fn next(&self, now: Micros) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }

    /// Whether they may sign in at all.
    #[must_use]
    pub fn may_sign_in(&self) -> bool {
        self.state == State::Active && self.email_verified_at.is_some()
    }
}

impl Identity {
    /// The address of a user who is in use and has shown that it is theirs.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn address(&self, id: UserId) -> Result<Option<String>, StoreError> {
        let found = self.store.find(&self.internal(), User::select().eq(User::ID, &id)).await?;
        let found = found.filter(User::may_sign_in);
        Ok(found.map(|user| user.email.to_string()))
    }

    /// The user with an id.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn user(&self, cx: &Context, id: UserId) -> Result<User, Error> {
        let cx = cx.within(stoa_kernel::context::Scope::System);
        self.store.find(&cx, User::select().eq(User::ID, &id)).await?.ok_or(Error::NotFound("user"))
    }

    pub(crate) async fn user_by_email(&self, cx: &Context, email: &Email) -> Result<Option<User>, Error> {
        let key = self.email_key(email).await?;
        Ok(self.store.find(cx, User::select().eq(User::EMAIL_KEY, &key)).await?)
    }

    /// Those of these users that there are.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn users(&self, cx: &Context, ids: &[UserId]) -> Result<Vec<User>, Error> {
        let cx = cx.within(stoa_kernel::context::Scope::System);
        Ok(self.store.list(&cx, User::select().is_in(User::ID, ids)).await?)
    }

    /// One page of all users of the installation.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn user_page(&self, cx: &Context, request: PageRequest) -> Result<Page<User>, Error> {
        Ok(self.store.page(cx, User::select().ascending(User::ID), request).await?)
    }

    /// Changes what a user is called.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn rename(&self, user: &User, name: Option<Name>) -> (User, Commit) {
        let mut changed = user.next(self.clock.now());
        changed.name = name.map(|name| Personal(name.0));
        let told = UserUpdated { id: user.id.to_string(), organization: None };
        let commit = Commit::new().update(user, &changed).event(&told);
        (changed, commit)
    }

    /// Lets a user sign in, or not any more: then every session of theirs ends.
    ///
    /// # Errors
    /// [`Error::WrongState`], [`Error::Store`].
    pub async fn set_state(&self, cx: &Context, user: &User, state: State) -> Result<(User, Commit), Error> {
        if user.state == state {
            return Err(Error::WrongState(format!("the user is {state} already")));
        }
        if user.is_owner && state == State::Suspended {
            return Err(Error::WrongState("the owner of the installation cannot be suspended".to_owned()));
        }
        let changed = User { state, ..user.next(self.clock.now()) };
        let told = UserUpdated { id: user.id.to_string(), organization: None };
        let mut commit = Commit::new().update(user, &changed).event(&told);
        if state == State::Suspended {
            commit = commit.and(self.revoking(cx, user.id, None, "user").await?);
        }
        Ok((changed, commit))
    }
}
