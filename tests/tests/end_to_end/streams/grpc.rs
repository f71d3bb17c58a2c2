//! gRPC: messages keep their frames, and what ends the stream is the trailers.

use dossier_tests::bootstrap::set;
use dossier_tests::clock;
use dossier_tests::grpc::{GrpcCall, GrpcService, encode_frame, trailers};
use dossier_tests::testing::TestHarness;
use serde_json::json;

use super::{Exchange, Expected, set_http_protocol, start_with};

const CLUSTER: &str = "grpc_service";

/// The prefix of the calls' paths.
const PACKAGE: &str = "/api/greeter.Greeter";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unary_call_has_one_message_each_way() {
    let (harness, _service) = start().await;
    let (path, since) = (format!("{PACKAGE}/Echo"), clock::now_micros());
    let mut call = call(&harness, &path).await;
    call.send(b"hello").unwrap();
    let (answered, status) = call.finish(trailers("x-done", "1")).await.unwrap();
    assert_eq!(
        (&answered, status.as_deref()),
        (&encode_frame(b"hello"), Some("0"))
    );
    let exchange = Exchange::of(&harness, &path, since).await;
    exchange.expect(&Expected {
        completion: "complete",
        status: 200,
        sent: &encode_frame(b"hello"),
        answered: &encode_frame(b"hello"),
    });
    assert_eq!(exchange.response.text("content_type"), "application/grpc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_does_not_block_streaming_call() {
    let (harness, _service) = start().await;
    let (path, since) = (format!("{PACKAGE}/Echo"), clock::now_micros());
    let mut call = call(&harness, &path).await;
    let mut all = Vec::new();
    for number in 0..20_u8 {
        let message = vec![number; 100 * usize::from(number)];
        call.send(&message).unwrap();
        // The answer to one message comes before the next is sent: nothing is held back.
        let answer = call.receive(encode_frame(&message).len()).await.unwrap();
        assert_eq!(answer, encode_frame(&message));
        all.extend(answer);
    }
    let (rest, status) = call.finish(trailers("x-done", "1")).await.unwrap();
    assert_eq!((rest.len(), status.as_deref()), (0, Some("0")));
    Exchange::of(&harness, &path, since)
        .await
        .expect(&Expected {
            completion: "complete",
            status: 200,
            sent: &all,
            answered: &all,
        });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_only_response_is_complete() {
    let (harness, _service) = start().await;
    let (path, since) = (format!("{PACKAGE}/Unimplemented"), clock::now_micros());
    let call = call(&harness, &path).await;
    let (answered, status) = call.finish(trailers("x-done", "1")).await.unwrap();
    assert_eq!((answered.len(), status.as_deref()), (0, Some("12")));
    Exchange::of(&harness, &path, since)
        .await
        .expect(&Expected {
            completion: "complete",
            status: 200,
            sent: b"",
            answered: b"",
        });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_reset_by_service_keeps_received_data() {
    let (harness, _service) = start().await;
    let (path, since) = (format!("{PACKAGE}/Break"), clock::now_micros());
    let mut call = call(&harness, &path).await;
    call.send(b"one").unwrap();
    let first = call.receive(encode_frame(b"one").len()).await.unwrap();
    call.send(b"two").unwrap();
    call.receive(1).await.unwrap_err();
    let exchange = Exchange::of(&harness, &path, since).await;
    exchange.expect(&Expected {
        completion: "upstream_reset",
        status: 200,
        sent: &[encode_frame(b"one"), encode_frame(b"two")].concat(),
        answered: &first,
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_canceled_by_client_keeps_received_data() {
    let (harness, _service) = start().await;
    let (path, since) = (format!("{PACKAGE}/Echo"), clock::now_micros());
    let mut call = call(&harness, &path).await;
    call.send(b"one").unwrap();
    let first = call.receive(encode_frame(b"one").len()).await.unwrap();
    call.cancel().await;
    Exchange::of(&harness, &path, since)
        .await
        .expect(&Expected {
            completion: "client_aborted",
            status: 200,
            sent: &first,
            answered: &first,
        });
}

async fn call(harness: &TestHarness, path: &str) -> GrpcCall {
    GrpcCall::start(harness.envoy.address, path, "alice")
        .await
        .unwrap()
}

async fn start() -> (TestHarness, GrpcService) {
    let service = GrpcService::start().await.unwrap();
    let address = service.address;
    let harness = start_with(|bootstrap| {
        bootstrap.add_cluster(CLUSTER, address)?;
        set_http_protocol(bootstrap, CLUSTER, &json!({"http2_protocol_options": {}}))?;
        for route in bootstrap.routes()? {
            set(route, "route", json!({"cluster": CLUSTER}));
        }
        Ok(())
    });
    (harness.await, service)
}
