//! Certificates and secrets change while the collector runs: what is new counts for new connections, what
//! is broken changes nothing.

use std::sync::Arc;

use dossier_tests::certificate_authority::CertificateAuthority;
use dossier_tests::testing::{TestBackend, TestFolder};
use dossier_tests::wait;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::{HOST, TlsHarness, file, files, value, wait_for};
use crate::secure_client;
use crate::support::TIMEOUT;

const DONE: &str = "dossier_reloads_total{what=\"tls\"}";
const FAILED: &str = "dossier_reload_failures_total{what=\"tls\"}";
const OUTDATED: &str = "dossier_reload_outdated{what=\"tls\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_get_renewed_certificate() {
    let mut harness = TlsHarness::start(&[]).await;
    let before = harness.presented_certificate().await;
    let client = harness.client(None);
    let mut open = secure_client::connect(&client, harness.address(), HOST)
        .await
        .unwrap();
    let renewed = harness.authority.issue_server_certificate().unwrap();
    harness.mounted.swap(&files(&renewed, &harness.authority));
    harness.wait_for(DONE, 1).await;
    assert_ne!(before, *renewed.certificate().der());
    assert_eq!(
        harness.presented_certificate().await,
        *renewed.certificate().der()
    );
    // A connection of before goes on.
    let answer = secure_client::ask(&mut open, HOST, "/healthz")
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_files_keep_old_certificate() {
    let mut harness = TlsHarness::start(&[]).await;
    let before = harness.presented_certificate().await;
    assert_eq!(value(&harness.backend, OUTDATED).await.unwrap(), 0);
    let (renewed, other) = (
        harness.authority.issue_server_certificate().unwrap(),
        harness.authority.issue_server_certificate().unwrap(),
    );
    // The key of another certificate.
    let mut broken = files(&renewed, &harness.authority);
    broken[1].1 = other.key_pem();
    harness.mounted.swap(&broken);
    harness.wait_for(FAILED, 1).await;
    assert_eq!(harness.presented_certificate().await, before);
    assert_eq!(value(&harness.backend, OUTDATED).await.unwrap(), 1);
    let doctor = async |harness: &TlsHarness| {
        let output = harness.backend.collector.run(&["doctor"]).await.unwrap();
        (output.status.code(), output.stdout)
    };
    let (code, output) = doctor(&harness).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("fail  tls: tls_certificate: "), "{output}");
    broken[1].1 = "-----BEGIN PRIVATE KEY-----\nhunter2\n".to_owned();
    harness.mounted.swap(&broken);
    harness.wait_for(FAILED, 2).await;
    assert_eq!(harness.presented_certificate().await, before);
    let log = harness.log();
    assert!(log.contains("do not match"), "{log}");
    assert!(log.contains(&harness.mounted.path("tls.key")), "{log}");
    let secret = other.key_pem();
    for line in secret.lines().chain(["hunter2"]) {
        assert!(!log.contains(line), "the log tells of the key");
    }
    harness.mounted.swap(&files(&renewed, &harness.authority));
    harness.wait_for(DONE, 1).await;
    assert_eq!(
        harness.presented_certificate().await,
        *renewed.certificate().der()
    );
    assert_eq!(value(&harness.backend, OUTDATED).await.unwrap(), 0);
    let (code, output) = doctor(&harness).await;
    assert_eq!(code, Some(0));
    assert!(output.contains("ok    tls: "), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_files_at_once() {
    let mut harness = TlsHarness::start(&[("DOSSIER_RELOAD_INTERVAL", "3600")]).await;
    let renewed = harness.authority.issue_server_certificate().unwrap();
    harness.mounted.swap(&files(&renewed, &harness.authority));
    assert_ne!(
        harness.presented_certificate().await,
        *renewed.certificate().der()
    );
    harness.backend.collector.process().unwrap().send_sighup();
    harness.wait_for(DONE, 1).await;
    assert_eq!(
        harness.presented_certificate().await,
        *renewed.certificate().der()
    );
    harness.backend.collector.process().unwrap().send_sighup();
    let logged = wait::until("the log to say that nothing changed", TIMEOUT, async || {
        let log = harness.log();
        log.contains("no file of certificates or secrets has changed")
            .then_some(())
            .ok_or(log)
    });
    logged.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_removed_authority_are_refused() {
    let mut harness = TlsHarness::start(&[]).await;
    let identity = harness.authority.issue_client_certificate().unwrap();
    let server = harness.authority.issue_server_certificate().unwrap();
    let client = harness.client(Some(&identity));
    let health = async |client: &Arc<_>| {
        secure_client::get(client, harness.backend.collector.address, HOST, "/healthz").await
    };
    health(&client).await.unwrap();
    let successor = CertificateAuthority::new().unwrap();
    harness.mounted.swap(&files(&server, &successor));
    wait_for(&harness.backend, DONE, 1).await;
    health(&client).await.unwrap_err();
    let identity = successor.issue_client_certificate().unwrap();
    health(&harness.client(Some(&identity))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_secret_is_replaced() {
    let (first, second) = (
        "first-0123456789abcdef0123456789",
        "second-0123456789abcdef012345678",
    );
    let folder = TestFolder::create().unwrap();
    let secret = file(folder.path(), "secret", &format!("{first}\n"));
    let settings = [
        ("DOSSIER_JWT_SECRET_FILE", secret.to_str().unwrap()),
        ("DOSSIER_RELOAD_INTERVAL", "1"),
    ];
    let backend = TestBackend::start_with_env(&settings).await.unwrap();
    let ask = async |secret: &str| {
        let claims = json!({"sub": "alice", "exp": 4_102_444_800_u64});
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = encode(&Header::default(), &claims, &key).unwrap();
        backend
            .client
            .query(&token, &json!({}))
            .await
            .unwrap()
            .status
    };
    assert_eq!((ask(first).await, ask(second).await), (200, 401));
    file(folder.path(), "secret", "short");
    let series = |name| format!("dossier_{name}_total{{what=\"jwt_secret\"}}");
    wait_for(&backend, &series("reload_failures"), 1).await;
    assert_eq!((ask(first).await, ask(second).await), (200, 401));
    file(folder.path(), "secret", second);
    wait_for(&backend, &series("reloads"), 1).await;
    assert_eq!((ask(first).await, ask(second).await), (401, 200));
}
