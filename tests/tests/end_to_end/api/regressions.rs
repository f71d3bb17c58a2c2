//! Regression tests: what an earlier store of this kind did wrong, one test a fault. All traffic
//! goes through Envoy, unless it must be older than the test.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dossier_tests::client::{CollectorClient, CollectorResponse};
use dossier_tests::clock::{format_rfc3339, minutes_ago, now_micros};
use dossier_tests::collector::{Collector, CollectorPlan};
use dossier_tests::fault_proxy::ProxyMode;
use dossier_tests::producer::Sample;
use dossier_tests::testing::{TestBackend, TestStack};
use dossier_tests::traffic::Call;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{TIMEOUT, store, text};

const DAY: u64 = 24 * 60;
const MICROS_OF_A_DAY: u64 = DAY * 60_000_000;
/// `{"prompt": "…"}` with so many words compresses well.
const WORDS: usize = 300;

/// Everything, recording what `capture` says of `/api/`.
async fn recording(capture: Value) -> TestStack {
    let started = TestStack::start_with(|plan| {
        plan.bootstrap.plugin()?["routes"] =
            json!([{"match": {"path": {"prefix": "/api/"}}, "capture": capture}]);
        Ok(())
    });
    started.await.unwrap()
}

async fn recording_both() -> TestStack {
    recording(json!({"storage_type": "both", "session_timeout_minutes": 30})).await
}

/// Sends a request of alice's with a body of JSON.
async fn send(stack: &TestStack, target: &str, body: &Value) {
    let reply = stack.traffic.send(&Call::json("alice", target, body)).await;
    assert_eq!(reply.unwrap().status, 200);
}

/// Waits until so many entries are stored.
async fn stored(stack: &TestStack, entries: u64) {
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let waited = client
        .wait_for_entries(admin, &json!({}), entries, TIMEOUT)
        .await;
    waited.unwrap();
}

async fn ask(stack: &TestStack, question: &Value) -> CollectorResponse {
    let alice = &stack.backend.keys.users.alice;
    let answer = stack.backend.client.query(alice, question).await.unwrap();
    assert_eq!(answer.status, 200, "{question}: {}", answer.json);
    answer
}

fn ids(answer: &CollectorResponse) -> Vec<u64> {
    let items = answer.items().iter();
    items.map(|item| item["id"].as_u64().unwrap()).collect()
}

/// Stores samples beside what came through Envoy.
async fn with_samples(samples: &[Sample]) -> TestBackend {
    let backend = TestBackend::start().await.unwrap();
    store(&backend, samples).await;
    backend
}

async fn query(backend: &TestBackend, question: &Value) -> CollectorResponse {
    let alice = &backend.keys.users.alice;
    backend.client.query(alice, question).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_endpoint_returns_no_rows() {
    let stack = recording_both().await;
    send(&stack, "/api/orders", &json!({})).await;
    stored(&stack, 2).await;
    for endpoint in ["/api/nothing", "/nothing", "/", "%", "*"] {
        let question = json!({ "endpoint": endpoint });
        let answer = ask(&stack, &question).await;
        assert_eq!(answer.items().len(), 0, "{question}");
        assert_eq!(answer.json["data"]["total"], 0, "{question}");
        let warning = answer.warning("NO_RESULTS_FOUND");
        let nearest = &warning["details"]["nearest_endpoints"];
        assert_eq!(nearest, &json!(["/api/orders"]), "{question}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailing_slash_repeats_no_row() {
    let stack = recording_both().await;
    for target in ["/api/orders", "/api/orders/", "/api//orders?seed=1"] {
        send(&stack, target, &json!({})).await;
    }
    stored(&stack, 6).await;
    for endpoint in ["/api/orders", "/api/orders/", "api/orders"] {
        let answer = ask(&stack, &json!({ "endpoint": endpoint })).await;
        let mut found = ids(&answer);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 6, "{endpoint}");
        assert_eq!(answer.items().len(), 6, "{endpoint}: none twice");
        assert_eq!(answer.json["data"]["total"], 6, "{endpoint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_rows_are_not_returned() {
    let expiring = |endpoint, days| {
        let mut sample = Sample::request("alice", endpoint, minutes_ago(2 * DAY), "{}")
            .with_session_id(endpoint);
        sample.record.ttl_days = NonZeroU32::new(days);
        sample
    };
    let gone = expiring("/gone", 1);
    let backend = with_samples(&[gone.clone(), expiring("/alive", 3)]).await;
    for question in [
        json!({}),
        json!({"endpoint": "/gone"}),
        json!({"end_date": format_rfc3339(minutes_ago(DAY))}),
        json!({"exchange_id": gone.record.exchange_id}),
    ] {
        let answer = query(&backend, &question).await;
        let expired = answer.items().iter().filter(|it| it["endpoint"] == "/gone");
        assert_eq!(expired.count(), 0, "{question}");
    }
    let alice = Some(backend.keys.users.alice.as_str());
    let exchange = format!("/storage/exchanges/{}", gone.record.exchange_id);
    let answer = backend.client.get(&exchange, alice).await.unwrap();
    assert_eq!(answer.status, 404);
    let sessions = backend.client.get("/storage/sessions", alice).await;
    assert_eq!(sessions.unwrap().json["data"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_entries_round_trip() {
    let stack = recording(json!({"storage_type": "both", "compress": true})).await;
    let body = json!({"prompt": "word ".repeat(WORDS)});
    send(&stack, "/api/ai", &body).await;
    stored(&stack, 2).await;
    let answer = ask(&stack, &json!({"type": "request"})).await;
    let entry = &answer.items()[0];
    assert_eq!(entry["data"], body);
    let content = &entry["content"];
    let (size, stored) = (content["size"].as_u64(), content["stored_size"].as_u64());
    assert!(stored < size, "it is compressed: {content}");
    let answer = ask(&stack, &json!({"type": "response"})).await;
    assert_eq!(answer.items()[0]["data"]["echo"], body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_ordered_by_time_then_id() {
    let stack = recording_both().await;
    for number in 0..5 {
        send(&stack, "/api/x", &json!({ "n": number })).await;
    }
    stored(&stack, 10).await;
    let at_once = now_micros() + 60_000_000;
    let samples: Vec<_> = (0..5)
        .map(|_| Sample::request("alice", "/api/x", at_once, "{}"))
        .collect();
    store(&stack.backend, &samples).await;
    let key = |item: &Value| (text(item, "created_at").to_owned(), item["id"].as_u64());
    let latest_first = ask(&stack, &json!({})).await;
    let keys: Vec<_> = latest_first.items().iter().map(key).collect();
    assert_eq!(keys.len(), 15);
    assert!(keys.is_sorted_by(|a, b| a > b), "{keys:?}");
    let of_one_instant = keys.iter().filter(|(at, _)| *at == format_rfc3339(at_once));
    assert_eq!(of_one_instant.count(), 5);
    let earliest_first = ask(&stack, &json!({"order": "asc"})).await;
    let mut turned = ids(&earliest_first);
    turned.reverse();
    assert_eq!(turned, ids(&latest_first));
}

/// The traffic between the collector and Postgres is counted: if rows were filtered in the collector,
/// they would have to get there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_reach_rows_beyond_first_page() {
    const ROWS: u64 = 2000;
    let samples: Vec<_> = (0..ROWS)
        .map(|number| {
            let mut sample = Sample::request("alice", "/api/x", minutes_ago(10 + number), "{}");
            let metadata = json!({"number": number, "padding": "x".repeat(500)});
            sample.record.metadata = metadata.as_object().unwrap().clone();
            sample
        })
        .collect();
    let backend = with_samples(&samples).await;
    let sockets = backend.folder().join("data/postgres/socket");
    let counted = CountedSocket::open(&sockets, &backend.folder().join("s"));
    let plan = CollectorPlan {
        listen: ([127, 0, 0, 1], 0).into(),
        data: backend.folder().join("second"),
        log: backend.folder().join("second.log"),
        database_url: Some(format!(
            "postgres:///dossier?user=dossier&host={}",
            counted.folder.display()
        )),
        environment: Vec::new(),
    };
    let second = Collector::start(plan).await.unwrap();
    let client = CollectorClient::new(second.address).unwrap();
    let alice = &backend.keys.users.alice;
    let all = client.query_all(alice, &json!({})).await.unwrap();
    assert_eq!(all.len() as u64, ROWS);
    let bytes_of_all = counted.take();
    assert!(bytes_of_all > 500 * ROWS, "{bytes_of_all} bytes");
    for question in [
        json!({"metadata_filters": {"number": ROWS - 1}}),
        json!({"metadata_filters": {"number": {"gte": ROWS - 1}}}),
        json!({"start_date": format_rfc3339(minutes_ago(11))}),
        json!({"end_date": format_rfc3339(samples[1999].record.started_at)}),
        json!({"exchange_id": samples[7].record.exchange_id}),
    ] {
        let answer = client.query(alice, &question).await.unwrap();
        assert!(matches!(answer.items().len(), 1 | 2), "{question}");
        let bytes = counted.take();
        assert!(bytes > 0, "{question}: the relay counts");
        assert!(bytes < bytes_of_all / 20, "{question}: {bytes} bytes");
    }
}

/// A relay before a socket of Postgres, which counts what Postgres says.
struct CountedSocket {
    folder: PathBuf,
    bytes: Arc<AtomicU64>,
}

impl CountedSocket {
    fn open(sockets: &Path, folder: &Path) -> Self {
        const NAME: &str = ".s.PGSQL.5432";
        std::fs::create_dir(folder).unwrap();
        let (target, bytes) = (sockets.join(NAME), Arc::new(AtomicU64::new(0)));
        let listener = UnixListener::bind(folder.join(NAME)).unwrap();
        let count = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&target).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&count)));
            }
        });
        Self {
            folder: folder.to_owned(),
            bytes,
        }
    }

    /// How many bytes Postgres has sent since this was last asked.
    fn take(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

async fn relay(client: UnixStream, server: UnixStream, count: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::io::copy(&mut from_client, &mut to_server);
    let answering = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(bytes @ 1..) = from_server.read(&mut chunk).await {
            count.fetch_add(bytes as u64, Ordering::Relaxed);
            if to_client.write_all(&chunk[..bytes]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = asking => {}
        () = answering => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_query_respects_session_id() {
    let capture = json!({"storage_type": "both", "session": {"header": "x-session-id"}});
    let stack = recording(capture).await;
    for session in ["first", "second"] {
        let mut call = Call::json("alice", "/api/x", &json!({ "session": session }));
        call.headers = vec![("x-session-id".to_owned(), session.to_owned())];
        stack.traffic.send(&call).await.unwrap();
    }
    stored(&stack, 4).await;
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let sessions = async |question: &Value| {
        let path = "/storage/sessions/query";
        let answer = client.post(path, Some(alice), question).await.unwrap();
        answer.json["data"]["sessions"].as_array().unwrap().clone()
    };
    let both = sessions(&json!({})).await;
    assert_eq!(both.len(), 2);
    for session in &both {
        let found = sessions(&json!({"session_id": session["session_id"]})).await;
        assert_eq!(found, std::slice::from_ref(session));
    }
    let unknown = "0190d5a0-0000-7000-8000-000000000001";
    assert!(sessions(&json!({ "session_id": unknown })).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_accept_any_offset() {
    let stack = recording_both().await;
    send(&stack, "/api/x", &json!({})).await;
    stored(&stack, 2).await;
    let answer = ask(&stack, &json!({"type": "request"})).await;
    let created_at = text(&answer.items()[0], "created_at").to_owned();
    // The same instant by other clocks.
    let shifted = |hours: u64, offset: &str| {
        let micros = micros_of(&created_at);
        let there = if offset.starts_with('+') {
            micros + hours * 3_600_000_000
        } else {
            micros - hours * 3_600_000_000
        };
        format_rfc3339(there).replace('Z', offset)
    };
    for instant in [
        created_at.clone(),
        shifted(2, "+02:00"),
        shifted(5, "-05:00"),
        shifted(14, "+14:00"),
    ] {
        let question = json!({"type": "request", "start_date": instant, "end_date": instant});
        assert_eq!(ask(&stack, &question).await.items().len(), 1, "{question}");
    }
}

fn micros_of(instant: &str) -> u64 {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let instant = OffsetDateTime::parse(instant, &Rfc3339).unwrap();
    u64::try_from(instant.unix_timestamp_nanos() / 1000).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn midnight_is_instant_and_date_whole_day() {
    let today = now_micros() / MICROS_OF_A_DAY * MICROS_OF_A_DAY;
    let yesterday = today - MICROS_OF_A_DAY;
    let at = |micros| Sample::request("alice", "/api/x", micros, "{}");
    let backend = with_samples(&[at(yesterday), at(yesterday + 1), at(today - 1)]).await;
    let midnight = format_rfc3339(yesterday);
    let day = midnight[..10].to_owned();
    for (end, found) in [
        (midnight, 1),
        (format!("{day}T02:00:00+02:00"), 1),
        (day, 3),
    ] {
        let question = json!({ "end_date": end });
        assert_eq!(
            query(&backend, &question).await.items().len(),
            found,
            "{end}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn years_beyond_bounds_are_unprocessable() {
    let backend = with_samples(&[]).await;
    let client = &backend.client;
    for (field, value) in [
        ("end_date", "9999-12-31T23:59:59-00:01"),
        ("start_date", "0001-01-01T00:00:00+00:01"),
        ("start_date", "-9999-01-01"),
        ("end_date", "-4713-01-01"),
        // `-377705116800000000:1:0:f`, an instant before all that Postgres can hold.
        ("cursor", "LTM3NzcwNTExNjgwMDAwMDAwMDoxOjA6Zg"),
    ] {
        let key = &backend.keys.users.alice;
        let entries = client.query(key, &json!({ field: value })).await.unwrap();
        let value = value.replace('+', "%2B");
        let path = format!("/storage/sessions?{field}={value}");
        let sessions = client.get(&path, Some(key)).await.unwrap();
        for answer in [entries, sessions] {
            assert_eq!(answer.status, 422, "{field}: {}", answer.json);
            assert!(answer.json.to_string().contains(field), "{}", answer.json);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_filter_does_not_match_missing_keys() {
    let with = |metadata: Value| {
        let mut sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
        sample.record.metadata = metadata.as_object().unwrap().clone();
        sample
    };
    let samples = [
        with(json!({"name": "null", "model": null})),
        with(json!({"name": "missing"})),
        with(json!({"name": "text", "model": "null"})),
    ];
    let backend = with_samples(&samples).await;
    let answer = query(&backend, &json!({"metadata_filters": {"model": null}})).await;
    let found: Vec<_> = answer
        .items()
        .iter()
        .map(|it| &it["storage_info"]["name"])
        .collect();
    assert_eq!(found, ["null"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn type_both_matches_either_half() {
    let stack = recording_both().await;
    send(&stack, "/api/x", &json!({})).await;
    stored(&stack, 2).await;
    for question in [
        json!({"type": "both"}),
        json!({"storage_type": "both"}),
        json!({"storage_type": "Both"}),
    ] {
        let answer = ask(&stack, &question).await;
        let mut halves: Vec<_> = answer.items().iter().map(|it| text(it, "type")).collect();
        halves.sort_unstable();
        assert_eq!(halves, ["request", "response"], "{question}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_deletes_data_of_others_with_counts() {
    let stack = recording_both().await;
    send(&stack, "/api/x", &json!({})).await;
    stored(&stack, 2).await;
    let found = ids(&ask(&stack, &json!({"order": "asc"})).await);
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let body = json!({"storage_ids": [found[0], found[1], 999_999], "force": true});
    let answer = client.post("/storage/delete", Some(admin), &body).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    let expected = json!({
        "deleted_count": 2, "deleted": found,
        "skipped": [{"id": 999_999, "reason": "not_found"}],
    });
    assert_eq!(answer.json["data"], expected);
    assert_eq!(ask(&stack, &json!({})).await.items().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_without_ttl_stay_unless_forced() {
    let stack = recording_both().await;
    send(&stack, "/api/x", &json!({})).await;
    stored(&stack, 2).await;
    let entries = ask(&stack, &json!({})).await;
    assert!(entries.items().iter().all(|entry| entry["ttl"].is_null()));
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let found = ids(&entries);
    for (force, deleted) in [(false, 0), (true, 2)] {
        let body = json!({"storage_ids": found, "force": force});
        let answer = client.post("/storage/delete", Some(admin), &body).await;
        let answer = answer.unwrap();
        assert_eq!(answer.json["data"]["deleted_count"], deleted);
        let skipped = answer.json["data"]["skipped"].as_array().unwrap();
        assert!(skipped.iter().all(|it| it["reason"] == "no_ttl"));
        assert_eq!(ask(&stack, &json!({})).await.items().len(), 2 - deleted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_and_response_are_linked() {
    let stack = recording_both().await;
    for number in 0..3 {
        send(&stack, "/api/x", &json!({ "n": number })).await;
    }
    stored(&stack, 6).await;
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    for request in ask(&stack, &json!({"type": "request"})).await.items() {
        let id = text(request, "exchange_id");
        let halves = ask(&stack, &json!({ "exchange_id": id })).await;
        assert_eq!(halves.items().len(), 2);
        let path = format!("/storage/exchanges/{id}");
        let exchange = client.get(&path, Some(alice)).await.unwrap();
        let exchange = &exchange.json["data"];
        assert_eq!(exchange["request"]["data"], request["data"]);
        assert_eq!(exchange["response"]["data"]["echo"], request["data"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn non_json_bodies_are_kept() {
    let stack = recording(json!({"storage_type": "request"})).await;
    for (content_type, body, form, data) in [
        (
            "text/plain",
            &b"plain words"[..],
            "text",
            json!("plain words"),
        ),
        (
            "application/json",
            b"{\"broken\": ",
            "text",
            json!("{\"broken\": "),
        ),
        (
            "application/octet-stream",
            &[0, 159, 146, 150],
            "binary",
            json!("AJ+Slg=="),
        ),
        ("application/json", b"", "empty", Value::Null),
    ] {
        let mut call = Call::json("alice", &format!("/api/{form}"), &json!({}));
        call.body = Some((content_type.to_owned(), body.to_vec()));
        stack.traffic.send(&call).await.unwrap();
        let alice = &stack.backend.keys.users.alice;
        let question = json!({"endpoint": format!("/api/{form}"), "order": "desc"});
        let client = &stack.backend.client;
        let found = dossier_tests::wait::until("the body", TIMEOUT, async || {
            let answer = client.query(alice, &question).await.unwrap();
            let entry = answer.items().first().filter(|it| it["data"] == data);
            entry.cloned().ok_or_else(|| answer.json.to_string())
        });
        let entry = found.await.unwrap();
        assert_eq!(entry["content"]["form"], form, "{entry}");
        let path = format!("/storage/entries/{}/body", entry["id"]);
        let exact = client.get(&path, Some(alice)).await.unwrap();
        assert_eq!(exact.bytes, body, "{form}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_redacted_before_storage() {
    // The example service echoes the query in its body.
    let redact = json!({
        "json": ["$..password", "$.query"], "patterns": ["email", "credit_card"],
        "headers": ["x-api-key"], "query": ["token"],
    });
    let headers = json!({"request": ["x-api-key", "x-plain"]});
    let capture = json!({"storage_type": "both", "redact": redact, "headers": headers});
    let stack = recording(capture).await;
    let body = json!({
        "password": "hunter2-of-alice", "text": "mail carol@example.com, 4111 1111 1111 1111", "kept": "this stays",
    });
    let mut call = Call::json("alice", "/api/login?token=t0p-secret&page=1", &body);
    call.headers = [("x-api-key", "k3y-secret"), ("x-plain", "this too")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    stack.traffic.send(&call).await.unwrap();
    stored(&stack, 2).await;
    let answer = ask(&stack, &json!({"include": ["data", "headers"]})).await;
    let mut shown = answer.json["data"].to_string();
    for id in ids(&answer) {
        let path = format!("/storage/entries/{id}/body");
        let alice = Some(stack.backend.keys.users.alice.as_str());
        let exact = stack.backend.client.get(&path, alice).await.unwrap();
        shown.push_str(&String::from_utf8(exact.bytes).unwrap());
    }
    for secret in ["hunter2", "carol@", "4111", "t0p-secret", "k3y-secret"] {
        assert!(!shown.contains(secret), "{secret} is stored");
    }
    for kept in ["this stays", "this too", "[REDACTED]"] {
        assert!(shown.contains(kept), "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_errors_are_422_invalid_json_400() {
    let backend = TestBackend::start().await.unwrap();
    let (client, people) = (&backend.client, &backend.keys.users);
    for (path, key) in [
        ("/storage/query", &people.alice),
        ("/storage/sessions/query", &people.alice),
        ("/storage/delete", &people.admin),
    ] {
        for (body, status) in [
            (json!({"page_size": 0, "storage_ids": "x"}), 422),
            (json!(["no object"]), 400),
        ] {
            let answer = client.post(path, Some(key), &body).await.unwrap();
            assert_eq!(answer.status, status, "{path} {body}: {}", answer.json);
            assert!(answer.error_code().starts_with("VAL_"), "{path} {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_key_stops_working() {
    let backend = TestBackend::start().await.unwrap();
    let alice = Some(backend.keys.users.alice.as_str());
    let status = async || {
        let answer = backend
            .client
            .get("/storage/sessions", alice)
            .await
            .unwrap();
        (answer.status, answer.error_code().to_owned())
    };
    assert_eq!(status().await.0, 200);
    let revoke = ["keys", "revoke", "--user", "alice"];
    let output = backend.collector.run(&revoke).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(status().await, (401, "AUTH_INVALID_TOKEN".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_store_does_not_fail_requests() {
    let started = TestStack::start_with(|plan| {
        plan.fault_proxy = true;
        Ok(())
    });
    let mut stack = started.await.unwrap();
    let set_mode = |stack: &TestStack, mode| stack.fault_proxy.as_ref().unwrap().set_mode(mode);
    for mode in [ProxyMode::Refuse, ProxyMode::Blackhole] {
        set_mode(&stack, mode);
        for number in 0..20 {
            send(&stack, "/api/x", &json!({ "n": number })).await;
        }
    }
    stack.backend.collector.kill();
    set_mode(&stack, ProxyMode::Forward(stack.backend.collector.address));
    send(&stack, "/api/x", &json!({})).await;
    stack.backend.restart().await.unwrap();
    set_mode(&stack, ProxyMode::Forward(stack.backend.collector.address));
    stored(&stack, 2 * 41).await;
    assert_eq!(
        ask(&stack, &json!({"page_size": 1})).await.json["data"]["total"],
        82
    );
}
