//! Which exchanges of a user belong together.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use dossier_tests::clock;
use dossier_tests::producer::Sample;
use dossier_tests::testing::{TestBackend, TestStack};
use dossier_tests::traffic::Call;
use serde_json::{Value, json};

use crate::support::{TIMEOUT, store};

const TIMEOUT_MINUTES: u32 = 30;
/// One moment for all tests, so that the time between two exchanges is exact.
static NOW: LazyLock<u64> = LazyLock::new(clock::now_micros);

fn minutes_ago(minutes: u64) -> u64 {
    *NOW - minutes * 60_000_000
}

fn session(entry: &Value) -> &str {
    entry["storage_info"]["session_id"]
        .as_str()
        .unwrap_or_else(|| panic!("no session in {entry}"))
}

fn sessions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(session).collect()
}

fn at(user: &str, minutes: u64) -> Sample {
    Sample::request(user, "/api/x", minutes_ago(minutes), "{}")
        .with_session_timeout(TIMEOUT_MINUTES)
}

/// A user's sessions, entry by entry, oldest first.
async fn of(backend: &TestBackend, user: &str) -> Vec<String> {
    let filters = json!({"user_id": user, "order": "asc"});
    let entries = backend
        .client
        .query_all(&backend.keys.users.admin, &filters)
        .await
        .unwrap();
    sessions(&entries).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_contains_one_users_exchanges() {
    let stack = TestStack::start().await.unwrap();
    let (client, people) = (&stack.backend.client, &stack.backend.keys.users);
    for (user, target) in [
        ("alice", "/api/v1/ai/generate"),
        ("bob", "/api/orders"),
        ("alice", "/api/orders"),
    ] {
        stack
            .traffic
            .send(&Call::json(user, target, &json!({})))
            .await
            .unwrap();
    }
    client
        .wait_for_entries(&people.alice, &json!({}), 4, TIMEOUT)
        .await
        .unwrap();
    client
        .wait_for_entries(&people.bob, &json!({}), 2, TIMEOUT)
        .await
        .unwrap();
    let of_alice = client.query_all(&people.alice, &json!({})).await.unwrap();
    let of_bob = client.query_all(&people.bob, &json!({})).await.unwrap();
    let distinct = |entries: &[Value]| {
        sessions(entries)
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let (of_alice, of_bob) = (distinct(&of_alice), distinct(&of_bob));
    assert_eq!(
        (of_alice.len(), of_bob.len()),
        (1, 1),
        "both halves of all of a user's exchanges"
    );
    assert!(of_alice.is_disjoint(&of_bob));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_over_timeout_starts_new_session() {
    let backend = TestBackend::start().await.unwrap();
    // 25 minutes apart, then exactly the timeout, then a minute more than it.
    for minutes in [200, 175, 145, 114] {
        store(&backend, &[at("alice", minutes)]).await;
    }
    let found = of(&backend, "alice").await;
    assert_eq!(found.len(), 4);
    assert!(found[0] == found[1] && found[1] == found[2], "{found:?}");
    assert_ne!(found[2], found[3], "31 minutes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchange_time_decides_not_arrival_time() {
    let backend = TestBackend::start().await.unwrap();
    store(&backend, &[at("alice", 20)]).await;
    store(&backend, &[at("alice", 200)]).await;
    store(&backend, &[at("alice", 190), at("alice", 10)]).await;
    let found = of(&backend, "alice").await;
    assert_eq!(found.len(), 4);
    assert_eq!((&found[0], &found[2]), (&found[1], &found[3]), "{found:?}");
    assert_ne!(found[1], found[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_response_joins_session_of_its_request() {
    let backend = TestBackend::start().await.unwrap();
    let request = at("alice", 100);
    let mut response = request.response("{}");
    response.record.first_byte_at = minutes_ago(50);
    response.record.ended_at = minutes_ago(50);
    store(&backend, &[request]).await;
    store(&backend, &[response]).await;
    let found = of(&backend, "alice").await;
    assert_eq!((found.len(), &found[0]), (2, &found[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_session_ignores_pauses_within_user() {
    let backend = TestBackend::start().await.unwrap();
    let named = |user, minutes| {
        Sample::request(user, "/api/x", minutes_ago(minutes), "{}").with_session_id("chat-1")
    };
    store(
        &backend,
        &[named("alice", 500), named("alice", 5), named("bob", 5)],
    )
    .await;
    let (of_alice, of_bob) = (of(&backend, "alice").await, of(&backend, "bob").await);
    assert_eq!((of_alice.len(), &of_alice[0]), (2, &of_alice[1]));
    assert_ne!(
        of_alice[0], of_bob[0],
        "the same name of another user is another session"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_start_one_session() {
    let backend = TestBackend::start().await.unwrap();
    let one = at("alice", 10);
    let batches = (0..12).map(|_| {
        let sample = Sample {
            record: dossier_wire::Record {
                exchange_id: uuid::Uuid::now_v7(),
                ..one.record.clone()
            },
            ..one.clone()
        };
        let backend = &backend;
        async move {
            let raw = dossier_tests::producer::encode_batch(&[sample]).unwrap();
            let id = uuid::Uuid::now_v7();
            let sent = dossier_tests::wait::until("the batch to be stored", TIMEOUT, async || {
                let answer = backend
                    .client
                    .ingest(Some(&backend.keys.ingest), id, raw.clone())
                    .await;
                let answer = answer.map_err(|error| error.to_string())?;
                if answer.status == 200 {
                    Ok(())
                } else {
                    Err(answer.json.to_string())
                }
            });
            sent.await.unwrap();
        }
    });
    futures_util::future::join_all(batches).await;
    let found = of(&backend, "alice").await;
    assert_eq!(found.len(), 12);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 1, "{found:?}");
}
