//! Fuzzes the configuration checker with JSON and serialised `Struct`s, and the rules of valid
//! configurations.

use dossier_capture::config::{Config, Problems, RequestView, check_route_keys};
use dossier_capture::headers::Headers;
use serde_json::{Value, json};

use super::engine::{MAX_INPUT_BYTES, Target};
use super::messages::serialised_struct;

/// Debug output of a plan without any configured text.
pub(crate) const MAX_PLAN_BYTES: usize = 64 << 10;
/// A short unknown key may be answered with all known keys.
const MAX_REPORT_FACTOR: usize = 128;
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"0.5",
    b"1e308",
    b"9007199254740993",
    b"\"\"",
    b"\\u0000",
    b"\\ud83d",
    b"${A}",
    b"1MiB",
    b"500ms",
    b"9999999999999h",
    b"*",
    b"/{a}/{b}",
    b"$..*",
    b"$['a'][0]",
    b"(a|b)*c{1,200}",
    b"[^\\\\x00-\\\\xff]",
    b"(?i)",
    b"\\\\b",
    b"\"routes\":",
    b"\"match\":",
    b"\"capture\":",
    b"\"redact\":",
    b"\"path\":",
    b"\"regex\":",
    b"\"json\":[",
    b"\"patterns\":[",
    b"\"email\"",
    b"\"defaults\":",
    b"\"when\":",
    b"\"sample\":",
    b"\"user\":",
    b"\xff",
];

/// A request's headers as a proxy serialises them.
pub(crate) fn request(path: &str) -> Headers {
    let pairs = [
        (":path", path),
        (":method", "POST"),
        (":authority", "api.example.com:8443"),
        ("x-debug", "1"),
    ];
    let length = |text: &str| u32::try_from(text.len()).unwrap().to_le_bytes();
    let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend([length(name), length(value)].concat());
    }
    for (name, value) in pairs {
        bytes.extend([name, "\0", value, "\0"].concat().bytes());
    }
    Headers::from_serialised(bytes)
}

/// There are problems, and their texts are proportional to the input.
pub(crate) fn check(problems: &Problems, length: usize) {
    assert!(!problems.is_empty());
    assert!(problems.lines().count() <= length + 16);
    let bytes: usize = problems.lines().map(str::len).sum();
    assert!(
        bytes <= 4096 + MAX_REPORT_FACTOR * length,
        "{bytes} of {length}"
    );
}

fn whole() -> Value {
    json!({
        "collector": {
            "cluster": "dossier_collector", "authority": "dossier", "path": "/ingest/v1/batches",
            "token": "${DOSSIER_INGEST_TOKEN}", "timeout": "5s",
        },
        "batch": {"max_records": 512, "max_bytes": "1MiB", "max_delay": "1s", "compression": "fast"},
        "buffer": {"max_bytes": "16MiB"},
        "user": [{"header": "x-user-id"}, {"jwt_claim": "realm.sub"}, {"peer_certificate": "uri_san"}],
        "hash_key": "${KEY}",
        "defaults": {"storage_type": "none"},
        "routes": [
            {
                "match": {
                    "route": "ai-*", "host": "*.example.com", "methods": ["POST"],
                    "path": {"prefix": "/api/v1/ai/"}, "headers": [{"name": "x-debug", "exact": "1"}],
                },
                "capture": {
                    "storage_type": "both", "session_timeout_minutes": 60,
                    "session": {"header": "x-session-id"}, "ttl_days": 30, "body_ttl_days": 7,
                    "compress": true, "endpoint": "/users/{id}", "max_body_bytes": "64KiB",
                    "metadata": {
                        "model": "gpt-4", "requested": {"request_json": "$.model"},
                        "tier": {"request_header": "x-tier"},
                    },
                    "headers": {"request": ["content-type"], "response": ["content-type"]},
                    "content_types": ["application/json", "text/*"], "sample": 0.1,
                    "when": {"status": ["400-599"], "min_duration": "500ms"},
                    "redact": {
                        "json": ["$.password", "$..ssn", "$.messages[*].content"],
                        "headers": ["x-api-key"], "query": ["token"],
                        "patterns": ["email", {"name": "order", "regex": "ORD-[0-9]{8}"}],
                        "with": "[GONE]", "unreadable": "drop_body",
                    },
                },
            },
        ],
    })
}

fn paths() -> Value {
    let rule = |path: Value| json!({"match": {"path": path}, "capture": {"storage_type": "both"}});
    json!({
        "collector": {"cluster": "c"},
        "routes": [
            rule(json!({"regex": "/a+/[^/]*(x|y)?"})),
            rule(json!({"template": "/users/{id}/orders"})),
            rule(json!({"exact": "/a"})),
            {"match": {"headers": [{"name": "x-debug", "regex": "[0-9]+"}], "host": "*"}, "capture": {}},
        ],
    })
}

fn seeds() -> [Vec<u8>; 5] {
    [
        whole().to_string().into_bytes(),
        format!("{:#}", whole()).into_bytes(),
        paths().to_string().into_bytes(),
        serialised_struct(&whole()),
        serialised_struct(&paths()),
    ]
}

#[test]
fn configuration() {
    let target = Target {
        name: "configuration",
        seeds: seeds().into(),
        tokens: TOKENS,
    };
    let long = format!("/{}", "a/".repeat(4000));
    let requests = ["/api/v1/ai/chat", "/users/7/orders", &long].map(request);
    target.run(|bytes, _| {
        match Config::parse(bytes) {
            Ok(config) => {
                assert!(config.rules.find_idle().len() <= config.rules.len());
                for headers in &requests {
                    let request = RequestView::new(headers, Some(b"ai-chat"));
                    let plan = config.rules.choose_plan(&request, None, |_| ());
                    let size = format!("{plan:?}").len();
                    assert!(size <= MAX_PLAN_BYTES + 8 * MAX_INPUT_BYTES, "{size}");
                }
            }
            Err(problems) => check(&problems, bytes.len()),
        }
        if let Ok(keys) = serde_json::from_slice::<Value>(bytes)
            && let Err(problems) = check_route_keys(&keys, "at")
        {
            check(&problems, bytes.len());
        }
    });
}

#[test]
fn seeds_are_valid_configurations() {
    for seed in seeds() {
        if let Err(problems) = Config::parse(&seed) {
            panic!("{problems}");
        }
    }
}
