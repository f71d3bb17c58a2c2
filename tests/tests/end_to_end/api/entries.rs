//! `GET /storage/entries/{id}`, its `/body`, and `GET /storage/exchanges/{exchange_id}`.

use std::borrow::Cow;
use std::num::NonZeroU32;

use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use dossier_wire::BodyMissing;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::store;

const DAY: u64 = 24 * 60;
/// Of `{"n":1}`.
const SHA256_OF_N: &str = "2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd";

async fn ids(backend: &TestBackend) -> Vec<u64> {
    let admin = &backend.keys.users.admin;
    let entries = backend
        .client
        .query_all(admin, &json!({"order": "asc"}))
        .await
        .unwrap();
    entries
        .iter()
        .map(|entry| entry["id"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_has_all_recorded_fields() {
    let backend = TestBackend::start().await.unwrap();
    let mut sample = Sample::request("alice", "/api/x", minutes_ago(1), "{\"n\":1}");
    sample.record.headers = vec![(Cow::Borrowed("a"), Cow::Borrowed("1"))];
    sample.record.redactions = [("email", 2), ("$.password", 1)]
        .map(|(rule, count)| (Cow::Borrowed(rule), count))
        .into();
    store(&backend, &[sample]).await;
    let (client, people) = (&backend.client, &backend.keys.users);
    let id = ids(&backend).await[0];
    for (path, key) in [
        (format!("/storage/entries/{id}"), &people.alice),
        (format!("/v1/storage/entries/{id}"), &people.alice),
        (format!("/storage/entries/{id}"), &people.admin),
    ] {
        let answer = client.get(&path, Some(key)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.json);
        let entry = &answer.json["data"];
        assert_eq!(
            (&entry["id"], &entry["data"]),
            (&json!(id), &json!({"n": 1}))
        );
        assert_eq!(entry["headers"], json!([["a", "1"]]));
        let content = &entry["content"];
        assert_eq!(content["redactions"], 3);
        assert_eq!(
            content["redactions_by_rule"],
            json!({"email": 2, "$.password": 1})
        );
        assert_eq!(content["sha256"], SHA256_OF_N);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_is_exact_and_inert_in_browsers() {
    let backend = TestBackend::start().await.unwrap();
    let of = |minutes, body: &str, content_type: Option<&'static str>| {
        let mut sample = Sample::request("alice", "/x", minutes_ago(minutes), body);
        sample.record.content_type = content_type.map(Cow::Borrowed);
        sample
    };
    let mut encoded = of(3, "\u{1}zipped", Some("text/plain"));
    encoded.record.content_encoding = Some(Cow::Borrowed("gzip"));
    let numbers = r#" {"n": 12345678901234567890123, "a": 1, "a": 2} "#;
    let samples = [
        of(6, numbers, Some("application/json")),
        of(
            5,
            "<script>alert(1)</script>",
            Some("text/html; charset=utf-8"),
        ),
        of(4, "\u{0}\u{1}", None),
        encoded,
        of(2, "split", Some("text/plain\r\nx-injected: 1")),
        of(1, "", Some("text/plain")),
    ];
    store(&backend, &samples).await;
    let alice = Some(backend.keys.users.alice.as_str());
    let expected = [
        ("application/json", ""),
        ("text/html; charset=utf-8", ""),
        ("application/octet-stream", ""),
        ("text/plain", "gzip"),
        ("application/octet-stream", ""),
        ("text/plain", ""),
    ];
    for ((id, sample), (content_type, encoding)) in
        ids(&backend).await.into_iter().zip(&samples).zip(expected)
    {
        for prefix in ["", "/v1"] {
            let path = format!("{prefix}/storage/entries/{id}/body");
            let answer = backend.client.get(&path, alice).await.unwrap();
            assert_eq!((answer.status, &answer.bytes), (200, &sample.body));
            assert_eq!(answer.content_type, content_type);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            let disposition = format!("attachment; filename=\"entry-{id}-request\"");
            assert_eq!(answer.header("content-disposition"), disposition);
            assert!(answer.header("content-security-policy").contains("sandbox"));
            assert_eq!(answer.header("x-body-encoding"), encoding);
            assert_eq!(answer.header("content-encoding"), "");
            assert_eq!(answer.header("x-injected"), "");
            assert!(!answer.header("x-request-id").is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_body_has_reason() {
    let backend = TestBackend::start().await.unwrap();
    let mut dropped = Sample::request("alice", "/x", minutes_ago(2 * DAY + 1), "");
    dropped.record.body_missing = Some(BodyMissing::Dropped);
    dropped.record.body_size = 7;
    let mut expired = Sample::request("alice", "/x", minutes_ago(2 * DAY), "{}");
    expired.record.ttl_days = NonZeroU32::new(30);
    expired.record.body_ttl_days = NonZeroU32::new(1);
    store(&backend, &[dropped, expired]).await;
    let alice = Some(backend.keys.users.alice.as_str());
    for (id, reason) in ids(&backend).await.into_iter().zip(["dropped", "expired"]) {
        let path = format!("/storage/entries/{id}/body");
        let answer = backend.client.get(&path, alice).await.unwrap();
        assert_eq!((answer.status, answer.error_code()), (404, "NOT_FOUND"));
        assert_eq!(answer.json["error"]["details"]["reason"], reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchange_links_request_and_response() {
    let backend = TestBackend::start().await.unwrap();
    let request =
        Sample::request("alice", "/x", minutes_ago(2), "{\"q\":1}").with_session_timeout(5);
    let lonely = Sample::request("alice", "/x", minutes_ago(1), "{}");
    let samples = [
        request.response("{\"a\":2}"),
        request.clone(),
        lonely.clone(),
    ];
    store(&backend, &samples).await;
    let (client, people) = (&backend.client, &backend.keys.users);
    for prefix in ["", "/v1"] {
        let path = format!("{prefix}/storage/exchanges/{}", request.record.exchange_id);
        for key in [&people.alice, &people.admin] {
            let answer = client.get(&path, Some(key)).await.unwrap();
            let exchange = &answer.json["data"];
            assert_eq!(exchange["exchange_id"], json!(request.record.exchange_id));
            assert_eq!(exchange["user_id"], "alice");
            assert!(exchange["session_id"].is_string());
            assert_eq!(exchange["request"]["data"], json!({"q": 1}));
            assert_eq!(exchange["response"]["data"], json!({"a": 2}));
            assert_eq!(exchange["request"]["type"], "request");
        }
    }
    let path = format!("/storage/exchanges/{}", lonely.record.exchange_id);
    let answer = client.get(&path, Some(&people.alice)).await.unwrap();
    let exchange = &answer.json["data"];
    assert!(exchange["request"].is_object() && exchange["response"].is_null());
    assert!(exchange["session_id"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_and_expired_entries_are_not_found() {
    let backend = TestBackend::start().await.unwrap();
    let sample = Sample::request("alice", "/x", minutes_ago(1), "{}");
    let mut expired = Sample::request("bob", "/x", minutes_ago(2 * DAY), "{}");
    expired.record.ttl_days = NonZeroU32::new(1);
    store(&backend, &[sample.clone(), expired.clone()]).await;
    let (client, people) = (&backend.client, &backend.keys.users);
    let of_alice = ids(&backend).await[0];
    // The two were numbered in a row.
    let expired_id = of_alice + 1;
    let ask = async |path: String| -> (u16, Value) {
        let answer = client.get(&path, Some(&people.bob)).await.unwrap();
        let mut json = answer.json;
        json.as_object_mut().unwrap().remove("metadata");
        (answer.status, json)
    };
    let nothing = ask("/storage/entries/999999".to_owned()).await;
    assert_eq!(
        (nothing.0, &nothing.1["error"]["code"]),
        (404, &json!("NOT_FOUND"))
    );
    for path in [
        format!("entries/{of_alice}"),
        format!("entries/{of_alice}/body"),
        format!("entries/{expired_id}"),
        format!("entries/{expired_id}/body"),
        format!("exchanges/{}", sample.record.exchange_id),
        format!("exchanges/{}", expired.record.exchange_id),
        format!("exchanges/{}", Uuid::nil()),
    ] {
        assert_eq!(ask(format!("/storage/{path}")).await, nothing, "{path}");
    }
    for (path, field) in [
        ("entries/x", "id"),
        ("entries/0", "id"),
        ("entries/99999999999999999999/body", "id"),
        ("exchanges/x", "exchange_id"),
    ] {
        let path = format!("/storage/{path}");
        let answer = client.get(&path, Some(&people.bob)).await.unwrap();
        assert_eq!((answer.status, answer.error_fields()), (422, vec![field]));
    }
    for path in ["entries/1", "entries/1/body", "exchanges/x"] {
        let answer = client.get(&format!("/storage/{path}"), None).await.unwrap();
        assert_eq!(answer.status, 401, "{path}");
        let ingest = Some(backend.keys.ingest.as_str());
        let answer = client
            .get(&format!("/storage/{path}"), ingest)
            .await
            .unwrap();
        assert_eq!(answer.status, 403, "{path}");
    }
}
