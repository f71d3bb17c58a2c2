//! The traces that a collector exports: a span a request, the store's spans under it, and nothing of the traffic.

use dossier_tests::otlp_receiver::OtlpReceiver;
use dossier_tests::producer::{Sample, encode_batch};
use dossier_tests::testing::TestBackend;
use dossier_tests::{clock, wait};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use uuid::Uuid;

use crate::support::TIMEOUT;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
/// Values of the traffic and of the requests, each at a place of its own.
const SECRETS: [&str; 5] = [
    "planted-in-body",
    "planted-in-header",
    "planted-in-query",
    "planted-in-filter",
    "planted-in-metadata",
];

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key == key)?;
    match found.value.clone()?.value? {
        AnyValue::StringValue(text) => Some(text),
        AnyValue::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

/// The span of the request to this route, once it and a span of the store below it have come.
async fn request_with_store_span(receiver: &OtlpReceiver, route: &str, store: &str) -> Span {
    let found = wait::until("the spans to be exported", TIMEOUT, async || {
        let spans = receiver.spans();
        let request = spans
            .iter()
            .find(|it| it.name == "request" && attribute(it, "route").as_deref() == Some(route));
        let request = request.ok_or_else(|| names(&spans))?;
        let below = spans.iter().any(|it| {
            it.name.starts_with(store)
                && it.trace_id == request.trace_id
                && is_below(it, request, &spans)
        });
        if below {
            Ok(request.clone())
        } else {
            Err(names(&spans))
        }
    });
    found.await.unwrap()
}

fn names(spans: &[Span]) -> String {
    let names: Vec<_> = spans.iter().map(|it| it.name.as_str()).collect();
    names.join(", ")
}

/// Whether one span is an ancestor of another.
fn is_below(span: &Span, ancestor: &Span, spans: &[Span]) -> bool {
    let mut parent = &span.parent_span_id;
    loop {
        if *parent == ancestor.span_id {
            return true;
        }
        match spans.iter().find(|it| it.span_id == *parent) {
            Some(next) => parent = &next.parent_span_id,
            None => return false,
        }
    }
}

async fn start() -> (OtlpReceiver, TestBackend) {
    let receiver = OtlpReceiver::start().await.unwrap();
    let environment = [("DOSSIER_OTLP_ENDPOINT", receiver.endpoint())];
    let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let backend = TestBackend::start_with_env(&environment).await.unwrap();
    (receiver, backend)
}

/// Sends a batch with secrets in it, as part of a trace.
async fn ingest(backend: &TestBackend) {
    let mut sample = Sample::request("alice", "/api/traced", clock::now_micros(), SECRETS[0]);
    sample.record.query = Some("q=planted-in-query".into());
    sample.record.headers = vec![("x-secret".into(), "planted-in-header".into())];
    sample
        .record
        .metadata
        .insert("note".into(), json!("planted-in-metadata"));
    let response = reqwest::Client::new()
        .post(format!(
            "http://{}/ingest/v1/batches?q=planted-in-query",
            backend.collector.address
        ))
        .bearer_auth(&backend.keys.ingest)
        .header("content-type", dossier_wire::CONTENT_TYPE)
        .header(dossier_wire::BATCH_ID_HEADER, Uuid::now_v7().to_string())
        .header("x-request-id", "traced-ingest")
        .header("x-secret", "planted-in-header")
        .header("traceparent", format!("00-{TRACE_ID}-{PARENT_ID}-01"))
        .body(encode_batch(&[sample]).unwrap())
        .send()
        .await
        .unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"rejected\":0"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_and_query_are_traced() {
    let (receiver, backend) = start().await;
    ingest(&backend).await;
    let span = request_with_store_span(&receiver, "/ingest/v1/batches", "store.").await;
    assert_eq!(hex(&span.trace_id), TRACE_ID);
    assert_eq!(hex(&span.parent_span_id), PARENT_ID);
    assert_eq!(
        attribute(&span, "request_id").as_deref(),
        Some("traced-ingest")
    );
    assert_eq!(attribute(&span, "method").as_deref(), Some("POST"));
    assert_eq!(attribute(&span, "status").as_deref(), Some("200"));
    assert!(attribute(&span, "key_id").is_some());

    let filters = json!({"metadata_filters": {"note": "planted-in-filter"}});
    let key = &backend.keys.users.alice;
    backend.client.query(key, &filters).await.unwrap();
    let span = request_with_store_span(&receiver, "/storage/query", "store.").await;
    assert!(span.parent_span_id.is_empty());
    assert_ne!(hex(&span.trace_id), TRACE_ID);
    assert_eq!(attribute(&span, "status").as_deref(), Some("200"));
    assert!(attribute(&span, "key_id").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_hold_no_secret() {
    let (receiver, backend) = start().await;
    ingest(&backend).await;
    let key = &backend.keys.users.alice;
    let found = json!({"metadata_filters": {"note": "planted-in-metadata"}});
    let page = backend.client.query(key, &found).await.unwrap();
    assert_eq!(page.items().len(), 1);
    let none = json!({"metadata_filters": {"note": {"regex": "planted-in-filter"}}});
    backend.client.query(key, &none).await.unwrap();
    let refused = backend
        .client
        .query("dsk_planted-in-header", &none)
        .await
        .unwrap();
    assert_eq!(refused.status, 401);
    let last = request_with_store_span(&receiver, "/storage/query", "store.").await;
    assert_eq!(last.name, "request");
    wait::until("all four requests", TIMEOUT, async || {
        let spans = receiver.spans();
        let requests = spans.iter().filter(|it| it.name == "request").count();
        if requests >= 4 {
            Ok(())
        } else {
            Err(names(&spans))
        }
    })
    .await
    .unwrap();
    // The search itself works: what must be there is found.
    assert!(receiver.contains(b"traced-ingest"));
    for secret in SECRETS {
        assert!(!receiver.contains(secret.as_bytes()), "{secret}");
    }
    for key in [&backend.keys.users.alice, &backend.keys.ingest] {
        assert!(!receiver.contains(key.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absent_receiver_is_counted_and_slows_nothing() {
    let environment = [("DOSSIER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let backend = TestBackend::start_with_env(&environment).await.unwrap();
    ingest(&backend).await;
    let filters = json!({});
    let page = backend
        .client
        .query(&backend.keys.users.alice, &filters)
        .await;
    assert_eq!(page.unwrap().items().len(), 1);
    wait::until("the lost spans to be counted", TIMEOUT, async || {
        let metrics = backend
            .client
            .metrics()
            .await
            .map_err(|it| it.to_string())?;
        let failed = metrics.get("dossier_trace_spans_total{outcome=\"failed\"}");
        failed
            .filter(|it| **it > 0.0)
            .map(drop)
            .ok_or_else(|| "none".to_owned())
    })
    .await
    .unwrap();
}
