//! Records of exchanges as the capture keys configure them.

use dossier_wire::BodyMissing;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::config::serialised_metadata;
use crate::metrics::Counter;

const JSON: (&str, &str) = ("content-type", "application/json");

/// An exchange with the headers and bodies of both halves, and its duration.
struct TestExchange<'a> {
    request_headers: &'a [(&'a str, &'a str)],
    request_body: &'a [u8],
    response_headers: &'a [(&'a str, &'a str)],
    response_body: &'a [u8],
    duration: u64,
}

impl Default for TestExchange<'_> {
    fn default() -> Self {
        Self {
            request_headers: &[JSON],
            request_body: b"{}",
            response_headers: &[(":status", "200"), JSON],
            response_body: b"{}",
            duration: 10,
        }
    }
}

impl TestExchange<'_> {
    fn through(
        &self,
        harness: &Harness,
        attributes: &[(&str, &[u8])],
    ) -> Vec<(Record<'static>, Vec<u8>)> {
        let host = harness.vm.host();
        let mut stream = request(self.request_headers);
        for (path, value) in attributes {
            stream.set(path, value);
        }
        let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
        exchange.on_request_headers(host, &stream, self.request_body.is_empty());
        stream.chunk = self.request_body.to_vec();
        exchange.on_request_body(host, &stream, self.request_body.len(), true);
        host.advance(self.duration);
        stream.respond(self.response_headers);
        exchange.on_response_headers(host, &stream, self.response_body.is_empty());
        stream.chunk = self.response_body.to_vec();
        exchange.on_response_body(host, &stream, self.response_body.len(), true);
        exchange.finish(host, &stream);
        recorded(harness)
    }

    fn with(&self, capture: &Value) -> Vec<(Record<'static>, Vec<u8>)> {
        self.through(&with_defaults(capture), &[])
    }
}

fn metadata(record: &Record<'_>) -> Value {
    Value::Object(record.metadata.clone())
}

#[test]
fn metadata_of_either_half_reaches_both() {
    let capture = json!({"storage_type": "both", "metadata": {
        "constant": 4,
        "model": {"request_json": "$.model"},
        "tokens": {"response_json": "$.usage.total"},
        "tier": {"request_header": "X-Tier"},
        "server": {"response_header": "server"},
        "absent": {"request_json": "$.absent"},
        "list": {"request_json": "$.list"},
        "nul": {"request_json": "$.nul"},
    }});
    let test_exchange = TestExchange {
        request_headers: &[JSON, ("x-tier", "gold")],
        request_body: br#"{"list": [1], "model": "gpt-4", "nul": "a\u0000b"}"#,
        response_headers: &[(":status", "200"), JSON, ("server", "s1")],
        response_body: br#"{"usage": {"total": 7}}"#,
        ..TestExchange::default()
    };
    for (record, _) in test_exchange.with(&capture) {
        assert_eq!(
            metadata(&record),
            json!({
                "constant": 4, "model": "gpt-4", "tokens": 7, "tier": "gold", "server": "s1", "nul": "a\u{fffd}b",
            })
        );
    }
}

#[test]
fn unrecorded_half_still_gives_metadata() {
    let capture = json!({"storage_type": "response", "metadata": {"m": {"request_json": "$.m"}}});
    let test_exchange = TestExchange {
        request_body: br#"{"m": true}"#,
        ..TestExchange::default()
    };
    let records = test_exchange.with(&capture);
    let [(record, _)] = records.as_slice() else {
        panic!("{} records", records.len());
    };
    assert_eq!(
        (record.half, metadata(record)),
        (Half::Response, json!({"m": true}))
    );
}

#[test]
fn client_session_id_replaces_timeout() {
    let capture = json!({
        "storage_type": "both", "session_timeout_minutes": 5, "session": {"request_json": "$.s"},
    });
    let session = |sent: &[u8]| {
        let test_exchange = TestExchange {
            request_body: sent,
            ..TestExchange::default()
        };
        test_exchange.with(&capture).remove(0).0.session
    };
    assert!(matches!(session(br#"{"s": "mine"}"#), Some(SessionRule::Id(id)) if id == "mine"));
    assert!(matches!(session(br#"{"s": 7}"#), Some(SessionRule::Id(id)) if id == "7"));
    assert!(matches!(
        session(b"{}"),
        Some(SessionRule::TimeoutMinutes(_))
    ));
}

/// The session group of an exchange, which is the same on both halves.
fn group(capture: &Value, header: &'static str, sent: &'static [u8]) -> Option<String> {
    let test_exchange = TestExchange {
        request_headers: &[JSON, ("x-tenant", header)],
        request_body: sent,
        ..TestExchange::default()
    };
    let records = test_exchange.with(capture);
    let groups: Vec<_> = records
        .iter()
        .map(|(it, _)| it.session_group.clone())
        .collect();
    assert_eq!(groups[0], groups[1]);
    groups[0].as_deref().map(str::to_owned)
}

#[test]
fn session_group_depends_on_configured_parts() {
    let capture = |by: Value| {
        json!({
            "storage_type": "both", "session_timeout_minutes": 5, "session": {"by": by},
            "metadata": {"m": {"request_json": "$.m"}},
        })
    };
    let both = capture(json!(["endpoint", {"header": "x-tenant"}, {"metadata": "m"}]));
    let one = group(&both, "a", b"{\"m\": 1}").unwrap();
    assert_eq!(one.len(), 32);
    assert_eq!(group(&both, "a", b"{\"m\": 1, \"n\": 2}").unwrap(), one);
    for (header, sent) in [
        ("b", &b"{\"m\": 1}"[..]),
        ("a", b"{\"m\": 2}"),
        ("a", b"{\"m\": \"1\"}"),
        ("a", b"{}"),
    ] {
        assert_ne!(
            group(&both, header, sent).unwrap(),
            one,
            "{header} {sent:?}"
        );
    }
    let by_header = capture(json!([{"header": "x-tenant"}]));
    assert_eq!(
        group(&by_header, "a", b"{}"),
        group(&by_header, "a", b"{\"m\": 1}")
    );
    assert_eq!(group(&capture(json!([])), "a", b"{}"), None);
}

#[test]
fn only_timeout_sessions_have_a_group() {
    let named = json!({
        "storage_type": "both", "session_timeout_minutes": 5,
        "session": {"header": "x-tenant", "by": ["endpoint"]},
    });
    assert_eq!(group(&named, "mine", b"{}"), None);
    assert!(group(&named, "", b"{}").is_some());
    let without = json!({"storage_type": "both", "session": {"by": ["endpoint"]}});
    assert_eq!(group(&without, "a", b"{}"), None);
}

#[test]
fn redacted_header_does_not_divide_sessions() {
    let capture = json!({
        "storage_type": "both", "session_timeout_minutes": 5,
        "session": {"by": [{"header": "x-tenant"}]}, "redact": {"headers": ["x-tenant"]},
    });
    assert_eq!(group(&capture, "a", b"{}"), group(&capture, "b", b"{}"));
}

#[test]
fn records_only_configured_headers() {
    let capture = json!({"storage_type": "both", "headers": {"request": ["X-A", "accept"], "response": ["x-b"]}});
    let test_exchange = TestExchange {
        request_headers: &[
            ("x-a", "1"),
            ("cookie", "secret"),
            ("x-a", "2"),
            ("accept", "*/*"),
        ],
        response_headers: &[(":status", "200"), ("x-a", "no"), ("x-b", "3")],
        ..TestExchange::default()
    };
    let records = test_exchange.with(&capture);
    let headers = |index: usize| -> Vec<(&str, &str)> {
        let headers = &records[index].0.headers;
        headers.iter().map(|(n, v)| (&**n, &**v)).collect()
    };
    assert_eq!(headers(0), [("x-a", "1"), ("x-a", "2"), ("accept", "*/*")]);
    assert_eq!(headers(1), [("x-b", "3")]);
}

#[test]
fn records_grpc_status_without_trailers() {
    let test_exchange = TestExchange {
        response_headers: &[(":status", "200"), ("grpc-status", "7"), ("x-other", "no")],
        response_body: b"",
        ..TestExchange::default()
    };
    let (record, _) = test_exchange
        .with(&json!({"storage_type": "response"}))
        .remove(0);
    assert_eq!(record.trailers, [("grpc-status".into(), "7".into())]);
}

#[test]
fn recorded_headers_stay_within_limit() {
    let long = "v".repeat(5000);
    let head: Vec<_> = (0..10).map(|_| ("x-a", long.as_str())).collect();
    let test_exchange = TestExchange {
        request_headers: &head,
        ..TestExchange::default()
    };
    let records =
        test_exchange.with(&json!({"storage_type": "request", "headers": {"request": ["x-a"]}}));
    let headers = &records[0].0.headers;
    assert_eq!(
        headers.len(),
        3,
        "of 4 KiB each, in 16 KiB with their names"
    );
    assert!(headers.iter().all(|(_, value)| value.len() == 4096));
}

#[test]
fn excluded_body_type_keeps_its_size() {
    let capture = json!({"storage_type": "both", "content_types": ["text/*"]});
    let test_exchange = TestExchange {
        response_headers: &[
            (":status", "200"),
            ("content-type", "Text/Plain; charset=utf-8"),
        ],
        request_body: b"{\"a\": 1}",
        response_body: b"words",
        ..TestExchange::default()
    };
    let records = test_exchange.with(&capture);
    let (request, body) = &records[0];
    assert_eq!(
        (request.body_missing, request.body_size, body.len()),
        (Some(BodyMissing::NotCaptured), 8, 0)
    );
    assert!(!request.truncated && request.body_xxh3.is_none());
    assert_eq!(
        (records[1].0.body_missing, records[1].1.as_slice()),
        (None, &b"words"[..])
    );
    let none_kept = test_exchange.with(&json!({"storage_type": "request", "max_body_bytes": 0}));
    assert_eq!(none_kept[0].0.body_missing, Some(BodyMissing::NotCaptured));
}

#[test]
fn end_conditions_drop_exchange() {
    let capture =
        json!({"storage_type": "both", "when": {"status": ["5xx"], "min_duration": "5ms"}});
    let captured = |status, took| {
        let test_exchange = TestExchange {
            response_headers: &[(":status", status)],
            duration: took,
            ..TestExchange::default()
        };
        test_exchange.with(&capture).len()
    };
    assert_eq!(captured("503", 5_000), 2);
    assert_eq!(captured("503", 4_999), 0);
    assert_eq!(captured("200", 5_000), 0);
}

#[test]
fn sampling_by_request_id_keeps_halves_together() {
    let capture = json!({"storage_type": "both", "sample": 0.3});
    let mut captured = 0;
    for number in 0..200 {
        let id = format!("id-{number}");
        let test_exchange = TestExchange {
            request_headers: &[("x-request-id", &id)],
            ..TestExchange::default()
        };
        let records = test_exchange.with(&capture).len();
        assert!(records == 0 || records == 2);
        assert_eq!(
            test_exchange.with(&capture).len(),
            records,
            "decided alike each time"
        );
        captured += records / 2;
    }
    assert!((30..90).contains(&captured), "{captured} of 200");
}

#[test]
fn redacts_bodies_headers_query_and_metadata() {
    let capture = json!({
        "storage_type": "both",
        "headers": {"request": ["x-api-key", "x-note"]},
        "metadata": {"card": {"request_json": "$.card"}, "note": {"request_header": "x-note"}},
        "redact": {
            "json": ["$.password"], "headers": ["x-api-key"], "query": ["q"], "patterns": ["credit_card", "email"],
        },
    });
    let test_exchange = TestExchange {
        request_headers: &[
            JSON,
            ("x-api-key", "hunter2"),
            ("x-note", "mail bob@example.com"),
        ],
        request_body: br#"{"password": "hunter2", "card": "4111 1111 1111 1111", "rest": 1}"#,
        ..TestExchange::default()
    };
    let harness = with_defaults(&capture);
    let records = test_exchange.through(&harness, &[]);
    let (request, body) = &records[0];
    let whole = format!("{request:?} {}", String::from_utf8_lossy(body));
    for secret in ["hunter2", "4111", "bob@example.com", "q=1"] {
        assert!(!whole.contains(secret), "{secret} is in {whole}");
    }
    assert!(whole.contains(r#""rest": 1}"#));
    assert_eq!(
        metadata(request),
        json!({"card": "[REDACTED]", "note": "mail [REDACTED]"})
    );
    assert_eq!(request.query.as_deref(), Some("q=[REDACTED]"));
    let counts: Vec<_> = request
        .redactions
        .iter()
        .map(|(rule, n)| (&**rule, *n))
        .collect();
    assert_eq!(
        counts,
        [
            ("$.password", 1),
            ("credit_card", 1),
            ("email", 2),
            ("header:x-api-key", 1),
            ("query:q", 1)
        ]
    );
    assert_eq!(
        request.body_xxh3, None,
        "it would let the password be guessed"
    );
    assert!(records[1].0.body_xxh3.is_some());
    assert!(records[1].0.redactions.is_empty());
    harness.tick(0);
    assert_eq!(harness.vm.host().counted(Counter::ValuesRedacted), 6);
}

#[test]
fn head_redactions_count_for_response_alone() {
    let records = TestExchange::default()
        .with(&json!({"storage_type": "response", "redact": {"query": ["q"]}}));
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].0.query.as_deref(), Some("q=[REDACTED]"));
    assert_eq!(records[0].0.redactions.get("query:q"), Some(&1));
}

#[test]
fn unsearchable_body_is_dropped() {
    let capture = json!({"storage_type": "request", "redact": {"patterns": ["email"]}});
    let test_exchange = TestExchange {
        request_headers: &[JSON, ("content-encoding", "br")],
        request_body: b"bob@example.com",
        ..TestExchange::default()
    };
    let (record, body) = test_exchange.with(&capture).remove(0);
    assert_eq!(
        (record.body_missing, body.len(), record.body_size),
        (Some(BodyMissing::Unreadable), 0, 15)
    );
    assert_eq!(record.body_xxh3, None);
}

#[test]
fn invalid_route_metadata_records_minimum() {
    let harness = with_defaults(&json!({
        "storage_type": "both", "headers": {"request": ["x-a"]}, "session": {"header": "x-a"},
        "metadata": {"a": {"request_header": "x-a"}, "b": 1}, "redact": {"patterns": [{"name": "api", "regex": "api"}]},
    }));
    let invalid = serialised_metadata(&json!({"dossier": {"redact": {"jsn": ["$.a"]}}}));
    let test_exchange = TestExchange {
        request_headers: &[JSON, ("x-a", "private")],
        request_body: b"{\"a\": \"private\"}",
        ..TestExchange::default()
    };
    let records = test_exchange.through(&harness, &[("xds.route_metadata", &invalid)]);
    assert_eq!(records.len(), 2);
    for (record, body) in &records {
        assert!(body.is_empty() && record.headers.is_empty() && record.session.is_none());
        assert_eq!(
            (record.query.as_deref(), metadata(record)),
            (None, json!({"b": 1}))
        );
        assert_eq!(record.body_missing, Some(BodyMissing::NotCaptured));
        assert_eq!(
            (record.status, &*record.path),
            (Some(200), "//[REDACTED]/x/")
        );
    }
    let lines = harness.vm.host().lines.borrow();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("redact.jsn: unknown key")),
        "{lines:?}"
    );
}

#[test]
fn user_comes_from_claim_or_certificate() {
    let harness = |user: Value| Harness::new(&json!({"user": user}));
    let claims = serialised_metadata(
        &json!({"envoy.filters.http.jwt_authn": {"payload": {"sub": "carol"}}}),
    );
    let attributes: &[(&str, &[u8])] = &[
        ("metadata", &claims),
        ("connection.uri_san_peer_certificate", b"spiffe://x/dave"),
    ];
    for (user, named) in [
        (json!([{"header": "x-user"}, {"jwt_claim": "sub"}]), "carol"),
        (
            json!([{"jwt_claim": "nope"}, {"peer_certificate": "uri_san"}]),
            "spiffe://x/dave",
        ),
        (json!([{"peer_certificate": "subject"}]), "anonymous"),
    ] {
        let records = TestExchange::default().through(&harness(user), attributes);
        assert_eq!(records[0].0.user_id, named);
    }
}

#[test]
fn several_encodings_or_types_are_unreadable() {
    let capture = json!({"storage_type": "request", "redact": {"patterns": ["email"]}});
    let identity = ("content-encoding", "identity");
    let gzip = ("content-encoding", "gzip");
    for (head, value) in [
        (&[identity, gzip][..], "identity, gzip"),
        (&[gzip, identity], "gzip, identity"),
    ] {
        let test_exchange = TestExchange {
            request_headers: head,
            request_body: b"bob@example.com",
            ..TestExchange::default()
        };
        let (record, body) = test_exchange.with(&capture).remove(0);
        assert_eq!(record.content_encoding.as_deref(), Some(value));
        assert_eq!(
            (record.body_missing, body.len()),
            (Some(BodyMissing::Unreadable), 0)
        );
    }
    let test_exchange = TestExchange {
        request_headers: &[("content-type", "text/plain"), JSON],
        request_body: b"bob@example.com",
        ..TestExchange::default()
    };
    let (record, body) = test_exchange.with(&capture).remove(0);
    assert_eq!(
        record.content_type.as_deref(),
        Some("text/plain, application/json")
    );
    assert_eq!(
        (record.body_missing, body.len()),
        (Some(BodyMissing::Unreadable), 0)
    );
}

#[test]
fn truncated_head_shows_no_partial_secret() {
    let capture = json!({
        "storage_type": "request", "headers": {"request": ["x-long"]},
        "metadata": {"long": {"request_header": "x-long"}},
        "redact": {"patterns": ["credit_card"]},
    });
    // The card crosses each limit: 1 KiB, 4 KiB and, in path and query, 8 KiB.
    let card = "4111-1111-1111-1111";
    let value = ["x ".repeat(507), "x ".repeat(1527), String::new()].join(card);
    let long = "x/".repeat(4091);
    let target = format!("/{long}{card}?q={long}{card}");
    let test_exchange = TestExchange {
        request_headers: &[JSON, ("x-long", &value), (":path", &target)],
        ..TestExchange::default()
    };
    let (record, _) = test_exchange.with(&capture).remove(0);
    let shown = serde_json::to_string(&record).unwrap();
    assert!(!shown.contains("4111"), "{shown}");
    let length = |text: Option<&str>| text.unwrap().len();
    assert!(length(Some(&record.path)) > 4000 && length(record.query.as_deref()) > 4000);
    assert!(length(record.metadata["long"].as_str()) > 1000);
    assert!(length(record.headers.first().map(|(_, value)| &**value)) > 4000);
}

#[test]
fn partially_searched_body_has_no_hash() {
    let capture = |max_body_bytes: usize, redact: Value| json!({"storage_type": "request", "max_body_bytes": max_body_bytes, "redact": redact});
    let test_exchange = TestExchange {
        request_body: br#"{"user": "bob", "password": "0815"}"#,
        ..TestExchange::default()
    };
    let hash = |capture: Value| test_exchange.with(&capture).remove(0).0.body_xxh3;
    let paths = json!({"json": ["$.pin"]});
    assert!(hash(capture(100, paths.clone())).is_some());
    assert!(hash(capture(20, paths)).is_none());
    // If bodies are not searched, there is nothing to guess.
    assert!(hash(capture(20, json!({"headers": ["x-api-key"]}))).is_some());
}

#[test]
fn bodies_that_the_filter_cannot_decode_are_left_to_the_collector() {
    let paths_of = |encoding: &str, redact: Value| {
        let metadata = json!({"model": {"request_json": "$.model"}, "team": "search"});
        let mut capture = json!({"storage_type": "both", "metadata": metadata});
        if !redact.is_null() {
            capture["redact"] = redact;
        }
        let harness = with_defaults(&capture);
        let mut stream = request(&[
            ("content-type", "application/json"),
            ("content-encoding", encoding),
        ]);
        let mut exchange = Exchange::new(Rc::clone(&harness.plugin));
        exchange.on_request_headers(harness.vm.host(), &stream, false);
        stream.chunk = b"anything".to_vec();
        exchange.on_request_body(harness.vm.host(), &stream, 8, true);
        exchange.finish(harness.vm.host(), &stream);
        let records = recorded(&harness);
        let [request, response] = [0, 1].map(|half| records[half].0.metadata_paths.clone());
        assert!(response.is_empty());
        serde_json::to_value(request).unwrap()
    };
    let expected = json!({"model": "$.model"});
    assert_eq!(paths_of("br", Value::Null), expected);
    assert_eq!(paths_of("zstd", Value::Null), expected);
    for encoding in ["gzip", "identity", "br, gzip", "compress"] {
        assert_eq!(paths_of(encoding, Value::Null), json!({}), "{encoding}");
    }
    let keep = json!({"json": ["$.secret"], "unreadable": "keep"});
    assert_eq!(paths_of("br", keep), json!({}));
}
