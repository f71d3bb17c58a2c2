//! What JSON may not hold: NUL characters, which Postgres cannot store, and deep nesting, which not every parser reads.

use serde_json::{Map, Value};

/// Whether any key or string contains a NUL. Recursion is bounded by the JSON parser, which accepts at
/// most 128 levels.
#[must_use]
pub fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map_has_nul(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// [`has_nul`] for the members of an object.
#[must_use]
pub fn map_has_nul(map: &Map<String, Value>) -> bool {
    map.iter()
        .any(|(key, value)| key.contains('\0') || has_nul(value))
}

/// How many levels of arrays and objects there are: none in a scalar, one in a flat list.
#[must_use]
pub fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or_default(),
        Value::Object(map) => map_nesting(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// [`nesting`] of an object.
#[must_use]
pub fn map_nesting(map: &Map<String, Value>) -> usize {
    1 + map.values().map(nesting).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_deepest_level() {
        for (value, levels) in [
            (json!(1), 0),
            (json!([]), 1),
            (json!({"a": [1, [2], {}]}), 3),
        ] {
            assert_eq!(nesting(&value), levels, "{value}");
        }
    }

    #[test]
    fn finds_nul_at_any_depth() {
        for value in [
            json!("\0"),
            json!([["a\0"]]),
            json!({"a\0": 1}),
            json!({"a": [{"b": "\0"}]}),
        ] {
            assert!(has_nul(&value), "{value}");
        }
        assert!(!has_nul(&json!({"a": ["0", 0, null, true, "\\u0000"]})));
    }
}
