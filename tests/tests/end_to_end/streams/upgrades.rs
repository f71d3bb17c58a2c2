//! Upgraded streams: that there was one is recorded, what passes is another protocol's and is not.

use std::sync::Arc;

use dossier_tests::clock;
use dossier_tests::scripted_service::{Step, send};
use tokio::sync::Notify;

use super::{Exchange, Expected, head, start};

const UPGRADE_REQUEST: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const UPGRADE_RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                      upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A text frame of five bytes, as a service sends it.
const PONG: &[u8] = b"\x81\x05hello";
/// The same as a client sends it: masked, here with zeros.
const PING: &[u8] = b"\x81\x85\0\0\0\0hello";

/// Whoever closes first, that is how another protocol's stream ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_is_recorded_without_messages() {
    let harness = start().await;
    for closes in ["service", "client"] {
        let (path, over) = (format!("/api/socket/{closes}"), Arc::new(Notify::new()));
        let last = if closes == "service" {
            [Step::Await(Arc::clone(&over)), Step::Close]
        } else {
            [Step::WaitForClose, Step::Close]
        };
        let script = [send(UPGRADE_RESPONSE), Step::Expect(PING), send(PONG)];
        harness
            .service
            .add_script(&path, script.into_iter().chain(last).collect::<Vec<_>>());
        let since = clock::now_micros();
        let mut client = harness.client().await.unwrap();
        client
            .send(head("GET", &path, UPGRADE_REQUEST))
            .await
            .unwrap();
        client.read_until("101 Switching Protocols").await.unwrap();
        client.send(PING).await.unwrap();
        client.read_until("hello").await.unwrap();
        if closes == "service" {
            over.notify_one();
            client.read_to_end().await.unwrap();
        } else {
            drop(client);
        }
        let Exchange { request, response } = Exchange::of(&harness, &path, since).await;
        for (half, passed) in [(request, PING), (response, PONG)] {
            let record = &half.record;
            assert_eq!(half.text("completion"), "complete", "{record}");
            assert_eq!(half.number("status"), 101, "{record}");
            assert!(half.body.is_empty(), "{record}");
            assert_eq!(half.number("body_size"), passed.len() as u64, "{record}");
            assert_eq!(half.text("body_xxh3"), "", "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_upgrade_is_ordinary_response() {
    let harness = start().await;
    let path = "/api/no-socket";
    harness.service.add_script(
        path,
        [send(
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
        )],
    );
    let since = clock::now_micros();
    let mut client = harness.client().await.unwrap();
    client
        .send(head("GET", path, UPGRADE_REQUEST))
        .await
        .unwrap();
    client.read_until("\r\n\r\nno").await.unwrap();
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "complete",
        status: 403,
        sent: b"",
        answered: b"no",
    });
}
