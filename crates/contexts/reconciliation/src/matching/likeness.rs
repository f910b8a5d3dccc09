//! Likeness of folded texts, in thousandths; integers only.

use crate::normalise::text::tokens;
use crate::rules::TextMeasure;

/// The likeness of two folded texts: 0 (nothing in common) to 1000 (equal). Two blank texts are not alike.
#[must_use]
pub fn likeness(measure: TextMeasure, left: &str, right: &str, noise: &[String]) -> u32 {
    if left.is_empty() || right.is_empty() {
        return 0;
    }
    match measure {
        TextMeasure::TokenSet => token_set(left, right, noise),
        TextMeasure::JaroWinkler => jaro_winkler(left, right),
        TextMeasure::Damerau => damerau(left, right),
        TextMeasure::Contains => contains(left, right, noise),
    }
}

fn thousandths(part: usize, whole: usize) -> u32 {
    (part * 1000).checked_div(whole).and_then(|share| u32::try_from(share).ok()).unwrap_or(0)
}

fn damerau(left: &str, right: &str) -> u32 {
    let longer = left.chars().count().max(right.chars().count());
    thousandths(longer - strsim::osa_distance(left, right).min(longer), longer)
}

/// Token set ratio (as in fuzzywuzzy and RapidFuzz): the words in common against each side's words, the best of three
/// comparisons by InDel similarity 2·LCS ÷ (|a| + |b|).
fn token_set(left: &str, right: &str, noise: &[String]) -> u32 {
    let words = |text| {
        let mut words: Vec<String> = tokens(text, noise).map(str::to_owned).collect();
        words.sort_unstable();
        words.dedup();
        words
    };
    let (left, right) = (words(left), words(right));
    let common: Vec<&str> = left.iter().filter(|word| right.contains(word)).map(String::as_str).collect();
    let rest = |of: &[String]| {
        of.iter()
            .filter(|word| !common.contains(&word.as_str()))
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let common = common.join(" ");
    let joined = |rest: &str| {
        if common.is_empty() { rest.to_owned() } else { format!("{common} {rest}").trim().to_owned() }
    };
    let (left, right) = (joined(&rest(&left)), joined(&rest(&right)));
    if common.is_empty() {
        return indel(&left, &right);
    }
    indel(&common, &left).max(indel(&common, &right)).max(indel(&left, &right))
}

fn indel(left: &str, right: &str) -> u32 {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    // Longest common subsequence, two rows at a time.
    let mut before = vec![0usize; right.len() + 1];
    for a in &left {
        let mut diagonal = 0;
        let mut beside = 0;
        for (b, slot) in right.iter().zip(before.iter_mut().skip(1)) {
            let above = *slot;
            let here = if a == b { diagonal + 1 } else { above.max(beside) };
            (diagonal, beside, *slot) = (above, here, here);
        }
    }
    let common = before.last().copied().unwrap_or(0);
    thousandths(2 * common, left.len() + right.len())
}

/// Jaro-Winkler (M. Jaro 1989, W. Winkler 1990) with the usual prefix weight of 0.1 for up to four characters.
fn jaro_winkler(left: &str, right: &str) -> u32 {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let reach = (left.len().max(right.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; right.len()];
    let mut matched_left = Vec::new();
    for (at, a) in left.iter().enumerate() {
        let window = right.iter().zip(taken.iter_mut()).take(at + reach + 1).skip(at.saturating_sub(reach));
        for (b, taken) in window {
            if a == b && !*taken {
                *taken = true;
                matched_left.push(*a);
                break;
            }
        }
    }
    let matches = matched_left.len();
    if matches == 0 {
        return 0;
    }
    let matched_right = right.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(b, _)| *b);
    let out_of_place = matched_left.iter().zip(matched_right).filter(|(a, b)| *a != b).count();
    let transpositions = out_of_place / 2;
    // Millionths, so that the floor of the third does not show in thousandths.
    let part = |numerator: usize, denominator: usize| numerator * 1_000_000 / denominator;
    let jaro =
        (part(matches, left.len()) + part(matches, right.len()) + part(matches - transpositions, matches))
            / 3;
    let prefix = left.iter().zip(&right).take(4).take_while(|(a, b)| a == b).count();
    let winkler = jaro + prefix * (1_000_000 - jaro) / 10;
    u32::try_from((winkler + 500) / 1_000).unwrap_or(1000).min(1000)
}

fn contains(left: &str, right: &str, noise: &[String]) -> u32 {
    let (left, right): (Vec<&str>, Vec<&str>) =
        (tokens(left, noise).collect(), tokens(right, noise).collect());
    let (short, long) = if left.len() <= right.len() { (&left, &right) } else { (&right, &left) };
    let found = !short.is_empty() && long.windows(short.len()).any(|window| window == short.as_slice());
    if found { 1000 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values_of_each_measure() {
        assert_eq!(jaro_winkler("martha", "marhta"), 961);
        assert_eq!(jaro_winkler("dixon", "dicksonx"), 813);
        assert_eq!(jaro_winkler("abc", "xyz"), 0);
        assert_eq!(damerau("inv-ab12", "inv-ba12"), 875, "one transposition in eight");
        assert_eq!(token_set("acme gmbh berlin", "berlin acme", &[]), 1000);
        assert_eq!(token_set("acme", "zenith", &[]), indel("acme", "zenith"));
        assert_eq!(contains("ord 123", "payment for ord-123 thanks", &[]), 1000);
        assert_eq!(contains("ord 12", "ord-123", &[]), 0);
    }

    proptest! {
        #[test]
        fn every_measure_is_symmetric_and_bounded(a in "[a-d ]{0,12}", b in "[a-d ]{0,12}") {
            for measure in [TextMeasure::TokenSet, TextMeasure::Damerau, TextMeasure::Contains] {
                let score = likeness(measure, &a, &b, &[]);
                prop_assert!(score <= 1000);
                prop_assert_eq!(score, likeness(measure, &b, &a, &[]));
            }
            prop_assert!(likeness(TextMeasure::JaroWinkler, &a, &b, &[]) <= 1000);
        }

        #[test]
        fn a_text_is_entirely_like_itself(a in "[a-z]{1,12}( [a-z]{1,5})?") {
            for measure in [TextMeasure::TokenSet, TextMeasure::Damerau, TextMeasure::Contains, TextMeasure::JaroWinkler] {
                prop_assert_eq!(likeness(measure, &a, &a, &[]), 1000);
            }
        }
    }
}
