//! Organizations: the tenants. A row for each, and one file for each thing that can be done to it.
//!
//! ```text
//! active ⇄ suspended
//!    └──────┴──► archived
//!    └──────┴───────┴──► purging ──► purged: a tombstone
//! ```

mod archive;
mod create;
mod events;
mod fetch;
mod purge;
mod slug;
mod suspend;
mod update;

pub use archive::archive;
pub use create::{Draft, create};
pub use events::{Archived, Created, EVENT_TYPES, PurgeBegun, Purged, Resumed, Suspended, Updated};
pub use fetch::{Listing, by_id, by_slug, page};
pub use purge::{purge, purged};
pub use slug::{ParseSlugError, Slug};
pub use suspend::{resume, suspend};
pub use update::{Change, update};

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use stoa_kernel::clock::Micros;
use stoa_kernel::error::Coded;
use stoa_kernel::id::OrganizationId;
use stoa_kernel::store::{Json, Personal, Record, StoreError};

use crate::email::Email;
use crate::plan::{Limits, Plan};

/// The most characters of a name.
pub const NAME_CHARS_MAX: usize = 120;
/// The most settings, and the most characters of the name and of the value of one.
pub const SETTINGS_MAX: usize = 64;
/// See [`SETTINGS_MAX`].
pub const SETTING_CHARS_MAX: usize = 1_024;

/// The tenant: the unit of isolation, of plan and of settings.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "organizations", entity = "organization", tenant = id, version = version,
         unique(organizations_slug_key = slug))]
pub struct Organization {
    /// Its id.
    #[record(key)]
    pub id: OrganizationId,
    /// Its name in addresses, unique in the installation.
    pub slug: Slug,
    /// Its name for people.
    #[record(plain, searchable, about = "the name of a company or a group")]
    pub name: String,
    /// Whom to write to about it.
    #[record(
        encrypted,
        subject = "the contact of the organization",
        about = "to reach whoever answers for the organization"
    )]
    pub contact_email: Option<Personal<Email>>,
    /// What it has set, by name.
    #[record(plain, about = "preferences of the organization")]
    pub settings: Json<BTreeMap<String, String>>,
    /// Where it is in its life.
    pub state: State,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
    /// How much it may have.
    pub plan: Plan,
    /// What an operator has set beside the plan.
    #[record(plain, about = "limits of an organization")]
    pub limits: Json<Limits>,
    /// Whether its members need a second factor.
    pub mfa_required: bool,
}

impl Organization {
    /// The same organization, about to be changed.
    fn next(&self, now: Micros) -> Self {
        Self { version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

/// Where an organization is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// In use.
    Active,
    /// Its requests are refused, its jobs pause; nothing is lost.
    Suspended,
    /// Kept to be read, never changed again.
    Archived,
    /// Everything in it is being removed.
    Purging,
    /// Everything in it was removed.
    Purged,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Active, Self::Suspended, Self::Archived, Self::Purging, Self::Purged];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
            Self::Purging => "purging",
            Self::Purged => "purged",
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

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| format!("expected active, suspended, archived, purging or purged, got \"{text}\""))
    }
}

stoa_kernel::text_field!(State);

/// Why nothing was done to an organization.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none, or none that the caller may know of.
    #[error("there is no such organization")]
    NotFound,
    /// The name in addresses is taken.
    #[error("the slug \"{0}\" is taken")]
    SlugTaken(Slug),
    /// It is not in a state in which that can be done.
    #[error("the organization is {is}; only one that is {wanted} can be {verb}")]
    WrongState {
        /// What it is.
        is: State,
        /// What it would have to be.
        wanted: &'static str,
        /// What was to be done.
        verb: &'static str,
    },
    /// Fields that do not hold what they must: the field, and what it takes.
    #[error("{} of the fields cannot be taken", .0.len())]
    Invalid(Vec<(&'static str, String)>),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "organization_not_found",
            Self::SlugTaken(_) => "slug_taken",
            Self::WrongState { .. } => "organization_wrong_state",
            Self::Invalid(_) => "validation_failed",
            Self::Store(error) => error.code(),
        }
    }
}

/// What is wrong with a name and settings, as far as they are given: the field, and what it takes. All of it, so that it is told at once.
#[must_use]
pub fn wrong(name: Option<&str>, settings: Option<&BTreeMap<String, String>>) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if let Some(name) = name {
        check_name(name, &mut wrong);
    }
    if let Some(settings) = settings {
        check_settings(settings, &mut wrong);
    }
    wrong
}

fn check_name(name: &str, wrong: &mut Vec<(&'static str, String)>) {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_CHARS_MAX {
        wrong.push(("/name", format!("a name has 1 to {NAME_CHARS_MAX} characters, not only blanks")));
    } else if name.chars().any(|char| char.is_control() || is_of_direction(char)) {
        wrong.push((
            "/name",
            "a name has no control characters, nor those that turn the direction of text".to_owned(),
        ));
    }
}

/// Whether a character turns the direction of the text around it, so that a name would read as another (Unicode TR 36).
const fn is_of_direction(char: char) -> bool {
    matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

fn check_settings(settings: &BTreeMap<String, String>, wrong: &mut Vec<(&'static str, String)>) {
    let is_too_long = |text: &String| text.chars().count() > SETTING_CHARS_MAX || text.contains('\0');
    if settings.len() > SETTINGS_MAX {
        wrong.push(("/settings", format!("there are at most {SETTINGS_MAX} settings")));
    }
    if settings.iter().any(|(name, value)| name.is_empty() || is_too_long(name) || is_too_long(value)) {
        wrong.push((
            "/settings",
            format!("names and values of settings have at most {SETTING_CHARS_MAX} characters, names at least one, none NUL"),
        ));
    }
}
