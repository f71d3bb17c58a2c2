//! Batches at the collector's door: stored once, refused when they are none, and only with the
//! right key.

use std::borrow::Cow;

use dossier_tests::clock;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::testing::TestBackend;
use dossier_wire::Encoder;
use serde_json::json;
use uuid::Uuid;

fn samples(count: usize) -> Vec<Sample> {
    let now = clock::now_micros();
    (0..count)
        .map(|number| Sample::request("alice", "/api/x", now, &format!("{{\"n\":{number}}}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_batch_is_stored_once() {
    let backend = TestBackend::start().await.unwrap();
    let (client, keys) = (&backend.client, &backend.keys);
    let (id, raw) = (Uuid::now_v7(), encode_batch(&samples(3)).unwrap());
    let all_at_once = (0..8).map(|_| client.ingest(Some(&keys.ingest), id, raw.clone()));
    let mut stored_now = 0;
    for answer in futures_util::future::join_all(all_at_once).await {
        let answer = answer.unwrap();
        // Too many at once may be put off, but never refused.
        assert!(matches!(answer.status, 200 | 429), "{}", answer.json);
        stored_now += usize::from(answer.json["data"]["duplicate"] == false);
    }
    assert_eq!(stored_now, 1, "exactly one of them stored it");
    let again = client.ingest(Some(&keys.ingest), id, raw).await.unwrap();
    assert_eq!(
        (again.status, &again.json["data"]["duplicate"]),
        (200, &json!(true))
    );
    assert_eq!(
        client.count(&keys.users.alice, &json!({})).await.unwrap(),
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_batch_is_refused_permanently() {
    let backend = TestBackend::start().await.unwrap();
    let (client, keys) = (&backend.client, &backend.keys);
    let whole = encode_batch(&samples(2)).unwrap();
    let mut newer = whole.clone();
    newer[7] = 99;
    let cases: Vec<(&str, Option<&str>, Vec<u8>)> = vec![
        ("nothing", None, Vec::new()),
        ("noise", None, b"not a batch at all".to_vec()),
        ("a batch cut off", None, whole[..whole.len() - 1].to_vec()),
        ("a newer version", None, newer),
        (
            "noise that claims to be compressed",
            Some("deflate"),
            whole.clone(),
        ),
        ("an unknown encoding", Some("br"), whole.clone()),
    ];
    for (what, encoding, bytes) in cases {
        let answer = client
            .ingest_bytes(Some(&keys.ingest), Uuid::now_v7(), encoding, bytes)
            .await
            .unwrap();
        assert!(
            (400..500).contains(&answer.status),
            "{what}: {} {}",
            answer.status,
            answer.json
        );
        assert!(
            !matches!(answer.status, 401 | 403 | 408 | 429),
            "{what}: a retry would not help"
        );
        assert_eq!(answer.json["success"], false, "{what}: {}", answer.json);
    }
    let bomb = dossier_wire::Compression::Best.compress(&vec![0; 40 * 1024 * 1024]);
    let answer = client
        .ingest_bytes(Some(&keys.ingest), Uuid::now_v7(), Some("deflate"), bomb)
        .await
        .unwrap();
    assert_eq!(answer.status, 413, "{}", answer.json);
    assert_eq!(
        client.count(&keys.users.admin, &json!({})).await.unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_record_does_not_reject_others() {
    let backend = TestBackend::start().await.unwrap();
    let (client, keys) = (&backend.client, &backend.keys);
    let mut three = samples(3);
    three[1].record.user_id = Cow::Borrowed("");
    let answer = client
        .ingest(
            Some(&keys.ingest),
            Uuid::now_v7(),
            encode_batch(&three).unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(
        (
            &answer.json["data"]["records"],
            &answer.json["data"]["rejected"]
        ),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        client.count(&keys.users.alice, &json!({})).await.unwrap(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_without_write_role_are_refused() {
    let backend = TestBackend::start().await.unwrap();
    let (client, keys) = (&backend.client, &backend.keys);
    let readonly = backend
        .collector
        .create_key("alice", "readonly", "test")
        .await
        .unwrap();
    let unknown = format!("dsk_{}", "A".repeat(43));
    for (key, status, code) in [
        (None, 401, "AUTH_MISSING_TOKEN"),
        (Some(unknown.as_str()), 401, "AUTH_INVALID_TOKEN"),
        (Some("nonsense"), 401, "AUTH_INVALID_TOKEN"),
        (
            Some(keys.users.alice.as_str()),
            403,
            "AUTH_INSUFFICIENT_PERMISSIONS",
        ),
        (
            Some(readonly.as_str()),
            403,
            "AUTH_INSUFFICIENT_PERMISSIONS",
        ),
    ] {
        let answer = client
            .ingest(key, Uuid::now_v7(), encode_batch(&samples(1)).unwrap())
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.error_code()),
            (status, code),
            "{}",
            answer.json
        );
    }
    assert_eq!(
        client.count(&keys.users.admin, &json!({})).await.unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_batch_is_accepted() {
    let backend = TestBackend::start().await.unwrap();
    let empty = Encoder::new().finish();
    let answer = backend
        .client
        .ingest(Some(&backend.keys.ingest), Uuid::now_v7(), empty)
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
}
