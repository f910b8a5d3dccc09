//! JSON Merge Patch (RFC 7396) for changes, JSON Patch (RFC 6902) for saying what changed.

use serde_json::{Map, Value};

/// Applies a merge patch: `null` removes, objects merge, everything else replaces (RFC 7396, section 2).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.shift_remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The operations that make `before` into `after`: `add`, `remove` and `replace` of members; arrays are replaced whole.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    compare(before, after, &mut String::new(), &mut operations);
    operations
}

fn compare(before: &Value, after: &Value, path: &mut String, operations: &mut Vec<Value>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            operations.push(operation("replace", path, Some(after)));
        }
        return;
    };
    let mut each = |name: &str, pair: (Option<&Value>, Option<&Value>)| {
        let length = path.len();
        path.push('/');
        // RFC 6901, section 3.
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        match pair {
            (Some(old), Some(new)) => compare(old, new, path, operations),
            (Some(_), None) => operations.push(operation("remove", path, None)),
            (None, Some(new)) => operations.push(operation("add", path, Some(new))),
            (None, None) => {}
        }
        path.truncate(length);
    };
    for (name, value) in old {
        each(name, (Some(value), new.get(name)));
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        each(name, (None, Some(value)));
    }
}

fn operation(name: &str, path: &str, value: Option<&Value>) -> Value {
    let mut operation = Map::new();
    operation.insert("op".to_owned(), name.into());
    operation.insert("path".to_owned(), path.into());
    if let Some(value) = value {
        operation.insert("value".to_owned(), value.clone());
    }
    Value::Object(operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z/~]{0,4}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c/~]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Applies a JSON Patch of objects, as a reader of the audit trail would.
    fn apply(mut target: Value, operations: &[Value]) -> Value {
        for operation in operations {
            let path = operation["path"].as_str().unwrap();
            if path.is_empty() {
                target = operation["value"].clone();
                continue;
            }
            let (parent, name) = path.rsplit_once('/').unwrap();
            let name = name.replace("~1", "/").replace("~0", "~");
            let members = target.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match operation["op"].as_str().unwrap() {
                "remove" => drop(members.remove(&name).unwrap()),
                _ => drop(members.insert(name, operation["value"].clone())),
            }
        }
        target
    }

    fn sorted(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let mut parts: Vec<String> =
                    members.iter().map(|(name, value)| format!("{name:?}:{}", sorted(value))).collect();
                parts.sort();
                format!("{{{}}}", parts.join(","))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn a_diff_applied_to_the_old_gives_the_new(before in document(), after in document()) {
            let made = apply(before.clone(), &diff(&before, &after));
            prop_assert_eq!(sorted(&made), sorted(&after));
            prop_assert!(diff(&before, &before).is_empty());
        }
    }

    #[test]
    fn merging_follows_the_examples_of_rfc_7396() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, result, "{target} {patch}");
        }
    }
}
