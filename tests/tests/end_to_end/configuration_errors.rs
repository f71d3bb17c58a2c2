//! A wrong configuration of the filter: Envoy does not start, and its log says which key is wrong.

use std::net::SocketAddr;
use std::process::ExitStatus;

use dossier_tests::bootstrap::Bootstrap;
use dossier_tests::envoy::{DRAIN_TIME, Envoy, EnvoyPlan, WORKERS};
use dossier_tests::testing::{TestFolder, acquire_stack_permit};
use dossier_tests::{HarnessError, paths};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_path_of_unknown_key() {
    let log =
        log_of_refusal(|plugin| plugin["routes"][1]["capture"]["storage_typ"] = json!("both"));
    assert_names(&log.await, &["routes[1].capture", "storage_typ"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_path_of_wrong_type() {
    let log = log_of_refusal(|plugin| plugin["routes"][0]["capture"]["ttl_days"] = json!("30d"));
    assert_names(&log.await, &["routes[0].capture.ttl_days", "30d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_path_of_unknown_choice() {
    let log = log_of_refusal(|plugin| {
        plugin["routes"][0]["capture"]["storage_type"] = json!("everything");
    });
    assert_names(
        &log.await,
        &["routes[0].capture.storage_type", "everything"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_missing_collector() {
    let log = log_of_refusal(|plugin| {
        plugin.as_object_mut().unwrap().remove("collector");
    });
    assert_names(&log.await, &["collector"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_path_of_invalid_size() {
    let log = log_of_refusal(|plugin| plugin["buffer"] = json!({"max_bytes": "lots"}));
    assert_names(&log.await, &["buffer.max_bytes", "lots"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_all_errors_at_once() {
    let log = log_of_refusal(|plugin| {
        plugin["batch"] = json!({"max_records": 0});
        plugin["routes"][0]["capture"]["ttl_days"] = json!(0);
        plugin["users"] = json!([]);
    });
    assert_names(
        &log.await,
        &["batch.max_records", "routes[0].capture.ttl_days", "users"],
    );
}

fn assert_names(log: &str, names: &[&str]) {
    for name in names {
        assert!(log.contains(name), "{name} is not in the log:\n{log}");
    }
}

/// Starts Envoy with a changed configuration of the filter, and returns its last words.
async fn log_of_refusal(change: impl FnOnce(&mut Value)) -> String {
    let _permit = acquire_stack_permit().await.unwrap();
    let folder = TestFolder::create().unwrap();
    let mut bootstrap = Bootstrap::read(&paths::find_example_config().unwrap()).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    bootstrap.set_listener(any_port).unwrap();
    bootstrap.set_admin(any_port);
    bootstrap.set_wasm(&paths::find_filter().unwrap()).unwrap();
    change(bootstrap.plugin().unwrap());
    let plan = EnvoyPlan {
        bootstrap,
        workers: WORKERS,
        drain_time: DRAIN_TIME,
        folder: folder.path().to_owned(),
        log: folder.path().join("envoy.log"),
        ingest_token: "dsk_none".to_owned(),
    };
    let (status, tail): (ExitStatus, String) = match Envoy::start(plan).await {
        Err(HarnessError::Ended { status, tail, .. }) => (status, tail),
        Err(error) => panic!("Envoy did not end: {error}"),
        Ok(_) => panic!("Envoy started"),
    };
    assert!(!status.success());
    tail
}
