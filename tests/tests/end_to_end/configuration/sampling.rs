//! `sample`: which share of the exchanges is recorded, decided by the request's id, so that both
//! halves and all proxies on the way agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use dossier_tests::bootstrap::UPSTREAM_CLUSTER;
use dossier_tests::harness::Harness;
use dossier_tests::stub_collector::{ReceivedHalf, StubCollector};
use dossier_tests::traffic::{Call, Traffic};
use dossier_tests::upstream::{BodyKind, generate_body};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Setup, configure, everything, with};
use crate::support::{TIMEOUT, wait_for_records};

const REQUESTS: usize = 10_000;
const SHARE: f64 = 0.1;
const CLIENTS: usize = 16;

/// The id of a request. Always the same ones, so that a run in which they happen to fall otherwise
/// is not to be feared.
fn id(number: usize) -> String {
    let noise = generate_body(BodyKind::Binary, 17, number as u64);
    let noise = noise[1..].try_into().unwrap();
    uuid::Builder::from_random_bytes(noise)
        .into_uuid()
        .to_string()
}

fn sampled(share: f64) -> Value {
    everything(&json!({"storage_type": "both", "sample": share}))
}

/// Sends so many requests, some at a time; of each number, the id if it is to have one of ours.
async fn send_all(traffic: &Traffic, requests: usize, id: impl Fn(usize) -> Option<String>) {
    let next = AtomicUsize::new(0);
    let client = async || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= requests {
                return;
            }
            let mut call = Call::new(Method::GET, "alice", &format!("/{number}"));
            if let Some(id) = id(number) {
                call = with(call, "x-request-id", &id);
            }
            let reply = traffic.send(&call).await.unwrap();
            assert_eq!(reply.status, 200);
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
}

/// The paths that were recorded, each with both of its halves.
fn recorded(stub_collector: &StubCollector) -> BTreeSet<String> {
    let halves = stub_collector.all_halves();
    let mut types = BTreeMap::<&str, Vec<&str>>::new();
    for half in &halves {
        let of_path = types.entry(half.text("path")).or_default();
        of_path.push(half.text("type"));
    }
    for (path, types) in &types {
        assert_eq!(types, &["request", "response"], "{path}");
    }
    types.into_keys().map(str::to_owned).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are far fewer requests than a double can count"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_share_is_recorded_with_both_halves() {
    let setup = Setup::start(&sampled(SHARE)).await;
    send_all(&setup.traffic, REQUESTS, |number| Some(id(number))).await;
    setup
        .harness
        .envoy
        .wait_for_empty_outbox(TIMEOUT)
        .await
        .unwrap();
    let recorded = recorded(&setup.harness.stub_collector).len();
    let expected = REQUESTS as f64 * SHARE;
    let deviation = (expected * (1.0 - SHARE)).sqrt();
    let off = (recorded as f64 - expected).abs();
    assert!(off <= 3.0 * deviation, "{recorded} of {REQUESTS}");
    wait_for_records(&setup.harness.envoy, 2 * recorded as u64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chained_proxies_sample_the_same_requests() {
    const EACH: usize = 200;
    let last = Setup::start(&sampled(0.3)).await;
    let folder = last.harness.folder().join("first");
    std::fs::create_dir(&folder).unwrap();
    let first = Harness::start(&folder, |bootstrap| {
        configure(bootstrap, &sampled(0.3))?;
        bootstrap.set_cluster(UPSTREAM_CLUSTER, last.harness.envoy.address)
    });
    let first = first.await.unwrap();
    // The odd ones get their ids from the first proxy.
    let of_ours = |number| (number % 2 == 0).then(|| id(number));
    let traffic = Traffic::new(first.envoy.address).unwrap();
    send_all(&traffic, 2 * EACH, of_ours).await;
    for envoy in [&first.envoy, &last.harness.envoy] {
        envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    }
    let by_first = recorded(&first.stub_collector);
    assert_eq!(by_first, recorded(&last.harness.stub_collector));
    assert!((60..=180).contains(&by_first.len()), "{}", by_first.len());

    // The same ids again, straight to the last one: the same decisions, nothing else.
    let before = last.harness.stub_collector.all_halves().len();
    send_all(&last.traffic, 2 * EACH, of_ours).await;
    last.harness
        .envoy
        .wait_for_empty_outbox(TIMEOUT)
        .await
        .unwrap();
    let is_ours = |path: &&str| path[1..].parse::<usize>().unwrap() % 2 == 0;
    let halves = last.harness.stub_collector.all_halves();
    let again: BTreeSet<_> = halves[before..]
        .iter()
        .map(|half: &ReceivedHalf| half.text("path"))
        .filter(is_ours)
        .collect();
    let before: BTreeSet<_> = by_first
        .iter()
        .map(String::as_str)
        .filter(is_ours)
        .collect();
    assert_eq!(again, before);
}
