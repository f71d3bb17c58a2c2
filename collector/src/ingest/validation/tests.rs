use dossier_wire::limits::{
    MAX_ENDPOINT_BYTES, MAX_HEADERS, MAX_REDACTION_RULES, MAX_SESSION_ID_BYTES, MAX_USER_BYTES,
    STATUSES, filter,
};
use dossier_wire::{Encoder, TruncatedField};
use serde_json::{Value, json};
use strum::VariantArray;
use time::macros::datetime;

use super::*;
use crate::ingest::format::BatchFormat;
use crate::ingest::parsed_batch::ParsedBatch;
use crate::limits::admission::Admission;
use crate::model::entry::BodyState;
use crate::model::session::SessionRequest;
use dossier_body::Codec;
use dossier_body::dictionary::Dictionaries;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);
const NOW_MICROS: u64 = 1_780_315_200_000_000;

fn validated(change: impl FnOnce(&mut Value), body: &[u8]) -> Result<NewEntry<'static>, String> {
    let mut header = json!({
        "exchange_id": "01890000-0000-7000-8000-000000000000", "type": "response", "user_id": "alice",
        "endpoint": "/api/x", "method": "POST", "path": "/api/x", "started_at": NOW_MICROS,
        "first_byte_at": NOW_MICROS + 5, "ended_at": NOW_MICROS + 9, "body_size": body.len(),
        "completion": "complete", "session": {"timeout_minutes": 1},
    });
    change(&mut header);
    let header: &'static str = header.to_string().leak();
    let record: Record<'static> = serde_json::from_str(header).unwrap();
    let none = Dictionaries::default();
    let packed = validate_record(
        record,
        body.to_vec().leak(),
        0,
        (&mut BodyPacker::new(&none), &mut SearchBudget::default()),
        NOW,
    );
    packed.map_err(|error| error.to_string())
}

#[test]
fn metadata_nested_too_deep_is_rejected() {
    let nested = |levels: usize| {
        let value = (1..levels).fold(json!(1), |inner, _| json!([inner]));
        validated(|header| header["metadata"] = json!({ "a": value }), b"")
    };
    assert!(nested(100).is_ok());
    assert_eq!(
        nested(101).unwrap_err(),
        "metadata: nested deeper than 100 levels"
    );
}

#[test]
fn valid_record_becomes_entry() {
    let entry = validated(|header| header["ttl_days"] = json!(30), b"hi").unwrap();
    assert_eq!(entry.expires, Expiry::At(NOW + time::Duration::days(30)));
    assert_eq!(entry.created_at, NOW + std::time::Duration::from_micros(5));
    assert_eq!(entry.body.state(), BodyState::Stored);
    let empty = validated(|_| {}, b"").unwrap();
    assert_eq!(empty.body.state(), BodyState::Empty);
    assert_eq!(validated(|_| {}, b"").unwrap().expires, Expiry::Never);
}

#[test]
fn invalid_field_is_reported_without_value() {
    let pair = |name: &str, value: &str| json!([[name, value]]);
    let ahead = NOW_MICROS + 2 * 86_400_000_000;
    let cases: [(&str, Value, &str); 28] = [
        ("user_id", json!(""), "user_id"),
        ("user_id", json!("hunter2".repeat(100)), "user_id"),
        ("path", json!("/hunter2\u{0}"), "path"),
        ("query", json!("hunter2".repeat(10_000)), "query"),
        ("metadata", json!({"a": [{"hunter2": "\u{0}"}]}), "metadata"),
        ("endpoint", json!("/hunter2".repeat(129)), "endpoint"),
        (
            "session",
            json!({"id": "hunter2".repeat(147)}),
            "session.id",
        ),
        ("started_at", json!(ahead), "started_at: more than a day"),
        ("first_byte_at", json!(ahead), "first_byte_at: more than"),
        ("ended_at", json!(ahead), "ended_at: more than a day"),
        ("ended_at", json!(u64::MAX), "ended_at"),
        ("ttl_days", json!(3651), "ttl_days"),
        (
            "body_xxh3",
            json!("+hunter2000000000000000000000000"),
            "body_xxh3",
        ),
        ("body_ttl_days", json!(3651), "body_ttl_days"),
        (
            "session",
            json!({"timeout_minutes": 525_601}),
            "session.timeout_minutes",
        ),
        (
            "session_group",
            json!("hunter2".repeat(37)),
            "session_group",
        ),
        ("session_group", json!("hunter2\u{0}"), "session_group"),
        ("headers", pair("hunter2", "\u{0}"), "headers"),
        ("headers", pair("hunter2\u{0}", ""), "headers"),
        ("headers", pair(&"hunter2".repeat(37), ""), "headers"),
        ("trailers", pair("x", &"hunter2".repeat(2341)), "trailers"),
        ("headers", json!(vec![["hunter2", ""]; 129]), "headers"),
        ("redactions", json!({"hunter2\u{0}": 1}), "redactions"),
        ("redactions", json!({"hunter2".repeat(37): 1}), "redactions"),
        ("redactions", many_rules(257), "redactions"),
        ("response_flags", json!(u64::MAX), "response_flags"),
        ("workload", json!("hunter2\u{0}"), "workload"),
        ("response_details", json!("\u{0}"), "response_details"),
    ];
    for (field, value, named) in cases {
        let error = validated(|header| header[field] = value, b"").unwrap_err();
        assert!(
            error.starts_with(named) && !error.contains("hunter2"),
            "{field}: {error}"
        );
    }
}

/// The filter cuts at these bounds, which must not be above those checked here.
#[test]
fn accepts_all_that_the_filter_keeps() {
    let text = |bytes: usize| json!("x".repeat(bytes));
    let id = text(filter::MAX_REQUEST_ID_BYTES);
    let fields = [
        ("user_id", text(MAX_USER_BYTES)),
        (
            "endpoint",
            json!(format!("/{}", "x".repeat(MAX_ENDPOINT_BYTES - 1))),
        ),
        ("session", json!({"id": text(MAX_SESSION_ID_BYTES)})),
        ("method", text(filter::MAX_METHOD_BYTES)),
        ("path", text(filter::MAX_PATH_BYTES)),
        ("query", text(filter::MAX_QUERY_BYTES)),
        ("host", text(filter::MAX_HOST_BYTES)),
        ("route", text(filter::MAX_ROUTE_BYTES)),
        ("request_id", id.clone()),
        ("traceparent", id),
        ("content_type", text(filter::MAX_CONTENT_TYPE_BYTES)),
        ("content_encoding", text(filter::MAX_CONTENT_TYPE_BYTES)),
        ("response_details", text(filter::MAX_RESPONSE_DETAILS_BYTES)),
        ("upstream_host", text(filter::MAX_UPSTREAM_HOST_BYTES)),
        ("workload", text(filter::MAX_WORKLOAD_BYTES)),
        ("headers", json!(vec![["x", "y"]; MAX_HEADERS])),
        (
            "trailers",
            json!([["x", text(filter::MAX_HEADER_VALUE_BYTES)]]),
        ),
        ("status", json!(STATUSES.end())),
        ("redactions", many_rules(MAX_REDACTION_RULES)),
        ("truncated_fields", json!(TruncatedField::VARIANTS)),
    ];
    let entry = validated(
        |header| {
            for (field, value) in fields {
                header[field] = value;
            }
        },
        b"",
    );
    let truncated = entry.unwrap().truncated_fields;
    assert_eq!(truncated.iter().count(), TruncatedField::VARIANTS.len());
}

#[test]
fn status_has_three_digits() {
    for (status, is_valid) in [(99, false), (100, true), (999, true), (1000, false)] {
        let validated = validated(|header| header["status"] = json!(status), b"");
        assert_eq!(validated.is_ok(), is_valid, "{status}");
    }
}

fn many_rules(count: usize) -> Value {
    (0..count)
        .map(|number| (format!("hunter2-{number}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn accepts_fields_at_their_limits() {
    let pairs = json!(vec![["n".repeat(256), "v".repeat(16 * 1024)]; 4]);
    let entry = validated(
        |header| {
            header["headers"] = json!(vec![["x", "y"]; 128]);
            header["trailers"] = pairs;
            header["redactions"] = many_rules(256);
            header["response_flags"] = json!(i64::MAX);
            header["body_ttl_days"] = json!(3650);
            header["session"] = json!({"timeout_minutes": 525_600});
            header["session_group"] = json!("g".repeat(256));
            // In its normal form it has a byte less.
            header["endpoint"] = json!(format!("/{}/", "e".repeat(1023)));
        },
        b"hi",
    )
    .unwrap();
    assert_eq!(entry.headers.leading.len(), 128);
    assert_eq!(entry.headers.trailing.len(), 4);
    assert_eq!(entry.redactions.len(), 256);
    assert_eq!(entry.proxy.flags, i64::MAX);
    let year = SessionRequest::Within {
        timeout: time::Duration::days(365),
        group: "g".repeat(256),
    };
    assert_eq!(entry.session, Some(year));
}

#[test]
fn body_expires_no_later_than_its_entry() {
    let expiry_of = |body: Option<u32>, entry: Option<u32>| {
        validated(
            |header| {
                header["body_ttl_days"] = json!(body);
                header["ttl_days"] = json!(entry);
            },
            b"hi",
        )
        .map(|entry| entry.body.stored().unwrap().expires(entry.expires))
    };
    let after = |days| Expiry::At(NOW + time::Duration::days(days));
    assert_eq!(expiry_of(None, None).unwrap(), Expiry::Never);
    assert_eq!(expiry_of(None, Some(30)).unwrap(), after(30));
    assert_eq!(expiry_of(Some(7), Some(30)).unwrap(), after(7));
    assert_eq!(expiry_of(Some(30), Some(30)).unwrap(), after(30));
    assert_eq!(expiry_of(Some(7), None).unwrap(), after(7));
    let error = expiry_of(Some(31), Some(30)).unwrap_err();
    assert!(
        error.starts_with("body_ttl_days: more than ttl_days"),
        "{error}"
    );
}

#[test]
fn missing_body_keeps_its_reason() {
    for &reason in dossier_wire::BodyMissing::VARIANTS {
        let missing = |header: &mut Value| header["body_missing"] = json!(reason);
        let entry = validated(missing, b"").unwrap();
        assert_eq!(entry.body.state(), BodyState::Missing(reason));
        let error = validated(missing, b"but there it is").unwrap_err();
        assert!(error.starts_with("body_missing"), "{error}");
    }
}

#[test]
fn decoded_body_is_packed_as_plain() {
    let body = [b'a'; 1000];
    let packed = |decoded: bool| {
        let entry = validated(
            |header| {
                header["content_encoding"] = json!("gzip");
                header["body_decoded"] = json!(decoded);
            },
            &body,
        )
        .unwrap();
        let stored = entry.body.stored().unwrap();
        (stored.codec.clone(), stored.sha256)
    };
    let sha256 = sha256([body.as_slice()]);
    assert_eq!(packed(true), (Codec::Zstd, sha256));
    assert_eq!(packed(false), (Codec::Identity, sha256));
}

#[test]
fn stores_valid_records_next_to_malformed_ones() {
    let mut encoder = Encoder::new();
    for user in ["alice", "\u{0}", "bob"] {
        let header = json!({
            "exchange_id": "01890000-0000-7000-8000-000000000000", "type": "request", "user_id": user,
            "endpoint": "/", "method": "GET", "path": "/", "started_at": NOW_MICROS,
            "first_byte_at": NOW_MICROS, "ended_at": NOW_MICROS, "body_size": 0, "completion": "complete",
        })
        .to_string();
        encoder
            .push_record(&serde_json::from_str(&header).unwrap(), b"")
            .unwrap();
    }
    let bytes = encoder.finish();
    let reservation = Admission::default().reserve();
    let parsed = ParsedBatch::parse(BatchFormat::Wire, &bytes, reservation).unwrap();
    let new = validate_batch(
        BatchId(uuid::Uuid::nil()),
        parsed.records(),
        BodyPacker::new(&Dictionaries::default()),
        NOW,
        &RefusedRecords::new(),
    );
    let users: Vec<_> = new
        .entries
        .iter()
        .map(|entry| entry.user.as_str())
        .collect();
    assert_eq!(users, ["alice", "bob"]);
    assert_eq!(new.rejected.len(), 1);
    assert_eq!(new.rejected[0].position, 1);
}

#[test]
fn paths_into_the_body_become_metadata() {
    let body = br#"{"model": "m", "usage": {"tokens": 18446744073709551617}, "long": "LONG"}"#;
    let body = String::from_utf8_lossy(body).replace("LONG", &"x".repeat(2000));
    let taken = |paths: Value, encoding: Option<&str>| {
        validated(
            |header| {
                header["metadata"] = json!({"team": "search", "model": "constant"});
                header["metadata_paths"] = paths;
                header["content_encoding"] = json!(encoding);
            },
            body.as_bytes(),
        )
    };
    let all = json!({"model": "$.model", "n": "$.usage.tokens", "none": "$.none"});
    let entry = taken(all.clone(), None).unwrap();
    let expected = json!({"team": "search", "model": "m", "n": "18446744073709551617"});
    assert_eq!(json!(entry.metadata), expected);
    let long = taken(json!({"long": "$.long"}), None).unwrap();
    assert_eq!(long.metadata["long"].as_str().unwrap().len(), 1024);
    let truncated: Vec<_> = long.truncated_fields.iter().collect();
    assert_eq!(truncated, [TruncatedField::Metadata]);
    // What cannot be decoded has no values.
    let opaque = taken(all, Some("compress")).unwrap();
    assert_eq!(
        json!(opaque.metadata),
        json!({"team": "search", "model": "constant"})
    );
    let many: Value = (0..33)
        .map(|n| (n.to_string(), json!("$.a")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for (paths, reason) in [
        (
            json!({"a": "model"}),
            "metadata_paths: expected JSON paths, such as $.usage.total_tokens",
        ),
        (many, "metadata_paths: more than 32"),
        (
            json!({"n".repeat(257): "$.a"}),
            "metadata_paths: a name is longer than 256 bytes",
        ),
    ] {
        assert_eq!(taken(paths, None).unwrap_err(), reason);
    }
}
