//! Attempts to smuggle a secret past redaction.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn everything() -> Redaction {
    redaction(&json!({
        "json": ["$..password"], "query": ["token"], "patterns": EVERYTHING, "with": "X",
    }))
}

fn is_dropped(redaction: &Redaction, kind: &str, bytes: &[u8]) -> bool {
    let searched = search(redaction, kind, bytes, false);
    searched.missing == Some(BodyMissing::Unreadable) && searched.bytes.is_empty()
}

/// Strings that begin like JSON must be JSON, at any depth.
fn assert_json_in_json(value: &Value) {
    match value {
        Value::String(text) if text.starts_with(['{', '[']) => {
            assert_json_in_json(&serde_json::from_str(text).unwrap());
        }
        Value::Array(items) => items.iter().for_each(assert_json_in_json),
        Value::Object(members) => members.values().for_each(assert_json_in_json),
        _ => {}
    }
}

#[test]
fn redacts_json_inside_json_strings() {
    let redaction = everything();
    for (text, left) in [
        (
            r#"{"arguments":"{\"mail\":\"alice@example.com\"}"}"#,
            r#"{"arguments":"{\"mail\":\"X\"}"}"#,
        ),
        (
            r#"{"arguments":"{\"mail\":\"alice\\u0040example.com\"}"}"#,
            r#"{"arguments":"{\"mail\":\"X\"}"}"#,
        ),
        // After a line break there is no letter, although its escape looks like one.
        (
            r#"["{\"key\":\"is:\\nAKIAIOSFODNN7EXAMPLE\\n\"}"]"#,
            r#"["{\"key\":\"is:\\nX\\n\"}"]"#,
        ),
        (
            r#"["{\"a\":\"\\tDE89370400440532013000\\n\\n+49 170 5557788\"}"]"#,
            r#"["{\"a\":\"\\tX\\n\\nX\"}"]"#,
        ),
        // Read as plain text, the address begins with the letter of the escape: then both are replaced.
        (
            r#"["{\"a\":\"to\\nalice@example.com\\n\"}"]"#,
            r#"["{\"a\":\"toX\\n\"}"]"#,
        ),
        (
            r#"["[\"[\\\"4111\\\\u00201111\\\\u00201111\\\\u00201111\\\"]\"]"]"#,
            r#"["[\"[\\\"X\\\"]\"]"]"#,
        ),
    ] {
        let found = whole(&redaction, JSON, text);
        assert_eq!(found, left);
        assert_json_in_json(&serde_json::from_str(&found).unwrap());
    }
}

#[test]
fn decodes_percent_escapes_everywhere() {
    let redaction = everything();
    for (kind, text, left) in [
        (
            JSON,
            r#"{"u":"/x?m=alice%40example.com"}"#,
            r#"{"u":"/x?m=X"}"#,
        ),
        (JSON, r#"{"u":"4111%201111%201111%201111"}"#, r#"{"u":"X"}"#),
        (JSON, r#"{"u":"alice\u002540example.com"}"#, r#"{"u":"X"}"#),
        ("text/plain", "GET /x?m=alice%40example.com", "GET /x?m=X"),
        (
            "text/event-stream",
            "data: m=alice%40example.com\n\n",
            "data: m=X\n\n",
        ),
        (
            FORM,
            "next=%2Fx%3Fm%3Dalice%2540example.com",
            "next=%2Fx%3Fm%3DX",
        ),
        (
            FORM,
            "j=%7B%22m%22%3A%22alice%5Cu0040example.com%22%7D",
            "j=%7B%22m%22%3A%22X%22%7D",
        ),
    ] {
        assert_eq!(whole(&redaction, kind, text), left);
    }
    let path = redaction.redact_text(
        "/a%2540b.de/alice%2540example.com",
        None,
        &mut RedactionCounts::default(),
    );
    assert_eq!(path, "/X/X");
}

#[test]
fn cut_in_nested_escapes_shows_nothing() {
    let redaction = everything();
    let secret = r"4111\\u00201111\\u00201111\\u00201111";
    let text = format!(r#"["{{\"card\":\"is {secret}\"}}"]"#);
    let begin = text.find(secret).unwrap();
    for end in begin..begin + secret.len() {
        let left = cut(&redaction, JSON, &text[..end]);
        assert!(left.len() <= begin, "{left}");
    }
    let form = "u=%2Fx%3Fcard%3D4111%252d1111%252d1111%252d1111";
    let begin = form.find("4111").unwrap();
    for end in begin..form.len() {
        let left = cut(&redaction, FORM, &form[..end]);
        assert!(left.len() <= begin, "{left}");
    }
}

#[test]
fn finds_json_under_any_content_type() {
    let redaction = everything();
    let text = "{\"a\":1,\"pass\\u0077ord\":\"secret\"}";
    let left = "{\"a\":1,\"pass\\u0077ord\":\"X\"}";
    for kind in [
        "",
        "text/plain",
        "APPLICATION/JSON",
        "Text/HTML; charset=x",
        FORM,
    ] {
        assert_eq!(whole(&redaction, kind, text), left, "{kind}");
        let marked = format!("\u{feff}{text}");
        assert_eq!(whole(&redaction, kind, &marked), format!("\u{feff}{left}"));
    }
    let begun = &text[..text.len() - 5];
    assert_eq!(cut(&redaction, FORM, begun), &left[..left.len() - 1]);
    // A text that only begins like JSON is still a form.
    for (text, left) in [
        ("{\"a\"=1&token=secret", "{\"a\"=1&token=X"),
        ("[&token=secret", "[&token=X"),
        ("[]&token=secret", "[]&token=X"),
    ] {
        assert_eq!(whole(&redaction, FORM, text), left);
    }
}

#[test]
fn body_with_several_types_is_unreadable() {
    let redaction = everything();
    let part = b"--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nsecret\r\n--B--\r\n";
    for kind in [
        "text/plain, multipart/form-data; boundary=B",
        "multipart/form-data; boundary=B, text/plain",
        "multipart/form-data; boundary=C; boundary=B",
        "multipart/form-data; boundary=\"C\\\"\"",
        "multipart/form-data",
    ] {
        assert!(is_dropped(&redaction, kind, part), "{kind}");
    }
    assert!(!is_dropped(
        &redaction,
        "multipart/form-data; boundary=B",
        part
    ));
}

#[test]
fn quotes_in_filename_hide_no_name() {
    let redaction = everything();
    for name in [
        "filename=\"; name=x\"; name=\"token\"",
        "filename=\"C:\\\"; name=\"token\"",
        "NAME=token; filename=\"a\"",
    ] {
        let text = format!("--B\r\ncontent-disposition: form-data; {name}\r\n\r\nsecret\r\n--B--");
        let left = whole(&redaction, "multipart/form-data; boundary=B", &text);
        assert_eq!(left, text.replace("secret", "X"));
    }
}

#[test]
fn semicolons_may_separate_pairs() {
    let redaction = everything();
    for (text, left) in [
        ("a=1;token=secret", "a=1;token=X"),
        ("token=sec;ret&b=2", "token=X&b=2"),
        ("a=1;tok%65n=sec;ret;c=3&b=2;d", "a=1;tok%65n=X&b=2;d"),
        ("a;token=;b", "a;token=X"),
        ("a=alice%40example.com;token=x", "a=X;token=X"),
        ("a=b;c", "a=b;c"),
    ] {
        assert_eq!(whole(&redaction, FORM, text), left);
        assert_eq!(
            redaction.redact_query(text, None, &mut RedactionCounts::default()),
            left
        );
    }
}

#[test]
fn compressed_bytes_are_not_text() {
    let redaction = everything();
    let text = br#"{"password":"secret"}"#;
    for kind in ["", JSON, "text/plain", "application/octet-stream"] {
        assert!(is_dropped(&redaction, kind, &gzipped(text)), "{kind}");
        for magic in [&b"\x28\xb5\x2f\xfd"[..], b"\xfd7zXZ\0", b"PK\x03\x04"] {
            assert!(is_dropped(&redaction, kind, &[magic, b" ..."].concat()));
        }
    }
    let twice = encoded(&redaction, "GZIP", gzipped(&gzipped(text)), 1000);
    assert_eq!(twice.missing, Some(BodyMissing::Unreadable));
    for encoding in ["x-gzip", "GZip", " gzip "] {
        let once = encoded(&redaction, encoding, gzipped(text), 1000);
        assert_eq!(once.bytes, br#"{"password":"X"}"#);
    }
    for encoding in ["gzip, gzip", "identity, gzip", "gzip,", "aws-chunked"] {
        let lost = encoded(&redaction, encoding, gzipped(text), 1000);
        assert_eq!(lost.missing, Some(BodyMissing::Unreadable), "{encoding}");
    }
}

#[test]
fn recognizes_utf16_by_first_character() {
    let redaction = everything();
    for bytes in [&b"\0{\0\""[..], b"{\0\"\0", b"\xfe\xff\0{", b"\0[\0{"] {
        for kind in ["", "text/plain", JSON] {
            assert!(is_dropped(&redaction, kind, bytes), "{kind} {bytes:?}");
        }
    }
}

#[test]
fn carriage_return_ends_event_line() {
    let redaction = everything();
    let text = "data: {\"password\":1}\r\rdata:{\"password\":2}\r\n\rid: alice@example.com\r";
    let left = "data: {\"password\":\"X\"}\r\rdata:{\"password\":\"X\"}\r\n\rid: X\r";
    assert_eq!(whole(&redaction, "text/event-stream", text), left);
}

#[test]
fn truncated_text_shows_no_partial_secret() {
    let redaction = redaction(&json!({
        "headers": ["x-api-key"], "query": ["token"], "patterns": EVERYTHING, "with": "X",
    }));
    let counts = &mut RedactionCounts::default();
    let mut header = |name, text| {
        redaction
            .redact_header(name, RawText::truncated(text), None, counts)
            .into_owned()
    };
    assert_eq!(header("x-note", "card 4111 1111 11"), "card");
    assert_eq!(header("x-note", "a, b, alice@exa"), "a, b, ");
    assert_eq!(header("x-api-key", "sec"), "X");
    for (text, left) in [
        ("a=1&b=alice%40ex", "a=1&b="),
        ("a=1&b=c+4111+1111+%3", "a=1&b=c"),
        ("a=1&token=sec", "a=1&token=X"),
    ] {
        assert_eq!(
            redaction.redact_query(RawText::truncated(text), None, counts),
            left
        );
    }
    assert_eq!(
        redaction.redact_text(RawText::truncated("/a/b eyJhb"), None, counts),
        "/a/b "
    );
}

#[test]
fn reports_partially_searched_body() {
    let redaction = everything();
    let partial = |kind, text: &str, cut| search(&redaction, kind, text.as_bytes(), cut).partial;
    assert!(!partial(JSON, "{\"a\":1}", false) && partial(JSON, "{\"a\":1", true));
    assert!(partial(JSON, "{\"a\":1, oops", false));
    let headers = self::redaction(&json!({"headers": ["x"]}));
    assert!(!search(&headers, JSON, b"{", true).partial);
}
