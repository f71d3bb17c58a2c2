//! `content_types`, `max_body_bytes` and `body_ttl_days`: of which bodies how much is kept, and for
//! how long. The true size is recorded in any case.

use dossier_tests::traffic::Call;
use dossier_tests::upstream::{BodyKind, generate_body};
use reqwest::Method;
use serde_json::json;

use super::{Setup, everything, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlisted_content_types_record_size_only() {
    let keys = everything(&json!({
        "storage_type": "both",
        "content_types": ["application/json", "text/*"],
    }));
    let setup = Setup::start(&keys).await;
    for (number, (content_type, is_kept)) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("text/plain", true),
        ("text/html;charset=utf-8", true),
        ("application/json-patch+json", false),
        ("application/octet-stream", false),
        ("image/png", false),
        ("", false),
    ]
    .into_iter()
    .enumerate()
    {
        let body = generate_body(BodyKind::Text, 3000, 1);
        let call = post(&format!("/{number}"), content_type, body.clone());
        for half in setup.record(&call).await {
            assert_eq!(half.number("body_size"), 3000, "{content_type}");
            assert_eq!(half.record["truncated"], json!(null), "{content_type}");
            if is_kept {
                assert_eq!(half.body, body, "{content_type}");
                assert_eq!(half.record["body_missing"], json!(null), "{content_type}");
            } else {
                assert_eq!(half.body, b"", "{content_type}");
                assert_eq!(half.text("body_missing"), "not_captured", "{content_type}");
            }
        }
    }
    // A body that is not there is not missing.
    let empty = Call::new(Method::GET, "alice", "/empty");
    for half in setup.record(&empty).await {
        assert_eq!(half.record["body_missing"], json!(null));
        assert_eq!(half.number("body_size"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_limits_kept_body_bytes() {
    let rule = |path: &str, most| {
        json!({
            "match": {"path": {"prefix": path}},
            "capture": {"max_body_bytes": most},
        })
    };
    let keys = json!({
        "defaults": {"storage_type": "both"},
        "routes": [
            rule("/none", json!(0)),
            rule("/little", json!(100)),
            rule("/most", json!("1MiB")),
        ],
    });
    let setup = Setup::start(&keys).await;
    for (target, size, kept) in [
        ("/none/1", 5, 0),
        ("/little/1", 100, 100),
        ("/little/2", 101, 100),
        ("/little/3", 300_000, 100),
        ("/most/1", 1 << 20, 1 << 20),
        ("/most/2", (1 << 20) + 1, 1 << 20),
        ("/default/1", (64 << 10) + 1, 64 << 10),
    ] {
        let body = generate_body(BodyKind::Text, size, 2);
        let call = post(target, "text/plain", body.clone());
        for half in setup.record(&call).await {
            assert_eq!(half.number("body_size"), size as u64, "{target}");
            assert!(half.body == body[..kept], "{target}");
            let is_cut = 0 < kept && kept < size;
            assert_eq!(half.record["truncated"] == json!(true), is_cut, "{target}");
            let missing = if kept == 0 { "not_captured" } else { "" };
            assert_eq!(half.text("body_missing"), missing, "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_may_expire_before_entry() {
    let keys = json!({
        "defaults": {"storage_type": "both", "ttl_days": 30, "body_ttl_days": 7},
        "routes": [
            {"match": {"path": {"exact": "/sooner"}}, "capture": {"body_ttl_days": 1}},
            {"match": {"path": {"exact": "/later"}}, "capture": {"ttl_days": 60}},
        ],
    });
    let setup = Setup::start(&keys).await;
    for (target, entry, body) in [("/other", 30, 7), ("/sooner", 30, 1), ("/later", 60, 7)] {
        let call = Call::json("alice", target, &json!({}));
        for half in setup.record(&call).await {
            assert_eq!(half.number("ttl_days"), entry, "{target}");
            assert_eq!(half.number("body_ttl_days"), body, "{target}");
        }
    }
}
