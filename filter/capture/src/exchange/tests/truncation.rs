//! What is over a bound is cut, and the record says so.

use std::rc::Rc;

use dossier_wire::frame::MAX_HEADER_BYTES;
use dossier_wire::limits::filter::{
    MAX_CONTENT_TYPE_BYTES, MAX_HEADER_VALUE_BYTES, MAX_HEADERS_BYTES, MAX_HOST_BYTES,
    MAX_METADATA_VALUE_BYTES, MAX_METHOD_BYTES, MAX_PATH_BYTES, MAX_QUERY_BYTES,
    MAX_REQUEST_ID_BYTES, MAX_RESPONSE_DETAILS_BYTES, MAX_ROUTE_BYTES, MAX_UPSTREAM_HOST_BYTES,
};
use dossier_wire::limits::{
    MAX_ENDPOINT_BYTES, MAX_HEADERS, MAX_SESSION_ID_BYTES, MAX_TEXT_BYTES, MAX_USER_BYTES,
};
use dossier_wire::{Encoder, Record, SessionRule, TruncatedField, VariantArray};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{recorded, request, with_defaults};
use crate::exchange::Exchange;
use crate::headers::tests::headers;
use crate::testing::{FakeStream, Harness};

/// Records what the stream sends, with a body in the request.
fn record(harness: &Harness, mut stream: FakeStream, body: &[u8]) -> Vec<Record<'static>> {
    let host = harness.vm.host();
    let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
    exchange.on_request_headers(host, &stream, false);
    stream.chunk = body.to_vec();
    exchange.on_request_body(host, &stream, body.len(), true);
    exchange.on_response_headers(host, &stream, false);
    exchange.on_trailers(host, &stream, dossier_wire::Half::Response);
    exchange.finish(host, &stream);
    recorded(harness)
        .into_iter()
        .map(|(record, _)| record)
        .collect()
}

fn cut(record: &Record<'_>) -> Vec<TruncatedField> {
    record.truncated_fields.iter().collect()
}

/// Every field that can be cut, as long as its bound and `more`.
fn longest(more: usize) -> (Harness, FakeStream) {
    let harness = with_defaults(&json!({
        "storage_type": "both",
        "headers": {"request": ["x-a"], "response": ["x-a"]},
        "metadata": {"h": {"request_header": "x-m"}},
    }));
    let text = |max: usize| "v".repeat(max + more);
    // A query and a path at once, whose endpoint is the path.
    let path = format!(
        "/{}",
        "p".repeat(
            if more == 0 {
                MAX_ENDPOINT_BYTES
            } else {
                MAX_PATH_BYTES
            } - 1
                + more
        )
    );
    let target = format!("{path}?{}", text(MAX_QUERY_BYTES));
    let (method, host, id) = (
        text(MAX_METHOD_BYTES),
        text(MAX_HOST_BYTES),
        text(MAX_REQUEST_ID_BYTES),
    );
    let (media_type, value) = (text(MAX_CONTENT_TYPE_BYTES), text(MAX_HEADER_VALUE_BYTES));
    let metadata = text(MAX_METADATA_VALUE_BYTES);
    let mut stream = FakeStream::request(&[
        (":method", &method),
        (":path", &target),
        (":authority", &host),
        ("x-request-id", &id),
        ("traceparent", &id),
        ("content-type", &media_type),
        ("content-encoding", &media_type),
        ("x-m", &metadata),
        ("x-a", &value),
    ]);
    stream.respond(&[
        (":status", "200"),
        ("content-type", &media_type),
        ("content-encoding", &media_type),
        ("x-a", &value),
    ]);
    stream.trailers = Some(headers(&[("x-a", &value)]));
    stream.set("xds.route_name", text(MAX_ROUTE_BYTES).as_bytes());
    stream.set(
        "response.code_details",
        text(MAX_RESPONSE_DETAILS_BYTES).as_bytes(),
    );
    stream.set("upstream.address", text(MAX_UPSTREAM_HOST_BYTES).as_bytes());
    (harness, stream)
}

#[test]
fn fields_at_their_bounds_are_whole() {
    let (harness, stream) = longest(0);
    for record in record(&harness, stream, b"") {
        assert_eq!(cut(&record), []);
    }
}

#[test]
fn every_longer_field_is_cut_and_marked() {
    let (harness, stream) = longest(1);
    let records = record(&harness, stream, b"");
    assert_eq!(records.len(), 2);
    let only_of_response = TruncatedField::Trailers;
    let of_request = TruncatedField::VARIANTS
        .iter()
        .copied()
        .filter(|field| *field != only_of_response);
    assert_eq!(cut(&records[0]), of_request.collect::<Vec<_>>());
    assert_eq!(cut(&records[1]), TruncatedField::VARIANTS);
    let record = &records[0];
    assert_eq!(record.path.len(), MAX_PATH_BYTES);
    assert_eq!(record.endpoint.len(), MAX_ENDPOINT_BYTES);
    assert_eq!(record.query.as_ref().unwrap().len(), MAX_QUERY_BYTES);
    assert_eq!(record.headers[0].1.len(), MAX_HEADER_VALUE_BYTES);
    assert_eq!(
        record.metadata["h"].as_str().unwrap().len(),
        MAX_METADATA_VALUE_BYTES
    );
}

#[test]
fn long_path_is_whole_and_filed_under_its_beginning() {
    let path = format!("/{}", "p".repeat(1510));
    let records = record(&Harness::new(&json!({})), request(&[(":path", &path)]), b"");
    assert_eq!(records[0].path, path);
    assert_eq!(records[0].endpoint, path[..MAX_ENDPOINT_BYTES]);
    assert_eq!(cut(&records[0]), [TruncatedField::Endpoint]);
}

#[test]
fn configured_endpoint_is_not_cut_with_the_path() {
    let path = "/p".repeat(MAX_PATH_BYTES);
    let harness = with_defaults(&json!({"storage_type": "both", "endpoint": "/named"}));
    let records = record(&harness, request(&[(":path", &path)]), b"");
    assert_eq!(cut(&records[0]), [TruncatedField::Path]);
}

#[test]
fn endpoint_of_slashes_in_a_cut_path_is_marked() {
    let path = format!("{}end", "/".repeat(MAX_PATH_BYTES));
    let records = record(&Harness::new(&json!({})), request(&[(":path", &path)]), b"");
    assert_eq!(records[0].endpoint, "/");
    assert_eq!(
        cut(&records[0]),
        [TruncatedField::Endpoint, TruncatedField::Path]
    );
}

#[test]
fn headers_beyond_their_number_are_left_out() {
    for (lines, fields) in [(MAX_HEADERS, &[][..]), (200, &[TruncatedField::Headers])] {
        let harness = with_defaults(
            &json!({"storage_type": "both", "headers": {"request": ["x-a", "content-length"]}}),
        );
        let mut pairs = vec![("x-a", "v"); lines - 1];
        pairs.push(("content-length", "0"));
        let records = record(&harness, request(&pairs), b"");
        assert_eq!(records[0].headers.len(), MAX_HEADERS);
        assert_eq!(cut(&records[0]), fields);
    }
}

#[test]
fn headers_beyond_their_bytes_are_left_out() {
    let value = "v".repeat(MAX_HEADER_VALUE_BYTES);
    let harness = with_defaults(&json!({"storage_type": "both", "headers": {"request": ["x-a"]}}));
    let pairs = vec![("x-a", value.as_str()); 4];
    let records = record(&harness, request(&pairs), b"");
    assert_eq!(
        records[0].headers.len(),
        MAX_HEADERS_BYTES / MAX_HEADER_VALUE_BYTES - 1
    );
    assert_eq!(cut(&records[0]), [TruncatedField::Headers]);
}

#[test]
fn grpc_status_is_kept_among_too_many_trailers() {
    for (lines, fields) in [(127, &[][..]), (128, &[TruncatedField::Trailers])] {
        let harness =
            with_defaults(&json!({"storage_type": "both", "headers": {"response": ["x-a"]}}));
        let mut stream = request(&[]);
        let mut trailers = vec![("x-a", "v"); lines];
        trailers.push(("grpc-status", "7"));
        stream.respond(&[(":status", "200")]);
        stream.trailers = Some(headers(&trailers));
        let records = record(&harness, stream, b"");
        assert_eq!(records[1].trailers.len(), MAX_HEADERS);
        assert_eq!(records[1].trailers[127], ("grpc-status".into(), "7".into()));
        assert_eq!(cut(&records[1]), fields);
    }
}

#[test]
fn replacements_stay_within_bounds() {
    let harness = with_defaults(&json!({
        "storage_type": "both", "headers": {"request": ["x-a"]}, "metadata": {"h": {"request_header": "x-m"}},
        "redact": {"patterns": ["email"], "with": "[an address of somebody]"},
    }));
    let addresses = |max: usize| "a@b.example,".repeat(max / 12);
    let path = format!("/{}", addresses(MAX_PATH_BYTES - 1));
    let target = format!("{path}?{}", addresses(MAX_QUERY_BYTES));
    let (value, metadata) = (
        addresses(MAX_HEADER_VALUE_BYTES),
        addresses(MAX_METADATA_VALUE_BYTES),
    );
    let stream = request(&[(":path", &target), ("x-a", &value), ("x-m", &metadata)]);
    let records = record(&harness, stream, b"");
    let record = &records[0];
    assert_eq!(record.path.len(), MAX_PATH_BYTES);
    assert_eq!(record.query.as_ref().unwrap().len(), MAX_QUERY_BYTES);
    assert_eq!(record.headers[0].1.len(), MAX_HEADER_VALUE_BYTES);
    assert_eq!(
        record.metadata["h"].as_str().unwrap().len(),
        MAX_METADATA_VALUE_BYTES
    );
    let fields = ["endpoint", "path", "query", "metadata", "headers"];
    assert_eq!(json!(record.truncated_fields), json!(fields));
    assert!(!record.path.contains("b.example"));
}

#[test]
fn cut_session_id_names_no_session() {
    for (length, is_named) in [
        (MAX_SESSION_ID_BYTES, true),
        (MAX_SESSION_ID_BYTES + 1, false),
    ] {
        let id = "s".repeat(length);
        let body = json!({"s": id}).to_string();
        for (source, header) in [("request_json", ""), ("header", id.as_str())] {
            let name = if header.is_empty() { "$.s" } else { "x-s" };
            let harness =
                with_defaults(&json!({"storage_type": "both", "session": {source: name}}));
            let stream = request(&[("content-type", "application/json"), ("x-s", header)]);
            let session = record(&harness, stream, body.as_bytes()).remove(0).session;
            let named = matches!(session, Some(SessionRule::Id(found)) if found == id);
            assert_eq!(named, is_named, "{source} of {length}");
        }
    }
}

#[test]
fn impossible_status_is_left_out() {
    for (sent, status) in [("999", Some(999)), ("1000", None), ("99", None)] {
        let mut stream = request(&[]);
        stream.respond(&[(":status", sent)]);
        let records = record(&Harness::new(&json!({})), stream, b"");
        assert_eq!(records[1].status, status, "{sent}");
    }
}

/// The worst record: everything at its bound, each byte escaped where HTTP allows one that is.
#[test]
fn record_with_all_at_its_bound_fits_into_a_batch() {
    let keys = |kind: &str| -> Vec<String> {
        (0..32)
            .map(|n| format!("{kind}{n}{}", "k".repeat(60)))
            .collect()
    };
    let constants: Value = keys("c")
        .into_iter()
        .map(|key| (key, json!("\u{1}".repeat(1024))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let paths: Value = keys("j")
        .into_iter()
        .map(|key| (key, json!({"request_json": "$.j"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let harness = Harness::new(&json!({
        "defaults": {
            "storage_type": "both", "headers": {"request": ["x-a"], "response": ["x-a"]}, "metadata": constants,
            "session": {"header": "x-s"},
        },
        "routes": [{"match": {"path": {"prefix": "/"}}, "capture": {"metadata": paths}}],
    }));
    let quotes = "\"".repeat(MAX_TEXT_BYTES * 2);
    let target = format!("/{quotes}?{quotes}");
    let (user, session) = (
        "\"".repeat(MAX_USER_BYTES),
        "\"".repeat(MAX_SESSION_ID_BYTES),
    );
    let lines = vec![("x-a", &quotes[..120]); 200];
    let fixed = [
        (":method", quotes.as_str()),
        (":path", &target),
        (":authority", &quotes),
        ("x-user-id", &user),
        ("x-s", &session),
        ("x-request-id", &quotes),
        ("traceparent", &quotes),
    ];
    let mut stream = FakeStream::request(&[&fixed[..], &lines].concat());
    stream.respond(
        &[
            &[
                (":status", "200"),
                ("content-type", &quotes),
                ("content-encoding", &quotes),
            ][..],
            &lines,
        ]
        .concat(),
    );
    stream.trailers = Some(headers(&lines));
    for attribute in [
        "xds.route_name",
        "response.code_details",
        "upstream.address",
    ] {
        stream.set(attribute, quotes.as_bytes());
    }
    let body = json!({"j": "\u{1}".repeat(2000)}).to_string();
    let records = record(&harness, stream, body.as_bytes());
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record.metadata.len(), 64);
        let mut encoder = Encoder::new();
        encoder.push_record(record, b"").unwrap();
        // Besides, each of 224 redaction rules may be counted, by a name of up to 256 bytes.
        let rules = 64 * (256 + 13) + 128 * (135 + 13) + 32 * (64 + 13);
        assert!(
            encoder.len() + rules < MAX_HEADER_BYTES,
            "{}",
            encoder.len()
        );
        let is_bounded = |text: &str| text.len() <= MAX_TEXT_BYTES;
        assert!(is_bounded(&record.path) && record.query.as_deref().is_some_and(is_bounded));
        assert!(record.headers.len() <= MAX_HEADERS && record.trailers.len() <= MAX_HEADERS);
        assert!(
            record.endpoint.len() <= MAX_ENDPOINT_BYTES && record.user_id.len() <= MAX_USER_BYTES
        );
    }
}
