use super::RuleSet;

/// The JSON Schema (draft 2020-12) of a rules file, indented.
#[must_use]
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(RuleSet);
    schema.insert("$id".to_owned(), "https://stoa.example/schemas/rules-v1.json".into());
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
