//! Addresses of mail.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

/// A mail address, its domain in lower case. Its `Debug` shows only the domain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// A text that is no mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a mail address such as ada@example.org, at most 254 characters")]
pub struct ParseEmailError;

/// The most characters of an address (RFC 5321, section 4.5.3.1.3, less the brackets).
const LENGTH_MAX: usize = 254;

impl FromStr for Email {
    type Err = ParseEmailError;

    /// Reads the `addr-spec` of RFC 5322 without comments, quoted local parts or address literals, which nobody uses to sign in.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: String = text.trim().nfc().collect();
        let (local, domain) = text.rsplit_once('@').ok_or(ParseEmailError)?;
        let domain = domain.to_lowercase();
        let local_is_good = !local.is_empty()
            && local.len() <= 64
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c));
        let label_is_good = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let domain_is_good = domain.contains('.') && domain.split('.').all(label_is_good);
        let length = local.len() + 1 + domain.len();
        if local_is_good && domain_is_good && length <= LENGTH_MAX {
            Ok(Self(format!("{local}@{domain}")))
        } else {
            Err(ParseEmailError)
        }
    }
}

impl Email {
    /// What two spellings of one mailbox share: upper and lower case are told apart by hardly any server, and by no person.
    #[must_use]
    pub(crate) fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[personal]@{}", self.0.rsplit('@').next().unwrap_or(""))
    }
}

impl serde::Serialize for Email {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

stoa_kernel::text_field!(Email);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_others_refused() {
        assert_eq!("Ada.L+x@Example.ORG".parse::<Email>().unwrap().to_string(), "Ada.L+x@example.org");
        for bad in
            ["", "a", "@b.c", "a@", "a@b", "a b@c.d", ".a@b.c", "a..b@c.d", "a@-b.c", "a@b..c", "a@b.c\0"]
        {
            assert_eq!(bad.parse::<Email>(), Err(ParseEmailError), "{bad:?}");
        }
        assert!(format!("{:?}", "ada@example.org".parse::<Email>().unwrap()).starts_with("[personal]"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(email) = text.parse::<Email>() {
                prop_assert_eq!(email.to_string().parse::<Email>(), Ok(email));
            }
        }
    }
}
