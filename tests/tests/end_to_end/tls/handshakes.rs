//! Handshakes: bounded in number and time, and nobody has to wait for somebody else's.

use std::sync::Arc;

use dossier_tests::raw_client::RawClient;
use dossier_tests::wait;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use super::{HOST, Scene, handshakes, value};
use crate::secure_client;
use crate::support::{SOON, reconnect};

const PLACES: u64 = 4;

async fn connect(scene: &Scene) -> RawClient {
    RawClient::connect(scene.address()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_do_not_block_others() {
    let mut scene = Scene::start(&[
        ("DOSSIER_MAX_CLIENTS", &PLACES.to_string()),
        ("DOSSIER_CLIENT_TIMEOUT", "3"),
    ])
    .await;
    let client = scene.client(None);
    let address = scene.address();
    let health = || secure_client::get(&client, address, HOST, "/healthz");
    // The harness's own connection has one.
    let mut silent = Vec::new();
    for _ in 2..PLACES {
        silent.push(connect(&scene).await);
    }
    let all_but_one = wait::until("places to be taken", SOON, async || {
        let taken = value(&scene.backend, "dossier_http_connections").await;
        let taken = taken.map_err(|error| error.to_string())?;
        (taken >= PLACES - 1)
            .then_some(())
            .ok_or_else(|| taken.to_string())
    });
    all_but_one.await.unwrap();
    // None of those who wait for the first byte is waited for.
    assert!(health().await.unwrap().starts_with("HTTP/1.1 200"));
    silent.push(connect(&scene).await);
    silent.push(connect(&scene).await);
    // No place is left until the first of them are sent away.
    assert!(health().await.unwrap().starts_with("HTTP/1.1 200"));
    reconnect(&mut scene.backend);
    let sent_away = value(&scene.backend, &handshakes("timed_out")).await;
    assert!(sent_away.unwrap() >= 1);
    let read = silent.pop().unwrap().read_to_end();
    read.await.unwrap();
    scene.wait_for(&handshakes("timed_out"), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_disconnected_and_logged_once() {
    let mut scene = Scene::start(&[]).await;
    for garbage in [
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "\x16\x03\x01\x00\x05hello",
    ] {
        for _ in 0..3 {
            let mut client = connect(&scene).await;
            client.send(garbage.repeat(64)).await.unwrap();
            let answer = client.read_to_end().await.unwrap();
            assert!(!answer.contains("HTTP/1.1"), "{answer}");
        }
    }
    drop(connect(&scene).await);
    scene.wait_for(&handshakes("malformed"), 6).await;
    scene.wait_for(&handshakes("closed_early"), 1).await;
    let log = scene.log();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("TLS handshakes failed"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("malformed") && !told[0].contains("healthz"));
    assert_eq!(
        scene
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
    let scene = Scene::start(&[]).await;
    let offering = |protocols: &[&[u8]]| {
        let mut config = secure_client::config(&scene.authority, None);
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Arc::new(config)
    };
    for (protocols, agreed) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(&b"http/1.1"[..])),
        (&[], None),
    ] {
        let connection = secure_client::connect(&offering(protocols), scene.address(), HOST).await;
        let connection = connection.unwrap();
        let session = connection.get_ref().1;
        assert_eq!(session.alpn_protocol(), agreed);
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
    secure_client::connect(&offering(&[b"h2"]), scene.address(), HOST)
        .await
        .unwrap_err();
    scene.wait_for(&handshakes("nothing_in_common"), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_not_resumed() {
    let scene = Scene::start(&[]).await;
    let identity = scene.authority.issue_client_certificate().unwrap();
    for version in [&TLS12, &TLS13] {
        let client = secure_client::speaking(&scene.authority, Some(&identity), &[version]);
        let client = Arc::new(client);
        for _ in 0..3 {
            let mut connection = secure_client::connect(&client, scene.address(), HOST)
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
