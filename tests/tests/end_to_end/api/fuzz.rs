//! Requests that Schemathesis makes from the API's own description, thrown at a collector with some
//! data. `make fuzz-api` runs it; it takes too long for every day.

use std::path::Path;
use std::time::Duration;

use dossier_tests::clock::minutes_ago;
use dossier_tests::paths;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

use super::extremes::expect_no_panic;
use crate::support::store;

const CHECKS: &str = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance";
/// For what Schemathesis does before and after its own time.
const GRACE: Duration = Duration::from_mins(2);

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

/// The exchange that the document has as an example: else requests would hardly ever find one.
async fn read_example_id(backend: &TestBackend) -> Uuid {
    let document = backend.client.get("/openapi.json", None).await.unwrap();
    let parameter = "/paths/~1storage~1exchanges~1{exchange_id}/get/parameters/0/example";
    let example = document.json.pointer(parameter).and_then(Value::as_str);
    example.unwrap().parse().unwrap()
}

/// Exchanges with bodies of several kinds, the first under this id.
fn generate_samples(first: Uuid) -> Vec<Sample> {
    let bodies = [
        "{\"a\": 1}",
        "[]",
        "text",
        "",
        "\u{0}\u{1}",
        "{\"b\": {\"c\": \"ü\"}}",
    ];
    let samples = bodies.iter().zip(1..).flat_map(|(body, number)| {
        let endpoint = format!("/api/v{number}/x");
        let request = Sample::request("alice", &endpoint, minutes_ago(number), body);
        let mut request = request.with_session_timeout(30);
        if number == 1 {
            request.record.exchange_id = first;
        }
        let response = request.response(body);
        [request, response]
    });
    samples.collect()
}

/// Runs it with a key of this role.
async fn run_schemathesis(backend: &TestBackend, role: &str, key: &str, seconds: u64) {
    let settings = paths::find_repository().unwrap().join("tests/fuzz-api");
    let collector = format!("http://{}", backend.collector.address);
    let program = std::env::var_os("SCHEMATHESIS_BIN").expect("make fuzz-api sets it");
    let mut command = Command::new(Path::new(&program));
    command
        .current_dir(backend.folder())
        .env("PYTHONPATH", &settings)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .arg("--config-file")
        .arg(settings.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{collector}/openapi.json"))
        .args(["--url", &collector, "--checks", CHECKS])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        .args(["--max-time", &seconds.to_string()])
        .args([
            "--max-examples",
            &setting("DOSSIER_FUZZ_CASES", 200).to_string(),
        ])
        .args(["--seed", &setting("DOSSIER_FUZZ_SEED", 1).to_string()])
        .args([
            "--continue-on-failure",
            "--no-color",
            "--suppress-health-check",
            "all",
        ])
        .kill_on_drop(true);
    println!("fuzz-api: the key of {role}, at most {seconds} s");
    let limit = Duration::from_secs(seconds) + GRACE;
    let status = timeout(limit, command.status()).await.unwrap().unwrap();
    assert!(status.success(), "with the key of {role}: see above");
}

#[ignore = "takes ten minutes: make fuzz-api runs it"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_conform_to_openapi() {
    let backend = TestBackend::start_with(|plan| {
        // With a limit, nearly all would be answered 429.
        let unlimited = ("DOSSIER_RATE_LIMIT".to_owned(), "0".to_owned());
        plan.collector_environment.push(unlimited);
        Ok(())
    });
    let backend = backend.await.unwrap();
    let seconds = setting("DOSSIER_FUZZ_SECONDS", 600) / 2;
    let example = read_example_id(&backend).await;
    for role in ["alice", "admin"] {
        store(&backend, &generate_samples(example)).await;
        let people = &backend.keys.users;
        let key = if role == "admin" {
            &people.admin
        } else {
            &people.alice
        };
        run_schemathesis(&backend, role, key, seconds).await;
        expect_no_panic(&backend);
    }
}
