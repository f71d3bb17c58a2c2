use dossier_wire::Record;
use serde_json::{Value, json};

use super::*;
use crate::ingest::format::BatchFormat;
use crate::limits::admission::Admission;

/// A line with the required fields and `more`.
fn line(more: &Value) -> String {
    let mut line = json!({
        "exchange_id": "01890000-0000-7000-8000-000000000000", "type": "request", "user_id": "alice",
        "endpoint": "/api/x", "method": "POST", "path": "/api/x", "started_at": 1, "first_byte_at": 2, "ended_at": 3,
        "body_size": 100, "completion": "complete",
    });
    let fields = line.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    line.to_string()
}

fn with_body(key: &str, body: &str) -> String {
    line(&json!({})).replacen('{', &format!("{{\"{key}\": {body},"), 1)
}

fn parse(bytes: &[u8]) -> Result<NdjsonBatch<'_>, ApiError> {
    NdjsonBatch::parse(bytes, Admission::default().reserve())
}

/// The body of the only line, or why it is malformed.
fn body_of_only_line(line: &str) -> Result<Vec<u8>, String> {
    let lines = parse(line.as_bytes()).unwrap();
    let mut records: Vec<_> = lines.records().collect();
    assert_eq!(records.len(), 1);
    let raw = records.remove(0);
    assert_eq!(raw.header, line.as_bytes());
    match raw.content? {
        FrameContent::Record(record, body) => {
            let record: Record<'_> = *record;
            assert_eq!((record.user_id.as_ref(), body), ("alice", raw.body));
            Ok(body.to_vec())
        }
        FrameContent::Gap(_) => panic!("a line is a record"),
    }
}

#[test]
fn decodes_bodies_exactly() {
    let cases: [(&str, &str, &[u8]); 9] = [
        (
            "body_json",
            r#"{"b": 1.50, "a":[ ]}"#,
            br#"{"b": 1.50, "a":[ ]}"#,
        ),
        ("body_json", "null", b"null"),
        ("body_json", "\"\\u00e9\"", b"\"\\u00e9\""),
        ("body_text", "\"plain \u{e9}\"", "plain \u{e9}".as_bytes()),
        (
            "body_text",
            r#""two\nlines \u00e9""#,
            "two\nlines \u{e9}".as_bytes(),
        ),
        ("body_text", "null", b""),
        ("body_base64", "\"AP8=\"", b"\0\xff"),
        ("body_base64", "\"AP8\"", b"\0\xff"),
        ("body_base64", r#""\u0041P8=""#, b"\0\xff"),
    ];
    for (key, body, expected) in cases {
        assert_eq!(
            body_of_only_line(&with_body(key, body)).as_deref(),
            Ok(expected),
            "{key} {body}"
        );
    }
    assert_eq!(
        body_of_only_line(&line(&json!({}))).as_deref(),
        Ok(&b""[..])
    );
}

#[test]
fn malformed_line_is_reported_without_values() {
    let two = json!({"body_json": 1, "body_text": "hunter2"});
    let cases = [
        ("hunter2".to_owned(), "column 1"),
        ("[1, 2, 3]".to_owned(), "column 1"),
        ("{\"hunter2\"".to_owned(), "not one JSON object"),
        (format!("{} {{}}", line(&json!({}))), "not one JSON object"),
        (line(&two), "more than one"),
        (with_body("body_text", "7"), "body_text"),
        (with_body("body_text", "\"\\ud800\""), "body_text"),
        (with_body("body_base64", "\"hunter2!\""), "body_base64"),
        (line(&json!({"type": "hunter2"})), "the header is not valid"),
        (
            line(&json!({"body_size": 1, "body_text": "longer"})),
            "body_size is 1",
        ),
        (
            line(&json!({"path": "x".repeat(MAX_HEADER_BYTES)})),
            "without its body",
        ),
    ];
    for (line, reason) in cases {
        let error = body_of_only_line(&line).unwrap_err();
        assert!(error.contains(reason), "{error} instead of {reason}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let long = json!({"body_size": 1 << 20, "body_text": "x".repeat(2 * MAX_HEADER_BYTES)});
    assert_eq!(
        body_of_only_line(&line(&long)).unwrap().len(),
        2 * MAX_HEADER_BYTES
    );
}

#[test]
fn positions_count_all_lines() {
    let good = line(&json!({}));
    let text = format!("\n{good}\r\n  \nwrong\n{good}");
    let lines = parse(text.as_bytes()).unwrap();
    let found: Vec<_> = lines
        .records()
        .map(|it| (it.position, it.content.is_ok()))
        .collect();
    assert_eq!(found, [(1, true), (3, false), (4, true)]);
}

#[test]
fn rejects_empty_oversized_and_foreign_batches() {
    for empty in ["", "\n", " \r\n\t"] {
        assert!(matches!(
            parse(empty.as_bytes()),
            Err(ApiError::InvalidNdjson(_))
        ));
    }
    let other = dossier_wire::Encoder::new().finish();
    assert!(matches!(parse(&other), Err(ApiError::InvalidNdjson(_))));
    let at_limit = "{}\n".repeat(MAX_FRAMES);
    assert_eq!(
        parse(at_limit.as_bytes()).unwrap().records().count(),
        MAX_FRAMES
    );
    let over_limit = "{}\n".repeat(MAX_FRAMES + 1);
    assert!(matches!(
        parse(over_limit.as_bytes()),
        Err(ApiError::InvalidBatch(BatchError::TooManyFrames))
    ));
}

#[test]
fn decoded_bodies_reserve_memory_up_to_limit() {
    let admission = Admission::default();
    let escaped = with_body("body_text", "\"\\n\\n\\n\\n\"");
    let text = format!("{escaped}\n{}", with_body("body_json", "[1, 2]"));
    let lines = NdjsonBatch::parse(text.as_bytes(), admission.reserve()).unwrap();
    assert_eq!(
        admission.reserved_bytes(),
        1024,
        "the escaped one, in blocks"
    );
    drop(lines);
    assert_eq!(admission.reserved_bytes(), 0);
    // As sent, inflated, and all of it base64.
    let mut reservation = admission.reserve();
    reservation.grow(crate::ingest::MAX_SENT_BYTES).unwrap();
    reservation.grow(BatchFormat::Ndjson.max_bytes()).unwrap();
    let body = "A".repeat(BatchFormat::Ndjson.max_bytes() - 1024);
    let largest = with_body("body_base64", &format!("\"{body}\""));
    assert!(NdjsonBatch::parse(largest.as_bytes(), admission.reserve()).is_ok());
    assert!(matches!(
        NdjsonBatch::parse(
            format!("{largest}\n{largest}").as_bytes(),
            admission.reserve()
        ),
        Err(ApiError::TooManyInFlight)
    ));
}
