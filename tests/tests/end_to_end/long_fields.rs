//! What is over a bound is recorded in part, marked on the entry, and found by what was sent.

use std::collections::BTreeSet;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, set};
use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::raw_client::RawClient;
use dossier_tests::scripted_service::{ScriptedService, send};
use dossier_tests::testing::{TestBackend, TestStack};
use dossier_wire::TruncatedField;
use serde_json::{Value, json};

use crate::configuration::{configure, everything, route_to_service};
use crate::support::{TIMEOUT, metric, store, text};

/// With so many lines of this header, and the others that are named, a record has more than it may.
const LINES: usize = 200;

/// Has Envoy take as many headers as a message of 60 KiB can have, from clients and from services.
fn allow_many_headers(bootstrap: &mut Bootstrap) -> Result<(), HarnessError> {
    let many = json!({"max_headers_count": 1000});
    set(
        bootstrap.connection_manager()?,
        "common_http_protocol_options",
        many.clone(),
    );
    let options = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": many,
        "explicit_http_config": {"http_protocol_options": {}},
    }});
    set(
        bootstrap.cluster("mirror")?,
        "typed_extension_protocol_options",
        options,
    );
    Ok(())
}

async fn start(service: &ScriptedService) -> TestStack {
    let names = ["x-a", "content-length"];
    let capture = everything(&json!({
        "storage_type": "both", "headers": {"request": names, "response": names},
    }));
    let stack = TestStack::start_with(|plan| {
        route_to_service(&mut plan.bootstrap, service.address)?;
        allow_many_headers(&mut plan.bootstrap)?;
        configure(&mut plan.bootstrap, &capture)
    });
    stack.await.unwrap()
}

/// A message's head with these lines and no body.
fn head(first: &str, lines: &[String]) -> String {
    format!("{first}\r\n{}content-length: 0\r\n\r\n", lines.concat())
}

/// Sends a request, which the service answers with the same lines.
async fn exchange(stack: &TestStack, service: &ScriptedService, target: &str, lines: &[String]) {
    service.add_script(target, [send(head("HTTP/1.1 200 OK", lines))]);
    let first = format!("GET {target} HTTP/1.1\r\nhost: example\r\nx-user-id: alice");
    let mut client = RawClient::connect(stack.envoy.address).await.unwrap();
    client.send(head(&first, lines)).await.unwrap();
    let answer = client.read_until("\r\n\r\n").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Both halves that are found by this endpoint, the request first.
async fn find(stack: &TestStack, endpoint: &str) -> [Value; 2] {
    let question = json!({"endpoint": endpoint, "include": ["headers"], "order": "asc"});
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    client
        .wait_for_entries(alice, &question, 2, TIMEOUT)
        .await
        .unwrap();
    client
        .query_all(alice, &question)
        .await
        .unwrap()
        .try_into()
        .unwrap()
}

fn lines(count: usize, value: &str) -> Vec<String> {
    vec![format!("x-a: {value}\r\n"); count]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_requests_are_recorded_marked_and_found() {
    let service = ScriptedService::start().await.unwrap();
    let stack = start(&service).await;
    let path = format!("/{}", "p".repeat(1510));
    let query = format!("q={}", "v".repeat(10 * 1024 - 2));
    let value = "h".repeat(5 * 1024);
    exchange(&stack, &service, "/lines", &lines(LINES, "v")).await;
    exchange(&stack, &service, &path, &[]).await;
    exchange(&stack, &service, &format!("/query?{query}"), &[]).await;
    exchange(&stack, &service, "/value", &lines(1, &value)).await;
    exchange(&stack, &service, "/bytes", &lines(4, &value)).await;
    exchange(&stack, &service, "/whole", &lines(127, "v")).await;

    for (endpoint, fields, headers, longest) in [
        ("/lines", json!(["headers"]), 128, 1),
        (&path, json!(["endpoint"]), 1, 1),
        ("/query", json!(["query"]), 1, 1),
        ("/value", json!(["headers"]), 2, 4096),
        ("/bytes", json!(["headers"]), 3, 4096),
        ("/whole", Value::Null, 128, 1),
    ] {
        for entry in find(&stack, endpoint).await {
            assert_eq!(entry["truncated_fields"], fields, "{entry}");
            assert_eq!(entry["path"], *endpoint);
            let recorded = entry["headers"].as_array().unwrap();
            let lengths = recorded.iter().map(|pair| pair[1].as_str().unwrap().len());
            assert_eq!(
                (recorded.len(), lengths.max()),
                (headers, Some(longest)),
                "{endpoint}"
            );
        }
    }
    let [request, _] = find(&stack, &path).await;
    assert_eq!(text(&request, "endpoint"), &path[..1024]);
    assert_eq!(
        metric(&stack.backend, "dossier_ingest_rejected_records_total")
            .await
            .unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_name_what_they_cut() {
    let backend = TestBackend::start().await.unwrap();
    let alice = &backend.keys.users.alice;
    let mut cut = Sample::request("alice", "/cut", minutes_ago(2), "{}");
    cut.record.truncated_fields = [TruncatedField::Metadata, TruncatedField::Host]
        .into_iter()
        .collect();
    let whole = Sample::request("alice", "/whole", minutes_ago(1), "{}");
    store(&backend, &[cut, whole]).await;
    let entries = backend
        .client
        .query_all(alice, &json!({"order": "asc"}))
        .await
        .unwrap();
    assert_eq!(entries[0]["truncated_fields"], json!(["host", "metadata"]));
    assert_eq!(entries[1].get("truncated_fields"), None);
    let path = format!("/storage/entries/{}", entries[0]["id"]);
    let entry = backend.client.get(&path, Some(alice)).await.unwrap();
    assert_eq!(
        entry.json["data"]["truncated_fields"],
        json!(["host", "metadata"])
    );
    let exchange = format!("/storage/exchanges/{}", text(&entries[0], "exchange_id"));
    let exchange = backend.client.get(&exchange, Some(alice)).await.unwrap();
    let fields = &exchange.json["data"]["request"]["truncated_fields"];
    assert_eq!(fields, &json!(["host", "metadata"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn question_for_long_endpoint_finds_its_beginning() {
    let backend = TestBackend::start().await.unwrap();
    let alice = &backend.keys.users.alice;
    let filed = format!("/{}", "e".repeat(1023));
    store(
        &backend,
        &[Sample::request("alice", &filed, minutes_ago(1), "{}")],
    )
    .await;
    for (rest, warnings) in [("", 0), ("e", 1), ("/more//?q", 1), ("é", 1)] {
        let question = json!({"endpoint": format!("{filed}{rest}")});
        let answer = backend.client.query(alice, &question).await.unwrap();
        assert_eq!(answer.items().len(), 1, "{rest}");
        let codes: BTreeSet<_> = answer.json["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|warning| warning["code"].to_string())
            .collect();
        assert_eq!(codes.len(), warnings, "{codes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn question_for_cut_field_finds_its_beginning() {
    let backend = TestBackend::start().await.unwrap();
    let alice = &backend.keys.users.alice;
    let sent = "i".repeat(300);
    let sample = |endpoint: &str, recorded: &str| {
        let mut sample = Sample::request("alice", endpoint, minutes_ago(1), "{}");
        let record = &mut sample.record;
        record.request_id = Some(recorded[..recorded.len().min(128)].to_owned().into());
        record.host = Some(recorded.to_owned().into());
        record.route = Some(recorded.to_owned().into());
        sample
    };
    let fields = [
        TruncatedField::RequestId,
        TruncatedField::Host,
        TruncatedField::Route,
    ];
    let mut cut = sample("/cut", &sent[..256]);
    cut.record.truncated_fields = fields.into_iter().collect();
    // Who asks for more than this one has does not mean it.
    let short = sample("/short", &sent[..256]);
    let mut whole = sample("/whole", &sent);
    whole.record.request_id = Some(sent.clone().into());
    store(&backend, &[cut, short, whole]).await;
    for field in fields.map(<&str>::from) {
        let answer = backend
            .client
            .query_all(alice, &json!({ field: sent }))
            .await
            .unwrap();
        let found: BTreeSet<_> = answer.iter().map(|entry| text(entry, "endpoint")).collect();
        assert_eq!(found, BTreeSet::from(["/cut", "/whole"]), "{field}");
    }
}
