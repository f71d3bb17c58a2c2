//! Extracts single values from a document, for the metadata of entries.

use serde_json::Value;

use super::scan::{Token, TokenKind};
use super::text::unescape;
use super::walk::{Paths, Walk};

/// Longer strings are truncated at a character.
pub const MAX_VALUE_BYTES: usize = 1024;

impl Paths {
    /// The first string, number or boolean at each path, in the order of the paths, found in one pass.
    /// A value that the end of the bytes may have truncated is ignored.
    #[must_use]
    pub fn first_values(&self, bytes: &[u8]) -> Vec<Option<Value>> {
        let mut values = vec![None; self.len()];
        let mut missing = values.len();
        let mut walk = Walk::new(bytes, self);
        while missing > 0 {
            let Some(token) = walk.next_token() else {
                break;
            };
            if walk.hits().is_empty() || token.kind == TokenKind::Key {
                continue;
            }
            let Some(value) = parse_scalar(bytes, token) else {
                continue;
            };
            for path in walk.hits() {
                if let Some(slot @ None) = values.get_mut(*path) {
                    *slot = Some(value.clone());
                    missing -= 1;
                }
            }
        }
        values
    }
}

fn parse_scalar(bytes: &[u8], token: Token) -> Option<Value> {
    if token.cut {
        return None;
    }
    let content = bytes.get(token.content())?;
    match token.kind {
        TokenKind::Text => {
            // An escape is at least as long as its character.
            let beginning = content.get(..MAX_VALUE_BYTES * 6).unwrap_or(content);
            Some(Value::String(crate::text::truncate(
                &unescape(beginning),
                MAX_VALUE_BYTES,
            )))
        }
        TokenKind::Number => serde_json::from_slice(content).ok().map(Value::Number),
        TokenKind::Word => match content {
            b"true" => Some(Value::Bool(true)),
            b"false" => Some(Value::Bool(false)),
            _ => None,
        },
        TokenKind::Key | TokenKind::OpenObject | TokenKind::OpenArray | TokenKind::Close => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn first(text: &[u8], paths: &[&str]) -> Vec<Option<Value>> {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        Paths::new(paths).first_values(text)
    }

    #[test]
    fn extracts_scalars() {
        let text = br#"{"model": "gpt\u002d4", "n": 1.5, "on": true, "off": false, "no": null, "o": {"n": 7}}"#;
        let paths = [
            "$.model", "$.n", "$.on", "$.off", "$.no", "$.o", "$.o.n", "$..n", "$.z",
        ];
        assert_eq!(
            first(text, &paths),
            [
                Some(json!("gpt-4")),
                Some(json!(1.5)),
                Some(json!(true)),
                Some(json!(false)),
                None,
                None,
                Some(json!(7)),
                Some(json!(1.5)),
                None,
            ]
        );
    }

    #[test]
    fn first_scalar_wins() {
        let text = br#"{"a": null, "a": {}, "a": 1, "a": 2}"#;
        assert_eq!(first(text, &["$.a"]), [Some(json!(1))]);
    }

    #[test]
    fn ignores_value_at_cut() {
        let text = br#"{"a": 1, "b": 123, "c": "xyz", "d": true}"#;
        let all = ["$.a", "$.b", "$.c", "$.d"];
        for (cut, expected) in [(17, 1), (18, 2), (28, 2), (29, 3), (39, 3), (40, 4)] {
            let found = first(&text[..cut], &all);
            assert_eq!(found.iter().flatten().count(), expected, "at {cut}");
        }
    }

    #[test]
    fn extracts_values_before_malformed_part() {
        assert_eq!(
            first(br#"{"a": 1, oops, "b": 2}"#, &["$.a", "$.b"]),
            [Some(json!(1)), None]
        );
        assert_eq!(first(b"\xff\xfe", &["$.a"]), [None]);
    }

    #[test]
    fn truncates_long_strings_at_character() {
        let text = format!(
            r#"{{"a": "{}é!", "b": "{}"}}"#,
            "x".repeat(1023),
            "\\u00e9".repeat(2000)
        );
        let values = first(text.as_bytes(), &["$.a", "$.b"]);
        assert_eq!(values[0], Some(json!("x".repeat(1023))));
        assert_eq!(values[1], Some(json!("é".repeat(512))));
    }

    #[test]
    fn replaces_invalid_utf8() {
        assert_eq!(
            first(b"{\"a\": \"x\xffy\"}", &["$.a"]),
            [Some(json!("x\u{fffd}y"))]
        );
    }
}
