//! Step 6: text as it is compared. Reports show the raw text.

use unicode_normalization::UnicodeNormalization as _;

/// Appends `raw` to `out` as it is compared: NFKC, case-folded, runs of blanks collapsed to one, ends trimmed.
///
/// Case folding is Unicode lower-casing after NFKC (with ß as ss), which is what names and references need.
pub fn fold_into(raw: &str, out: &mut String) {
    if raw.is_ascii() {
        fold_ascii(raw, out);
        return;
    }
    let start = out.len();
    let mut blank = true;
    for c in raw.nfkc().flat_map(char::to_lowercase) {
        if c.is_whitespace() || c == '\u{feff}' {
            if !blank {
                out.push(' ');
            }
            blank = true;
        } else if c == 'ß' {
            out.push_str("ss");
            blank = false;
        } else if !is_invisible(c) {
            out.push(c);
            blank = false;
        }
    }
    trim_last_blank(out, start);
}

fn fold_ascii(raw: &str, out: &mut String) {
    let start = out.len();
    let mut blank = true;
    for byte in raw.bytes() {
        if byte.is_ascii_whitespace() {
            if !blank {
                out.push(' ');
            }
            blank = true;
        } else if !byte.is_ascii_control() {
            out.push(char::from(byte.to_ascii_lowercase()));
            blank = false;
        }
    }
    trim_last_blank(out, start);
}

fn trim_last_blank(out: &mut String, start: usize) {
    if out.len() > start && out.ends_with(' ') {
        out.pop();
    }
}

/// Zero-width characters and other marks that two equal texts may differ by without anyone seeing it.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{ad}' | '\0'..='\u{1f}')
}

/// `raw` as it is compared; see [`fold_into`].
#[must_use]
pub fn fold(raw: &str) -> String {
    let mut folded = String::with_capacity(raw.len());
    fold_into(raw, &mut folded);
    folded
}

/// The words of a folded text: runs of letters and digits, without the configured noise.
pub fn tokens<'a>(folded: &'a str, noise: &'a [String]) -> impl Iterator<Item = &'a str> {
    folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(move |token| !token.is_empty() && !noise.iter().any(|word| word == token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_people_call_the_same_fold_to_the_same() {
        assert_eq!(fold("  ACME\t GmbH "), "acme gmbh");
        assert_eq!(fold("Müller\u{a0}Straße"), fold("MU\u{308}LLER STRASSE"));
        assert_eq!(fold("ﬁnance ①"), "finance 1");
        assert_eq!(fold("in\u{200b}voice"), "invoice");
    }

    #[test]
    fn noise_is_left_out_of_the_words() {
        let noise = ["gmbh".to_owned()];
        assert_eq!(tokens("acme gmbh, inv-12", &noise).collect::<Vec<_>>(), ["acme", "inv", "12"]);
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing_more(raw in "\\PC{0,40}") {
            let once = fold(&raw);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn the_ascii_path_agrees_with_the_general_one(raw in "[ -~\t]{0,40}") {
            let general = { let mut out = String::new(); fold_into(&format!("{raw}é"), &mut out); out };
            prop_assert_eq!(format!("{}é", fold(&format!("{raw}x")).strip_suffix('x').unwrap()), general);
        }
    }
}
