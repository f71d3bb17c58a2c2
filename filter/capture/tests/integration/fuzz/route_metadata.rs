//! Fuzzes the decoder of route metadata, and the rules that it overrides.

use std::cell::Cell;

use dossier_capture::config::{Config, RequestView};
use serde_json::{Value, json};

use super::configuration::{MAX_PLAN_BYTES, check, request};
use super::engine::{MAX_INPUT_BYTES, Target};
use super::messages::serialised_metadata;

const TOKENS: &[&[u8]] = &[
    b"\x0a\x07dossier\x12",
    b"\x0a\x00",
    b"\x12\x00",
    b"\x1a",
    b"\x22",
    b"\x2a",
    b"\x32",
    b"\x11\x00\x00\x00\x00\x00\x00\x3e\x40",
    b"\x11\x00\x00\x00\x00\x00\x00\xf8\x7f",
    b"\x08\x00",
    b"\x20\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x0b",
    b"\x0c",
    b"storage_type",
    b"ttl_days",
    b"redact",
    b"patterns",
    b"metadata",
    b"sample",
    b"both",
    b"64KiB",
    b"$..a",
];

fn seeds() -> Vec<Vec<u8>> {
    let all = json!({
        "storage_type": "both", "session_timeout_minutes": 60, "ttl_days": 30, "body_ttl_days": 7,
        "compress": true, "endpoint": "/users/{id}", "max_body_bytes": "64KiB", "sample": "0.1",
        "session": {"query": "sid"}, "content_types": ["application/json", "text/*"],
        "metadata": {"model": "gpt-4", "tokens": {"response_json": "$.usage.total_tokens"}},
        "headers": {"request": ["content-type"], "response": ["content-type"]},
        "when": {"status": ["400-599"], "min_duration": "500ms"},
    });
    let redact = json!({
        "redact": {
            "json": ["$.password", "$..ssn"], "headers": ["x-api-key"], "query": ["token"],
            "patterns": ["email", {"name": "order", "regex": "ORD-[0-9]{8}"}],
            "with": "hash", "unreadable": "keep",
        },
        "storage_type": "response",
    });
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!({"metadata": [deep]});
    }
    [
        ("dossier", all),
        ("dossier", redact),
        ("dossier", deep),
        ("dossier", json!({})),
        (
            "envoy.lb",
            json!({"canary": true, "stage": [null, 1.5, "x"]}),
        ),
    ]
    .map(|(namespace, keys): (_, Value)| serialised_metadata(namespace, &keys))
    .into()
}

#[test]
fn route_metadata() {
    let target = Target {
        name: "route-metadata",
        seeds: seeds(),
        tokens: TOKENS,
    };
    let config = json!({
        "collector": {"cluster": "c"}, "hash_key": "a key of sixteen bytes or more".replace(' ', "-"),
        "routes": [{"match": {"path": {"template": "/users/{id}"}}, "capture": {"ttl_days": 3}}],
    });
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    let [users, other] = ["/users/7", "/"].map(request);
    target.run(|bytes, _| {
        let reports = Cell::new(0);
        for headers in [&users, &other, &users] {
            let request = RequestView::new(headers, None);
            let plan = config.rules.choose_plan(&request, Some(bytes), |problems| {
                reports.set(reports.get() + 1);
                check(problems, bytes.len());
            });
            let size = format!("{plan:?}").len();
            assert!(size <= MAX_PLAN_BYTES + 8 * MAX_INPUT_BYTES, "{size}");
        }
        // Problems are reported once for each metadata, not for each request.
        assert!(reports.get() <= 1);
    });
}

#[test]
fn seeds_are_valid_except_nested_one() {
    let config = json!({"collector": {"cluster": "c"}, "hash_key": "0123456789abcdef"});
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    let headers = request("/users/7");
    let request = RequestView::new(&headers, None);
    let mut faulty = 0;
    for seed in seeds() {
        let _ = config
            .rules
            .choose_plan(&request, Some(&seed), |_| faulty += 1);
    }
    // Only the nested one.
    assert_eq!(faulty, 1);
}
