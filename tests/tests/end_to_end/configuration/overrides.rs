//! A route's own keys in Envoy's metadata: each changes what it is about and nothing else, and keys
//! that cannot be understood keep everything out that they may have been meant to keep out.

use std::collections::BTreeSet;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, UPSTREAM_CLUSTER};
use dossier_tests::stub_collector::ReceivedHalf;
use dossier_tests::traffic::Call;
use serde_json::{Map, Value, json};

use super::{Setup, encoded, everything, post, with};
use crate::support::wait_for_records;

/// What no two exchanges have in common, whatever is configured.
const VARYING_FIELDS: [&str; 8] = [
    "exchange_id",
    "path",
    "route",
    "started_at",
    "first_byte_at",
    "ended_at",
    "request_id",
    "body_xxh3",
];

/// What the filter's rule says, which fits every path.
fn rule() -> Value {
    json!({
        "storage_type": "both",
        "session_timeout_minutes": 60,
        "session": {"header": "x-session"},
        "ttl_days": 30,
        "body_ttl_days": 7,
        "compress": true,
        "endpoint": "/rule",
        "metadata": {"from": "rule", "model": {"request_json": "$.model"}},
        "headers": {"request": ["x-tag"], "response": ["x-tag"]},
        "content_types": ["application/json"],
        "max_body_bytes": 1000,
        "sample": 1,
        "when": {"status": ["2xx"]},
        "redact": {
            "json": ["$.password"],
            "headers": ["x-tag"],
            "query": ["token"],
            "patterns": ["email"],
            "with": "[RULE]",
            "unreadable": "drop_body",
        },
    })
}

/// A route's own keys, and how what is recorded differs from what it is without them.
struct Override {
    /// The keys.
    keys: Value,
    /// `content-encoding` of the body, which is in none.
    encoding: Option<&'static str>,
    /// Fields of the request's record; null: it is gone. None: the record is gone.
    request: Option<Value>,
    /// The same of the response's.
    response: Option<Value>,
}

/// Keys that change both halves alike.
fn for_both_halves(keys: Value, changes: Value) -> Override {
    Override {
        keys,
        encoding: None,
        request: Some(changes.clone()),
        response: Some(changes),
    }
}

/// Keys for which nothing is recorded.
fn unrecorded(keys: Value) -> Override {
    Override {
        keys,
        encoding: None,
        request: None,
        response: None,
    }
}

fn overrides() -> Vec<Override> {
    let body = |password, pin, note| {
        format!(r#"{{"model":"m","password":"{password}","pin":"{pin}","note":"{note}"}}"#)
    };
    let model_gone = json!({"from": "rule"});
    vec![
        Override {
            request: None,
            // What was redacted in the request's head counts for who carries it now.
            ..for_both_halves(
                json!({"storage_type": "response"}),
                json!({"redactions": {"$.password": 1, "email": 1, "header:x-tag": 1, "query:token": 1}}),
            )
        },
        for_both_halves(
            json!({"session_timeout_minutes": 5}),
            json!({"session": {"timeout_minutes": 5}}),
        ),
        for_both_halves(
            json!({"session": {"header": "x-other"}}),
            json!({"session": {"id": "other"}}),
        ),
        for_both_halves(json!({"ttl_days": 90}), json!({"ttl_days": 90})),
        for_both_halves(json!({"body_ttl_days": 1}), json!({"body_ttl_days": 1})),
        for_both_halves(json!({"compress": false}), json!({"compress": "never"})),
        for_both_halves(json!({"compress": "auto"}), json!({"compress": null})),
        for_both_halves(json!({"endpoint": "/route"}), json!({"endpoint": "/route"})),
        for_both_halves(
            json!({"metadata": {"from": "route", "also": 1}}),
            json!({"metadata": {"from": "route", "also": 1, "model": "m"}}),
        ),
        Override {
            response: Some(json!({})),
            ..for_both_halves(
                json!({"headers": {"request": ["x-other"]}}),
                json!({"headers": [["x-other", "other"]], "redactions": {"$.password": 1, "email": 1, "query:token": 1}}),
            )
        },
        Override {
            request: Some(json!({})),
            ..for_both_halves(
                json!({"headers": {"response": ["x-other"]}}),
                json!({"headers": [["x-other", "other"]], "redactions": {"$.password": 1, "email": 1}}),
            )
        },
        Override {
            request: Some(json!({
                "body": "", "body_missing": "not_captured", "metadata": model_gone,
                "redactions": {"header:x-tag": 1, "query:token": 1},
            })),
            ..for_both_halves(
                json!({"content_types": ["text/*"]}),
                json!({
                    "body": "", "body_missing": "not_captured", "metadata": model_gone,
                    "redactions": {"header:x-tag": 1},
                }),
            )
        },
        Override {
            request: Some(json!({
                "body": r#"{"model":"m""#, "truncated": true,
                "redactions": {"header:x-tag": 1, "query:token": 1},
            })),
            ..for_both_halves(
                json!({"max_body_bytes": 12}),
                json!({
                    "body": r#"{"model":"m""#, "truncated": true,
                    "redactions": {"header:x-tag": 1},
                }),
            )
        },
        unrecorded(json!({"sample": 0})),
        unrecorded(json!({"when": {"status": ["5xx"]}})),
        Override {
            request: Some(json!({
                "body": body("p", "[RULE]", "to [RULE]"),
                "redactions": {"$.pin": 1, "email": 1, "header:x-tag": 1, "query:token": 1},
            })),
            ..for_both_halves(
                json!({"redact": {"json": ["$.pin"]}}),
                json!({
                    "body": body("p", "[RULE]", "to [RULE]"),
                    "redactions": {"$.pin": 1, "email": 1, "header:x-tag": 1},
                }),
            )
        },
        Override {
            request: Some(json!({
                "headers": [["x-tag", "tag"]],
                "redactions": {"$.password": 1, "email": 1, "query:token": 1},
            })),
            ..for_both_halves(
                json!({"redact": {"headers": []}}),
                json!({
                    "headers": [["x-tag", "tag"]],
                    "redactions": {"$.password": 1, "email": 1},
                }),
            )
        },
        Override {
            request: Some(json!({
                "query": "token=t&key=[RULE]",
                "redactions": {"$.password": 1, "email": 1, "header:x-tag": 1, "query:key": 1},
            })),
            ..for_both_halves(
                json!({"redact": {"query": ["key"]}}),
                json!({"query": "token=t&key=[RULE]"}),
            )
        },
        Override {
            request: Some(json!({
                "body": body("[RULE]", "[RULE]", "to a@example.com"),
                "redactions": {"$.password": 1, "pin": 1, "header:x-tag": 1, "query:token": 1},
            })),
            ..for_both_halves(
                json!({"redact": {"patterns": [{"name": "pin", "regex": "[0-9]{4}"}]}}),
                json!({
                    "body": body("[RULE]", "[RULE]", "to a@example.com"),
                    "redactions": {"$.password": 1, "pin": 1, "header:x-tag": 1},
                }),
            )
        },
        for_both_halves(
            json!({"redact": {"with": "[ROUTE]"}}),
            json!({
                "query": "token=[ROUTE]&key=k",
                "headers": [["x-tag", "[ROUTE]"]],
                "body": body("[ROUTE]", "4711", "to [ROUTE]"),
            }),
        ),
        Override {
            encoding: Some("br"),
            ..for_both_halves(
                json!({"redact": {"unreadable": "keep"}}),
                json!({"body": body("p", "4711", "to a@example.com"), "body_missing": null}),
            )
        },
    ]
}

/// What every route is asked.
fn call(path: &str, encoding: Option<&str>) -> Call {
    let body = r#"{"model":"m","password":"p","pin":"4711","note":"to a@example.com"}"#;
    let call = post(&format!("{path}?token=t&key=k"), "application/json", body);
    let call = with(with(call, "x-tag", "tag"), "x-other", "other");
    encoded(call, encoding)
}

fn route(path: &str, keys: &Value) -> Value {
    json!({
        "name": format!("route of {path}"),
        "match": {"path": path},
        "route": {"cluster": UPSTREAM_CLUSTER},
        "metadata": {"filter_metadata": {"dossier": keys, "others": {"storage_type": 7}}},
    })
}

fn add_routes(
    bootstrap: &mut Bootstrap,
    routes: impl Iterator<Item = Value>,
) -> Result<(), HarnessError> {
    bootstrap.routes()?.splice(0..0, routes);
    Ok(())
}

/// All that a record tells that another exchange's record could tell as well.
fn comparable_fields(half: &ReceivedHalf) -> Map<String, Value> {
    let mut fields = half.record.as_object().unwrap().clone();
    fields.retain(|field, _| !VARYING_FIELDS.contains(&field.as_str()));
    let body = String::from_utf8(half.body.clone()).unwrap();
    fields.insert("body".to_owned(), json!(body));
    fields
}

/// The same with these fields changed.
fn apply_changes(mut fields: Map<String, Value>, changes: &Value) -> Map<String, Value> {
    for (field, value) in changes.as_object().unwrap() {
        if value.is_null() {
            fields.remove(field);
        } else {
            fields.insert(field.clone(), value.clone());
        }
    }
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_changes_its_own_setting_only() {
    let overrides = overrides();
    let path = |number: usize| format!("/{number}");
    let keys = everything(&rule());
    let setup = Setup::start_with(&keys, |bootstrap| {
        let routes = overrides.iter().enumerate();
        let routes = routes.map(|(number, it)| route(&path(number), &it.keys));
        add_routes(
            bootstrap,
            routes.chain([route("/faulty", &json!({"zzz": 1, "redact": {"zzz": 1}}))]),
        )
    });
    let setup = setup.await;
    let usual = setup.record(&call("/usual", None)).await;
    let unreadable = setup.record(&call("/unreadable", Some("br"))).await;
    let mut records = 4;
    for (number, it) in overrides.iter().enumerate() {
        setup.send(&call(&path(number), it.encoding)).await;
        records += u64::from(it.request.is_some()) + u64::from(it.response.is_some());
    }
    wait_for_records(&setup.harness.envoy, records).await;
    let halves = setup.harness.stub_collector.all_halves();
    for (number, it) in overrides.iter().enumerate() {
        let base = it.encoding.map_or(&usual, |_| &unreadable);
        let expected: Vec<_> = [&it.request, &it.response]
            .into_iter()
            .zip(base)
            .filter_map(|(changes, base)| {
                Some(apply_changes(comparable_fields(base), changes.as_ref()?))
            })
            .collect();
        let path = path(number);
        let found = halves.iter().filter(|half| half.text("path") == path);
        assert_eq!(
            found.map(comparable_fields).collect::<Vec<_>>(),
            expected,
            "{}",
            it.keys
        );
    }

    // The filter itself says which keys there are.
    setup.send(&call("/faulty", None)).await;
    wait_for_records(&setup.harness.envoy, records + 2).await;
    let log = setup.harness.envoy.process.log().text();
    let tried = |keys: &dyn Fn(&Override) -> Option<&Value>| -> BTreeSet<String> {
        let keys = overrides.iter().filter_map(keys);
        keys.flat_map(|keys| keys.as_object().unwrap().keys().cloned())
            .collect()
    };
    assert_eq!(
        tried(&|it| Some(&it.keys)),
        list_known_keys(&log, "dossier.zzz")
    );
    assert_eq!(
        tried(&|it| it.keys.get("redact")),
        list_known_keys(&log, "dossier.redact.zzz")
    );
}

/// The keys that a warning names as the ones that there are.
fn list_known_keys(log: &str, at: &str) -> BTreeSet<String> {
    let (_, rest) = log
        .split_once(&format!("{at}: unknown key, expected one of "))
        .unwrap();
    let keys = rest.split([';', '\n']).next().unwrap();
    keys.split(", ").map(str::to_owned).collect()
}

/// What is recorded without any `storage_type`: what a rule matches, and routes with own keys. A broken one is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_routes_record_by_themselves() {
    let keys = json!({"defaults": {}, "routes": [
        {"match": {"path": {"prefix": "/rule/"}}},
        {"match": {"path": {"prefix": "/left-out/"}}, "capture": {"storage_type": "none"}},
    ]});
    let routes = [
        ("/route/empty", json!({})),
        ("/route/none", json!({"storage_type": "none"})),
        ("/route/broken", json!({"ttl_days": 0})),
        ("/left-out/route", json!({})),
    ];
    let setup = Setup::start_with(&keys, |bootstrap| {
        add_routes(
            bootstrap,
            routes.iter().map(|(path, keys)| route(path, keys)),
        )
    });
    let setup = setup.await;
    for path in [
        "/nothing",
        "/left-out/x",
        "/route/none",
        "/route/broken",
        "/left-out/route",
    ] {
        setup.send(&call(path, None)).await;
    }
    for path in ["/rule/x", "/route/empty"] {
        setup.record(&call(path, None)).await;
    }
    wait_for_records(&setup.harness.envoy, 4).await;
    assert_eq!(setup.harness.stub_collector.all_halves().len(), 4);
}

/// Nothing of this may be in a record or a log.
const PLANTED: &str = "planted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_route_records_bare_facts_only() {
    let faults = [
        json!({"ttl_days": "a week", "metadata": {"owner": PLANTED}}),
        json!({"redact": {"json": ["no path"], "with": PLANTED}}),
        json!({"storage_type": "both", "redacted": {"json": ["$.password"]}}),
        json!({"body_ttl_days": 40, "ttl_days": 30}),
    ];
    let mut rule = rule();
    rule["headers"] = json!({"request": ["x-tag", "authorization"], "response": ["x-tag"]});
    rule["redact"] = json!({});
    let path = |number: usize| format!("/{number}");
    let keys = everything(&rule);
    let setup = Setup::start_with(&keys, |bootstrap| {
        let routes = faults.iter().enumerate();
        add_routes(
            bootstrap,
            routes.map(|(number, keys)| route(&path(number), keys)),
        )
    });
    let setup = setup.await;
    let body = json!({"model": PLANTED, "password": PLANTED}).to_string();
    for number in 0..faults.len() {
        let target = format!("{}?q={PLANTED}", path(number));
        let call = post(&target, "application/json", body.clone());
        let call = [
            ("x-tag", PLANTED),
            ("authorization", PLANTED),
            ("x-session", PLANTED),
        ]
        .into_iter()
        .fold(call, |call, (name, value)| with(call, name, value));
        for half in setup.record(&call).await {
            assert_eq!(half.body, b"");
            assert_eq!(half.text("body_missing"), "not_captured");
            assert_eq!(half.number("body_size"), body.len() as u64);
            for field in ["query", "headers", "trailers"] {
                assert_eq!(half.record[field], json!(null), "{field}");
            }
            // What the rule says by itself stays.
            assert_eq!(half.record["metadata"], json!({"from": "rule"}));
            assert_eq!(half.record["session"], json!({"timeout_minutes": 60}));
            assert_eq!((half.number("ttl_days"), half.number("status")), (30, 200));
            assert!(
                !half.record.to_string().contains(PLANTED),
                "{}",
                half.record
            );
        }
        // More of them are nothing new.
        for _ in 0..10 {
            setup.send(&call).await;
        }
    }
    wait_for_records(&setup.harness.envoy, 2 * 11 * faults.len() as u64).await;
    let log = setup.harness.envoy.process.log().text();
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("invalid metadata of route"))
        .collect();
    // Each VM warns once, by its thread.
    let threads: BTreeSet<_> = warnings
        .iter()
        .map(|line| line.split(['[', ']']).nth(3))
        .collect();
    assert!(
        !warnings.is_empty() && threads.len() == warnings.len(),
        "{warnings:?}"
    );
    assert!(warnings.iter().any(|line| {
        line.contains(
            "invalid metadata of route \"route of /0\", its exchanges are recorded without query, headers \
             and bodies: metadata.filter_metadata.dossier.ttl_days: expected a whole number of days",
        )
    }));
    assert!(!log.contains(PLANTED));
}
