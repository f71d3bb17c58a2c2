//! When batches are sent, what happens when that fails, and that every loss is reported.

use dossier_wire::GapReason;
use serde_json::json;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::metrics::Counter;
use crate::testing::Harness;

#[cfg(not(target_arch = "wasm32"))]
mod accounting;

const SECOND: u64 = 1_000_000;

#[test]
fn batch_is_sent_after_max_delay() {
    let harness = Harness::new(&json!({}));
    harness.exchange(b"hi");
    harness.tick(SECOND - 1);
    assert!(harness.calls().is_empty());
    harness.tick(1);
    let calls = harness.calls();
    assert_eq!(calls.len(), 1);
    let (records, gaps) = calls[0].content();
    assert_eq!((records.len(), gaps.len()), (2, 0));
    assert_eq!(records[0].0.exchange_id, records[1].0.exchange_id);
    assert_eq!(records[0].1, b"hi");
    harness.respond(&calls[0], Some(200), None);
    assert_eq!(harness.used_bytes(), 0);
}

#[test]
fn batch_is_sent_when_full_by_count() {
    let harness = Harness::new(&json!({"batch": {"max_records": 4}}));
    for _ in 0..3 {
        harness.exchange(b"");
    }
    harness.tick(0);
    let calls = harness.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].content().0.len(), 4);
}

#[test]
fn batch_is_sent_when_full_by_bytes() {
    let harness = Harness::new(&json!({"batch": {"max_bytes": "64KiB"}}));
    for _ in 0..3 {
        harness.exchange(&vec![7; 30_000]);
    }
    harness.tick(0);
    for call in harness.calls() {
        assert_eq!(
            call.content().0.len(),
            2,
            "halves of one exchange stay together"
        );
    }
}

#[test]
fn at_most_two_calls_in_flight() {
    let harness = Harness::new(&json!({"batch": {"max_records": 2}}));
    for _ in 0..5 {
        harness.exchange(b"");
    }
    harness.tick(0);
    let calls = harness.calls();
    assert_eq!(calls.len(), 2);
    harness.respond(&calls[0], Some(200), None);
    assert_eq!(harness.calls().len(), 1);
}

#[test]
fn failed_batch_is_retried_unchanged() {
    for status in [None, Some(500), Some(502), Some(408), Some(401), Some(404)] {
        let harness = Harness::new(&json!({}));
        harness.exchange(b"hi");
        harness.tick(SECOND);
        let first = harness.calls().remove(0);
        harness.respond(&first, status, None);
        assert!(harness.calls().is_empty(), "not at once");
        harness.tick(SECOND);
        let again = harness.calls().remove(0);
        assert_eq!(
            (again.id(), &again.body),
            (first.id(), &first.body),
            "{status:?}"
        );
        harness.respond(&again, Some(200), None);
        assert_eq!(harness.used_bytes(), 0);
        harness.tick(0);
        assert_eq!(harness.vm.host().counted(Counter::BatchesRetried), 1);
    }
}

#[test]
fn waits_as_long_as_retry_after() {
    let harness = Harness::new(&json!({}));
    harness.exchange(b"hi");
    harness.tick(SECOND);
    let first = harness.calls().remove(0);
    harness.respond(&first, Some(429), Some(20));
    harness.tick(20 * SECOND - 1);
    assert!(harness.calls().is_empty());
    harness.tick(3 * SECOND);
    assert_eq!(harness.calls().remove(0).id(), first.id());
}

#[test]
fn rejected_batch_is_dropped_and_reported() {
    for status in [400, 413, 415, 422] {
        let harness = Harness::new(&json!({}));
        harness.exchange(b"hi");
        harness.tick(SECOND);
        let refused = harness.calls().remove(0);
        harness.respond(&refused, Some(status), None);
        harness.tick(40 * SECOND);
        let calls = harness.calls();
        let (records, gaps) = calls[0].content();
        assert!(records.is_empty());
        assert_eq!(gaps.len(), 1);
        assert_eq!(
            (gaps[0].reason, gaps[0].records),
            (GapReason::BatchRefused, 2)
        );
        assert_ne!(calls[0].id(), refused.id());
    }
}

#[test]
fn call_without_response_is_retried() {
    let harness = Harness::new(&json!({}));
    harness.exchange(b"hi");
    harness.tick(SECOND);
    let lost = harness.calls().remove(0);
    harness.tick(11 * SECOND);
    harness.tick(SECOND);
    let again = harness.calls().remove(0);
    assert_eq!(again.id(), lost.id());
    // A late response is ignored.
    harness.respond(&lost, Some(200), None);
    assert!(harness.used_bytes() > 0);
    harness.respond(&again, Some(200), None);
    assert_eq!(harness.used_bytes(), 0);
}

#[test]
fn failed_dispatch_is_retried() {
    let harness = Harness::new(&json!({}));
    harness.dispatch.fails.set(true);
    harness.exchange(b"hi");
    harness.tick(SECOND);
    assert!(harness.calls().is_empty());
    harness.dispatch.fails.set(false);
    harness.tick(SECOND);
    assert_eq!(harness.calls().len(), 1);
    assert!(
        harness
            .vm
            .host()
            .lines
            .borrow()
            .iter()
            .any(|line| line.contains("cannot call the cluster"))
    );
}

#[test]
fn dead_collector_bounds_memory_and_reports_losses() {
    let limit = 2 << 20;
    let harness = Harness::new(
        &json!({"buffer": {"max_bytes": limit}, "batch": {"max_bytes": "64KiB", "compression": "none"}}),
    );
    let exchanges = 2000_u64;
    let mut seed = 1_u8;
    for _ in 0..exchanges {
        seed = seed.wrapping_mul(5).wrapping_add(1);
        harness.exchange(&[seed; 2000]);
        assert!(
            harness.used_bytes() <= limit,
            "{} bytes are held",
            harness.used_bytes()
        );
    }
    // The collector recovers.
    let (mut records, mut bodies, mut lost) = (0_u64, 0_u64, 0_u64);
    let mut body_bytes_lost = 0;
    for _ in 0..500 {
        harness.tick(SECOND);
        for call in harness.calls() {
            let (read, gaps) = call.content();
            records += read.len() as u64;
            bodies += read.iter().filter(|(_, body)| !body.is_empty()).count() as u64;
            for gap in gaps {
                lost += gap.records;
                body_bytes_lost += gap.bytes;
            }
            harness.respond(&call, Some(200), None);
        }
    }
    assert!(lost > 0 && bodies > 0);
    assert_eq!(records + lost, 2 * exchanges);
    assert_eq!(bodies * 2000 + body_bytes_lost, 2 * exchanges * 2000);
    assert_eq!(harness.used_bytes(), 0);
}

/// Sends batches of one exchange of 120 KB each and tells whether they were compressed. All are
/// acknowledged.
fn compressed(harness: &Harness, exchanges: usize) -> Vec<bool> {
    for _ in 0..exchanges {
        harness.exchange(&vec![7; 60_000]);
    }
    harness.tick(SECOND);
    let mut compressed = Vec::new();
    loop {
        let calls = harness.calls();
        if calls.is_empty() {
            return compressed;
        }
        for call in calls {
            assert_eq!(call.content().0.len(), 2);
            compressed.push(call.headers.contains_key("content-encoding"));
            harness.respond(&call, Some(200), None);
        }
    }
}

#[test]
fn busy_worker_compresses_only_some_batches() {
    let harness = Harness::new(&json!({"batch": {"max_bytes": "64KiB"}}));
    // A MiB at once, and after a second again.
    for _ in 0..3 {
        let expected: Vec<_> = (0..20).map(|number| number < 9).collect();
        assert_eq!(compressed(&harness, 20), expected);
    }
    let best = json!({"batch": {"max_bytes": "64KiB", "compression": "best"}});
    assert_eq!(compressed(&Harness::new(&best), 20), [true; 20]);
}

#[test]
fn backlog_is_compressed_despite_limit() {
    let harness =
        Harness::new(&json!({"batch": {"max_bytes": "64KiB"}, "buffer": {"max_bytes": "1MiB"}}));
    // Two are not compressed; a third one would fill a quarter of the buffer.
    let expected: Vec<_> = (0..20).map(|number| !(9..11).contains(&number)).collect();
    assert_eq!(compressed(&harness, 20), expected);
    // What a backlog made compress does not count against the limit of later batches.
    assert_eq!(compressed(&harness, 20), expected);
}
