//! Which clients the collector takes by their certificates, and for what.

use dossier_tests::client::CollectorClient;
use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::{Sample, encode_batch};
use serde_json::json;
use uuid::Uuid;

use super::{HOST, TlsHarness, handshakes};
use crate::secure_client;

fn sample() -> Vec<u8> {
    let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    encode_batch(&[sample]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_need_certificate_and_key() {
    let harness = TlsHarness::start(&[]).await;
    let keys = &harness.backend.keys;
    let anonymous = harness.authority.client_tls(None);
    let anonymous = CollectorClient::with_tls(harness.address(), Some(&anonymous)).unwrap();
    assert_eq!(anonymous.get("/healthz", None).await.unwrap().status, 200);
    for key in [Some(keys.ingest.as_str()), Some(&keys.users.admin), None] {
        let answer = anonymous.ingest(key, Uuid::now_v7(), sample()).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.error_code()),
            (403, "AUTH_MISSING_CERTIFICATE")
        );
    }
    let certified = &harness.backend.client;
    for (key, expected) in [
        (None, (401, "AUTH_MISSING_TOKEN")),
        (
            Some(keys.users.alice.as_str()),
            (403, "AUTH_INSUFFICIENT_PERMISSIONS"),
        ),
        (Some(keys.ingest.as_str()), (200, "")),
    ] {
        let answer = certified.ingest(key, Uuid::now_v7(), sample()).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.error_code()), expected);
    }
    // Who reads needs a key alone.
    let alice = &keys.users.alice;
    assert_eq!(anonymous.count(alice, &json!({})).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_certificate_is_refused() {
    let mut harness = TlsHarness::start(&[]).await;
    let stranger = dossier_tests::certificate_authority::CertificateAuthority::new().unwrap();
    let stranger = harness.client(Some(&stranger.issue_client_certificate().unwrap()));
    secure_client::get(&stranger, harness.address(), HOST, "/healthz")
        .await
        .unwrap_err();
    harness
        .wait_for(&handshakes("certificate_refused"), 1)
        .await;
    let logged = harness.log().matches("TLS handshakes failed").count();
    assert_eq!(logged, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_requests_need_certificate_if_configured() {
    let harness = TlsHarness::start(&[("DOSSIER_TLS_CLIENT_AUTH", "all")]).await;
    let identity = harness.authority.issue_client_certificate().unwrap();
    let get = async |identity| {
        let client = harness.client(identity);
        secure_client::get(&client, harness.address(), HOST, "/healthz").await
    };
    get(None).await.unwrap_err();
    let answer = get(Some(&identity)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    harness
        .wait_for(&handshakes("certificate_refused"), 1)
        .await;
}
