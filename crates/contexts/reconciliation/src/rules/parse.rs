use std::collections::BTreeSet;

use super::{Cardinality, RuleSet};
use crate::matching::key::Selector;
use crate::normalise::references::Extractor;

/// Rules that cannot be used. Code `rules_invalid`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct RulesError {
    /// The line of the file, from 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl stoa_kernel::error::Coded for RulesError {
    fn code(&self) -> &'static str {
        "rules_invalid"
    }
}

/// Reads rules from YAML or JSON (which is YAML too).
///
/// # Errors
/// [`RulesError`], with the line and, for a name that is not known, the one that was probably meant.
pub fn parse(text: &str) -> Result<RuleSet, RulesError> {
    let rules: RuleSet = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map(|location| location.line());
        RulesError { line, message: explain(&error.to_string()) }
    })?;
    check(&rules).map_err(|(name, message)| RulesError {
        line: name.and_then(|name| line_of(text, &name)),
        message,
    })?;
    Ok(rules)
}

/// Writes rules as YAML.
#[must_use]
pub fn to_yaml(rules: &RuleSet) -> String {
    serde_saphyr::to_string(rules).unwrap_or_default()
}

/// The line on which a name stands as a value; a help for people, not a proof.
fn line_of(text: &str, name: &str) -> Option<u64> {
    (1..).zip(text.lines()).find(|(_, line)| line.contains(name)).map(|(number, _)| number)
}

/// Turns the parser's message into one for people.
fn explain(rendered: &str) -> String {
    let first = rendered.lines().next().unwrap_or("");
    let message = match first.find(": ").filter(|_| first.starts_with("error: line ")) {
        // "error: line 3 column 3: what"
        Some(_) => first.splitn(3, ": ").nth(2).unwrap_or(first),
        None => first,
    };
    for (start, noun) in [("unknown field `", "field"), ("unknown variant `", "choice")] {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let Some((name, rest)) = rest.split_once('`') else { continue };
        let known: Vec<&str> = rest
            .trim_start_matches(", expected ")
            .trim_start_matches("one of ")
            .split(',')
            .map(|known| known.trim().trim_matches('`'))
            .filter(|known| !known.is_empty())
            .collect();
        let place = owner(&known).map(|title| format!(" of {title}")).unwrap_or_default();
        return match nearest(name, &known) {
            Some(meant) => format!("\"{name}\" is not a {noun}{place}; did you mean \"{meant}\"?"),
            None => format!("\"{name}\" is not a {noun}{place}; there are {}", known.join(", ")),
        };
    }
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("\"{field}\" is missing");
    }
    message.to_owned()
}

/// The title of the part of the rules that has exactly these fields.
fn owner(fields: &[&str]) -> Option<String> {
    let schema: serde_json::Value = serde_json::from_str(&super::json_schema()).ok()?;
    let wanted: BTreeSet<&str> = fields.iter().copied().collect();
    let definitions = schema.get("$defs")?.as_object()?;
    std::iter::once(&schema).chain(definitions.values()).find_map(|part| {
        let properties: BTreeSet<&str> =
            part.get("properties")?.as_object()?.keys().map(String::as_str).collect();
        (properties == wanted).then(|| part.get("title")?.as_str().map(str::to_owned)).flatten()
    })
}

/// The known name that is most like `name`, if one is near enough to have been meant.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|&candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), candidate), candidate))
        .filter(|&(edits, candidate)| edits * 3 <= candidate.chars().count().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// What the types cannot say. The first part of the error is a name by which the line can be found.
fn check(rules: &RuleSet) -> Result<(), (Option<String>, String)> {
    let fail = |name: &str, message: String| Err((Some(name.to_owned()), message));
    if rules.version != 1 {
        return fail("version", format!("version {} is not known; this Stoa reads version 1", rules.version));
    }
    if rules.passes.is_empty() {
        return fail("passes", "there is no pass; at least one is needed".to_owned());
    }
    let mut names = BTreeSet::new();
    for pass in &rules.passes {
        if !names.insert(pass.name.as_str()) {
            return fail(&pass.name, format!("there are two passes with the name \"{}\"", pass.name));
        }
        let texts = pass.text.iter().flat_map(|rule| [&rule.left, &rule.right]);
        let conditions = [&pass.conditions, &pass.exclude]
            .into_iter()
            .flat_map(|sides| sides.left.iter().chain(&sides.right));
        let fields = pass
            .key
            .iter()
            .flat_map(|part| [&part.left, &part.right])
            .chain(texts)
            .chain(conditions.clone().map(|condition| &condition.field));
        for field in fields {
            if let Err(message) = Selector::parse(field) {
                return fail(field, message);
            }
        }
        for condition in conditions {
            if let Some(pattern) = &condition.matches
                && let Err(error) = regex::Regex::new(pattern)
            {
                return fail(pattern, format!("\"{pattern}\" is not a regular expression: {error}"));
            }
            for bound in [&condition.at_least, &condition.at_most].into_iter().flatten() {
                if bound.parse::<stoa_kernel::money::Decimal>().is_err() {
                    return fail(bound, format!("\"{bound}\" is not a decimal number"));
                }
            }
        }
        for rule in &pass.text {
            if rule.at_least > 1000 {
                return fail(
                    "at_least",
                    format!("at_least is in thousandths, 0 to 1000; got {}", rule.at_least),
                );
            }
        }
        if let Some(date) = &pass.date {
            if date.from > date.to {
                return fail(
                    "from",
                    format!(
                        "the window of pass \"{}\" is empty: from {} is after to {}",
                        pass.name, date.from, date.to
                    ),
                );
            }
            if let Some(calendar) = &date.calendar
                && !rules.calendars.contains_key(calendar)
            {
                return fail(calendar, format!("there is no calendar \"{calendar}\" in calendars"));
            }
        }
        for code in pass.amount.currencies.keys() {
            if code.parse::<stoa_kernel::currency::Currency>().is_err() {
                return fail(code, format!("\"{code}\" is not an ISO 4217 currency code"));
            }
        }
        if pass.cardinality.is_empty() {
            return fail("cardinality", format!("pass \"{}\" has an empty cardinality", pass.name));
        }
        let groups = [Cardinality::OneToMany, Cardinality::ManyToOne, Cardinality::ManyToMany];
        let has_groups = pass.cardinality.iter().any(|cardinality| groups.contains(cardinality));
        if has_groups && pass.key.is_empty() {
            return fail(
                &pass.name,
                format!(
                    "pass \"{}\" looks for groups and needs a key; currency and account would do",
                    pass.name
                ),
            );
        }
        if has_groups && pass.amount.fx.is_some() {
            return fail(
                &pass.name,
                format!("pass \"{}\" converts currencies; groups must be of one currency", pass.name),
            );
        }
        if !(1..=16).contains(&pass.groups.parts_max) || !(2..=512).contains(&pass.groups.candidates_max) {
            return fail(&pass.name, "groups: parts_max is 1 to 16 and candidates_max 2 to 512".to_owned());
        }
        if pass.margin > 1000 {
            return fail("margin", format!("margin is in thousandths, 0 to 1000; got {}", pass.margin));
        }
    }
    for source in [&rules.sources.left, &rules.sources.right] {
        if let Some(calendar) = &source.calendar
            && !rules.calendars.contains_key(calendar)
        {
            return fail(calendar, format!("there is no calendar \"{calendar}\" in calendars"));
        }
        for extractor in &source.references {
            if let Err(message) = Extractor::compile(extractor) {
                return fail(&extractor.pattern, message);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYED: &str = r#"
version: 1
name: keyed
passes:
  - name: by reference
    key: [reference, currency]
    amount:
      tolerance: 0.020
      currencies: { JPY: 0 }
    date: { from: 0, to: 3 }
    cardinality: [one_to_one, one_to_many]
"#;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn rules_read_back_from_the_yaml_that_they_are_written_as() {
        let rules = parse(KEYED).unwrap();
        assert_eq!(rules.passes[0].amount.tolerance.unwrap().to_string(), "0.020", "no float on the way");
        assert_eq!(parse(&to_yaml(&rules)).unwrap(), rules);
        assert_eq!(parse(&serde_json::to_string(&rules).unwrap()).unwrap(), rules, "JSON is read too");
    }

    #[test]
    fn a_misspelt_name_says_where_it_stands_and_what_was_meant() {
        assert_eq!(
            error(&KEYED.replace("tolerance", "tolerence")),
            "line 8: \"tolerence\" is not a field of amount; did you mean \"tolerance\"?"
        );
        assert_eq!(
            error(&KEYED.replace("one_to_many", "one_to_mony")),
            "line 11: \"one_to_mony\" is not a choice; did you mean \"one_to_many\"?"
        );
        assert_eq!(
            error(&KEYED.replace("[reference,", "[referense,")),
            "line 6: \"referense\" is not a field of a record; did you mean \"reference\"?"
        );
        assert!(
            error(&KEYED.replace("tolerance", "colour")).contains("there are tolerance, currencies, percent")
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        assert!(error(&KEYED.replace("0.020", "1e-3")).contains("is not a decimal number such as 0.02"));
        assert!(error(&KEYED.replace("0.020", "-1")).contains("must not be negative"));
        assert!(error(&KEYED.replace("from: 0", "from: 9")).contains("the window of pass"));
        assert!(error(&KEYED.replace("JPY", "JPX")).contains("not an ISO 4217"));
        assert!(error(&KEYED.replace("version: 1", "version: 7")).contains("reads version 1"));
        assert!(error("name: x").contains("is missing"));
        assert!(error("{").starts_with("line "));
    }
}
