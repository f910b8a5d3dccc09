//! Answers for people: a table of the columns that matter, or a list of names and values.

use serde_json::Value;

/// One value as people read it.
pub(super) fn cell(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |value, name| value.get(name));
    match found {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => {
            text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
        }
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    }
}

/// The items of a list, a line each, under their names.
pub(super) fn table(items: &[Value], columns: &[&str]) -> String {
    let mut rows = vec![
        columns
            .iter()
            .map(|column| column.rsplit('.').next().unwrap_or(column).to_uppercase())
            .collect::<Vec<_>>(),
    ];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| cell(item, column)).collect()));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The members of an object, a line each.
pub(super) fn list(value: &Value) -> String {
    let members: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    let width = members.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    members.iter().map(|(name, _)| format!("{name:<width$}  {}\n", cell(value, name))).collect()
}
