//! Streams that come to their end: bodies in every framing, and none.

use std::sync::Arc;

use dossier_tests::bootstrap::set;
use dossier_tests::clock;
use dossier_tests::scripted_service::{Step, send};
use dossier_tests::upstream::format_event;
use serde_json::json;
use tokio::sync::Notify;

use super::{Exchange, Expected, head, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_stream_and_are_recorded() {
    let harness = start().await;
    let next = Arc::new(Notify::new());
    let events: Vec<_> = (0..3).map(|number| format_event(number, 7)).collect();
    let mut script = vec![send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )];
    for event in &events {
        script.push(send(format!("{:x}\r\n{event}\r\n", event.len())));
        script.push(Step::Await(Arc::clone(&next)));
    }
    script.push(send("0\r\n\r\n"));
    harness.service.add_script("/api/events", script);

    let since = clock::now_micros();
    let mut client = harness.client().await.unwrap();
    client
        .send(head("GET", "/api/events", "accept: text/event-stream\r\n"))
        .await
        .unwrap();
    for event in &events {
        // The service sends the next only when the client has this one.
        client.read_until(event).await.unwrap();
        next.notify_one();
    }
    client.read_until("0\r\n\r\n").await.unwrap();
    let exchange = Exchange::of(&harness, "/api/events", since).await;
    exchange.expect(&Expected {
        completion: "complete",
        status: 200,
        sent: b"",
        answered: events.concat().as_bytes(),
    });
    assert_eq!(exchange.response.text("content_type"), "text/event-stream");
    assert!(
        exchange.response.number("ended_at") > exchange.response.number("first_byte_at"),
        "the last event came after the first byte"
    );
    assert!(
        exchange.response.number("ended_at") > exchange.request.number("ended_at"),
        "the request had ended long before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_bodies_are_recorded_without_framing() {
    let harness = start().await;
    let (path, next) = ("/api/chunks", Arc::new(Notify::new()));
    harness.service.add_script(
        path,
        [
            Step::Expect(b"0\r\n\r\n"),
            send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwhat\r\n"),
            Step::Await(Arc::clone(&next)),
            send("1\r\n \r\n8;x=y\r\nyou said\r\n0\r\n\r\n"),
        ],
    );
    let since = clock::now_micros();
    let mut client = harness.client().await.unwrap();
    client
        .send(head("POST", path, "transfer-encoding: chunked\r\n"))
        .await
        .unwrap();
    // A UTF-8 character is split between chunks.
    for chunk in [
        b"3\r\nWo\xc3\r\n".as_slice(),
        b"3\r\n\xb6rt\r\n",
        b"0\r\n\r\n",
    ] {
        client.send(chunk).await.unwrap();
    }
    client.read_until("what").await.unwrap();
    next.notify_one();
    client.read_until("0\r\n\r\n").await.unwrap();
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "complete",
        status: 200,
        sent: "Wo\u{f6}rt".as_bytes(),
        answered: b"what you said",
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_complete_stream() {
    let harness = start().await;
    let path = "/api/trailers";
    harness.service.add_script(
        path,
        [
            Step::Expect(b"x-sum: 1\r\n\r\n"),
            send(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                 6\r\nanswer\r\n0\r\nx-sum: 2\r\n\r\n",
            ),
        ],
    );
    let since = clock::now_micros();
    let mut client = harness.client().await.unwrap();
    let fields = "transfer-encoding: chunked\r\ntrailer: x-sum\r\nte: trailers\r\n";
    client.send(head("POST", path, fields)).await.unwrap();
    client
        .send("8\r\nquestion\r\n0\r\nx-sum: 1\r\n\r\n")
        .await
        .unwrap();
    client.read_until("x-sum: 2\r\n\r\n").await.unwrap();
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "complete",
        status: 200,
        sent: b"question",
        answered: b"answer",
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stated_length_does_not_imply_body() {
    let harness = start().await;
    let mut client = harness.client().await.unwrap();
    for (number, (method, fields, answer, status)) in [
        (
            "POST",
            "content-length: 0\r\n",
            "200 OK\r\ncontent-length: 0",
            200,
        ),
        ("GET", "", "200 OK\r\ncontent-length: 0", 200),
        ("HEAD", "", "200 OK\r\ncontent-length: 1234", 200),
        (
            "GET",
            "if-none-match: \"a\"\r\n",
            "304 Not Modified\r\ncontent-length: 1234",
            304,
        ),
        ("DELETE", "", "204 No Content", 204),
        (
            "POST",
            "transfer-encoding: chunked\r\n",
            "200 OK\r\ntransfer-encoding: chunked",
            200,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/api/empty/{number}");
        let chunked = |fields: &str| {
            if fields.contains("chunked") {
                "0\r\n\r\n"
            } else {
                ""
            }
        };
        harness.service.add_script(
            &path,
            [send(format!(
                "HTTP/1.1 {answer}\r\nx-number: {number}\r\n\r\n{}",
                chunked(answer)
            ))],
        );
        let since = clock::now_micros();
        let request = head(method, &path, fields) + chunked(fields);
        client.send(request).await.unwrap();
        client
            .read_until(&format!("x-number: {number}\r\n"))
            .await
            .unwrap();
        Exchange::of(&harness, &path, since)
            .await
            .expect(&Expected {
                completion: "complete",
                status,
                sent: b"",
                answered: b"",
            });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_close_completes_response() {
    let harness = start().await;
    let path = "/api/until-close";
    harness.service.add_script(
        path,
        [send("HTTP/1.1 200 OK\r\n\r\nall there is"), Step::Close],
    );
    let since = clock::now_micros();
    let mut client = harness.client().await.unwrap();
    client.send(head("GET", path, "")).await.unwrap();
    client.read_until("all there is").await.unwrap();
    Exchange::of(&harness, path, since).await.expect(&Expected {
        completion: "complete",
        status: 200,
        sent: b"",
        answered: b"all there is",
    });
}

/// Envoy answers `100 Continue` by itself, or hands on the service's, as it is configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_continue_is_supported() {
    for handed_on in [false, true] {
        let harness = start_with(|bootstrap| {
            let manager = bootstrap.connection_manager()?;
            set(manager, "proxy_100_continue", json!(handed_on));
            Ok(())
        });
        let harness = harness.await;
        let path = "/api/continue";
        let go_on = if handed_on {
            "HTTP/1.1 100 Continue\r\n\r\n"
        } else {
            ""
        };
        harness.service.add_script(
            path,
            [
                send(go_on),
                Step::Expect(b"the body"),
                send("HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndone"),
            ],
        );
        let since = clock::now_micros();
        let mut client = harness.client().await.unwrap();
        let fields = "expect: 100-continue\r\ncontent-length: 8\r\n";
        client.send(head("PUT", path, fields)).await.unwrap();
        client.read_until("100 Continue\r\n\r\n").await.unwrap();
        client.send("the body").await.unwrap();
        client.read_until("done").await.unwrap();
        Exchange::of(&harness, path, since).await.expect(&Expected {
            completion: "complete",
            status: 201,
            sent: b"the body",
            answered: b"done",
        });
    }
}
