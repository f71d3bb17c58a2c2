//! `metadata`: constants, and what is taken from headers and bodies of either half.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_tests::echo_service::EchoService;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::Call;
use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::{Value, json};

use super::{Setup, configure, encoded, everything, gzip, post, route_to_service, with};
use crate::support::{TIMEOUT, wait_for_records};

fn json_post(target: &str, body: Vec<u8>) -> Call {
    post(target, "application/json", body)
}

fn sources() -> Value {
    json!({
        "team": "search",
        "weight": 0.5,
        "asked": {"request_json": "$.model"},
        "answered": {"response_json": "$.usage.tokens"},
        "last": {"response_json": "$.choices[*].stop"},
        "tier": {"request_header": "X-Tier"},
        "node": {"response_header": "x-node"},
    })
}

fn body() -> Value {
    json!({
        "model": "gpt-4",
        "usage": {"tokens": 17},
        "choices": [{"text": "no"}, {"stop": true}, {"stop": false}],
    })
}

fn expected_metadata() -> Value {
    json!({
        "team": "search",
        "weight": 0.5,
        "asked": "gpt-4",
        "answered": 17,
        "last": true,
        "tier": "gold",
        "node": "n7",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracts_from_both_halves_in_any_encoding() {
    let keys = everything(&json!({"storage_type": "both", "metadata": sources()}));
    let setup = Setup::start(&keys).await;
    let plain = body().to_string().into_bytes();
    for call in [
        json_post("/plain", plain.clone()),
        encoded(json_post("/gzip", gzip(&plain)), Some("gzip")),
        encoded(
            json_post("/deflate", compress_to_vec_zlib(&plain, 6)),
            Some("deflate"),
        ),
    ] {
        let call = with(with(call, "x-tier", "gold"), "x-node", "n7");
        for half in setup.record(&call).await {
            assert_eq!(
                half.record["metadata"],
                expected_metadata(),
                "{}",
                call.target
            );
            // Nothing was redacted, so what is kept is what was sent.
            assert_eq!(Some(&half.body), call.body.as_ref().map(|(_, body)| body));
        }
    }
    // What is not there leaves no trace, neither of the name nor of a null.
    let without = Call::json("alice", "/without", &json!({"model": null, "usage": {}}));
    for half in setup.record(&without).await {
        let found = &half.record["metadata"];
        assert_eq!(found, &json!({"team": "search", "weight": 0.5}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_give_the_last_value() {
    let metadata = json!({"model": {"response_json": "$.model"}, "tokens": {"response_json": "$.usage.tokens"}});
    let keys = everything(&json!({"storage_type": "both", "metadata": metadata}));
    let setup = Setup::start(&keys).await;
    let documents = [
        json!({"model": "gpt-4", "usage": null}),
        json!({"delta": "x", "usage": {"tokens": 1}}),
        json!({"usage": {"tokens": 17}}),
    ];
    let documents = documents.map(|it| it.to_string());
    let events = format!("data: {}\n\ndata: [DONE]\n\n", documents.join("\n\ndata: "));
    let lines = documents.join("\n");
    for call in [
        post("/events", "text/event-stream", events.clone().into_bytes()),
        encoded(
            post("/gzip", "text/event-stream", gzip(events.as_bytes())),
            Some("gzip"),
        ),
        post("/lines", "application/x-ndjson", lines.into_bytes()),
    ] {
        for half in setup.record(&call).await {
            assert_eq!(
                half.record["metadata"],
                json!({"model": "gpt-4", "tokens": 17})
            );
        }
    }
}

/// `{"model": "gpt-4", "usage": {"tokens": 17}}` by Node's brotli.
const BROTLI: &str = "CxOAeyJtb2RlbCI6ImdwdC00IiwidXNhZ2UiOnsidG9rZW5zIjoxN319Aw==";

/// The same by the program zstd.
const ZSTD: &str = "KLUv/QBoOQEAeyJtb2RlbCI6ImdwdC00IiwidXNhZ2UiOnsidG9rZW5zIjoxN319";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collector_takes_what_the_filter_cannot_decode() {
    let packed = [("br", BROTLI), ("zstd", ZSTD)];
    let service = EchoService::start().await.unwrap();
    let metadata = json!({
        "team": "search", "model": {"request_json": "$.model"}, "tokens": {"response_json": "$.usage.tokens"},
    });
    for redacts in [false, true] {
        let mut keys = everything(&json!({"storage_type": "both", "metadata": metadata}));
        if redacts {
            keys["defaults"]["redact"] = json!({"json": ["$.secret"], "unreadable": "keep"});
        }
        let stack = TestStack::start_with(|plan| {
            configure(&mut plan.bootstrap, &keys)?;
            route_to_service(&mut plan.bootstrap, service.address)
        });
        let stack = stack.await.unwrap();
        for (coding, body) in packed {
            let path = format!("/{coding}");
            let body = STANDARD.decode(body).unwrap();
            let call = encoded(post(&path, "application/json", body), Some(coding));
            stack.traffic.send(&call).await.unwrap();
            let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
            let question = json!({"path": path});
            client
                .wait_for_entries(admin, &question, 2, TIMEOUT)
                .await
                .unwrap();
            for entry in client.query_all(admin, &question).await.unwrap() {
                let taken = match entry["type"].as_str() {
                    _ if redacts => json!({"team": "search"}),
                    Some("request") => json!({"team": "search", "model": "gpt-4"}),
                    _ => json!({"team": "search", "tokens": 17}),
                };
                assert_eq!(entry["storage_info"], taken, "{coding} {redacts}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracts_from_unrecorded_half() {
    let capture = |half: &str| json!({"storage_type": half, "metadata": sources()});
    let keys = json!({"routes": [
        {"match": {"path": {"exact": "/request"}}, "capture": capture("request")},
        {"match": {"path": {"exact": "/response"}}, "capture": capture("response")},
    ]});
    let setup = Setup::start(&keys).await;
    for half in ["request", "response"] {
        let body = gzip(body().to_string().as_bytes());
        let call = encoded(json_post(&format!("/{half}"), body), Some("gzip"));
        let call = with(with(call, "x-tier", "gold"), "x-node", "n7");
        setup.send(&call).await;
        let found = setup
            .harness
            .stub_collector
            .halves(&call.target, 1, TIMEOUT)
            .await
            .unwrap();
        let [found] = found.as_slice() else {
            panic!("not one half: {found:?}")
        };
        assert_eq!(found.text("type"), half);
        assert_eq!(found.record["metadata"], expected_metadata());
    }
    wait_for_records(&setup.harness.envoy, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redaction_applies_to_metadata() {
    let keys = everything(&json!({
        "storage_type": "both",
        "metadata": {
            "password": {"request_json": "$.password"},
            "mail": {"response_json": "$.note"},
            "key": {"request_header": "x-api-key"},
            "from": {"response_header": "x-from"},
            "model": {"request_json": "$.model"},
        },
        "redact": {
            "json": ["$.password"],
            "headers": ["x-api-key"],
            "patterns": ["email"],
        },
    }));
    let setup = Setup::start(&keys).await;
    let body = json!({"model": "gpt-4", "password": "hunter2", "note": "to ann@example.com!"});
    let plain = body.to_string().into_bytes();
    for call in [
        json_post("/plain", plain.clone()),
        encoded(json_post("/gzip", gzip(&plain)), Some("gzip")),
    ] {
        let call = with(
            with(call, "x-api-key", "k-123"),
            "x-from",
            "<ann@example.com>",
        );
        for half in setup.record(&call).await {
            let expected = json!({
                "password": "[REDACTED]",
                "mail": "to [REDACTED]!",
                "key": "[REDACTED]",
                "from": "<[REDACTED]>",
                "model": "gpt-4",
            });
            assert_eq!(half.record["metadata"], expected, "{}", call.target);
        }
    }
}
