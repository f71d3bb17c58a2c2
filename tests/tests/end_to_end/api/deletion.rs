//! `POST /storage/delete`. And what an older store did wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use serde_json::{Value, json};

use crate::support::store;

const DAY: u64 = 24 * 60;

/// Longer than it takes to store entries: what is expired by then is not stored.
const UNTIL_EXPIRY: Duration = Duration::from_secs(10);

/// Of alice, numbered in a row: one that lives for days, one without a time to go, one that has expired since.
async fn three() -> (TestBackend, u64) {
    let backend = TestBackend::start().await.unwrap();
    let of = |days| {
        let started = minutes_ago(DAY) + u64::try_from(UNTIL_EXPIRY.as_micros()).unwrap();
        let mut sample = Sample::request("alice", "/x", started, "{\"n\":1}");
        sample.record.ttl_days = NonZeroU32::new(days);
        sample
    };
    store(&backend, &[of(30), of(0), of(1)]).await;
    tokio::time::sleep(UNTIL_EXPIRY).await;
    let entries = backend
        .client
        .query_all(&backend.keys.users.alice, &json!({"order": "asc"}))
        .await
        .unwrap();
    let first = entries[0]["id"].as_u64().unwrap();
    (backend, first)
}

async fn delete(backend: &TestBackend, body: &Value) -> Value {
    let admin = Some(backend.keys.users.admin.as_str());
    let answer = backend.client.post("/storage/delete", admin, body);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_entries_without_ttl_only_by_force() {
    let (backend, first) = three().await;
    let ids = json!([first + 1, first, 999_999, first + 2, first]);
    let answer = delete(&backend, &json!({ "storage_ids": ids })).await;
    let expected = json!({
        "deleted_count": 1,
        "deleted": [first + 2],
        "skipped": [
            {"id": first + 1, "reason": "no_ttl"},
            {"id": first, "reason": "ttl_not_expired"},
            {"id": 999_999, "reason": "not_found"},
        ],
    });
    assert_eq!(answer, expected);
    let again = delete(
        &backend,
        &json!({"storage_ids": [first + 2], "force": true}),
    )
    .await;
    assert_eq!(
        again["skipped"][0]["reason"], "not_found",
        "it is gone for good"
    );
    let alice = &backend.keys.users.alice;
    assert_eq!(backend.client.count(alice, &json!({})).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_deletes_data_of_others() {
    let (backend, first) = three().await;
    let body = json!({"storage_ids": [first, first + 1, first + 2], "force": true});
    let answer = delete(&backend, &body).await;
    let expected =
        json!({"deleted_count": 3, "deleted": [first, first + 1, first + 2], "skipped": []});
    assert_eq!(answer, expected);
    let alice = &backend.keys.users.alice;
    assert_eq!(backend.client.count(alice, &json!({})).await.unwrap(), 0);
    let path = format!("/storage/entries/{first}");
    let answer = backend.client.get(&path, Some(alice)).await.unwrap();
    assert_eq!(answer.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_other_roles_and_invalid_requests() {
    let (backend, first) = three().await;
    let client = &backend.client;
    let readonly = backend
        .collector
        .create_key("alice", "readonly", "r")
        .await
        .unwrap();
    let body = json!({"storage_ids": [first], "force": true});
    for path in ["/storage/delete", "/v1/storage/delete"] {
        for key in [&backend.keys.users.alice, &readonly, &backend.keys.ingest] {
            let answer = client.post(path, Some(key), &body).await.unwrap();
            assert_eq!(
                (answer.status, answer.error_code()),
                (403, "AUTH_INSUFFICIENT_PERMISSIONS")
            );
            assert_eq!(
                answer.json["error"]["details"]["required_roles"],
                json!(["admin"])
            );
        }
        let answer = client.post(path, None, &body).await.unwrap();
        assert_eq!(
            (answer.status, answer.error_code()),
            (401, "AUTH_MISSING_TOKEN")
        );
    }
    let admin = Some(backend.keys.users.admin.as_str());
    let wrong = json!({"storage_ids": [], "force": "yes", "all": true});
    let answer = client.post("/storage/delete", admin, &wrong).await.unwrap();
    let mut fields = answer.error_fields();
    fields.sort_unstable();
    assert_eq!(
        (answer.status, fields),
        (422, vec!["all", "force", "storage_ids"])
    );
    let alice = &backend.keys.users.alice;
    assert_eq!(client.count(alice, &json!({})).await.unwrap(), 2);
}
