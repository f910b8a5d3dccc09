//! Letting a program in that has no browser: the device authorization grant (RFC 8628). It shows a short code; its user types it into
//! a browser in which they are signed in.

use std::str::FromStr;

use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{TicketId, UserId};
use stoa_kernel::store::{Commit, Record};

use crate::Error;
use crate::opaque::{self, Secret, equal};
use crate::service::{Identity, by};
use crate::session::{Beginning, Issued, Session};

const PREFIX: &str = "stoa_dev";
/// How long a program may wait, in seconds, and how often it may ask.
pub const LASTS_S: i64 = 600;
/// See [`LASTS_S`].
pub const INTERVAL_S: u32 = 5;
/// No vowels, so that no words come about, and nothing that looks alike (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A program that waits to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "device_grants", entity = "device_grant", system, version = version, expires = expires_at, unaudited, retention = short,
         unique(device_grants_user_code_key = user_code))]
pub struct DeviceGrant {
    /// Its id.
    #[record(key)]
    pub id: TicketId,
    /// The hash of what the program keeps.
    #[record(plain, about = "a hash")]
    pub device_hash: Vec<u8>,
    /// What its user types.
    #[record(plain, about = "a random code, good for ten minutes")]
    pub user_code: String,
    /// What it calls itself.
    #[record(plain, about = "a kind of program")]
    pub client: String,
    /// `pending`, `approved` or `denied`.
    #[record(plain, about = "whether somebody has let it in")]
    pub state: String,
    /// Who let it in.
    pub user_id: Option<UserId>,
    /// How they had signed in.
    #[record(plain, about = "how it was authenticated")]
    pub methods: String,
    /// When it last asked.
    pub polled_at: Micros,
    /// Until when it may wait.
    pub expires_at: Micros,
    /// Counts its changes.
    pub version: i64,
    /// When it began.
    pub created_at: Micros,
}

/// The code that a user types: in either case, with or without the dash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl FromStr for UserCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letters: String =
            text.chars().filter(char::is_ascii_alphabetic).map(|char| char.to_ascii_uppercase()).collect();
        match letters.split_at_checked(4) {
            Some((first, second)) if letters.len() == 8 => Ok(Self(format!("{first}-{second}"))),
            _ => Err("a code has eight letters, as BCDF-GHJK".to_owned()),
        }
    }
}

impl Identity {
    /// A program begins to wait: what it keeps, and the code that it shows.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn begin_device(&self, cx: &Context, client: &str) -> Result<(Secret, String), Error> {
        let (id, now) = (self.ids.next()?, self.clock.now());
        let (secret, hash) = opaque::mint(self.entropy.as_ref(), PREFIX, id)?;
        let letter =
            |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).map_or('B', |byte| char::from(*byte));
        let letters: String = self.entropy.bytes::<8>()?.iter().map(letter).collect();
        let (first, second) = letters.split_at(4);
        let user_code = format!("{first}-{second}");
        let grant = DeviceGrant {
            id,
            device_hash: hash.to_vec(),
            user_code: user_code.clone(),
            client: client.to_owned(),
            state: "pending".to_owned(),
            user_id: None,
            methods: String::new(),
            polled_at: Micros(0),
            expires_at: now.plus(LASTS_S * 1_000_000),
            version: 1,
            created_at: now,
        };
        self.apply(cx, Commit::new().insert(&grant)).await?;
        Ok((secret, user_code))
    }

    /// What waits under a code.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn device(&self, cx: &Context, code: &UserCode) -> Result<DeviceGrant, Error> {
        let cx = cx.within(Scope::System);
        let found = self.store.find(&cx, DeviceGrant::select().eq(DeviceGrant::USER_CODE, &code.0)).await?;
        let now = self.clock.now();
        found.filter(|grant| grant.state == "pending" && now < grant.expires_at).ok_or(Error::LinkInvalid)
    }

    /// Lets it in, or does not.
    ///
    /// # Errors
    /// [`Error::LinkInvalid`].
    pub async fn answer_device(
        &self,
        cx: &Context,
        session: &Session,
        code: &UserCode,
        is_approved: bool,
    ) -> Result<Commit, Error> {
        let found = self.device(cx, code).await?;
        let (state, action) =
            if is_approved { ("approved", "device.approved") } else { ("denied", "device.denied") };
        let next = DeviceGrant {
            state: state.to_owned(),
            user_id: Some(session.user_id),
            methods: session.methods.clone(),
            version: found.version + 1,
            ..found.clone()
        };
        Ok(Commit::new().update(&found, &next).note(action, "device_grant", &found.id))
    }

    /// Asks whether somebody has let the program in; then it is signed in, once.
    ///
    /// # Errors
    /// [`Error::AuthorizationPending`]; [`Error::Forbidden`] when it was not let in; [`Error::LinkInvalid`] when it is over.
    pub async fn poll_device(&self, cx: &Context, secret: &str) -> Result<Issued, Error> {
        let (id, hash) = opaque::read::<stoa_kernel::id::Ticket>(PREFIX, secret).ok_or(Error::LinkInvalid)?;
        let found = self.store.find(cx, DeviceGrant::select().eq(DeviceGrant::ID, &id)).await?;
        let now = self.clock.now();
        let found = found.filter(|grant| equal(&grant.device_hash, &hash) && now < grant.expires_at);
        let found = found.ok_or(Error::LinkInvalid)?;
        match (found.state.as_str(), found.user_id) {
            ("approved", Some(user)) => {
                let user = self.user(cx, user).await?;
                if !user.may_sign_in() {
                    return Err(Error::LinkInvalid);
                }
                let cx = by(cx, user.id);
                let methods = format!("{} device", found.methods);
                let beginning = Beginning {
                    user: &user,
                    methods: &methods,
                    is_pending: false,
                    client: &found.client,
                    organization: None,
                    // Nobody has shown anything to this program: what is sensitive asks again.
                    role: None,
                    authenticated_at: Some(Micros(0)),
                };
                let (issued, begun) = self.begin(&cx, beginning).await?;
                self.apply(&cx, Commit::new().unchanged(&user).delete(&found).and(begun)).await.map_err(
                    |error| match error {
                        Error::Store(error) if error.is_by("device_grants_version") => Error::LinkInvalid,
                        other => other,
                    },
                )?;
                Ok(issued)
            }
            ("denied", _) => Err(Error::Forbidden("it was not let in".to_owned())),
            _ => Err(Error::AuthorizationPending(INTERVAL_S)),
        }
    }
}
