use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn shown_as(body: &[u8], content_type: Option<&str>, encoding: Option<&str>) -> Shown {
    let mut allowance = Allowance::default();
    show(body.to_vec(), content_type, encoding, false, &mut allowance).unwrap()
}

fn shown(body: &[u8], content_type: Option<&str>) -> Shown {
    shown_as(body, content_type, None)
}

fn data(shown: &Shown) -> Value {
    serde_json::from_str(shown.data.get()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_keeps_its_digits_order_and_duplicates() {
    let body = br#" {"b": 12345678901234567890.10, "a": 1, "a": 2} "#;
    for (body, encoding) in [(body.to_vec(), None), (gzip(body), Some("gzip"))] {
        let shown = shown_as(&body, Some("application/json; charset=utf-8"), encoding);
        assert_eq!((shown.form, shown.caveat), ("json", None));
        assert_eq!(
            shown.data.get(),
            r#"{"b": 12345678901234567890.10, "a": 1, "a": 2}"#
        );
    }
}

#[test]
fn a_body_is_shown_as_what_it_is() {
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
        assert_eq!(shown(body, content_type).form, form, "{content_type:?}");
    }
}

#[test]
fn json_may_have_a_byte_order_mark_or_be_utf_16() {
    let utf_16: Vec<u8> = "{\"a\":\"é\"}"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let marked = [b"\xfe\xff".to_vec(), utf_16.clone()].concat();
    for body in [b"\xef\xbb\xbf{\"a\":\"\xc3\xa9\"}".to_vec(), utf_16, marked] {
        let shown = shown(&body, Some("application/json"));
        assert_eq!((shown.form, data(&shown)), ("json", json!({"a": "é"})));
    }
}

#[test]
fn an_encoded_body_is_shown_as_what_it_is_inside() {
    let text = shown_as(
        &gzip(b"caf\xe9"),
        Some("text/csv; charset=latin1"),
        Some("gzip"),
    );
    assert_eq!((text.form, data(&text)), ("text", json!("café")));
    let events = shown_as(
        &gzip(b"data: 1\n\n"),
        Some("text/event-stream"),
        Some("gzip"),
    );
    assert_eq!(data(&events), json!({"events": [{"data": 1}]}));
    let image = shown_as(&gzip(b"\x89PNG"), Some("image/png"), Some("gzip"));
    assert_eq!((image.form, data(&image)), ("binary", json!("iVBORw==")));
}

#[test]
fn a_wrong_content_encoding_hides_nothing_and_an_unknown_one_is_opaque() {
    let wrong = shown_as(b"{}", Some("application/json"), Some("gzip"));
    assert_eq!(
        (wrong.form, wrong.caveat),
        ("json", Some(Caveat::NotDecoded))
    );
    let unknown = shown_as(b"{}", Some("application/json"), Some("compress"));
    assert_eq!(
        (unknown.form, unknown.caveat),
        ("binary", Some(Caveat::NotDecoded))
    );
}

#[test]
fn what_is_cut_says_so() {
    let body = gzip(br#"{"a": "0123456789abcdefghijklmnopqrstuvwxyz"}"#);
    let cut = shown_as(&body[..body.len() - 20], None, Some("gzip"));
    assert_eq!((cut.form, cut.caveat), ("text", Some(Caveat::BrokenOff)));
    let events = shown(b"data: 1\n\ndata: 2", Some("text/event-stream"));
    assert_eq!(events.caveat, Some(Caveat::BrokenOff));
    let frames = shown(b"\0\0\0\0\x05abc", Some("application/grpc"));
    assert_eq!(frames.caveat, Some(Caveat::BrokenOff));
}

#[test]
fn a_character_cut_by_the_cap_leaves_the_text_before_it() {
    let mut allowance = Allowance::default();
    let body = "né".as_bytes()[..2].to_vec();
    let shown = show(body, Some("text/plain"), None, true, &mut allowance).unwrap();
    assert_eq!((shown.form, data(&shown)), ("text", json!("n")));
}

#[test]
fn a_number_cut_by_the_cap_is_not_taken_for_a_smaller_one() {
    let mut allowance = Allowance::default();
    let shown = show(b"12".to_vec(), None, None, true, &mut allowance).unwrap();
    assert_eq!((shown.form, data(&shown)), ("text", json!("12")));
}

#[test]
fn a_body_over_the_limit_shows_its_beginning() {
    let json = [
        b"\"".to_vec(),
        vec![b'a'; MAX_SHOWN_BYTES - 2],
        b"\"".to_vec(),
    ]
    .concat();
    let whole = shown_as(&gzip(&json), None, Some("gzip"));
    assert_eq!((whole.form, whole.caveat), ("json", None));
    let longer = [json, b" ".to_vec()].concat();
    let cut = shown_as(&gzip(&longer), None, Some("gzip"));
    assert_eq!((cut.form, cut.caveat), ("text", Some(Caveat::OverLimit)));
    assert_eq!(data(&cut).as_str().unwrap().len(), MAX_SHOWN_BYTES);
}

#[test]
fn one_answer_shows_so_much_and_no_more() {
    let zeros = gzip(&vec![b'0'; MAX_SHOWN_BYTES]);
    let mut allowance = Allowance::default();
    let mut total = 0;
    for _ in 0..MAX_ANSWER_BYTES / MAX_SHOWN_BYTES {
        let shown = show(
            zeros.clone(),
            Some("text/plain"),
            Some("gzip"),
            false,
            &mut allowance,
        );
        let shown = shown.unwrap();
        assert_eq!(shown.caveat, None);
        total += data(&shown).as_str().unwrap().len();
    }
    assert_eq!(total, MAX_ANSWER_BYTES);
    let shown = show(b"{}".to_vec(), None, None, false, &mut allowance).unwrap();
    assert_eq!(
        (data(&shown), shown.caveat),
        (json!(""), Some(Caveat::OverLimit))
    );
}

#[test]
fn more_events_than_are_listed_say_so() {
    let stream = "data\n\n".repeat(MAX_LISTED + 1);
    let shown = shown(stream.as_bytes(), Some("text/event-stream"));
    assert_eq!(shown.caveat, Some(Caveat::OverLimit));
}

proptest! {
    #[test]
    fn any_body_is_shown(
        body in prop::collection::vec(any::<u8>(), 0..200),
        content_type in "(application/json|text/plain|text/event-stream|application/grpc|image/png)(; charset=(utf-8|utf-16|shift_jis|iso-2022-jp|x))?",
        encoding in prop::option::of("gzip|deflate|br|zstd|identity|x"),
        truncated: bool,
    ) {
        let mut allowance = Allowance::default();
        let shown = show(body, Some(&content_type), encoding.as_deref(), truncated, &mut allowance).unwrap();
        prop_assert!(serde_json::from_str::<Value>(shown.data.get()).is_ok());
    }

    #[test]
    fn binary_comes_back_byte_by_byte(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let shown = shown(&body, Some("image/png"));
        prop_assert_eq!(STANDARD.decode(data(&shown).as_str().unwrap()).unwrap(), body);
    }
}
