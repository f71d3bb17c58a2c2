//! What one user recorded, another cannot see, and cannot even learn that it exists.

use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use serde_json::json;

use crate::support::store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_sees_own_entries_only() {
    let backend = TestBackend::start().await.unwrap();
    let (client, people) = (&backend.client, &backend.keys.users);
    let of_alice = Sample::request("alice", "/api/x", minutes_ago(2), "{\"of\":\"alice\"}")
        .with_session_timeout(30);
    let of_bob = Sample::request("bob", "/api/x", minutes_ago(1), "{\"of\":\"bob\"}")
        .with_session_timeout(30);
    store(
        &backend,
        &[of_alice.clone(), of_alice.response("{}"), of_bob],
    )
    .await;

    let seen = client.query_all(&people.bob, &json!({})).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["data"], json!({"of": "bob"}));
    let of_alice = client.query_all(&people.alice, &json!({})).await.unwrap();
    assert_eq!(of_alice.len(), 2);
    let [session, exchange] = [
        &of_alice[0]["storage_info"]["session_id"],
        &of_alice[0]["exchange_id"],
    ];
    for filters in [
        json!({"session_id": session}),
        json!({"exchange_id": exchange}),
    ] {
        assert_eq!(
            client.count(&people.alice, &filters).await.unwrap(),
            2,
            "{filters}"
        );
        let answer = client.query(&people.bob, &filters).await.unwrap();
        assert_eq!(
            (answer.status, answer.items().len()),
            (200, 0),
            "{filters}: as if there were none"
        );
    }
    let answer = client
        .query(&people.bob, &json!({"user_id": "alice"}))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.error_code()),
        (403, "AUTH_INSUFFICIENT_PERMISSIONS")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_sees_all_users_or_one() {
    let backend = TestBackend::start().await.unwrap();
    let (client, admin) = (&backend.client, &backend.keys.users.admin);
    let of = |user| Sample::request(user, "/api/x", minutes_ago(1), "{}");
    store(&backend, &[of("alice"), of("alice"), of("bob")]).await;
    for (filters, count) in [
        (json!({}), 3),
        (json!({"user_id": "alice"}), 2),
        (json!({"user_id": "bob"}), 1),
        (json!({"user_id": "Alice"}), 0),
    ] {
        assert_eq!(
            client.count(admin, &filters).await.unwrap(),
            count,
            "{filters}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readonly_key_reads_ingest_key_does_not() {
    let backend = TestBackend::start().await.unwrap();
    let client = &backend.client;
    let readonly = backend
        .collector
        .create_key("alice", "readonly", "test")
        .await
        .unwrap();
    store(
        &backend,
        &[Sample::request("alice", "/api/x", minutes_ago(1), "{}")],
    )
    .await;
    assert_eq!(client.count(&readonly, &json!({})).await.unwrap(), 1);
    let answer = client
        .query(&backend.keys.ingest, &json!({}))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.error_code()),
        (403, "AUTH_INSUFFICIENT_PERMISSIONS")
    );
    for (key, code) in [
        (None, "AUTH_MISSING_TOKEN"),
        (Some("dsk_x"), "AUTH_INVALID_TOKEN"),
    ] {
        let answer = client
            .post("/storage/query", key, &json!({}))
            .await
            .unwrap();
        assert_eq!((answer.status, answer.error_code()), (401, code));
    }
}
