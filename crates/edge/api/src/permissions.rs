//! The page of permissions, made from the table: `docs/permissions.md`.

use std::fmt::Write as _;

use stoa_identity::access::{Permission, Permissions, Role};

use crate::access::RULES;

/// The page, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Permissions\n\nMade from the tables in `crates/contexts/identity/src/access.rs` and `crates/edge/api/src/access.rs` by `make generate`.\n\n\
         ## Roles\n\n| permission | lets | owner | admin | developer | member | viewer | guest | can be granted |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for permission in Permission::ALL {
        let of = |role: &Role| if Permissions::of(*role, []).has(*permission) { " ✓ |" } else { " |" };
        let marks: String = Role::ALL.iter().rev().map(of).collect();
        let grantable = if permission.is_grantable() { "yes" } else { "fixed" };
        let _ = writeln!(page, "| `{permission}` | {} |{marks} {grantable} |", permission.about());
    }
    page.push_str("\n## Operations\n\nWhat is not in this table is refused. *fresh*: authenticated within the last ten minutes; not for keys of programs. *attempt*: counted by address, and refused while nobody can count.\n\n| operation | by whom | permission | |\n|---|---|---|---|\n");
    for rule in RULES {
        let permission =
            rule.who.permission().map_or_else(String::new, |permission| format!("`{permission}`"));
        let marks: Vec<&str> = [(rule.is_fresh, "fresh"), (rule.is_attempt, "attempt")]
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, mark)| mark)
            .collect();
        let _ = writeln!(
            page,
            "| `{} {}` | {} | {permission} | {} |",
            rule.method,
            rule.path,
            rule.who.about(),
            marks.join(", ")
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_a_rule_and_every_rule_an_operation() {
        let document = serde_json::to_value(crate::document()).unwrap();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in
                ["get", "put", "post", "delete", "patch"].iter().filter(|method| item.get(**method).is_some())
            {
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let ruled: BTreeSet<String> =
            RULES.iter().map(|rule| format!("{} {}", rule.method, rule.path)).collect();
        assert_eq!(ruled.len(), RULES.len(), "a rule is there twice");
        assert_eq!(
            documented.difference(&ruled).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "without a rule"
        );
        assert_eq!(
            ruled.difference(&documented).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "without an operation"
        );
    }
}
