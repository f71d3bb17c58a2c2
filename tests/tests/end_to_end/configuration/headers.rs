//! `headers`: only those that are named are recorded, each as often as it came; trailers alike.

use dossier_tests::bootstrap::{UPSTREAM_CLUSTER, set};
use dossier_tests::grpc::{GrpcCall, GrpcService, encode_frame, trailers};
use dossier_tests::scripted_service::{Step, send};
use dossier_tests::stub_collector::ReceivedHalf;
use dossier_tests::testing::TestHarness;
use dossier_tests::traffic::{Call, Protocol};
use serde_json::json;

use super::{Setup, both, configure, everything, with};
use crate::streams::set_http_protocol;
use crate::support::TIMEOUT;

/// A request with headers that no record should hold unless its rule names them.
fn call_with_secret_headers(protocol: Protocol, target: &str) -> Call {
    let headers = [
        ("authorization", "Basic c2VjcmV0"),
        ("cookie", "sid=secret-cookie"),
        ("set-cookie", "sid=secret-cookie"),
        ("x-tag", "first"),
        ("X-Other", "other"),
        ("x-tag", "second"),
        ("user-agent", "tests/1.0"),
    ];
    let call = Call {
        protocol,
        ..Call::json("alice", target, &json!({}))
    };
    headers
        .into_iter()
        .fold(call, |call, (name, value)| with(call, name, value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_every_occurrence_of_named_ones_only() {
    let keys = json!({
        "defaults": {"storage_type": "both"},
        "routes": [
            {"match": {"path": {"prefix": "/named"}}, "capture": {"headers": {
                "request": ["X-Tag", "user-agent", "x-absent"],
                "response": ["content-type", "x-tag"],
            }}},
            {"match": {"path": {"prefix": "/secrets"}}, "capture": {"headers": {
                "request": ["authorization", "cookie"],
                "response": ["set-cookie"],
            }}},
        ],
    });
    let setup = Setup::start(&keys).await;
    for (protocol, version) in [(Protocol::Http1, 1), (Protocol::Http2, 2)] {
        let record = async |name: &str| {
            let target = format!("/{name}/{version}");
            setup
                .record(&call_with_secret_headers(protocol, &target))
                .await
        };
        for half in record("none").await {
            assert_eq!(half.record["headers"], json!(null), "none unless named");
            let record = half.record.to_string();
            assert!(
                !record.contains("secret") && !record.contains("c2VjcmV0"),
                "{record}"
            );
        }
        let tags = [["x-tag", "first"], ["x-tag", "second"]];
        expect(
            &record("named").await,
            [
                &[tags[0], tags[1], ["user-agent", "tests/1.0"]],
                &[tags[0], tags[1], ["content-type", "application/json"]],
            ],
        );
        // Secrets too, where somebody asks for them by name.
        expect(
            &record("secrets").await,
            [
                &[
                    ["authorization", "Basic c2VjcmV0"],
                    ["cookie", "sid=secret-cookie"],
                ],
                &[["set-cookie", "sid=secret-cookie"]],
            ],
        );
    }
}

/// Compares the headers of a request and its response. The order between different names is the
/// client's library's affair, that of one name's values is not.
fn expect(halves: &[ReceivedHalf; 2], expected: [&[[&str; 2]]; 2]) {
    let by_name = |mut pairs: Vec<[String; 2]>| {
        pairs.sort_by(|[a, _], [b, _]| a.cmp(b));
        pairs
    };
    for (half, expected) in halves.iter().zip(expected) {
        let found: Vec<[String; 2]> =
            serde_json::from_value(half.record["headers"].clone()).unwrap();
        let expected = expected.iter().map(|pair| pair.map(str::to_owned));
        assert_eq!(by_name(found), by_name(expected.collect()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_named_trailers_and_grpc_status() {
    let service = GrpcService::start().await.unwrap();
    let keys = everything(&json!({
        "storage_type": "both",
        "headers": {"request": ["x-done"], "response": ["content-type"]},
    }));
    let harness = TestHarness::start_with(|bootstrap| {
        configure(bootstrap, &keys)?;
        bootstrap.set_cluster(UPSTREAM_CLUSTER, service.address)?;
        set_http_protocol(
            bootstrap,
            UPSTREAM_CLUSTER,
            &json!({"http2_protocol_options": {}}),
        )
    });
    let harness = harness.await.unwrap();
    let path = "/greeter.Greeter/Echo";
    let mut call = GrpcCall::start(harness.envoy.address, path, "alice")
        .await
        .unwrap();
    call.send(b"hello").unwrap();
    let (_, status) = call.finish(trailers("x-done", "yes")).await.unwrap();
    assert_eq!(status.as_deref(), Some("0"));
    let [request, response] = both(
        harness
            .stub_collector
            .halves(path, 2, TIMEOUT)
            .await
            .unwrap(),
    );
    assert_eq!(request.record["trailers"], json!([["x-done", "yes"]]));
    assert_eq!(response.record["trailers"], json!([["grpc-status", "0"]]));
    let headers = json!([["content-type", "application/grpc"]]);
    assert_eq!(response.record["headers"], headers);
    for half in [request, response] {
        assert_eq!(half.body, encode_frame(b"hello"), "raw, as it was framed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_http_1_trailers() {
    let keys = everything(&json!({
        "storage_type": "both",
        "headers": {"request": ["x-sum"], "response": ["x-sum", "x-time"]},
    }));
    let harness = TestHarness::start_with(|bootstrap| {
        configure(bootstrap, &keys)?;
        let trailers = json!({"enable_trailers": true});
        set(
            bootstrap.connection_manager()?,
            "http_protocol_options",
            trailers.clone(),
        );
        let options = json!({"http_protocol_options": trailers});
        set_http_protocol(bootstrap, UPSTREAM_CLUSTER, &options)
    });
    let harness = harness.await.unwrap();
    let path = "/trailers";
    harness.service.add_script(
        path,
        [
            Step::Expect(b"x-private: 1\r\n\r\n"),
            send(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nanswer\r\n0\r\n\
                 x-sum: 2\r\nx-private: 2\r\nx-time: 3\r\nx-sum: 4\r\n\r\n",
            ),
        ],
    );
    let mut client = harness.client().await.unwrap();
    client
        .send(format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\r\n\
             8\r\nquestion\r\n0\r\nx-sum: 1\r\nx-private: 1\r\n\r\n"
        ))
        .await
        .unwrap();
    client.read_until("x-sum: 4\r\n").await.unwrap();
    let [request, response] = both(
        harness
            .stub_collector
            .halves(path, 2, TIMEOUT)
            .await
            .unwrap(),
    );
    assert_eq!(request.record["trailers"], json!([["x-sum", "1"]]));
    let expected = json!([["x-sum", "2"], ["x-time", "3"], ["x-sum", "4"]]);
    assert_eq!(response.record["trailers"], expected);
}
