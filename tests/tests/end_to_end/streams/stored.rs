//! Every way of ending, as the collector tells it.

use std::net::SocketAddr;

use dossier_tests::bootstrap::UPSTREAM_CLUSTER;
use dossier_tests::raw_client::RawClient;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::Call;
use reqwest::Method;
use serde_json::json;

use super::head;
use crate::support::{TIMEOUT, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_shows_end_of_each_exchange() {
    let stack = TestStack::start_with(|plan| {
        // Nothing listens there: that port is only ever given out to those who ask for it.
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        plan.bootstrap.add_cluster("nobody", nobody)?;
        let route = |path: &str, answer: (&str, serde_json::Value)| json!({"match": {"path": path}, answer.0: answer.1});
        plan.bootstrap.routes()?.splice(
            0..0,
            [
                route(
                    "/api/timeout",
                    (
                        "route",
                        json!({"cluster": UPSTREAM_CLUSTER, "timeout": "0.2s"}),
                    ),
                ),
                route(
                    "/api/upstream_reset",
                    ("route", json!({"cluster": "nobody"})),
                ),
                route(
                    "/api/local_reply",
                    ("direct_response", json!({"status": 418})),
                ),
            ],
        );
        Ok(())
    });
    let stack = stack.await.unwrap();
    for (target, status) in [
        ("/api/complete", 200),
        ("/api/timeout?delay_ms=5000", 504),
        ("/api/upstream_reset", 503),
        ("/api/local_reply", 418),
    ] {
        let call = Call::new(Method::GET, "alice", target);
        assert_eq!(stack.traffic.send(&call).await.unwrap().status, status);
    }
    let mut client = RawClient::connect(stack.envoy.address).await.unwrap();
    client
        .send(head("GET", "/api/client_aborted?stream=1000", ""))
        .await
        .unwrap();
    client.read_until("data: ").await.unwrap();
    drop(client);

    let (collector, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    collector
        .wait_for_entries(alice, &json!({}), 10, TIMEOUT)
        .await
        .unwrap();
    let entries = collector.query_all(alice, &json!({})).await.unwrap();
    for half in ["request", "response"] {
        let entries = entries.iter().filter(|entry| entry["type"] == half);
        let mut returned: Vec<_> = entries
            .map(|entry| {
                let completion = text(&entry["content"], "completion");
                assert_eq!(text(entry, "path"), format!("/api/{completion}"));
                (completion, entry["status"].as_u64())
            })
            .collect();
        returned.sort_unstable();
        let expected = [
            ("client_aborted", Some(200)),
            ("complete", Some(200)),
            ("local_reply", Some(418)),
            ("timeout", Some(504)),
            ("upstream_reset", Some(503)),
        ];
        assert_eq!(returned, expected);
    }
}
