//! Feature flags: on or off, or on for a share of actors, who keep what they have.

use stoa_kernel::clock::Micros;
use stoa_kernel::context::Context;
use stoa_kernel::id::{FlagId, OrganizationId};
use stoa_kernel::store::{Commit, Record, StoreError, StoreErrorKind};

use stoa_runtime::cache::Row;

use crate::Error;
use crate::directory;
use crate::facts::FlagChanged;
use crate::service::Identity;

/// The most flags of an organization.
const FLAGS_MAX: i64 = 500;

/// A feature flag.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "flags", entity = "flag", tenant = organization_id, version = version,
         unique(flags_name_key = (organization_id, name)))]
pub struct Flag {
    /// Its id.
    #[record(key)]
    pub id: FlagId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What programs call it.
    pub name: FlagName,
    /// What it turns on.
    #[record(plain, about = "what a feature is")]
    pub about: String,
    /// Whether it is on at all.
    pub is_enabled: bool,
    /// For how many of a hundred actors, when it is on.
    pub percentage: u8,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub updated_at: Micros,
}

/// What programs call a flag: lower-case words, joined by `-`, `_` or `.`; 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagName(String);

impl std::str::FromStr for FlagName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = (1..=64).contains(&text.len())
            && text.starts_with(|char: char| char.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
        if is_good {
            Ok(Self(text.to_owned()))
        } else {
            Err("a flag is called by 1 to 64 lower-case letters, digits, -, _ and ., a letter first"
                .to_owned())
        }
    }
}

impl std::fmt::Display for FlagName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

stoa_kernel::text_field!(FlagName);

/// What a flag is to be; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What it turns on.
    pub about: Option<String>,
    /// Whether it is on at all.
    pub is_enabled: Option<bool>,
    /// For how many of a hundred actors.
    pub percentage: Option<u8>,
}

impl Flag {
    /// Whether it is on for an actor. The same actor always falls on the same side, and a growing percentage takes nobody out.
    #[must_use]
    pub fn is_on(&self, actor: &str) -> bool {
        let hash = blake3::hash(format!("{}\n{actor}", self.name).as_bytes());
        let place = hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes) % 100);
        self.is_enabled && place < u64::from(self.percentage)
    }

    fn told(&self, state: String) -> FlagChanged {
        FlagChanged {
            id: self.id.to_string(),
            name: self.name.to_string(),
            state,
            organization: Some(self.organization_id),
        }
    }

    fn state(&self) -> String {
        match (self.is_enabled, self.percentage) {
            (false, _) => "off".to_owned(),
            (true, 100) => "on".to_owned(),
            (true, percentage) => format!("{percentage}%"),
        }
    }
}

impl Identity {
    /// The flags of the organization of the context, by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn flags(&self, cx: &Context) -> Result<Vec<Row<Flag>>, Error> {
        let look = async {
            let found = self.store.list(cx, Flag::select().ascending(Flag::NAME)).await?;
            Ok::<_, Error>(found.into_iter().map(Row::from).collect())
        };
        match cx.scope.organization() {
            Some(id) => self.seen.flags.get(id, &[directory::flags(id)], look).await,
            None => look.await,
        }
    }

    /// The flag of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn flag(&self, cx: &Context, name: &FlagName) -> Result<Flag, Error> {
        self.store.find(cx, Flag::select().eq(Flag::NAME, name)).await?.ok_or(Error::NotFound("flag"))
    }

    /// Makes a flag, or changes the one that there is.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn set_flag(
        &self,
        cx: &Context,
        name: &FlagName,
        change: Change,
    ) -> Result<(Flag, Commit), Error> {
        let now = self.clock.now();
        let organization_id = cx
            .scope
            .organization()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "no organization"))?;
        let found = self.store.find(cx, Flag::select().eq(Flag::NAME, name)).await?;
        let mut flag = match &found {
            Some(found) => Flag { version: found.version + 1, updated_at: now, ..found.clone() },
            None => Flag {
                id: self.ids.next()?,
                organization_id,
                name: name.clone(),
                about: String::new(),
                is_enabled: false,
                percentage: 100,
                version: 1,
                created_at: now,
                updated_at: now,
            },
        };
        flag.about = change.about.unwrap_or(flag.about);
        flag.is_enabled = change.is_enabled.unwrap_or(flag.is_enabled);
        flag.percentage = change.percentage.unwrap_or(flag.percentage).min(100);
        let told = flag.told(flag.state());
        let commit = match &found {
            Some(found) => Commit::new().update(found, &flag),
            None => Commit::new().insert(&flag).count("flags_quota", Flag::select(), 0, FLAGS_MAX),
        };
        Ok((flag, commit.event(&told)))
    }

    /// The end of a flag: it is off for everybody.
    pub fn remove_flag(found: &Flag) -> Commit {
        Commit::new().delete(found).event(&found.told("removed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flag(percentage: u8) -> Flag {
        Flag {
            id: FlagId::from_raw(1).unwrap(),
            organization_id: OrganizationId::from_raw(1).unwrap(),
            name: "new-editor".parse().unwrap(),
            about: String::new(),
            is_enabled: true,
            percentage,
            version: 1,
            created_at: Micros(0),
            updated_at: Micros(0),
        }
    }

    proptest! {
        #[test]
        fn a_growing_percentage_takes_nobody_out(actor in "[a-z0-9]{1,20}", small in 0u8..=100, more in 0u8..=100) {
            let (small, large) = (small.min(more), small.max(more));
            prop_assert!(!flag(small).is_on(&actor) || flag(large).is_on(&actor));
            prop_assert!(flag(100).is_on(&actor) && !flag(0).is_on(&actor));
        }
    }

    #[test]
    fn a_percentage_is_about_that_many() {
        let on = (0..10_000).filter(|actor| flag(30).is_on(&actor.to_string())).count();
        assert!((2_800..3_200).contains(&on), "{on}");
    }
}
