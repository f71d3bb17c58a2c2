//! Batches: when they leave, what happens when they do not arrive, and that every loss is told.

use dossier_wire::GapReason;
use serde_json::json;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::host::Counter;
use crate::testing::Rig;

const SECOND: u64 = 1_000_000;

#[test]
fn a_batch_leaves_when_it_is_old_enough() {
    let rig = Rig::new(&json!({}));
    rig.exchange(b"hi");
    rig.tick(SECOND - 1);
    assert!(rig.calls().is_empty());
    rig.tick(1);
    let calls = rig.calls();
    assert_eq!(calls.len(), 1);
    let (records, gaps) = calls[0].content();
    assert_eq!((records.len(), gaps.len()), (2, 0));
    assert_eq!(records[0].0.exchange_id, records[1].0.exchange_id);
    assert_eq!(records[0].1, b"hi");
    rig.answer(&calls[0], Some(200), None);
    assert_eq!(rig.held(), 0);
}

#[test]
fn a_batch_leaves_when_it_is_full_by_count_or_by_bytes() {
    let rig = Rig::new(&json!({"batch": {"max_records": 4}}));
    for _ in 0..3 {
        rig.exchange(b"");
    }
    rig.tick(0);
    let calls = rig.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].content().0.len(), 4);

    let rig = Rig::new(&json!({"batch": {"max_bytes": "64KiB"}}));
    for _ in 0..3 {
        rig.exchange(&vec![7; 30_000]);
    }
    rig.tick(0);
    for call in rig.calls() {
        assert_eq!(
            call.content().0.len(),
            2,
            "halves of one exchange stay together"
        );
    }
}

#[test]
fn at_most_two_calls_are_under_way() {
    let rig = Rig::new(&json!({"batch": {"max_records": 2}}));
    for _ in 0..5 {
        rig.exchange(b"");
    }
    rig.tick(0);
    let calls = rig.calls();
    assert_eq!(calls.len(), 2);
    rig.answer(&calls[0], Some(200), None);
    assert_eq!(rig.calls().len(), 1);
}

#[test]
fn what_fails_is_sent_again_as_it_was() {
    for status in [None, Some(500), Some(502), Some(408), Some(401), Some(404)] {
        let rig = Rig::new(&json!({}));
        rig.exchange(b"hi");
        rig.tick(SECOND);
        let first = rig.calls().remove(0);
        rig.answer(&first, status, None);
        assert!(rig.calls().is_empty(), "not at once");
        rig.tick(SECOND);
        let again = rig.calls().remove(0);
        assert_eq!(
            (again.id(), &again.body),
            (first.id(), &first.body),
            "{status:?}"
        );
        rig.answer(&again, Some(200), None);
        assert_eq!(rig.held(), 0);
        rig.tick(0);
        assert_eq!(rig.vm.host().counted(Counter::BatchesRetried), 1);
    }
}

#[test]
fn a_collector_that_asks_to_wait_is_left_alone_so_long() {
    let rig = Rig::new(&json!({}));
    rig.exchange(b"hi");
    rig.tick(SECOND);
    let first = rig.calls().remove(0);
    rig.answer(&first, Some(429), Some(20));
    rig.tick(20 * SECOND - 1);
    assert!(rig.calls().is_empty());
    rig.tick(3 * SECOND);
    assert_eq!(rig.calls().remove(0).id(), first.id());
}

#[test]
fn a_batch_that_is_refused_is_dropped_and_told() {
    for status in [400, 413, 415, 422] {
        let rig = Rig::new(&json!({}));
        rig.exchange(b"hi");
        rig.tick(SECOND);
        let refused = rig.calls().remove(0);
        rig.answer(&refused, Some(status), None);
        rig.tick(40 * SECOND);
        let calls = rig.calls();
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
fn a_call_whose_answer_never_comes_is_made_again() {
    let rig = Rig::new(&json!({}));
    rig.exchange(b"hi");
    rig.tick(SECOND);
    let lost = rig.calls().remove(0);
    rig.tick(11 * SECOND);
    rig.tick(SECOND);
    let again = rig.calls().remove(0);
    assert_eq!(again.id(), lost.id());
    // The answer comes after all: it is of no interest any more.
    rig.answer(&lost, Some(200), None);
    assert!(rig.held() > 0);
    rig.answer(&again, Some(200), None);
    assert_eq!(rig.held(), 0);
}

#[test]
fn a_call_that_cannot_begin_is_tried_later() {
    let rig = Rig::new(&json!({}));
    rig.dispatch.refuses.set(true);
    rig.exchange(b"hi");
    rig.tick(SECOND);
    assert!(rig.calls().is_empty());
    rig.dispatch.refuses.set(false);
    rig.tick(SECOND);
    assert_eq!(rig.calls().len(), 1);
    assert!(
        rig.vm
            .host()
            .lines
            .borrow()
            .iter()
            .any(|line| line.contains("cannot call the cluster"))
    );
}

#[test]
fn with_a_dead_collector_memory_stays_bounded_and_the_loss_is_told_exactly() {
    let limit = 2 << 20;
    let rig = Rig::new(
        &json!({"buffer": {"max_bytes": limit}, "batch": {"max_bytes": "64KiB", "compression": "none"}}),
    );
    let exchanges = 2000_u64;
    let mut seed = 1_u8;
    for _ in 0..exchanges {
        seed = seed.wrapping_mul(5).wrapping_add(1);
        rig.exchange(&[seed; 2000]);
        assert!(rig.held() <= limit, "{} bytes are held", rig.held());
    }
    // It is back.
    let (mut records, mut bodies, mut lost) = (0_u64, 0_u64, 0_u64);
    let mut body_bytes_lost = 0;
    for _ in 0..500 {
        rig.tick(SECOND);
        for call in rig.calls() {
            let (read, gaps) = call.content();
            records += read.len() as u64;
            bodies += read.iter().filter(|(_, body)| !body.is_empty()).count() as u64;
            for gap in gaps {
                lost += gap.records;
                body_bytes_lost += gap.bytes;
            }
            rig.answer(&call, Some(200), None);
        }
    }
    assert!(lost > 0 && bodies > 0);
    assert_eq!(records + lost, 2 * exchanges);
    assert_eq!(bodies * 2000 + body_bytes_lost, 2 * exchanges * 2000);
    assert_eq!(rig.held(), 0);
}

/// Batches of one exchange each, of 120 KB: whether they came compressed. All are acknowledged.
fn compressed(rig: &Rig, exchanges: usize) -> Vec<bool> {
    for _ in 0..exchanges {
        rig.exchange(&vec![7; 60_000]);
    }
    rig.tick(SECOND);
    let mut compressed = Vec::new();
    loop {
        let calls = rig.calls();
        if calls.is_empty() {
            return compressed;
        }
        for call in calls {
            assert_eq!(call.content().0.len(), 2);
            compressed.push(call.headers.contains_key("content-encoding"));
            rig.answer(&call, Some(200), None);
        }
    }
}

#[test]
fn a_busy_worker_compresses_only_a_part() {
    let rig = Rig::new(&json!({"batch": {"max_bytes": "64KiB"}}));
    // A MiB at once, and after a second again.
    for _ in 0..3 {
        let expected: Vec<_> = (0..20).map(|number| number < 9).collect();
        assert_eq!(compressed(&rig, 20), expected);
    }
    let best = json!({"batch": {"max_bytes": "64KiB", "compression": "best"}});
    assert_eq!(compressed(&Rig::new(&best), 20), [true; 20]);
}

#[test]
fn what_piles_up_is_compressed_however_busy_the_worker_is() {
    let rig = Rig::new(&json!({"batch": {"max_bytes": "64KiB"}, "buffer": {"max_bytes": "1MiB"}}));
    // Two as they are, and with a third the buffer would be a quarter full.
    let expected: Vec<_> = (0..20).map(|number| !(9..11).contains(&number)).collect();
    assert_eq!(compressed(&rig, 20), expected);
    // What was compressed meanwhile is not held against those that come later.
    assert_eq!(compressed(&rig, 20), expected);
}
