//! A VM with several root contexts, as after a live update.

use serde_json::json;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::testing::{Harness, ROOT, configuration};

const SECOND: u64 = 1_000_000;

#[test]
fn newest_root_sends_records_of_all() {
    let mut harness = Harness::new(&json!({}));
    harness.exchange(b"old");
    let newer = ROOT + 1;
    let plugin = harness
        .vm
        .configure(newer, &configuration(&json!({})), |_| None, None)
        .unwrap();
    harness.plugin = plugin;
    harness.exchange(b"new");
    harness.tick(SECOND);
    assert!(harness.calls().is_empty(), "the old root no longer sends");
    harness.vm.tick(newer, &harness.dispatch);
    let calls = harness.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].content().0.len(), 4);
    harness.vm.remove_root(newer);
    harness.exchange(b"more");
    harness.respond(&calls[0], Some(200), None);
    harness.tick(SECOND);
    assert_eq!(harness.calls().len(), 1, "the old root takes over again");
}

#[test]
fn each_collector_has_its_own_outbox() {
    let mut harness = Harness::new(&json!({}));
    harness.exchange(b"old");
    let other = json!({"collector": {"cluster": "other"}});
    harness.plugin = harness
        .vm
        .configure(ROOT, &configuration(&other), |_| None, None)
        .unwrap();
    harness.exchange(b"new");
    harness.tick(SECOND);
    let clusters: Vec<_> = harness
        .calls()
        .into_iter()
        .map(|call| call.cluster)
        .collect();
    assert_eq!(clusters, ["collector", "other"]);
}

#[test]
fn rejected_configuration_changes_nothing() {
    let harness = Harness::new(&json!({}));
    let bad = json!({"routes": [{"match": {"path": {"prefix": "/"}}, "capture": {"ttl_days": "30d"}}], "bath": {}});
    assert!(
        harness
            .vm
            .configure(ROOT + 1, &configuration(&bad), |_| None, None)
            .is_none()
    );
    {
        let lines = harness.vm.host().lines.borrow();
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("dossier: configuration rejected: "))
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("routes[0].capture.ttl_days"))
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("bath") && line.contains("batch"))
        );
    }
    harness.exchange(b"hi");
    harness.tick(SECOND);
    assert_eq!(harness.calls().len(), 1);
}

#[test]
fn token_from_environment_is_never_logged() {
    let harness = Harness::new(&json!({}));
    let with_token = json!({"collector": {"cluster": "collector", "token": "${TOKEN}"}});
    let config = configuration(&with_token);
    assert!(
        harness
            .vm
            .configure(ROOT, &config, |_| None, None)
            .is_none()
    );
    assert!(harness.vm.host().lines.borrow()[0].contains("TOKEN"));
    let secret = |name: &str| (name == "TOKEN").then(|| "hunter2".to_owned());
    assert!(harness.vm.configure(ROOT, &config, secret, None).is_some());
    harness.exchange(b"hi");
    harness.tick(SECOND);
    let call = harness.calls().remove(0);
    assert_eq!(call.headers["authorization"], "Bearer hunter2");
    harness.respond(&call, Some(401), None);
    harness.tick(0);
    assert!(
        !harness
            .vm
            .host()
            .lines
            .borrow()
            .iter()
            .any(|line| line.contains("hunter2"))
    );
}
