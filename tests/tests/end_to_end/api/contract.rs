//! What holds for every endpoint: its two paths, the envelope, the codes of errors, request ids.

use dossier_tests::client::{CollectorClient, CollectorResponse};
use dossier_tests::clock::minutes_ago;
use dossier_tests::collector::{Collector, CollectorPlan};
use dossier_tests::producer::Sample;
use dossier_tests::raw_client::RawClient;
use dossier_tests::testing::TestBackend;
use dossier_wire::Encoder;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TIMEOUT, owner, store, text};

/// An exchange of alice's in a session, its number and its id.
async fn filled() -> (TestBackend, u64, Uuid) {
    let backend = TestBackend::start().await.unwrap();
    let sample =
        Sample::request("alice", "/api/x", minutes_ago(1), "{\"n\":1}").with_session_id("s");
    store(&backend, &[sample.clone(), sample.response("{}")]).await;
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    let question = json!({"type": "request"});
    let entries = client.query_all(alice, &question).await.unwrap();
    let id = entries[0]["id"].as_u64().unwrap();
    (backend, id, sample.record.exchange_id)
}

/// One request of each endpoint for readers, and for admins.
fn requests(id: u64, exchange: Uuid) -> Vec<(Method, String, Value)> {
    vec![
        (Method::POST, "/storage/query".to_owned(), json!({})),
        (Method::GET, format!("/storage/entries/{id}"), Value::Null),
        (
            Method::GET,
            format!("/storage/entries/{id}/body"),
            Value::Null,
        ),
        (
            Method::GET,
            format!("/storage/exchanges/{exchange}"),
            Value::Null,
        ),
        (
            Method::GET,
            "/storage/sessions?page=1".to_owned(),
            Value::Null,
        ),
        (
            Method::POST,
            "/storage/sessions/query".to_owned(),
            json!({}),
        ),
        (
            Method::POST,
            "/storage/delete".to_owned(),
            json!({"storage_ids": [999_999]}),
        ),
    ]
}

async fn send(
    client: &CollectorClient,
    key: Option<&str>,
    path: &str,
    body: &Value,
) -> CollectorResponse {
    let answer = match body {
        Value::Null => client.get(path, key).await,
        body => client.post(path, key, body).await,
    };
    answer.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v1_prefix_gives_same_responses() {
    let (backend, id, exchange) = filled().await;
    let admin = Some(backend.keys.users.admin.as_str());
    for (_, path, body) in requests(id, exchange) {
        let plain = send(&backend.client, admin, &path, &body).await;
        let v1 = send(&backend.client, admin, &format!("/v1{path}"), &body).await;
        assert_eq!(plain.status, 200, "{path}: {}", plain.json);
        assert_eq!(v1.status, 200, "/v1{path}: {}", v1.json);
        assert_eq!(plain.json["data"], v1.json["data"], "{path}");
        assert_eq!(plain.content_type, v1.content_type, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_has_envelope() {
    let (backend, id, exchange) = filled().await;
    let admin = Some(backend.keys.users.admin.as_str());
    let mut operations = vec![
        (Method::GET, "/healthz".to_owned(), Value::Null),
        (Method::GET, "/readyz".to_owned(), Value::Null),
    ];
    operations.extend(requests(id, exchange));
    for (_, path, body) in operations {
        if path.ends_with("/body") {
            continue;
        }
        let good = send(&backend.client, admin, &path, &body).await;
        assert_eq!(good.content_type, "application/json", "{path}");
        assert_eq!(
            names(&good.json),
            ["data", "message", "metadata", "success", "warnings"]
        );
        assert_eq!(good.json["success"], true, "{path}");
        assert!(!text(&good.json, "message").is_empty(), "{path}");
        assert!(good.json["data"].is_object(), "{path}");
        assert!(good.json["warnings"].is_array(), "{path}");
        check_metadata(&good);
    }
    for (_, path, body) in requests(id, exchange) {
        let bad = send(&backend.client, None, &path, &body).await;
        assert_eq!(bad.status, 401, "{path}");
        assert_eq!(bad.header("www-authenticate"), "Bearer", "{path}");
        check_failure(&bad, "AUTH_MISSING_TOKEN");
    }
}

fn names(json: &Value) -> Vec<&str> {
    let mut names: Vec<_> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

fn check_metadata(answer: &CollectorResponse) {
    let metadata = &answer.json["metadata"];
    assert_eq!(names(metadata), ["request_id", "took_ms"]);
    assert_eq!(metadata["request_id"], answer.header("x-request-id"));
    assert!(metadata["took_ms"].as_f64().unwrap() >= 0.0);
}

fn check_failure(answer: &CollectorResponse, code: &str) {
    let json = &answer.json;
    assert_eq!(
        names(json),
        [
            "data", "error", "message", "metadata", "success", "warnings"
        ]
    );
    assert_eq!(
        (&json["success"], &json["data"], &json["warnings"]),
        (&json!(false), &Value::Null, &json!([])),
        "{json}"
    );
    assert_eq!(names(&json["error"]), ["code", "details"], "{json}");
    assert_eq!(answer.error_code(), code, "{json}");
    check_metadata(answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_and_methods_get_envelope() {
    let (backend, id, exchange) = filled().await;
    let alice = Some(backend.keys.users.alice.as_str());
    for path in ["/", "/storage", "/storage/queries", "/v2/storage/query"] {
        let answer = backend.client.get(path, alice).await.unwrap();
        assert_eq!(answer.status, 404, "{path}");
        check_failure(&answer, "NOT_FOUND");
    }
    for (method, path, _) in requests(id, exchange) {
        let answer = if method == Method::GET {
            let path = path.split('?').next().unwrap();
            backend.client.post(path, alice, &json!({})).await
        } else {
            backend.client.get(&path, alice).await
        };
        let answer = answer.unwrap();
        assert_eq!(answer.status, 405, "{path}");
        check_failure(&answer, "METHOD_NOT_ALLOWED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_json_returns_400() {
    let (backend, ..) = filled().await;
    let http = reqwest::Client::new();
    for path in ["query", "sessions/query", "delete"] {
        for body in ["", "{", "[]", "7", "{} {}", "{\"page\": 1,}", "\u{feff}{}"] {
            let url = format!("http://{}/storage/{path}", backend.collector.address);
            let asked = http
                .post(url)
                .header("x-api-key", &backend.keys.users.admin);
            let answer = asked.body(body).send().await.unwrap();
            assert_eq!(answer.status(), 400, "{path} {body:?}");
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["error"]["code"], "VAL_INVALID_JSON", "{body:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_api_key_header_and_logs_id() {
    let (mut backend, ..) = filled().await;
    let url = format!("http://{}/storage/sessions", backend.collector.address);
    let http = reqwest::Client::new();
    let alice = backend.keys.users.alice.clone();
    for (key, status) in [(alice.as_str(), 200), ("dsk_x", 401), ("", 401)] {
        let id = format!("contract-{status}-{}", key.len());
        let asked = http.get(&url).header("x-api-key", key);
        let answer = asked.header("x-request-id", &id).send().await.unwrap();
        assert_eq!(answer.status(), status, "a key of {} bytes", key.len());
        assert_eq!(answer.headers()["x-request-id"], id);
        let log = backend.collector.process().unwrap().log();
        let logged = dossier_tests::wait::until("the id in the log", TIMEOUT, async || {
            let log = log.text();
            if log.contains(&id) {
                Ok(log)
            } else {
                Err(String::new())
            }
        });
        assert!(
            !logged.await.unwrap().contains(&alice),
            "a key is not logged"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn total_is_exact_to_ten_thousand() {
    let backend = TestBackend::start().await.unwrap();
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    let samples: Vec<_> = (0..10_000)
        .map(|number| Sample::request("alice", "/api/x", minutes_ago(10) + number, ""))
        .collect();
    store(&backend, &samples).await;
    let question = json!({"page_size": 2});
    let total_fields = |answer: &CollectorResponse| {
        let data = &answer.json["data"];
        (data["total"].clone(), data["total_exact"].clone())
    };
    let exact = client.query(alice, &question).await.unwrap();
    assert_eq!(total_fields(&exact), (json!(10_000), json!(true)));
    store(&backend, &samples[..1]).await;
    let floor = client.query(alice, &question).await.unwrap();
    assert_eq!(total_fields(&floor), (json!(10_000), json!(false)));
    assert_eq!(floor.json["data"]["has_more"], true);
    let cursor = &floor.json["data"]["next_cursor"];
    let next = json!({"page_size": 2, "cursor": cursor});
    let next = client.query(alice, &next).await.unwrap();
    assert_eq!(total_fields(&next), (json!(10_000), json!(false)));
    let deep = client.query(alice, &json!({"page": 10_001})).await.unwrap();
    assert_eq!((deep.status, deep.error_fields()), (422, vec!["page"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn includes_requested_parts_only() {
    let (backend, ..) = filled().await;
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    for (include, data, headers) in [
        (json!(null), true, false),
        (json!([]), false, false),
        (json!(["data"]), true, false),
        (json!(["headers"]), false, true),
        (json!(["headers", "data"]), true, true),
    ] {
        let question = json!({ "include": include });
        let answer = client.query(alice, &question).await.unwrap();
        for entry in answer.items() {
            let has = |name| entry.get(name).is_some();
            assert_eq!((has("data"), has("headers")), (data, headers), "{include}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_failure_reveals_no_internals() {
    let (mut backend, id, exchange) = filled().await;
    let second = |name: &str, environment: &[(&str, &str)]| {
        let environment = environment.iter();
        CollectorPlan {
            listen: ([127, 0, 0, 1], 0).into(),
            data: backend.folder().join(name),
            log: backend.folder().join(format!("{name}.log")),
            database_url: Some(format!(
                "postgres:///dossier?user=dossier&host={}",
                backend.folder().join("data/postgres/socket").display()
            )),
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    };
    let no_spool = second("no-spool", &[("DOSSIER_SPOOL_MAX_BYTES", "0")]);
    let without = Collector::start(no_spool).await.unwrap();
    let with = Collector::start(second("spool", &[])).await.unwrap();
    // From now on it knows a producer, whose batches can wait.
    let (key, nothing) = (&backend.keys.ingest, Encoder::new().finish());
    let client = CollectorClient::new(with.address).unwrap();
    let sent = client.ingest(Some(key), Uuid::now_v7(), nothing).await;
    assert_eq!(sent.unwrap().status, 200);
    // Its Postgres goes with it.
    backend.collector.stop().await.unwrap();
    let admin = backend.keys.users.admin.as_str();
    for collector in [&without, &with] {
        let client = CollectorClient::new(collector.address).unwrap();
        for (_, path, body) in requests(id, exchange) {
            let answer = send(&client, Some(admin), &path, &body).await;
            check_unavailable(&path, &answer);
        }
        assert_eq!(client.get("/healthz", None).await.unwrap().status, 200);
    }
    let ready = async |collector: &Collector| {
        let client = CollectorClient::new(collector.address).unwrap();
        client.get("/readyz", None).await.unwrap()
    };
    check_unavailable("/readyz", &ready(&without).await);
    let ready = ready(&with).await;
    assert_eq!(ready.status, 200, "batches can wait: {}", ready.json);
    assert_eq!(ready.json["data"]["postgres"], "away");
    assert_eq!(ready.json["data"]["spool"]["batches"], 0);
}

fn check_unavailable(path: &str, answer: &CollectorResponse) {
    assert_eq!(answer.status, 503, "{path}: {}", answer.json);
    assert_eq!(answer.retry_after.as_deref(), Some("1"), "{path}");
    check_failure(answer, "STORAGE_UNAVAILABLE");
    let shown = answer.json.to_string().to_lowercase();
    for inside in ["postgres", "socket", "sqlx", "dossier?user", "pool"] {
        assert!(!shown.contains(inside), "{path}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_requests_and_deletions_over_limits() {
    let (backend, ..) = filled().await;
    let (client, admin) = (&backend.client, &backend.keys.users.admin);
    let large = json!({"endpoint": "x".repeat(1024 * 1024)});
    for path in [
        "/storage/query",
        "/storage/sessions/query",
        "/storage/delete",
    ] {
        let answer = client.post(path, Some(admin), &large).await.unwrap();
        assert_eq!(answer.status, 413, "{path}");
        check_failure(&answer, "PAYLOAD_TOO_LARGE");
        let limit = &answer.json["error"]["details"]["limit_bytes"];
        assert_eq!(limit, 1024 * 1024, "{path}");
    }
    for (count, status) in [(10_000, 200), (10_001, 422)] {
        let ids: Vec<u64> = (1_000_000..1_000_000 + count).collect();
        let body = json!({ "storage_ids": ids });
        let answer = client.post("/storage/delete", Some(admin), &body).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, status, "{count} ids: {}", answer.json);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn url_over_limit_gets_envelope() {
    let (backend, ..) = filled().await;
    let (client, alice) = (&backend.client, &backend.keys.users.alice);
    // The longest endpoint, with all of it escaped.
    let endpoint = "%C3%BC".repeat(8 * 1024 / 2);
    let fits = format!("/storage/sessions?endpoint={endpoint}");
    let answer = client.get(&fits, Some(alice)).await.unwrap();
    assert_eq!(answer.status, 200, "{} bytes", fits.len());
    for (start, key) in [
        ("/storage/sessions?user_id=", Some(alice.as_str())),
        ("/storage/sessions?user_id=", None),
        ("/healthz?", None),
        ("/storage/entries/", None),
    ] {
        let long = |bytes: usize| format!("{start}{}", "x".repeat(bytes - start.len()));
        let longest = client.get(&long(32 * 1024), key).await.unwrap();
        assert_ne!(longest.status, 414, "{start}");
        for bytes in [32 * 1024 + 1, 65_000] {
            let answer = client.get(&long(bytes), key).await.unwrap();
            assert_eq!(answer.status, 414, "{start} {bytes}");
            check_failure(&answer, "VAL_URL_TOO_LONG");
            let limit = &answer.json["error"]["details"]["limit_bytes"];
            assert_eq!(limit, 32 * 1024, "{start}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_http_gets_bare_status() {
    let backend = TestBackend::start().await.unwrap();
    let get =
        |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let hundred = "x-a: 1\r\n".repeat(100);
    for (sent, status) in [
        (get("/healthz", "no colon\r\n"), "400"),
        (get("/heal thz", ""), "400"),
        (get("/healthz", "content-length: x\r\n"), "400"),
        (get("/healthz", &hundred), "431"),
        (
            get("/healthz", &format!("x-a: {}\r\n", "1".repeat(500_000))),
            "431",
        ),
        (get(&format!("/{}", "x".repeat(65_534)), ""), "414"),
    ] {
        let mut client = RawClient::connect(backend.collector.address).await.unwrap();
        // The answer may come, and the connection end, before all is sent.
        let _ = client.send(&sent).await;
        let answer = client.read_to_end().await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let start = &sent[..sent.len().min(60)];
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{start}: {head}"
        );
        assert_eq!(body, "", "{start}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_fails_after_expiry() {
    let (backend, ..) = filled().await;
    let arguments = [
        "keys",
        "create",
        "--user",
        "alice",
        "--role",
        "user",
        "--name",
        "short",
        "--expires-in-days",
        "1",
    ];
    let output = backend.collector.run(&arguments).await.unwrap();
    let key = output.stdout.trim();
    let status = async || {
        let answer = backend.client.query(key, &json!({})).await.unwrap();
        (answer.status, answer.error_code().to_owned())
    };
    assert_eq!(status().await.0, 200);
    let mut connection = owner(&backend).await;
    let a_day_passes = "update api_keys set expires_at = expires_at - interval '1 day'";
    sqlx::raw_sql(a_day_passes)
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(status().await, (401, "AUTH_INVALID_TOKEN".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_with_same_session_id_stay_separate() {
    let (backend, ..) = filled().await;
    let of_bob = Sample::request("bob", "/api/x", minutes_ago(1), "{}").with_session_id("s");
    store(&backend, &[of_bob]).await;
    let people = &backend.keys.users;
    let mut ids = Vec::new();
    for key in [&people.alice, &people.bob] {
        let answer = backend.client.get("/storage/sessions", Some(key)).await;
        let answer = answer.unwrap();
        let sessions = answer.json["data"]["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 1, "{}", answer.json);
        let id: Uuid = text(&sessions[0], "session_id").parse().unwrap();
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}
