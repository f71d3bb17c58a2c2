//! Streams that somebody breaks off: clients that leave, services that reset, time that runs out;
//! and those that Envoy tries again.

use std::sync::Arc;

use dossier_tests::bootstrap::UPSTREAM_CLUSTER;
use dossier_tests::clock;
use dossier_tests::harness::Harness;
use dossier_tests::scripted_service::{Step, send};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Exchange, Expected, head, start, start_with};
use crate::support::wait_for_records;

const BEGINNING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthe beginning";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_client_disconnect_at_any_point() {
    let harness = start().await;

    let (path, since) = ("/api/before-the-answer", clock::now_micros());
    let reached = Arc::new(Notify::new());
    harness.service.add_script(
        path,
        [
            Step::Expect(b"question"),
            Step::Notify(Arc::clone(&reached)),
            Step::WaitForClose,
        ],
    );
    let mut client = harness.client().await.unwrap();
    client
        .send(head("POST", path, "content-length: 8\r\n") + "question")
        .await
        .unwrap();
    reached.notified().await;
    drop(client);
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "client_aborted",
        status: 0,
        sent: b"question",
        answered: b"",
    });

    let (path, since) = ("/api/mid-answer", clock::now_micros());
    harness
        .service
        .add_script(path, [send(BEGINNING), Step::WaitForClose]);
    let mut client = harness.client().await.unwrap();
    client.send(head("GET", path, "")).await.unwrap();
    client.read_until("the beginning").await.unwrap();
    drop(client);
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "client_aborted",
        status: 200,
        sent: b"",
        answered: b"the beginning",
    });

    let (path, since) = ("/api/mid-request", clock::now_micros());
    harness.service.add_script(
        path,
        [
            Step::Expect(b"half of"),
            Step::Notify(Arc::clone(&reached)),
            Step::WaitForClose,
        ],
    );
    let mut client = harness.client().await.unwrap();
    client
        .send(head("POST", path, "content-length: 100\r\n") + "half of")
        .await
        .unwrap();
    reached.notified().await;
    drop(client);
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "client_aborted",
        status: 0,
        sent: b"half of",
        answered: b"",
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_service_disconnect_before_response() {
    let harness = start().await;
    let (path, since) = ("/api/no-answer", clock::now_micros());
    harness
        .service
        .add_script(path, [Step::Expect(b"question"), Step::Reset]);
    let mut client = harness.client().await.unwrap();
    client
        .send(head("POST", path, "content-length: 8\r\n") + "question")
        .await
        .unwrap();
    let answer = client.read_until("reset").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let exchange = Exchange::of(&harness, path, since).await;
    // Envoy's own words to the client are the answer's body.
    let body = exchange.response.body.clone();
    assert!(body.starts_with(b"upstream connect error"));
    exchange.expect(&Expected {
        completion: "upstream_reset",
        status: 503,
        sent: b"question",
        answered: &body,
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_service_disconnect_during_response() {
    let harness = start().await;
    for (path, last) in [("/api/reset", Step::Reset), ("/api/close", Step::Close)] {
        let (since, next) = (clock::now_micros(), Arc::new(Notify::new()));
        harness.service.add_script(
            path,
            [send(BEGINNING), Step::Await(Arc::clone(&next)), last],
        );
        let mut client = harness.client().await.unwrap();
        client.send(head("GET", path, "")).await.unwrap();
        client.read_until("the beginning").await.unwrap();
        next.notify_one();
        client.read_to_end().await.unwrap();
        Exchange::of(&harness, path, since).await.expect(&Expected {
            completion: "upstream_reset",
            status: 200,
            sent: b"",
            answered: b"the beginning",
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_timeout_before_and_during_response() {
    let harness = start_with(|bootstrap| {
        let routes = bootstrap.routes()?;
        routes.insert(0, route("/api/silent", json!({"timeout": "0.2s"})));
        routes.insert(0, route("/api/too-slow", json!({"timeout": "1s"})));
        routes.insert(
            0,
            route("/api/stuck", json!({"timeout": "0s", "idle_timeout": "1s"})),
        );
        Ok(())
    });
    let harness = harness.await;

    let (path, since) = ("/api/silent", clock::now_micros());
    harness.service.add_script(path, [Step::WaitForClose]);
    let mut client = harness.client().await.unwrap();
    client.send(head("GET", path, "")).await.unwrap();
    let answer = client.read_until("upstream request timeout").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "timeout",
        status: 504,
        sent: b"",
        answered: b"upstream request timeout",
    });

    for path in ["/api/too-slow", "/api/stuck"] {
        let since = clock::now_micros();
        harness
            .service
            .add_script(path, [send(BEGINNING), Step::WaitForClose]);
        let mut client = harness.client().await.unwrap();
        client.send(head("GET", path, "")).await.unwrap();
        client.read_to_end().await.unwrap();
        Exchange::of(&harness, path, since).await.expect(&Expected {
            completion: "timeout",
            status: 200,
            sent: b"",
            answered: b"the beginning",
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retried_request_is_one_exchange() {
    let harness = start_with(|bootstrap| {
        let policy = json!({"retry_on": "5xx,reset", "num_retries": 3, "retry_back_off": {
            "base_interval": "0.01s", "max_interval": "0.02s"}});
        let route = route("/api/again", json!({"retry_policy": policy}));
        bootstrap.routes()?.insert(0, route);
        Ok(())
    });
    let harness = harness.await;
    let failing = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 5\r\n\r\nsorry";
    let works = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell";

    let (path, since) = ("/api/again/works", clock::now_micros());
    for answer in [send(failing), Step::Reset, send(works)] {
        harness
            .service
            .add_script(path, [Step::Expect(b"please"), answer]);
    }
    send_until_answered(&harness, path, "well").await;
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "complete",
        status: 200,
        sent: b"please",
        answered: b"well",
    });

    let (path, since) = ("/api/again/fails", clock::now_micros());
    for _ in 0..4 {
        harness
            .service
            .add_script(path, [Step::Expect(b"please"), send(failing)]);
    }
    send_until_answered(&harness, path, "sorry").await;
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "complete",
        status: 500,
        sent: b"please",
        answered: b"sorry",
    });
    // No attempt left a record of its own.
    wait_for_records(&harness.envoy, 4).await;
}

async fn send_until_answered(harness: &Harness, path: &str, answer: &str) {
    let mut client = harness.client().await.unwrap();
    client
        .send(head("POST", path, "content-length: 6\r\n") + "please")
        .await
        .unwrap();
    client.read_until(answer).await.unwrap();
    assert_eq!(
        harness.service.remaining_scripts(path),
        0,
        "Envoy tried as often as it should"
    );
}

/// A route to the service for one prefix.
fn route(prefix: &str, mut action: Value) -> Value {
    action["cluster"] = json!(UPSTREAM_CLUSTER);
    json!({"match": {"prefix": prefix}, "route": action})
}
