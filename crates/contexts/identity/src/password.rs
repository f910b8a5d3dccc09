//! Passwords: Argon2id (RFC 9106), on threads of their own.

use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::opaque::equal;
use crate::service::Identity;

/// The fewest and the most characters of a password. There are no other rules (NIST SP 800-63B).
pub const CHARS: std::ops::RangeInclusive<usize> = 8..=256;

/// What hashing takes. The default is the least that OWASP asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// A password as somebody typed it.
#[derive(Clone)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl std::str::FromStr for Password {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use unicode_normalization::UnicodeNormalization as _;
        // However a keyboard composes it, it is the same password (RFC 8265).
        Ok(Self(text.nfc().take(1_024).collect()))
    }
}

/// A password that somebody chooses: one that may be taken.
#[derive(Debug, Clone)]
pub struct NewPassword(pub Password);

impl std::str::FromStr for NewPassword {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Ok(password) = text.parse::<Password>();
        password.check_new().map(|()| Self(password))
    }
}

/// A hash as it is stored: `argon2id$memory$passes$lanes$salt$hash`.
fn encode(hashing: Hashing, salt: &[u8], hash: &[u8]) -> String {
    let Hashing { memory_kib, passes, lanes } = hashing;
    format!("argon2id${memory_kib}${passes}${lanes}${}${}", BASE64.encode(salt), BASE64.encode(hash))
}

fn decode(text: &str) -> Option<(Hashing, Vec<u8>, Vec<u8>)> {
    let mut parts = text.split('$');
    let (Some("argon2id"), Some(memory), Some(passes), Some(lanes), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let hashing = Hashing {
        memory_kib: memory.parse().ok()?,
        passes: passes.parse().ok()?,
        lanes: lanes.parse().ok()?,
    };
    Some((hashing, BASE64.decode(salt).ok()?, BASE64.decode(hash).ok()?))
}

fn argon2id(hashing: Hashing, password: &str, salt: &[u8]) -> Option<[u8; 32]> {
    let params = Params::new(hashing.memory_kib, hashing.passes, hashing.lanes, Some(32)).ok()?;
    let mut hash = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password.as_bytes(), salt, &mut hash).ok()?;
    Some(hash)
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) is_right: bool,
    /// Whether it was hashed with other parameters than those of now.
    pub(crate) is_outdated: bool,
}

impl Identity {
    /// The hash of a new password.
    pub(crate) async fn hash_password(&self, password: &Password) -> Result<String, Error> {
        let (hashing, salt, password) =
            (self.settings.hashing, self.entropy.bytes::<16>()?, password.0.clone());
        let hashed =
            self.blocking.run(move || argon2id(hashing, &password, &salt)).await.map_err(|_| Error::Busy)?;
        let hash = hashed.ok_or_else(|| Error::field("/password", "cannot be hashed"))?;
        Ok(encode(hashing, &salt, &hash))
    }

    /// Checks a password against a stored hash. Without one it takes as long, and is wrong: one Argon2id on every path.
    pub(crate) async fn check_password(
        &self,
        password: &Password,
        stored: Option<&str>,
    ) -> Result<Checked, Error> {
        let now = self.settings.hashing;
        let known = stored.and_then(decode);
        let is_known = known.is_some();
        let (hashing, salt, wanted) = known.unwrap_or_else(|| (now, vec![0; 16], vec![0; 32]));
        let password = password.0.clone();
        let hashed =
            self.blocking.run(move || argon2id(hashing, &password, &salt)).await.map_err(|_| Error::Busy)?;
        let is_right = hashed.is_some_and(|hash| equal(&hash, &wanted)) && is_known;
        Ok(Checked { is_right, is_outdated: hashing != now })
    }
}

/// Words that common passwords are made of. A password that is one of them with digits, signs and look-alikes around is refused.
const STEMS: &str = include_str!("password/common.txt");

static COMMON: LazyLock<std::collections::HashSet<&'static str>> =
    LazyLock::new(|| STEMS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect());

impl Password {
    /// What is wrong with it as a new password.
    ///
    /// # Errors
    /// What it takes.
    pub fn check_new(&self) -> Result<(), String> {
        let length = self.0.chars().count();
        if !CHARS.contains(&length) {
            return Err(format!("a password has {} to {} characters", CHARS.start(), CHARS.end()));
        }
        if is_common(&self.0) {
            return Err("this is one of the passwords that everybody tries first".to_owned());
        }
        Ok(())
    }
}

/// Whether a password is one that is tried first: one character or a short piece over and over, a run along the keyboard or the
/// alphabet, or common words with decoration.
fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let chars: Vec<char> = lower.chars().collect();
    let repeats = |size: usize| chars.iter().zip(chars.iter().skip(size)).all(|(a, b)| a == b);
    if (1..=4).any(repeats) {
        return true;
    }
    const RUNS: [&str; 7] = [
        "abcdefghijklmnopqrstuvwxyz",
        "01234567890123456789",
        "qwertyuiopasdfghjklzxcvbnm",
        "qwertzuiopasdfghjklyxcvbnm",
        "azertyuiopqsdfghjklmwxcvbn",
        "1qaz2wsx3edc4rfv5tgb6yhn",
        "qazwsxedcrfvtgbyhnujm",
    ];
    let backwards: String = chars.iter().rev().collect();
    if RUNS.iter().any(|run| run.contains(&lower) || run.contains(&backwards)) {
        return true;
    }
    let plain: String = lower
        .chars()
        .map(|char| match char {
            '0' => 'o',
            '1' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            other => other,
        })
        .collect();
    let stem = |text: &str| text.trim_matches(|char: char| !char.is_alphabetic()).to_owned();
    [stem(&lower), stem(&plain), stem(&plain.replace('i', "l"))].iter().any(|stem| is_made_of_words(stem))
}

/// Whether a text is one common word, or two of them one after the other.
fn is_made_of_words(text: &str) -> bool {
    let is_word = |text: &str| COMMON.contains(text);
    text.is_empty()
        || is_word(text)
        || text.char_indices().skip(1).any(|(at, _)| {
            let (first, second) = text.split_at(at);
            is_word(first) && is_word(second.trim_start_matches(|char: char| !char.is_alphabetic()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_passwords_are_refused_and_others_are_not() {
        for common in [
            "password",
            "Password1",
            "P@ssw0rd!",
            "12345678",
            "qwertyuiop",
            "iloveyou",
            "letmein123",
            "aaaaaaaa",
            "abcdabcd",
            "87654321",
            "Summer2024!",
            "welcome1",
            "trustno1",
            "sunshine99",
            "1qaz2wsx",
            "football1",
            "dragon123",
            "adminadmin",
        ] {
            assert!(common.parse::<Password>().unwrap().check_new().is_err(), "{common}");
        }
        for fine in [
            "correct horse battery",
            "tUq7-vanille",
            "Rhabarberkuchen im Mai",
            "xkcd-936-zebra",
            "пароль для входа",
        ] {
            assert_eq!(fine.parse::<Password>().unwrap().check_new(), Ok(()), "{fine}");
        }
        assert!("short".parse::<Password>().unwrap().check_new().is_err());
        assert!("é".repeat(8).parse::<Password>().unwrap().check_new().is_err());
        assert!("x y".repeat(100).parse::<Password>().unwrap().check_new().is_err());
    }

    #[test]
    fn a_hash_reads_back() {
        let hashing = Hashing::default();
        assert_eq!(decode(&encode(hashing, &[1; 16], &[2; 32])), Some((hashing, vec![1; 16], vec![2; 32])));
        assert_eq!(decode("argon2id$1$2"), None);
    }
}
