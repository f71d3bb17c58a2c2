//! Records of exchanges, with all or some of the callbacks.

use std::rc::Rc;

use dossier_wire::{BodyMissing, Completion, Half, Record, SessionRule};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::Exchange;
use crate::headers::tests::header_bytes;
use crate::metrics::Counter;
use crate::testing::{FakeStream, Harness};

mod configured;
mod truncation;

const SECOND: u64 = 1_000_000;

fn recorded(harness: &Harness) -> Vec<(Record<'static>, Vec<u8>)> {
    harness.tick(SECOND);
    harness
        .calls()
        .iter()
        .flat_map(|call| call.content().0)
        .collect()
}

fn request(pairs: &[(&str, &str)]) -> FakeStream {
    let usual = [
        (":method", "POST"),
        (":path", "//api/x/?q=1"),
        (":authority", "example"),
    ];
    let given = |name: &str| pairs.iter().any(|(given, _)| *given == name);
    let mut all: Vec<_> = usual.into_iter().filter(|(name, _)| !given(name)).collect();
    all.extend_from_slice(pairs);
    FakeStream::request(&all)
}

fn with_defaults(capture: &Value) -> Harness {
    Harness::new(&json!({"defaults": capture}))
}

#[test]
fn records_both_halves() {
    let harness = Harness::new(&json!({"defaults": {
        "storage_type": "both", "ttl_days": 7, "session_timeout_minutes": 30, "metadata": {"a": 1},
    }}));
    let host = harness.vm.host();
    let mut stream = request(&[
        ("x-user-id", "bob"),
        ("content-type", "text/plain"),
        ("x-request-id", "r1"),
    ]);
    let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
    let started = host.wall.get();
    exchange.on_request_headers(host, &stream, false);
    for chunk in [&b"he"[..], b"llo"] {
        host.advance(10);
        stream.chunk = chunk.to_vec();
        exchange.on_request_body(host, &stream, chunk.len(), false);
    }
    host.advance(10);
    stream.respond(&[(":status", "201"), ("content-type", "application/json")]);
    exchange.on_response_headers(host, &stream, false);
    stream.chunk = b"{}".to_vec();
    host.advance(10);
    exchange.on_response_body(host, &stream, 2, true);
    exchange.finish(host, &stream);

    let records = recorded(&harness);
    assert_eq!(records.len(), 2);
    let (request, body) = &records[0];
    assert_eq!(
        (request.half, body.as_slice(), request.body_size),
        (Half::Request, &b"hello"[..], 5)
    );
    assert_eq!(
        (&*request.user_id, &*request.endpoint, &*request.path),
        ("bob", "/api/x", "//api/x/")
    );
    assert_eq!(request.query.as_deref(), Some("q=1"));
    assert_eq!(request.request_id.as_deref(), Some("r1"));
    assert_eq!(
        (request.started_at, request.ended_at),
        (started, started + 20)
    );
    assert_eq!(request.status, Some(201));
    assert!(matches!(request.session, Some(SessionRule::TimeoutMinutes(n)) if n.get() == 30));
    assert_eq!(request.ttl_days.map(std::num::NonZero::get), Some(7));
    assert_eq!(Value::Object(request.metadata.clone()), json!({"a": 1}));
    assert_eq!(request.completion, Completion::Complete);
    let (response, body) = &records[1];
    assert_eq!(
        (response.half, body.as_slice()),
        (Half::Response, &b"{}"[..])
    );
    assert_eq!(
        (response.first_byte_at, response.ended_at),
        (started + 30, started + 40)
    );
    assert_eq!(response.exchange_id, request.exchange_id);
    assert_eq!(response.exchange_id.get_version_num(), 7);
}

#[test]
fn truncated_body_has_hash_of_all() {
    let harness = with_defaults(&json!({"storage_type": "both", "max_body_bytes": 4}));
    harness.exchange(b"abcdefgh");
    let (request, body) = recorded(&harness).remove(0);
    assert_eq!(
        (body.as_slice(), request.body_size, request.truncated),
        (&b"abcd"[..], 8, true)
    );
    let whole = xxhash_rust::xxh3::xxh3_128(b"abcdefgh");
    assert_eq!(
        request.body_xxh3.as_deref(),
        Some(format!("{whole:032x}").as_str())
    );
}

#[test]
fn minimal_record_is_redacted() {
    let harness = with_defaults(&json!({
        "storage_type": "request", "headers": {"request": ["x-note"]},
        "redact": {"patterns": ["email"]},
    }));
    let mut stream = FakeStream::request(&[
        (":method", "POST"),
        (":path", "/users/a%40example.com?q=a@example.com"),
        ("x-note", "a@example.com"),
    ]);
    stream.set("xds.route_metadata", b"nonsense");
    stream.chunk = b"a@example.com".to_vec();
    let host = harness.vm.host();
    let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
    exchange.on_request_headers(host, &stream, false);
    exchange.on_request_body(host, &stream, stream.chunk.len(), true);
    exchange.finish(host, &stream);
    let (request, body) = recorded(&harness).remove(0);
    assert_eq!(request.path, "/users/[REDACTED]");
    assert_eq!(request.endpoint, "/users/[REDACTED]");
    assert_eq!((request.query, request.headers.len()), (None, 0));
    assert_eq!((body.len(), request.body_size), (0, 13));
}

/// The user that is recorded for these values of the sources, of which the first is a certificate; none: not recorded.
fn user_of(configuration: &Value, certificate: &[u8], header: &[u8]) -> (Option<String>, u64) {
    let mut all = json!({"user": [{"peer_certificate": "subject"}, {"header": "x-user-id"}]});
    for (key, value) in configuration.as_object().unwrap() {
        all[key] = value.clone();
    }
    let harness = Harness::new(&all);
    let pairs = [
        (&b":method"[..], &b"GET"[..]),
        (b":path", b"/x"),
        (b"x-user-id", header),
    ];
    let mut stream = FakeStream {
        request: Some(header_bytes(&pairs)),
        ..FakeStream::default()
    };
    stream.set("connection.subject_peer_certificate", certificate);
    Exchange::new(Rc::clone(&harness.plugin)).finish(harness.vm.host(), &stream);
    let user = recorded(&harness)
        .first()
        .map(|(record, _)| record.user_id.to_string());
    (user, harness.vm.host().counted(Counter::UsersInvalid))
}

#[test]
fn first_source_that_is_present_decides() {
    let record = json!({});
    let named = |user: &str| (Some(user.to_owned()), 0);
    assert_eq!(user_of(&record, b"", b""), named("anonymous"));
    assert_eq!(user_of(&record, b"cert", b"header"), named("cert"));
    assert_eq!(user_of(&record, b" \t", b"header"), named("header"));
    let longest = "x".repeat(256);
    assert_eq!(user_of(&record, longest.as_bytes(), b""), named(&longest));
    let too_long = "x".repeat(257);
    let invalid: [&[u8]; 5] = [
        too_long.as_bytes(),
        b"caf\xe9",
        b"a\0b",
        b"invalid:x",
        b"caf\xe8",
    ];
    let mut found = Vec::new();
    for value in invalid {
        let (user, counted) = user_of(&record, value, b"header");
        let user = user.unwrap();
        assert!(user.starts_with("invalid:") && user.len() == 40, "{user}");
        assert_eq!(counted, 1);
        // By its own name, it is another's.
        let (claimed, _) = user_of(&record, b"", user.as_bytes());
        assert_ne!(claimed.unwrap(), user);
        found.push(user);
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), invalid.len());
    assert_eq!(
        user_of(&record, b"caf\xe9", b"").0,
        user_of(&record, b"", b"caf\xe9").0
    );
}

#[test]
fn exchanges_of_invalid_users_can_be_left_out() {
    let drop = json!({"invalid_user": "drop"});
    assert_eq!(user_of(&drop, b"a\0b", b"header"), (None, 1));
    assert_eq!(
        user_of(&drop, b"", b"header"),
        (Some("header".to_owned()), 0)
    );
}

#[test]
fn body_that_was_announced_and_not_seen_is_not_captured() {
    for (pairs, began, missing) in [
        (&[("content-length", "7")][..], true, true),
        (&[("content-length", "7")], false, true),
        (&[("content-length", "0")], true, false),
        (&[], true, true),
        (&[], false, false),
    ] {
        let harness = Harness::new(&json!({}));
        let stream = request(pairs);
        let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
        if began {
            exchange.on_request_headers(harness.vm.host(), &stream, false);
        }
        exchange.finish(harness.vm.host(), &stream);
        let found = recorded(&harness)[0].0.body_missing;
        assert_eq!(
            found,
            missing.then_some(BodyMissing::NotCaptured),
            "{pairs:?} {began}"
        );
    }
    let harness = Harness::new(&json!({}));
    let stream = request(&[]);
    let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
    exchange.on_request_headers(harness.vm.host(), &stream, true);
    exchange.finish(harness.vm.host(), &stream);
    assert_eq!(recorded(&harness)[0].0.body_missing, None);
}

#[test]
fn only_spaces_and_tabs_around_user_are_trimmed() {
    for (name, user) in [
        (" \thbspace\t ", "hbspace"),
        ("\u{a0}hbspace", "\u{a0}hbspace"),
    ] {
        let harness = Harness::new(&json!({}));
        let stream = request(&[("x-user-id", name)]);
        Exchange::new(Rc::clone(&harness.plugin)).finish(harness.vm.host(), &stream);
        assert_eq!(recorded(&harness)[0].0.user_id, user);
    }
}

#[test]
fn last_callback_alone_gives_records() {
    let harness = Harness::new(&json!({}));
    let mut stream = request(&[]);
    stream.set("response.code", &404_u64.to_le_bytes());
    stream.set("response.code_details", b"route_not_found");
    Exchange::new(Rc::clone(&harness.plugin)).finish(harness.vm.host(), &stream);
    let records = recorded(&harness);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].0.status, Some(404));
    assert_eq!(records[0].0.completion, Completion::LocalReply);
}

#[test]
fn without_headers_or_capture_nothing_is_recorded() {
    let harness = with_defaults(&json!({"storage_type": "none"}));
    harness.exchange(b"hi");
    let capturing = Harness::new(&json!({}));
    Exchange::new(Rc::clone(&capturing.plugin)).finish(capturing.vm.host(), &FakeStream::default());
    assert!(recorded(&harness).is_empty());
    assert!(recorded(&capturing).is_empty());
}

#[test]
fn records_single_half_when_configured() {
    for (wanted, half) in [("request", Half::Request), ("response", Half::Response)] {
        let harness = with_defaults(&json!({"storage_type": wanted}));
        harness.exchange(b"hi");
        let records = recorded(&harness);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].0.half, half);
    }
}

#[test]
fn counts_redactions_of_recorded_bodies_only() {
    for (storage, count) in [("request", 1), ("response", 2)] {
        let harness = with_defaults(&json!({
            "storage_type": storage,
            "metadata": {"b": {"request_json": "$.b"}, "c": {"response_json": "$.b"}},
            "redact": {"json": ["$.a"], "query": ["q"]},
        }));
        let host = harness.vm.host();
        let mut stream = request(&[("content-type", "application/json")]);
        let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
        exchange.on_request_headers(host, &stream, false);
        stream.chunk = br#"{"a":1,"b":2}"#.to_vec();
        exchange.on_request_body(host, &stream, stream.chunk.len(), true);
        stream.respond(&[(":status", "200"), ("content-type", "application/json")]);
        exchange.on_response_headers(host, &stream, false);
        stream.chunk = br#"{"a":1,"b":3,"a":1}"#.to_vec();
        exchange.on_response_body(host, &stream, stream.chunk.len(), true);
        exchange.finish(host, &stream);
        let (record, _) = recorded(&harness).remove(0);
        let counts: Vec<_> = record.redactions.iter().collect();
        assert_eq!(counts, [(&"$.a".into(), &count), (&"query:q".into(), &1)]);
        assert_eq!(Value::Object(record.metadata), json!({"b": 2, "c": 3}));
    }
}

#[test]
fn upgraded_stream_is_recorded_without_bodies() {
    let harness = Harness::new(&json!({}));
    let host = harness.vm.host();
    let mut stream = request(&[("upgrade", "websocket")]);
    let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
    exchange.on_request_headers(host, &stream, false);
    stream.respond(&[(":status", "101")]);
    exchange.on_response_headers(host, &stream, false);
    stream.chunk = b"frames".to_vec();
    exchange.on_request_body(host, &stream, 6, false);
    exchange.on_response_body(host, &stream, 6, true);
    exchange.finish(host, &stream);
    for (record, body) in recorded(&harness) {
        assert_eq!(record.status, Some(101));
        assert!(body.is_empty());
    }
}

#[test]
fn complete_body_ends_with_its_last_byte() {
    for (length, waited) in [("5", 0), ("6", 10)] {
        let harness = with_defaults(&json!({"storage_type": "request"}));
        let host = harness.vm.host();
        let mut stream = request(&[("content-length", length)]);
        let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
        exchange.on_request_headers(host, &stream, false);
        stream.chunk = b"hello".to_vec();
        exchange.on_request_body(host, &stream, 5, false);
        let seen = host.wall.get();
        host.advance(10);
        exchange.on_request_body(host, &stream, 0, true);
        exchange.finish(host, &stream);
        let records = recorded(&harness);
        let record = &records[0].0;
        assert_eq!(record.ended_at, seen + waited, "{length}");
    }
}

#[test]
fn reads_all_headers_at_once_when_recording() {
    let harness = Harness::new(&json!({"defaults": {}, "routes": [
        {"match": {"path": {"prefix": "/api/"}}, "capture": {"storage_type": "both"}},
    ]}));
    // A path and how often all headers are fetched: always after an exchange that was recorded, otherwise
    // only if this one is.
    for (path, heads) in [
        ("/api/a", 1),
        ("/elsewhere", 1),
        ("/elsewhere", 0),
        ("/api/a", 1),
    ] {
        let stream = request(&[(":path", path)]);
        Exchange::new(Rc::clone(&harness.plugin)).on_request_headers(
            harness.vm.host(),
            &stream,
            true,
        );
        assert_eq!(stream.heads.get(), heads, "{path}");
    }
}
