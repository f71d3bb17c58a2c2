//! `when`: an exchange is kept or not by how it ended, both halves alike.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dossier_tests::bootstrap::UPSTREAM_CLUSTER;
use dossier_tests::testing::TestHarness;
use dossier_tests::traffic::{Call, Traffic};
use dossier_tests::upstream::Upstream;
use reqwest::Method;
use serde_json::json;

use super::configure;
use crate::support::wait_for_records;

/// Far from the limit on either side, also where a machine is busy.
const LIMIT: &str = "2s";
const QUICK: u64 = 0;
const SLOW: u64 = 4000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_or_duration_keeps_exchange() {
    let rule = |path: &str, when| {
        json!({
            "match": {"path": {"prefix": path}},
            "capture": {"when": when},
        })
    };
    let keys = json!({
        "defaults": {"storage_type": "both"},
        "routes": [
            rule("/status", json!({"status": ["4xx", "500-502", 504]})),
            rule("/slow", json!({"min_duration": LIMIT})),
            rule("/both", json!({"status": ["5xx"], "min_duration": LIMIT})),
        ],
    });
    let upstream = Upstream::start().await.unwrap();
    let harness = TestHarness::start_with(|bootstrap| {
        configure(bootstrap, &keys)?;
        bootstrap.set_cluster(UPSTREAM_CLUSTER, upstream.address)?;
        // Nothing listens there: that port is only ever given out to those who ask for it.
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        bootstrap.add_cluster("nobody", nobody)?;
        let route = |path: &str| json!({"match": {"path": path}, "route": {"cluster": "nobody"}});
        let routes = [route("/status/unreachable"), route("/both/unreachable")];
        bootstrap.routes()?.splice(0..0, routes);
        Ok(())
    });
    let harness = harness.await.unwrap();
    let traffic = Traffic::new(harness.envoy.address).unwrap();
    let cases = [
        ("/status/1", 200, QUICK, false),
        ("/status/2", 404, QUICK, true),
        ("/status/3", 499, QUICK, true),
        ("/status/4", 500, QUICK, true),
        ("/status/5", 502, QUICK, true),
        ("/status/6", 503, QUICK, false),
        ("/status/7", 504, QUICK, true),
        ("/status/8", 302, QUICK, false),
        ("/slow/1", 200, QUICK, false),
        ("/slow/2", 500, QUICK, false),
        ("/slow/3", 200, SLOW, true),
        ("/both/1", 500, QUICK, false),
        ("/both/2", 200, SLOW, false),
        ("/both/3", 503, SLOW, true),
        ("/other/1", 200, QUICK, true),
    ];
    // All at once: most of the time is waiting.
    let calls = cases.map(|(path, status, delay, _)| {
        let target = format!("{path}?status={status}&delay_ms={delay}");
        let call = Call::json("alice", &target, &json!({"body": "is let go too"}));
        let traffic = &traffic;
        async move { (traffic.send(&call).await.unwrap().status, status) }
    });
    for (answered, status) in futures_util::future::join_all(calls).await {
        assert_eq!(answered, status);
    }
    // What Envoy answers itself has a status as well.
    for target in ["/status/unreachable", "/both/unreachable"] {
        let call = Call::new(Method::GET, "alice", target);
        assert_eq!(traffic.send(&call).await.unwrap().status, 503);
    }
    let kept: BTreeSet<_> = cases
        .iter()
        .filter(|(.., is_kept)| *is_kept)
        .flat_map(|(path, ..)| [(*path, "request"), (*path, "response")])
        .collect();
    wait_for_records(&harness.envoy, kept.len() as u64).await;
    let halves = harness.stub_collector.all_halves();
    let recorded: Vec<_> = halves
        .iter()
        .map(|half| (half.text("path"), half.text("type")))
        .collect();
    assert_eq!(recorded.len(), kept.len());
    assert_eq!(recorded.into_iter().collect::<BTreeSet<_>>(), kept);
}
