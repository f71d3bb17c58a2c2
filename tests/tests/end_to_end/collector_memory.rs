//! A collector's memory has a bound, however much comes and whether Postgres takes it or not.

use dossier_tests::clock;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::stack::Backend;
use dossier_tests::testing::TestBackend;
use dossier_tests::upstream::{BodyKind, generate_body};
use dossier_tests::wait;
use dossier_wire::Compression;
use futures_util::{StreamExt, stream};
use serde_json::json;
use uuid::Uuid;

use crate::spool::{SpoolHarness, expect_spooled};
use crate::support::{MAX_MEMORY, TIMEOUT, metric, store};

/// A batch as it is sent, again and again under other ids.
struct Flood {
    batches: u64,
    senders: usize,
    encoding: Option<&'static str>,
    bytes: Vec<u8>,
}

impl Flood {
    /// Batches as filters send them: a megabyte of JSON.
    fn typical(batches: u64) -> Self {
        Self {
            batches,
            senders: 16,
            encoding: Some("deflate"),
            bytes: Compression::Fast.compress(&encode_requests(BodyKind::Json, 250, 4 << 10)),
        }
    }

    /// The largest that may be sent, of bytes that do not compress.
    fn largest(batches: u64) -> Self {
        let bytes = encode_requests(BodyKind::Binary, 250, 16_000);
        assert!(bytes.len() > 4_000_000 && bytes.len() < 4 << 20);
        Self {
            batches,
            senders: 16,
            encoding: None,
            bytes,
        }
    }

    /// The largest that they may inflate to.
    fn max_inflating(batches: u64) -> Self {
        let raw = encode_requests(BodyKind::Json, 7_000, 4 << 10);
        assert!(raw.len() > 30_000_000 && raw.len() < 32 << 20);
        let bytes = Compression::Fast.compress(&raw);
        assert!(bytes.len() < 4 << 20);
        Self {
            batches,
            // Two would do: there is room for one, and who has to wait has inflated much in vain.
            senders: 4,
            encoding: Some("deflate"),
            bytes,
        }
    }

    /// Sends them from many senders, each as often as it takes.
    async fn send(&self, backend: &Backend) {
        let sending = stream::iter(0..self.batches).map(|_| async {
            let id = Uuid::now_v7();
            let key = Some(backend.keys.ingest.as_str());
            let accepted = wait::until("a batch to be accepted", 4 * TIMEOUT, async || {
                let bytes = self.bytes.clone();
                let sent = backend.client.ingest_bytes(key, id, self.encoding, bytes);
                let answer = sent.await.map_err(|error| error.to_string())?;
                match (answer.status, answer.json["data"]["rejected"].as_u64()) {
                    (200, Some(0)) => Ok(()),
                    (status, _) => Err(format!("{status}: {}", answer.json)),
                }
            });
            accepted.await.unwrap();
        });
        sending
            .buffer_unordered(self.senders)
            .collect::<Vec<()>>()
            .await;
    }
}

/// A batch of requests, all with the same body.
fn encode_requests(kind: BodyKind, records: usize, body_bytes: usize) -> Vec<u8> {
    let body = generate_body(kind, body_bytes, 1);
    let at = clock::now_micros();
    let sample = |_| {
        let mut sample = Sample::request("alice", "/api/flood", at, "");
        sample.record.body_size = body.len() as u64;
        sample.body.clone_from(&body);
        sample
    };
    let samples: Vec<_> = (0..records).map(sample).collect();
    encode_batch(&samples).unwrap()
}

fn expect_bounded_memory(backend: &mut Backend, when: &str) {
    let process = backend.collector.process().unwrap();
    let peak = process.read_memory("VmHWM").unwrap();
    eprintln!("peak memory {when}: {} MiB", peak >> 20);
    assert!(peak <= MAX_MEMORY, "{peak} bytes {when}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_at_full_ingest() {
    let mut backend = TestBackend::start().await.unwrap();
    Flood::typical(200).send(&backend).await;
    expect_bounded_memory(&mut backend, "at full ingest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_with_largest_batches() {
    let mut backend = TestBackend::start().await.unwrap();
    Flood::largest(48).send(&backend).await;
    expect_bounded_memory(&mut backend, "in a flood of 4 MiB batches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_with_highest_compression_ratio() {
    let mut backend = TestBackend::start().await.unwrap();
    Flood::max_inflating(6).send(&backend).await;
    expect_bounded_memory(&mut backend, "in a flood of batches that inflate to 32 MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_during_and_after_postgres_outage() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    harness.database.stop();
    expect_spooled(&harness.backend, 1).await;
    let floods = [
        Flood::typical(60),
        Flood::largest(12),
        Flood::max_inflating(2),
    ];
    let mut batches = 1;
    for flood in &floods {
        flood.send(&harness.backend).await;
        batches += flood.batches;
    }
    expect_bounded_memory(&mut harness.backend, "while Postgres is away");
    harness.database.restart().await.unwrap();
    let back = wait::until("the batches to be stored", 4 * TIMEOUT, async || {
        let counted = metric(&harness.backend, "dossier_spool_replayed_batches_total").await;
        match counted.map_err(|error| error.to_string())? {
            counted if counted >= batches => Ok(()),
            counted => Err(format!("{counted} of {batches} batches")),
        }
    });
    back.await.unwrap();
    expect_bounded_memory(&mut harness.backend, "with the replay");
}

/// Bodies of some KiB that inflate to 8 MiB, of which each byte is several in an answer.
fn amplifying_samples() -> Vec<Sample> {
    const INFLATED: usize = 8 << 20;
    let of_json = |unit: &str| format!("[\"{}\"]", unit.repeat(INFLATED / unit.len() - 2));
    let bodies = [
        ("text/plain", vec![0; INFLATED]),
        ("text/plain", vec![b'"'; INFLATED]),
        ("text/plain; charset=iso-8859-1", vec![0xff; INFLATED]),
        ("text/plain", "\u{7f}\u{1}".repeat(INFLATED / 2).into()),
        ("text/html", "\r\n\t\\".repeat(INFLATED / 4).into()),
        ("application/octet-stream", vec![0xff; INFLATED]),
        ("application/json", of_json("\\u0000").into()),
        ("application/json", of_json("\\ud83d").into()),
        (
            "application/x-ndjson",
            "1e999\n".repeat(INFLATED / 6).into(),
        ),
        (
            "text/event-stream",
            "data:\u{1}\n\n".repeat(INFLATED / 8).into(),
        ),
        ("application/grpc", vec![0; INFLATED]),
    ];
    let samples = bodies.into_iter().map(|(content_type, body)| {
        let mut sample = Sample::request("alice", "/api/escapes", clock::minutes_ago(1), "");
        sample.record.content_type = Some(content_type.into());
        sample.record.content_encoding = Some("deflate".into());
        sample.body = miniz_oxide::deflate::compress_to_vec_zlib(&body, 9);
        sample.record.body_size = sample.body.len() as u64;
        sample
    });
    samples
        .flat_map(|sample| [sample.clone(), sample])
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_in_flood_of_amplified_reads() {
    const READS: usize = 12;
    const READERS: usize = 12;
    const LARGEST_ANSWER: usize = 20 << 20;
    let mut backend = TestBackend::start().await.unwrap();
    let samples = amplifying_samples();
    let exchanges: Vec<Uuid> = samples.iter().map(|it| it.record.exchange_id).collect();
    store(&backend, &samples).await;
    let reading = stream::iter(0..READS).map(|number| {
        let (client, alice) = (&backend.client, &backend.keys.users.alice);
        let exchange = exchanges[number / 2 % exchanges.len()];
        async move {
            // A page of all, or of one alone.
            let question = match number % 2 {
                0 => json!({"page_size": 100}),
                _ => json!({"exchange_id": exchange}),
            };
            let answered = wait::until("a query to be answered", 4 * TIMEOUT, async || {
                let answer = client.query(alice, &question).await;
                let answer = answer.map_err(|error| error.to_string())?;
                match answer.status {
                    200 => Ok(answer.bytes.len()),
                    status => Err(status.to_string()),
                }
            });
            answered.await.unwrap()
        }
    });
    let sizes: Vec<_> = reading.buffer_unordered(READERS).collect().await;
    let largest = sizes.into_iter().max().unwrap();
    assert!(largest <= LARGEST_ANSWER, "an answer of {largest} bytes");
    expect_bounded_memory(&mut backend, "in a flood of reads");
}
