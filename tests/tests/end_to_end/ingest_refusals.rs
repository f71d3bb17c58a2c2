//! Batches that would harm: each is refused for a clear reason, takes no memory, and others go on.

use dossier_tests::clock;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::raw_client::RawClient;
use dossier_tests::testing::TestBackend;
use dossier_wire::{BATCH_ID_HEADER, CONTENT_TYPE, Compression, Encoder, INGEST_PATH};
use serde_json::json;
use uuid::Uuid;

use crate::support::{MAX_MEMORY, store};

/// What a refused batch may take for a moment: its bytes as sent, and as far as it may inflate.
const MAX_GROWTH: u64 = 40 << 20;
const TRIES: usize = 8;

fn sample() -> Vec<Sample> {
    vec![Sample::request(
        "alice",
        "/api/x",
        clock::now_micros(),
        "{}",
    )]
}

/// Sends it again and again, and good batches in between.
async fn expect_refused(sent: Vec<u8>, status: u16, code: &str) {
    let mut backend = TestBackend::start().await.unwrap();
    store(&backend, &sample()).await;
    let memory = |backend: &mut TestBackend| {
        let process = backend.collector.process().unwrap();
        process.read_memory("VmHWM").unwrap()
    };
    let before = memory(&mut backend);
    for _ in 0..TRIES {
        let refused = backend.client.ingest_bytes(
            Some(&backend.keys.ingest),
            Uuid::now_v7(),
            Some("deflate"),
            sent.clone(),
        );
        let good = sample();
        let (refused, ()) = tokio::join!(refused, store(&backend, &good));
        let refused = refused.unwrap();
        assert_eq!(
            (refused.status, refused.error_code()),
            (status, code),
            "{}",
            refused.json
        );
    }
    let grown = memory(&mut backend) - before;
    assert!(grown <= MAX_GROWTH, "{grown} bytes more than {before}");
    let (client, admin) = (&backend.client, &backend.keys.users.admin);
    let stored = client.count(admin, &json!({})).await.unwrap();
    assert_eq!(stored, 1 + TRIES as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decompression_bomb_is_refused_early() {
    // Eight times what a batch may hold, sent in few bytes.
    let bomb = Compression::Best.compress(&vec![0; 256 << 20]);
    assert!(bomb.len() < 1 << 20);
    expect_refused(bomb, 413, "PAYLOAD_TOO_LARGE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_records_are_refused() {
    let mut raw = Encoder::new().finish();
    for _ in 0..1_000_000 {
        raw.extend_from_slice(&[1, 2, 0, 0, 0, 0, 0, 0, 0]);
        raw.extend_from_slice(b"{}");
    }
    expect_refused(Compression::Best.compress(&raw), 422, "VAL_MALFORMED_BATCH").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_lengths_are_refused() {
    let mut raw = encode_batch(&sample()).unwrap();
    // The length of the body, behind magic, version, kind and the header's length.
    raw[13..17].copy_from_slice(&u32::MAX.to_le_bytes());
    expect_refused(Compression::Best.compress(&raw), 422, "VAL_MALFORMED_BATCH").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_time_out_without_blocking_others() {
    let mut backend = TestBackend::start().await.unwrap();
    store(&backend, &sample()).await;
    // Announced together, far more than the collector has room for.
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut client = RawClient::connect(backend.collector.address).await.unwrap();
        let head = format!(
            "POST {INGEST_PATH} HTTP/1.1\r\nhost: collector\r\nauthorization: Bearer {}\r\n\
             content-type: {CONTENT_TYPE}\r\n{BATCH_ID_HEADER}: {}\r\ncontent-length: {}\r\n\r\nDOSS",
            backend.keys.ingest,
            Uuid::now_v7(),
            4 << 20,
        );
        client.send(head).await.unwrap();
        slow.push(client);
    }
    for _ in 0..20 {
        store(&backend, &sample()).await;
    }
    for client in &mut slow {
        let answer = client.read_until("\r\n\r\n").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    let peak = backend.collector.process().unwrap().read_memory("VmHWM");
    assert!(peak.unwrap() <= MAX_MEMORY);
}
