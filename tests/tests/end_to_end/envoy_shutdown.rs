//! Envoy stops under load. Drained first, nothing is lost; just ended, at most what was not sent yet.

use std::time::Duration;

use dossier_tests::load::LoadGenerator;
use dossier_tests::testing::TestStack;
use serde_json::json;

use crate::support::{TIMEOUT, UNSENT, expect_stored, unsent_records, wait_for_records};

const CLIENTS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drained_stop_loses_nothing() {
    let stack = TestStack::start_with(|plan| {
        plan.drain_time = Duration::from_secs(20);
        Ok(())
    });
    let mut stack = stack.await.unwrap();
    let load = LoadGenerator::start(&stack.traffic, CLIENTS);
    load.wait_for_answers(500, TIMEOUT).await.unwrap();
    stack.envoy.drain().await.unwrap();
    // Envoy now closes each connection after its answer. The clients go on, and leave before the
    // listener does: a connection that it has not accepted by then is reset, whatever filter runs.
    load.wait_for_answers(200, TIMEOUT).await.unwrap();
    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let recorded = 2 * outcome.answered.len() as u64;
    wait_for_records(&stack.envoy, recorded).await;

    stack.envoy.process.stop().await.unwrap();
    let log = stack.envoy.process.log().text();
    assert!(!log.contains(UNSENT), "the filter says it held nothing");
    expect_stored(&stack, &outcome.answered, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undrained_stop_loses_only_unsent_records() {
    let mut stack = TestStack::start().await.unwrap();
    let load = LoadGenerator::start(&stack.traffic, CLIENTS);
    load.wait_for_answers(500, TIMEOUT).await.unwrap();
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    client
        .wait_for_entries(alice, &json!({}), 100, TIMEOUT)
        .await
        .unwrap();
    load.wait_for_answers(100, TIMEOUT).await.unwrap();

    stack.envoy.process.stop().await.unwrap();
    let outcome = load.stop().await;
    let unsent = unsent_records(&stack.envoy.process.log().text());
    assert!(unsent > 0, "under load there is always something unsent");
    // A client may have its response before Envoy has notified the filter of the end.
    expect_stored(&stack, &outcome.answered, unsent + 2 * CLIENTS).await;
}
