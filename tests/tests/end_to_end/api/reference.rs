//! `GET /docs` and `GET /openapi.json`: the API as it describes itself, seen by a real browser.

use std::process::Stdio;

use dossier_tests::paths;
use dossier_tests::testing::TestBackend;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::TIMEOUT;

/// What the browser makes of a page, what it complains of, and every address that the page asked for.
struct LoadedPage {
    dom: String,
    complaints: String,
    requests: Vec<String>,
}

/// Opens a page in a browser that has never run before.
async fn visit(backend: &TestBackend, path: &str) -> LoadedPage {
    let profile = backend.folder().join("browser");
    let netlog = backend.folder().join("netlog.json");
    let mut browser = Command::new(paths::find_chromium().unwrap());
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking"])
        .args(["--disable-features=NetworkTimeServiceQuerying"])
        .args(["--disable-component-update", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--log-net-log={}", netlog.display()))
        .arg(format!("http://{}{path}", backend.collector.address))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(TIMEOUT, browser.output()).await.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let netlog = std::fs::read_to_string(netlog).unwrap();
    LoadedPage {
        dom: String::from_utf8(output.stdout).unwrap(),
        complaints: errors
            .lines()
            .filter(|line| line.contains("CONSOLE"))
            .collect(),
        requests: requests(&serde_json::from_str(&netlog).unwrap()),
    }
}

/// The addresses that a page of the collector asked for, in a log of Chromium's network. Chromium's own
/// requests, such as those for updates, are of other sites or of none.
fn requests(netlog: &Value) -> Vec<String> {
    let kind = &netlog["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    let events = netlog["events"].as_array().unwrap().iter();
    let started = events.filter(|event| event["type"] == *kind);
    let of_the_page = started.filter(|event| {
        // The site of the tab, then that of the frame.
        let sites = event["params"]["network_isolation_key"].as_str();
        sites.is_some_and(|sites| sites.starts_with("http://127.0.0.1 "))
    });
    of_the_page
        .filter_map(|event| event["params"]["url"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_shows_every_operation_without_external_requests() {
    let backend = TestBackend::start().await.unwrap();
    let document = backend.client.get("/openapi.json", None).await.unwrap();
    assert_eq!(document.json["openapi"], "3.1.0");
    let visit = visit(&backend, "/docs").await;
    let mut operations = 0;
    for (path, methods) in document.json["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            let Some(id) = operation["operationId"].as_str() else {
                continue;
            };
            operations += 1;
            let section = visit.dom.split(&format!("<section id=\"{id}\">")).nth(1);
            let section = section.unwrap().split("</section>").next().unwrap();
            assert!(section.contains(path), "{id}");
            assert!(section.contains("curl -s"), "{id}");
            for status in operation["responses"].as_object().unwrap().keys() {
                assert!(
                    section.contains(&format!("<b>{status}</b>")),
                    "{id} {status}"
                );
            }
        }
    }
    assert!(operations >= 13, "{operations}");
    assert_eq!(visit.complaints, "");
    let home = format!("http://{}/", backend.collector.address);
    assert!(visit.requests.contains(&format!("{home}docs")));
    for request in &visit.requests {
        assert!(request.starts_with(&home), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_security_policy_permits_page_only() {
    let backend = TestBackend::start().await.unwrap();
    let page = backend.client.get("/docs", None).await.unwrap();
    assert_eq!(page.status, 200);
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let html = String::from_utf8(page.bytes.clone()).unwrap();
    assert!(!html.contains("<script"));
}
