//! NUL characters in JSON, which Postgres cannot store.

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
