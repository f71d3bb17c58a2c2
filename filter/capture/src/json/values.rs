//! Extracts single values from a document, for the metadata of entries.

use dossier_content::media_kind::MediaKind;
use dossier_content::media_type::MediaType;
use dossier_content::sse;
use dossier_wire::limits::filter::MAX_METADATA_VALUE_BYTES;
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::scan::{Token, TokenKind};
use super::text::unescape;
use super::walk::{Paths, Walk};
use crate::text;

/// Of the escape of one byte.
pub const MAX_ESCAPE_BYTES: usize = 6;

/// As many decimal digits as each double keeps.
const SAFE_DIGITS: usize = 15;

/// A string, number or boolean of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Of a string at most [`MAX_METADATA_VALUE_BYTES`].
    pub value: Value,
    /// The value is the beginning of a longer string.
    pub truncated: bool,
    /// A number as it is written; empty for others, and for one that is too long to be of use.
    pub digits: String,
}

impl Paths {
    /// The first string, number or boolean at each path, in the order of the paths, found in one pass.
    /// A value that the end of the bytes may have truncated is ignored.
    #[must_use]
    pub fn first_values(&self, bytes: &[u8]) -> Vec<Option<Scalar>> {
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
            let Some(scalar) = parse_scalar(bytes, token) else {
                continue;
            };
            for path in walk.hits() {
                if let Some(slot @ None) = values.get_mut(*path) {
                    *slot = Some(scalar.clone());
                    missing -= 1;
                }
            }
        }
        values
    }
}

impl Paths {
    /// The same of each document of a stream, by its content type: server-sent events, or lines of JSON. The last one
    /// that has a value gives it: there stands what a stream ends with, such as its usage.
    #[must_use]
    pub fn last_values(&self, body: &[u8], content_type: Option<&str>) -> Vec<Option<Scalar>> {
        let mut last = Vec::new();
        let mut add = |document: &[u8]| {
            let values = self.first_values(document);
            if last.is_empty() {
                last = values;
                return;
            }
            for (slot, value) in last.iter_mut().zip(values) {
                *slot = value.or_else(|| slot.take());
            }
        };
        match MediaKind::of(&MediaType::parse(content_type).essence()) {
            MediaKind::Events => sse::for_each_data(body, add),
            MediaKind::JsonLines => body.split(|byte| *byte == b'\n').for_each(add),
            _ => add(body),
        }
        last
    }
}

fn parse_scalar(bytes: &[u8], token: Token) -> Option<Scalar> {
    if token.cut {
        return None;
    }
    let content = bytes.get(token.content())?;
    let value = match token.kind {
        TokenKind::Text => return Some(parse_text(content)),
        TokenKind::Number => return parse_number(content),
        TokenKind::Word => match content {
            b"true" => Some(Value::Bool(true)),
            b"false" => Some(Value::Bool(false)),
            _ => None,
        },
        TokenKind::Key | TokenKind::OpenObject | TokenKind::OpenArray | TokenKind::Close => None,
    };
    value.map(|value| Scalar {
        value,
        truncated: false,
        digits: String::new(),
    })
}

/// A number that neither 64 bits nor a double hold is a text of its digits.
fn parse_number(content: &[u8]) -> Option<Scalar> {
    let digits = std::str::from_utf8(content).ok()?;
    let is_safe = |number: &Number| !number.is_f64() || significant_digits(digits) <= SAFE_DIGITS;
    match serde_json::from_str::<Number>(digits) {
        Ok(number) if is_safe(&number) => Some(Scalar {
            value: Value::Number(number),
            truncated: false,
            digits: digits.to_owned(),
        }),
        // Also one beyond the range of a double.
        _ => {
            serde_json::from_str::<&RawValue>(digits).ok()?;
            Some(parse_text(content))
        }
    }
}

/// Without leading zeros, sign, point and exponent.
fn significant_digits(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    digits.skip_while(|digit| *digit == b'0').count()
}

fn parse_text(content: &[u8]) -> Scalar {
    const MAX_ESCAPED_BYTES: usize = MAX_METADATA_VALUE_BYTES * MAX_ESCAPE_BYTES;
    let beginning = content.get(..MAX_ESCAPED_BYTES).unwrap_or(content);
    let unescaped = unescape(beginning);
    // JSON is UTF-8: other bytes in it are damage, not another charset.
    let unescaped = String::from_utf8_lossy(&unescaped);
    let text = text::truncate(unescaped.as_bytes(), MAX_METADATA_VALUE_BYTES);
    Scalar {
        value: Value::String(text.text),
        truncated: text.was_longer || content.len() > MAX_ESCAPED_BYTES,
        digits: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn scalars(text: &[u8], paths: &[&str]) -> Vec<Option<Scalar>> {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        Paths::new(paths).first_values(text)
    }

    fn first(text: &[u8], paths: &[&str]) -> Vec<Option<Value>> {
        let found = scalars(text, paths).into_iter();
        found
            .map(|scalar| scalar.map(|scalar| scalar.value))
            .collect()
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
    fn numbers_keep_their_digits() {
        for (written, expected) in [
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551617", json!("18446744073709551617")),
            ("0.1234567890123456789", json!("0.1234567890123456789")),
            ("0.000123456789012345", json!(0.000_123_456_789_012_345)),
            ("1.50", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("1e400", json!("1e400")),
        ] {
            let text = format!("{{\"a\": {written}}}");
            assert_eq!(
                first(text.as_bytes(), &["$.a"]),
                [Some(expected)],
                "{written}"
            );
        }
        let scalar = scalars(b"[1.50]", &["$[0]"]).remove(0).unwrap();
        assert_eq!(scalar.digits, "1.50");
    }

    #[test]
    fn streams_give_the_last_value() {
        let paths = || {
            let paths = ["$.usage.tokens", "$.model", "$.none"];
            Paths::new(paths.map(|path| path.parse().unwrap()).to_vec())
        };
        let values = |body: &str, content_type| -> Vec<_> {
            let found = paths().last_values(body.as_bytes(), Some(content_type));
            let found = found.into_iter();
            found.map(|it| it.map(|it| it.value)).collect()
        };
        let expected = [Some(json!(7)), Some(json!("m")), None];
        let events = "data: {\"model\": \"m\", \"usage\": {\"tokens\": 1}}\n\nevent: x\r\ndata: {\"usage\":\r\n\
            data: {\"tokens\": 7}}\r\n\r\ndata: [DONE]\n\ndata: {\"model\": \"unfinished\"}\n";
        assert_eq!(values(events, "text/event-stream; charset=utf-8"), expected);
        let lines =
            "{\"model\": \"m\", \"usage\": {\"tokens\": 1}}\n\n{\"usage\": {\"tokens\": 7}}\n";
        assert_eq!(values(lines, "application/x-ndjson"), expected);
        assert_eq!(
            values(lines, "application/json"),
            [Some(json!(1)), Some(json!("m")), None]
        );
        assert_eq!(values("", "text/event-stream"), []);
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
    fn only_longer_strings_are_truncated() {
        for (string, truncated) in [
            ("x".repeat(1024), false),
            ("x".repeat(1025), true),
            ("\\u0041".repeat(1024), false),
            ("\\u0041".repeat(1025), true),
        ] {
            let found = scalars(format!(r#"{{"a": "{string}"}}"#).as_bytes(), &["$.a"]);
            assert_eq!(found[0].as_ref().unwrap().truncated, truncated);
        }
    }

    #[test]
    fn replaces_invalid_utf8() {
        assert_eq!(
            first(b"{\"a\": \"x\xffy\"}", &["$.a"]),
            [Some(json!("x\u{fffd}y"))]
        );
    }
}
