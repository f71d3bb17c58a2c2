//! What one exchange becomes, whichever callbacks come.

use std::rc::Rc;

use dossier_wire::{Completion, Half, Record, SessionRule};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::Exchange;
use crate::testing::{FakeStream, Rig};

mod configured;

const SECOND: u64 = 1_000_000;

fn recorded(rig: &Rig) -> Vec<(Record<'static>, Vec<u8>)> {
    rig.tick(SECOND);
    rig.calls()
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

fn with_defaults(capture: &Value) -> Rig {
    Rig::new(&json!({"defaults": capture}))
}

#[test]
fn both_halves_say_what_was_seen() {
    let rig = Rig::new(&json!({"defaults": {
        "storage_type": "both", "ttl_days": 7, "session_timeout_minutes": 30, "metadata": {"a": 1},
    }}));
    let host = rig.vm.host();
    let mut stream = request(&[
        ("x-user-id", "bob"),
        ("content-type", "text/plain"),
        ("x-request-id", "r1"),
    ]);
    let mut exchange = Exchange::new(Rc::clone(&rig.plugin));
    let started = host.wall.get();
    exchange.request_head(host, &stream, false);
    for chunk in [&b"he"[..], b"llo"] {
        host.advance(10);
        stream.chunk = chunk.to_vec();
        exchange.request_chunk(host, &stream, chunk.len(), false);
    }
    host.advance(10);
    stream.respond(&[(":status", "201"), ("content-type", "application/json")]);
    exchange.response_head(host, &stream, false);
    stream.chunk = b"{}".to_vec();
    host.advance(10);
    exchange.response_chunk(host, &stream, 2, true);
    exchange.finish(host, &stream);

    let records = recorded(&rig);
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
fn the_cap_keeps_the_beginning_and_the_hash_covers_all() {
    let rig = with_defaults(&json!({"storage_type": "both", "max_body_bytes": 4}));
    rig.exchange(b"abcdefgh");
    let (request, body) = recorded(&rig).remove(0);
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
fn bare_facts_hold_nothing_that_the_rule_takes_out() {
    let rig = with_defaults(&json!({
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
    let host = rig.vm.host();
    let mut exchange = Exchange::new(Rc::clone(&rig.plugin));
    exchange.request_head(host, &stream, false);
    exchange.request_chunk(host, &stream, stream.chunk.len(), true);
    exchange.finish(host, &stream);
    let (request, body) = recorded(&rig).remove(0);
    assert_eq!(request.path, "/users/[REDACTED]");
    assert_eq!(request.endpoint, "/users/[REDACTED]");
    assert_eq!((request.query, request.headers.len()), (None, 0));
    assert_eq!((body.len(), request.body_size), (0, 13));
}

#[test]
fn nobody_is_anonymous_and_what_is_no_name_is_nobody() {
    let too_long = "x".repeat(257);
    for name in ["", too_long.as_str()] {
        let rig = Rig::new(&json!({}));
        let stream = request(&[("x-user-id", name)]);
        Exchange::new(Rc::clone(&rig.plugin)).finish(rig.vm.host(), &stream);
        assert_eq!(recorded(&rig)[0].0.user_id, "anonymous");
    }
}

#[test]
fn the_last_callback_alone_makes_records() {
    let rig = Rig::new(&json!({}));
    let mut stream = request(&[]);
    stream.set("response.code", &404_u64.to_le_bytes());
    stream.set("response.code_details", b"route_not_found");
    Exchange::new(Rc::clone(&rig.plugin)).finish(rig.vm.host(), &stream);
    let records = recorded(&rig);
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].0.status, Some(404));
    assert_eq!(records[0].0.completion, Completion::LocalReply);
}

#[test]
fn without_headers_or_capture_nothing_is_recorded() {
    let rig = with_defaults(&json!({"storage_type": "none"}));
    rig.exchange(b"hi");
    let rig_with_capture = Rig::new(&json!({}));
    Exchange::new(Rc::clone(&rig_with_capture.plugin))
        .finish(rig_with_capture.vm.host(), &FakeStream::default());
    assert!(recorded(&rig).is_empty());
    assert!(recorded(&rig_with_capture).is_empty());
}

#[test]
fn one_half_alone_can_be_asked_for() {
    for (wanted, half) in [("request", Half::Request), ("response", Half::Response)] {
        let rig = with_defaults(&json!({"storage_type": wanted}));
        rig.exchange(b"hi");
        let records = recorded(&rig);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].0.half, half);
    }
}

#[test]
fn what_was_redacted_in_a_body_counts_only_where_the_body_is_kept() {
    for (storage, count) in [("request", 1), ("response", 2)] {
        let rig = with_defaults(&json!({
            "storage_type": storage,
            "metadata": {"b": {"request_json": "$.b"}, "c": {"response_json": "$.b"}},
            "redact": {"json": ["$.a"], "query": ["q"]},
        }));
        let host = rig.vm.host();
        let mut stream = request(&[("content-type", "application/json")]);
        let mut exchange = Exchange::new(Rc::clone(&rig.plugin));
        exchange.request_head(host, &stream, false);
        stream.chunk = br#"{"a":1,"b":2}"#.to_vec();
        exchange.request_chunk(host, &stream, stream.chunk.len(), true);
        stream.respond(&[(":status", "200"), ("content-type", "application/json")]);
        exchange.response_head(host, &stream, false);
        stream.chunk = br#"{"a":1,"b":3,"a":1}"#.to_vec();
        exchange.response_chunk(host, &stream, stream.chunk.len(), true);
        exchange.finish(host, &stream);
        let (record, _) = recorded(&rig).remove(0);
        let counts: Vec<_> = record.redactions.iter().collect();
        assert_eq!(counts, [(&"$.a".into(), &count), (&"query:q".into(), &1)]);
        assert_eq!(Value::Object(record.metadata), json!({"b": 2, "c": 3}));
    }
}

#[test]
fn an_upgraded_stream_is_recorded_without_bodies() {
    let rig = Rig::new(&json!({}));
    let host = rig.vm.host();
    let mut stream = request(&[("upgrade", "websocket")]);
    let mut exchange = Exchange::new(Rc::clone(&rig.plugin));
    exchange.request_head(host, &stream, false);
    stream.respond(&[(":status", "101")]);
    exchange.response_head(host, &stream, false);
    stream.chunk = b"frames".to_vec();
    exchange.request_chunk(host, &stream, 6, false);
    exchange.response_chunk(host, &stream, 6, true);
    exchange.finish(host, &stream);
    for (record, body) in recorded(&rig) {
        assert_eq!(record.status, Some(101));
        assert!(body.is_empty());
    }
}

#[test]
fn a_body_known_to_be_whole_ended_with_its_last_byte() {
    for (length, waited) in [("5", 0), ("6", 10)] {
        let rig = with_defaults(&json!({"storage_type": "request"}));
        let host = rig.vm.host();
        let mut stream = request(&[("content-length", length)]);
        let mut exchange = Exchange::new(Rc::clone(&rig.plugin));
        exchange.request_head(host, &stream, false);
        stream.chunk = b"hello".to_vec();
        exchange.request_chunk(host, &stream, 5, false);
        let seen = host.wall.get();
        host.advance(10);
        exchange.request_chunk(host, &stream, 0, true);
        exchange.finish(host, &stream);
        let records = recorded(&rig);
        let record = &records[0].0;
        assert_eq!(record.ended_at, seen + waited, "{length}");
    }
}

#[test]
fn all_headers_are_read_at_once_while_exchanges_are_recorded() {
    let rig = Rig::new(&json!({"defaults": {}, "routes": [
        {"match": {"path": {"prefix": "/api/"}}, "capture": {"storage_type": "both"}},
    ]}));
    // A path, and how often all headers are read: of the last one again only what the rule wants.
    for (path, heads) in [
        ("/api/a", 1),
        ("/elsewhere", 1),
        ("/elsewhere", 0),
        ("/api/a", 1),
    ] {
        let stream = request(&[(":path", path)]);
        Exchange::new(Rc::clone(&rig.plugin)).request_head(rig.vm.host(), &stream, true);
        assert_eq!(stream.heads.get(), heads, "{path}");
    }
}
