//! Names in addresses.

use std::fmt;
use std::str::FromStr;

/// A name in addresses: 2 to 40 of `a`–`z`, `0`–`9` and `-`, a letter first, no `-` last or twice in a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// A text that is no slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a slug has 2 to 40 of a–z, 0–9 and -, begins with a letter, and has no - at its end or twice in a row"
)]
pub struct ParseSlugError;

impl FromStr for Slug {
    type Err = ParseSlugError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_good = (2..=40).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--");
        if is_good { Ok(Self(text.to_owned())) } else { Err(ParseSlugError) }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

stoa_kernel::text_field!(Slug);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_read_and_others_refused() {
        for good in ["ab", "acme", "a1", "north-wind-2", &"a".repeat(40)] {
            assert_eq!(good.parse::<Slug>().map(|slug| slug.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "a", "1a", "-a", "a-", "a--b", "Acme", "a b", "ä1", "a_b", &"a".repeat(41)] {
            assert_eq!(bad.parse::<Slug>(), Err(ParseSlugError), "{bad}");
        }
    }
}
