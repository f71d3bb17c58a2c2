//! What the collector has acknowledged is there after it was stopped, or killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dossier_tests::client::CollectorClient;
use dossier_tests::clock;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::testing::{TestBackend, TestStack};
use dossier_tests::traffic::Call;
use dossier_tests::wait;
use futures_util::StreamExt;
use serde_json::json;
use uuid::Uuid;

use crate::support::{TIMEOUT, text};

/// How many batches must be acknowledged before the collector is stopped.
const MIN_ACKNOWLEDGED: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graceful_stop_keeps_acknowledged_batches() {
    let mut backend = TestBackend::start().await.unwrap();
    let acknowledged = stop_while_sending(&mut backend, Stop::Gracefully).await;
    assert!(
        backend.collector.postgres_pids().is_empty(),
        "its Postgres is stopped too"
    );
    backend.restart().await.unwrap();
    check(&backend, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_keeps_acknowledged_batches() {
    let mut backend = TestBackend::start().await.unwrap();
    let acknowledged = stop_while_sending(&mut backend, Stop::ByKilling).await;
    backend.restart().await.unwrap();
    check(&backend, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orderly_stop_loses_nothing() {
    let mut stack = TestStack::start().await.unwrap();
    for number in 0..50 {
        let call = Call::json("alice", &format!("/api/{number}"), &json!({"n": number}));
        stack.traffic.send(&call).await.unwrap();
    }
    // Without a wait: the filter still holds most of it.
    stack.envoy.flush(TIMEOUT).await;
    stack.envoy.process.stop().await.unwrap();
    stack.backend.collector.stop().await.unwrap();
    assert!(stack.backend.collector.postgres_pids().is_empty());
    stack.backend.restart().await.unwrap();
    let found = stack
        .backend
        .client
        .count(&stack.backend.keys.users.alice, &json!({}))
        .await
        .unwrap();
    assert_eq!(found, 100);
}

/// Envoy gives a call up whenever a worker's root context goes. The connection to Postgres that the
/// call was on must not go back to the pool in the middle of a statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnecting_callers_do_not_affect_others() {
    let backend = TestBackend::start().await.unwrap();
    let (client, key) = (&backend.client, &backend.keys.ingest);
    let alice = &backend.keys.users.alice;
    let samples = |number: u32| -> Vec<Sample> {
        let endpoint = format!("/abandoned/{number}");
        (0..50)
            .map(|_| {
                Sample::request("alice", &endpoint, clock::now_micros(), "{}")
                    .with_session_timeout(5)
            })
            .collect()
    };
    let batches: Vec<_> = (0..150)
        .map(|number| (Uuid::now_v7(), encode_batch(&samples(number)).unwrap()))
        .collect();
    let leaving = batches
        .iter()
        .zip(0..)
        .map(|((id, raw), number)| async move {
            let limit = Duration::from_micros(number * 200);
            let _ = tokio::time::timeout(limit, client.ingest(Some(key), *id, raw.clone())).await;
            let _ = tokio::time::timeout(limit, client.query(alice, &json!({}))).await;
        });
    futures_util::stream::iter(leaving)
        .buffer_unordered(8)
        .collect::<Vec<()>>()
        .await;

    for (id, raw) in &batches {
        let answer = client.ingest(Some(key), *id, raw.clone()).await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.json);
    }
    for _ in 0..20 {
        let answer = client.query(alice, &json!({})).await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.json);
    }
    for number in 0..150 {
        let endpoint = json!({"endpoint": format!("/abandoned/{number}")});
        assert_eq!(
            client.count(alice, &endpoint).await.unwrap(),
            50,
            "batch {number}"
        );
    }
}

enum Stop {
    Gracefully,
    ByKilling,
}

/// Four producers send until the collector is gone. Returns the exchanges that were acknowledged.
async fn stop_while_sending(backend: &mut TestBackend, how: Stop) -> BTreeSet<Uuid> {
    let (client, key) = (backend.client.clone(), backend.keys.ingest.clone());
    let stopping = std::sync::Arc::new(AtomicBool::new(false));
    let (count, acknowledgements) = tokio::sync::watch::channel(0);
    let producers: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(produce(
                client.clone(),
                key.clone(),
                stopping.clone(),
                count.clone(),
            ))
        })
        .collect();
    let waited = wait::until("enough batches to be acknowledged", TIMEOUT, async || {
        let count = *acknowledgements.borrow();
        if count >= MIN_ACKNOWLEDGED {
            Ok(())
        } else {
            Err(format!("{count} batches"))
        }
    });
    waited.await.unwrap();
    match how {
        Stop::Gracefully => backend.collector.stop().await.unwrap(),
        Stop::ByKilling => backend.collector.kill(),
    }
    stopping.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for producer in producers {
        acknowledged.extend(producer.await.unwrap());
    }
    acknowledged
}

async fn produce(
    client: CollectorClient,
    key: String,
    stopping: std::sync::Arc<AtomicBool>,
    count: tokio::sync::watch::Sender<usize>,
) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    while !stopping.load(Ordering::Relaxed) {
        let sample = Sample::request("alice", "/api/x", clock::now_micros(), "{}");
        let sent = client
            .ingest(
                Some(&key),
                Uuid::now_v7(),
                encode_batch(std::slice::from_ref(&sample)).unwrap(),
            )
            .await;
        if sent.is_ok_and(|answer| answer.status == 200) {
            acknowledged.push(sample.record.exchange_id);
            count.send_modify(|count| *count += 1);
        }
    }
    acknowledged
}

async fn check(backend: &TestBackend, acknowledged: &BTreeSet<Uuid>) {
    let entries = backend
        .client
        .query_all(&backend.keys.users.alice, &json!({}))
        .await
        .unwrap();
    let stored: Vec<Uuid> = entries
        .iter()
        .map(|entry| text(entry, "exchange_id").parse().unwrap())
        .collect();
    let distinct: BTreeSet<_> = stored.iter().copied().collect();
    assert_eq!(stored.len(), distinct.len(), "nothing is stored twice");
    let missing: Vec<_> = acknowledged.difference(&distinct).collect();
    assert!(
        missing.is_empty(),
        "{} of {} acknowledged are missing",
        missing.len(),
        acknowledged.len()
    );
}
