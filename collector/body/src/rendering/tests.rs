use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn render_encoded(body: &[u8], content_type: Option<&str>, encoding: Option<&str>) -> RenderedBody {
    let mut budget = RenderBudget::default();
    render(body.to_vec(), content_type, encoding, false, &mut budget).unwrap()
}

fn render_plain(body: &[u8], content_type: Option<&str>) -> RenderedBody {
    render_encoded(body, content_type, None)
}

fn data(rendered: &RenderedBody) -> Value {
    serde_json::from_str(rendered.data.get()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_keeps_digits_order_and_duplicates() {
    let body = br#" {"b": 12345678901234567890.10, "a": 1, "a": 2} "#;
    for (body, encoding) in [(body.to_vec(), None), (gzip(body), Some("gzip"))] {
        let rendered = render_encoded(&body, Some("application/json; charset=utf-8"), encoding);
        assert_eq!((rendered.form, rendered.truncation), ("json", None));
        assert_eq!(
            rendered.data.get(),
            r#"{"b": 12345678901234567890.10, "a": 1, "a": 2}"#
        );
    }
}

#[test]
fn json_lines_are_a_list() {
    for (body, form, expected) in [
        ("{\"a\":1.0}\r\n\n[2]\n", "json", r#"[{"a":1.0},[2]]"#),
        ("", "json", "[]"),
        ("{}\nx", "text", r#""{}\nx""#),
        ("{}\n1e400", "text", r#""{}\n1e400""#),
    ] {
        let rendered = render_plain(body.as_bytes(), Some("application/jsonl"));
        assert_eq!((rendered.form, rendered.data.get()), (form, expected));
    }
    let lines = "1\n".repeat(MAX_LISTED + 1);
    let rendered = render_plain(lines.as_bytes(), Some("application/x-ndjson"));
    assert_eq!(rendered.truncation, Some(Truncation::OverLimit));
    assert_eq!(data(&rendered).as_array().unwrap().len(), MAX_LISTED);
}

#[test]
fn printable_bodies_of_unknown_types_are_text() {
    let parts = "--x\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n";
    for (body, content_type, form) in [
        (parts.as_bytes(), "multipart/form-data; boundary=y", "text"),
        (parts.as_bytes(), "multipart/form-data", "text"),
        ("größe = 1".as_bytes(), "application/vnd.acme", "text"),
        (b"a\0b", "application/vnd.acme", "binary"),
        (b"\xff", "application/vnd.acme", "binary"),
        (b"GIF89a", "image/gif", "binary"),
    ] {
        let rendered = render_plain(body, Some(content_type));
        assert_eq!(rendered.form, form, "{content_type}");
    }
}

#[test]
fn multipart_is_shown_as_parts() {
    let body = "--x\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n";
    let of = Some("multipart/form-data; boundary=\"x\"");
    let rendered = render_plain(body.as_bytes(), of);
    let expected = r#"{"parts":[{"name":"a","form":"text","data":"1"}]}"#;
    assert_eq!(
        (rendered.form, rendered.data.get()),
        ("multipart", expected)
    );
    assert_eq!(rendered.truncation, None);
    let rendered = render_plain(&body.as_bytes()[..50], of);
    assert_eq!(rendered.form, "multipart");
    assert_eq!(rendered.truncation, Some(Truncation::BrokenOff));
}

#[test]
fn json_that_some_parsers_refuse_is_text() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for body in [r#"{"prompt":"cut \ud83d"}"#, r#"{"e":1e400}"#, &deep] {
        let rendered = render_plain(body.as_bytes(), Some("application/json"));
        let expected = ("text", Some(Truncation::NotPortable));
        assert_eq!((rendered.form, rendered.truncation), expected);
        assert_eq!(data(&rendered), json!(body));

        let stream = format!("data: {body}\n\ndata: {{}}\n\n");
        let rendered = render_plain(stream.as_bytes(), Some("text/event-stream"));
        let expected = ("events", Some(Truncation::NotPortable));
        assert_eq!((rendered.form, rendered.truncation), expected);
        let events = json!([{"data": body}, {"data": {}}]);
        assert_eq!(data(&rendered)["events"], events);
    }
}

#[test]
fn form_follows_content_type_and_bytes() {
    for (body, content_type, form) in [
        (&b"{}"[..], Some("application/json"), "json"),
        (b"{}", Some("application/problem+json"), "json"),
        (b"{}", None, "json"),
        (b"{}", Some("text/plain"), "text"),
        (b"{\"cut", Some("application/json"), "text"),
        (b"hello", None, "text"),
        (b"caf\xe9", Some("text/plain"), "binary"),
        (b"caf\xe9", Some("text/plain; charset=latin1"), "text"),
        (b"caf\xe9", None, "binary"),
        (b"hello", Some("application/octet-stream"), "binary"),
        (b"a=b", Some("application/x-www-form-urlencoded"), "text"),
        (b"data: x\n\n", Some("text/event-stream"), "events"),
        (b"\xff\xe9", Some("text/event-stream"), "binary"),
        (b"\0\0\0\0\0", Some("application/grpc"), "grpc"),
        (b"\x07\0\0\0\0", Some("application/grpc"), "binary"),
    ] {
        assert_eq!(
            render_plain(body, content_type).form,
            form,
            "{content_type:?}"
        );
    }
}

#[test]
fn renders_json_with_bom_or_utf_16() {
    let utf_16: Vec<u8> = "{\"a\":\"é\"}"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let marked = [b"\xfe\xff".to_vec(), utf_16.clone()].concat();
    for body in [b"\xef\xbb\xbf{\"a\":\"\xc3\xa9\"}".to_vec(), utf_16, marked] {
        let rendered = render_plain(&body, Some("application/json"));
        assert_eq!(
            (rendered.form, data(&rendered)),
            ("json", json!({"a": "é"}))
        );
    }
}

#[test]
fn encoded_body_is_decoded_then_rendered() {
    let text = render_encoded(
        &gzip(b"caf\xe9"),
        Some("text/csv; charset=latin1"),
        Some("gzip"),
    );
    assert_eq!((text.form, data(&text)), ("text", json!("café")));
    let events = render_encoded(
        &gzip(b"data: 1\n\n"),
        Some("text/event-stream"),
        Some("gzip"),
    );
    assert_eq!(data(&events), json!({"events": [{"data": 1}]}));
    let image = render_encoded(&gzip(b"\x89PNG"), Some("image/png"), Some("gzip"));
    assert_eq!((image.form, data(&image)), ("binary", json!("iVBORw==")));
}

#[test]
fn ignores_wrong_encoding_but_not_unknown_one() {
    let wrong = render_encoded(b"{}", Some("application/json"), Some("gzip"));
    assert_eq!(
        (wrong.form, wrong.truncation),
        ("json", Some(Truncation::NotDecoded))
    );
    let unknown = render_encoded(b"{}", Some("application/json"), Some("compress"));
    assert_eq!(
        (unknown.form, unknown.truncation),
        ("binary", Some(Truncation::NotDecoded))
    );
}

#[test]
fn truncated_body_is_marked() {
    let body = gzip(br#"{"a": "0123456789abcdefghijklmnopqrstuvwxyz"}"#);
    let cut = render_encoded(&body[..body.len() - 20], None, Some("gzip"));
    assert_eq!(
        (cut.form, cut.truncation),
        ("text", Some(Truncation::BrokenOff))
    );
    let events = render_plain(b"data: 1\n\ndata: 2", Some("text/event-stream"));
    assert_eq!(events.truncation, Some(Truncation::BrokenOff));
    let frames = render_plain(b"\0\0\0\0\x05abc", Some("application/grpc"));
    assert_eq!(frames.truncation, Some(Truncation::BrokenOff));
}

#[test]
fn partial_character_is_left_out() {
    let mut budget = RenderBudget::default();
    let body = "né".as_bytes()[..2].to_vec();
    let rendered = render(body, Some("text/plain"), None, true, &mut budget).unwrap();
    assert_eq!((rendered.form, data(&rendered)), ("text", json!("n")));
}

#[test]
fn truncated_json_is_rendered_as_text() {
    let mut budget = RenderBudget::default();
    let rendered = render(b"12".to_vec(), None, None, true, &mut budget).unwrap();
    assert_eq!((rendered.form, data(&rendered)), ("text", json!("12")));
}

#[test]
fn body_over_limit_renders_its_beginning() {
    let json = [
        b"\"".to_vec(),
        vec![b'a'; MAX_BODY_BYTES - 2],
        b"\"".to_vec(),
    ]
    .concat();
    let whole = render_encoded(&gzip(&json), None, Some("gzip"));
    assert_eq!((whole.form, whole.truncation), ("json", None));
    let longer = [json, b" ".to_vec()].concat();
    let cut = render_encoded(&gzip(&longer), None, Some("gzip"));
    assert_eq!(
        (cut.form, cut.truncation),
        ("text", Some(Truncation::OverLimit))
    );
    assert_eq!(data(&cut).as_str().unwrap().len(), MAX_BODY_BYTES);
}

#[test]
fn budget_bounds_bodies_of_one_answer() {
    let zeros = gzip(&vec![b'0'; MAX_BODY_BYTES - EMPTY_TEXT.len()]);
    let mut budget = RenderBudget::default();
    let mut total = 0;
    for _ in 0..MAX_ANSWER_BYTES / MAX_BODY_BYTES {
        let rendered = render(
            zeros.clone(),
            Some("text/plain"),
            Some("gzip"),
            false,
            &mut budget,
        );
        let rendered = rendered.unwrap();
        assert_eq!(rendered.truncation, None);
        total += rendered.data.get().len();
    }
    assert_eq!(total, MAX_ANSWER_BYTES);
    let rendered = render(b"{}".to_vec(), None, None, false, &mut budget).unwrap();
    assert_eq!(
        (data(&rendered), rendered.truncation),
        (json!(""), Some(Truncation::OverLimit))
    );
}

#[test]
fn escapes_count_as_they_are_written() {
    const BUDGET: usize = 64 << 10;
    let event = |text: &str| format!("data: {text}\n\n").repeat(20).into_bytes();
    let escapes = format!("[{}1]", r#""\"","#.repeat(4096)).into_bytes();
    for (body, content_type) in [
        (vec![0; BUDGET / 4], "text/plain"),
        (vec![0x1f; BUDGET / 4], "application/json"),
        (vec![b'"'; BUDGET / 4], "text/plain"),
        (vec![b'\\'; BUDGET / 4], "text/plain"),
        (vec![0xff; BUDGET / 4], "image/png"),
        (vec![0xe9; BUDGET / 4], "text/plain; charset=latin1"),
        (event(&"\u{1}".repeat(1600)), "text/event-stream"),
        (vec![0; BUDGET / 4], "application/grpc"),
        (escapes, "application/json"),
    ] {
        let mut budget = RenderBudget { bytes: BUDGET };
        let mut written = 0;
        for _ in 0..8 {
            let rendered = render(body.clone(), Some(content_type), None, false, &mut budget);
            written += rendered.unwrap().data.get().len();
        }
        let empty = 8 * EMPTY_TEXT.len();
        assert!(written <= BUDGET + empty, "{content_type}: {written}");
        assert!(budget.bytes < BUDGET / 4, "{content_type}");
    }
}

#[test]
fn list_over_limit_is_marked() {
    let stream = "data\n\n".repeat(MAX_LISTED + 1);
    let rendered = render_plain(stream.as_bytes(), Some("text/event-stream"));
    assert_eq!(rendered.truncation, Some(Truncation::OverLimit));
}

proptest! {
    #[test]
    fn any_body_is_rendered(
        body in prop::collection::vec(any::<u8>(), 0..200),
        content_type in "(application/json|text/plain|text/event-stream|application/grpc|image/png)(; charset=(utf-8|utf-16|shift_jis|iso-2022-jp|x))?",
        encoding in prop::option::of("gzip|deflate|br|zstd|identity|x"),
        truncated: bool,
    ) {
        let mut budget = RenderBudget::default();
        let rendered = render(body, Some(&content_type), encoding.as_deref(), truncated, &mut budget).unwrap();
        prop_assert!(serde_json::from_str::<Value>(rendered.data.get()).is_ok());
    }

    #[test]
    fn binary_round_trips(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let rendered = render_plain(&body, Some("image/png"));
        prop_assert_eq!(STANDARD.decode(data(&rendered).as_str().unwrap()).unwrap(), body);
    }
}
