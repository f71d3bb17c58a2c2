//! One VM with several root contexts, as a live update leaves it.

use serde_json::json;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::testing::{ROOT, Rig, configuration};

const SECOND: u64 = 1_000_000;

#[test]
fn after_an_update_one_root_sends_what_both_took() {
    let mut rig = Rig::new(&json!({}));
    rig.exchange(b"old");
    let newer = ROOT + 1;
    let plugin = rig
        .vm
        .configure(newer, &configuration(&json!({})), |_| None, None)
        .unwrap();
    rig.plugin = plugin;
    rig.exchange(b"new");
    rig.tick(SECOND);
    assert!(rig.calls().is_empty(), "the old root no longer sends");
    rig.vm.tick(newer, &rig.dispatch);
    let calls = rig.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].content().0.len(), 4);
    rig.vm.retire(newer);
    rig.exchange(b"more");
    rig.answer(&calls[0], Some(200), None);
    rig.tick(SECOND);
    assert_eq!(rig.calls().len(), 1, "the old root takes over again");
}

#[test]
fn another_collector_gets_an_outbox_of_its_own() {
    let mut rig = Rig::new(&json!({}));
    rig.exchange(b"old");
    let other = json!({"collector": {"cluster": "other"}});
    rig.plugin = rig
        .vm
        .configure(ROOT, &configuration(&other), |_| None, None)
        .unwrap();
    rig.exchange(b"new");
    rig.tick(SECOND);
    let clusters: Vec<_> = rig.calls().into_iter().map(|call| call.cluster).collect();
    assert_eq!(clusters, ["collector", "other"]);
}

#[test]
fn a_refused_configuration_is_told_by_key_and_changes_nothing() {
    let rig = Rig::new(&json!({}));
    let bad = json!({"routes": [{"match": {"path": {"prefix": "/"}}, "capture": {"ttl_days": "30d"}}], "bath": {}});
    assert!(
        rig.vm
            .configure(ROOT + 1, &configuration(&bad), |_| None, None)
            .is_none()
    );
    {
        let lines = rig.vm.host().lines.borrow();
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("dossier: configuration refused: "))
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
    rig.exchange(b"hi");
    rig.tick(SECOND);
    assert_eq!(rig.calls().len(), 1);
}

#[test]
fn the_token_comes_from_the_environment_and_is_never_logged() {
    let rig = Rig::new(&json!({}));
    let with_token = json!({"collector": {"cluster": "collector", "token": "${TOKEN}"}});
    let config = configuration(&with_token);
    assert!(rig.vm.configure(ROOT, &config, |_| None, None).is_none());
    assert!(rig.vm.host().lines.borrow()[0].contains("TOKEN"));
    let secret = |name: &str| (name == "TOKEN").then(|| "hunter2".to_owned());
    assert!(rig.vm.configure(ROOT, &config, secret, None).is_some());
    rig.exchange(b"hi");
    rig.tick(SECOND);
    let call = rig.calls().remove(0);
    assert_eq!(call.headers["authorization"], "Bearer hunter2");
    rig.answer(&call, Some(401), None);
    rig.tick(0);
    assert!(
        !rig.vm
            .host()
            .lines
            .borrow()
            .iter()
            .any(|line| line.contains("hunter2"))
    );
}
