//! Traffic many times the filter's buffer while the collector is away: Envoy's memory stays within
//! the buffer, no request fails, and what was lost is reported to the last record.

use dossier_tests::fault_proxy::ProxyMode;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::Call;
use dossier_tests::upstream::{BodyKind, generate_body};
use dossier_tests::wait;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;

use crate::support::{TIMEOUT, metric};

const BUFFER: u64 = 1 << 20;
/// What Envoy may grow by, the buffer and what comes and goes beside it. It is far less than what is
/// sent.
const MAX_GROWTH: u64 = 2 * BUFFER;
/// Ten buffers and more: each exchange has two such bodies, the second a little longer.
const EXCHANGES: u64 = 1500;
const BODY: usize = 4 << 10;
const CONCURRENCY: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_and_losses_reported() {
    let stack = TestStack::start_with(|plan| {
        plan.fault_proxy = true;
        plan.workers = 1;
        let plugin = plan.bootstrap.plugin()?;
        plugin["buffer"] = json!({"max_bytes": BUFFER});
        plugin["batch"] = json!({"max_bytes": "256KiB", "compression": "none"});
        Ok(())
    });
    let stack = stack.await.unwrap();
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let proxy = stack.fault_proxy.as_ref().unwrap();
    // What Envoy and the filter need for themselves at this load.
    send(&stack, 0..EXCHANGES).await;
    stack.envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    let before = stack.envoy.resident_bytes().unwrap();
    proxy.set_mode(ProxyMode::Refuse);
    send(&stack, EXCHANGES..2 * EXCHANGES).await;
    let grown = stack.envoy.resident_bytes().unwrap().saturating_sub(before);
    assert!(grown <= MAX_GROWTH, "{grown} bytes more than {before}");

    proxy.set_mode(ProxyMode::Forward(stack.backend.collector.address));
    let waited = wait::until("stored and lost to make up all", TIMEOUT, async || {
        let stored = client.count(admin, &json!({})).await;
        let lost = metric(&stack.backend, "dossier_gap_records_total").await;
        let (stored, lost) = (
            stored.map_err(|error| error.to_string())?,
            lost.map_err(|error| error.to_string())?,
        );
        (stored + lost == 4 * EXCHANGES)
            .then_some(lost)
            .ok_or_else(|| format!("{stored} halves stored, {lost} lost"))
    });
    let lost = waited.await.unwrap();
    stack.envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    let dropped = stack
        .envoy
        .stat("dossier.records_dropped.buffer_full")
        .await;
    assert_eq!(dropped.unwrap(), lost, "Envoy's counter says the same");
    assert!(lost > 0);
}

async fn send(stack: &TestStack, numbers: std::ops::Range<u64>) {
    let exchanges = stream::iter(numbers).map(|number| async move {
        let body = generate_body(BodyKind::Text, BODY, number);
        let call = Call {
            body: Some(("text/plain".to_owned(), body)),
            ..Call::new(Method::POST, "alice", &format!("/api/number/{number}"))
        };
        assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
    });
    exchanges
        .buffer_unordered(CONCURRENCY)
        .collect::<Vec<()>>()
        .await;
}
