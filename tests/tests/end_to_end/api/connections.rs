//! Connections of clients to the collector: bounded in number and in the time that they may waste.

use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::raw_client::RawClient;
use dossier_tests::testing::TestBackend;
use dossier_tests::wait;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{TIMEOUT, metric, owner, reconnect, store};

async fn start(environment: &[(&str, &str)]) -> TestBackend {
    TestBackend::start_with_env(environment).await.unwrap()
}

async fn connect(backend: &TestBackend) -> RawClient {
    RawClient::connect(backend.collector.address).await.unwrap()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_headers_time_out() {
    let mut backend = start(&[("DOSSIER_CLIENT_TIMEOUT", "1")]).await;
    let mut drip = connect(&backend).await;
    drip.send("GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ")
        .await
        .unwrap();
    let silent = connect(&backend).await;
    let mut idle = connect(&backend).await;
    idle.send(HEALTH).await.unwrap();
    idle.read_until("alive").await.unwrap();
    // Each byte in time does not help: it is the headers as a whole that must come.
    let dripping = async {
        while drip.send("a").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, dripping).await.unwrap();
    assert!(!silent.read_to_end().await.unwrap().contains("200"));
    idle.read_to_end().await.unwrap();

    reconnect(&mut backend);
    let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    store(&backend, &[sample]).await;
    let alice = &backend.keys.users.alice;
    assert_eq!(backend.client.count(alice, &json!({})).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_request_body_times_out() {
    let backend = start(&[("DOSSIER_CLIENT_TIMEOUT", "1")]).await;
    let (alice, ingest) = (&backend.keys.users.alice, &backend.keys.ingest);
    let batch = "content-type: application/vnd.dossier.batch\r\nx-dossier-batch: 0190d5a0-0000-7000-8000-000000000001\r\n";
    for (path, key, headers) in [
        ("/storage/query", alice, ""),
        ("/storage/sessions/query", alice, ""),
        ("/ingest/v1/batches", ingest, batch),
    ] {
        let mut client = connect(&backend).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{headers}content-length: 100\r\n\r\n{{"
        );
        client.send(head).await.unwrap();
        let answer = client.read_to_end().await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        assert!(answer.contains("\"TIMEOUT\""), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_request_returns_timeout() {
    let backend = start(&[("DOSSIER_REQUEST_TIMEOUT", "1")]).await;
    let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    store(&backend, &[sample]).await;
    let mut connection = owner(&backend).await;
    let lock = "begin; lock table entries in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    let answer = client.query(alice, &json!({})).await.unwrap();
    assert_eq!((answer.status, answer.error_code()), (504, "TIMEOUT"));
    sqlx::raw_sql("rollback")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(client.count(alice, &json!({})).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnects_client_that_reads_no_responses() {
    let mut backend = start(&[
        ("DOSSIER_CLIENT_TIMEOUT", "1"),
        ("DOSSIER_MAX_CLIENTS", "2"),
    ])
    .await;
    let mut deaf = TcpStream::connect(backend.collector.address).await.unwrap();
    // It asks on and on, until there is no room for answers anywhere, and then sees the end.
    let asking = async {
        let many = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
        while tokio::io::AsyncWriteExt::write_all(&mut deaf, many.as_bytes())
            .await
            .is_ok()
        {}
    };
    tokio::time::timeout(TIMEOUT, asking).await.unwrap();
    reconnect(&mut backend);
    wait_for_connections(&backend, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_limit_wait() {
    let backend = start(&[("DOSSIER_MAX_CLIENTS", "3")]).await;
    // The harness's own connection is one of three.
    wait_for_connections(&backend, 1).await;
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&backend).await;
        client.send(HEALTH).await.unwrap();
        client.read_until("alive").await.unwrap();
        served.push(client);
    }
    let mut waiting = connect(&backend).await;
    waiting.send(HEALTH).await.unwrap();
    let unanswered = tokio::time::timeout(
        std::time::Duration::from_millis(500),
        waiting.read_until("alive"),
    );
    assert!(unanswered.await.is_err(), "there is no place for a fourth");
    assert_eq!(connections(&backend).await, 3);
    let alice = &backend.keys.users.alice;
    assert_eq!(backend.client.count(alice, &json!({})).await.unwrap(), 0);

    served.pop();
    waiting.read_until("alive").await.unwrap();
    assert_eq!(connections(&backend).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_limits_prevent_start() {
    let backend = TestBackend::start().await.unwrap();
    for (flag, value) in [
        ("--max-clients", "0"),
        ("--client-timeout", "0"),
        ("--request-timeout", "3601"),
    ] {
        let output = backend
            .collector
            .run(&["serve", flag, value])
            .await
            .unwrap();
        let name = flag.trim_start_matches('-').replace('-', "_");
        assert!(!output.status.success(), "{flag}");
        assert!(output.stderr.contains(&name), "{flag}: {}", output.stderr);
    }
}

async fn connections(backend: &TestBackend) -> u64 {
    metric(backend, "dossier_http_connections").await.unwrap()
}

async fn wait_for_connections(backend: &TestBackend, expected: u64) {
    let waited = wait::until("connections to end", TIMEOUT, async || {
        match connections(backend).await {
            found if found == expected => Ok(()),
            found => Err(format!("{found} connections")),
        }
    });
    waited.await.unwrap();
}
