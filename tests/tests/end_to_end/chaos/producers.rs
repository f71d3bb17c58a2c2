//! Producers that are not Envoy, with a clock that is set back and forth. They send a batch again, to
//! either collector, until it is acknowledged, and sometimes after that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dossier_tests::HarnessError;
use dossier_tests::client::CollectorClient;
use dossier_tests::clock;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::upstream::{BodyKind, generate_body};
use dossier_tests::wait;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::record::{Expected, Session};
use super::{FAULT_TIMEOUT, SESSION_MINUTES};

const PRODUCERS: usize = 2;
const PREFIX: &str = "/api/produced/";
/// Some of them send through Envoy too.
const USERS: [&str; 3] = ["alice", "dave", "erin"];
const MAX_SAMPLES: usize = 12;
const MAX_BODY: usize = 8 << 10;

/// What was sent, by its path, once it is all acknowledged.
pub type ProducedRecords = BTreeMap<String, Expected>;

/// Running producers.
pub struct Producers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<ProducedRecords>>,
}

struct Shared {
    key: String,
    clients: Vec<CollectorClient>,
    stopping: AtomicBool,
    /// How many minutes the clock is ahead.
    ahead: AtomicI64,
    acknowledged: AtomicU64,
    repeated: AtomicU64,
}

impl Producers {
    /// Starts them, on the way to these addresses.
    pub fn start(collectors: &[SocketAddr], key: &str, seed: u64) -> Self {
        let clients = collectors
            .iter()
            .map(|it| CollectorClient::new(*it).unwrap());
        let shared = Arc::new(Shared {
            key: key.to_owned(),
            clients: clients.collect(),
            stopping: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
            acknowledged: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        });
        let producer = |number: usize| {
            let rng = SmallRng::seed_from_u64(seed.wrapping_add(number as u64));
            tokio::spawn(produce(Arc::clone(&shared), number, rng))
        };
        let tasks = (0..PRODUCERS).map(producer).collect();
        Self { shared, tasks }
    }

    /// Sets their clock so many minutes ahead, and waits until a batch with that time is acknowledged.
    pub async fn set_clock(&self, minutes: i64) {
        self.shared.ahead.store(minutes, Ordering::Relaxed);
        // One of each may have been made before.
        let goal = self.acknowledged() + 1 + PRODUCERS as u64;
        let waited = wait::until("batches to be acknowledged", FAULT_TIMEOUT, async || {
            let now = self.acknowledged();
            (now >= goal)
                .then_some(())
                .ok_or_else(|| format!("{now} of {goal}"))
        });
        waited.await.unwrap();
    }

    /// Batches that are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Batches that were sent once more although they were acknowledged.
    pub fn repeated(&self) -> u64 {
        self.shared.repeated.load(Ordering::Relaxed)
    }

    /// Returns when the last batch of each is acknowledged.
    pub async fn stop(self) -> ProducedRecords {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let mut all = ProducedRecords::new();
        for task in self.tasks {
            all.append(&mut task.await.unwrap());
        }
        all
    }
}

async fn produce(shared: Arc<Shared>, producer: usize, mut rng: SmallRng) -> ProducedRecords {
    let mut records = ProducedRecords::new();
    while !shared.stopping.load(Ordering::Relaxed) {
        let ahead = shared.ahead.load(Ordering::Relaxed);
        let mut samples = Vec::new();
        for _ in 0..rng.random_range(1..=MAX_SAMPLES) {
            let path = format!("{PREFIX}{producer}/{}", records.len());
            let expected = expected(&mut rng);
            samples.extend(halves(&path, &expected, ahead));
            records.insert(path, expected);
        }
        shared
            .deliver(&encode_batch(&samples).unwrap(), &mut rng)
            .await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..150))).await;
    }
    records
}

fn expected(rng: &mut SmallRng) -> Expected {
    let mut body = || {
        let bytes = generate_body(BodyKind::Json, rng.random_range(2..MAX_BODY), rng.random());
        (BodyKind::Json.content_type().to_owned(), bytes)
    };
    Expected {
        request: body(),
        response: Some(body()),
        user: USERS[rng.random_range(0..USERS.len())].to_owned(),
        session: match rng.random_range(0..3) {
            0 => Session::Named(format!("job {}", rng.random_range(0..3))),
            _ => Session::ByTime,
        },
    }
}

fn halves(path: &str, expected: &Expected, ahead: i64) -> Vec<Sample> {
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    let at = clock::now_micros().saturating_add_signed(ahead * 60_000_000);
    let request = Sample::request(&expected.user, path, at, &text(&expected.request.1));
    let request = match &expected.session {
        Session::Named(name) => request.with_session_id(name),
        Session::ByTime => request.with_session_timeout(SESSION_MINUTES),
    };
    let response = expected.response.iter();
    let response: Vec<_> = response
        .map(|(_, body)| request.response(&text(body)))
        .collect();
    [vec![request], response].concat()
}

impl Shared {
    async fn deliver(&self, raw: &[u8], rng: &mut SmallRng) {
        let id = Uuid::now_v7();
        while !self.send(id, raw, rng).await {
            tokio::time::sleep(Duration::from_millis(rng.random_range(50..500))).await;
        }
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        // As after an answer that was lost.
        if rng.random_ratio(1, 4) && self.send(id, raw, rng).await {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it was acknowledged.
    async fn send(&self, id: Uuid, raw: &[u8], rng: &mut SmallRng) -> bool {
        let client = &self.clients[rng.random_range(0..self.clients.len())];
        match client.ingest(Some(&self.key), id, raw.to_vec()).await {
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.json["data"]["rejected"], 0, "{}", answer.json);
                true
            }
            Ok(answer) => {
                // What means "later". All else would be a fault.
                let later = matches!(answer.status, 408 | 429 | 503);
                assert!(later, "{}: {}", answer.status, answer.json);
                false
            }
            Err(HarnessError::Http { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
