//! Bodies in answers: decoded, and in the form that tells most.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use serde_json::{Value, json};

use crate::support::store;

/// `{"n": 12345678901234567890, "a": 1, "a": 2}`, compressed by Python's gzip.
const JSON_IN_GZIP: &str = "H4sIAAAAAAACA6tWylOyUjA0MjYxNTO3sDRAsHQUlBJBUlDaqBYAM2a42ysAAAA=";
/// `café` in Latin-1, compressed by Node's brotli.
const LATIN_IN_BROTLI: &str = "iwGAY2Fm6QM=";

fn sample(content_type: &'static str, encoding: Option<&'static str>, body: &[u8]) -> Sample {
    let mut sample = Sample::request("alice", "/api/x", minutes_ago(1), "");
    sample.record.content_type = Some(Cow::Borrowed(content_type));
    sample.record.content_encoding = encoding.map(Cow::Borrowed);
    sample.record.body_size = body.len() as u64;
    sample.body = body.to_vec();
    sample
}

/// The only answer to a query for a sample, as it was written and as it is read.
async fn shown(backend: &TestBackend, sample: &Sample) -> (String, Value) {
    let filters = json!({"exchange_id": sample.record.exchange_id});
    let answer = backend
        .client
        .query(&backend.keys.users.alice, &filters)
        .await
        .unwrap();
    assert_eq!(answer.items().len(), 1, "{}", answer.json);
    (answer.raw_data().remove(0), answer.items()[0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_bodies_are_decoded() {
    let backend = TestBackend::start().await.unwrap();
    let gzip = STANDARD.decode(JSON_IN_GZIP).unwrap();
    let brotli = STANDARD.decode(LATIN_IN_BROTLI).unwrap();
    let cut = &gzip[..gzip.len() - 12];
    let json = "application/json";
    let samples = [
        sample(json, Some("gzip"), &gzip),
        sample("text/plain; charset=iso-8859-1", Some("br"), &brotli),
        sample(json, Some("gzip"), cut),
        sample(json, Some("compress"), b"{}"),
        sample(json, Some("gzip"), b"{}"),
    ];
    store(&backend, &samples).await;
    for (sample, form, caveat, raw) in [
        (
            &samples[0],
            "json",
            Value::Null,
            Some("{\"n\": 12345678901234567890, \"a\": 1, \"a\": 2}"),
        ),
        (&samples[1], "text", Value::Null, Some("\"café\"")),
        (&samples[2], "text", json!("broken_off"), None),
        (
            &samples[3],
            "binary",
            json!("not_decoded"),
            Some("\"e30=\""),
        ),
        (&samples[4], "json", json!("not_decoded"), Some("{}")),
    ] {
        let (data, entry) = shown(&backend, sample).await;
        assert_eq!(entry["content"]["form"], form, "{entry}");
        assert_eq!(entry["content"]["caveat"], caveat, "{entry}");
        if let Some(raw) = raw {
            assert_eq!(data, raw);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_stream_shows_events_and_joined_text() {
    let backend = TestBackend::start().await.unwrap();
    let stream = concat!(
        "event: content_block_delta\n",
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\"}}\n\n",
        "id: 2\n",
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"lo\"}}\n\n",
        "data: {\"type\":\"message_st",
    );
    let sample = sample("text/event-stream", None, stream.as_bytes());
    store(&backend, std::slice::from_ref(&sample)).await;
    let (_, entry) = shown(&backend, &sample).await;
    assert_eq!(entry["content"]["form"], "events");
    assert_eq!(entry["content"]["caveat"], "broken_off");
    let delta = |text| json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}});
    assert_eq!(
        entry["data"],
        json!({
            "events": [
                {"event": "content_block_delta", "data": delta("Hel")},
                {"id": "2", "data": delta("lo")},
            ],
            "text": "Hello",
            "unfinished": "data: {\"type\":\"message_st",
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_body_shows_each_frame() {
    let backend = TestBackend::start().await.unwrap();
    let sample = sample("application/grpc", None, b"\0\0\0\0\x02hi\x01\0\0\0\x01z");
    store(&backend, std::slice::from_ref(&sample)).await;
    let (_, entry) = shown(&backend, &sample).await;
    assert_eq!(entry["content"]["form"], "grpc");
    assert_eq!(
        entry["data"],
        json!({"frames": [
            {"compressed": false, "size": 2, "data": "aGk="},
            {"compressed": true, "size": 1, "data": "eg=="},
        ]})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_page_links_to_omitted_bodies() {
    const MIB: usize = 1 << 20;
    let backend = TestBackend::start().await.unwrap();
    let body = vec![b'a'; 3 * MIB];
    for minutes in 1..=7 {
        let mut large = sample("text/plain", None, &body);
        large.record.started_at = minutes_ago(minutes);
        store(&backend, &[large]).await;
    }
    let alice = backend.keys.users.alice.as_str();
    let page = backend.client.query(alice, &json!({})).await.unwrap();
    let shown: Vec<_> = page
        .items()
        .iter()
        .map(|item| item["data"].as_str().map(str::len))
        .collect();
    let whole = Some(3 * MIB);
    // The quotes of six texts count, too.
    let rest = Some(MIB - 12);
    assert_eq!(
        shown,
        [whole, whole, whole, whole, whole, rest, None],
        "16 MiB are written"
    );
    assert_eq!(page.items()[5]["content"]["caveat"], "over_limit");
    let left_out = &page.items()[6];
    let content = &left_out["content"];
    assert_eq!(
        (&content["form"], &content["missing"]),
        (&json!("missing"), &json!("page_full"))
    );
    let path = content["body_at"].as_str().unwrap();
    let there = backend.client.get(path, Some(alice)).await.unwrap();
    assert_eq!((there.status, there.bytes), (200, body));
    assert_eq!(page.items()[0]["content"]["body_at"], Value::Null);
}
