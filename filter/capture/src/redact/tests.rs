//! Redaction of bodies, queries, headers and texts.

use std::borrow::Cow;

use dossier_wire::BodyMissing;
use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use serde_json::{Value, json};

use super::*;
use crate::config::redact::parse;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod attacks;

const EVERYTHING: [&str; 7] = [
    "email",
    "credit_card",
    "bearer_token",
    "aws_key",
    "jwt",
    "iban",
    "phone",
];

fn redaction(keys: &Value) -> Redaction {
    parse(keys, "redact").unwrap().unwrap()
}

/// A gzip member with a header that has every field.
fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut member = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abcname\0comment\0\x12\x34".to_vec();
    member.extend(compress_to_vec(plain, 6));
    member.extend([0; 8]);
    member
}

fn by_path(paths: &[&str]) -> Redaction {
    redaction(&json!({"json": paths, "with": "X"}))
}

fn by_pattern() -> Redaction {
    redaction(&json!({"patterns": EVERYTHING, "with": "X"}))
}

fn search(redaction: &Redaction, kind: &str, bytes: &[u8], truncated: bool) -> RedactedBody {
    let body = RawBody {
        bytes: bytes.to_vec(),
        content_type: (!kind.is_empty()).then_some(kind),
        content_encoding: None,
        truncated,
        max_bytes: 1 << 16,
    };
    redaction.redact_body(body, None, &mut RedactionCounts::default())
}

/// The redacted form of a complete body.
fn whole(redaction: &Redaction, kind: &str, text: &str) -> String {
    let searched = search(redaction, kind, text.as_bytes(), false);
    assert!(!searched.truncated && searched.missing.is_none(), "{text}");
    String::from_utf8(searched.bytes).unwrap()
}

/// The redacted form of a truncated body.
fn cut(redaction: &Redaction, kind: &str, text: &str) -> String {
    let searched = search(redaction, kind, text.as_bytes(), true);
    assert!(searched.truncated);
    String::from_utf8(searched.bytes).unwrap()
}

#[test]
fn replaces_only_values_at_paths() {
    let redaction = by_path(&["$.password", "$..ssn", "$.m[*].c"]);
    for (text, left) in [
        (
            r#"{"password" : "a\"b" , "x":1}"#,
            r#"{"password" : "X" , "x":1}"#,
        ),
        (
            r#"{"\u0070assword":"a","password":"b"}"#,
            r#"{"\u0070assword":"X","password":"X"}"#,
        ),
        (
            r#"{"a":[{"ssn":123},{"ssn":null}]}"#,
            r#"{"a":[{"ssn":"X"},{"ssn":"X"}]}"#,
        ),
        (
            r#"{"m":[{"c":[1,{"d":2}],"r":"u"},{"c":{}}]}"#,
            r#"{"m":[{"c":"X","r":"u"},{"c":"X"}]}"#,
        ),
        (
            r#"{"nested":{"password":"stays"}}"#,
            r#"{"nested":{"password":"stays"}}"#,
        ),
        (
            "{\"ssn\":1}\n{\"ssn\":2}",
            "{\"ssn\":\"X\"}\n{\"ssn\":\"X\"}",
        ),
    ] {
        assert_eq!(whole(&redaction, "application/json", text), left);
        assert_eq!(whole(&redaction, "", text), left);
        assert_eq!(whole(&redaction, "text/plain", text), left);
        assert_eq!(whole(&redaction, "application/x-ndjson", text), left);
    }
}

#[test]
fn finds_patterns_in_escapes_keys_and_numbers() {
    let redaction = by_pattern();
    for (text, left) in [
        (r#"{"a":"to alice\u0040example.com!"}"#, r#"{"a":"to X!"}"#),
        (r#"{"bob@example.com":1}"#, r#"{"X":1}"#),
        (
            r#"{"card":4111111111111111,"n":12}"#,
            r#"{"card":"X","n":12}"#,
        ),
        (
            r#"["4111\u00201111 1111 1111","a\nb@c.de"]"#,
            r#"["X","a\nX"]"#,
        ),
        (r#"["Bearer abcdefgh\/ijk=="]"#, r#"["Bearer X"]"#),
        (
            r#"{"a": oops, "b": "x\u0040example.com"}"#,
            r#"{"a": oops, "b": "X"}"#,
        ),
    ] {
        assert_eq!(whole(&redaction, "application/json", text), left);
    }
}

#[test]
fn match_never_splits_a_character() {
    let redaction = redaction(&json!({"patterns": [{"name": "o", "regex": "a."}], "with": "X"}));
    assert_eq!(
        whole(&redaction, "application/json", r#"["aéb"]"#),
        r#"["Xb"]"#
    );
}

#[test]
fn truncated_json_shows_no_partial_secret() {
    let paths = by_path(&["$.password", "$.o"]);
    for (text, left) in [
        (r#"{"a":"b","password":"se"#, r#"{"a":"b","password":"X""#),
        (r#"{"password":12"#, r#"{"password":"X""#),
        (r#"{"password":tr"#, r#"{"password":"X""#),
        (r#"{"o":{"a":[1,"#, r#"{"o":"X""#),
        (r#"{"a":"some wor"#, r#"{"a":"some wor"#),
    ] {
        assert_eq!(cut(&paths, "application/json", text), left);
    }
    let patterns = by_pattern();
    for (text, left) in [
        (r#"{"a":"card 4111 1111 11"#, r#"{"a":"card"#),
        (r#"{"a":"card \u0034111 \u0031"#, r#"{"a":"card"#),
        (r#"{"a":"to alice@exa"#, r#"{"a":"to "#),
        (r#"{"a":"to alice@example.com or x"#, r#"{"a":"to X or "#),
        (r#"{"a":41111111"#, r#"{"a":"#),
        (r#"{"alice@ex"#, r#"{""#),
        (r#"{"a":"x y","b":{"#, r#"{"a":"x y","b":{"#),
    ] {
        assert_eq!(cut(&patterns, "application/json", text), left);
    }
}

#[test]
fn removes_rest_after_malformed_or_deep_json() {
    let redaction = by_path(&["$.password"]);
    let searched = search(
        &redaction,
        "application/json",
        br#"{"a":1, oops "password":"secret"}"#,
        false,
    );
    assert_eq!(searched.bytes, br#"{"a":1, "#);
    assert!(searched.truncated);
    let deep = "[".repeat(200) + r#"{"password":"secret"}"#;
    let searched = search(&redaction, "application/json", deep.as_bytes(), false);
    assert_eq!(searched.bytes, "[".repeat(128).as_bytes());
    assert!(searched.truncated);
    // Text that never was JSON is not truncated.
    assert_eq!(whole(&redaction, "text/plain", "[info] up"), "[info] up");
}

#[test]
fn malformed_line_leaves_other_lines() {
    let redaction = by_path(&["$.password"]);
    let lines = "{\"password\":1}\n{oops \"password\":2}\n\u{1e}{\"password\":3}\n";
    let searched = search(&redaction, "application/x-ndjson", lines.as_bytes(), false);
    assert_eq!(
        searched.bytes,
        b"{\"password\":\"X\"}\n{\n\x1e{\"password\":\"X\"}\n"
    );
    assert!(searched.truncated);
}

#[test]
fn redacts_events_line_by_line() {
    let both = redaction(&json!({"json": ["$.password"], "patterns": ["email"], "with": "X"}));
    for (text, left) in [
        (
            "event: a\ndata: {\"password\":1}\n\ndata:{\"a\":\"b\\u0040c.de\"}\r\n\r\ndata: [DONE]\n\n",
            "event: a\ndata: {\"password\":\"X\"}\n\ndata:{\"a\":\"X\"}\r\n\r\ndata: [DONE]\n\n",
        ),
        (
            ": a@b.de\ndata: {\ndata: \"password\":1}\nid: 3\n\ndata: b@c.de",
            ": X\ndata: X\nid: 3\n\ndata: X",
        ),
    ] {
        assert_eq!(whole(&both, "text/event-stream", text), left);
    }
    let spread = "data: {\"a\":\ndata: \"b\\u0040c.de\"}\n\n";
    let patterns = by_pattern();
    assert_eq!(
        whole(&patterns, "text/event-stream", spread),
        "data: {\"a\":\ndata: \"X\"}\n\n"
    );
    let begun = "data: {}\n\ndata: {\"password\":\"se";
    assert_eq!(
        cut(&both, "text/event-stream", begun),
        "data: {}\n\ndata: {\"password\":\"X\""
    );
}

#[test]
fn redacts_forms_by_name_and_pattern() {
    let redaction =
        redaction(&json!({"query": ["Token", "a b"], "patterns": EVERYTHING, "with": "X"}));
    for (text, left) in [
        ("token=abc&x=1", "token=X&x=1"),
        ("x=%31&%74OKEN=a%20b&token", "x=%31&%74OKEN=X&token"),
        ("a+b=1&a%20b=2&token=", "a+b=X&a%20b=X&token="),
        ("mail=alice%40example.com&z=%41", "mail=X&z=%41"),
        ("mail=a+b@example.com&p=+4917012345678", "mail=X&p=X"),
        ("card=4111+1111+1111+1111", "card=X"),
        ("bob@example.com=1&&=", "X=1&&="),
    ] {
        let kind = "application/x-www-form-urlencoded";
        assert_eq!(whole(&redaction, kind, text), left);
        let query = redaction.redact_query(text, None, &mut RedactionCounts::default());
        assert_eq!(query, left);
    }
    let form = "application/x-www-form-urlencoded";
    assert_eq!(cut(&redaction, form, "a=1&token=ab"), "a=1&token=X");
    assert_eq!(cut(&redaction, form, "a=1&b=x+alice%40ex"), "a=1&b=x+");
}

#[test]
fn redacts_parts_by_name_and_pattern() {
    let keys = json!({"query": ["token"], "json": ["$.p"], "patterns": ["email"], "with": "X"});
    let redaction = redaction(&keys);
    let text = "--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nsecret\r\nlines\r\n\
                --B\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nmail a@b.de\r\n\
                --B\r\nContent-Disposition: form-data; name=\"j\"\r\n\r\n{\"p\":1}\r\n--B--\r\n";
    let left = text
        .replace("secret\r\nlines", "X")
        .replace("a@b.de", "X")
        .replace("{\"p\":1}", "{\"p\":\"X\"}");
    assert_eq!(
        whole(&redaction, "multipart/form-data; boundary=B", text),
        left
    );
    let begun = &text[..text.find("lines").unwrap()];
    let left = begun.replace("secret\r\n", "X");
    assert_eq!(
        cut(&redaction, "multipart/form-data; boundary=B", begun),
        left
    );
    let lost = search(&redaction, "multipart/form-data", text.as_bytes(), false);
    assert_eq!(lost.missing, Some(BodyMissing::Unreadable));
}

#[test]
fn grpc_messages_keep_their_lengths() {
    let redaction = by_pattern();
    let message = |flags: u8, text: &str| {
        let mut bytes = vec![flags];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    };
    let sent = [
        message(0, "\u{a}\u{7}a@b.de\0x"),
        message(0, ""),
        message(0, "c@d.ef"),
    ]
    .concat();
    let left = [
        message(0, "\u{a}\u{7}******\0x"),
        message(0, ""),
        message(0, "******"),
    ]
    .concat();
    let searched = search(&redaction, "application/grpc", &sent, false);
    assert_eq!((searched.bytes, searched.truncated), (left, false));
    let begun = search(
        &redaction,
        "application/grpc",
        &sent[..sent.len() - 1],
        true,
    );
    assert!(!begun.bytes.windows(2).any(|pair| pair == b"c@"));
    let packed = search(&redaction, "application/grpc", &message(1, "x"), false);
    assert_eq!(packed.missing, Some(BodyMissing::Unreadable));
}

fn encoded(
    redaction: &Redaction,
    encoding: &str,
    bytes: Vec<u8>,
    max_bytes: usize,
) -> RedactedBody {
    let body = RawBody {
        bytes,
        content_type: Some("application/json"),
        content_encoding: Some(encoding),
        truncated: false,
        max_bytes,
    };
    redaction.redact_body(body, None, &mut RedactionCounts::default())
}

#[test]
fn decodes_bodies_before_redaction() {
    let redaction = by_path(&["$.password"]);
    let text = br#"{"a": 1, "password": "secret"}"#;
    let left = br#"{"a": 1, "password": "X"}"#;
    for (encoding, bytes) in [
        ("gzip", gzipped(text)),
        ("deflate", compress_to_vec_zlib(text, 6)),
    ] {
        let searched = encoded(&redaction, encoding, bytes.clone(), 1000);
        assert_eq!(searched.bytes, left);
        assert!(searched.decoded && !searched.truncated);
        let searched = encoded(&redaction, encoding, bytes, 24);
        assert_eq!(searched.bytes, left[..24]);
        assert!(searched.decoded && searched.truncated);
    }
    let plain = encoded(&redaction, "identity", text.to_vec(), 1000);
    assert_eq!((&plain.bytes[..], plain.decoded), (&left[..], false));
}

#[test]
fn unreadable_bodies_follow_configuration() {
    let drop = by_path(&["$.password"]);
    let keep = redaction(&json!({"json": ["$.password"], "unreadable": "keep"}));
    for encoding in ["br", "zstd", "gzip, br", "gzip", "deflate"] {
        let bytes = b"\xff\xffno such encoding".to_vec();
        let dropped = encoded(&drop, encoding, bytes.clone(), 1000);
        assert_eq!(dropped.missing, Some(BodyMissing::Unreadable));
        assert_eq!((dropped.bytes.len(), dropped.decoded), (0, false));
        let kept = encoded(&keep, encoding, bytes.clone(), 1000);
        assert_eq!((kept.bytes, kept.missing), (bytes, None));
    }
    for (kind, bytes) in [
        ("application/json; charset=utf-16", &b"{}"[..]),
        ("application/json", b"{\0\"\0"),
        ("text/plain", b"\xff\xfea\0"),
        ("", b"{\0}\0"),
    ] {
        let dropped = search(&drop, kind, bytes, false);
        assert_eq!(dropped.missing, Some(BodyMissing::Unreadable), "{kind}");
    }
    // No rule applies to bodies, so they need not be readable.
    let headers = redaction(&json!({"headers": ["x-api-key"]}));
    assert_eq!(encoded(&headers, "br", b"abc".to_vec(), 10).bytes, b"abc");
    assert_eq!(encoded(&drop, "br", Vec::new(), 10).missing, None);
}

#[test]
fn output_stays_within_limit() {
    let redaction = redaction(&json!({"json": ["$[*]"], "with": "x".repeat(64)}));
    let text = format!("[{}1]", "1,".repeat(20_000));
    let searched = search(&redaction, "application/json", text.as_bytes(), false);
    assert!(searched.truncated);
    assert!(searched.bytes.len() <= (1 << 16) + (64 << 10));
    assert!(searched.bytes.len() > 1 << 16);
}

#[test]
fn redacts_headers_and_paths() {
    let redaction =
        redaction(&json!({"headers": ["X-Api-Key"], "patterns": EVERYTHING, "with": "X"}));
    let mut counts = RedactionCounts::default();
    let mut header =
        |name: &str, value: &'static str| redaction.redact_header(name, value, None, &mut counts);
    assert_eq!(header("x-api-KEY", "anything"), "X");
    assert_eq!(header("authorization", "Bearer t"), "Bearer X");
    assert_eq!(header("cookie", "a=1; m=a%40b.de; b=2"), "a=1; m=X; b=2");
    assert!(matches!(header("accept", "*/*"), Cow::Borrowed("*/*")));
    let path = redaction.redact_text("/users/a%40b.de/%41", None, &mut counts);
    assert_eq!(path, "/users/X/%41");
    let counts: Vec<_> = counts.iter().collect();
    assert_eq!(
        counts,
        [("bearer_token", 1), ("email", 2), ("header:x-api-key", 1)]
    );
}

#[test]
fn counts_replaced_values_by_rule() {
    let redaction = redaction(&json!({
        "json": ["$..p"], "query": ["token"],
        "patterns": ["email", "jwt", {"name": "order", "regex": "ORD-[0-9]+"}],
    }));
    let text = r#"{"p":"a@b.de","q":["a@b.de c@d.ef ORD-1"],"r":{"p":[1]}}"#;
    let body = RawBody {
        bytes: text.into(),
        content_type: None,
        content_encoding: None,
        truncated: false,
        max_bytes: 1000,
    };
    let mut counts = RedactionCounts::default();
    let searched = redaction.redact_body(body, None, &mut counts);
    assert_eq!(
        searched.bytes,
        br#"{"p":"[REDACTED]","q":["[REDACTED] [REDACTED] [REDACTED]"],"r":{"p":"[REDACTED]"}}"#
    );
    let _ = redaction.redact_query("token=1", None, &mut counts);
    let all: Vec<_> = counts.iter().collect();
    assert_eq!(
        all,
        [("$..p", 2), ("email", 2), ("order", 1), ("query:token", 1)]
    );
    assert_eq!((counts.total(), counts.is_empty()), (6, false));
    assert!(RedactionCounts::default().is_empty());
}

#[test]
fn hash_ignores_how_value_is_written() {
    let redaction = redaction(&json!({
        "json": ["$.p"], "query": ["t"], "patterns": ["email"], "with": "hash",
    }));
    assert!(redaction.needs_key() && !by_pattern().needs_key());
    let key = HashKey::new(b"a key of sixteen bytes or more").unwrap();
    let hash = key.replacement(b"a@b.de");
    let counts = &mut RedactionCounts::default();
    for text in [
        r#"{"p":"a\u0040b.de"}"#,
        r#"{"x":"a@b.de"}"#,
        r#"{"x":"a\u0040b.de"}"#,
    ] {
        let body = RawBody {
            bytes: text.into(),
            content_type: None,
            content_encoding: None,
            truncated: false,
            max_bytes: 1000,
        };
        let searched = redaction.redact_body(body, Some(&key), counts);
        let value: Value = serde_json::from_slice(&searched.bytes).unwrap();
        assert_eq!(
            value.as_object().unwrap().values().next(),
            Some(&json!(hash))
        );
    }
    let query = redaction.redact_query("t=a%40b.de&u=a%40b.de", Some(&key), counts);
    assert_eq!(query, format!("t={hash}&u={hash}"));
    let query = redaction.redact_query("t=a%40b.de", None, counts);
    assert_eq!(query, "t=[REDACTED]");
}
