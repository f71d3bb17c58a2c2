//! The collector is down, or takes connections and never answers: clients notice nothing, what fits
//! the filter's buffer arrives later, once, and what does not is accounted for.

use std::collections::BTreeSet;

use dossier_tests::fault_proxy::ProxyMode;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::{Call, Protocol};
use dossier_tests::upstream::{BodyKind, echo, generate_body};
use dossier_tests::wait;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TIMEOUT, metric, text};

const CONCURRENCY: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_arrive_once_after_outage() {
    let mut stack = start(json!({}), json!({})).await;
    send(&stack, 0..20, 100).await;
    let admin = stack.backend.keys.users.admin.clone();
    stack
        .backend
        .client
        .wait_for_entries(&admin, &json!({}), 40, TIMEOUT)
        .await
        .unwrap();

    stack.backend.collector.kill();
    set_mode(&stack, ProxyMode::Refuse);
    send(&stack, 20..120, 1000).await;
    set_mode(&stack, ProxyMode::Blackhole);
    send(&stack, 120..220, 1000).await;

    stack.backend.restart().await.unwrap();
    set_mode(&stack, ProxyMode::Forward(stack.backend.collector.address));
    stack
        .backend
        .client
        .wait_for_entries(&admin, &json!({}), 440, TIMEOUT)
        .await
        .unwrap();
    stack.envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    let entries = stack
        .backend
        .client
        .query_all(&admin, &json!({}))
        .await
        .unwrap();
    let halves: BTreeSet<_> = entries
        .iter()
        .map(|it| (text(it, "path"), text(it, "type")))
        .collect();
    assert_eq!((entries.len(), halves.len()), (440, 440), "each half once");
    assert_eq!(
        metric(&stack.backend, "dossier_gap_records_total")
            .await
            .unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_response_stores_batch_once() {
    let stack = start(json!({}), json!({})).await;
    let admin = &stack.backend.keys.users.admin;
    // Cut again and again while batches are under way: some are stored, their answers lost.
    let cutting = async {
        for _ in 0..40 {
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
            set_mode(&stack, ProxyMode::Refuse);
            set_mode(&stack, ProxyMode::Forward(stack.backend.collector.address));
        }
    };
    tokio::join!(send(&stack, 0..1500, 300), cutting);
    stack
        .backend
        .client
        .wait_for_entries(admin, &json!({}), 3000, TIMEOUT)
        .await
        .unwrap();
    stack.envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    assert_eq!(
        stack.backend.client.count(admin, &json!({})).await.unwrap(),
        3000
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_over_buffer_limit_are_reported() {
    const SENT: u64 = 3000;
    let stack = start(json!({"max_bytes": "1MiB"}), json!({"max_bytes": "256KiB"})).await;
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    set_mode(&stack, ProxyMode::Refuse);
    send(&stack, 0..SENT, 4 * 1024).await;
    set_mode(&stack, ProxyMode::Forward(stack.backend.collector.address));
    let waited = wait::until(
        "stored and lost to make up all that was sent",
        TIMEOUT,
        async || {
            let stored = client
                .count(admin, &json!({}))
                .await
                .map_err(|error| error.to_string())?;
            let lost = metric(&stack.backend, "dossier_gap_records_total").await;
            let lost = lost.map_err(|error| error.to_string())?;
            let sums_up = stored + lost == 2 * SENT;
            sums_up
                .then_some((stored, lost))
                .ok_or_else(|| format!("{stored} halves stored, {lost} lost"))
        },
    );
    let (stored, lost) = waited.await.unwrap();
    assert!(
        stored > 0 && lost > 0,
        "{stored} stored, {lost} lost: the test should see both"
    );

    stack.envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    let entries = client.query_all(admin, &json!({})).await.unwrap();
    let halves: BTreeSet<_> = entries
        .iter()
        .map(|it| (text(it, "path"), text(it, "type")))
        .collect();
    assert_eq!(halves.len() as u64, stored, "each half once");
    let (bare, whole): (Vec<_>, Vec<_>) = entries.iter().partition(|it| it["data"].is_null());
    assert!(
        !whole.is_empty() && !bare.is_empty(),
        "bodies go first, records later"
    );
    assert!(
        bare.iter().all(|it| it["content"]["missing"] == "dropped"),
        "{}",
        bare[0]
    );
    let lost_bytes = metric(&stack.backend, "dossier_gap_body_bytes_total")
        .await
        .unwrap();
    assert!(
        lost_bytes >= 4 * 1024 * bare.len() as u64,
        "{lost_bytes} bytes of bodies are reported"
    );
}

async fn start(buffer: Value, batch: Value) -> TestStack {
    let started = TestStack::start_with(|plan| {
        plan.fault_proxy = true;
        let plugin = plan.bootstrap.plugin()?;
        plugin["buffer"] = buffer;
        plugin["batch"] = batch;
        plugin["collector"]["timeout"] = json!("1s");
        Ok(())
    });
    started.await.unwrap()
}

fn set_mode(stack: &TestStack, mode: ProxyMode) {
    stack.fault_proxy.as_ref().unwrap().set_mode(mode);
}

/// Sends a request for each number and checks that its answer is right.
async fn send(stack: &TestStack, numbers: std::ops::Range<u64>, size: usize) {
    let exchanges = stream::iter(numbers).map(|number| async move {
        let body = generate_body(BodyKind::Json, size, number);
        let call = Call {
            protocol: if number % 2 == 0 {
                Protocol::Http1
            } else {
                Protocol::Http2
            },
            body: Some(("application/json".to_owned(), body.clone())),
            ..Call::new(Method::POST, "alice", &format!("/api/number/{number}"))
        };
        let reply = stack.traffic.send(&call).await.unwrap();
        assert_eq!(
            (reply.status, reply.body),
            (200, echo("", &body)),
            "{}",
            call.target
        );
    });
    exchanges
        .buffer_unordered(CONCURRENCY)
        .collect::<Vec<()>>()
        .await;
}
