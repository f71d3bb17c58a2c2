//! Postgres is away, or slow: batches wait on the collector's disk, and each is stored once when it is
//! back. What the disk does not take is not acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{Context, SHA256};
use dossier_tests::client::{CollectorClient, CollectorResponse};
use dossier_tests::clock;
use dossier_tests::collector::{Collector, CollectorPlan, find_listening_address};
use dossier_tests::database::Database;
use dossier_tests::load::LoadGenerator;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::stack::{Backend, StackPlan};
use dossier_tests::testing::{TestBackend, TestFolder, TestStack};
use dossier_tests::upstream::{BodyKind, echo, generate_body};
use dossier_tests::wait;
use serde_json::json;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::support::{TIMEOUT, metric, text};

/// A collector whose Postgres a test can take away.
pub struct SpoolHarness {
    pub backend: TestBackend,
    pub database: Database,
    _folder: TestFolder,
}

impl SpoolHarness {
    pub async fn start(change: impl FnOnce(&mut StackPlan)) -> Self {
        let folder = TestFolder::create().unwrap();
        let database = Database::start(folder.path()).await.unwrap();
        let backend = TestBackend::start_with(|plan| {
            plan.database_url = Some(database.url());
            change(plan);
            Ok(())
        });
        let backend = backend.await.unwrap();
        // The collector knows the key from now on.
        let answer = send(&backend, 0, 10).await;
        assert_eq!(
            (answer.status, &answer.json["data"]["spooled"]),
            (200, &json!(false))
        );
        Self {
            backend,
            database,
            _folder: folder,
        }
    }

    fn spool(&self) -> PathBuf {
        self.backend.collector.data().join("spool")
    }

    fn batch_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.spool()).unwrap();
        let mut files: Vec<_> = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "batch"))
            .collect();
        files.sort();
        files
    }

    /// Waits until the spool is empty, and checks that each of these is stored once and whole.
    async fn expect_stored(&self, expected: &[(u64, usize)]) {
        expect_empty_spool(&self.backend).await;
        let (client, admin) = (&self.backend.client, &self.backend.keys.users.admin);
        let pages = client.query_pages(admin, &json!({})).await.unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for page in &pages {
            for (entry, raw) in page.items().iter().zip(page.raw_data()) {
                let path = text(entry, "path").to_owned();
                found.entry(path).or_default().push(raw);
            }
        }
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(number, size)| (path(*number), vec![body(*number, *size)]))
            .collect();
        assert!(found == expected, "{} of {}", found.len(), expected.len());
    }
}

fn path(number: u64) -> String {
    format!("/api/number/{number}")
}

fn body(number: u64, size: usize) -> String {
    String::from_utf8(generate_body(BodyKind::Json, size, number)).unwrap()
}

async fn send(backend: &Backend, number: u64, size: usize) -> CollectorResponse {
    let body = body(number, size);
    let sample = Sample::request("alice", &path(number), clock::now_micros(), &body);
    let raw = encode_batch(&[sample]).unwrap();
    let key = Some(backend.keys.ingest.as_str());
    backend
        .client
        .ingest(key, Uuid::now_v7(), raw)
        .await
        .unwrap()
}

pub async fn expect_spooled(backend: &Backend, number: u64) {
    let answer = send(backend, number, 100).await;
    let spooled = &answer.json["data"]["spooled"];
    assert_eq!(
        (answer.status, spooled),
        (200, &json!(true)),
        "{}",
        answer.json
    );
}

fn expect_deferred(answer: &CollectorResponse) {
    assert_eq!(
        (answer.status, answer.error_code()),
        (503, "STORAGE_UNAVAILABLE"),
        "{}",
        answer.json
    );
    assert!(answer.retry_after.is_some());
}

pub async fn expect_empty_spool(backend: &Backend) {
    let waited = wait::until("the spool to be empty", TIMEOUT, async || {
        let waiting = metric(backend, "dossier_spool_batches").await;
        match waiting.map_err(|error| error.to_string())? {
            0 => Ok(()),
            waiting => Err(format!("{waiting} batches")),
        }
    });
    waited.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_during_outage_is_stored_once() {
    let folder = TestFolder::create().unwrap();
    let mut database = Database::start(folder.path()).await.unwrap();
    let stack = TestStack::start_with(|plan| {
        plan.database_url = Some(database.url());
        Ok(())
    });
    let stack = stack.await.unwrap();
    let (backend, alice) = (&stack.backend, &stack.backend.keys.users.alice);
    let load = LoadGenerator::start(&stack.traffic, 8);
    load.wait_for_answers(100, TIMEOUT).await.unwrap();
    backend
        .client
        .wait_for_entries(alice, &json!({}), 20, TIMEOUT)
        .await
        .unwrap();
    database.stop();
    let waited = wait::until("batches in the spool", TIMEOUT, async || {
        let written = metric(backend, "dossier_spool_written_batches_total").await;
        match written.map_err(|error| error.to_string())? {
            written if written >= 5 => Ok(()),
            written => Err(format!("{written} batches")),
        }
    });
    waited.await.unwrap();
    let ready = backend.client.get("/readyz", None).await.unwrap();
    assert_eq!(
        (ready.status, &ready.json["data"]["postgres"]),
        (200, &json!("away"))
    );
    load.wait_for_answers(200, TIMEOUT).await.unwrap();
    database.restart().await.unwrap();
    load.wait_for_answers(100, TIMEOUT).await.unwrap();
    let outcome = load.stop().await;
    assert_eq!(outcome.failed, Vec::<String>::new());
    stack.envoy.wait_for_empty_outbox(TIMEOUT).await.unwrap();
    expect_empty_spool(backend).await;

    let mut expected = BTreeMap::new();
    for path in &outcome.answered {
        let mut numbers = path.rsplit('/').map(|it| it.parse::<u64>().unwrap_or(0));
        let (number, client) = (numbers.next().unwrap(), numbers.next().unwrap());
        let body = json!({"client": client, "number": number}).to_string();
        let answer = String::from_utf8(echo("", body.as_bytes())).unwrap();
        expected.insert((path.clone(), "request".to_owned()), body);
        expected.insert((path.clone(), "response".to_owned()), answer);
    }
    let pages = backend.client.query_pages(alice, &json!({})).await.unwrap();
    let mut found = BTreeMap::new();
    for page in &pages {
        for (entry, raw) in page.items().iter().zip(page.raw_data()) {
            let half = (
                text(entry, "path").to_owned(),
                text(entry, "type").to_owned(),
            );
            assert!(found.insert(half, raw).is_none(), "twice: {entry}");
        }
    }
    assert!(
        found == expected,
        "{} halves are stored, {} were recorded",
        found.len(),
        expected.len()
    );
    let lost = metric(backend, "dossier_gap_records_total").await.unwrap();
    assert_eq!(lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spool_survives_kill_and_isolates_damaged_files() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    harness.database.stop();
    for number in 1..=20 {
        expect_spooled(&harness.backend, number).await;
    }
    harness.backend.collector.kill();
    let files = harness.batch_files();
    assert_eq!(files.len(), 20);
    let mut damaged = fs::read(&files[4]).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&files[4], damaged).unwrap();
    // As a kill in the middle of a write leaves it.
    fs::write(harness.spool().join("1-x.batch.unfinished"), "half").unwrap();

    harness.database.restart().await.unwrap();
    harness.backend.restart().await.unwrap();
    let expected: Vec<_> = (0..=20)
        .filter(|number| *number != 5)
        .map(|number| (number, if number == 0 { 10 } else { 100 }))
        .collect();
    harness.expect_stored(&expected).await;
    let aside = harness.spool().join("damaged");
    assert!(aside.join(files[4].file_name().unwrap()).is_file());
    let counted = metric(&harness.backend, "dossier_spool_damaged_batches_total").await;
    assert_eq!(counted.unwrap(), 1);
    let process = harness.backend.collector.process().unwrap();
    assert!(process.log().text().contains("a spool file is damaged"));
    let output = harness.backend.collector.run(&["doctor"]).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.contains("warn  spool"), "{}", output.stdout);
    assert_eq!(
        fs::read_dir(harness.spool()).unwrap().count(),
        3,
        "lock, keys, damaged"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_spool_defers_batches() {
    const SIZE: usize = 500_000;
    let mut harness = SpoolHarness::start(|plan| {
        let bound = ("DOSSIER_SPOOL_MAX_BYTES".into(), "8388608".into());
        plan.collector_environment.push(bound);
    })
    .await;
    harness.database.stop();
    let mut expected = vec![(0, 10)];
    let full = loop {
        let number = expected.len() as u64;
        let answer = send(&harness.backend, number, SIZE).await;
        if answer.status != 200 {
            break answer;
        }
        expected.push((number, SIZE));
        assert!(expected.len() < 1000, "it never gets full");
    };
    expect_deferred(&full);
    assert!(expected.len() > 3);
    let on_disk: u64 = harness
        .batch_files()
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(on_disk <= 8 << 20, "{on_disk}");

    harness.database.restart().await.unwrap();
    expect_empty_spool(&harness.backend).await;
    let number = expected.len() as u64;
    assert_eq!(send(&harness.backend, number, SIZE).await.status, 200);
    expected.push((number, SIZE));
    harness.expect_stored(&expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_defers_batches_until_writable() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    harness.database.stop();
    expect_spooled(&harness.backend, 1).await;
    let pid = harness.backend.collector.process().unwrap().id();
    limit_files(pid, "40");
    expect_deferred(&send(&harness.backend, 2, 100).await);
    let ready = harness.backend.client.get("/readyz", None).await.unwrap();
    assert_eq!(ready.status, 503, "{}", ready.json);
    assert_eq!(harness.batch_files().len(), 1, "nothing is left of it");
    limit_files(pid, "unlimited");
    expect_spooled(&harness.backend, 3).await;
    harness.database.restart().await.unwrap();
    harness.expect_stored(&[(0, 10), (1, 100), (3, 100)]).await;
}

/// The longest file that a process may write. Beyond it a write fails as on a full disk; this needs no
/// right to mount one.
fn limit_files(pid: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(set.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_write_is_spooled() {
    let harness = SpoolHarness::start(|_| ()).await;
    let mut other = PgConnection::connect(&harness.database.url())
        .await
        .unwrap();
    sqlx::raw_sql("begin; lock table ingest_ledger in access exclusive mode")
        .execute(&mut other)
        .await
        .unwrap();
    expect_spooled(&harness.backend, 1).await;
    expect_spooled(&harness.backend, 2).await;
    other.close().await.unwrap();
    let expected = [(0, 10), (1, 100), (2, 100)];
    harness.expect_stored(&expected).await;
    let answer = send(&harness.backend, 3, 100).await;
    assert_eq!(answer.json["data"]["spooled"], false, "{}", answer.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_batch_is_stored_once() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    let (backend, key) = (&harness.backend, Some(harness.backend.keys.ingest.as_str()));
    let sample = Sample::request("alice", &path(1), clock::now_micros(), &body(1, 100));
    let (id, raw) = (Uuid::now_v7(), encode_batch(&[sample]).unwrap());
    let stored = backend.client.ingest(key, id, raw.clone()).await.unwrap();
    assert_eq!(stored.json["data"]["spooled"], false);
    harness.database.stop();
    for _ in 0..3 {
        // As after an answer that was lost.
        let again = backend.client.ingest(key, id, raw.clone()).await.unwrap();
        assert_eq!(
            (again.status, &again.json["data"]["spooled"]),
            (200, &json!(true))
        );
    }
    assert_eq!(harness.batch_files().len(), 1);
    harness.database.restart().await.unwrap();
    harness.expect_stored(&[(0, 10), (1, 100)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_key_is_refused_during_outage() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    harness.database.stop();
    expect_spooled(&harness.backend, 1).await;
    let unknown = format!("dsk_{}", "A".repeat(43));
    let sample = Sample::request("alice", &path(2), clock::now_micros(), "{}");
    let raw = encode_batch(&[sample]).unwrap();
    for key in [unknown.as_str(), &harness.backend.keys.users.admin] {
        let client = &harness.backend.client;
        let answer = client.ingest(Some(key), Uuid::now_v7(), raw.clone()).await;
        expect_deferred(&answer.unwrap());
    }
    assert_eq!(harness.batch_files().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_without_postgres_spools_batches() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    let unknown = harness
        .backend
        .collector
        .create_key("late", "ingest", "late");
    let unknown = unknown.await.unwrap();
    harness.database.stop();
    expect_spooled(&harness.backend, 1).await;
    for number in 2..4 {
        harness.backend.collector.kill();
        // It is ready for batches: that is what this waits for.
        harness.backend.restart().await.unwrap();
        expect_spooled(&harness.backend, number).await;
    }
    let (client, keys) = (&harness.backend.client, &harness.backend.keys);
    let ready = client.get("/readyz", None).await.unwrap();
    assert_eq!(ready.json["data"]["postgres"], "away", "{}", ready.json);
    expect_deferred(&client.query(&keys.users.alice, &json!({})).await.unwrap());
    let sample = Sample::request("alice", &path(9), clock::now_micros(), "{}");
    let raw = encode_batch(&[sample]).unwrap();
    let answer = client.ingest(Some(&unknown), Uuid::now_v7(), raw).await;
    expect_deferred(&answer.unwrap());

    harness.database.restart().await.unwrap();
    harness
        .expect_stored(&[(0, 10), (1, 100), (2, 100), (3, 100)])
        .await;
    let answer = send(&harness.backend, 4, 100).await;
    assert_eq!(answer.json["data"]["spooled"], false, "{}", answer.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_start_without_postgres_accepts_no_batches() {
    let mut harness = SpoolHarness::start(|_| ()).await;
    let folder = TestFolder::create().unwrap();
    let log = folder.path().join("collector.log");
    let plan = CollectorPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data: folder.path().join("data"),
        log: log.clone(),
        database_url: Some(harness.database.url()),
        environment: Vec::new(),
    };
    harness.database.stop();
    let starting = Collector::start(plan);
    let looking = async {
        let address = wait::until("a collector that is up", TIMEOUT, async || {
            let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
            find_listening_address(&text).ok_or(text)
        });
        let client = CollectorClient::new(address.await.unwrap()).unwrap();
        assert_eq!(client.get("/healthz", None).await.unwrap().status, 200);
        expect_deferred(&client.get("/readyz", None).await.unwrap());
        let key = harness.backend.keys.ingest.as_str();
        let sample = Sample::request("alice", &path(1), clock::now_micros(), "{}");
        let raw = encode_batch(&[sample]).unwrap();
        let answer = client.ingest(Some(key), Uuid::now_v7(), raw).await;
        expect_deferred(&answer.unwrap());
        harness.database.restart().await.unwrap();
    };
    let (mut collector, ()) = tokio::join!(starting, looking);
    let collector = collector.as_mut().unwrap();
    let client = CollectorClient::new(collector.address).unwrap();
    let admin = &harness.backend.keys.users.admin;
    assert_eq!(client.count(admin, &json!({})).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_database_login_ends_collector() {
    let harness = SpoolHarness::start(|_| ()).await;
    let folder = TestFolder::create().unwrap();
    let started = Collector::start(CollectorPlan {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data: folder.path().join("data"),
        log: folder.path().join("collector.log"),
        database_url: Some(harness.database.url().replace("/dossier?", "/elsewhere?")),
        environment: Vec::new(),
    });
    let error = started.await.unwrap_err().to_string();
    assert!(error.contains("\"elsewhere\" does not exist"), "{error}");
}

/// Two spools may hold the same batch, or a file may come back after a crash; and a collector may be
/// started again only when the ledger has let the id go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_older_than_ledger_is_stored_once() {
    let mut harness = SpoolHarness::start(|plan| {
        let days = ("DOSSIER_LEDGER_DAYS".into(), "1".into());
        plan.collector_environment.push(days);
    })
    .await;
    let (client, key) = (
        harness.backend.client.clone(),
        harness.backend.keys.ingest.clone(),
    );
    let days_ago = clock::minutes_ago(2 * 24 * 60);
    let batches: Vec<_> = (1..=2)
        .map(|number| {
            let body = body(number, 100);
            let sample = Sample::request("alice", &path(number), days_ago, &body);
            (Uuid::now_v7(), encode_batch(&[sample]).unwrap())
        })
        .collect();
    let (id, raw) = &batches[0];
    let stored = client.ingest(Some(&key), *id, raw.clone()).await.unwrap();
    assert_eq!(stored.json["data"]["spooled"], false, "{}", stored.json);
    harness.database.stop();
    for (id, raw) in &batches {
        let again = client.ingest(Some(&key), *id, raw.clone()).await.unwrap();
        assert_eq!(again.json["data"]["spooled"], true, "{}", again.json);
    }
    harness.backend.collector.kill();
    for file in harness.batch_files() {
        set_received(&file, days_ago);
    }
    harness.database.restart().await.unwrap();
    let mut other = PgConnection::connect(&harness.database.url())
        .await
        .unwrap();
    let forget = sqlx::query("delete from ingest_ledger");
    forget.execute(&mut other).await.unwrap();
    harness.backend.restart().await.unwrap();
    harness.expect_stored(&[(0, 10), (1, 100), (2, 100)]).await;
}

/// Changes when a batch of the spool was received: a file has magic, id, this time, encoding, and a digest
/// of all that and of the batch, which follows it.
fn set_received(file: &Path, micros: u64) {
    let mut bytes = fs::read(file).unwrap();
    bytes[24..32].copy_from_slice(&micros.to_le_bytes());
    let mut digest = Context::new(&SHA256);
    digest.update(&bytes[..33]);
    digest.update(&bytes[65..]);
    bytes[33..65].copy_from_slice(digest.finish().as_ref());
    fs::write(file, bytes).unwrap();
}
