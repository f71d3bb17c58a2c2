//! A collector's memory has a bound, however much comes and whether Postgres takes it or not.

use dossier_tests::clock;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::stack::Backend;
use dossier_tests::testing::TestBackend;
use dossier_tests::upstream::{BodyKind, generate_body};
use dossier_tests::wait;
use dossier_wire::Compression;
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use crate::spool::{Scene, expect_spooled};
use crate::support::{MOST_MEMORY, SOON, metric};

/// A batch as it is sent, again and again under other ids.
struct Flood {
    batches: u64,
    senders: usize,
    encoding: Option<&'static str>,
    bytes: Vec<u8>,
}

impl Flood {
    /// Batches as filters send them: a megabyte of JSON.
    fn usual(batches: u64) -> Self {
        Self {
            batches,
            senders: 16,
            encoding: Some("deflate"),
            bytes: Compression::Fast.compress(&of(BodyKind::Json, 250, 4 << 10)),
        }
    }

    /// The largest that may be sent, of bytes that do not compress.
    fn largest(batches: u64) -> Self {
        let bytes = of(BodyKind::Binary, 250, 16_000);
        assert!(bytes.len() > 4_000_000 && bytes.len() < 4 << 20);
        Self {
            batches,
            senders: 16,
            encoding: None,
            bytes,
        }
    }

    /// The largest that they may inflate to.
    fn most_inflating(batches: u64) -> Self {
        let raw = of(BodyKind::Json, 7_000, 4 << 10);
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
    async fn pour(&self, backend: &Backend) {
        let sending = stream::iter(0..self.batches).map(|_| async {
            let id = Uuid::now_v7();
            let key = Some(backend.keys.ingest.as_str());
            let taken = wait::until("a batch to be taken", 4 * SOON, async || {
                let bytes = self.bytes.clone();
                let sent = backend.client.ingest_bytes(key, id, self.encoding, bytes);
                let answer = sent.await.map_err(|error| error.to_string())?;
                match (answer.status, answer.json["data"]["rejected"].as_u64()) {
                    (200, Some(0)) => Ok(()),
                    (status, _) => Err(format!("{status}: {}", answer.json)),
                }
            });
            taken.await.unwrap();
        });
        sending
            .buffer_unordered(self.senders)
            .collect::<Vec<()>>()
            .await;
    }
}

/// A batch of requests, all with the same body.
fn of(kind: BodyKind, records: usize, body_bytes: usize) -> Vec<u8> {
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

fn expect_small(backend: &mut Backend, when: &str) {
    let process = backend.collector.process().unwrap();
    let peak = process.read_memory("VmHWM").unwrap();
    eprintln!("most memory {when}: {} MiB", peak >> 20);
    assert!(peak <= MOST_MEMORY, "{peak} bytes {when}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_at_full_ingest() {
    let mut backend = TestBackend::start().await.unwrap();
    Flood::usual(200).pour(&backend).await;
    expect_small(&mut backend, "at full ingest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_with_largest_batches() {
    let mut backend = TestBackend::start().await.unwrap();
    Flood::largest(48).pour(&backend).await;
    expect_small(&mut backend, "in a flood of 4 MiB batches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_with_highest_compression_ratio() {
    let mut backend = TestBackend::start().await.unwrap();
    Flood::most_inflating(6).pour(&backend).await;
    expect_small(&mut backend, "in a flood of batches that inflate to 32 MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_during_and_after_postgres_outage() {
    let mut scene = Scene::start(|_| ()).await;
    scene.database.stop();
    expect_spooled(&scene.backend, 1).await;
    let floods = [
        Flood::usual(60),
        Flood::largest(12),
        Flood::most_inflating(2),
    ];
    let mut batches = 1;
    for flood in &floods {
        flood.pour(&scene.backend).await;
        batches += flood.batches;
    }
    expect_small(&mut scene.backend, "while Postgres is away");
    scene.database.restart().await.unwrap();
    let back = wait::until("the batches to be stored", 4 * SOON, async || {
        let counted = metric(&scene.backend, "dossier_spool_replayed_batches_total").await;
        match counted.map_err(|error| error.to_string())? {
            counted if counted >= batches => Ok(()),
            counted => Err(format!("{counted} of {batches} batches")),
        }
    });
    back.await.unwrap();
    expect_small(&mut scene.backend, "with the replay");
}
