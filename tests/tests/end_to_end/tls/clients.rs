//! Which clients the collector takes by their certificates, and for what.

use dossier_tests::client::CollectorClient;
use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::{Sample, encode_batch};
use serde_json::json;
use uuid::Uuid;

use super::{HOST, Scene, handshakes};
use crate::secure_client;

fn sample() -> Vec<u8> {
    let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    encode_batch(&[sample]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_need_certificate_and_key() {
    let scene = Scene::start(&[]).await;
    let keys = &scene.backend.keys;
    let anonymous = scene.authority.client_tls(None);
    let anonymous = CollectorClient::with_tls(scene.address(), Some(&anonymous)).unwrap();
    assert_eq!(anonymous.get("/healthz", None).await.unwrap().status, 200);
    for key in [Some(keys.ingest.as_str()), Some(&keys.users.admin), None] {
        let answer = anonymous.ingest(key, Uuid::now_v7(), sample()).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.error_code()),
            (403, "AUTH_MISSING_CERTIFICATE")
        );
    }
    let certified = &scene.backend.client;
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
    let mut scene = Scene::start(&[]).await;
    let stranger = dossier_tests::certificate_authority::CertificateAuthority::new().unwrap();
    let stranger = scene.client(Some(&stranger.issue_client_certificate().unwrap()));
    secure_client::get(&stranger, scene.address(), HOST, "/healthz")
        .await
        .unwrap_err();
    scene.wait_for(&handshakes("certificate_refused"), 1).await;
    let told = scene.log().matches("TLS handshakes failed").count();
    assert_eq!(told, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_requests_need_certificate_if_configured() {
    let scene = Scene::start(&[("DOSSIER_TLS_CLIENT_AUTH", "all")]).await;
    let identity = scene.authority.issue_client_certificate().unwrap();
    let get = async |identity| {
        let client = scene.client(identity);
        secure_client::get(&client, scene.address(), HOST, "/healthz").await
    };
    get(None).await.unwrap_err();
    let answer = get(Some(&identity)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    scene.wait_for(&handshakes("certificate_refused"), 1).await;
}
