//! Handshakes: bounded in number and time, and nobody has to wait for somebody else's.

use std::sync::Arc;

use dossier_tests::raw_client::RawClient;
use dossier_tests::wait;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use super::{HOST, TlsHarness, handshakes, value};
use crate::secure_client;
use crate::support::{TIMEOUT, reconnect};

const MAX_CONNECTIONS: u64 = 4;

async fn connect(harness: &TlsHarness) -> RawClient {
    RawClient::connect(harness.address()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_do_not_block_others() {
    let mut harness = TlsHarness::start(&[
        ("DOSSIER_MAX_CLIENTS", &MAX_CONNECTIONS.to_string()),
        ("DOSSIER_CLIENT_TIMEOUT", "3"),
    ])
    .await;
    let client = harness.client(None);
    let address = harness.address();
    let health = || secure_client::get(&client, address, HOST, "/healthz");
    // The harness's own connection has one.
    let mut silent = Vec::new();
    for _ in 2..MAX_CONNECTIONS {
        silent.push(connect(&harness).await);
    }
    let all_but_one = wait::until("permits to be used", TIMEOUT, async || {
        let used = value(&harness.backend, "dossier_http_connections").await;
        let used = used.map_err(|error| error.to_string())?;
        (used >= MAX_CONNECTIONS - 1)
            .then_some(())
            .ok_or_else(|| used.to_string())
    });
    all_but_one.await.unwrap();
    // None of those who wait for the first byte is waited for.
    assert!(health().await.unwrap().starts_with("HTTP/1.1 200"));
    silent.push(connect(&harness).await);
    silent.push(connect(&harness).await);
    // No place is left until the first of them are sent away.
    assert!(health().await.unwrap().starts_with("HTTP/1.1 200"));
    reconnect(&mut harness.backend);
    let sent_away = value(&harness.backend, &handshakes("timed_out")).await;
    assert!(sent_away.unwrap() >= 1);
    let read = silent.pop().unwrap().read_to_end();
    read.await.unwrap();
    harness.wait_for(&handshakes("timed_out"), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_disconnected_and_logged_once() {
    let mut harness = TlsHarness::start(&[]).await;
    for garbage in [
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "\x16\x03\x01\x00\x05hello",
    ] {
        for _ in 0..3 {
            let mut client = connect(&harness).await;
            client.send(garbage.repeat(64)).await.unwrap();
            let answer = client.read_to_end().await.unwrap();
            assert!(!answer.contains("HTTP/1.1"), "{answer}");
        }
    }
    drop(connect(&harness).await);
    harness.wait_for(&handshakes("malformed"), 6).await;
    harness.wait_for(&handshakes("closed_early"), 1).await;
    let log = harness.log();
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("TLS handshakes failed"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("malformed") && !warnings[0].contains("healthz"));
    assert_eq!(
        harness
            .backend
            .client
            .get("/healthz", None)
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_http_1_1_is_negotiated() {
    let harness = TlsHarness::start(&[]).await;
    let offering = |protocols: &[&[u8]]| {
        let mut config = secure_client::config(&harness.authority, None);
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Arc::new(config)
    };
    for (protocols, agreed) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(&b"http/1.1"[..])),
        (&[], None),
    ] {
        let connection =
            secure_client::connect(&offering(protocols), harness.address(), HOST).await;
        let connection = connection.unwrap();
        let session = connection.get_ref().1;
        assert_eq!(session.alpn_protocol(), agreed);
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
    secure_client::connect(&offering(&[b"h2"]), harness.address(), HOST)
        .await
        .unwrap_err();
    harness.wait_for(&handshakes("nothing_in_common"), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_not_resumed() {
    let harness = TlsHarness::start(&[]).await;
    let identity = harness.authority.issue_client_certificate().unwrap();
    for version in [&TLS12, &TLS13] {
        let client =
            secure_client::config_for_versions(&harness.authority, Some(&identity), &[version]);
        let client = Arc::new(client);
        for _ in 0..3 {
            let mut connection = secure_client::connect(&client, harness.address(), HOST)
                .await
                .unwrap();
            let answer = secure_client::ask(&mut connection, HOST, "/healthz").await;
            assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
            let session = connection.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}
