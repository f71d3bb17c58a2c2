//! Whatever is recorded, an answer is JSON that every strict parser reads, and a body comes back byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use dossier_tests::client::CollectorResponse;
use dossier_tests::echo_service::EchoService;
use dossier_tests::paths;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::Call;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use self::corpus::{OddBody, odd_bodies};
use crate::configuration::{configure, everything, route_to_service};
use crate::support::{TIMEOUT, text};

mod corpus;

const CONCURRENCY: usize = 8;

/// Answers as files, which parsers read.
struct Answers {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

impl Answers {
    fn add(&mut self, answer: &CollectorResponse) {
        assert_eq!(answer.status, 200, "{}", answer.json);
        // serde_json is the strict parser of this language.
        let parsed: Result<Value, _> = serde_json::from_slice(&answer.bytes);
        parsed.unwrap();
        let path = self.folder.join(format!("{}.json", self.files.len()));
        std::fs::write(&path, &answer.bytes).unwrap();
        self.files.push(path);
    }

    fn expect_readable(&self, program: &Path, arguments: &[&str]) {
        let read = Command::new(program)
            .args(arguments)
            .args(&self.files)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&read.stdout);
        let faults = String::from_utf8_lossy(&read.stderr);
        assert!(
            read.status.success(),
            "{}: {said}{faults}",
            program.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_parses_strictly() {
    let echo_service = EchoService::start().await.unwrap();
    let capture = everything(&json!({"storage_type": "both"}));
    let stack = TestStack::start_with(|plan| {
        let unlimited = ("DOSSIER_RATE_LIMIT".to_owned(), "0".to_owned());
        plan.collector_environment.push(unlimited);
        route_to_service(&mut plan.bootstrap, echo_service.address)?;
        configure(&mut plan.bootstrap, &capture)
    });
    let stack = stack.await.unwrap();
    let bodies = odd_bodies();
    assert!(bodies.len() >= 200, "{}", bodies.len());
    stream::iter(bodies.iter().enumerate())
        .for_each_concurrent(CONCURRENCY, |(number, body)| send(&stack, number, body))
        .await;

    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let count = 2 * bodies.len() as u64;
    client
        .wait_for_entries(alice, &json!({}), count, TIMEOUT)
        .await
        .unwrap();
    let folder = stack.folder().join("answers");
    std::fs::create_dir(&folder).unwrap();
    let mut answers = Answers {
        folder,
        files: Vec::new(),
    };
    let entries = read_lists(&stack, &mut answers).await;
    assert_eq!(entries.len() as u64, count);
    let fetched: Vec<_> = stream::iter(entries.values())
        .map(|entry| read_one(&stack, entry, &bodies))
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    for answer in fetched.iter().flatten() {
        answers.add(answer);
    }
    assert!(answers.files.len() > 2 * entries.len());
    answers.expect_readable(&paths::find_jq().unwrap(), &["-e", "type"]);
    let script = paths::find_repository()
        .unwrap()
        .join("tests/tests/end_to_end/odd_bodies/read_strictly.py");
    answers.expect_readable(&paths::find_python().unwrap(), &[script.to_str().unwrap()]);
}

/// Sends a body, which Envoy must hand on and back unchanged.
async fn send(stack: &TestStack, number: usize, body: &OddBody) {
    let mut call = Call::new(Method::POST, "alice", &format!("/{number}"));
    call.body = Some((body.content_type.to_owned(), body.bytes.clone()));
    let encoding = body
        .encoding
        .map(|it| ("content-encoding".to_owned(), it.to_owned()));
    call.headers.extend(encoding);
    let reply = stack.traffic.send(&call).await.unwrap();
    assert_eq!((reply.status, &reply.body), (200, &body.bytes), "{number}");
}

/// All pages of entries and sessions; the entries by id.
async fn read_lists(stack: &TestStack, answers: &mut Answers) -> BTreeMap<String, Value> {
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let mut entries = BTreeMap::new();
    for page in client.query_pages(alice, &json!({})).await.unwrap() {
        answers.add(&page);
        for item in page.items() {
            entries.insert(item["id"].to_string(), item.clone());
        }
    }
    let sessions = client.get("/storage/sessions", Some(alice)).await.unwrap();
    answers.add(&sessions);
    let question = json!({"entries_per_session": 100});
    let sessions = client
        .post("/storage/sessions/query", Some(alice), &question)
        .await
        .unwrap();
    answers.add(&sessions);
    entries
}

/// The entry and its exchange, once its body has come back as it was sent.
async fn read_one(stack: &TestStack, entry: &Value, bodies: &[OddBody]) -> [CollectorResponse; 2] {
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let path = format!("/storage/entries/{}", entry["id"]);
    let body = client
        .get(&format!("{path}/body"), Some(alice))
        .await
        .unwrap();
    let number: usize = text(entry, "path")[1..].parse().unwrap();
    assert_eq!(body.status, 200, "{entry}");
    assert!(body.bytes == bodies[number].bytes, "{entry}");
    let exchange = format!("/storage/exchanges/{}", text(entry, "exchange_id"));
    [
        client.get(&path, Some(alice)).await.unwrap(),
        client.get(&exchange, Some(alice)).await.unwrap(),
    ]
}
