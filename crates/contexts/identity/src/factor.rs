//! Second factors: authenticator apps (RFC 6238) and recovery codes. Passkeys are in [`crate::passkey`].

use std::sync::LazyLock;

use qrcodegen::{QrCode, QrCodeEcc};
use stoa_kernel::clock::Micros;
use stoa_kernel::context::{Context, Scope};
use stoa_kernel::id::{FactorId, UserId};
use stoa_kernel::store::{Commit, Record, StoreErrorKind};
use totp_rs::{Builder, Totp};

use crate::Error;
use crate::facts::FactorsChanged;
use crate::opaque::{Secret, equal, hash};
use crate::passkey::Passkey;
use crate::service::Identity;
use crate::session::{Beginning, Issued, Session, also};
use crate::user::User;

/// How long a step lasts, in seconds (RFC 6238).
const STEP_S: u64 = 30;
/// Wrong codes before the factor is locked, and for how long then, in microseconds; each further one doubles it, up to an hour.
const WRONG_MAX: i64 = 5;
const LOCKED_US: i64 = 30_000_000;
const LOCKED_MAX_US: i64 = 3_600_000_000;
/// How many recovery codes there are.
const CODES: usize = 10;

/// An authenticator app.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "authenticators", entity = "authenticator", system, version = version)]
pub struct Authenticator {
    /// Whose it is: one for each user.
    #[record(key)]
    pub user_id: UserId,
    /// The secret that the app shares with us.
    #[record(encrypted, plain, about = "to check the codes of the app")]
    pub secret: Vec<u8>,
    /// When the first code was right; until then it does not count.
    pub confirmed_at: Option<Micros>,
    /// The last step whose code was taken: no code is taken twice, by whichever process.
    pub last_step: i64,
    /// Wrong codes since the last right one.
    pub failures: i64,
    /// Until when no code is taken.
    pub locked_until: Micros,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Micros,
}

/// A recovery code that is left.
#[derive(Debug, Clone, PartialEq, Eq, Record)]
#[record(table = "recovery_codes", entity = "recovery_code", system)]
pub struct RecoveryCode {
    /// Its id.
    #[record(key)]
    pub id: FactorId,
    /// Whose it is.
    pub user_id: UserId,
    /// The hash of the code.
    #[record(plain, about = "a hash")]
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: Micros,
}

/// What an app needs to know: shown once.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The secret, in base 32.
    pub secret: Secret,
    /// The same as an `otpauth://` address.
    pub uri: Secret,
    /// The same as a picture.
    pub qr_svg: Secret,
}

/// A code that somebody typed, without blanks and dashes, in lower case.
#[derive(Debug, Clone)]
pub struct Code(String);

impl std::str::FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code: String = text.chars().filter(|char| !char.is_whitespace() && *char != '-').collect();
        if code.is_ascii() && (6..=32).contains(&code.len()) {
            Ok(Self(code.to_ascii_lowercase()))
        } else {
            Err("expected the six digits of the app, or a recovery code".to_owned())
        }
    }
}

impl Code {
    fn is_digits(&self) -> bool {
        self.0.len() == 6 && self.0.bytes().all(|byte| byte.is_ascii_digit())
    }
}

fn totp(secret: &[u8], account: &str) -> Result<Totp, Error> {
    Builder::new()
        .with_secret(secret.to_vec())
        .with_skew(0)
        .with_step_duration(STEP_S)
        .with_account_name(account)
        .with_issuer(Some("Stoa"))
        .build()
        .map_err(|error| Error::WrongState(error.to_string()))
}

/// The step that a code is of: the current one or the one before.
fn step_of(secret: &[u8], code: &Code, now: Micros) -> Option<i64> {
    let totp = totp(secret, "account").ok()?;
    let seconds = u64::try_from(now.0.div_euclid(1_000_000)).ok()?;
    [seconds, seconds.saturating_sub(STEP_S)]
        .into_iter()
        .find(|time| totp.check(&code.0, *time).is_some())
        .and_then(|time| i64::try_from(time / STEP_S).ok())
}

/// A picture of a text: dark squares on light ones, readable by cameras and said aloud by nothing.
fn qr_svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let (size, border) = (code.size(), 4);
    let mut path = String::new();
    for y in 0..size {
        for x in 0..size {
            if code.get_module(x, y) {
                path.push_str(&format!("M{} {}h1v1h-1z", x + border, y + border));
            }
        }
    }
    let side = size + 2 * border;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

const BASE32: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A recovery code: 80 random bits, in four groups.
fn recovery_code(random: &[u8; 16]) -> String {
    let char = |byte: &u8| BASE32.get(usize::from(byte & 31)).map_or('a', |digit| char::from(*digit));
    random.chunks(4).map(|group| group.iter().map(char).collect::<String>()).collect::<Vec<_>>().join("-")
}

/// What stands in for an authenticator where there is none: so that both take the same time.
static NOBODY: LazyLock<[u8; 20]> = LazyLock::new(|| [7; 20]);

impl Identity {
    pub(crate) async fn authenticator(
        &self,
        cx: &Context,
        user: UserId,
    ) -> Result<Option<Authenticator>, Error> {
        let query = Authenticator::select().eq(Authenticator::USER_ID, &user);
        Ok(self.store.find(&cx.within(Scope::System), query).await?)
    }

    /// Whether a user has an app that is confirmed, how many passkeys, and how many recovery codes.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn factors(&self, cx: &Context, user: UserId) -> Result<(bool, i64, i64), Error> {
        let cx = &cx.within(Scope::System);
        let app = self.authenticator(cx, user).await?.is_some_and(|app| app.confirmed_at.is_some());
        let passkeys = self.store.count(cx, Passkey::select().eq(Passkey::USER_ID, &user)).await?;
        let codes = self.store.count(cx, RecoveryCode::select().eq(RecoveryCode::USER_ID, &user)).await?;
        Ok((app, passkeys, codes))
    }

    /// Whether a password alone does not do.
    pub(crate) async fn has_second_factor(&self, cx: &Context, user: UserId) -> Result<bool, Error> {
        let (app, passkeys, _) = self.factors(cx, user).await?;
        Ok(app || passkeys > 0)
    }

    /// Begins to enrol an app. It counts from the first right code on; until then it can be begun anew.
    ///
    /// # Errors
    /// [`Error::WrongState`] when there is one already.
    pub async fn enrol(&self, cx: &Context, user: &User) -> Result<(Enrolment, Commit), Error> {
        let found = self.authenticator(cx, user.id).await?;
        if found.as_ref().is_some_and(|app| app.confirmed_at.is_some()) {
            return Err(Error::WrongState("there is an authenticator already; remove it first".to_owned()));
        }
        let now = self.clock.now();
        let secret = self.entropy.bytes::<20>()?.to_vec();
        let totp = totp(&secret, &user.email.to_string())?;
        let uri = totp.to_url().map_err(|error| Error::WrongState(error.to_string()))?;
        let enrolment = Enrolment {
            secret: Secret::new(totp_rs::Secret::from(secret.clone()).to_base32()),
            qr_svg: Secret::new(qr_svg(&uri).unwrap_or_default()),
            uri: Secret::new(uri),
        };
        let app = Authenticator {
            user_id: user.id,
            secret,
            confirmed_at: None,
            last_step: 0,
            failures: 0,
            locked_until: Micros(0),
            version: found.as_ref().map_or(1, |app| app.version + 1),
            created_at: now,
        };
        let commit = match &found {
            None => Commit::new().insert(&app),
            // Wrong codes go on counting.
            Some(old) => Commit::new().update(
                old,
                &Authenticator {
                    failures: old.failures,
                    locked_until: old.locked_until,
                    created_at: old.created_at,
                    ..app
                },
            ),
        };
        Ok((enrolment, commit))
    }

    /// Checks a code against an app, and burns its step. A wrong one is counted, whatever else happens.
    async fn check_code(
        &self,
        cx: &Context,
        app: &Authenticator,
        code: &Code,
    ) -> Result<Authenticator, Error> {
        let now = self.clock.now();
        if now < app.locked_until {
            let seconds = app.locked_until.since(now).div_euclid(1_000_000) + 1;
            return Err(Error::FactorLocked(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        match step_of(&app.secret, code, now) {
            Some(step) if step > app.last_step => {
                Ok(Authenticator { last_step: step, failures: 0, version: app.version + 1, ..app.clone() })
            }
            _ => {
                self.count_wrong(cx, app, now).await?;
                Err(Error::CodeInvalid)
            }
        }
    }

    async fn count_wrong(&self, cx: &Context, app: &Authenticator, now: Micros) -> Result<(), Error> {
        let failures = app.failures + 1;
        let beyond = u32::try_from(failures - WRONG_MAX).ok();
        let locked_until = beyond
            .map_or(app.locked_until, |beyond| now.plus((LOCKED_US << beyond.min(16)).min(LOCKED_MAX_US)));
        let counted = Authenticator { failures, locked_until, version: app.version + 1, ..app.clone() };
        let commit = Commit::new().update(app, &counted).action("authenticator.refused");
        match self.store.commit(&cx.within(Scope::System), commit).await {
            // Another code was checked at the same time, and is counted.
            Err(error) if error.kind == StoreErrorKind::Conflict => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Checks the code of a user's app or a recovery code; the commit that burns it. The answer is the same for one that is wrong and
    /// one that was used.
    pub(crate) async fn burn_code(
        &self,
        cx: &Context,
        user: UserId,
        code: &Code,
    ) -> Result<(Commit, &'static str), Error> {
        let app = self.authenticator(cx, user).await?;
        if code.is_digits() {
            return match app.filter(|app| app.confirmed_at.is_some()) {
                Some(app) => {
                    let next = self.check_code(cx, &app, code).await?;
                    Ok((Commit::new().update(&app, &next), "otp"))
                }
                None => {
                    let _ = step_of(NOBODY.as_slice(), code, self.clock.now());
                    Err(Error::CodeInvalid)
                }
            };
        }
        let now = self.clock.now();
        if let Some(app) = app.as_ref().filter(|app| now < app.locked_until) {
            let seconds = app.locked_until.since(now).div_euclid(1_000_000) + 1;
            return Err(Error::FactorLocked(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        let query = RecoveryCode::select().eq(RecoveryCode::USER_ID, &user);
        let left = self.store.list(&cx.within(Scope::System), query).await?;
        let given = hash(&code.0);
        // All of them are compared, so that the time does not tell which.
        let found =
            left.iter().fold(None, |found, one| if equal(&one.hash, &given) { Some(one) } else { found });
        match found {
            Some(one) => Ok((Commit::new().delete(one), "recovery")),
            None => {
                match &app {
                    Some(app) => self.count_wrong(cx, app, now).await?,
                    None => {
                        let noted = Commit::new().note("recovery_code.refused", "user", &user);
                        self.apply(&cx.within(Scope::System), noted).await?;
                    }
                }
                Err(Error::CodeInvalid)
            }
        }
    }

    /// New recovery codes instead of those that are left: their texts, shown once.
    pub(crate) async fn new_codes(&self, cx: &Context, user: UserId) -> Result<(Vec<Secret>, Commit), Error> {
        let query = RecoveryCode::select().eq(RecoveryCode::USER_ID, &user);
        let left = self.store.list(&cx.within(Scope::System), query).await?;
        let mut commit = left.iter().fold(Commit::new(), Commit::delete);
        let mut shown = Vec::with_capacity(CODES);
        for _ in 0..CODES {
            let code = recovery_code(&self.entropy.bytes::<16>()?);
            let plain: String = code.chars().filter(|char| *char != '-').collect();
            let (id, created_at) = (self.ids.next()?, self.clock.now());
            commit =
                commit.insert(&RecoveryCode { id, user_id: user, hash: hash(&plain).to_vec(), created_at });
            shown.push(Secret::new(code));
        }
        Ok((shown, commit))
    }

    /// Takes every second factor from a user who has lost theirs, and signs them out everywhere.
    ///
    /// # Errors
    /// [`Error::WrongState`] when there is none.
    pub async fn reset_factors(&self, cx: &Context, user: &User) -> Result<Commit, Error> {
        let cx = cx.within(Scope::System);
        let (app, passkeys) = (self.authenticator(&cx, user.id).await?, self.passkeys(&cx, user.id).await?);
        if app.is_none() && passkeys.is_empty() {
            return Err(Error::WrongState("there is no second factor".to_owned()));
        }
        let codes = RecoveryCode::select().eq(RecoveryCode::USER_ID, &user.id);
        let codes = self.store.list(&cx, codes).await?;
        let mut commit =
            Commit::new().update(user, &user.next(self.clock.now())).action("user.factors_reset");
        commit = app.iter().fold(commit, Commit::delete);
        commit = passkeys.iter().fold(commit, Commit::delete);
        commit = codes.iter().fold(commit, Commit::delete);
        let commit = commit.and(self.revoking(&cx, user.id, None, "factors").await?);
        Ok(self.changed_factors(user, "all second factors, by whoever runs the installation", commit))
    }

    pub(crate) fn changed_factors(&self, user: &User, what: &str, commit: Commit) -> Commit {
        let told = FactorsChanged { id: user.id.to_string(), what: what.to_owned(), organization: None };
        self.letter(commit.event(&told), &user.email, "factors_changed", &[("what", what)])
    }

    /// Ends enrolling with the first code; recovery codes, shown once.
    ///
    /// # Errors
    /// [`Error::CodeInvalid`], [`Error::WrongState`].
    pub async fn confirm(
        &self,
        cx: &Context,
        user: &User,
        session: &Session,
        code: &Code,
    ) -> Result<(Vec<Secret>, Commit), Error> {
        let app = self.authenticator(cx, user.id).await?;
        let app = app.filter(|app| app.confirmed_at.is_none());
        let app =
            app.ok_or_else(|| Error::WrongState("no authenticator waits for its first code".to_owned()))?;
        let mut next = self.check_code(cx, &app, code).await?;
        next.confirmed_at = Some(self.clock.now());
        let (shown, codes) = self.new_codes(cx, user.id).await?;
        let (_, verified) = self.verified(session, "otp");
        let others = self.revoking(cx, user.id, Some(session.id), "factors").await?;
        let commit = Commit::new()
            .update(&app, &next)
            .update(user, &user.next(self.clock.now()))
            .and(codes)
            .and(verified)
            .and(others);
        Ok((shown, self.changed_factors(user, "authenticator", commit)))
    }

    /// Removes the app; the recovery codes too where no passkey is left to need them. It takes a code.
    ///
    /// # Errors
    /// [`Error::CodeInvalid`], [`Error::NotFound`].
    pub async fn disable(&self, cx: &Context, user: &User, code: &Code) -> Result<Commit, Error> {
        let app = self.authenticator(cx, user.id).await?.filter(|app| app.confirmed_at.is_some());
        let app = app.ok_or(Error::NotFound("authenticator"))?;
        let (_, passkeys, _) = self.factors(cx, user.id).await?;
        let mut commit = if code.is_digits() {
            self.check_code(cx, &app, code).await?;
            Commit::new().delete(&app)
        } else {
            let (burned, _) = self.burn_code(cx, user.id, code).await?;
            burned.delete(&app)
        };
        if passkeys == 0 {
            let query = RecoveryCode::select().eq(RecoveryCode::USER_ID, &user.id);
            let left = self.store.list(&cx.within(Scope::System), query).await?;
            let given = hash(&code.0);
            commit = left.iter().filter(|one| !equal(&one.hash, &given)).fold(commit, Commit::delete);
        }
        Ok(self.changed_factors(user, "authenticator", commit))
    }

    /// New recovery codes instead of the old ones.
    ///
    /// # Errors
    /// [`Error::WrongState`] without a second factor.
    pub async fn regenerate_codes(&self, cx: &Context, user: &User) -> Result<(Vec<Secret>, Commit), Error> {
        if !self.has_second_factor(cx, user.id).await? {
            return Err(Error::WrongState("recovery codes come with a second factor; enrol one".to_owned()));
        }
        let (shown, commit) = self.new_codes(cx, user.id).await?;
        Ok((shown, self.changed_factors(user, "recovery_codes", commit)))
    }

    /// Shows a second factor by its code: a session that waits for it becomes another one, which does not; any other is fresh again.
    ///
    /// # Errors
    /// [`Error::CodeInvalid`], [`Error::FactorLocked`].
    pub async fn verify_code(&self, cx: &Context, session: &Session, code: &Code) -> Result<Issued, Error> {
        let (burned, method) = self.burn_code(cx, session.user_id, code).await?;
        self.pass(cx, session, method, burned).await
    }

    /// Applies what shows a second factor, and gives the session that it is worth.
    pub(crate) async fn pass(
        &self,
        cx: &Context,
        session: &Session,
        method: &str,
        burned: Commit,
    ) -> Result<Issued, Error> {
        let user = self.user(cx, session.user_id).await?;
        if !user.may_sign_in() {
            return Err(Error::SignedOut);
        }
        let cx = cx.within(Scope::System);
        let methods = also(&also(&session.methods, method), "mfa");
        // A new session, so that nothing that was known of the one before is good for more than it was.
        let beginning = Beginning {
            user: &user,
            methods: &methods,
            is_pending: false,
            client: &session.client,
            organization: session.organization_id,
            role: None,
            authenticated_at: None,
        };
        let (issued, begun) = self.begin(&cx, beginning).await?;
        let commit = burned.and(self.revoked(session, "factors")).and(begun).unchanged(&user);
        self.apply(&cx, commit).await.map_err(replayed)?;
        Ok(issued)
    }
}

/// Whether a commit was refused because its code was used meanwhile.
#[must_use]
pub fn burnt(error: &stoa_kernel::store::StoreError) -> bool {
    ["authenticators_version", "recovery_codes_pkey", "recovery_codes_version"]
        .into_iter()
        .any(|name| error.is_by(name))
}

/// A code that somebody used at the same time was used.
pub(crate) fn replayed(error: Error) -> Error {
    match error {
        Error::Store(error) if burnt(&error) => Error::CodeInvalid,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_this_step_and_the_one_before_are_right_and_no_others() {
        let secret = [9; 20];
        let totp = totp(&secret, "ada").unwrap();
        let now = 1_800_000_015_u64;
        let code = |time: u64| totp.generate(time).to_string().parse::<Code>().unwrap();
        let at = Micros(i64::try_from(now).unwrap() * 1_000_000);
        let step = i64::try_from(now / STEP_S).unwrap();
        assert_eq!(step_of(&secret, &code(now), at), Some(step));
        assert_eq!(step_of(&secret, &code(now - 30), at), Some(step - 1));
        assert_eq!(step_of(&secret, &code(now - 60), at), None);
        assert_eq!(step_of(&secret, &code(now + 30), at), None);
    }

    #[test]
    fn codes_are_read_as_people_write_them() {
        assert!("123 456".parse::<Code>().unwrap().is_digits());
        assert_eq!("ABCD-efgh-2345-6789".parse::<Code>().unwrap().0, "abcdefgh23456789");
        assert!("12345".parse::<Code>().is_err() && "１２３４５６".parse::<Code>().is_err());
        assert_eq!(recovery_code(&[0; 16]), "aaaa-aaaa-aaaa-aaaa");
        assert!(qr_svg("otpauth://totp/x").unwrap().starts_with("<svg"));
    }
}
